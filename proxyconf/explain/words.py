"""Pieces of answers that several kinds of them have."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxyconf import values
from proxyconf.explain.answer import Link
from proxyconf.held import MEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxyconf.explain.answer import Known
    from proxyconf.model import Container, Entry, Listing, Problem


def problems_at(where: str, problems: Iterable[Problem], *, what: str = "") -> list[Problem]:
    """Return the problems of this very place, or those of one kind."""
    return [one for one in problems if one.where == where and what in ("", one.what)]


def problem_links(problems: Iterable[Problem]) -> list[Link]:
    """Return a link for each of *problems*."""
    return [Link(what="problem", says=f"{one.where}: {one.why}", is_bad=True) for one in problems]


def bad_keys(service: str, known: Known) -> list[Problem]:
    """Return the problems of the keys of a *service*, of what is none of its endpoints, too."""
    found = []
    for listing in known.listings:
        for key, entry in listing.keys.items():
            if key.startswith(f"services/{service}/"):
                found += problems_at(place_of(key, entry, listing), known.status.problems)
    return found


def place_of(key: str, entry: Entry, listing: Listing) -> str:
    """Return where a key was read, as problems name it."""
    where = entry.where or listing.place.format(key=key)
    return where if where.isprintable() else values.shown(where)


def held_links(known: Known, *, claim: str = "") -> list[Link]:
    """Return the listings that are held and say something else of a *claim*, or of whatever it is."""
    return problem_links(one.problem for one, touched in known.touching if not claim or claim in touched)


def held_note(claim: str, known: Known) -> str:
    """Return that something else was said of a *claim*, which does not count; "" where that is not so."""
    names = [one.listing.source for one, touched in known.touching if claim in touched]
    return f"; what {' and '.join(names)} said of it last is held ({MEND})" if names else ""


def source_line(name: str, known: Known) -> str:
    """Return which source it is, and when it last said something."""
    source = next((one for one in known.status.sources if one.name == name), None)
    if source is None:
        return "by the host rule"
    if source.listed_at is None:
        return f"{name}, from an earlier run"
    lost = f", which is lost: {source.reason}" if source.state == "lost" else ""
    return f"{name} at {moment(source.listed_at)}{lost}"


def moment(at: float) -> str:
    """Return a Unix time for people, in the time zone of this process."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def container_of(key: str, known: Known) -> Container | None:
    """Return the container that a route or an endpoint with this *key* was read from, if it was one."""
    name = key.partition("/")[0]
    return next((container for container in containers_of(known) if container.id == name), None)


def containers_of(known: Known) -> Iterator[Container]:
    """Yield all containers, and then those that were removed a moment ago: their hosts are still known."""
    for listing in known.listings:
        yield from listing.containers
    for listing in known.listings:
        yield from listing.removed


def container_link(container: Container, known: Known) -> Link:
    """Return a container as it was listed."""
    health = f", {container.health}" if container.health else ""
    networks = ", ".join(f"{name} ({ip})" for name, ip in sorted(container.networks.items())) or "none"
    ports = ", ".join(map(str, container.ports)) or "none"
    state = f"{container.state}{health}"
    says = f"{container.name} {container.id[:12]}, {state}; networks: {networks}; exposes: {ports}"
    links = problem_links(problems_of(container, known))
    links += [
        Link(what="idle", says=one.why) for one in known.snapshot.idle if one.container == container.name
    ]
    return Link(what="container", says=says, links=tuple(links))


def problems_of(container: Container, known: Known) -> list[Problem]:
    """Return the problems of a container and its labels."""
    name = container.name
    return [
        problem
        for problem in known.status.problems
        if problem.where in (name, f"container {name}")
        or problem.where.startswith((f"{name} ", f"container {name} "))
    ]
