"""Who asks: the peer, or the client that a trusted proxy names; and what a service is told of it.

nginx's realip module finds the client, the last address in X-Forwarded-For that is not a trusted proxy's own.
So whoever is allowed, denied, counted or logged is the client, as nobody but those proxies can say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.quoting import Token, word
from proxyconf.nginx.writing import Lines, block, directive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxyconf.nginx.dialect import Dialect

_EMPTY = quoting.quote("")
_MODULE = "http_realip_module"

# where nobody is trusted, what the peer itself says of where it comes from counts for nothing
_OVERWRITTEN = {
    "X-Real-IP": word("$remote_addr"),
    "X-Forwarded-For": word("$remote_addr"),
    "X-Forwarded-Proto": word("$scheme"),
    "X-Forwarded-Host": word("$host$pc_port"),
    "X-Forwarded-Port": word("$server_port"),
    "Forwarded": _EMPTY,
}
_BELIEVED = {
    "X-Real-IP": word("$remote_addr"),
    "X-Forwarded-For": word("$pc_forwarded_for"),
    "X-Forwarded-Proto": word("$pc_forwarded_proto"),
    "X-Forwarded-Host": word("$pc_forwarded_host"),
    "X-Forwarded-Port": word("$pc_forwarded_port"),
    "Forwarded": word("$pc_forwarded"),
}

# $pc_trusted is 0 or 1, so "~^1." is a trusted peer that sent the header: it is believed. Everybody else's
# are overwritten. Each map costs nginx a millisecond, once for the check and once for the reload, so there
# are none where nobody is trusted.
_VARIABLES = (
    block(
        # not $proxy_add_x_forwarded_for, which adds the client once more in place of the peer
        "map $pc_trusted$http_x_forwarded_for $pc_forwarded_for",
        body=(
            directive("default $realip_remote_addr"),
            directive("~^1.", quoting.listed(word("$http_x_forwarded_for"), word("$realip_remote_addr"))),
        ),
    ),
    block(
        "map $pc_trusted$http_x_forwarded_proto $pc_forwarded_proto",
        body=(directive("default $scheme"), directive("~^1. $http_x_forwarded_proto")),
    ),
    block(
        "map $pc_trusted$http_x_forwarded_host $pc_forwarded_host",
        body=(directive("default $host$pc_port"), directive("~^1. $http_x_forwarded_host")),
    ),
    block(
        "map $pc_trusted$http_x_forwarded_port $pc_forwarded_port",
        body=(directive("default $server_port"), directive("~^1. $http_x_forwarded_port")),
    ),
    block(
        "map $pc_trusted $pc_forwarded",
        body=(directive("default", _EMPTY), directive("1 $http_forwarded")),
    ),
)


def client_variables(dialect: Dialect) -> Iterator[Lines]:
    """Write, for the http block, the variables of what is said of a client."""
    if dialect.trusted:
        trusted = (directive(quoting.network(peer), word("1")) for peer in dialect.trusted)
        yield block("geo $realip_remote_addr $pc_trusted", body=(directive("default 0"), *trusted))
        yield from _VARIABLES


def client_lines(dialect: Dialect) -> Iterator[Lines]:
    """Write, for each server, how the client is found.

    In the http block it would clash with what operators' files say there.
    """
    if dialect.trusted:
        yield from (directive("set_real_ip_from", quoting.network(peer)) for peer in dialect.trusted)
        yield directive("real_ip_header X-Forwarded-For")
        yield directive("real_ip_recursive on")


def said_of_client(dialect: Dialect) -> Mapping[str, Token]:
    """Return the headers that tell a service of the client; each replaces what the client sent."""
    return _BELIEVED if dialect.trusted else _OVERWRITTEN


def unknown_client(dialect: Dialect) -> str:
    """Return why the client behind a trusted proxy is not known, with the mend; "" if it is."""
    if not dialect.settings.trusted_proxies or dialect.trusted:
        return ""
    lack = f"this nginx is built without {_MODULE}, which tells the clients of trusted_proxies apart"
    return f"{lack} (install one that has it)"


def client_problems(dialect: Dialect) -> Iterator[Problem]:
    """Yield why the setting trusted_proxies is without effect."""
    if why := unknown_client(dialect):
        yield Problem("setting", "[nginx] trusted_proxies", why)
