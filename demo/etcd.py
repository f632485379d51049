"""An etcd of our own."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from demo.asking import PATIENCE_S, exchange, read_answer
from demo.errors import DemoError
from demo.processes import LOOK_EVERY_S, end, environment, free_port, program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Etcd:
    """One etcd, which keeps its port and data when it is killed and started again.

    Attributes:
        port: Where it serves.
        log: The file that it logs to.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "etcd.log"
        self._peer = f"http://127.0.0.1:{free_port()}"
        self._data = folder / "etcd"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 while it does not run."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start it; it serves a little later."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program("etcd"),
                f"--data-dir={self._data}",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls={self._peer}",
                f"--initial-advertise-peer-urls={self._peer}",
                f"--initial-cluster=default={self._peer}",
                "--heartbeat-interval=10",  # who elects itself need not be patient
                "--election-timeout=100",
                env=environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def put(self, key: str, value: str) -> None:
        """Set a key.

        Raises:
            DemoError: It refused.
            OSError: It does not serve.
        """
        await self._call("kv/put", {"key": _encoded(key), "value": _encoded(value)})

    async def delete(self, key: str) -> None:
        """Delete a key; raises as `put`."""
        await self._call("kv/deleterange", {"key": _encoded(key)})

    async def put_when_up(self, key: str, value: str) -> float:
        """Set a key as soon as it serves; return when that attempt began.

        Raises:
            DemoError: It ended, or does not serve within 20 s.
        """
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            if self._process is None or self._process.returncode is not None:
                raise DemoError("etcd has ended")
            start = time.perf_counter()
            with suppress(OSError, DemoError):  # while it elects itself it refuses
                await self.put(key, value)
                return start
            await asyncio.sleep(LOOK_EVERY_S)
        raise DemoError(f"etcd does not serve within {PATIENCE_S:g} s")

    async def kill(self) -> None:
        """End it as a crash does."""
        await end(self._process, signal.SIGKILL)
        self._process = None

    async def stop(self) -> None:
        """End it in order."""
        await end(self._process, signal.SIGTERM)
        self._process = None

    async def _call(self, method: str, body: Mapping[str, str]) -> None:
        content = json.dumps(body)
        request = f"POST /v3/{method} HTTP/1.0\r\nContent-Length: {len(content)}\r\n\r\n{content}"
        answer = read_answer(await exchange(self.port, request.encode()))
        if answer.status != 200:
            raise DemoError(f"etcd: {method}: {answer}")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
