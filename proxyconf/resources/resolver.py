"""Asks the system for what a template looks up: addresses of hosts and interfaces, and servers by DNS."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import ProxyconfError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxyconf.resources.world import Lookup

    AskHost = Callable[[str, int], list[str]]
    """Returns a host's addresses in a family; blocks. Raises OSError or UnicodeError."""

_FAMILIES = {"ip": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_KNOWN_TO_BE_NONE = (socket.EAI_NODATA, socket.EAI_ADDRFAMILY)  # the name is there, without such an address
_SIOCGIFADDR = 0x8915
_LINK_LOCAL = "20"
_INTERFACES6 = Path("/proc/net/if_inet6")


class UnansweredError(ProxyconfError):
    """A look-up failed, which says nothing about what was asked."""


class Resolver:
    """Answers look-ups. Cancelling one leaves its thread behind until the system gives up on the name."""

    def __init__(self, ask_host: AskHost | None = None) -> None:
        self._ask_host = ask_host or _ask_host
        self._asking: dict[Lookup, asyncio.Future[list[str] | Exception]] = {}

    async def __call__(self, lookup: Lookup) -> Iterable[str]:
        """Return the answers, in any order.

        Raises:
            UnansweredError: It failed.
        """
        if not lookup.name:
            raise UnansweredError("has no name (write the one to look up)")
        if lookup.kind in _FAMILIES:
            return await self._addresses(lookup)
        if lookup.kind == "srv":
            return await _servers(lookup.name)
        try:
            return (_interface4 if lookup.kind == "interface4" else _interface6)(lookup.name)
        except (OSError, ValueError) as exc:
            raise UnansweredError(_why(exc)) from exc

    async def _addresses(self, lookup: Lookup) -> list[str]:
        """Ask in a thread of its own.

        The loop's own ones are few and would soon all wait for a dead name server, and everything else that
        needs one with them; and the program's end would wait for them.
        """
        asked = self._asking.get(lookup)
        if asked is None:  # else it still hangs from the last time
            asked = self._asking[lookup] = asyncio.get_running_loop().create_future()
            asked.add_done_callback(lambda _: self._asking.pop(lookup))
            threading.Thread(
                target=_ask, args=(self._ask_host, lookup, asked), name=str(lookup), daemon=True
            ).start()
        outcome = await asyncio.shield(asked)
        if isinstance(outcome, Exception):
            raise UnansweredError(_why(outcome)) from outcome
        return outcome


def _ask_host(name: str, family: int) -> list[str]:
    found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    return [str(address[0]).partition("%")[0] for *_, address in found]


def _ask(ask_host: AskHost, lookup: Lookup, asked: asyncio.Future[list[str] | Exception]) -> None:
    """Resolve a host name; blocks."""
    outcome: list[str] | Exception
    try:
        outcome = ask_host(lookup.name, _FAMILIES[lookup.kind])
    except (OSError, UnicodeError) as exc:  # the latter: a label of more than 63 characters
        outcome = [] if exc.args[0] in _KNOWN_TO_BE_NONE else exc
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        asked.get_loop().call_soon_threadsafe(asked.set_result, outcome)


async def _servers(name: str) -> list[str]:
    """Return "target port priority weight" for each server."""
    try:
        from dns import asyncresolver, exception, resolver  # noqa: PLC0415 - an extra that few need
    except ImportError:
        raise UnansweredError("needs dnspython (pip install 'proxyconf[dns]')") from None
    try:
        found = await asyncresolver.resolve(name, "SRV", search=True)
    except resolver.NoAnswer:
        return []  # the name is there, without such a record
    except (exception.DNSException, OSError) as exc:
        asyncresolver.default_resolver = None  # so that resolv.conf is read again
        raise UnansweredError(_why(exc)) from exc
    return [f"{each.target} {each.port} {each.priority} {each.weight}" for each in found]


def _interface4(name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("256s", name.encode()[:15])
        answer = fcntl.ioctl(any_socket.fileno(), _SIOCGIFADDR, request)
    return [socket.inet_ntoa(answer[20:24])]


def _interface6(name: str) -> list[str]:
    found = in_table6(_INTERFACES6.read_text(encoding="ascii"), name)
    if not found:
        raise UnansweredError("there is no such interface, or it has no IPv6 address")
    return found


def in_table6(table: str, name: str) -> list[str]:
    """Return an interface's addresses in the kernel's *table*; link-local ones only for want of others."""
    rows = [line.split() for line in table.splitlines()]
    found = [(digits, scope) for digits, _, _, scope, _, interface in rows if interface == name]
    wider = [digits for digits, scope in found if scope != _LINK_LOCAL]
    return [
        str(ipaddress.IPv6Address(bytes.fromhex(digits))) for digits in wider or [each for each, _ in found]
    ]


def _why(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
