"""The keys of a snapshot, sorted once, so that each template's own share of them is cheap to take. Pure.

A change is a new mapping: build one `Keyspace` for it, and ask that one for all templates. What a template
sees is then compared with what it saw by ``==``, which is quick where entries are the very same objects.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from proxyconf.resources.paths import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxyconf.model import Entry

AFTER_SLASH = chr(ord("/") + 1)  # all that start with "a/" are before "a" + this


class Keyspace:
    """All keys of one snapshot; *pairs* has full names, each with a leading slash and without a final one."""

    def __init__(self, pairs: Mapping[str, Entry]) -> None:
        self._keys = sorted(pairs)
        self._pairs = [(key, pairs[key]) for key in self._keys]
        self._below: dict[tuple[str, ...], tuple[tuple[str, Entry], ...]] = {}

    def below(self, prefixes: Sequence[str]) -> tuple[tuple[str, Entry], ...]:
        """Return the keys that are one of *prefixes* or below one, by name, each once.

        ``/app`` stands for ``/app`` and ``/app/1``, not for ``/appx``; ``/`` for all. Slashes at a prefix's
        ends don't matter. Templates that name the same prefixes share one result.
        """
        wanted = tuple(prefixes)
        found = self._below.get(wanted)
        if found is None:
            found = self._below[wanted] = self._take(wanted)
        return found

    def _take(self, prefixes: tuple[str, ...]) -> tuple[tuple[str, Entry], ...]:
        spans = sorted({span for prefix in prefixes for span in self._spans(clean(f"/{prefix}"))})
        taken: list[tuple[str, Entry]] = []
        end = 0
        for start, stop in spans:
            taken += self._pairs[max(start, end) : stop]  # of two prefixes, one may be below the other
            end = max(end, stop)
        return tuple(taken)

    def _spans(self, prefix: str) -> list[tuple[int, int]]:
        """Return where the keys of a prefix are: itself, and those below it; "/a-b" sorts between the two."""
        if prefix == "/":
            return [(0, len(self._keys))]
        itself = bisect_left(self._keys, prefix)
        is_there = self._keys[itself : itself + 1] == [prefix]
        first = bisect_left(self._keys, f"{prefix}/", itself)
        return [(itself, itself + is_there), (first, bisect_left(self._keys, prefix + AFTER_SLASH, first))]
