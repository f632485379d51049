"""What Linux says of a process: its CPU time and memory."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time since the start, in seconds.

    Attributes:
        own: Its own.
        children: Of its children that have ended.
    """

    own: float
    children: float

    def since(self, before: Cpu) -> Cpu:
        """Return what was used since *before*."""
        return Cpu(self.own - before.own, self.children - before.children)


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in MiB.

    Attributes:
        rss: All pages, those of shared libraries too.
        pss: The same, but a page that n processes share counts as a part of n.
        peak: The highest `rss` ever.
    """

    rss: float
    pss: float
    peak: float


def cpu_of(pid: int) -> Cpu:
    """Return the CPU time of the process *pid*."""
    # after the name, which may hold anything
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children_user, children_system = map(int, fields[13:15])
    # its clock, as clock_getcpuclockid(3) names it: to the nanosecond, where stat counts in 10 ms
    own = time.clock_gettime(~pid << 3 | 2)
    return Cpu(own, (children_user + children_system) / _TICKS_PER_S)


def memory_of(pid: int) -> Memory:
    """Return the memory of the process *pid*."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    return Memory(_mib(rollup, "Rss"), _mib(rollup, "Pss"), _mib(status, "VmHWM"))


def _mib(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
