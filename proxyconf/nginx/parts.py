"""The parts of the site: one service, one host with the files that it refers to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.additions import NO_PIECES, Pieces
from proxyconf.nginx.location import locations, locations_as_asked
from proxyconf.nginx.pages import NO_PAGES, Pages
from proxyconf.nginx.part import Part, make_part
from proxyconf.nginx.server import Server, beside_of
from proxyconf.nginx.upstream import server_line, upstream_as_asked, upstream_block
from proxyconf.nginx.writing import Lines, block, directive, includes, joined
from proxyconf.options import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxyconf.model import Endpoint, Route
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.nginx.location import Beside
    from proxyconf.nginx.server import Begin
    from proxyconf.nginx.tls import Standing
    from proxyconf.options import HostOptions, ServiceOptions

_CLOSED = (block("location /", body=[directive("return 503")]),)
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
        pieces: Of its operator's.
        pages: Error pages.
        answers_unknown: It is to have the requests for unknown hosts, too.
    """

    routes: tuple[Route, ...]
    live: frozenset[str]
    services: Mapping[str, ServiceOptions]
    options: HostOptions
    standing: Standing
    pieces: Pieces = NO_PIECES
    pages: Pages = NO_PAGES
    answers_unknown: bool = False


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
        return replace(make_part("service", name, lines.encode()), problems=problems)
    spare = any(not endpoint.backup for endpoint in endpoints)
    body = [server_line(endpoint, spare=spare) for endpoint in endpoints]
    lines = upstream_block(name, body, dialect.settings.keepalive, dialect.build)
    return make_part("service", name, lines.encode())


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
    routes, live, asked, options, found, pieces, pages, answers_unknown = wanted
    written: dict[str, tuple[Lines, ...]] = {}
    if found.closed:  # nobody comes in, not even to what operators add
        routes, live, asked, pieces, written = (), _NOBODY, {}, NO_PIECES, {"/": _CLOSED}
    last = _included(pieces.location, dialect)
    beside: Beside | None = None  # most hosts have no options, and there are thousands of them
    for route in routes:
        if route.options is NONE and not asked:
            written[route.path] = _locations(route, live, last)
        else:
            beside = beside or beside_of(found, options, dialect, last=last, pages=pages)
            written[route.path] = locations_as_asked(route, asked, beside, live=live, dialect=dialect)
    written.setdefault("/", _NOT_FOUND)
    # the operator's after all that it may clash with, and before what it may have pages of its own for
    more = (*_included(pieces.server, dialect), *pages.server, *(beside.server if beside else ()))
    answers_unknown = answers_unknown and found.https in ("off", "both")
    servers = Server(host, found, options, begin, dialect, answers_unknown, more).blocks(written)
    files = [*filter(None, (found.certificate, found.authority, *pieces)), *pages.parts]
    problems = found.problems
    if beside:
        files += [Part("users", file, file, text) for file, text in sorted(beside.users.items())]
        servers, problems = (*beside.http, *servers), (*problems, *beside.problems)
    text = joined(servers).encode()
    made = make_part("host", host, text, needs=live, answers_unknown=answers_unknown, closed=found.closed)
    return replace(made, files=tuple(files), problems=problems)


def default_host_problems(part: Part | None, dialect: Dialect) -> Iterator[Problem]:
    """Yield why the host of the setting default_host has not the requests for all unknown hosts.

    Args:
        part: Of that host, if it has one.
        dialect: For which nginx.
    """
    host = dialect.default_host
    if not host:
        return
    why = ""
    taken = sorted(dialect.default_servers.intersection(dialect.addresses))
    if not part:
        why = f"{host} is no host that is known: others get {dialect.settings.default_status} (route it)"
    elif not part.answers_unknown:
        why = f"{host} has its routes on https alone, where names that are unknown are turned away (let it be"
        why += " on both, by https = both)"
    elif taken:
        why = f"{' and '.join(taken)}: there is a default_server, which has them (take it away)"
    if why:
        yield Problem("setting", "[nginx] default_host", why)


def _included(piece: Part | None, dialect: Dialect) -> tuple[Lines, ...]:
    return (includes(dialect.parts_folder, (piece.file,)),) if piece else ()


def _locations(route: Route, live: frozenset[str], last: tuple[Lines, ...]) -> tuple[Lines, ...]:
    answer = (
        directive("proxy_pass", quoting.proxy_target(route.service))
        if route.service in live
        else directive("return 503")
    )
    lines = (answer, *last)
    return locations(route.path, lines, lines)
