"""Have loaded what is in place: each command run once, with proof where nginx gives it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, ReloadError, ReloadRefusedError
from proxyconf.groups import commands
from proxyconf.groups.proving import has_loaded, look_before, wait_for_workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxyconf.command import Running
    from proxyconf.groups.output import Output
    from proxyconf.nginx.beside import Beside

_PATIENCE_S = 5.0
_PATIENCE_COSTS = 10


@dataclass(slots=True)
class Outcome:
    """What came of a reload.

    Attributes:
        proved: Those that are in effect now.
        proof: How that is known.
        failed: Those that may not be, each with the reason.
        refused: Why nginx keeps what it had before all of them; "" where it does not.
        finds_no_nginx: Some commands failed, and no nginx runs that they could have reached.
    """

    proved: list[Output] = field(default_factory=list)
    proof: str = "command"
    failed: list[tuple[Output, str]] = field(default_factory=list)
    refused: str = ""
    finds_no_nginx: bool = False


class Reloading:
    """How the resources of one group are loaded.

    Args:
        nginx: That loads them; None for anything else.
        running: Where the commands are listed.

    Attributes:
        count: How many commands were run.
    """

    def __init__(self, nginx: Beside | None, running: Running) -> None:
        self.count = 0
        self._nginx = nginx
        self._running = running
        self._clock = asyncio.get_running_loop().time
        self._cost_s = 0.0
        self._started_at: dict[Output, float] = {}

    def due_in(self, output: Output) -> float:
        """Return the seconds until the reload of *output* may start; 0 or less for now."""
        last = self._started_at.get(output)
        return 0.0 if last is None else last + output.resource.min_reload_interval_s - self._clock()

    async def has_loaded(self, pending: Sequence[Output]) -> bool:
        """Tell whether nginx has read *pending* without us: it was started since, or reloaded by somebody."""
        return self._nginx is not None and await has_loaded(self._nginx, _since(pending))

    async def reload(self, due: Sequence[Output]) -> Outcome:
        """Run the commands of *due*, all of which have one, and wait for proof."""
        nginx = self._nginx
        if nginx is None:
            return await self._run_commands(due)
        started = time.perf_counter()
        before = await look_before(nginx, _since(due))
        outcome = await self._run_commands(due)
        if await nginx.master() is None:
            # a command that did well may have reached an nginx that we can't see, in a container
            outcome.finds_no_nginx, outcome.failed = bool(outcome.failed), []
            return outcome
        if not outcome.proved:
            return outcome
        patience_s = max(_PATIENCE_S, _PATIENCE_COSTS * self._cost_s)
        try:
            await wait_for_workers(nginx, before, patience_s=patience_s, running=self._running)
        except ReloadRefusedError as exc:
            outcome.proved, outcome.refused = [], str(exc)
        except ReloadError as exc:
            outcome.failed += [(output, str(exc)) for output in outcome.proved]
            outcome.proved = []
        else:
            outcome.proof = "workers"
            self._cost_s = time.perf_counter() - started
        return outcome

    async def _run_commands(self, due: Sequence[Output]) -> Outcome:
        """Run each command once, whoever has it."""
        outcome = Outcome()
        complaints: dict[tuple[str, ...], str] = {}
        for output in due:
            reload, dest = output.resource.reload, output.dest.path
            if reload is None:
                raise AssertionError
            self._started_at[output] = self._clock()
            argv = commands.filled_in(reload, src=dest, dest=dest)
            if argv not in complaints:
                complaints[argv] = await self._complaint(argv, reload.timeout_s)
            if complaints[argv]:
                outcome.failed.append((output, complaints[argv]))
            else:
                outcome.proved.append(output)
        return outcome

    async def _complaint(self, argv: tuple[str, ...], timeout_s: float) -> str:
        """Run it; return why it failed, "" if it did not."""
        self.count += 1
        try:
            await commands.run(argv, timeout_s=timeout_s, running=self._running)
        except CommandError as exc:
            return str(exc)
        return ""


def _since(outputs: Iterable[Output]) -> float:
    """Return when the newest of their files was put in place, in seconds since boot."""
    return max(output.installed_at for output in outputs)
