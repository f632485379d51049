"""A group: resources that are checked together, reloaded together, and put back together."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, ReloadError, ReloadRefusedError
from proxyconf.groups import commands
from proxyconf.groups.proving import has_loaded, look_before, wait_for_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from proxyconf.command import Running
    from proxyconf.groups.installing import Installing
    from proxyconf.groups.output import Output
    from proxyconf.groups.rendering import View
    from proxyconf.groups.undo import Undo
    from proxyconf.nginx.beside import Beside

_LOOK_S = 5.0
_LOOK_FOR_START_S = 0.5
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 30.0
_PATIENCE_S = 5.0
_PATIENCE_COSTS = 10
_NO_NGINX = "checked and in place; no nginx runs on it, whose start will load it"
_DELAYED = "checked and in place; its reload waits for min_reload_interval"


class Group:
    """Template resources that succeed or fail together; called by one task only.

    Attributes:
        outputs: The resources.
        reloads: How many commands were run to reload something.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        *,
        installing: Installing,
        undo: Undo,
        nginx: Beside | None,
        running: Running,
        sync_only: bool = False,
    ) -> None:
        self.outputs = tuple(outputs)
        self.reloads = 0
        self._installing = installing
        self._undo = undo
        self._nginx = nginx
        self._running = running
        self._sync_only = sync_only
        self._clock = asyncio.get_running_loop().time
        self._failures = 0
        self._again_at = math.inf
        self._awaits_nginx = False
        self._cost_s = 0.0
        self._reloaded_at: dict[Output, float] = {}

    async def resume(self) -> None:
        """Take up what an earlier run has left."""
        for output in self.outputs:
            await output.resume()

    def digest(self) -> str:
        """Return what stands for all that is in place."""
        installed = [output.record.installed if output.record else "" for output in self.outputs]
        return hashlib.sha256("\n".join(installed).encode()).hexdigest()

    async def is_due(self) -> bool:
        """Tell whether there is something to do without a change: a retry, a drift, an nginx that came."""
        if self._clock() >= self._again_at:
            return True
        if self._awaits_nginx and self._nginx and await self._nginx.master() is not None:
            return True
        return any([await output.has_drifted() for output in self.outputs])

    async def bring(self, view: View) -> float:
        """Do what is due; return the seconds until the next look."""
        await self.install(view)
        await self.reload()
        return self.tell()

    async def install(self, view: View) -> bool:
        """Put in place what has passed its check; tell whether something waits for a reload."""
        wishes = [wish for output in self.outputs if (wish := await output.wish(view))]
        await self._installing.install(wishes)
        if self._sync_only:
            await self.settle("written")
        return bool(self._pending())

    async def settle(self, proof: str) -> None:
        """Note that everything in place is in effect, by *proof*."""
        await self._settle(self._pending(), proof)

    async def unload(self, reason: str) -> None:
        """Put back what was proved last: nginx refuses to load what is in place."""
        restored = set(await asyncio.to_thread(self._undo.unload))
        for output in self._pending():
            if output.dest.path in restored:
                await output.put_back()
                output.note("failed", f"{reason} (its last good file is in place again)")
            else:
                output.note("failed", reason)

    def wait_for_nginx(self) -> None:
        """Note that no nginx runs: what is in place is loaded by its start."""
        self._awaits_nginx = True

    def tell(self) -> float:
        """Say how it stands with each resource; return the seconds until the next look."""
        delays = [math.inf]
        for output in self.outputs:
            if output.is_troubled:
                continue
            if not output.is_pending:
                output.note("applied")
            elif self._awaits_nginx:
                output.note("installed", _NO_NGINX)
            else:
                output.note("installed", _DELAYED)
                delays.append(self._due_in(output))
        wait_s = min(self._retry_s(), *delays)
        self._again_at = self._clock() + wait_s
        return min(wait_s, _LOOK_FOR_START_S if self._awaits_nginx else _LOOK_S)

    def _retry_s(self) -> float:
        """Return when to try again what did not work; infinity when there is nothing of the kind."""
        if not any(output.is_to_be_tried_again for output in self.outputs):
            self._failures = 0
            return self._installing.again_in()
        self._failures += 1
        return float(min(_RETRY_CAP_S, _RETRY_BASE_S * 2 ** min(self._failures - 1, 16)))

    def _pending(self) -> list[Output]:
        return [output for output in self.outputs if output.is_pending]

    def _due_in(self, output: Output) -> float:
        last = self._reloaded_at.get(output)
        return 0.0 if last is None else last + output.resource.min_reload_interval_s - self._clock()

    async def reload(self) -> None:
        """Bring into effect what is in place, and wait for proof."""
        self._awaits_nginx = False
        pending = self._pending()
        if not pending or await self._has_loaded_it(pending):
            return
        due = [output for output in pending if self._due_in(output) <= 0]
        await self._settle([output for output in due if output.resource.reload is None], "written")
        due = [output for output in due if output.is_pending and output.resource.reload is not None]
        if not due:
            return
        started = time.perf_counter()
        if self._nginx is None:
            await self._settle(await self._run_commands(due, self._note_failed), "command")
        else:
            await self._reload_nginx(self._nginx, due)
        self._cost_s = time.perf_counter() - started

    async def _has_loaded_it(self, pending: Sequence[Output]) -> bool:
        """Tell whether nginx has read it without us: it was started since, or reloaded by somebody."""
        if self._nginx is None or not await has_loaded(self._nginx, _since(pending)):
            return False
        await self._settle(pending, "workers")
        return True

    async def _reload_nginx(self, nginx: Beside, due: Sequence[Output]) -> None:
        before = await look_before(nginx, _since(due))
        failures: list[tuple[Output, str]] = []
        good = await self._run_commands(due, lambda output, reason: failures.append((output, reason)))
        if await nginx.master() is None:
            # a command that did well may have reached an nginx that we can't see, in a container
            await self._settle(good, "command")
            self._awaits_nginx = bool(failures)
            return
        for output, reason in failures:
            self._note_failed(output, reason)
        if good:
            try:
                await wait_for_workers(nginx, before, patience_s=self._patience_s(), running=self._running)
            except ReloadRefusedError as exc:
                await self.unload(str(exc))
            except ReloadError as exc:
                for output in good:
                    self._note_failed(output, str(exc))
            else:
                await self._settle(good, "workers")

    def _patience_s(self) -> float:
        return max(_PATIENCE_S, _PATIENCE_COSTS * self._cost_s)

    async def _run_commands(
        self, due: Sequence[Output], failed: Callable[[Output, str], None]
    ) -> list[Output]:
        """Run each command once; return the resources whose command did well."""
        outcomes: dict[tuple[str, ...], str] = {}
        good = []
        for output in due:
            reload, dest = output.resource.reload, output.dest.path
            if reload is None:
                continue
            argv = commands.filled_in(reload, src=dest, dest=dest)
            if argv not in outcomes:
                self.reloads += 1
                outcomes[argv] = await self._try(argv, reload.timeout_s)
            self._reloaded_at[output] = self._clock()
            if outcomes[argv]:
                failed(output, outcomes[argv])
            else:
                good.append(output)
        return good

    async def _try(self, argv: tuple[str, ...], timeout_s: float) -> str:
        """Run it; return why it failed, "" if it did not."""
        try:
            await commands.run(argv, timeout_s=timeout_s, running=self._running)
        except CommandError as exc:
            return str(exc)
        return ""

    async def _settle(self, outputs: Sequence[Output], proof: str) -> None:
        for output in outputs:
            await output.proved(proof)
        await asyncio.to_thread(self._undo.proved, [output.dest.path for output in outputs])

    def _note_failed(self, output: Output, reason: str) -> None:
        output.note("failed", f"{reason} (the file is in place; its reload is tried again)")


def _since(outputs: Iterable[Output]) -> float:
    """Return when the newest of their files was put in place, in Unix time."""
    return max(output.dest.changed_at() for output in outputs)
