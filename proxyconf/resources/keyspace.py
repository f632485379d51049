"""The keys of a snapshot, sorted once, so that each template's own share of them is cheap to take. Pure.

A change is a new mapping: build one `Keyspace` for it, and ask that one for all templates. What a template
sees is then compared with what it saw by ``==``, which is quick where names and entries are the very same
objects.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.resources.paths import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxyconf.model import Entry


class Share(NamedTuple):
    """Some of the keys, by name, each once; two tuples, as one of pairs would take ten times as long to make.

    Attributes:
        names: Full names.
        entries: Of each name, its entry.
    """

    names: tuple[str, ...]
    entries: tuple[Entry, ...]


AFTER_SLASH = chr(ord("/") + 1)  # all that start with "a/" are before "a" + this


class Keyspace:
    """All keys of one snapshot; *pairs* has full names, each with a leading slash and without a final one."""

    def __init__(self, pairs: Mapping[str, Entry]) -> None:
        self._names = sorted(pairs)
        self._entries = list(map(pairs.__getitem__, self._names))
        self._below: dict[tuple[str, ...], Share] = {}

    def below(self, prefixes: Sequence[str]) -> Share:
        """Return the keys that are one of *prefixes* or below one.

        ``/app`` stands for ``/app`` and ``/app/1``, not for ``/appx``; ``/`` for all. Slashes at a prefix's
        ends don't matter. Templates that name the same prefixes share one result.
        """
        wanted = tuple(prefixes)
        found = self._below.get(wanted)
        if found is None:
            found = self._below[wanted] = self._take(wanted)
        return found

    def _take(self, prefixes: tuple[str, ...]) -> Share:
        spans = sorted({span for prefix in prefixes for span in self._spans(clean(f"/{prefix}"))})
        names: list[str] = []
        entries: list[Entry] = []
        end = 0
        for start, stop in spans:
            first = max(start, end)  # of two prefixes, one may be below the other
            names += self._names[first:stop]
            entries += self._entries[first:stop]
            end = max(end, stop)
        return Share(tuple(names), tuple(entries))

    def _spans(self, prefix: str) -> list[tuple[int, int]]:
        """Return where the keys of a prefix are: itself, and those below it; "/a-b" sorts between the two."""
        if prefix == "/":
            return [(0, len(self._names))]
        itself = bisect_left(self._names, prefix)
        is_there = self._names[itself : itself + 1] == [prefix]
        first = bisect_left(self._names, f"{prefix}/", itself)
        return [(itself, itself + is_there), (first, bisect_left(self._names, prefix + AFTER_SLASH, first))]
