"""The one consumer of changes: drives nginx toward what the sources say, and repeats what did not work.

The site, and the templates that are part of its nginx, are brought into effect here; every other group of
templates is given the newest view and works at its own pace.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from proxyconf.api import AppliedState, Pass
from proxyconf.brake import Brake
from proxyconf.changes import Batch
from proxyconf.errors import (
    CommandError,
    NotRunningError,
    ProxyconfError,
    RefusedError,
    ReloadError,
    ReloadRefusedError,
    StateError,
    UncheckedError,
)
from proxyconf.gate import Gate
from proxyconf.groups.rendering import Views
from proxyconf.model import Snapshot
from proxyconf.news import differences
from proxyconf.progress import Progress
from proxyconf.snapshot import merge, owners_of
from proxyconf.state import Applied
from proxyconf.steps import Steps
from proxyconf.supervisor import uninterrupted

if TYPE_CHECKING:
    from proxyconf.apply import Apply
    from proxyconf.board import Board
    from proxyconf.changes import ChangeQueue
    from proxyconf.groups.group import Group
    from proxyconf.groups.rendering import View
    from proxyconf.intake import Intake
    from proxyconf.model import Problem
    from proxyconf.outfit import Outfit
    from proxyconf.state import State

_LOOK_S = 5.0  # how often to look whether nginx still runs on what we gave it
_LOOK_FOR_START_S = 0.5
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 30.0  # what is mended by hand is noticed by then, for the price of an nginx -t


class Reconciler:
    """Makes nginx serve, and the templates show, what the sources say.

    Attributes:
        settled: Set once every required source has spoken and the outcome is a final one: applied, installed
            while no nginx runs, or refused.
        looked: Set once the look that was asked for last is over, whatever came of it.
        progress: Whether it moves on.
        brake: While it is on, what the sources say is taken in, and nothing brought into effect.
    """

    def __init__(
        self,
        *,
        queue: ChangeQueue,
        intake: Intake,
        state: State,
        board: Board,
        outfit: Outfit,
    ) -> None:
        self.settled = asyncio.Event()
        self.looked = asyncio.Event()
        self._queue = queue
        self._intake = intake
        self._outfit = outfit
        self._next_outfit: Outfit | None = None
        self._state = state
        self._board = board
        self._clock = asyncio.get_running_loop().time
        self.progress = Progress(self._clock)
        self.brake = Brake()
        self._gate = Gate(outfit.tables.pace.start_wait, self._clock)
        self._applied: Applied | None = None
        self._wanted = Snapshot()
        self._served: Snapshot | None = None
        self._views = Views()
        self._since: float | None = None
        self._causes: set[str] = set()
        self._asked = {"start"}  # of the passes to come
        self._asking: set[str] = set()  # of those up to now that had no success
        self._anew = False
        self._failures = 0

    def wear(self, outfit: Outfit) -> None:
        """Work with *outfit* from the next pass on, which comes at once, and check and reload everything."""
        self._next_outfit = outfit
        self.ask("configuration")

    def look_again(self) -> None:
        """Check and reload even if nothing has changed: a certificate of the operator's may have."""
        self._anew = True  # and not at once: a pass may be under way
        self.ask("look")

    def ask(self, cause: str) -> None:
        """Make a pass though nothing has changed; *cause* is a word of `proxyconf.api.Pass.asked`."""
        self._asked.add(cause)
        self.looked.clear()
        self._queue.poke()

    def resume(self) -> None:
        """Release the brake, and bring into effect at once what the sources say."""
        self.brake.release()
        self._since = self._clock() if self._causes else None  # till now it was a person who let it wait
        self.ask("resume")

    async def run(self) -> NoReturn:
        """Reconcile for ever; a cancellation waits for the pass under way, but not long for users' commands.

        Raises:
            StateError: The state folder can't be used at the start.
        """
        self.progress.promise()
        wake_at = self._clock() + await uninterrupted(self._resume())
        while True:
            self.progress.promise(wake_at - self._clock())
            batch = await self._next(wake_at)
            self.progress.promise()
            async with self.brake.at_work:
                wait_s = await uninterrupted(self._pass(batch), hurry=self._end_soon)
            wake_at = self._clock() + wait_s
            if batch.poked and not self._queue.is_poked:
                self.looked.set()

    def _end_soon(self) -> None:
        if self._outfit.joined:
            self._outfit.joined.end_soon()

    async def _resume(self) -> float:
        """Take up what an earlier run has left; return when to make the first pass."""
        applied = self._applied = await asyncio.to_thread(self._state.load_applied)
        saved = await asyncio.to_thread(self._state.load_listings)
        for listing in saved:
            self._intake.restore(listing)
        self._gate.earlier = applied.owners if applied else {}
        await self._resume_outfit(self._outfit)
        return 0.0 if saved else _LOOK_FOR_START_S

    async def _resume_outfit(self, outfit: Outfit) -> None:
        if outfit.apply:
            await outfit.apply.resume(self._applied)
        if outfit.joined:
            await outfit.joined.resume()

    async def _change_outfit(self) -> None:
        """Take the next outfit, if there is one; where its folder can't be used, the next pass does."""
        if outfit := self._next_outfit:
            await self._resume_outfit(outfit)
            before = self._outfit.apply
            self._outfit, self._next_outfit = outfit, None
            if outfit.apply and before:
                outfit.apply.follow(before)
            self._anew = True
        if self._anew and self._outfit.apply:
            self._outfit.apply.look_again()
        self._anew = False

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
        self._asking, self._asked = self._asking | self._asked, set()
        if batch.changes and self._since is None:
            self._since = batch.since
            self._board.behind(time.time() - (self._clock() - batch.since))
        try:
            await self._change_outfit()
        except StateError as exc:
            return self._note_failure("failed", str(exc), self._wanted, Steps())
        if not (batch.poked or batch.changes) and (quiet_s := await self._quiet_s()):
            return quiet_s
        started = time.perf_counter()
        host_rule = self._outfit.tables.routing.host_rule
        owners = owners_of(self._wanted) or self._gate.earlier
        snapshot = merge(self._intake.claims(), owners, host_rule=host_rule)
        for_ever = self._outfit.apply is None
        if reason := self._gate.closed_by(self._intake.unknown(), snapshot, for_ever=for_ever):
            self._board.waiting(reason)
            await self._look_for_nginx()
            return self._gate.left_s if 0 < self._gate.left_s < _LOOK_S else _LOOK_S
        self._wanted = snapshot
        if self.brake.is_on:
            return await self._hold_back(snapshot)
        steps = Steps({"snapshot": time.perf_counter() - started}, begun=self.progress.promise)
        if self._outfit.apply is None:
            return await self._bring_none(snapshot, steps)
        return await self._bring_site(self._outfit.apply, snapshot, steps, started)

    async def _quiet_s(self) -> float:
        """Return how long nothing need be done without a change; 0 where something is due."""
        if self._board.is_applied:
            return _LOOK_S if await self._serves() else 0.0
        apply, joined = self._outfit.apply, self._outfit.joined
        waits = apply and self._board.is_installed and await apply.awaits_start()
        return _LOOK_FOR_START_S if waits and not (joined and await joined.is_due()) else 0.0

    async def _serves(self) -> bool:
        apply, joined = self._outfit.apply, self._outfit.joined
        return (apply is None or await apply.serves()) and (joined is None or not await joined.is_due())

    async def _hold_back(self, snapshot: Snapshot) -> float:
        """Say what would come into effect, if a person had not asked for a pause."""
        self._show(snapshot)
        await self._look_for_nginx()
        apply = self._outfit.apply
        is_served = apply is None or await apply.recognises(snapshot)
        self._served = self._served or (snapshot if apply and is_served else None)  # by an earlier run
        served = self._served or Snapshot()
        if is_served and self._served and snapshot.is_like(served) and await self._serves():
            self._board.in_step()
        else:  # of what an earlier run brought into effect only the host names are known
            self._board.held(differences(served, snapshot) if self._served else ())
        self.settled.set()  # to wait for more would be in vain
        return _LOOK_S

    async def _look_for_nginx(self) -> None:
        """Note whether nginx runs, where nothing is brought into effect that would tell."""
        if apply := self._outfit.apply:
            self._board.nginx_looked_for(running=await apply.master() is not None)

    async def _bring_none(self, snapshot: Snapshot, steps: Steps) -> float:
        """Note *snapshot* where there is no site."""
        self._hand_out(snapshot, frozenset(self._causes | self._asking))
        try:
            await asyncio.to_thread(self._save)
        except StateError as exc:
            return self._note_failure("failed", str(exc), snapshot, steps)
        if behind := self._intake.behind():
            self._show(snapshot)
            self._board.waiting(f"for {', '.join(behind)}, for what an earlier run knew may be outdated")
        else:
            self._note_success(snapshot, steps)
        return _LOOK_S

    async def _bring_site(self, apply: Apply, snapshot: Snapshot, steps: Steps, started: float) -> float:
        reloads, causes = apply.reloads, frozenset(self._causes | self._asking)
        try:
            wait_s = await self._bring(apply, snapshot, steps)
        except UncheckedError as exc:
            self._show(snapshot)
            self._board.waiting(str(exc))
            wait_s = _LOOK_FOR_START_S
        if not (self._board.is_applied or self._board.is_installed):
            await self._look_for_nginx()
        self._board.nginx.version = apply.version
        self._hand_out(snapshot, causes)
        if apply.reloads > reloads or "check" in steps.seconds:  # a check costs half a reload
            self._queue.bucket.spend(time.perf_counter() - started, old_workers=apply.lingering.memory)
            self._board.workers_counted(apply.lingering.count, apply.lingering.memory)
        self._board.certificates_found(apply.certificates)
        return wait_s

    def _view(self, snapshot: Snapshot) -> View | None:
        """Return what templates may see; None until every required source has spoken."""
        return None if self._intake.behind() else self._views.of(snapshot)

    def _hand_out(self, snapshot: Snapshot, causes: frozenset[str]) -> None:
        """Give the groups that work for themselves the newest view."""
        if self._outfit.lanes and (view := self._view(snapshot)):
            for lane in self._outfit.lanes:
                lane.want(view, causes)

    async def _bring(self, apply: Apply, snapshot: Snapshot, steps: Steps) -> float:
        """Apply *snapshot* and note how it went; return the seconds until the next look."""
        joined = self._outfit.joined
        try:
            if joined:
                await self._install_joined(apply, joined, snapshot, steps)
            await apply.apply(snapshot, steps, beside=self._save)
            await self._keep(apply, snapshot)
            if joined:
                await joined.settle("nonce")
        except NotRunningError as exc:
            if joined:
                await joined.wait_for_nginx()
            wait_s = self._note_failure("installed", str(exc), snapshot, steps)
        except RefusedError as exc:
            if joined and any(output.is_pending for output in joined.outputs):
                await self._load_beside(apply, joined, steps)
            wait_s = self._note_failure("refused", str(exc), snapshot, steps)
        except UncheckedError:
            raise
        except (ProxyconfError, OSError) as exc:  # whatever it is, it must not end what works
            wait_s = await self._note_error(exc, snapshot, steps)
        else:
            self._note_success(snapshot, steps)
            wait_s = _LOOK_S
        return min(wait_s, joined.tell()) if joined else wait_s

    async def _note_error(self, exc: Exception, snapshot: Snapshot, steps: Steps) -> float:
        joined = self._outfit.joined
        if joined and isinstance(exc, ReloadRefusedError):
            await joined.unload(str(exc))
        unproved = isinstance(exc, (ReloadError, CommandError)) and not isinstance(exc, ReloadRefusedError)
        if unproved and self._served and snapshot.is_like(self._served):
            self._board.doubted()
        return self._note_failure("failed", str(exc), snapshot, steps)

    async def _install_joined(self, apply: Apply, joined: Group, snapshot: Snapshot, steps: Steps) -> None:
        """Put the templates of the site's nginx in place; the reload of the site will load them, too."""
        if apply.is_first:  # there is nothing yet in whose context they could be checked
            with suppress(NotRunningError):
                await apply.apply(snapshot, steps, beside=self._save)
        with steps.timed("templates"):
            self.progress.promise(self._outfit.patience_s)
            if view := self._view(snapshot):
                await joined.install(view, frozenset(self._causes | self._asking))
        apply.also = joined.digest()

    async def _load_beside(self, apply: Apply, joined: Group, steps: Steps) -> None:
        """Load the templates in place: the site is refused, but they have passed with the one before it."""
        try:
            await apply.reload(steps)
            await joined.settle("nonce")
        except NotRunningError:
            await joined.wait_for_nginx()
        except ReloadRefusedError as exc:
            await joined.unload(str(exc))
        except (ReloadError, CommandError):
            pass  # they stay pending, which is said, and the next pass tries again

    async def _keep(self, apply: Apply, snapshot: Snapshot) -> None:
        """Save what is proved, and the listings it was made of."""
        proved = apply.proved
        if proved and (self._applied is None or self._applied.nonce != proved.nonce):
            digest, nonce, owners = proved.digest, proved.nonce, owners_of(snapshot)
            self._applied = Applied(digest=digest, nonce=nonce, at=time.time(), owners=owners)
            await asyncio.to_thread(self._state.save_applied, self._applied)
        await asyncio.to_thread(self._save)

    def _save(self) -> None:
        self._state.save_listings(self._intake.listings())

    def _note_success(self, snapshot: Snapshot, steps: Steps) -> None:
        done = self._done("applied", "", snapshot, steps)
        self._failures, self._served = 0, snapshot
        self._since, self._causes, self._asking = None, set(), set()
        self._show(snapshot)
        applied = self._applied if self._outfit.apply else None
        self._board.passed(done, AppliedState(digest=applied.digest, at=applied.at) if applied else None)
        if not self._intake.silent():
            self.settled.set()

    def _note_failure(self, result: str, reason: str, snapshot: Snapshot, steps: Steps) -> float:
        self._show(snapshot)
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
        now, apply = self._clock(), self._outfit.apply
        is_proved = result == "applied" and "proof" in steps.seconds
        end = apply.proved_at if apply and is_proved else now
        since = self._since if is_proved or result != "applied" else None  # else nothing of it is for nginx
        recertified = apply.recertified if apply else ()
        asked = self._asking | ({"certificates"} if recertified else set())
        changed = differences(self._served or Snapshot(), snapshot, self._problems(snapshot))
        return Pass(
            at=time.time() - (now - end),
            result=result,
            sources=tuple(sorted(self._causes)),
            asked=tuple(sorted(asked)),
            changed=(*changed, *recertified),
            served_ms=None if since is None else (end - since) * 1000,
            steps_ms={name: round(seconds * 1000, 2) for name, seconds in steps.seconds.items()},
            reason=reason,
        )

    def _show(self, snapshot: Snapshot) -> None:
        self._board.snapshot_made(snapshot, self._problems(snapshot), self._intake.held())

    def _problems(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        found = (*self._intake.problems(), *self._outfit.problems(), *snapshot.problems)
        return (*found, *self._outfit.apply.problems) if self._outfit.apply else found
