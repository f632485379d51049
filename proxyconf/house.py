"""The running parts, made from the settings; and made anew where the settings have changed.

Queue, intake, board, reconciler and state folder stay for the program's whole life. What reading the
configuration again replaces: nginx, the templates, and those sources whose settings or needs are others now.
A source that stays keeps its watch; the listing of one that is replaced counts until its successor speaks.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from proxyconf.api import NginxState
from proxyconf.board import Board
from proxyconf.changes import ChangeQueue
from proxyconf.design import make_design
from proxyconf.errors import ProxyconfError, StateError
from proxyconf.explain.answer import Known
from proxyconf.explain.ask import explain
from proxyconf.groups.undo import recover
from proxyconf.intake import Intake
from proxyconf.reconciler import Reconciler
from proxyconf.resources.folder import Resources
from proxyconf.supervisor import keep_watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.api import Pause
    from proxyconf.apply import Apply
    from proxyconf.config import Settings
    from proxyconf.design import Design
    from proxyconf.explain.answer import Explanation
    from proxyconf.groups.lane import Lane
    from proxyconf.model import Change, Problem
    from proxyconf.state import State

log = structlog.get_logger(__name__)

_ENGINE_S = 1.0  # who asks waits no longer than 5 s
_FINISH_S = 0.5  # a reload takes less; with the time for requests it must fit into the 10 s of `docker stop`


class House:
    """All parts; its tasks run in one task group.

    Attributes:
        board: What happened and what is so.
        progress: Whether the loop that applies changes moves on.
    """

    def __init__(self, settings: Settings, state: State, board: Board, design: Design) -> None:
        self.board = board
        self._settings = settings
        self._state = state
        self._design = design
        self._queue = ChangeQueue(settings.tables.pace)
        self._intake = Intake(design.policies, design.needs)
        self._reconciler = Reconciler(
            queue=self._queue, intake=self._intake, state=state, board=board, outfit=design.outfit
        )
        self.progress = self._reconciler.progress
        self._watches: dict[str, asyncio.Task[NoReturn]] = {}
        self._lanes: dict[Lane, asyncio.Task[NoReturn]] = {}
        self._changing = asyncio.Lock()
        self._pause: Pause | None = None

    @classmethod
    async def build(cls, settings: Settings, state: State) -> House:
        """Make the parts; asks nginx what it is, and puts back what a killed run has left unchecked.

        Raises:
            UsageError: The configuration is wrong.
            StateError: The state folder can't be used.
            CommandError: nginx's program can't be run.
        """
        try:
            for path in await asyncio.to_thread(recover, state.undo):
                log.warning("template.recovered", dest=str(path), reason="its check had not ended")
        except StateError as exc:  # its group tries again, and says so; the others must not wait for it
            log.error("template.not_recovered", reason=str(exc))  # noqa: TRY400 - no bug
        board = Board((), NginxState(mode="", root=""))
        house = cls(settings, state, board, await make_design(settings, state, board, Resources()))
        house._tell("proxyconf.started")
        if pause := await asyncio.to_thread(state.load_pause):
            house._hold(pause)
        return house

    @property
    def set_aside(self) -> tuple[Problem, ...]:
        """The template resources that can't be used."""
        return self._design.resources.problems

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start all tasks."""
        self._reconciling = group.create_task(self._reconciler.run(), name="reconciler")
        self._start_missing(group)

    async def settled(self) -> None:
        """Wait until every required source has spoken, and the outcome is a final one everywhere."""
        await self._reconciler.settled.wait()
        if self._pause:
            return
        for lane in self._lanes:
            await lane.settled.wait()

    async def startable(self, patience_s: float) -> None:
        """Wait until nginx may be started on what is there.

        That is when every required source has spoken, or not within *patience_s*, and, where the main file is
        ours, there is one: what an earlier run left was checked then.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self.settled()
        known = self.board.nginx
        if known.mode == "own" and not await asyncio.to_thread(Path(known.root).exists):
            await self.board.in_place.wait()

    async def master(self) -> int | None:
        """Return the pid of the nginx that runs on our file, on this host; None where there is none."""
        apply = self._design.outfit.apply
        pid = await apply.master() if apply else None
        return pid if isinstance(pid, int) else None

    async def finish(self) -> None:
        """Bring nothing more into effect; what is under way is waited for, but not for long."""
        tasks = [self._reconciling, *self._lanes.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_FINISH_S)

    def confirm(self) -> tuple[str, ...]:
        """Believe the listings that are held."""
        confirmed = self._intake.confirm()
        if confirmed:
            self._reconciler.ask("confirm")
        return confirmed

    async def explain(self, question: str) -> Explanation:
        """Say why a host, a container or a key is served, or is not.

        Raises:
            BadValueError: It is no question.
        """
        apply = self._design.outfit.apply
        if apply:  # nginx may have ended since the last look
            await self._look_for(apply)
        known = Known(
            self._intake.listings(),
            self._intake.claims(),
            self._intake.held(),
            self.board.snapshot,
            self.board.status(),
            self.board.since,
            apply.part_of if apply else lambda _kind, _name: None,
            self._design.outfit.tables.nginx,
            time.time(),
        )
        return explain(question, known)

    async def _look_for(self, apply: Apply) -> None:
        """Note whether nginx runs, as far as that is known at once: an engine may hang."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENGINE_S):
                before, running = self.board.nginx.running, await apply.master() is not None
                self.board.nginx_looked_for(running=running)
                if before is not None and before != running:
                    self._queue.poke()  # what it has of ours is to be looked at now

    async def pause(self, reason: str) -> Pause:
        """Apply nothing from now on, also after a new start; return when what was under way has ended.

        Raises:
            StateError: It can't be noted, so it is not so.
        """
        pause = await asyncio.to_thread(self._state.save_pause, reason)
        self._hold(pause)
        for brake in (self._reconciler.brake, *(lane.brake for lane in self._lanes)):
            await brake.at_rest()
        return pause

    def _hold(self, pause: Pause) -> None:
        self._pause = pause
        self._reconciler.brake.hold()
        for lane in self._lanes:
            lane.brake.hold()
        self.board.paused(pause)
        log.warning("proxyconf.paused", reason=pause.reason or "nobody said why")

    async def resume(self) -> Pause | None:
        """Apply again; return the pause that has ended, if there was one.

        Raises:
            StateError: It can't be noted, so it is not so.
        """
        await asyncio.to_thread(self._state.end_pause)
        ended, self._pause = self._pause, None
        if ended:
            self.board.paused(None)
            log.info("proxyconf.resumed")
            for lane in self._lanes:
                lane.brake.release()
            self._reconciler.resume()
        return ended

    def look_again(self) -> None:
        """Check and reload even if nothing has changed: a certificate of the operator's may have."""
        log.info("proxyconf.looking_again")
        self._reconciler.look_again()

    async def read_again(self, read: Callable[[], Settings], group: asyncio.TaskGroup) -> None:
        """Work by what *read* returns, or as before where that is a mistake, which is said.

        Either way everything is checked and reloaded, and when that has an outcome, this returns.
        """
        async with self._changing:
            try:
                settings = await asyncio.to_thread(read)
                design = await make_design(settings, self._state, self.board, self._design.resources)
            except ProxyconfError as exc:
                log.error("configuration.refused", reason=f"{exc}; going on with the one before")  # noqa: TRY400 - no bug
                self.board.configuration_read(str(exc))
                self.look_again()
            else:
                self.board.configuration_read()
                await self._change(settings, design)
                self._start_missing(group)
                self._reconciler.wear(design.outfit)
        await self._reconciler.looked.wait()

    async def _change(self, settings: Settings, design: Design) -> None:
        """End what is not wanted any more, and let what stays know."""
        for key in ("state", "status", "exec"):
            if getattr(settings.tables, key) != getattr(self._settings.tables, key):
                log.warning("setting.ignored", reason=f"[{key}]: takes effect at the next start")
        gone = [
            name for name, one in self._design.followed.items() if not one.is_like(design.followed.get(name))
        ]
        # the commands of two lanes must not meet at one file
        for lane in self._lanes:
            lane.let_finish()
        await _end([*self._lanes.values(), *(self._watches.pop(name) for name in gone)])
        self._lanes.clear()
        kept = {name: self._design.followed[name] for name in self._watches}
        self._design = dataclasses.replace(design, followed={**design.followed, **kept})
        self._settings = settings
        self._queue.pace(settings.tables.pace)
        self._intake.follow(design.policies, design.needs)
        self._tell("configuration.read_again")

    def _start_missing(self, group: asyncio.TaskGroup) -> None:
        for name, one in self._design.followed.items():
            if name not in self._watches:
                watching = keep_watching(one.source, self._publish(one.needs), self.board)
                self._watches[name] = group.create_task(watching, name=f"source {name}")
        for lane in self._design.outfit.lanes:
            if self._pause:
                lane.brake.hold()
            self._lanes[lane] = group.create_task(lane.run(), name="templates")

    def _publish(self, needs: tuple[str, ...]) -> Callable[[Change], None]:
        """Return who takes the listings of a source that was asked for *needs*."""

        def publish(change: Change) -> None:
            listing = dataclasses.replace(change.listing, needs=needs) if needs else change.listing
            self._queue.put(dataclasses.replace(change, listing=listing))

        return publish

    def _tell(self, event: str) -> None:
        outfit = self._design.outfit
        groups = [lane.group for lane in outfit.lanes] + ([outfit.joined] if outfit.joined else [])
        policies = self._design.policies
        self.board.sources_known(
            policies, optional={name for name in policies if not policies[name].required}
        )
        self.board.nginx_known(self._design.nginx)
        self.board.templates_known(output.state for group in groups for output in group.outputs)
        for name in self._settings.warnings:
            log.warning("setting.ignored", reason=name)
        nginx = self._design.nginx
        site = {} if nginx.mode == "none" else {"nginx": nginx.version, "root": nginx.root}
        templates = sum(len(group.outputs) for group in groups)
        log.info(event, sources=list(self._design.followed), templates=templates, **site)


async def _end(tasks: list[asyncio.Task[NoReturn]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
