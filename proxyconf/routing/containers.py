"""Containers to routes and endpoints: what their labels ask for, at the address and port they have."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.model import Claims, Endpoint, Member, Problem, Route
from proxyconf.routing.labels import read_labels

if TYPE_CHECKING:
    from proxyconf.model import Container, Listing
    from proxyconf.routing.labels import Wish, Wishes

_BY_KEY = attrgetter("key")
_SIDELINED = {
    "paused": "it is paused (docker unpause)",
    "restarting": "it ends again and again (see docker logs)",
}
_SERVING = ("", "healthy")


class _Seen(NamedTuple):
    """A container as it was read."""

    container: Container
    wishes: Wishes
    routes: tuple[Route, ...]
    members: tuple[Member, ...]
    problems: tuple[Problem, ...]


class Containers:
    """Reads the containers of one source's listings; remembers each with what it came to."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def read(self, listing: Listing) -> Claims:
        """Return what the containers of *listing* ask for."""
        before, self._seen = self._seen, {}
        for container in sorted(listing.containers, key=attrgetter("id")):
            known = before.get(container.id)
            if known is None or known.container != container:
                known = _look(container, known, listing.source)
            self._seen[container.id] = known
        found = self._seen.values()
        return Claims(
            listing.source,
            members=tuple(sorted((member for one in found for member in one.members), key=_BY_KEY)),
            routes=tuple(sorted((route for one in found for route in one.routes), key=_BY_KEY)),
            problems=tuple(problem for one in found for problem in one.problems),
        )


def _look(container: Container, before: _Seen | None, source: str) -> _Seen:
    """Read one container; its labels, which stay as they are, only once (but it can be renamed)."""
    if before and _identity(before.container) == _identity(container):
        wishes, routes = before.wishes, before.routes
    else:
        wishes = read_labels(container.name, container.labels)
        asked = wishes.wishes if _was_started(container) else ()
        routes = tuple(route for wish in asked for route in _routes(container, wish, source))
    members: list[Member] = []
    problems = list(wishes.problems)
    for wish in wishes.wishes if container.state == "running" else ():
        try:
            members += _members(container, wish)
        except BadValueError as exc:
            problems.append(Problem("container", container.name, str(exc)))
    if container.health not in _SERVING:
        members = []
    if wishes.wishes and (reason := _sidelined(container)):
        problems.append(Problem("container", container.name, reason))
    return _Seen(container, wishes, routes, tuple(members), tuple(dict.fromkeys(problems)))


def _sidelined(container: Container) -> str:
    """Return why a container that runs, more or less, gets no requests; "" where that is to be expected."""
    if container.state in _SIDELINED:
        return f"gets no requests: {_SIDELINED[container.state]}"
    if container.state == "running" and container.health == "unhealthy":
        return "gets no requests: it is unhealthy (see its health check: docker inspect)"
    return ""


def _identity(container: Container) -> tuple[object, ...]:
    return container.name, container.labels, container.created, _was_started(container)


def _was_started(container: Container) -> bool:
    """Whether it can be missed; one in the making is listed before its endpoint, for a reload of its own."""
    return container.state != "created"


def _routes(container: Container, wish: Wish, source: str) -> list[Route]:
    return [
        Route(
            host=host,
            path=wish.path,
            service=wish.service_of(host),
            key=_key(container, wish, host),
            where=f"container {container.name} label {wish.label('host')}",
            source=source,
            born=container.created,
        )
        for host in wish.hosts
    ]


def _members(container: Container, wish: Wish) -> list[Member]:
    """Return the container's part in each service it belongs to.

    Raises:
        BadValueError: Its address or port is not known.
    """
    ip = _ip(container, wish)
    address = values.address(
        f"[{ip}]:{_port(container, wish)}" if ":" in ip else f"{ip}:{_port(container, wish)}"
    )
    endpoint = Endpoint(address, wish.weight, wish.backup, container.draining)
    option = "host" if wish.hosts else "service"
    where = f"container {container.name} label {wish.label(option)}"
    if wish.service:
        return [Member(wish.service, endpoint, f"{container.id}/{wish.name}", where, container.created)]
    return [
        Member(wish.service_of(host), endpoint, _key(container, wish, host), where, container.created)
        for host in wish.hosts
    ]


def _key(container: Container, wish: Wish, host: str) -> str:
    several = len(wish.hosts) > 1
    return f"{container.id}/{wish.name}/{host}" if several else f"{container.id}/{wish.name}"


def _port(container: Container, wish: Wish) -> int:
    if wish.port:
        return wish.port
    if len(container.ports) == 1:
        return container.ports[0]
    exposed = ", ".join(map(str, container.ports))
    reason = f"it exposes the ports {exposed}" if exposed else "it exposes no port"
    if "host" in container.networks:
        reason = "it is on the host's network, where no port of it is known"
    raise BadValueError(f"{reason} (name the one to use with the label {wish.label('port')})")


def _ip(container: Container, wish: Wish) -> str:
    """Return its address in the network that is named, else in the first one; Docker's default comes last."""
    networks = container.networks
    if not networks:
        raise BadValueError("it runs without an address in any network (connect it to one)")
    name = wish.network or min(networks, key=lambda name: (name == "bridge", name))
    if name not in networks:
        raise BadValueError(
            f"it has no address in the network {values.shown(name)}, only in {', '.join(sorted(networks))}"
            f" (correct the label {wish.label('network')}, or connect it)"
        )
    # the host's network is the only one without an address of its own
    return networks[name] or "127.0.0.1"
