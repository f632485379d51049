"""An nginx of our own."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from demo.asking import PATIENCE_S
from demo.errors import DemoError
from demo.processes import END_S, environment, session, soon, title

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
        self._leader = 0

    async def start(self, command: str) -> None:
        """Run *command* and wait until its master is there; goes on to that point even if cancelled.

        Raises:
            DemoError: It failed.
        """
        self._starting = asyncio.create_task(self._start(command), name="nginx")
        await asyncio.shield(self._starting)

    def kill(self) -> None:
        """End the master and its workers as a crash does."""
        if master := self._master():
            os.kill(master, signal.SIGSTOP)  # or it would replace the workers that are killed
        self._kill_all()

    async def stop(self) -> None:
        """End it without waiting for requests; kill what does not go.

        Raises:
            DemoError: Something is left.
        """
        if self._starting:
            await asyncio.wait([self._starting])
        if master := self._master():
            self._note(master)
            os.kill(master, signal.SIGTERM)
            if await soon(lambda: not self._left(), within_s=END_S):
                return
        self._kill_all()
        if not await soon(lambda: not self._left(), within_s=END_S):
            raise DemoError(f"nginx can't be ended: pid {', '.join(map(str, self._left()))}")

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
        self._note(self._master())

    def _master(self) -> int:
        """Return the pid of the master; 0 without one."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return 0
        return pid if title(pid).startswith("nginx: master") else 0

    def _note(self, master: int) -> None:
        """Remember its session: as a daemon it has one of its own, which holds all its workers."""
        with suppress(ProcessLookupError):  # it ended meanwhile
            if os.getsid(master) == master:  # else somebody has started it by hand, in the session of a shell
                self._leader = master

    def _left(self) -> list[int]:
        """Return what is left of the master and its workers, also where only they are."""
        workers = session(self._leader) if self._leader else []
        master = self._master()
        return [*workers, *({master} - {0, *workers})]

    def _kill_all(self) -> None:
        for pid in self._left():
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGKILL)
