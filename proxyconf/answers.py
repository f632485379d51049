"""What is answered where a route's service is not asked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.options import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxyconf.model import Problem, Route, Snapshot

CLOSED = "answers 503, for "
"""So begins a problem of a route, or a host, that lets nobody in."""

REFUSED = "(it answers 503)"
"""So ends a problem of a host that nginx refuses, and that it has never served."""

LEFT_OUT = "(it is left out)"
"""So ends a problem of anything else like that: of a service, for one."""


def passes_on(route: Route) -> bool:
    """Tell whether the service is asked, as far as the route's options go."""
    options = route.options
    return options is NONE or not (options.location.maintenance or options.location.redirect)


def closes(problem: Problem) -> bool:
    """Tell whether a *problem* of a route, a host, or a service, lets nobody in."""
    left_out = problem.what == "service" and problem.why.endswith(LEFT_OUT)
    return left_out or problem.why.startswith(CLOSED) or problem.why.endswith(REFUSED)


def closed_by(problems: Iterable[Problem]) -> Mapping[tuple[str, str], str]:
    """Return kind and place of the *problems* that let nobody in, to their reasons."""
    return {(one.what, one.where): one.why for one in problems if closes(one)}


def answer(route: Route, snapshot: Snapshot, closed: Mapping[tuple[str, str], str]) -> str:
    """Return what is answered in place of the service; "" where that is asked.

    Args:
        route: For its requests.
        snapshot: With its service.
        closed: What `closed_by` returned.
    """
    if why := closed.get(("host", route.host)) or closed.get(("route", route.where)):
        return f"503: {why.removeprefix(CLOSED)}"
    if passes_on(route) and (why := closed.get(("service", route.service))):
        return f"503: {why}"
    if route.options.location.maintenance:
        return "503, for maintenance"
    if target := route.options.location.redirect:
        return f"a redirect to {target.removeprefix('//')}"
    return "" if snapshot.services.get(route.service) else "503, for there is no endpoint"
