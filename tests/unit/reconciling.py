"""A reconciler on a scripted apply, in virtual time; everything else is real."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from proxyconf.api import NginxState
from proxyconf.apply import Generation
from proxyconf.board import Board
from proxyconf.changes import ChangeQueue
from proxyconf.errors import NotRunningError, StateError
from proxyconf.intake import Intake
from proxyconf.nginx.workers import Lingering
from proxyconf.outfit import Outfit
from proxyconf.reconciler import Reconciler
from proxyconf.state import State
from proxyconf.tables import Pace, Routing, SourcePolicy, Tables
from tests.unit.fakes import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from proxyconf.api import CertificateState
    from proxyconf.apply import Apply
    from proxyconf.model import Change, Problem, Snapshot
    from proxyconf.state import Applied
    from proxyconf.steps import Steps


class ScriptedApply:
    """Takes snapshots, as long as `outcomes` has no error for them.

    Attributes:
        outcomes: What becomes of the next ones: an error to raise, or None.
        takes_s: How long each takes to its proof.
        tidies_s: And how long after it.
        reloading: Each that succeeds costs a reload.
        still: nginx serves what it was given last.
        known: nginx serves what is wanted; None: as soon as it was given anything, and still has it.
        runs: There is an nginx, be it an idle one.
        calls: When each was asked for.
        done: What succeeded, and when.
        unusable: What resuming raises.
        version: nginx's.
        looks: When it was asked whether nginx still serves.
        looked_again: When it was told to try everything again.
        waits: When it was asked whether nginx is still to be started: as long as the next outcome says so.
    """

    def __init__(self) -> None:
        self.outcomes: list[Exception | None] = []
        self.takes_s = self.tidies_s = 0.0
        self.unusable: StateError | None = None
        self.reloading = True
        self.still = self.runs = True
        self.known: bool | None = None
        self.calls: list[float] = []
        self.done: list[tuple[float, Snapshot]] = []
        self.looks: list[float] = []
        self.waits: list[float] = []
        self.looked_again: list[float] = []
        self.resumed: list[Applied | None] = []
        self.reloads = 0
        self.version = "1.22.1"
        self.proved: Generation | None = None
        self.proved_at = 0.0
        self.problems: tuple[Problem, ...] = ()
        self.recertified: tuple[str, ...] = ()
        self.lingering = Lingering()
        self.certificates: tuple[CertificateState, ...] = ()
        self.certificates = ()

    async def resume(self, applied: Applied | None) -> None:
        if self.unusable:
            raise self.unusable
        self.resumed.append(applied)

    def follow(self, before: object) -> None:
        del before

    def look_again(self) -> None:
        self.looked_again.append(now())

    async def awaits_start(self) -> bool:
        self.waits.append(now())
        waits = bool(self.outcomes) and isinstance(self.outcomes[0], NotRunningError)
        if waits:
            self.outcomes.pop(0)
        return waits

    async def master(self) -> int | None:
        return 1 if self.runs else None

    async def recognises(self, snapshot: Snapshot) -> bool:
        del snapshot
        return bool(self.done) and self.still if self.known is None else self.known

    async def serves(self) -> bool:
        self.looks.append(now())
        return self.still

    async def apply(self, snapshot: Snapshot, steps: Steps, *, beside: Callable[[], None]) -> bool:
        self.calls.append(now())
        beside()
        if self.reloading:
            steps.seconds["check"] = 0.0
        with steps.timed("proof"):
            await asyncio.sleep(self.takes_s)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        self.proved_at = now()
        await asyncio.sleep(self.tidies_s)
        self.still = True
        if self.reloading:
            with steps.timed("proof"):
                self.reloads += 1
            self.proved = Generation(f"digest-{self.reloads}", f"nonce-{self.reloads}", b"")
        else:
            del steps.seconds["proof"]
        self.done.append((now(), snapshot))
        return self.reloading

    def addresses(self) -> list[tuple[str, ...]]:
        """Return what service web consisted of, each time."""
        return [tuple(end.address for end in made.services.get("web", ())) for _, made in self.done]


class RecordingBoard(Board):
    """Notes when and for what the reconciler waited."""

    def __init__(self, sources: Sequence[str], nginx: NginxState) -> None:
        super().__init__(sources, nginx)
        self.waits: list[tuple[float, str]] = []

    def waiting(self, reason: str) -> None:
        self.waits.append((now(), reason))
        super().waiting(reason)


class House:
    """A reconciler with its neighbours; made inside the loop."""

    def __init__(
        self, path: Path, sources: Sequence[str] = ("etcd",), *, required: bool = True, host_rule: str = ""
    ) -> None:
        policies = {name: SourcePolicy(required=required) for name in sources}
        self.apply = ScriptedApply()
        self.state = State(path / "state")
        self.queue = ChangeQueue(Pace())
        self.intake = Intake(policies)
        self.board = RecordingBoard(sources, NginxState(mode="own", root="/nginx.conf", start="nginx -c"))
        self.reconciler = Reconciler(
            queue=self.queue,
            intake=self.intake,
            state=self.state,
            board=self.board,
            outfit=Outfit(Tables(routing=Routing(host_rule=host_rule)), cast("Apply", self.apply)),
        )

    def put(self, change: Change, *, at: float) -> None:
        asyncio.get_running_loop().call_at(at, self.queue.put, change)

    async def until(self, end: float) -> None:
        """Run until then."""
        async with self.running():
            await asyncio.sleep(end - now())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        with self.state.locked():
            task: asyncio.Task[None] = asyncio.create_task(self.reconciler.run())
            try:
                yield task
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
