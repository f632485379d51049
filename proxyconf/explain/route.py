"""A route: where it was seen, what it asks for, whom it leads to, and what of it nginx has."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from proxyconf.explain.answer import Link
from proxyconf.explain.beside import certificate_links, file_links
from proxyconf.explain.wishes import wishes
from proxyconf.explain.words import (
    container_link,
    container_of,
    containers_of,
    moment,
    problem_links,
    problems_at,
    source_line,
)
from proxyconf.nginx.location import CLOSED, passes_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from proxyconf.explain.answer import Known
    from proxyconf.model import Member, Route
    from proxyconf.nginx.part import Part


def judged(route: Route, known: Known) -> tuple[bool, str]:
    """Tell whether *route* is served, and say so."""
    options, status = route.options.location, known.status
    since = known.since.route(route.claim, route.service)
    part = known.part_of("host", route.host)
    if since is None or part is None:
        why = status.reason or "nginx has not proved it yet"
        if aside := problems_at(route.host, known.status.problems, what="host"):
            why = aside[0].why
        return False, f"{route.claim} is not served: {status.state}: {why}"
    if not passes_on(route):
        answer = (
            f"sent to {options.redirect.removeprefix('//')}" if options.redirect else "503, for maintenance"
        )
        return False, f"{route.claim} is answered without an endpoint: {answer}"
    if not known.snapshot.services.get(route.service):
        return False, f"{route.claim} answers 503: {_why_empty(route.service, known)}"
    if why := _why_closed(route, part, known):
        return False, f"{route.claim} is not served: {why}"
    behind = "" if status.state == "applied" else f"; its last change is not: {status.state}: {status.reason}"
    return True, f"{route.claim} is served, since {moment(since)}{behind}"


def _why_closed(route: Route, part: Part, known: Known) -> str:
    """Return why the host's *part* does not pass *route* on, which has endpoints; "" where it does."""
    of_route = [one.why for one in problems_at(route.where, part.problems) if one.why.startswith(CLOSED)]
    if of_route:
        return of_route[0]
    if route.service in part.needs:
        return ""
    of_host = [one.why for one in problems_at(route.host, part.problems) if one.why.startswith(CLOSED)]
    of_service = [one.why for one in problems_at(route.service, known.status.problems, what="service")]
    return next(iter(of_host + of_service), f"nginx does not lead to service {route.service!r} yet")


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
        links=(*links, *rivals, *problem_links(problems)),
    )


def _others(route: Route, known: Known) -> Iterator[Route]:
    """Yield all routes for the same host and path."""
    for one in known.claims:
        yield from (other for other in one.routes if other.claim == route.claim)


def listed_services(known: Known) -> set[str]:
    """Return the services that any key or container is for, be it in vain."""
    names = {member.service for one in known.claims for member in one.members}
    names |= {named.service for one in known.claims for named in one.named}
    ids = {container.id for container in containers_of(known)}
    names |= {
        route.service for one in known.claims for route in one.routes if route.key.partition("/")[0] in ids
    }
    keys = (key.split("/") for listing in known.listings for key in listing.keys)
    return names | {parts[1] for parts in keys if parts[0] == "services" and len(parts) > 1}


def _why_empty(service: str, known: Known) -> str:
    """Return why a *service* has no endpoint: it may be a word that was misspelled."""
    names = listed_services(known)
    if service in names:
        return f"service {service!r} has no endpoint"
    near = difflib.get_close_matches(service, sorted(names), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "list one, or lead the route to another service"
    return f"no endpoint of service {service!r} is listed ({hint})"


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
    why = (
        "it is told to end, or unhealthy, and others serve"
        if member.endpoint.draining
        else "see the problems"
    )
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
