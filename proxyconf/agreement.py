"""What routes that share a host and path, a host or a service ask for together. Pure.

Each option by itself: the first route that asks for it counts, and of verify_client the strictest. So it is
enough that one of several replicas asks for a login, and it never depends on which of them was there first.
Another wish is a problem.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Literal

from proxyconf.model import Problem
from proxyconf.options import NONE, HostOptions, LocationOptions, Options, ServiceOptions
from proxyconf.routing.offered import SPELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxyconf.model import Route

_STRICTER = (None, "", "optional_no_ca", "optional", "on")
_FIELDS: Mapping[str, tuple[tuple[str, object], ...]] = {
    of: tuple((field.name, field.default) for field in fields(kind))
    for of, kind in (("location", LocationOptions), ("host", HostOptions), ("service", ServiceOptions))
}


def of_one_claim(routes: Sequence[Route], problems: list[Problem]) -> Route:
    """Return the first of *routes*, which lead from one host and path to one service, with what all ask for.

    Args:
        routes: The one that counts before the others.
        problems: Gets the routes that ask for something else than counts.
    """
    first = routes[0]
    asking = _asking(routes)
    if all(route.options == first.options for route in asking):
        return first
    return replace(
        first,
        options=Options(
            LocationOptions(**_agreed("location", asking, first.claim, problems)),
            ServiceOptions(**_agreed("service", asking, first.claim, problems)),
            HostOptions(**_agreed("host", asking, first.claim, problems)),
        ),
    )


def of_services(routes: Iterable[Route], problems: list[Problem]) -> dict[str, ServiceOptions]:
    """Return what is asked for of each service by all its routes.

    Args:
        routes: Sorted.
        problems: As of `of_one_claim`.
    """
    return {
        name: ServiceOptions(**_agreed("service", together, f"service {name!r}", problems))
        for name, together in _grouped(routes, "service").items()
    }


def of_hosts(routes: Iterable[Route], problems: list[Problem]) -> dict[str, HostOptions]:
    """Return what is asked for of each host by all its routes; arguments as of `of_services`."""
    return {
        host: HostOptions(**_agreed("host", together, f"host {host}", problems))
        for host, together in _grouped(routes, "host").items()
    }


def _asking(routes: Iterable[Route]) -> list[Route]:
    return [route for route in routes if route.options is not NONE]  # most are, and it takes no comparison


def _grouped(routes: Iterable[Route], of: Literal["host", "service"]) -> dict[str, list[Route]]:
    """Return the routes that ask for anything, by what they ask it of."""
    found: dict[str, list[Route]] = {}
    for route in _asking(routes):
        if getattr(route.options, of) != getattr(NONE, of):
            found.setdefault(getattr(route, of), []).append(route)
    return found


def _agreed(of: str, routes: Sequence[Route], what: str, problems: list[Problem]) -> dict[str, Any]:
    """Return what counts of the options *of* something, where that is not the default."""
    found: dict[str, Any] = {}
    for name, nothing in _FIELDS[of]:
        asked = [(route, getattr(getattr(route.options, of), name)) for route in routes]
        asked = [(route, value) for route, value in asked if value != nothing]
        if not asked:
            continue
        holder, counts = max(asked, key=_strictness) if name == "verify_client" else asked[0]
        found[name] = counts
        why = f"{what}: {SPELLED[of, name]} is as {holder.where} asks (ask for the same, or for nothing)"
        problems += [Problem("route", route.where, why) for route, value in asked if value != counts]
    return found


def _strictness(asked: tuple[Route, Any]) -> int:
    return _STRICTER.index(asked[1])
