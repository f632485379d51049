"""The workers of a master: which serve, since when, and which only finish what they have.

A reload can be told by its workers. A master that reads its configuration again starts new workers, sleeps
for 100 ms, and only then sends the old ones away; a master that refuses it keeps them. So once a worker
serves and none of those from before does, nginx runs on what it has read. To know that this is what was
installed:

* The old workers are to be noted after the files were installed and while the master `is_settled`. A reload
  that was under way may have read the files before that, and its workers come up later.
* A worker that crashes is replaced by one with the configuration that the master has, which is the old one
  where a reload is refused, or does not arrive. It is young, too, and where it was the only one, none from
  before is left. Within one reload that would be a strange chance. Over hours it is not, so then the age of a
  lone worker proves nothing (`has_loaded`).

A master that was started after the files were installed has read them. While a program is replaced (USR2)
there are two masters, and both serve; the pid file names the new one, and the workers of the old are not
looked at.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SERVING = b"nginx: worker process"
SHUTTING_DOWN = "nginx: worker process is shutting down"
_PARENT_FIELD, _START_FIELD = 1, 19  # of /proc/PID/stat, counted from the one behind the name
_SIGHUP = 1 << (signal.SIGHUP - 1)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_READING_S = 1  # how long ago a reload may have read the files before its workers come up


@dataclass(frozen=True, slots=True)
class Lingering:
    """Workers that are shutting down.

    Attributes:
        count: How many.
        memory: Bytes that they alone hold.
    """

    count: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that takes requests.

    Attributes:
        pid: Its process id, which may once have been another's.
        started: When, in clock ticks since boot (``SC_CLK_TCK``, mostly 100 a second).
    """

    pid: int
    started: int


def lingering_workers(master: int) -> Lingering:
    """Look at the children of the process *master*: some microseconds each, from memory."""
    found = [pid for pid, title in _children(master) if title.startswith(SHUTTING_DOWN.encode())]
    return Lingering(len(found), sum(_private_bytes(pid) for pid in found))


def serving_workers(master: int) -> frozenset[Worker]:
    """Return those that take requests: no helper, none that is still starting, none that is shutting down."""
    found = [pid for pid, title in _children(master) if title == _SERVING]
    return frozenset(Worker(pid, started) for pid in found if (started := started_at(pid)) is not None)


def started_at(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None when there is none."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[_START_FIELD]) if fields else None


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None when there is none."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[_PARENT_FIELD]) if fields else None


def owner_of(pid: int) -> int | None:
    """Return the user id of a process; None when there is none."""
    found = re.search(rb"(?m)^Uid:\s+\d+\s+(\d+)", _read(pid, "status"))
    return int(found[1]) if found else None


def title_of(pid: int) -> str:
    """Return what a process calls itself, or its command line; "" when there is none."""
    return _read(pid, "cmdline").replace(b"\0", b" ").rstrip().decode(errors="replace")


def is_settled(master: int) -> bool:
    """Tell whether the process *master* has no reload under way, nor before it.

    It blocks all its signals but while it waits for them, so at any moment SIGHUP is pending, or blocked
    because it is being handled, or there is none.
    """
    masks = re.findall(rb"(?m)^(?:SigPnd|ShdPnd|SigBlk):\s*([0-9a-f]+)$", _read(master, "status"))
    return not any(int(mask, 16) & _SIGHUP for mask in masks)


def renewed(before: AbstractSet[Worker], after: AbstractSet[Worker], since_ticks: int) -> bool:
    """Tell whether workers serve, and a reload has brought all of them.

    Args:
        before: Those that served before it.
        after: Those that serve now.
        since_ticks: When the files were installed, in clock ticks since boot. What was started within the
            same tick counts; *before* tells it apart.
    """
    return bool(after) and before.isdisjoint(after) and all(one.started >= since_ticks for one in after)


def has_loaded(started: int | None, workers: AbstractSet[Worker], since_ticks: int) -> bool:
    """Tell whether an nginx that nobody has watched has read its files since they were installed.

    In doubt it has not: one more reload does no harm.

    Args:
        started: When the master was started; None when it has just ended.
        workers: Those that serve now.
        since_ticks: When the files were installed, in clock ticks since boot.
    """
    if not workers or started is None:
        return False
    first, last = min(one.started for one in workers), max(one.started for one in workers)
    together = len(workers) > 1 and last - first <= _TICKS_PER_S  # not one after the other, as they crashed
    return started > since_ticks or (together and first > since_ticks + _READING_S * _TICKS_PER_S)


def _children(master: int) -> Iterator[tuple[int, bytes]]:
    """Yield each child's process id and title; a child that is just starting still has the master's."""
    for pid in map(int, _read(master, f"task/{master}/children").split()):
        yield pid, _read(pid, "cmdline").rstrip(b"\0 ")


def _private_bytes(pid: int) -> int:
    """Return what is resident and not of a file: nginx's configuration and buffers."""
    pages = _read(pid, "statm").split()
    return (int(pages[1]) - int(pages[2])) * _PAGE_BYTES if len(pages) > 2 else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has just ended
        return b""
