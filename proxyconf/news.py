"""What came, went, and is another, from one snapshot to the next, for people. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from proxyconf.answers import closed_by
from proxyconf.options import HostOptions, LocationOptions, ServiceOptions
from proxyconf.routing.offered import SPELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from proxyconf.model import Endpoint, Problem, Route, Snapshot

_OF: Mapping[type, str] = {LocationOptions: "location", HostOptions: "host", ServiceOptions: "service"}

T = TypeVar("T", HostOptions, ServiceOptions)


def differences(before: Snapshot, after: Snapshot, problems: Iterable[Problem] = ()) -> tuple[str, ...]:
    """Return what came (``+``), went (``-``) and is another (``~``): hosts and routes first, then endpoints.

    Args:
        before: What was served.
        after: What is to be.
        problems: Of that; a route that lets nobody in comes as one that is closed.
    """
    found: list[str] = []
    if before.routes != after.routes:  # equal tuples are told by identity, in no time
        found += _of_routes(before.routes, after.routes, closed_by(problems))
    if before.hosts != after.hosts:
        kept = {route.host for route in before.routes} & {route.host for route in after.routes}
        found += _of_options(kept, before.hosts, after.hosts, HostOptions())
    found.sort(key=lambda text: text[2:])
    if before.options != after.options:
        kept = set(before.services.keys() & after.services.keys())
        found += _of_options(kept, before.options, after.options, ServiceOptions())
    for name in sorted(before.services.keys() | after.services.keys()):
        gone, came = before.services.get(name, ()), after.services.get(name, ())
        if gone != came:
            found += _of_endpoints(name, gone, came)
    return tuple(found)


def _of_routes(
    before: Iterable[Route], after: Iterable[Route], closed: Mapping[tuple[str, str], str]
) -> Iterator[str]:
    """Yield what is another of routes; who asked for them, and when, is not served."""
    old, new = ({route.claim: route for route in routes} for routes in (before, after))
    yield from (f"- {claim}" for claim in old if claim not in new)
    for claim, route in new.items():
        was = old.get(claim)
        if was is None:
            is_closed = ("host", route.host) in closed or ("route", route.where) in closed
            yield f"+ {claim} (closed: 503)" if is_closed else f"+ {claim}"
        elif (was.service, was.options.location) != (route.service, route.options.location):
            elsewhere = ["service"] if was.service != route.service else []
            options = _unlike(was.options.location, route.options.location)
            yield _changed(claim, [*elsewhere, *options])


def _of_options(kept: set[str], before: Mapping[str, T], after: Mapping[str, T], usual: T) -> Iterator[str]:
    """Yield the hosts or services of which an option is another, of those that were there before."""
    for name in sorted(kept & (before.keys() | after.keys())):
        old, new = before.get(name, usual), after.get(name, usual)
        if old != new:
            yield _changed(name, _unlike(old, new))


def _unlike(old: Any, new: Any) -> list[str]:  # noqa: ANN401 - options of the same kind
    """Return the names of the options that are not the same, as a label has them."""
    of = _OF[type(old)]
    names = (field.name for field in fields(old))
    return [SPELLED[of, name] for name in names if getattr(old, name) != getattr(new, name)]


def _changed(name: str, options: Sequence[str]) -> str:
    return f"~ {name} ({' and '.join(options)})"


def _of_endpoints(name: str, before: Iterable[Endpoint], after: Iterable[Endpoint]) -> Iterator[str]:
    """Yield what is another of a service's endpoints; that the last one drains is not seen by nginx."""
    old, new = ({one.address: one for one in endpoints} for endpoints in (before, after))
    yield from (f"- {name} {address}" for address in old if address not in new)
    for address, endpoint in new.items():
        was = old.get(address)
        if was is None:
            yield f"+ {name} {address}"
        elif (was.weight, was.backup) != (endpoint.weight, endpoint.backup):
            yield f"~ {name} {address} {' and '.join(_in_words(was, endpoint))}"


def _in_words(was: Endpoint, endpoint: Endpoint) -> Iterator[str]:
    if was.weight != endpoint.weight:
        yield f"weight {was.weight} -> {endpoint.weight}"
    if was.backup != endpoint.backup:
        yield "backup" if endpoint.backup else "no backup"
