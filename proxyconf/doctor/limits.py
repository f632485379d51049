"""Whether nginx may open as many files as its connections need."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.doctor.finding import Finding, Findings, ok, warning
from proxyconf.nginx.root import files_needed
from proxyconf.nginx.workers import serving_workers

if TYPE_CHECKING:
    from proxyconf.tables import Nginx

_WHAT = "files"
_CAP_SYS_RESOURCE = 24  # its bit: without it, not even root can raise a limit


async def open_files(settings: Nginx, master: int | None) -> Findings:
    """Yield whether nginx, which runs as *master* or would be started from here, may open enough files."""
    limit = await asyncio.to_thread(_limit, master)
    if limit is not None:
        yield judge(settings.worker_connections, limit, running=master is not None)


def judge(connections: int, limit: int, *, running: bool) -> Finding:
    """Return what a *limit* of open files means for workers with so many connections each."""
    needed = files_needed(connections)
    whose = "nginx's workers may" if running else "an nginx that is started from here could"
    says = f"{limit} files; {connections} connections that are passed on need {needed}"
    if limit >= needed:
        return ok(_WHAT, f"{whose} open {says}")
    mend = (
        f"LimitNOFILE={needed} in nginx's unit, --ulimit nofile={needed} for its container, or a smaller"
        " [nginx] worker_connections"
    )
    return warning(_WHAT, f"{whose} only open {says}", mend)


def _limit(master: int | None) -> int | None:
    """Return the limit of a running worker, or else what one could have; None where it can't be told."""
    if master is None:
        return _could_have()
    worker = next(iter(serving_workers(master)), None)
    try:
        text = Path(f"/proc/{worker.pid if worker else master}/limits").read_text()
    except OSError:  # it is somebody else's, or has just ended
        return None
    found = re.search(r"(?m)^Max open files\s+(\d+)", text)
    return int(found[1]) if found else None


def _could_have() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.geteuid() != 0:
        return soft  # nobody raises it: without root, our file does not ask for that
    if may_raise(Path("/proc/self/status").read_text()):
        return int(Path("/proc/sys/fs/nr_open").read_text())
    return hard


def may_raise(status: str) -> bool:
    """Tell whether a process may raise its limits, by its ``/proc/PID/status``."""
    found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)$", status)
    return bool(found and int(found[1], 16) >> _CAP_SYS_RESOURCE & 1)
