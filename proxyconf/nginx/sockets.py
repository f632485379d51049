"""Who listens on a TCP port of this host, as the kernel tells it."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from proxyconf.units import ListenAddress

_PROC = Path("/proc")
_TABLES = ("net/tcp", "net/tcp6")
_LISTENING = "0A"
_WORD_HEX = 8


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that listens.

    Attributes:
        address: Canonical; an IPv4 address that came as IPv6 is written as IPv4.
        port: TCP's.
        uid: Whose it is.
        inode: Tells it from others.
    """

    address: str
    port: int
    uid: int
    inode: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process that has a socket.

    Attributes:
        pid: Its id.
        parent: Its parent's.
        title: Its command line.
    """

    pid: int
    parent: int
    title: str


def read_sockets(proc: Path = _PROC) -> tuple[Socket, ...]:
    """Return all sockets that listen in our network; blocks."""
    found: list[Socket] = []
    for table in _TABLES:
        with suppress(OSError):  # without IPv6 there is no second table
            lines = (proc / table).read_text().splitlines()[1:]
            found += [socket for line in lines if (socket := _socket(line.split()))]
    return tuple(found)


def _socket(fields: list[str]) -> Socket | None:
    if len(fields) < 10 or fields[3] != _LISTENING:
        return None
    address, _, port = fields[1].partition(":")
    return Socket(_address(address), int(port, 16), int(fields[7]), int(fields[9]))


def _address(text: str) -> str:
    """Read an address as the kernel writes it: words of four bytes, each in the order of this machine."""
    words = [text[at : at + _WORD_HEX] for at in range(0, len(text), _WORD_HEX)]
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    found = ipaddress.ip_address(packed)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def in_the_way(wanted: ListenAddress, sockets: Collection[Socket]) -> tuple[Socket, ...]:
    """Return those that keep anybody else from listening on *wanted*."""
    host = wanted.host
    every = {"0.0.0.0", "::"}  # noqa: S104 - read, not listened on
    return tuple(
        one
        for one in sockets
        if one.port == wanted.port and (host in {"", *every} or one.address in {host, *every})
    )


def holders(sockets: Collection[Socket], proc: Path = _PROC) -> tuple[Process, ...]:
    """Return the processes that have any of *sockets*, as far as we may see them; blocks."""
    links = {f"socket:[{one.inode}]" for one in sockets}
    found = (_process(folder) for folder in proc.glob("[0-9]*") if _has(folder, links))
    return tuple(sorted(filter(None, found), key=lambda one: one.pid))


def is_there(process: Process) -> bool:
    """Tell whether *process* still is what it was; blocks."""
    return _process(_PROC / str(process.pid)) == process


def _has(folder: Path, links: Collection[str]) -> bool:
    return any(link in links for link in _links(folder / "fd"))


def _links(folder: Path) -> Iterator[str]:
    with suppress(OSError):  # somebody else's, or it has just ended
        for name in os.listdir(folder):  # noqa: PTH208 - thousands of them
            with suppress(OSError):
                yield os.readlink(f"{folder}/{name}")  # noqa: PTH115


def _process(folder: Path) -> Process | None:
    try:
        title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        parent = re.search(r"(?m)^PPid:\s*(\d+)$", (folder / "status").read_text())
    except OSError:  # it has just ended
        return None
    return Process(int(folder.name), int(parent[1]) if parent else 0, title)
