"""Old workers that still finish what they have (websockets, long answers), and what memory they hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TITLE = b"nginx: worker process is shutting down"


@dataclass(frozen=True, slots=True)
class Lingering:
    """Workers that are shutting down.

    Attributes:
        count: How many.
        memory: Bytes that they alone hold.
    """

    count: int = 0
    memory: int = 0


def lingering_workers(master: int) -> Lingering:
    """Look at the children of the process *master*: some microseconds each, from memory."""
    found = [pid for pid in _children(master) if _read(pid, "cmdline").startswith(_TITLE)]
    return Lingering(len(found), sum(_private_bytes(pid) for pid in found))


def _children(pid: int) -> list[str]:
    return _read(str(pid), f"task/{pid}/children").decode().split()


def _private_bytes(pid: str) -> int:
    """Return what is resident and not of a file: nginx's configuration and buffers."""
    pages = _read(pid, "statm").split()
    return (int(pages[1]) - int(pages[2])) * _PAGE_BYTES if len(pages) > 2 else 0


def _read(pid: str, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has just ended
        return b""
