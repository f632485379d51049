"""A server as a child process on free loopback ports: started, waited for, frozen, ended in any state.

Nothing here needs root, pytest or asyncio; every call blocks. Only what was started here is ended.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

# below the range from which the kernel takes ports for outgoing connections: while a server is down, a
# client that tries its port again and again could otherwise end up connected to itself
_PORTS = range(20_000, 32_000)
_LOG_TAIL = 3_000


class ServerError(Exception):
    """A server did not do what was asked of it; the message holds what it said."""


class Server(ABC):
    """A server, which keeps its folder and ports from one start to the next.

    As a context manager it is started at enter; whatever state it is in, it is ended at exit.

    Attributes:
        folder: Has the log, ``NAME.log``.
        name: For messages, and of its log.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            ServerError: It does not run.
        """
        if self._process is None:
            raise ServerError(f"{self.name}: does not run")
        return self._process.pid

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return its program and arguments."""

    @abstractmethod
    def healthy(self) -> bool:
        """Tell whether it serves."""

    def environment(self) -> Mapping[str, str]:
        """Return the variables that it gets."""
        return os.environ

    def start(self, *, timeout_s: float = 30) -> None:
        """Start it, unless it runs, and wait until it serves.

        Raises:
            ServerError: It ended, or did not serve in time.
        """
        self.launch()
        self.wait(timeout_s=timeout_s)

    def launch(self) -> None:
        """Start it, unless it runs; return at once."""
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its workers can be killed with it
            )

    def wait(self, *, timeout_s: float = 30) -> None:
        """Wait until it serves.

        Raises:
            ServerError: It ended, or did not serve in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self.healthy():
            if self._process is None or self._process.poll() is not None:
                raise ServerError(f"{self.name}: ended\n{self.log()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name}: does not serve after {timeout_s} s\n{self.log()}")
            time.sleep(0.01)

    def log(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-_LOG_TAIL:] if self._log.exists() else ""

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout_s: float = 10) -> None:
        """End it in order, by *number*; kill it if that takes too long."""
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it and its children as a crash does (SIGKILL), in whatever state it is."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """Stop it from answering (SIGSTOP); its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"


def free_ports(count: int) -> list[int]:
    """Return *count* different TCP ports of the loopback address that nothing uses."""
    candidates = random.sample(_PORTS, 100)
    ports: list[int] = []
    for port in candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ServerError(f"no {count} free ports among {candidates}")
