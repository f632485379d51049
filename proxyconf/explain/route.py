"""The chain of a route: where it was seen, what it asks for, whom it leads to, and what of it nginx has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.explain.answer import Link
from proxyconf.explain.beside import certificate_links, file_links
from proxyconf.explain.wishes import wishes
from proxyconf.explain.words import (
    bad_keys,
    container_link,
    container_of,
    held_links,
    moment,
    problem_links,
    problems_at,
    source_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from proxyconf.explain.answer import Known
    from proxyconf.model import Member, Route

TOLD_TO_END = "it is told to end, or unhealthy, and others serve"


def route_link(route: Route, known: Known) -> Link:
    """Return where a route was seen, what it asks for, and who else wants its place."""
    links = [Link(what="seen", says=f"{route.where}, {source_line(route.source, known)}")]
    if asked := wishes(route, known):
        links.append(Link(what="asks", says=asked))
    rivals = [
        Link(what="rival", says=f"{other.where}: yields to it", is_bad=True)
        for other in _others(route, known)
        if other.service != route.service
    ]
    problems = problems_at(route.where, known.status.problems)
    return Link(
        what="route",
        says=f"{route.claim} leads to service {route.service!r}",
        links=(*links, *rivals, *problem_links(problems), *held_links(known, claim=route.claim)),
    )


def _others(route: Route, known: Known) -> Iterator[Route]:
    """Yield all routes for the same host and path."""
    for one in known.claims:
        yield from (other for other in one.routes if other.claim == route.claim)


def service_link(name: str, routes: Iterable[Route], known: Known) -> Link:
    """Return whom *routes* to a service lead to, and whom not."""
    endpoints = {one.address: one for one in known.snapshot.services.get(name, ())}
    members = [member for one in known.claims for member in one.members if member.service == name]
    used: dict[str, Member] = {}
    for member in members:
        used.setdefault(member.endpoint.address, member)
    links = [endpoint_link(member, name, known) for address, member in used.items() if address in endpoints]
    links += [_left_out_link(member) for member in members if member.endpoint.address not in endpoints]
    serving = {member.key for member in members}
    waiting = (link for route in routes for link in _waiting_links(route, serving, known))
    links += {link.says: link for link in waiting}.values()  # a label may be for several hosts
    links += problem_links(bad_keys(name, known))
    count = f"{len(endpoints)} endpoint{'' if len(endpoints) == 1 else 's'}"
    return Link(what="service", says=f"{name!r}, {count}", is_bad=not endpoints, links=tuple(links))


def _waiting_links(route: Route, serving: AbstractSet[str], known: Known) -> Iterator[Link]:
    """Yield the containers that ask for the same, and are no endpoints."""
    for other in _others(route, known):
        container = container_of(other.key, known)
        if container and other.service == route.service and other.key not in serving:
            yield Link(
                what="left out", says=other.where, is_bad=True, links=(container_link(container, known),)
            )


def endpoint_link(member: Member, service: str, known: Known) -> Link:
    """Return an endpoint: its address and why that one, and since when it serves."""
    endpoint = member.endpoint
    since = known.since.endpoint(service, endpoint.address)
    said = [endpoint.address]
    said += [f"weight {endpoint.weight}"] if endpoint.weight != 1 else []
    said += ["backup"] if endpoint.backup else []
    said += ["told to end, but the last one"] if endpoint.draining else []
    said.append(f"served since {moment(since)}" if since else "not proved yet")
    why = f" ({member.why})" if member.why else ""
    links = problem_links(problems_at(member.where, known.status.problems))
    if container := container_of(member.key, known):
        links.append(container_link(container, known))
    return Link(what="endpoint", says=f"{', '.join(said)}: {member.where}{why}", links=tuple(links))


def _left_out_link(member: Member) -> Link:
    why = TOLD_TO_END if member.endpoint.draining else "see the problems"
    return Link(what="left out", says=f"{member.endpoint.address}: {member.where}: {why}", is_bad=True)


def nginx_links(route: Route, known: Known) -> Iterator[Link]:
    """Yield what of a route nginx has, how that was proved, and what was set aside."""
    host, service = known.part_of("host", route.host), known.part_of("service", route.service)
    files = [f"parts/{part.file}" for part in (host, service) if part]
    applied, nginx = known.status.applied, known.status.nginx
    if host is None or applied is None:
        return
    yield from certificate_links(host, known)
    yield from file_links(host, known)
    proved = f"proved by {applied.proof} at {moment(applied.at)}"
    yield Link(what="nginx", says=f"{' and '.join(files)} of {nginx.root}, {applied.digest[:12]}, {proved}")
    names = {route.host, route.service}
    found = [one for one in known.status.problems if one.what in ("host", "service") and one.where in names]
    yield from problem_links(found)
