"""The parts of the site: one service, one host with the files that it refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.location import locations, locations_as_asked
from proxyconf.nginx.part import Part, file_name
from proxyconf.nginx.quoting import Lines, block, directive
from proxyconf.nginx.server import Server, beside_of
from proxyconf.nginx.upstream import server_line, upstream_as_asked, upstream_block
from proxyconf.options import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxyconf.model import Endpoint, Route
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.nginx.location import Beside
    from proxyconf.nginx.server import Begin
    from proxyconf.nginx.tls import Standing
    from proxyconf.options import HostOptions, ServiceOptions

_NOT_FOUND = (block("location /", body=[directive("return 404")]),)
_NOBODY: frozenset[str] = frozenset()


class Wanted(NamedTuple):
    """What a host is written from.

    Attributes:
        routes: Sorted by path.
        live: Services of these routes that have an upstream; the others answer 503.
        services: Options of these services, where they have any.
        options: Of the host.
        standing: Where it is, and with what.
    """

    routes: tuple[Route, ...]
    live: frozenset[str]
    services: Mapping[str, ServiceOptions]
    options: HostOptions
    standing: Standing


def service_part(
    name: str, endpoints: Sequence[Endpoint], asked: ServiceOptions | None, *, dialect: Dialect
) -> Part:
    """Write a service's upstream.

    Args:
        name: The service's.
        endpoints: At least one; where all are backups, none is.
        asked: Its options, if it has any.
        dialect: For which nginx.

    Raises:
        BadValueError: An address or a weight is none, or an option can't be written.
    """
    if asked:
        lines, lacks = upstream_as_asked(name, endpoints, asked, dialect)
        problems = tuple(Problem("service", name, lack) for lack in lacks)
        return _part("service", name, lines, problems=problems)
    spare = any(not endpoint.backup for endpoint in endpoints)
    body = [server_line(endpoint, spare=spare) for endpoint in endpoints]
    return _part("service", name, upstream_block(name, body, dialect.settings.keepalive))


def host_part(host: str, wanted: Wanted, *, begin: Begin, dialect: Dialect) -> Part:
    """Write a host's server blocks.

    Args:
        host: Its name.
        wanted: What is asked for.
        begin: What `begin_lines` returned.
        dialect: For which nginx.

    Raises:
        BadValueError: The host, a path or an option is none.
    """
    routes, live, asked, options, found = wanted
    if found.closed:
        live = _NOBODY
    beside: Beside | None = None  # most hosts have no options, and there are thousands of them
    written: dict[str, tuple[Lines, ...]] = {}
    for route in routes:
        if route.options is NONE and not asked:
            written[route.path] = _locations(route, live)
        else:
            beside = beside or beside_of(found, options, dialect)
            written[route.path] = locations_as_asked(route, asked, beside, live=live, dialect=dialect)
    written.setdefault("/", _NOT_FOUND)
    servers = Server(host, found, options, begin, dialect).blocks(written)
    files = [part for part in (found.certificate, found.authority) if part]
    if not beside:
        return _part("host", host, quoting.joined(servers), live, files=files, problems=found.problems)
    files += [Part("users", file, file, text) for file, text in sorted(beside.users.items())]
    lines = quoting.joined((*beside.http, *servers))
    return _part("host", host, lines, live, files=files, problems=(*found.problems, *beside.problems))


def _locations(route: Route, live: frozenset[str]) -> tuple[Lines, ...]:
    answer = (
        directive("proxy_pass", quoting.proxy_target(route.service))
        if route.service in live
        else directive("return 503")
    )
    return locations(route.path, (answer,), (answer,))


def _part(
    kind: Literal["service", "host"],
    name: str,
    lines: Lines,
    needs: frozenset[str] = _NOBODY,
    *,
    files: Iterable[Part] = (),
    problems: tuple[Problem, ...] = (),
) -> Part:
    text = lines.encode()
    return Part(kind, name, file_name(kind, text), text, needs, tuple(files), problems)
