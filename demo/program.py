"""The program that it is all about, run as a user runs it."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

from demo.errors import DemoError
from demo.journal import Journal
from demo.processes import end, environment

if TYPE_CHECKING:
    from pathlib import Path


class Proxyconf:
    """The program itself.

    Attributes:
        journal: What it logs.
        state: Its state folder.
        command: The line that starts it.
    """

    def __init__(self, folder: Path, *, etcd_url: str, nginx_port: int) -> None:
        self.journal = Journal()
        self.state = folder / "state"
        listen = f"nginx.listen.http=127.0.0.1:{nginx_port}"
        # two workers are as good as any number here, and plain to look at
        settings = ("-s", listen, "-s", "nginx.worker_processes=2")
        self._arguments = ("run", "--etcd", etcd_url, "--state", str(self.state), *settings)
        self.command = shlex.join(("proxyconf", *self._arguments))
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it."""
        self._process = await self._child(self._arguments)
        if self._process.stdout:
            following = self.journal.follow(self._process.stdout)
            self._following = asyncio.create_task(following, name="journal")

    async def status(self) -> dict[str, Any]:
        """Return what ``proxyconf status --json`` says.

        Raises:
            DemoError: It failed.
        """
        asking = await self._child(("status", "--state", str(self.state), "--json"))
        try:
            output, _ = await asking.communicate()
        finally:
            await end(asking, signal.SIGKILL)
        if asking.returncode:
            raise DemoError(f"proxyconf status: {output.decode(errors='replace').strip()}")
        return dict(json.loads(output))

    async def stop(self) -> None:
        """End it in order."""
        await end(self._process, signal.SIGTERM)
        if self._following:
            await self._following

    async def _child(self, arguments: tuple[str, ...]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxyconf",
            *arguments,
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
