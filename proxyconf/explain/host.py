"""A host, with or without a path: the route that nginx takes for it, or what there is instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import judged, nginx_links, route_link, service_link
from proxyconf.explain.words import container_link, containers_of, problem_links, problems_at
from proxyconf.nginx import challenge
from proxyconf.routing import labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.explain.answer import Known
    from proxyconf.model import Container, Listing, Route

_VARIABLES = ("VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS")
_ANOTHERS = "another server of this nginx, or its default one,"
_DEFAULT_HOST = "[nginx] default_host"
_NO_HOST = re.compile(r"""[][\s,;:/{}"']+""")


def of_host(question: str, host: str, path: str, known: Known) -> Explanation:
    """Answer for a canonical host and a path."""
    routes = [route for name in _hosts_for(host) for route in known.snapshot.routes if route.host == name]
    fitting = [route for route in routes if _is_below(path, route.path) and route.host == routes[0].host]
    route = max(fitting, key=lambda one: len(one.path), default=None)
    if _is_challenge(path, route, known):
        return _of_challenge(question, host + path, known)
    if route is None:
        default = "" if routes else _default_host(known)
        if default and default != host:
            return _of_default_host(question, host, default + path, known)
        return _of_nobody(question, host, known, elsewhere=routes)
    served, verdict = judged(route, known)
    chain = (
        route_link(route, known),
        service_link(route.service, [route], known),
        *nginx_links(route, known),
    )
    return Explanation(question=question, is_served=served, verdict=verdict, chain=chain)


def _hosts_for(host: str) -> Iterator[str]:
    """Yield what nginx takes for *host*: its own name first, then the longest wildcard."""
    yield host
    rest = host.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"


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
    return structs.replace(found, verdict=verdict, chain=(*_named_links(host, known), *found.chain))


def _of_nobody(question: str, host: str, known: Known, *, elsewhere: Sequence[Route]) -> Explanation:
    """Say what there is of a host, or of a path of it, that no route is for."""
    links = [
        Link(what="route", says=f"{route.claim} leads to service {route.service!r}: {route.where}")
        for route in elsewhere
    ]
    told = list(_named_links(host, known))
    problems = [] if elsewhere else problem_links(problems_at(_DEFAULT_HOST, known.status.problems))
    server = _ANOTHERS if known.settings.mode == "include" else "the default server"
    answer = "the path is nobody's: 404" if elsewhere else f"no route is for it: {server} answers"
    hint = "" if told or elsewhere else " (is it spelled as in the label or key, and is its source listed?)"
    return Explanation(
        question=question, is_served=False, verdict=f"{answer}{hint}", chain=(*links, *told, *problems)
    )


def _named_links(host: str, known: Known) -> Iterator[Link]:
    """Yield the containers and keys that name *host*, be it in vain."""
    for container in containers_of(known):
        if host in _named_by(container):
            yield container_link(container, known)
    for listing in known.listings:
        yield from _key_links(host, listing, known)


def _key_links(host: str, listing: Listing, known: Known) -> Iterator[Link]:
    """Yield the keys of routes that name *host*."""
    for key, entry in listing.keys.items():
        if key.startswith("routes/") and host == _named_in(entry.value):
            where = entry.where or listing.place.format(key=key)
            problems = problem_links(problems_at(where, known.status.problems))
            yield Link(what="key", says=where, links=tuple(problems))


def _named_by(container: Container) -> set[str]:
    """Return the hosts that a container's labels and variables name, be it in vain.

    Whole ones, and of nothing else: whoever may ask could find out any text letter by letter, else.
    """
    texts = [text for label, text in container.labels.items() if labels.names_host({label: text})]
    texts += [container.env.get(name, "") for name in _VARIABLES]
    return {_canonical(word) for text in texts for word in _NO_HOST.split(text)}


def _named_in(value: bytes) -> str:
    """Return the host that a route's key names, be it in vain; "" for none."""
    try:
        fields = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    host = fields.get("host") if isinstance(fields, dict) else None
    return _canonical(host) if isinstance(host, str) else ""


def _canonical(word: str) -> str:
    try:
        return values.host(word)
    except BadValueError:
        return ""
