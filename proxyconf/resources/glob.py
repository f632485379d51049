"""Patterns over keys, exactly as Go's path.Match reads them, which ``gets`` and ``getvs`` go by. Pure.

``*`` is any text and ``?`` one character, neither with a slash; ``[abc]``, ``[a-z]`` and ``[^a-z]`` one
character; a backslash takes the next one's meaning away.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_SPECIAL = re.compile(r"[*?\[\\]")


class Glob(NamedTuple):
    """A pattern, compiled.

    Attributes:
        head: What every match starts with.
        tail: Matches all the rest of a name; None where that is just one star: any text without a slash.
    """

    head: str
    tail: re.Pattern[str] | None

    def fits(self, name: str) -> bool:
        """Tell whether *name* matches, which is known to start with the head."""
        if self.tail is None:
            return name.find("/", len(self.head)) < 0
        return self.tail.fullmatch(name, len(self.head)) is not None


@lru_cache(maxsize=1024)  # a template has few, and uses them again at every change
def compiled(pattern: str) -> Glob:
    """Return *pattern*, compiled.

    Raises:
        ValueError: It is malformed.
    """
    found = _SPECIAL.search(pattern)
    head = pattern[: found.start()] if found else pattern
    if pattern[len(head) :] == "*":
        return Glob(head, None)
    chunks = [_chunk(chunk) for chunk in _split_at_stars(pattern[len(head) :])]
    # what follows a star is taken where it first fits, without trying again: that is enough, as a star never
    # crosses a slash, and it keeps many stars from taking exponential time
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1] if chunk)
    last = f"[^/]*?{chunks[-1]}" if len(chunks) > 1 else ""
    return Glob(head, re.compile(chunks[0] + middle + last, re.DOTALL))


def _split_at_stars(pattern: str) -> list[str]:
    chunks, start, at = [], 0, 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            at = _class_end(pattern, at) - 1
        elif pattern[at] == "*":
            chunks.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*chunks, pattern[start:]]


def _chunk(pattern: str) -> str:
    """Return the regular expression of a *pattern* without stars."""
    parts, at = [], 0
    while at < len(pattern):
        if pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        elif pattern[at] == "[":
            end = _class_end(pattern, at)
            parts.append(_class(pattern, at, end))
            at = end
        else:
            character, at = _escaped(pattern, at)
            parts.append(re.escape(character))
    return "".join(parts)


def _class_end(pattern: str, at: int) -> int:
    """Return where the class that starts *at* ends: behind its bracket."""
    first = at = at + 1 + (pattern[at + 1 : at + 2] == "^")
    while pattern[at : at + 1] != "]" or at == first:
        _, at = _escaped(pattern, at, within_class=True)
        if pattern[at : at + 1] == "-":
            _, at = _escaped(pattern, at + 1, within_class=True)
    return at + 1


def _class(pattern: str, start: int, end: int) -> str:
    negated = pattern[start + 1] == "^"
    at, ranges = start + 1 + negated, []
    while at < end - 1:
        low, at = _escaped(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _escaped(pattern, at + 1)
        if low <= high:  # "z-a" has no character in it, and is no mistake to Go
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' * negated}{''.join(ranges)}]"


def _escaped(pattern: str, at: int, *, within_class: bool = False) -> tuple[str, int]:
    """Return one character, whose backslash is taken away, and where the next one is."""
    character = pattern[at : at + 1]
    if within_class and character in ("", "-", "]"):
        raise ValueError("a class of characters is malformed (write it like [a-z], and \\- or \\] for those)")
    if character == "\\":
        at += 1
        character = pattern[at : at + 1]
        if not character:
            raise ValueError("a backslash stands at the end (write two of them for one)")
    return character, at + 1
