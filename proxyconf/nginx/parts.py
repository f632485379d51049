"""The text of one service, and of one host."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proxyconf.nginx import quoting
from proxyconf.nginx.quoting import Lines, block, directive, word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.model import Endpoint, Route
    from proxyconf.nginx.dialect import Dialect

_NOT_FOUND = block("location /", body=[directive("return 404")])


# where nobody is trusted, what the peer itself says of where it comes from counts for nothing
_OVERWRITTEN = (
    directive("proxy_set_header X-Real-IP $remote_addr"),
    directive("proxy_set_header X-Forwarded-For $remote_addr"),
    directive("proxy_set_header X-Forwarded-Proto $scheme"),
    directive("proxy_set_header X-Forwarded-Host $host$pc_port"),
    directive("proxy_set_header X-Forwarded-Port $server_port"),
    directive("proxy_set_header Forwarded", quoting.quote("")),
)
# the variables are in the root file
_BELIEVED = (
    directive("proxy_set_header X-Real-IP $pc_real_ip"),
    directive("proxy_set_header X-Forwarded-For $pc_forwarded_for"),
    directive("proxy_set_header X-Forwarded-Proto $pc_forwarded_proto"),
    directive("proxy_set_header X-Forwarded-Host $pc_forwarded_host"),
    directive("proxy_set_header X-Forwarded-Port $pc_forwarded_port"),
    directive("proxy_set_header Forwarded $pc_forwarded"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """An immutable file, named by its content.

    Attributes:
        kind: What it is of.
        name: The service's or the host's.
        file: Its name within the folder of the parts.
        text: Its content.
        needs: Services whose upstream it refers to.
    """

    kind: Literal["service", "host"]
    name: str
    file: str
    text: bytes
    needs: frozenset[str] = frozenset()


def service_part(name: str, endpoints: Sequence[Endpoint], *, keepalive: int) -> Part:
    """Write a service's upstream.

    Args:
        name: The service's.
        endpoints: At least one; where all are backups, none is.
        keepalive: Idle connections per worker; 0 for none.

    Raises:
        BadValueError: An address or a weight is none.
    """
    spare = any(not endpoint.backup for endpoint in endpoints)
    body = [_server(endpoint, spare=spare) for endpoint in endpoints]
    if keepalive:
        body.append(directive("keepalive", quoting.number(keepalive, at_most=10_000)))
    return _part("service", name, block("upstream", quoting.upstream(name), body=body))


def proxy_lines(dialect: Dialect) -> Lines:
    """Return what every proxied request needs: websockets, keepalive, forwarded headers.

    An http block of ours has them once, which saves nginx a fifth of its memory; in somebody else's each of
    our servers has them, since theirs must not inherit them.
    """
    return quoting.joined(
        (
            directive("proxy_http_version 1.1"),
            directive("proxy_connect_timeout", quoting.duration(dialect.settings.connect_timeout)),
            # not $http_host: a request with an absolute URL is routed by that, whatever its Host says
            directive("proxy_set_header Host $host$pc_port"),
            directive("proxy_set_header Upgrade $pc_upgrade"),
            directive("proxy_set_header Connection $pc_connection"),
            *(_BELIEVED if dialect.settings.trusted_proxies else _OVERWRITTEN),
            # a program that runs CGI scripts would take it for the variable HTTP_PROXY
            directive("proxy_set_header Proxy", quoting.quote("")),
        )
    )


def server_lines(dialect: Dialect) -> Lines:
    """Return what every host's server block begins with."""
    listens = [directive("listen", quoting.listen(address)) for address in dialect.addresses]
    return quoting.joined(listens if dialect.own else (*listens, proxy_lines(dialect)))


def host_part(host: str, routes: Sequence[Route], *, live: frozenset[str], begin: Lines) -> Part:
    """Write a host's server block.

    Args:
        host: Its name.
        routes: Its routes, sorted by path.
        live: Services of these routes that have an upstream; the others answer 503.
        begin: What `server_lines` returned.

    Raises:
        BadValueError: The host or a path is none.
    """
    name = directive("server_name", quoting.host_name(host))
    body = [begin, name, *(line for route in routes for line in _locations(route, live))]
    if all(route.path != "/" for route in routes):
        body.append(_NOT_FOUND)
    return _part("host", host, block("server", body=body), needs=live)


def _server(endpoint: Endpoint, *, spare: bool) -> Lines:
    address = quoting.endpoint(endpoint.address)
    options = [] if endpoint.weight == 1 else [quoting.weight(endpoint.weight)]
    if endpoint.backup and spare:
        options.append(word("backup"))
    return directive("server", address, *options)


def _locations(route: Route, live: frozenset[str]) -> Iterator[Lines]:
    answer = (
        directive("proxy_pass", quoting.proxy_target(route.service))
        if route.service in live
        else directive("return 503")
    )
    if route.path == "/":
        yield block("location /", body=[answer])
        return
    # the exact one too: without it nginx would redirect /app to /app/
    yield block("location =", quoting.location(route.path), body=[answer])
    yield block("location", quoting.location(f"{route.path}/"), body=[answer])


def _part(
    kind: Literal["service", "host"], name: str, lines: Lines, *, needs: frozenset[str] = frozenset()
) -> Part:
    text = lines.encode()
    return Part(kind, name, f"{kind[0]}-{hashlib.sha256(text).hexdigest()[:16]}.conf", text, needs)
