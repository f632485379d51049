"""Where test programs run, and how a web server is asked there; every wait has a bound.

What speaks TCP to containers runs in the `Place` of the lab's network.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.live.docker_engine import DockerEngine

TIMEOUT_S = 20.0  # far more than anything takes, for machines that are busy with something else
_POLL_S = 0.01
_NAME = re.compile(rb'"name": "([\w-]+)"|^app=([\w-]+) ')
_CLONE_NEWNET = 0x40000000


class RunningError(Exception):
    """What was waited for did not come, or something was left; the message holds what there is to know."""


def until(condition: Callable[[], object], what: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until *condition* is true.

    Raises:
        RunningError: It is not, after *timeout_s* seconds; says *what* was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RunningError(f"not after {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)


def _stay() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Place:
    """Where programs run and connections are made.

    Attributes:
        prefix: What stands before every command.
        enter: Brings the connections of the calling thread there.
    """

    prefix: tuple[str, ...] = ()
    enter: Callable[[], None] = _stay


HERE = Place()


def network_of(engine: DockerEngine) -> Place:
    """Return the network in which the containers of *engine* are reached; its processes are ours."""
    found = re.search(r"DOCKERLAB_PID=(\d+)", engine.lab("env"))
    if not found:
        raise RunningError("the lab does not say where it runs")
    network = f"/proc/{found[1]}/ns/net"
    return Place(("nsenter", f"--net={network}"), partial(_enter, network))


def container_of(engine: DockerEngine, container: str) -> Place:
    """Return what a program in the running *container*, given by its id, has of it: its network and its name.

    The files are those of the host, for the image has no Python.
    """
    hostname = engine.folder / "data" / "docker" / "containers" / container / "hostname"
    network = f"/proc/{_pid_in(container)}/ns/net"
    mounted = ("sh", "-c", 'mount --bind "$0" /etc/hostname && exec "$@"', str(hostname))
    return Place(("nsenter", f"--net={network}", "unshare", "--mount", *mounted), partial(_enter, network))


def _pid_in(container: str) -> int:
    """Return a process in *container*: the engine's own pids mean nothing outside of the lab."""
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # it has ended
            if f"/containers/{container}/hostname " in path.read_text():
                return int(path.parent.name)
    raise RunningError(f"container {container[:12]} does not run")


def _enter(network: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns comes with Python 3.12
    with Path(network).open("rb") as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise RunningError(f"enter {network}: {os.strerror(ctypes.get_errno())}")


def ask(port: int, host: str, path: str = "/") -> str:
    """Ask what listens on *port* of 127.0.0.1, on a fresh connection.

    Returns:
        The name of the backend that answered; else the status; ``refused`` where nothing listens.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        found = _NAME.search(response.read())
    except ConnectionRefusedError:
        return "refused"
    except (OSError, http.client.HTTPException) as exc:
        return f"{type(exc).__name__}: {exc}"
    finally:
        connection.close()
    return (found[1] or found[2]).decode() if found and response.status == 200 else str(response.status)


class Trickle:
    """Asks one host on fresh connections, one after the other.

    Attributes:
        answers: As `ask` returns them.
    """

    def __init__(self, place: Place, port: int, host: str) -> None:
        self.answers: list[str] = []
        self._place = place
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port, host))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def until_more(self, count: int) -> None:
        """Wait for *count* more answers."""
        wanted = len(self.answers) + count
        until(lambda: len(self.answers) >= wanted, f"{count} more answers")

    def _run(self, port: int, host: str) -> None:
        self._place.enter()
        while not self._ended.wait(0.005):
            self.answers.append(ask(port, host))
