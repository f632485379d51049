"""A group: resources that are checked together, reloaded together, and put back together."""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING

from proxyconf.command import Running
from proxyconf.errors import StateError
from proxyconf.groups.installing import Installing
from proxyconf.groups.reloading import Reloading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxyconf.groups.output import Output, Wish
    from proxyconf.groups.rendering import View
    from proxyconf.groups.undo import Undo
    from proxyconf.nginx.beside import Beside

_LOOK_S = 5.0
_LOOK_FOR_START_S = 0.5
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 30.0
_GRACE_S = 8.0  # for a command under way when we are to end: a container is killed after 10 s
_RELOADING = "in place; its reload is under way"
_NO_NGINX = "checked and in place; no nginx runs on it, whose start will load it"
_DELAYED = "checked and in place; its reload waits for min_reload_interval"
_UNLOADABLE = (
    "nginx would not load it, and none runs to be asked again: what its start can load stays in place"
)
_NOT_LOADED = "checked and in place, and not loaded, for nginx could not load the site (it is tried again)"


class Group:
    """Template resources that succeed or fail together; called by one task only.

    What does not work is told to its resource, and tried again at the next look that `tell` says.

    Args:
        outputs: The resources.
        undo: The group's journal.
        nginx: In whose context those are checked that ask for it, and that must have loaded all of them.
        sync_only: Write files, and neither check nor reload.

    Attributes:
        outputs: The resources.
    """

    def __init__(
        self, outputs: Sequence[Output], *, undo: Undo, nginx: Beside | None, sync_only: bool = False
    ) -> None:
        self.outputs = tuple(outputs)
        self._undo = undo
        self._nginx = nginx
        self._running = Running()
        self._installing = Installing(undo=undo, nginx=nginx, running=self._running, sync_only=sync_only)
        self._reloading = Reloading(nginx, self._running)
        self._sync_only = sync_only
        self._clock = asyncio.get_running_loop().time
        self._is_resumed = False
        self._failures = 0
        self._again_at = math.inf
        self._awaits_nginx = False
        self._retry_at = -math.inf
        self._complaints: dict[Output, tuple[str, str]] = {}  # what was installed then, and the reason

    @property
    def commands(self) -> int:
        """How many commands were run, to check or to reload."""
        return self._installing.checks + self._reloading.count

    async def resume(self) -> None:
        """Take up what an earlier run has left; where its journal can't be read, `install` tries again."""
        paths = [output.dest.path for output in self.outputs]
        try:
            begun = await asyncio.to_thread(self._undo.resume, paths)
        except StateError as exc:
            self._note_failed(self.outputs, str(exc))
            return
        for output in self.outputs:
            await output.resume(begun=output.dest.path in begun)
        self._is_resumed = True

    def end_soon(self) -> None:
        """Let commands go on for a few seconds, and then kill those that have not ended."""
        asyncio.get_running_loop().call_later(_GRACE_S, self._running.end)

    def digest(self) -> str:
        """Return what stands for all that is in place."""
        return hashlib.sha256("\n".join(map(_installed, self.outputs)).encode()).hexdigest()

    async def is_due(self) -> bool:
        """Tell whether there is something to do without a change: a retry, a drift, an nginx that came."""
        if self._clock() >= self._again_at:
            return True
        if self._awaits_nginx and self._nginx and await self._nginx.master() is not None:
            return True
        return any([await output.has_drifted() for output in self.outputs])

    @property
    def is_pending(self) -> bool:
        """Whether something in place may not be in effect yet."""
        return bool(self._pending())

    async def bring(self, view: View | None, causes: frozenset[str] = frozenset()) -> float:
        """Do what is due, by what is known, if anything is; return the seconds until the next look."""
        if view is not None:
            await self.install(view, causes)
        if not self._undo.has_unchecked:
            await self.reload()
        return self.tell()

    async def install(self, view: View, causes: frozenset[str] = frozenset()) -> None:
        """Put in place what has passed its check; the *causes* are whose listings made *view* another one."""
        if not self._is_resumed:
            await self.resume()
        if not self._is_resumed:
            return
        try:
            await asyncio.to_thread(self._undo.refused)  # what was, and could not be put back when it was due
        except StateError as exc:
            self._note_failed(self.outputs, str(exc))
            return
        wishes = [wish for output in self.outputs if (wish := await output.wish(view, causes))]
        await self._installing.install(await self._without_unloadable(wishes))
        if self._sync_only:
            await self.settle("written")
        # a run that was killed may have begun what nobody wants any more
        await self._forget([one for one in self.outputs if not (one.is_pending or one.is_troubled)])

    async def _without_unloadable(self, wishes: list[Wish]) -> list[Wish]:
        """Leave out what nginx has refused to load, while none runs: its start would fail by that, too."""
        unloadable = [wish for wish in wishes if wish.output.is_unloadable(wish)]
        if not unloadable or self._nginx is None or await self._nginx.master() is not None:
            return wishes
        for wish in unloadable:
            wish.output.note("failed", _UNLOADABLE)
        return [wish for wish in wishes if wish not in unloadable]

    async def reload(self) -> None:
        """Bring into effect what is in place, and wait for proof."""
        self._awaits_nginx = False
        pending = self._pending()
        if not pending:
            return
        if await self._reloading.has_loaded(pending):
            await self._settle(pending, "workers")
            return
        if self._is_in_doubt and self._nginx and await self._nginx.master() is None:
            await self.wait_for_nginx()  # not by a command, some of which do well without any nginx
            return
        due = [output for output in pending if self._reloading.due_in(output) <= 0]
        await self._settle([output for output in due if output.resource.reload is None], "written")
        due = [output for output in due if output.resource.reload is not None and not self._rests(output)]
        if not due:
            return
        for output in due:
            if not output.is_troubled and output not in self._complaints:  # of which a new try is no news
                output.note("reloading", _RELOADING)
        outcome = await self._reloading.reload(due)
        self._awaits_nginx = outcome.finds_no_nginx
        await self._settle(outcome.proved, outcome.proof)
        for output, reason in outcome.failed:
            complaint = f"{reason} (the file is in place; its reload is tried again)"
            self._complaints[output] = _installed(output), complaint
            output.note("failed", complaint)
        if outcome.refused:
            await self.unload(outcome.refused)

    async def settle(self, proof: str) -> None:
        """Note that everything in place is in effect, by *proof*."""
        await self._settle(self._pending(), proof)

    async def _settle(self, outputs: Sequence[Output], proof: str) -> None:
        await self._forget(outputs)
        for output in outputs:
            self._complaints.pop(output, None)
            try:
                await output.proved(proof)
            except StateError as exc:
                output.note("failed", str(exc))

    async def _forget(self, outputs: Sequence[Output]) -> None:
        """Forget what was in place before *outputs*, which are in effect."""
        if not outputs:
            return
        try:
            await asyncio.to_thread(self._undo.proved, [output.dest.path for output in outputs])
        except StateError as exc:
            self._note_failed(outputs, str(exc))

    async def unload(self, reason: str) -> None:
        """Put back what was proved last: nginx refuses to load what is in place."""
        pending = self._pending()
        try:
            restored = await asyncio.to_thread(self._undo.unload)
            for output in pending:
                if output.dest.path in restored:
                    await output.put_back()
        except StateError as exc:
            self._note_failed(pending, f"{reason}; {exc}")
            return
        for output in pending:
            back = " (its last good file is in place again)" if output.dest.path in restored else ""
            output.note("failed", reason + back)

    async def wait_for_nginx(self) -> None:
        """Note that no nginx runs: what is in place is loaded by its start, or else it has to go."""
        self._awaits_nginx = True
        if self._is_in_doubt:  # nginx has ended while it was to load that
            await self.unload(_UNLOADABLE)

    def tell(self) -> float:
        """Say how it stands with each resource; return the seconds until the next look."""
        waits = [self._tell(output) for output in self.outputs]
        wait_s = min(self._retry_s(), *waits)
        self._again_at = self._clock() + wait_s
        return min(wait_s, _LOOK_FOR_START_S if self._awaits_nginx else _LOOK_S)

    def _tell(self, output: Output) -> float:
        """Say how it stands; return the seconds until its reload is due."""
        state, reason, due_s = "applied", "", math.inf
        if output.is_pending:
            due_in_s = self._reloading.due_in(output)
            if self._awaits_nginx:
                state, reason = "installed", _NO_NGINX
            elif output in self._complaints:
                state, reason = "failed", self._complaints[output][1]
            elif due_in_s > 0:
                state, reason, due_s = "installed", _DELAYED, due_in_s
            else:
                state, reason = "failed", _NOT_LOADED
        if output.is_troubled or output.record is None:  # nothing else is known; what was proved may be new
            state, reason = output.state.state, output.state.reason
        output.note(state, reason)
        return due_s

    def _retry_s(self) -> float:
        """Return when to try again what did not work; infinity when there is nothing of the kind."""
        again = [output for output in self.outputs if output.is_to_be_tried_again]
        if not again:
            self._failures, self._retry_at = 0, -math.inf
            return self._installing.again_in()
        if not all(map(self._rests, again)):
            self._failures += 1
            delay_s = min(_RETRY_CAP_S, _RETRY_BASE_S * 2.0 ** min(self._failures - 1, 16))
            self._retry_at = self._clock() + delay_s
        return max(0.0, self._retry_at - self._clock())

    def _rests(self, output: Output) -> bool:
        """Tell whether this very file failed to load a short while ago: others' changes are no news."""
        installed, _ = self._complaints.get(output, ("", ""))
        return installed == _installed(output) and self._clock() < self._retry_at

    @property
    def _is_in_doubt(self) -> bool:
        return any(output.is_in_doubt for output in self.outputs)

    def _pending(self) -> list[Output]:
        return [output for output in self.outputs if output.is_pending]

    def _note_failed(self, outputs: Sequence[Output], reason: str) -> None:
        for output in outputs:
            output.note("failed", reason)


def _installed(output: Output) -> str:
    return output.record.installed if output.record else ""
