"""An nginx of our own."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from typing import TYPE_CHECKING

from demo.asking import PATIENCE_S
from demo.errors import DemoError
from demo.processes import END_S, children, environment, soon, title

if TYPE_CHECKING:
    from pathlib import Path


class Nginx:
    """An nginx that turns itself into a daemon, so it is found by its pid file.

    Attributes:
        log: Its error log.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "error.log"
        self._pid_file = folder / "nginx.pid"
        self._starting: asyncio.Task[None] | None = None
        self._processes: set[int] = set()

    async def start(self, command: str) -> None:
        """Run *command* and wait until its master is there; goes on to that point even if cancelled.

        Raises:
            DemoError: It failed.
        """
        self._starting = asyncio.create_task(self._start(command), name="nginx")
        await asyncio.shield(self._starting)

    def kill(self) -> None:
        """End the master and its workers as a crash of the host does."""
        if master := self._master():
            os.kill(master, signal.SIGSTOP)  # or it would replace the workers that are killed
            for pid in (master, *children(master)):
                self._processes.add(pid)
                os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it without waiting for requests; kill what does not go.

        Raises:
            DemoError: Something is left.
        """
        if self._starting:
            await asyncio.wait([self._starting])
        if master := self._master():
            self._processes.update((master, *children(master)))
            os.kill(master, signal.SIGTERM)
        if not await soon(lambda: not self._left(), within_s=END_S):
            for pid in self._left():
                os.kill(pid, signal.SIGKILL)
            if not await soon(lambda: not self._left(), within_s=END_S):
                raise DemoError(f"nginx is still there: pid {', '.join(map(str, self._left()))}")

    async def _start(self, command: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise DemoError(f"{command}: {output.decode(errors='replace').strip()}")
        if not await soon(lambda: self._master() != 0, within_s=PATIENCE_S):
            raise DemoError(f"{command}: no master process within {PATIENCE_S:g} s")

    def _master(self) -> int:
        """Return the pid of the master; 0 without one."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return 0
        return pid if title(pid).startswith("nginx: master") else 0

    def _left(self) -> list[int]:
        return [pid for pid in self._processes if title(pid).startswith("nginx: ")]
