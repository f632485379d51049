"""Put candidates in place: each after its check, or its predecessor back after it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, StateError
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
    """

    def __init__(self, *, undo: Undo, nginx: Beside | None, running: Running, sync_only: bool) -> None:
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
        staged = [wish for wish in wishes if not self._was_refused(wish) and await _stage(wish)]
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

    def _was_refused(self, wish: Wish) -> bool:
        """Tell whether the same bytes were refused in place a short while ago; others are another matter."""
        content, until, reason = self._refused.pop(wish.output, (b"", 0.0, ""))
        if content != wish.form.content or self._clock() >= until:
            return False
        self._refused[wish.output] = (content, until, reason)
        wish.output.note("refused", reason)
        return True

    async def _install_together(self, nginx: Beside, wishes: Sequence[Wish]) -> list[Wish]:
        """Check in context, and install what passes; return what nginx reaches by no include."""
        try:
            verdict = await check_together(nginx, wishes)
        except (CommandError, StateError) as exc:
            _note_failed(wishes, exc)
            return []
        for wish, reason in verdict.refused:
            await _refuse(wish, reason)
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
            await _refuse(wish, reason)
            wish.output.is_to_be_tried_again = True
        else:
            await self._put([wish])

    async def _complaint(self, wish: Wish, check: Command) -> str:
        """Return what the check has against it; "" for nothing."""
        dest = wish.output.dest
        argv = commands.filled_in(check, src=dest.staged, dest=dest.path)
        try:
            await commands.run(argv, timeout_s=check.timeout_s, running=self._running)
        except CommandError as exc:
            return str(exc)
        return ""

    async def _put(self, wishes: Sequence[Wish]) -> None:
        """Put checked files in place."""
        new = [wish for wish in wishes if wish.is_new]
        try:
            if new:
                await self._begin(new, checked=len(new) == 1 and not new[0].output.dest.is_mounted())
            for wish in new:
                await asyncio.to_thread(wish.output.dest.install, wish.form)
            await asyncio.to_thread(self._undo.checked)
            await _keep(wishes)
        except StateError as exc:
            await self._take_back(wishes, exc)

    async def _try_in_place(self, wish: Wish, check: Command) -> None:
        """Put *wish* in place, then check it there; its predecessor comes back where it fails."""
        try:
            if wish.is_new:
                await self._begin([wish], checked=False)
                await asyncio.to_thread(wish.output.dest.install, wish.form)
            if reason := await self._complaint(wish, check):
                await asyncio.to_thread(self._undo.refused)
                await _refuse(wish, reason)
                self._refused[wish.output] = (wish.form.content, self._clock() + _TRY_IN_PLACE_S, reason)
                return
            await asyncio.to_thread(self._undo.checked)
            await _keep([wish])
        except StateError as exc:
            await self._take_back([wish], exc)

    async def _begin(self, wishes: Sequence[Wish], *, checked: bool) -> None:
        # one rename leaves the old or the new file; several, or one written in place, could leave a mixture
        before = {wish.output.dest.path: wish.before for wish in wishes}
        await asyncio.to_thread(self._undo.begin, before, checked=checked)

    async def _take_back(self, wishes: Sequence[Wish], exc: StateError) -> None:
        _note_failed(wishes, exc)
        try:
            await asyncio.to_thread(self._undo.refused)
        except StateError as further:  # a full disk: the journal stays for our next start
            _note_failed(wishes, further)


async def _stage(wish: Wish) -> bool:
    try:
        await asyncio.to_thread(wish.output.dest.stage, wish.form)
    except StateError as exc:
        _note_failed([wish], exc)
        return False
    return True


async def _refuse(wish: Wish, reason: str) -> None:
    kept = "its last good file is kept" if wish.before else "there is no file yet"
    wish.output.note("refused", f"{reason} ({kept})")
    await wish.output.unstage()


async def _keep(wishes: Iterable[Wish]) -> None:
    for wish in wishes:
        if not wish.is_new:
            await wish.output.unstage()
            await wish.output.mend(wish)
        await wish.output.installed(wish)


def _note_failed(wishes: Iterable[Wish], exc: Exception) -> None:
    for wish in wishes:
        wish.output.note("failed", str(exc))
