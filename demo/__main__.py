"""Run the demo: ``python -m demo``; DEMO_SECONDS=N ends it after about N seconds.

Exit code 0: each step went as it should. 1: one did not, and which is said. 2: a mistake in use. Ctrl-C or a
signal before the last step: 128 and the signal's number.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

from demo.errors import DemoError
from demo.journal import sentences
from demo.processes import program
from demo.screen import Screen, wants_colour
from demo.stage import NAMES, SPARE, Stage, set_up
from demo.steps import Steps

_PROGRAMS = ("etcd", "nginx")


def main() -> int:
    """Show everything; return the exit code."""
    screen = Screen(sys.stdout, colour=wants_colour(sys.stdout, os.environ))
    try:
        show = Show(screen, lasts_s=read_seconds(os.environ.get("DEMO_SECONDS", "")))
        for name in _PROGRAMS:
            program(name)
    except DemoError as exc:
        sys.stderr.write(f"demo: {exc}\n")
        return 2
    try:
        return asyncio.run(show.run())
    except BrokenPipeError:  # who read this has gone; so that Python does not try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def read_seconds(text: str) -> float:
    """Return how long the demo lasts, in seconds; infinity where nothing is given.

    Raises:
        DemoError: It is no number of seconds.
    """
    with suppress(ValueError):
        seconds = float(text or math.inf)
        if seconds >= 0:
            return seconds
    raise DemoError(f"DEMO_SECONDS={text!r}: not a number of seconds (write DEMO_SECONDS=30)")


class Show:
    """The whole demo.

    Args:
        screen: Where it is shown.
        lasts_s: How long; the steps are done in any case.
    """

    def __init__(self, screen: Screen, *, lasts_s: float) -> None:
        self._screen = screen
        self._lasts_s = lasts_s
        self._started = time.monotonic()
        self._passed = False
        self._tidy = True
        self._signal = 0

    async def run(self) -> int:
        """Do it, and end everything also after a signal; return the exit code."""
        work = asyncio.create_task(self._work(), name="work")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt, work, number)
        await asyncio.wait([work])
        broken_off = 0 if self._passed else 128 + self._signal
        code = broken_off if work.cancelled() else work.result()
        if self._tidy:
            self._screen.line("All programs have ended, and their folder is removed.")
        return code

    def _interrupt(self, work: asyncio.Task[int], number: int) -> None:
        if self._signal:  # once is enough: a second one would break off the tidying up
            return
        self._signal = number
        work.cancel()

    async def _work(self) -> int:
        try:
            async with set_up() as stage:
                self._explain()
                try:
                    self._passed = await self._steps(stage)
                    if self._passed:
                        self._passed = await self._stay(stage)
                finally:
                    self._screen.line()
                    self._screen.line("Ending proxyconf, nginx and etcd ...")
        except DemoError as exc:
            self._tidy = False
            self._screen.failed(str(exc))
            return 1
        return 0 if self._passed else 1

    def _explain(self) -> None:
        self._screen.line(
            f"This starts a private etcd and nginx on free ports of 127.0.0.1, {len(NAMES)} tiny backends"
            f" ({NAMES[0]} to {NAMES[-1]}),\nand proxyconf, which keeps nginx in step with etcd."
            " Nothing else on this host is touched; Ctrl-C ends it all."
        )

    async def _steps(self, stage: Stage) -> bool:
        """Do all steps; tell whether they went as they should."""
        steps = Steps(stage, self._screen)
        for number, (title, step) in enumerate(steps.all, 1):
            self._screen.title(f"{number}  {title}")
            try:
                await step()
            except (DemoError, OSError) as exc:  # TimeoutError is an OSError, without a text
                self._fail(f"step {number} ({title}): {str(exc) or type(exc).__name__}", stage)
                return False
        self._screen.title(f"All {len(steps.all)} steps went as they should: {steps.summary()}.")
        return True

    def _fail(self, text: str, stage: Stage) -> None:
        self._screen.failed(text)
        for name, lines in stage.logs().items():
            self._screen.tail(f"the last lines of {name}", lines)

    async def _stay(self, stage: Stage) -> bool:
        """Show what happens until the time is over; tell whether proxyconf lived as long."""
        stage.trickle.stop()
        self._screen.title(f"It stays: {stage.url}")
        self._screen.line(f"Backend {SPARE} waits to be used. In another terminal:")
        self._screen.table(stage.lines_to_paste())
        left_s = self._started + self._lasts_s - time.monotonic()
        if left_s <= 0:
            return True
        until = "Ctrl-C ends it" if math.isinf(left_s) else f"It ends in {left_s:.0f} s"
        self._screen.title(f"{until}. What happens meanwhile:")
        try:
            async with asyncio.timeout(None if math.isinf(left_s) else left_s):
                await self._tell(stage)
        except TimeoutError:
            return True
        except DemoError as exc:
            self._fail(str(exc), stage)
            return False

    async def _tell(self, stage: Stage) -> NoReturn:
        journal, number = stage.proxyconf.journal, len(stage.proxyconf.journal.events)
        while True:
            for sentence in sentences(await journal.at(number), stage.names):
                self._screen.happened(sentence)
            number += 1


if __name__ == "__main__":
    sys.exit(main())
