"""A live view of the running program in a terminal: asked every second, and drawn over what was there.

No library: home, and clear to the end of each line, is all that it takes to draw without a flicker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

import click

from proxyconf import report
from proxyconf.errors import StateError
from proxyconf.rows import fit, frame
from proxyconf.status import ask_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxyconf.api import Status

_EVERY_S = 1.0
_PATIENCE_S = 2.0  # with one that hangs
_NEWS_S = 10.0  # how long a restart is news
_ALTERNATE, _BACK = "\x1b[?1049h", "\x1b[?1049l"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


async def watch(path: Path, *, coloured: bool) -> None:
    """Show what the program that answers on the socket *path* does, until SIGINT or SIGTERM."""
    loop, view = asyncio.get_running_loop(), View()
    ended, resized = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGWINCH, resized.set)
    with _screen(sys.stdout), _silence(sys.stdin):
        asking = asyncio.create_task(_keep_asking(path, view, resized), name="ask")
        drawing = asyncio.create_task(_keep_drawing(view, resized, coloured=coloured), name="draw")
        waiting = asyncio.create_task(ended.wait(), name="end")
        done, others = await asyncio.wait((asking, drawing, waiting), return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()  # a bug


async def _keep_asking(path: Path, view: View, news: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                view.take(await ask_status(path), time.time())
        except StateError as exc:
            view.lose(str(exc), time.time())
        except TimeoutError:
            view.lose(f"ask {path}: no answer within {_PATIENCE_S:g} s", time.time())
        news.set()
        await asyncio.sleep(_EVERY_S)


async def _keep_drawing(view: View, news: asyncio.Event, *, coloured: bool) -> None:
    """Draw at every answer, and when the terminal has another size."""
    while True:
        await news.wait()
        news.clear()
        # not what the environment says: that knows nothing of a terminal that was made larger
        size = os.get_terminal_size(sys.stdout.fileno())
        lines = view.lines(time.time(), size.lines, size.columns)
        sys.stdout.write(frame(lines, size.columns, coloured=coloured))
        sys.stdout.flush()


@contextmanager
def _screen(out: TextIO) -> Iterator[None]:
    """Draw on the terminal's other screen; what was on it is there again afterwards."""
    out.write(f"{_ALTERNATE}{_HIDE_CURSOR}{_NO_WRAP}")
    try:
        yield
    finally:
        out.write(f"{_WRAP}{_SHOW_CURSOR}{_BACK}")
        out.flush()


@contextmanager
def _silence(keys: TextIO) -> Iterator[None]:
    """Let what is typed not be shown."""
    before = None
    with suppress(termios.error, OSError, ValueError):  # the input is no terminal
        before = termios.tcgetattr(keys)
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(keys, termios.TCSANOW, silent)
    try:
        yield
    finally:
        if before:
            termios.tcsetattr(keys, termios.TCSANOW, before)


class View:
    """What is known, and since when the program has not answered."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._reason = ""
        self._lost_at: float | None = None
        self._began_at = -_NEWS_S

    def take(self, status: Status, now: float) -> None:
        """Note what it says, at the Unix time *now*."""
        before, self._status = self._status, status
        if before and (before.pid, before.started) != (status.pid, status.started):
            self._began_at = now
        self._lost_at = None

    def lose(self, reason: str, now: float) -> None:
        """Note that it does not answer; what it said last stays."""
        self._reason = reason
        self._lost_at = now if self._lost_at is None else self._lost_at

    def lines(self, now: float, height: int, width: int) -> list[str]:
        """Return what to show at the Unix time *now*, at most *height* lines; what matters fits *width*."""
        status, news = self._status, self._news(now)
        if status is None:
            return fit(news, (), height, width)
        return fit([*news, *report.head(status, now)], list(report.sections(status, now)), height, width)

    def _news(self, now: float) -> list[str]:
        if self._lost_at is not None:
            what = "below is what it said last; " if self._status else ""
            since = report.age(now - self._lost_at)
            return [click.style(f"no answer for {since} ({what}asking again): {self._reason}", fg="red")]
        if self._status is None:
            return ["asking"]
        if now - self._began_at < _NEWS_S:
            return [click.style("it has been started anew", fg="yellow")]
        return []
