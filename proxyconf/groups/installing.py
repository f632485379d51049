"""Put candidates in place: each after its check, or its predecessor back after it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, NoCopyError, StateError
from proxyconf.groups import commands
from proxyconf.groups.checks import check_together

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxyconf.command import Running
    from proxyconf.groups.output import Output, Wish
    from proxyconf.groups.undo import Undo
    from proxyconf.nginx.beside import Beside
    from proxyconf.resources.table import Command

_TRY_IN_PLACE_S = 300.0  # the same bytes again: each try shows them to whoever reads the file meanwhile


class Installing:
    """How the resources of one group get into their places.

    Args:
        undo: The group's journal.
        nginx: The nginx in whose context those are checked that ask for it.
        running: Where the check commands are listed.
        sync_only: Without any check.

    Attributes:
        checks: How many there were.
    """

    def __init__(self, *, undo: Undo, nginx: Beside | None, running: Running, sync_only: bool) -> None:
        self.checks = 0
        self._undo = undo
        self._nginx = nginx
        self._running = running
        self._sync_only = sync_only
        self._clock = asyncio.get_running_loop().time
        self._refused: dict[Output, tuple[bytes, float, str]] = {}

    def again_in(self) -> float:
        """Return the seconds until something refused in place is to be tried again; infinity for never."""
        return min((until for _, until, _ in self._refused.values()), default=math.inf) - self._clock()

    async def install(self, wishes: Sequence[Wish]) -> None:
        """Put in place what may be; every other resource is told why it is not."""
        self._refused = {wish.output: known for wish in wishes if (known := self._known(wish))}
        for wish in wishes:
            if wish.output in self._refused:
                wish.output.note("refused", self._refused[wish.output][2])
        rest = [wish for wish in wishes if wish.output not in self._refused]
        try:
            await self._install([wish for wish in rest if await _stage(wish)])
        finally:
            for wish in rest:
                await wish.output.unstage()

    def _known(self, wish: Wish) -> tuple[bytes, float, str] | None:
        """Return how the same bytes were refused in place a short while ago; others are another matter."""
        known = self._refused.get(wish.output)
        return known if known and known[0] == wish.form.content and self._clock() < known[1] else None

    async def _install(self, staged: Sequence[Wish]) -> None:
        if self._sync_only:
            await self._put(staged)
            return
        nginx = self._nginx
        here = [wish for wish in staged if nginx and wish.output.in_context]
        alone = [wish for wish in staged if wish not in here]
        if nginx and here:
            alone += await self._install_together(nginx, here)
        for wish in alone:
            await self._install_alone(wish)

    async def _install_together(self, nginx: Beside, wishes: Sequence[Wish]) -> list[Wish]:
        """Check in context, and install what passes; return what can only be checked in place."""
        self.checks += 1
        try:
            verdict = await check_together(nginx, wishes, self._running)
        except NoCopyError:
            return list(wishes)  # its folder is read-only, in a container for example
        except (CommandError, StateError) as exc:
            _note_failed(wishes, exc)
            return []
        for wish, reason in verdict.refused:
            _refuse(wish, reason)
            wish.output.is_to_be_tried_again = True  # the reason may lie in another file
        await self._put(verdict.passed)
        return verdict.unreached

    async def _install_alone(self, wish: Wish) -> None:
        check = wish.output.resource.check
        if check is None:
            await self._put([wish])
        elif not commands.names_src(check):
            await self._try_in_place(wish, check)
        elif reason := await self._complaint(wish, check):
            _refuse(wish, reason)
            wish.output.is_to_be_tried_again = True
        else:
            await self._put([wish])

    async def _complaint(self, wish: Wish, check: Command) -> str:
        """Return what the check has against it; "" for nothing."""
        self.checks += 1
        dest = wish.output.dest
        argv = commands.filled_in(check, src=dest.staged, dest=dest.path)
        try:
            await commands.run(argv, timeout_s=check.timeout_s, running=self._running)
        except CommandError as exc:
            return str(exc)
        return ""

    async def _put(self, wishes: Sequence[Wish]) -> None:
        """Put checked files in place, all or none."""
        new = [wish for wish in wishes if wish.is_new]
        try:
            if new:
                # several, or one written in place, could be left half done; one rename could not
                in_one_step = len(new) == 1 and not await asyncio.to_thread(new[0].output.dest.is_mounted)
                await self._begin(new, checked=in_one_step)
            for wish in new:
                await wish.output.install(wish)
            await self._keep(wishes)
        except StateError as exc:
            await self._take_back(wishes, exc)

    async def _try_in_place(self, wish: Wish, check: Command) -> None:
        """Put *wish* in place, then check it there; its predecessor comes back where it fails."""
        try:
            if wish.is_new:
                await self._begin([wish], checked=False)
                await wish.output.install(wish)
            if reason := await self._complaint(wish, check):
                await asyncio.to_thread(self._undo.refused)
                _refuse(wish, reason)
                until = self._clock() + _TRY_IN_PLACE_S
                self._refused[wish.output] = (wish.form.content, until, wish.output.state.reason)
            else:
                await self._keep([wish])
        except StateError as exc:
            await self._take_back([wish], exc)

    async def _begin(self, wishes: Sequence[Wish], *, checked: bool) -> None:
        before = {wish.output.dest.path: wish.before for wish in wishes}
        await asyncio.to_thread(self._undo.begin, before, checked=checked)

    async def _keep(self, wishes: Iterable[Wish]) -> None:
        await asyncio.to_thread(self._undo.checked)
        for wish in wishes:
            try:
                await wish.output.keep(wish)
            except StateError as exc:
                _note_failed([wish], exc)

    async def _take_back(self, wishes: Sequence[Wish], exc: StateError) -> None:
        _note_failed(wishes, exc)
        try:
            await asyncio.to_thread(self._undo.refused)
        except StateError as further:  # the group's next pass, or our next start, does it
            _note_failed(wishes, further)


async def _stage(wish: Wish) -> bool:
    try:
        await asyncio.to_thread(wish.output.dest.stage, wish.form)
    except StateError as exc:
        _note_failed([wish], exc)
        return False
    return True


def _refuse(wish: Wish, reason: str) -> None:
    wish.output.note("refused", f"{reason} ({wish.instead})")


def _note_failed(wishes: Iterable[Wish], exc: Exception) -> None:
    for wish in wishes:
        wish.output.note("failed", str(exc))
