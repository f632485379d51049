"""Runs one group beside the others: the newest view, at its own pace, again until it is in effect."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn

import structlog

from proxyconf.brake import Brake
from proxyconf.changes import Bucket
from proxyconf.supervisor import uninterrupted

if TYPE_CHECKING:
    from proxyconf.groups.group import Group
    from proxyconf.groups.rendering import View
    from proxyconf.tables import Pace

log = structlog.get_logger(__name__)

_CRASHED_S = 5.0


class Lane:
    """One group's task.

    Attributes:
        group: The group.
        settled: Set while the outcome of the newest view is known.
        brake: While it is on, nothing is brought into effect, and nothing repeated.
    """

    def __init__(self, group: Group, *, pace: Pace) -> None:
        self.group = group
        self.settled = asyncio.Event()
        self._bucket = Bucket(pace)
        self._clock = asyncio.get_running_loop().time
        self._view: View | None = None
        self._causes: frozenset[str] = frozenset()
        self._arrived = asyncio.Event()
        self._crash = ""
        self._may_finish = False
        self.brake = Brake()

    def want(self, view: View, causes: frozenset[str] = frozenset()) -> None:
        """Let *view* be what the group is to bring into effect; *causes*: whose listings made it another."""
        if view != self._view:
            self._view, self._causes = view, self._causes | causes
            self.settled.clear()
            self._arrived.set()

    def let_finish(self) -> None:
        """Let what is under way have all its time at the next cancellation: the program goes on."""
        self._may_finish = True

    def _hurry(self) -> None:
        if self._may_finish:
            self._may_finish = False
        else:
            self.group.end_soon()

    async def run(self) -> NoReturn:
        """Bring views into effect for ever; a cancellation waits for what is under way, some seconds at most.

        Before the first view, only a reload that an earlier run has left undone is made up for.

        A bug in it is logged with its traceback, told, and does not end the other groups.
        """
        await self.group.resume()
        if not self.group.is_pending:
            await self._arrived.wait()
        while True:
            await asyncio.sleep(max(0.0, self._bucket.ready_at() - self._clock()))
            await self.brake.released()
            async with self.brake.at_work:
                self._arrived.clear()
                wait_s = await uninterrupted(self._bring(), hurry=self._hurry)
            await self._next(wait_s)

    async def _next(self, wait_s: float) -> None:
        """Return when there is something to do."""
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
            except TimeoutError:
                if not await self._is_due():
                    continue
            return

    async def _is_due(self) -> bool:
        try:
            return await self.group.is_due()
        except Exception:  # noqa: BLE001 - the pass that comes now will tell
            return True

    async def _bring(self) -> float:
        view, started, commands = self._view, time.perf_counter(), self.group.commands
        causes, self._causes, crash = self._causes, frozenset(), ""
        try:
            wait_s = await self.group.bring(view, causes)
        except Exception as exc:
            crash, wait_s = f"crashed: {exc!r} (a bug of ours: please report it)", _CRASHED_S
            if crash != self._crash:
                log.exception("templates.crashed", retry_s=wait_s)
            for output in self.group.outputs:
                output.note("failed", crash)
        self._crash = crash
        if self.group.commands > commands:
            self._bucket.spend(time.perf_counter() - started)
        if view is not None and view is self._view:
            self.settled.set()
        return wait_s
