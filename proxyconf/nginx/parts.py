"""The parts of the site: one service, one host, the users of one route."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.location import Beside, locations, locations_as_asked
from proxyconf.nginx.passing import proxy_lines
from proxyconf.nginx.quoting import Lines, block, directive
from proxyconf.nginx.upstream import server_line, upstream_as_asked, upstream_block
from proxyconf.options import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxyconf.model import Endpoint, Route
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.options import ServiceOptions

PartKind: TypeAlias = Literal["service", "host", "users"]
_NOT_FOUND = block("location /", body=[directive("return 404")])


@dataclass(frozen=True, slots=True)
class Part:
    """An immutable file, named by its content.

    Attributes:
        kind: What it is of. Files of users are not included in the configuration; hosts refer to them.
        name: The service's or the host's; of users their file's.
        file: Its name within the folder of the parts.
        text: Its content.
        needs: Services whose upstream it refers to.
        users: Of a host: the files of users that it refers to.
        problems: What is asked for and not done, because this nginx can't.
    """

    kind: PartKind
    name: str
    file: str
    text: bytes
    needs: frozenset[str] = frozenset()
    users: tuple[Part, ...] = ()
    problems: tuple[Problem, ...] = ()


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


def server_lines(dialect: Dialect) -> Lines:
    """Return what every host's server block begins with."""
    listens = [directive("listen", quoting.listen(address)) for address in dialect.addresses]
    return quoting.joined(listens if dialect.own else (*listens, proxy_lines(dialect)))


def host_part(
    host: str,
    routes: Sequence[Route],
    live: frozenset[str],
    asked: Mapping[str, ServiceOptions],
    *,
    begin: Lines,
    dialect: Dialect,
) -> Part:
    """Write a host's server block.

    Args:
        host: Its name.
        routes: Its routes, sorted by path.
        live: Services of these routes that have an upstream; the others answer 503.
        asked: Options of these services, where they have any.
        begin: What `server_lines` returned.
        dialect: For which nginx.

    Raises:
        BadValueError: The host, a path or an option is none.
    """
    beside: Beside | None = None  # most hosts have no options, and there are thousands of them
    body = [begin, directive("server_name", quoting.host_name(host))]
    for route in routes:
        if route.options is NONE and not asked:
            body += _locations(route, live)
        else:
            beside = beside or Beside()
            body += locations_as_asked(route, asked, beside, live=live, dialect=dialect)
    if all(route.path != "/" for route in routes):
        body.append(_NOT_FOUND)
    lines = block("server", body=body)
    if not beside:
        return _part("host", host, lines, needs=live)
    users = tuple(Part("users", file, file, text) for file, text in sorted(beside.users.items()))
    lines = quoting.joined((*beside.http, lines))
    return _part("host", host, lines, needs=live, users=users, problems=tuple(beside.problems))


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
    *,
    needs: frozenset[str] = frozenset(),
    users: tuple[Part, ...] = (),
    problems: tuple[Problem, ...] = (),
) -> Part:
    text = lines.encode()
    file = f"{kind[0]}-{hashlib.sha256(text).hexdigest()[:16]}.conf"
    return Part(kind, name, file, text, needs, users, problems)
