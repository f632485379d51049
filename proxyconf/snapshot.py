"""Merge the claims of all sources into one snapshot, and judge losses. Pure: no clock, no I/O.

Who wins: a key that two sources hold belongs to the source that comes first in the configuration; a host and
path claimed twice to the claim whose service can serve, else to its current owner, else to the first source,
else to the older claim, else to the lesser key. (So a container that has ended does not keep a host from its
successor.) The loser is a problem, unless it leads to the same service: what it asks for counts, too. A route
that a rule made yields to every other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from proxyconf import values
from proxyconf.agreement import of_hosts, of_one_claim, of_services
from proxyconf.errors import BadValueError
from proxyconf.model import Problem, Route, Snapshot
from proxyconf.options import NONE as NO_OPTIONS
from proxyconf.options import LocationOptions, Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from proxyconf.model import Claims, Endpoint, Entry, Member, Named

Owner = tuple[str, str]
"""Source and key of the route that a host and path belong to."""

_ADDRESS = attrgetter("endpoint.address")
_BY_CONTAINER = attrgetter("container", "why")
_BY_NAME = attrgetter("name", "id")


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A route with what ranks it."""

    route: Route
    position: int


def merge(
    claims: Sequence[Claims], owners: Mapping[str, Owner] | None = None, *, host_rule: str = ""
) -> Snapshot:
    """Return what nginx should know.

    Args:
        claims: One per source, in the order of the configuration.
        owners: Who had each host and path before.
        host_rule: Gives a service without a route a host, for example ``{service}.example.com``.
    """
    problems = [problem for one in claims for problem in one.problems]
    members, routes = _first_holders(claims, problems)
    grouped: dict[str, list[Member]] = {}
    for member in members:
        grouped.setdefault(member.service, []).append(member)
    if host_rule:
        named = [one for claimed in claims for one in claimed.named]
        routes += _implied(_oldest(grouped, named), routes, host_rule, problems)
    routes += _twins(routes, problems)
    services = {name: _endpoints(name, grouped[name], problems) for name in sorted(grouped)}
    live = {name for name, found in services.items() if not all(one.draining for one in found)}
    settled = _settle(routes, owners or {}, live, problems)
    options = of_services(settled, problems)
    hosts = of_hosts(settled, problems)
    pairs = _pairs(claims, problems)
    containers = [container for one in claims for container in one.containers]
    idle = [container for one in claims for container in one.idle]
    return Snapshot(
        settled,
        services,
        options,
        hosts,
        pairs,
        tuple(sorted(containers, key=_BY_NAME)),
        tuple(sorted(idle, key=_BY_CONTAINER)),
        tuple(sorted(set(problems), key=str)),
    )


def lost_share(before: Claims | None, after: Claims) -> float:
    """Return which share is gone, 0 to 1, of the endpoints or of the templates' keys, whichever lost more.

    Counted, not compared one by one: a store that was wiped and filled again has lost nothing.
    """
    if before is None:
        return 0.0
    counts = ((len(before.members), len(after.members)), (len(before.pairs), len(after.pairs)))
    return max(1 - now / then if now < then else 0.0 for then, now in counts)


def _pairs(claims: Sequence[Claims], problems: list[Problem]) -> Mapping[str, Entry]:
    """Return the templates' keys, each once: ``/k/`` counts as ``/k``, unless that is there itself."""
    if len(claims) == 1 and not any(name.endswith("/") for name in claims[0].pairs):
        return claims[0].pairs
    found: dict[str, Entry] = {}
    holders: dict[str, str] = {}
    for one in claims:
        for name in sorted(one.pairs, key=lambda name: name.endswith("/")):
            clean = name.rstrip("/") or "/"
            holder = holders.setdefault(clean, f"{one.source} {name!r}")
            if clean not in found:
                found[clean] = one.pairs[name]
            else:
                problems.append(_held_twice("key", f"{one.source} {name!r}", holder))
    return found


def _first_holders(claims: Sequence[Claims], problems: list[Problem]) -> tuple[list[Member], list[_Claimed]]:
    """Return the members and routes, each key once."""
    if len(claims) == 1:
        return list(claims[0].members), [_Claimed(route, position=0) for route in claims[0].routes]
    members: dict[str, Member] = {}
    routes: dict[str, _Claimed] = {}
    for position, one in enumerate(claims):
        for member in one.members:
            holder = members.setdefault(member.key, member)
            if holder is not member:
                problems.append(_held_twice("endpoint", member.where, holder.where))
        for route in one.routes:
            held = routes.setdefault(route.key, _Claimed(route, position=position))
            if held.route is not route:
                problems.append(_held_twice("route", route.where, held.route.where))
    return list(members.values()), list(routes.values())


def _held_twice(what: str, loser: str, holder: str) -> Problem:
    return Problem(what, loser, f"the same key counts at {holder} (delete one, or give it another name)")


def _oldest(grouped: Mapping[str, Sequence[Member]], named: Iterable[Named]) -> dict[str, tuple[int, str]]:
    """Return of each service since when, and where, it is asked for."""
    found = {name: min((one.born, one.where) for one in members) for name, members in grouped.items()}
    for one in named:
        asked = (one.born, one.where)
        found[one.service] = min(found.get(one.service, asked), asked)
    return found


def _implied(
    services: Mapping[str, tuple[int, str]],
    routes: Iterable[_Claimed],
    host_rule: str,
    problems: list[Problem],
) -> list[_Claimed]:
    """Return a route for every one of *services*, with its age and place, that has none."""
    routed = {claimed.route.service for claimed in routes}
    found = []
    for name in sorted(services.keys() - routed):
        born, where = services[name]
        try:
            host = values.host(host_rule.replace("{service}", name))
        except BadValueError as exc:
            problems.append(Problem("service", where, f"the host rule makes {exc}"))
            continue
        route = Route(
            host,
            "/",
            name,
            key=f"services/{name}",
            where=f"{where} (host rule)",
            source="",
            born=born,
            implied=True,
        )
        found.append(_Claimed(route, position=0))
    return found


def _twins(routes: Sequence[_Claimed], problems: list[Problem]) -> list[_Claimed]:
    """Return a redirect for every host that asks for its name with ``www.``, or without."""
    hosts: dict[str, Route] = {}
    for claimed in routes:
        if claimed.route.options is not NO_OPTIONS and claimed.route.options.host.www:
            hosts.setdefault(claimed.route.host, claimed.route)
    own = {one.route.host: one.route for one in routes if _is_root(one.route)} if hosts else {}
    found = []
    for host, route in hosts.items():
        if host.startswith("*."):
            why = f"www has no effect for {host}, which stands for many (name the hosts, or delete it)"
            problems.append(Problem("route", route.where, why))
            continue
        twin = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
        if other := own.get(twin):
            if twin not in hosts or twin.startswith("www."):  # else it is said of that one
                why = f"www has no effect: {twin} is named as well as {host}, by {other.where}"
                mend = "name only the one that the other is to be redirected to, or delete www"
                problems.append(Problem("route", route.where, f"{why} ({mend})"))
            continue
        options = Options(
            LocationOptions(redirect=f"//{host}"), host=replace(route.options.host, www=False, certificate="")
        )
        redirect = replace(route, host=twin, path="/", key=f"{route.key}/www", options=options, implied=True)
        found.append(_Claimed(redirect, position=0))
    return found


def _is_root(route: Route) -> bool:
    return route.path == "/" and not route.implied


def _endpoints(name: str, members: list[Member], problems: list[Problem]) -> tuple[Endpoint, ...]:
    """Return a service's endpoints by address; draining ones only where there are no others."""
    members.sort(key=_ADDRESS)
    if len({member.endpoint.address for member in members}) < len(members):
        members = _once_each(name, members, problems)
    endpoints = tuple([member.endpoint for member in members])
    serving = tuple([endpoint for endpoint in endpoints if not endpoint.draining])
    return serving or endpoints


def _once_each(name: str, members: Iterable[Member], problems: list[Problem]) -> list[Member]:
    """Return one member for each address: one that serves before one that drains, then the older."""
    kept: dict[str, Member] = {}
    for member in sorted(members, key=_rank):
        first = kept.setdefault(member.endpoint.address, member)
        if first.endpoint.draining == member.endpoint.draining and first.endpoint != member.endpoint:
            why = f"{member.endpoint.address} is in service {name!r} already, by {first.where} (delete one)"
            problems.append(Problem("endpoint", member.where, why))
    return list(kept.values())


def _rank(member: Member) -> tuple[str, bool, int, str]:
    return member.endpoint.address, member.endpoint.draining, member.born, member.key


def _settle(
    routes: Iterable[_Claimed], owners: Mapping[str, Owner], live: AbstractSet[str], problems: list[Problem]
) -> tuple[Route, ...]:
    """Return each claim's winner, by host and path, with what those ask for that lead to the same service."""
    contenders: dict[tuple[str, str], list[_Claimed]] = {}
    for claimed in routes:
        contenders.setdefault((claimed.route.host, claimed.route.path), []).append(claimed)
    settled = []
    for place in sorted(contenders):
        rivals = contenders[place]
        if len(rivals) == 1:
            settled.append(rivals[0].route)
            continue
        rivals.sort(key=lambda one: _precedence(one, owners, live))
        winner = rivals[0].route
        same = [one.route for one in rivals if one.route.service == winner.service]
        settled.append(of_one_claim(same, problems))
        problems += [_loss(one.route, winner) for one in rivals if one.route.service != winner.service]
    return tuple(settled)


def _precedence(
    claimed: _Claimed, owners: Mapping[str, Owner], live: AbstractSet[str]
) -> tuple[bool, bool, bool, int, int, str]:
    """Return what is least for who comes first."""
    route = claimed.route
    owned = owners.get(route.claim) == (route.source, route.key)
    return route.implied, route.service not in live, not owned, claimed.position, route.born, route.key


def _loss(rival: Route, winner: Route) -> Problem:
    why = (
        f"{winner.claim} leads to service {winner.service!r} already, by {winner.where}"
        " (choose another host or path, or delete one)"
    )
    return Problem("route", rival.where, why)


def owners_of(snapshot: Snapshot) -> dict[str, Owner]:
    """Return who has each host and path."""
    return {route.claim: (route.source, route.key) for route in snapshot.routes}
