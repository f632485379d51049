"""Containers to routes and endpoints: what their labels and variables ask for, where they are reached."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.errors import BadValueError
from proxyconf.model import Claims, Endpoint, Idle, Member, Named, Problem, Route
from proxyconf.routing.addresses import locate
from proxyconf.routing.beside import beside
from proxyconf.routing.labels import ENABLE, Wishes, read_labels
from proxyconf.routing.nginx_proxy import names_host, read_variables
from proxyconf.routing.ruled import Ruling, rule_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxyconf.model import Container, Listing, Reach
    from proxyconf.routing.labels import Wish

_BY_AGE = attrgetter("container.created")
_BY_ID = attrgetter("id")
_BY_KEY = attrgetter("key")
_SIDELINED = {
    "paused": "it is paused (docker unpause)",
    "restarting": "it ends again and again (see docker logs)",
    "dead": "the engine failed to remove it (docker rm -f)",
}
_IDLE = {
    "created": "it was not started yet (docker start)",
    "exited": "it has ended (docker start)",
}
_REMOVED = "it was removed a moment ago (its hosts stay known for a minute, as it may be replaced)"
_SERVING = ("", "healthy")
NO_REQUESTS = "gets no requests: "
_FLAPPING = "flapping"
_UNHEALTHY = {
    "unhealthy": "it is unhealthy (see its health check: docker inspect)",
    _FLAPPING: "its health check passes and fails in quick turns (see docker inspect; it counts as healthy"
    " once it has passed for 10 s)",
}


class _Terms(NamedTuple):
    """What else of a listing counts for a container."""

    reach: Reach
    host_rule: str
    proxies: tuple[str, ...]


class _Seen(NamedTuple):
    """A container as it was read.

    Attributes:
        ports: Those that it exposes when it runs: at other times, engines list none.
    """

    container: Container
    terms: _Terms
    ports: tuple[int, ...]
    ruling: Ruling
    wishes: Wishes
    routes: tuple[Route, ...]
    named: tuple[Named, ...]
    members: tuple[Member, ...]
    idle: str
    problems: tuple[Problem, ...]


class Containers:
    """Reads the containers of one source's listings; remembers each with what it came to."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def read(self, listing: Listing) -> Claims:
        """Return what the containers of *listing* ask for."""
        before, self._seen = self._seen, {}
        here, gone = (
            [self._seen_of(container, before, listing) for container in sorted(containers, key=_BY_ID)]
            for containers in (listing.containers, listing.removed)
        )
        found = here + _bereft(gone, here)
        return Claims(
            listing.source,
            members=tuple(sorted((member for one in found for member in one.members), key=_BY_KEY)),
            routes=tuple(sorted((route for one in found for route in one.routes), key=_BY_KEY)),
            named=tuple(named for one in found for named in one.named),
            idle=tuple(Idle(one.container.name, one.idle) for one in found if one.idle),
            problems=tuple(problem for one in found for problem in one.problems),
        )

    def _seen_of(self, container: Container, before: Mapping[str, _Seen], listing: Listing) -> _Seen:
        known = before.get(container.id)
        if known is None or known.container != container or known.terms != _terms(listing):
            known = _look(container, known, listing)
        self._seen[container.id] = known
        return known


def _bereft(gone: Iterable[_Seen], here: Iterable[_Seen]) -> list[_Seen]:
    """Return the removed containers, with those of their routes that nothing has taken the place of yet.

    What has the name of a removed container says all that is to be said: it may have other hosts now.
    """
    names = {one.container.name for one in here if _was_started(one.container)}
    left = [one for one in gone if one.container.name not in names]
    claimed = {route.claim for one in here for route in one.routes} if left else set()
    found = []
    for one in sorted(left, key=_BY_AGE, reverse=True):
        routes = tuple(route for route in one.routes if route.claim not in claimed)
        if routes or one.named:
            found.append(one._replace(routes=routes, idle=_REMOVED, problems=()))
            claimed |= {route.claim for route in routes}
    return found


def _terms(listing: Listing) -> _Terms:
    return _Terms(listing.reach, listing.host_rule, listing.proxies)


def _look(container: Container, before: _Seen | None, listing: Listing) -> _Seen:
    """Read one container; what it asks for, which stays, only once (but it can be renamed)."""
    ports = container.ports
    if before and not ports and container.state != "running":
        ports = before.ports
    ruling = rule_on(replace(container, ports=ports), listing)
    if before and before.ruling == ruling and _identity(before.container) == _identity(container):
        wishes, routes, named = before.wishes, before.routes, before.named
    else:
        wishes = _wishes(container, ruling)
        asked = wishes.wishes if _was_started(container) else ()
        routes = tuple(route for wish in asked for route in _routes(container, wish, listing.source))
        named = tuple(
            Named(wish.service, _where(container, wish), container.created) for wish in asked if wish.service
        )
    members: list[Member] = []
    problems = list(wishes.problems)
    for wish in wishes.wishes if container.state == "running" and not container.probation_s else ():
        try:
            found = _members(container, wish, listing.reach)
        except BadValueError as exc:
            problems.append(Problem("container", container.name, str(exc)))
        else:
            members += found if _may_serve(container, wish) else ()
    if wishes.wishes and (reason := _sidelined(container, wishes.wishes)):
        problems.append(Problem("container", container.name, reason))
    return _Seen(
        container,
        _terms(listing),
        ports,
        ruling,
        wishes,
        routes,
        named,
        tuple(members),
        "" if problems else _idle(container, wishes) or ruling.idle,
        tuple(dict.fromkeys(problems)),
    )


def _wishes(container: Container, ruling: Ruling) -> Wishes:
    """Return what labels and variables of a container ask for."""
    has_variables = names_host(container.env)
    labels = read_labels(container.name, container.labels, ruled=ruling.host, completing=has_variables)
    if not labels.enabled:
        return labels
    variables = read_variables(container.name, container.env, container.labels)
    wishes = beside(container.name, labels, variables)
    if ruling.problem:
        wishes = replace(wishes, problems=(*wishes.problems, ruling.problem))
    return wishes


def _idle(container: Container, wishes: Wishes) -> str:
    """Return why a container gets no requests where that is to be expected."""
    if not wishes.enabled:
        return f"its label {ENABLE} is false"
    if not wishes.wishes:
        return ""
    if container.state != "running":
        return _IDLE.get(container.state, f"it is {container.state}")
    waits = container.health == "starting" and any(wish.health == "require" for wish in wishes.wishes)
    return "its health check has not passed yet" if waits else ""


def _sidelined(container: Container, wishes: Iterable[Wish]) -> str:
    """Return why a container that runs, more or less, gets no requests; "" where that is to be expected."""
    if container.probation_s:
        return (
            f"{NO_REQUESTS}it ended again and again, each time within {container.probation_s:g} s"
            " (see docker logs; it gets them once it has run for that long)"
        )
    if container.state in _SIDELINED:
        return f"{NO_REQUESTS}{_SIDELINED[container.state]}"
    unhealthy = _UNHEALTHY.get(container.health)
    if container.state != "running" or not unhealthy:
        return ""
    asked = {wish.health for wish in wishes}
    if "require" in asked and container.health != _FLAPPING:
        return f"{NO_REQUESTS}{unhealthy}"
    return "" if asked == {"ignore"} else f"gets requests only where no other endpoint serves: {unhealthy}"


def _may_serve(container: Container, wish: Wish) -> bool:
    # one that flaps is better than none, and would cost a reload at every turn
    return container.health in (*_SERVING, _FLAPPING) or wish.health != "require"


def _identity(container: Container) -> tuple[object, ...]:
    return container.name, container.labels, container.env, container.created, _was_started(container)


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
            where=f"container {container.name} {wish.setting('host')}",
            source=source,
            born=container.created,
            options=wish.options,
            implied=wish.by_rule,
        )
        for host in wish.hosts
    ]


def _members(container: Container, wish: Wish, reach: Reach) -> list[Member]:
    """Return the container's part in each service it belongs to.

    Raises:
        BadValueError: Its address or port is not known.
    """
    port, why_port = _port(container, wish)
    address, why = locate(
        container, port=port, network=wish.network, reach=reach, label=wish.label("network")
    )
    # an unhealthy one that is better than none is told from the others as one that ends is
    spared = container.draining or (wish.health != "ignore" and container.health not in _SERVING)
    endpoint = Endpoint(address, wish.weight, wish.backup, spared)
    where = _where(container, wish)
    member = partial(Member, endpoint=endpoint, where=where, born=container.created, why=f"{why}; {why_port}")
    if wish.service:
        return [member(wish.service, key=f"{container.id}/{wish.name}")]
    return [member(wish.service_of(host), key=_key(container, wish, host)) for host in wish.hosts]


def _where(container: Container, wish: Wish) -> str:
    return f"container {container.name} {wish.setting('host' if wish.hosts else 'service')}"


def _key(container: Container, wish: Wish, host: str) -> str:
    several = len(wish.hosts) > 1
    return f"{container.id}/{wish.name}/{host}" if several else f"{container.id}/{wish.name}"


def _port(container: Container, wish: Wish) -> tuple[int, str]:
    """Return the port, and why that one."""
    if wish.port:
        return wish.port, f"the port by {wish.setting('port')}"
    if len(container.ports) == 1:
        return container.ports[0], "the only port that it exposes"
    own_network = "host" not in container.networks and not container.network_mode.startswith("container:")
    if wish.fallback_port and own_network:
        return wish.fallback_port, "the port where none is named, as nginx-proxy has it"
    exposed = ", ".join(map(str, container.ports))
    reason = f"it exposes the ports {exposed}" if exposed else "it exposes no port"
    if container.network_mode.startswith("container:"):
        reason = "it shares another container's network, where no port of it is known"
    if "host" in container.networks:
        reason = "it is on the host's network, where no port of it is known"
    raise BadValueError(f"{reason} (name the one to use with the {wish.setting('port')})")
