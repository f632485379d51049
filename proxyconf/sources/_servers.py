"""Whom the next connection is made to: the configured endpoints in turn, or members found by DNS."""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from proxyconf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxyconf.sources._srv import Members

_RECORD = re.compile(r"(?:(https?)://)?((?:[\w-]{1,63}\.)*[\w-]{1,63}\.?)", re.ASCII)

Server = TypeVar("Server")
Server_co = TypeVar("Server_co", covariant=True)


class Servers(Protocol[Server_co]):
    """A server for each attempt to connect; what one is, only its source knows."""

    async def next(self) -> Server_co:
        """Return whom to connect to now.

        Raises:
            SourceError: Nobody is known.
        """
        ...

    def served(self) -> None:
        """Note that the last one served us."""
        ...


class InTurn(Generic[Server]):
    """The same servers for ever, one after the other."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = itertools.cycle(servers)

    async def next(self) -> Server:
        """Return the one after the last one."""
        return next(self._servers)

    def served(self) -> None:
        """Nothing: the next connection is made to the next one all the same."""


class BySrv(Generic[Server]):
    """The members that a DNS SRV record names."""

    def __init__(self, members: Members, make: Callable[[str], Server]) -> None:
        """Prepare to ask.

        Args:
            members: Of the record.
            make: Makes a server of ``HOST:PORT``.
        """
        self._members = members
        self._make = make

    async def next(self) -> Server:
        """Ask the record again, and return the best member that was not tried yet."""
        return self._make(join(*await self._members.next()))

    def served(self) -> None:
        """Let the next connection be made to the best member again."""
        self._members.served()


def join(host: str, port: int) -> str:
    """Return both as one text, as gRPC and URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_record(text: str, *, certificates: bool) -> tuple[str, bool]:
    """Return the record's name, and whether its members are reached by TLS.

    They are if https:// stands before it, if it is one of etcd's for TLS (``_etcd-client-ssl._tcp.…``), or if
    there are *certificates*.

    Raises:
        UsageError: Starts with the key, srv_record.
    """
    found = _RECORD.fullmatch(text)
    if found is None:
        raise UsageError(f'srv_record: {text!r}: no name of a DNS record (write "_NAME._tcp.example.com")')
    scheme, record = found.groups()
    by_default = "-ssl._" in record or certificates
    return record, scheme == "https" if scheme else by_default


def servers_by_srv(record: str, make: Callable[[str], Server], *, timeout_s: float) -> BySrv[Server]:
    """Return the servers that *record* names, as the host's resolver knows it; *make* is as in `BySrv`.

    Raises:
        UsageError: dnspython is missing; starts with the key, srv_record.
    """
    try:
        from proxyconf.sources._srv import Members, resolve_srv  # noqa: PLC0415 - dnspython is an extra
    except ImportError as exc:
        raise UsageError(f"srv_record: needs dnspython: {exc} (pip install 'proxyconf[dns]')") from exc
    return BySrv(Members(record, partial(resolve_srv, timeout_s=timeout_s)), make)
