"""The text of a route with options: who may ask, how often, and what is answered or passed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxyconf.answers import CLOSED
from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.client import unknown_client
from proxyconf.nginx.logins import logins
from proxyconf.nginx.pages import NO_PAGES, Pages, later_location
from proxyconf.nginx.part import file_name
from proxyconf.nginx.passing import FIXED, obstacle, passing_lines
from proxyconf.nginx.quoting import word
from proxyconf.nginx.writing import Lines, block, directive
from proxyconf.options import Rate, ServiceOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from proxyconf.model import Route
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.options import LocationOptions, Pairs

_NOT_NOW = directive("return 503")
_RETRY_AFTER = directive("add_header Retry-After 120 always")
_ZONE_MB = 1  # some 16,000 clients; when it is full, nginx forgets those that have not asked for longest
_AS_USUAL = ServiceOptions()


@dataclass(slots=True)
class Beside:
    """What the locations of a host share, what they need elsewhere, and what could not be done.

    Attributes:
        headers: The host's own, which a location with others does not inherit.
        http2: The host speaks HTTP/2.
        last: What stands last in each.
        pages: Error pages.
        server: Stands in the server block.
        http: Stands in the http block.
        users: Name of a file for basic authentication to its content.
        problems: What is asked for and not done.
    """

    headers: tuple[Lines, ...] = ()
    http2: bool = False
    last: tuple[Lines, ...] = ()
    pages: Pages = NO_PAGES
    server: tuple[Lines, ...] = ()
    http: list[Lines] = field(default_factory=list)
    users: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def locations(path: str, exact: Sequence[Lines], below: Sequence[Lines]) -> tuple[Lines, ...]:
    """Write the locations of a path: the one that is just it, and all below it."""
    if path == "/":
        return (block("location /", body=below),)
    return (
        # without the exact one nginx would redirect /app to /app/
        block("location =", quoting.location(path), body=exact),
        block("location", quoting.location(f"{path}/"), body=below),
    )


def locations_as_asked(
    route: Route,
    asked: Mapping[str, ServiceOptions],
    beside: Beside,
    *,
    live: AbstractSet[str],
    dialect: Dialect,
) -> tuple[Lines, ...]:
    """Write the locations of *route* with its options.

    What this nginx can't do is left out, and is a problem. Where that would let in those who are to be kept
    out, or could only fail, the route answers 503.

    Args:
        route: The route.
        asked: The options of services, by name.
        beside: Gets what is needed beside the locations.
        live: Services that have an upstream.
        dialect: For which nginx.

    Raises:
        BadValueError: Something can't be written.
    """
    options, service = route.options.location, asked.get(route.service, _AS_USUAL)
    lines = list(_response_lines(route, beside.problems))
    if options.maintenance:
        lines.append(_RETRY_AFTER)
    if lines:
        lines = [*beside.headers, *lines]
    if options.maintenance:
        lines += [*_page_lines(beside), _NOT_NOW]
    elif options.redirect:
        lines.append(
            directive("return", quoting.status(options.redirect_status), quoting.redirect(options.redirect))
        )
    elif why := _closed(options, dialect) or obstacle(service, dialect, http2=beside.http2):
        beside.problems.append(Problem("route", route.where, f"{CLOSED}{why}"))
        lines.append(_NOT_NOW)
    elif route.service not in live:
        lines.append(_NOT_NOW)
    else:
        lines += _access_lines(route, beside, dialect)
        headers = tuple(_own(route, options.request_headers, beside.problems))
        exact, below = passing_lines(route, service, dialect, headers=headers)
        return locations(route.path, [*lines, *exact, *beside.last], [*lines, *below, *beside.last])
    lines += beside.last
    return locations(route.path, lines, lines)


def _page_lines(beside: Beside) -> tuple[Lines, ...]:
    """Return what shows the page of a maintenance: its answer has the headers of a location of its own."""
    if beside.pages.maintenance:
        beside.server = (later_location(beside.pages, (*beside.headers, _RETRY_AFTER)),)
    return beside.pages.maintenance


def _closed(options: LocationOptions, dialect: Dialect) -> str:
    """Return why nobody may be let in: nginx lacks what would keep the others out."""
    for wanted, what, module in (
        (options.allow or options.deny, "allow and deny", "http_access_module"),
        (options.users, "basic authentication", "http_auth_basic_module"),
    ):
        if wanted and module in dialect.build.without:
            return f"{what}: this nginx is built without {module} (install one that has it)"
    why = unknown_client(dialect)
    return f"allow and deny: {why}" if why and (options.allow or options.deny) else ""


def _access_lines(route: Route, beside: Beside, dialect: Dialect) -> Iterator[Lines]:
    options = route.options.location
    yield from (directive("deny", quoting.network(peer)) for peer in options.deny)
    yield from (directive("allow", quoting.network(peer)) for peer in options.allow)
    if options.allow:
        yield directive("deny all")
    if options.users:
        content = logins(options.users)
        name = file_name("users", content)
        beside.users[name] = content
        yield directive("auth_basic", quoting.quote(route.host))
        yield directive("auth_basic_user_file", quoting.file(dialect.parts_folder / name))
    if options.rate and "http_limit_req_module" in dialect.build.without:
        why = "rate: this nginx is built without http_limit_req_module (install one that has it)"
        beside.problems.append(Problem("route", route.where, why))
    elif options.rate and (why := unknown_client(dialect)):  # all of them would count as one
        beside.problems.append(Problem("route", route.where, f"rate: {why}"))
    elif options.rate:
        yield from _rate_lines(route, options.rate, beside)
    if options.body_size is not None:
        yield directive("client_max_body_size", quoting.size(options.body_size))


def _rate_lines(route: Route, rate: Rate, beside: Beside) -> Iterator[Lines]:
    key, per_minute = word("$binary_remote_addr"), quoting.rate(rate.per_minute)
    name = quoting.zone(key, str(_ZONE_MB), route.host, route.path, per_minute)
    zone = quoting.setting("zone", quoting.sized_zone(name, megabytes=_ZONE_MB))
    beside.http.append(directive("limit_req_zone", key, zone, quoting.setting("rate", per_minute)))
    burst = quoting.number(rate.burst, at_most=1_000_000)
    # nodelay: those that may come at once are not made to wait for each other
    more = (quoting.setting("burst", burst), word("nodelay")) if rate.burst else ()
    yield directive("limit_req", quoting.setting("zone", name), *more)
    yield directive("limit_req_status 429")


def _response_lines(route: Route, problems: list[Problem]) -> Iterator[Lines]:
    for name, value in _own(route, route.options.location.response_headers, problems):
        yield directive("add_header", quoting.header_name(name), quoting.quote(value), word("always"))


def _own(route: Route, headers: Pairs, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Yield the headers that are a route's to set."""
    for name, value in headers:
        if name.lower() in FIXED:
            why = f"header {name!r}: is nginx's own to set (take it away)"
            problems.append(Problem("route", route.where, why))
        else:
            yield name, value
