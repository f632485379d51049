"""What the terminal shows: plain lines in two columns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INDENT = 3
_MARK = 6


def wants_colour(out: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether *out* is a terminal whose user likes colour (https://no-color.org)."""
    return out.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Screen:
    """Writes lines as things happen.

    Args:
        out: Where to.
        colour: Whether it shows colours.
    """

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._out = out
        self._colour = colour

    def line(self, text: str = "") -> None:
        """Write a line as it is."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def title(self, text: str) -> None:
        """Begin something, after an empty line."""
        self.line()
        self.line(self._styled(text, bold=True))

    def did(self, text: str) -> None:
        """Say what the demo itself does now."""
        self._marked("do", "cyan", text)

    def ok(self, text: str) -> None:
        """Say what was checked and found right."""
        self._marked("ok", "green", text)

    def failed(self, text: str) -> None:
        """Say what went wrong."""
        self._marked("FAIL", "red", text)

    def more(self, text: str) -> None:
        """Continue the line before."""
        self.line(" " * (_INDENT + _MARK) + text)

    def happened(self, text: str) -> None:
        """Say what happens, with the time of day."""
        self._marked(f"{time.strftime('%H:%M:%S')}  ", "cyan", text)

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Write rows of two columns, the second one to be copied."""
        rows = tuple(rows)
        width = max(len(name) for name, _ in rows) + 2
        for name, text in rows:
            self.line(" " * _INDENT + name.ljust(width) + self._styled(text, bold=True))

    def tail(self, title: str, lines: Iterable[str]) -> None:
        """Show the end of a log."""
        self.title(title)
        for line in lines:
            self.line(" " * _INDENT + line)

    def _marked(self, mark: str, colour: str, text: str) -> None:
        self.line(" " * _INDENT + self._styled(mark.ljust(_MARK), fg=colour) + text)

    def _styled(self, text: str, *, fg: str | None = None, bold: bool = False) -> str:
        return click.style(text, fg=fg, bold=bold or None) if self._colour else text
