"""The one consumer of changes: drives nginx toward what the sources say, and repeats what did not work."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn

from proxyconf.apply import Steps
from proxyconf.board import AppliedState, Pass
from proxyconf.changes import Batch
from proxyconf.errors import CommandError, NotRunningError, RefusedError, ReloadError, StateError
from proxyconf.model import Snapshot
from proxyconf.snapshot import differences, merge, owners_of
from proxyconf.state import Applied
from proxyconf.supervisor import uninterrupted

if TYPE_CHECKING:
    from proxyconf.apply import Apply
    from proxyconf.board import Board
    from proxyconf.changes import ChangeQueue
    from proxyconf.intake import Intake
    from proxyconf.model import Problem
    from proxyconf.snapshot import Owner
    from proxyconf.state import State
    from proxyconf.tables import Tables

_LOOK_S = 5.0  # how often to look whether nginx still runs on what we gave it
_LOOK_FOR_START_S = 0.5
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 30.0  # what is mended by hand is noticed by then, for the price of an nginx -t


class Reconciler:
    """Makes nginx serve what the sources say.

    Attributes:
        settled: Set once every required source has spoken and the outcome is a final one: applied, installed
            while no nginx runs, or refused.
    """

    def __init__(
        self,
        *,
        queue: ChangeQueue,
        intake: Intake,
        apply: Apply,
        state: State,
        board: Board,
        settings: Tables,
    ) -> None:
        self.settled = asyncio.Event()
        self._queue = queue
        self._intake = intake
        self._apply = apply
        self._state = state
        self._board = board
        self._host_rule = settings.routing.host_rule
        self._clock = asyncio.get_running_loop().time
        self._gate_until = self._clock() + settings.pace.start_wait
        self._earlier: dict[str, Owner] = {}
        self._applied: Applied | None = None
        self._wanted = Snapshot()
        self._served = Snapshot()
        self._since: float | None = None
        self._causes: set[str] = set()
        self._failures = 0

    async def run(self) -> NoReturn:
        """Reconcile for ever; a cancellation waits for the pass under way.

        Raises:
            StateError: The state folder can't be used at the start.
        """
        wake_at = self._clock() + await uninterrupted(self._resume())
        while True:
            batch = await self._next(wake_at)
            wake_at = self._clock() + await uninterrupted(self._pass(batch))

    async def _resume(self) -> float:
        """Take up what an earlier run has left; return when to make the first pass."""
        applied = self._applied = await asyncio.to_thread(self._state.load_applied)
        saved = await asyncio.to_thread(self._state.load_listings)
        for listing in saved:
            self._intake.restore(listing)
        self._earlier = applied.owners if applied else {}
        await self._apply.resume(applied)
        return 0.0 if saved else _LOOK_FOR_START_S

    async def _next(self, wake_at: float) -> Batch:
        """Wait for changes, or for the time to look again."""
        try:
            async with asyncio.timeout_at(wake_at):
                return await self._queue.get()
        except TimeoutError:
            return Batch({}, self._clock())

    async def _pass(self, batch: Batch) -> float:
        """Take in *batch* and do what is due; return the seconds until the next look."""
        for change in batch.changes.values():
            self._intake.take(change)
        self._causes |= batch.changes.keys()
        if batch.changes and self._since is None:
            self._since = batch.since
        if not (batch.poked or batch.changes) and self._board.is_applied and await self._apply.serves():
            return _LOOK_S
        started = time.perf_counter()
        snapshot = merge(
            self._intake.claims(), owners_of(self._wanted) or self._earlier, host_rule=self._host_rule
        )
        if not self._may_start(snapshot):
            left_s = self._gate_until - self._clock()
            return left_s if 0 < left_s < _LOOK_S else _LOOK_S
        self._wanted = snapshot
        steps, reloads = Steps({"snapshot": time.perf_counter() - started}), self._apply.reloads
        wait_s = await self._bring(snapshot, steps)
        if self._apply.reloads > reloads or "check" in steps.seconds:  # a check costs half a reload
            self._queue.bucket.spend(time.perf_counter() - started, old_workers=self._apply.lingering.memory)
            self._board.workers_counted(self._apply.lingering.count, self._apply.lingering.memory)
        return wait_s

    def _may_start(self, snapshot: Snapshot) -> bool:
        """Tell whether enough is known: what is unknown must not be taken for empty."""
        unknown = self._intake.unknown()
        if not unknown:
            return True
        names = ", ".join(unknown)
        there = owners_of(snapshot)
        # "" is the host rule's, whose services may be of any source
        lost = [
            claim
            for claim, (source, _) in self._earlier.items()
            if source in ("", *unknown) and claim not in there
        ]
        if self._clock() < self._gate_until:
            self._board.waiting(f"for {names}")
        elif lost:
            self._board.waiting(f"for {names}: without it {len(lost)} routes of the last run would go")
        else:
            return True
        return False

    async def _bring(self, snapshot: Snapshot, steps: Steps) -> float:
        """Apply *snapshot* and note how it went; return the seconds until the next look."""
        try:
            await self._apply.apply(snapshot, steps, beside=self._save)
            await self._keep(snapshot)
        except NotRunningError as exc:
            return self._note_failure("installed", str(exc), snapshot, steps)
        except RefusedError as exc:
            return self._note_failure("refused", str(exc), snapshot, steps)
        except (ReloadError, StateError, CommandError) as exc:
            return self._note_failure("failed", str(exc), snapshot, steps)
        self._note_success(snapshot, steps)
        return _LOOK_S

    async def _keep(self, snapshot: Snapshot) -> None:
        """Save what is proved, and the listings it was made of."""
        proved = self._apply.proved
        if proved and (self._applied is None or self._applied.nonce != proved.nonce):
            self._applied = Applied(
                digest=proved.digest, nonce=proved.nonce, at=time.time(), owners=owners_of(snapshot)
            )
            await asyncio.to_thread(self._state.save_applied, self._applied)
        await asyncio.to_thread(self._save)

    def _save(self) -> None:
        self._state.save_listings(self._intake.listings())

    def _note_success(self, snapshot: Snapshot, steps: Steps) -> None:
        done = self._done("applied", "", snapshot, steps)
        self._failures, self._served = 0, snapshot
        self._since, self._causes = None, set()
        self._board.snapshot_made(snapshot, self._problems(snapshot))
        if self._applied:
            self._board.passed(done, AppliedState(digest=self._applied.digest, at=self._applied.at))
        if not self._intake.silent():
            self.settled.set()

    def _note_failure(self, result: str, reason: str, snapshot: Snapshot, steps: Steps) -> float:
        self._board.snapshot_made(snapshot, self._problems(snapshot))
        self._board.failed(self._done(result, reason, snapshot, steps))
        if result != "failed" and not self._intake.silent():
            self.settled.set()
        if result == "installed":
            self._failures, self._since = 0, None  # from now on it is nginx that is waited for
            return _LOOK_FOR_START_S
        self._failures += 1
        return float(min(_RETRY_CAP_S, _RETRY_BASE_S * 2 ** min(self._failures - 1, 16)))

    def _done(self, result: str, reason: str, snapshot: Snapshot, steps: Steps) -> Pass:
        # what comes after the proof, tidying and saving, keeps nobody waiting
        now = self._clock()
        end = self._apply.proved_at if result == "applied" and "proof" in steps.seconds else now
        waited_s = 0.0 if self._since is None else end - self._since
        return Pass(
            at=time.time() - (now - end),
            result=result,
            sources=tuple(sorted(self._causes)),
            changed=differences(self._served, snapshot),
            served_ms=waited_s * 1000,
            steps_ms={name: round(seconds * 1000, 2) for name, seconds in steps.seconds.items()},
            reason=reason,
        )

    def _problems(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        return (*self._intake.problems(), *snapshot.problems, *self._apply.problems)
