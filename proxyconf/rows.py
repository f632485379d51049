"""Lines to the rows of a terminal: what matters is wrapped, the rest is cut, and says so. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.report import Section

_LEAST = 3  # rows of each section, before any gets more
_LEAST_OF_PROBLEMS = 8
_ROWS_OF_A_LINE = 4  # an error of nginx may be long, and there may be more of them
_AROUND = 2  # rows around those of a section: its title, and an empty one
_INDENT = 2
# what a person looks for first
_ORDER = ("problems", "sources", "last changes", "templates", "routes", "certificates")
_WRAPPED = ("problems", "sources", "templates")  # what is wrong, and the mend, stand at the end
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_PLAIN = "\x1b[0m"
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")


def fit(lines: Sequence[str], sections: Sequence[Section], height: int, width: int) -> list[str]:
    """Return rows that are at most *height*: sections are cut, and say how much more there is.

    Every section gets a few rows where there is room, then the most interesting ones get the rest. What has
    no room is named. Lines that say what is amiss are wrapped at *width*; others may be wider.
    """
    head = [row for line in lines for row in wrap(line, width)]
    return _fitted(head, [_Rows.of(section, width) for section in sections], height)


def frame(lines: Sequence[str], width: int, *, coloured: bool) -> str:
    """Return what draws *lines* over what was drawn before, each cut to *width*."""
    drawn = [_narrowed(line if coloured else click.unstyle(line), width) for line in lines]
    return _HOME + f"{_CLEAR_LINE}\n".join(drawn) + _CLEAR_LINE + _CLEAR_REST


def _narrowed(line: str, width: int) -> str:
    """Return *line* cut to *width* characters, and without those that move the cursor."""
    pieces, room = [], width
    for piece in _STYLE.split(line):
        if _STYLE.fullmatch(piece):
            pieces.append(piece)
        else:
            text = "".join(sign if sign.isprintable() else " " for sign in piece)
            pieces.append(text[:room])
            room -= len(pieces[-1])
    return "".join(pieces)


class _Rows(NamedTuple):
    """A section as it is drawn.

    Attributes:
        title: Its title.
        items: Each of its lines, as the rows that it takes.
    """

    title: str
    items: Sequence[Sequence[str]]

    @classmethod
    def of(cls, section: Section, width: int) -> _Rows:
        """Wrap the lines of a *section* in which nothing may be cut off."""
        if _name(section.title) not in _WRAPPED:
            return cls(section.title, [[line] for line in section.lines])
        return cls(section.title, [wrap(line, max(1, width - _INDENT)) for line in section.lines])

    @property
    def height(self) -> int:
        """How many rows it takes, without its title."""
        return sum(map(len, self.items))

    @property
    def least(self) -> int:
        """How many it gets before any other gets more."""
        return min(_LEAST_OF_PROBLEMS if _name(self.title) == "problems" else _LEAST, self.height)


def _fitted(head: Sequence[str], sections: Sequence[_Rows], height: int) -> list[str]:
    granted = _granted(sections, height - len(head))
    if missing := [section.title for section in sections if section.title not in granted]:
        granted = _granted(sections, height - len(head) - 1)
        missing = [section.title for section in sections if section.title not in granted]
    lines = list(head)
    for section in sections:
        if section.title in granted:
            lines += ["", click.style(section.title, bold=True)]
            lines += [f"{' ' * _INDENT}{row}" for row in _cut(section.items, granted[section.title])]
    if missing:
        lines.append(f"no room for {', '.join(missing)}")
    return lines[: max(0, height)]


def _granted(sections: Sequence[_Rows], room: int) -> dict[str, int]:
    """Return the titles that have *room*, to the rows that each gets besides its own."""
    granted: dict[str, int] = {}
    by_rank = sorted(sections, key=_rank)
    for section in by_rank:
        rows = min(section.least, room - _AROUND)
        if rows >= min(_LEAST, section.height):
            granted[section.title] = rows
            room -= _AROUND + rows
    for section in by_rank:
        if section.title in granted:
            more = min(room, section.height - granted[section.title])
            granted[section.title] += more
            room -= more
    return granted


def _name(title: str) -> str:
    return title.partition(" (")[0]


def _rank(section: _Rows) -> int:
    name = _name(section.title)
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _cut(items: Sequence[Sequence[str]], count: int) -> list[str]:
    """Return *count* rows: whole items, as far as they go, and how many more there are."""
    rows = [row for item in items for row in item]
    if len(rows) <= count:
        return rows
    kept: list[str] = []
    shown = 0
    for item in items:
        if len(kept) + len(item) > count - 1:
            break
        kept += item
        shown += 1
    if not shown:  # a piece of it is better than nothing
        kept, shown = list(items[0][: count - 1]), 1
    return [*kept, f"... and {len(items) - shown} more"]


def wrap(line: str, width: int) -> list[str]:
    """Return the rows that *line* takes at *width*, each with the style that it had there."""
    plain = click.unstyle(line)
    ends = _ends(plain, width)
    rows, start = [], 0
    for end in ends:
        row = _between(line, start, end)
        rows.append(row if start == 0 else f"{' ' * _INDENT}{row}")
        start = end
    return rows


def _ends(plain: str, width: int) -> Iterator[int]:
    """Yield where the rows of a text end: at its spaces, where there are any."""
    start, room = 0, width
    for number in range(_ROWS_OF_A_LINE):
        if len(plain) - start <= room or number == _ROWS_OF_A_LINE - 1:
            break
        at = plain.rfind(" ", start + room // 2, start + room)
        start = at + 1 if at > 0 else start + room
        yield start
        room = max(1, width - _INDENT)
    yield len(plain)


def _between(line: str, start: int, end: int) -> str:
    """Return the characters of *line* from *start* to *end*, styles not counted, in the style they have."""
    at, style, pieces = 0, "", []
    for piece in _STYLE.split(line):
        if _STYLE.fullmatch(piece):
            style = "" if piece == _PLAIN else style + piece
            continue
        if text := piece[max(0, start - at) : max(0, end - at)]:
            pieces.append(f"{style}{text}{_PLAIN}" if style else text)
        at += len(piece)
    return "".join(pieces)
