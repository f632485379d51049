"""The text of a service's upstream: its endpoints, and how nginx chooses among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError
from proxyconf.nginx import quoting
from proxyconf.nginx.quoting import Token, word
from proxyconf.nginx.writing import Lines, block, directive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.model import Endpoint
    from proxyconf.nginx.build import Build
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.options import ServiceOptions


def upstream_block(name: str, body: Sequence[Lines], keepalive: int, build: Build) -> Lines:
    """Write an upstream; `keepalive` must follow what chooses."""
    said = keepalive or build.keeps_by_itself  # 0 is an error for older ones
    kept = (directive("keepalive", quoting.number(keepalive, at_most=10_000)),) if said else ()
    return block("upstream", quoting.upstream(name), body=(*body, *kept))


def server_line(endpoint: Endpoint, *more: Token, spare: bool) -> Lines:
    """Write an endpoint; as a backup only where others can *spare* it."""
    address = quoting.endpoint(endpoint.address)
    options = [] if endpoint.weight == 1 else [quoting.weight(endpoint.weight)]
    if endpoint.backup and spare:
        options.append(word("backup"))
    return directive("server", address, *options, *more)


def upstream_as_asked(
    name: str, endpoints: Sequence[Endpoint], asked: ServiceOptions, dialect: Dialect
) -> tuple[Lines, tuple[str, ...]]:
    """Write an upstream with options; also return why something that is asked for is not done.

    Raises:
        BadValueError: Something can't be written.
    """
    default = dialect.settings.keepalive
    keepalive = default if asked.keepalive is None else asked.keepalive
    lacks = []
    if keepalive and not default:
        lacks.append(
            f"keepalive {keepalive}: [nginx] keepalive = 0 tells every endpoint to close (raise that)"
        )
    if lack := _lack(asked.balance, dialect):
        lacks.append(lack)
        body = []
    else:
        body = list(_balance_lines(asked.balance))
    spare = any(not endpoint.backup for endpoint in endpoints)
    if body and spare and _knows_no_backup(asked.balance):
        left_out = ", ".join(endpoint.address for endpoint in endpoints if endpoint.backup)
        if left_out:
            why = f"balance {asked.balance!r} knows no backups, so they are left out: {left_out}"
            lacks.append(f"{why} (use least_conn, or take backup away)")
        endpoints = [endpoint for endpoint in endpoints if not endpoint.backup]
    failing = tuple(_failing(asked))
    body += [server_line(endpoint, *failing, spare=spare) for endpoint in endpoints]
    return upstream_block(name, body, keepalive, dialect.build), tuple(lacks)


def _knows_no_backup(balance: str) -> bool:
    return balance == "ip_hash" or balance.startswith("hash:")


def _lack(balance: str, dialect: Dialect) -> str:
    module = f"http_upstream_{balance.partition(':')[0]}_module"
    if module not in dialect.build.without:
        return ""
    return f"balance {balance!r}: this nginx is built without {module} (install one that has it)"


def _balance_lines(balance: str) -> Iterator[Lines]:
    if balance == "least_conn":
        yield directive("least_conn")
    elif balance == "ip_hash":
        yield directive("ip_hash")
    elif balance != "round_robin":
        yield directive("hash", _key(balance), word("consistent"))


def _key(balance: str) -> Token:
    what, _, name = balance.removeprefix("hash:").partition(":")
    if balance == "hash:client":
        return word("$remote_addr")
    if balance == "hash:uri":
        return word("$request_uri")
    if balance.startswith("hash:") and what == "header":
        return quoting.header_variable(name)
    if balance.startswith("hash:") and what == "cookie":
        return quoting.cookie_variable(name)
    raise BadValueError(
        f"balance {balance!r}: not known (write round_robin, least_conn, ip_hash, hash:client, hash:uri,"
        " hash:header:NAME or hash:cookie:NAME)"
    )


def _failing(asked: ServiceOptions) -> Iterator[Token]:
    if asked.max_fails is not None:
        yield quoting.setting("max_fails", quoting.number(asked.max_fails, at_most=1_000_000))
    if asked.fail_timeout is not None:  # nginx takes whole seconds here
        yield quoting.setting("fail_timeout", quoting.duration(math.ceil(asked.fail_timeout)))
