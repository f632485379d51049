"""A container: what it asks for, where it is reached, and whether it gets requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import structs

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import endpoint_link
from proxyconf.explain.service import why_idle
from proxyconf.explain.verdict import claimed
from proxyconf.explain.words import container_link, containers_of, problem_links, problems_of
from proxyconf.routing.containers import NO_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.explain.answer import Known
    from proxyconf.model import Container, Member, Problem

_ID = re.compile(r"[0-9a-f]{4,64}")


def find_container(question: str, known: Known) -> Container | None:
    """Return the container that has this name, or whose id begins like this, also by a place in it."""
    return _named(question, list(containers_of(known)))


def _named(question: str, containers: Sequence[Container]) -> Container | None:
    name = question.removeprefix("container ").partition(" ")[0].removeprefix("/")
    for container in containers:
        if container.name == name:
            return container
    if _ID.fullmatch(name):
        return next((container for container in containers if container.id.startswith(name)), None)
    return None


def of_held_container(question: str, known: Known) -> Explanation | None:
    """Answer for a container that is only in a listing that is held; None where it is in none."""
    for held in known.held:
        if container := _named(question, held.listing.containers):
            verdict = f"{container.name} gets no requests: what {held.listing.source} said last is held"
            chain = tuple(problem_links([held.problem]))
            return Explanation(question=question, is_served=False, verdict=verdict, chain=chain)
    return None


def of_container(question: str, container: Container, known: Known) -> Explanation:
    """Answer for a container that was found."""
    routes = [route for one in known.claims for route in one.routes if _is_of(route.key, container)]
    members = [member for one in known.claims for member in one.members if _is_of(member.key, container)]
    judgements = [claimed(route, known) for route in routes]
    whys = [why_idle(member, known) for member in members]
    served = "" in whys
    if served:
        verdict = f"{container.name} gets requests"
    else:
        reasons = [
            *(one.why for one in known.snapshot.idle if one.container == container.name),
            *(_reason(problem, container) for problem in problems_of(container, known)),
            *whys,
            *(one.says for one in judgements),
            "it asks for no host (set the label proxyconf.host, or VIRTUAL_HOST)",
        ]
        verdict = f"{container.name} gets no requests: {reasons[0]}"
    links = [
        *_service_links(members, known),
        *(Link(what="route", says=one.says, is_bad=not one.is_served) for one in judgements),
    ]
    chain = (container_link(container, known), *links)
    return Explanation(question=question, is_served=served, verdict=verdict, chain=chain)


def _reason(problem: Problem, container: Container) -> str:
    """Return why a problem keeps requests away, with the label that it is about."""
    place = problem.where.removeprefix("container ").removeprefix(container.name).strip()
    why = problem.why.removeprefix(NO_REQUESTS)
    return f"{place}: {why}" if place else why


def _service_links(members: Sequence[Member], known: Known) -> Iterator[Link]:
    """Yield the services that a container is in, each with its endpoints there."""
    for service in dict.fromkeys(member.service for member in members):
        own = {member.endpoint.address: member for member in members if member.service == service}
        links = (structs.replace(endpoint_link(member, service, known), links=()) for member in own.values())
        yield Link(what="service", says=repr(service), links=tuple(links))


def _is_of(key: str, container: Container) -> bool:
    return key.startswith(f"{container.id}/")
