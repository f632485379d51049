"""A container: what it asks for, where it is reached, and whether it gets requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import structs

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import endpoint_link, judged
from proxyconf.explain.words import container_link, containers_of, problems_of
from proxyconf.routing.containers import NO_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from proxyconf.explain.answer import Known
    from proxyconf.model import Container, Member, Route

_ID = re.compile(r"[0-9a-f]{4,64}")


def find_container(question: str, known: Known) -> Container | None:
    """Return the container that has this name, or whose id begins like this."""
    name = question.removeprefix("/")
    containers = list(containers_of(known))
    for container in containers:
        if container.name == name:
            return container
    if _ID.fullmatch(name):
        return next((container for container in containers if container.id.startswith(name)), None)
    return None


def of_container(question: str, container: Container, known: Known) -> Explanation:
    """Answer for a container that was found."""
    routes = [route for one in known.claims for route in one.routes if _is_of(route.key, container)]
    verdicts = [judged(route, known) for route in routes if route in known.snapshot.routes]
    members = [member for one in known.claims for member in one.members if _is_of(member.key, container)]
    proved = {
        member.service
        for member in members
        if known.since.endpoint(member.service, member.endpoint.address) is not None
    }
    led = [judged(route, known) for route in known.snapshot.routes if route.service in proved]
    served = any(good for good, _ in led)
    problems = problems_of(container, known)
    idle = [one.why for one in known.snapshot.idle if one.container == container.name]
    if served:
        verdict = f"{container.name} gets requests"
    else:
        reasons = [
            *idle,
            *(problem.why.removeprefix(NO_REQUESTS) for problem in problems),
            *(why for _, why in led),
        ]
        verdict = f"{container.name} gets no requests: " + (
            reasons[0] if reasons else _no_wish(members, routes, proved)
        )
    links = [
        *_service_links(members, known),
        *(Link(what="route", says=verdict, is_bad=not good) for good, verdict in verdicts),
        *(
            Link(what="route", says=f"{route.claim} is another one's: {_owner(route, known)}", is_bad=True)
            for route in routes
            if route not in known.snapshot.routes
        ),
    ]
    chain = (container_link(container, known), *links)
    return Explanation(question=question, is_served=served, verdict=verdict, chain=chain)


def _service_links(members: Sequence[Member], known: Known) -> Iterator[Link]:
    """Yield the services that a container is in, each with its endpoints there."""
    for service in dict.fromkeys(member.service for member in members):
        own = {member.endpoint.address: member for member in members if member.service == service}
        links = (structs.replace(endpoint_link(member, service, known), links=()) for member in own.values())
        yield Link(what="service", says=repr(service), links=tuple(links))


def _no_wish(members: Sequence[Member], routes: Sequence[Route], proved: AbstractSet[str]) -> str:
    if proved:
        return f"no route leads to service {min(proved)!r}"
    if members or routes:
        return "nginx has not proved it yet"
    return "it asks for no host (set the label proxyconf.host, or VIRTUAL_HOST)"


def _owner(route: Route, known: Known) -> str:
    return next((one.where for one in known.snapshot.routes if one.claim == route.claim), "nobody's")


def _is_of(key: str, container: Container) -> bool:
    return key.startswith(f"{container.id}/")
