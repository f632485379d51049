"""The keys a template sees: relative to its resource's prefix, and searched as confd's store is. Pure."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from typing import TYPE_CHECKING, Self

from proxyconf.resources import glob
from proxyconf.resources.arguments import FunctionError, name_of
from proxyconf.resources.keyspace import AFTER_SLASH
from proxyconf.resources.pairs import Pair, StoreValue, key_of
from proxyconf.resources.paths import base, clean, folder
from proxyconf.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxyconf.model import Entry
    from proxyconf.resources.keyspace import Share

REQUIRED = object()  # no default: the key must be there
_LAST = chr(0x10FFFF)
_NEIGHBOURS = 500  # looked at for a likely spelling


class Store:
    """What a template can ask for.

    All errors are a `FunctionError`.

    Args:
        pairs: Keys relative to *prefix*, and values, in which a byte that is no UTF-8 is a lone surrogate
            (``surrogateescape``). Keys are cleaned; of two that then are one, the one that was clean counts.
            A value that knows no key yet gets to know this one.
        prefix: For messages.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], prefix: str = "") -> None:
        found: dict[str, str] = {}
        for key, value in pairs:
            cleaned = clean(key if key.startswith("/") else f"/{key}")
            if cleaned == key or cleaned not in found:
                found[cleaned] = value if key_of(value) else StoreValue(value, prefix + cleaned)
        self._fill([Pair(key, found[key]) for key in sorted(found)], prefix)

    @classmethod
    def of_clean(cls, pairs: list[Pair], prefix: str) -> Self:
        """Return what the constructor makes of *pairs*, all of them clean, sorted, and there once."""
        store = cls.__new__(cls)
        store._fill(pairs, prefix)  # noqa: SLF001 - its own
        return store

    def _fill(self, pairs: list[Pair], prefix: str) -> None:
        self._pairs = pairs
        self._keys = [pair[0] for pair in pairs]
        self._prefix = prefix

    def get(self, key: str) -> Pair:
        """Return a key and its value; an empty value counts as any other."""
        return Pair(key, self.getv(key))

    def getv(self, key: str, default: object = REQUIRED) -> str:
        """Return a key's value, or *default*, which is returned as it is."""
        if (found := self._find(key)) is not None:
            return found.value
        if default is REQUIRED:
            raise FunctionError(self._missing(key), name_of(key))
        return default  # type: ignore[return-value] # it is the template's own business

    def exists(self, key: str) -> bool:
        """Return whether the key has a value; a folder has none."""
        return self._find(key) is not None

    def gets(self, pattern: str) -> list[Pair]:
        """Return the keys that match a `glob`, by name."""
        try:
            wanted = glob.compiled(pattern)
        except ValueError as exc:
            raise FunctionError(str(exc), name_of(pattern)) from exc
        found, start = self._pairs[self._starting(wanted.head)], len(wanted.head)
        if wanted.tail is None:  # nearly always, so without a call for each
            return [pair for pair in found if pair[0].find("/", start) < 0]
        return [pair for pair in found if wanted.fits(pair[0])]

    def getvs(self, pattern: str) -> list[str]:
        """Return the values of the keys that match a `glob`, in the order of the values."""
        return sorted([pair.value for pair in self.gets(pattern)])

    def ls(self, path: str) -> list[str]:
        """Return the names right below *path*, sorted, each once; as in a shell, a key lists itself."""
        names = {name for name, _ in self._children(path)}
        if self.exists(path):
            names.add(base(path))
        return sorted(names)

    def lsdir(self, path: str) -> list[str]:
        """Return the names right below *path* that have something below themselves, sorted."""
        return sorted([name for name, is_folder in self._children(path) if is_folder])

    def _find(self, key: str) -> Pair | None:
        """Return a key and its value; None where it has none."""
        at = bisect_left(self._keys, key)  # a dictionary of all would take longer to make than it saves
        return self._pairs[at] if self._keys[at : at + 1] == [key] else None

    def _starting(self, head: str) -> slice:
        """Return where the keys are that start with *head*."""
        start = bisect_left(self._keys, head)
        last = head.rstrip(_LAST)  # the last character that has a next one
        if not last:
            return slice(start, None)
        return slice(start, bisect_left(self._keys, last[:-1] + chr(ord(last[-1]) + 1), start))

    def _children(self, path: str) -> Iterator[tuple[str, bool]]:
        """Yield each name right below *path*, and whether it is a folder; one that is both, twice."""
        within = clean(path).rstrip("/") + "/"
        keys, at = self._keys, bisect_left(self._keys, within)
        while at < len(keys) and keys[at].startswith(within):
            name, slash, _ = keys[at][len(within) :].partition("/")
            if name:  # the key "/" itself
                yield name, bool(slash)
            at = bisect_left(keys, within + name + AFTER_SLASH, at) if slash else at + 1

    def _missing(self, key: str) -> str:
        """Return why there is no such key, as far as it can be told."""
        below = f" below the prefix {self._prefix!r}" if self._prefix else ""
        if key_of(key):
            return f"its value is not the name of a key{below} (did you mean its .Key?)"
        right = clean(f"/{key}")
        if self.exists(right):
            hint = f"write {right!r}: with a slash at the start and none at the end"
        elif next(self._children(right), None):
            hint = f"it is a folder: write gets({right + '/*'!r}) for what is in it, or ls({right!r})"
        elif near := difflib.get_close_matches(right, self._neighbours(right), n=1, cutoff=0.8):
            hint = f"did you mean {near[0]!r}?"
        else:
            hint = f"is it below one of the resource's keys? or write a default: getv({shown(key)}, '')"
        return f"no such key{below} ({hint})"

    def _neighbours(self, key: str) -> list[str]:
        return self._keys[self._starting(folder(key).rstrip("/") + "/")][:_NEIGHBOURS]


class Stores:
    """Makes the stores of one template, one after the other: only entries that are others are read again.

    Args:
        prefix: What names are cut off by.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._read: dict[str, tuple[Entry, Pair]] = {}
        self._unclean: set[str] = set()

    def of(self, share: Share) -> Store:
        """Return the store of these keys."""
        known = map(self._read.get, share.names)
        found = [
            one if one is not None and one[0] is entry else (entry, self._pair(name, entry))
            for one, name, entry in zip(known, *share, strict=True)
        ]
        self._read = dict(zip(share.names, found, strict=True))
        pairs = [pair for _, pair in found]
        self._unclean.intersection_update(share.names)
        return Store(pairs, self._prefix) if self._unclean else Store.of_clean(pairs, self._prefix)

    def _pair(self, name: str, entry: Entry) -> Pair:
        key = name[len(self._prefix) :]
        if not key.startswith("/") or clean(key) != key:
            self._unclean.add(name)
        return Pair(key, StoreValue(entry.value.decode("utf-8", "surrogateescape"), name))
