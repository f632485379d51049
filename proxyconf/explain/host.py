"""A host, with or without a path: the route that nginx takes for it, or what there is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from proxyconf import values
from proxyconf.answers import closed_by, passes_on
from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import nginx_links, route_link, service_link
from proxyconf.explain.unknown import hosts_for, named_links, of_unknown
from proxyconf.explain.verdict import judged, of_removed, why_unproved
from proxyconf.nginx import challenge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxyconf.explain.answer import Known
    from proxyconf.model import Route


def of_host(question: str, host: str, path: str, known: Known) -> Explanation:
    """Answer for a canonical host and a path; "" for none: then it need not be the host's root."""
    routes = _of_host(host, known.snapshot.routes)
    named, path = bool(path), path or "/"
    route = _taken(path, routes)
    if _is_challenge(path, route, known):
        return _of_challenge(question, host + path, known)
    served = _taken(path, _of_host(host, known.since.snapshot.routes))
    if served and all(served.claim != one.claim for one in known.snapshot.routes):
        return _of_removed(question, served, known)
    if route is None:
        default = "" if routes else _default_host(known)
        if default and default != host:
            return _of_default_host(question, host, default + path, known)
        if not routes:
            return of_unknown(question, host, known)
        return (_of_path if named else _of_paths)(question, host, routes, known)
    return _of_route(question, route, known)


def _of_route(question: str, route: Route, known: Known) -> Explanation:
    """Answer by the *route* that nginx takes."""
    verdict = judged(route, known)
    is_asked = passes_on(route) or known.snapshot.services.get(route.service)
    service = [service_link(route.service, [route], known)] if is_asked else []
    chain = (route_link(route, known), *service, *nginx_links(route, known))
    return Explanation(question=question, is_served=verdict.is_served, verdict=verdict.says, chain=chain)


def _of_host(host: str, routes: Sequence[Route]) -> list[Route]:
    """Return the routes of the server that nginx takes for *host*."""
    found = [route for name in hosts_for(host) for route in routes if route.host == name]
    return [route for route in found if route.host == found[0].host]


def _taken(path: str, routes: Iterable[Route]) -> Route | None:
    fitting = (route for route in routes if _is_below(path, route.path))
    return max(fitting, key=lambda one: len(one.path), default=None)


def _is_below(path: str, of: str) -> bool:
    return of in ("/", path) or path.startswith(f"{of}/")


def _is_challenge(path: str, route: Route | None, known: Known) -> bool:
    """Tell whether nginx answers *path* as one of ACME's challenges, unless a *route* is for them itself."""
    asked = known.settings.tls.challenge and path.startswith(f"{challenge.PATH}/")
    return bool(asked) and (route is None or not _is_below(route.path, challenge.PATH))


def _of_challenge(question: str, claim: str, known: Known) -> Explanation:
    verdict = f"{claim}: challenges are answered on http, from {known.settings.tls.challenge}"
    is_served = known.status.applied is not None
    why = "" if is_served else ", once nginx has proved it"
    return Explanation(
        question=question, is_served=is_served, verdict=f"{verdict}, as [nginx.tls] challenge says{why}"
    )


def _default_host(known: Known) -> str:
    """Return the host that has the requests for unknown ones; "" for none."""
    name = known.settings.default_host and values.host(known.settings.default_host)
    part = known.part_of("host", name) if name else None
    return name if part and part.answers_unknown else ""


def _of_default_host(question: str, host: str, instead: str, known: Known) -> Explanation:
    """Answer for an unknown host by the place that its requests have *instead*."""
    name, _, path = instead.partition("/")
    found = of_host(question, name, f"/{path}", known)
    verdict = f"no route is for it; as default_host, {name} answers on http: {found.verdict}"
    return structs.replace(found, verdict=verdict, chain=(*named_links(host, known), *found.chain))


def _of_removed(question: str, route: Route, known: Known) -> Explanation:
    """Answer by what nginx serves, and nobody asks for any more."""
    verdict = of_removed(route, known)
    chain = (*named_links(route.host, known), *nginx_links(route, known))
    return Explanation(question=question, is_served=verdict.is_served, verdict=verdict.says, chain=chain)


def _of_paths(question: str, host: str, routes: Sequence[Route], known: Known) -> Explanation:
    """Answer for a host by all of its *routes*, none of which is for its root."""
    rest = "no route is for its other paths"
    if len(routes) == 1:
        found = _of_route(question, routes[0], known)
        return structs.replace(found, verdict=f"{found.verdict}; {rest}")
    judgements = [(route, judged(route, known)) for route in routes]
    served = [route.path for route, one in judgements if one.is_served]
    whys = [one.says for _, one in judgements if not one.is_served]
    says = [f"{routes[0].host} is served at {', '.join(served)}"] if served else []
    links = [Link(what="route", says=one.says, is_bad=not one.is_served) for _, one in judgements]
    return Explanation(
        question=question,
        is_served=bool(served),
        verdict="; ".join([*says, *whys[:1], rest]),
        chain=(*links, *named_links(host, known)),
    )


def _of_path(question: str, host: str, routes: Sequence[Route], known: Known) -> Explanation:
    """Answer for a path that none of the *routes* of its host is for."""
    links = [
        Link(what="route", says=f"{route.claim} leads to service {route.service!r}: {route.where}")
        for route in routes
    ]
    name = routes[0].host
    answer = closed_by(known.status.problems).get(("host", name), "404")
    if known.part_of("host", name) is None or known.since.route(routes[0].claim) is None:
        answer = f"{name} is not served: {why_unproved(name, known)}"
    chain = (*links, *named_links(host, known))
    return Explanation(
        question=question, is_served=False, verdict=f"the path is nobody's: {answer}", chain=chain
    )
