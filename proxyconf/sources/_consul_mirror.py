"""Which keys of Consul's are wanted, and what it last said of them, published as listings.

Consul's names have no leading slash. A name that ends with a slash is a folder, which Consul's UI makes as a
key without a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import commonpath
from typing import TYPE_CHECKING

from proxyconf.model import Entry, Listing, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxyconf.sources._consul_kv import Answer

_ANY_NAME = "proxyconf"  # to ask about the whole store by one name
_NOT_TEXT = "\ufffd"  # what Consul's JSON has in place of bytes that are not UTF-8


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what is wanted.

    Attributes:
        below: All keys whose names start like this: ``app/server/``; "" is the whole store.
        itself: And the key of this name: ``app/server``; "" is none.
    """

    below: str
    itself: str = ""

    @property
    def path(self) -> str:
        """The name without a final slash."""
        return self.below.rstrip("/")

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of keys; who may read the part may read one of them."""
        return (self.below or _ANY_NAME, self.itself) if self.itself else (self.below or _ANY_NAME,)

    def holds(self, name: str) -> bool:
        return name.startswith(self.below) or name == self.itself


@dataclass(frozen=True, slots=True)
class Scope:
    """The keys that are wanted.

    Attributes:
        own: Where routes and services are; None where none are read.
        needs: What templates want.
    """

    own: Part | None = None
    needs: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts."""
        return self.needs if self.own is None else (self.own, *self.needs)

    @property
    def root(self) -> str:
        """What the names of all wanted keys start with: the longest path that they have in common."""
        parts = self.parts
        root = commonpath([part.path for part in parts])
        return root if not root or any(part.itself == root for part in parts) else f"{root}/"


def read_scope(prefix: str, needs: Sequence[str]) -> Scope:
    """Return what is wanted.

    Args:
        prefix: Of routes and services, as a person wrote it: ``""`` is nothing, ``"/"`` the whole store.
        needs: Of templates, with a leading slash; ``"/"`` is the whole store.
    """
    names = dict.fromkeys(need.strip("/") for need in needs)
    own = Part(_folder(prefix)) if prefix else None
    return Scope(own, tuple(Part(_folder(name), name) for name in names))


def _folder(name: str) -> str:
    return f"{name.strip('/')}/".removeprefix("/")


class Mirror:
    """What Consul has of the wanted keys, as of the latest answer.

    Attributes:
        index: Consul's ``X-Consul-Index`` of that answer; None before the first.
    """

    def __init__(self, source: str, scope: Scope, cluster: str = "") -> None:
        self.index: int | None = None
        self._source = source
        self._cluster = cluster
        self._scope = scope
        self._base = scope.own.below if scope.own else ""
        self._below = tuple(part.below for part in scope.needs)
        self._exact = frozenset(part.itself for part in scope.needs)
        self._entries: dict[str, Entry] = {}
        self._empty: tuple[Part, ...] = ()
        self._place = f"{source} key '{self._base.replace('{', '{{').replace('}', '}}')}{{key}}'"

    def take(self, answer: Answer) -> bool:
        """Replace everything; tell whether anything is different now."""
        known, entries = self._entries, {}
        changed = self.index is None
        for pair in answer.pairs:
            name, value = pair.name, pair.value or b""
            if not (self._is_own(name) or self._is_needed(name)):
                continue
            entry = known.get(name)
            # one that stays the same object is told to be the same without a look at it
            if entry is None or entry.value != value or entry.born != pair.born:
                entry = Entry(value, pair.born)
                changed = True
            entries[name] = entry
        self.index, self._entries = answer.index, entries
        return changed or len(entries) != len(known)

    def emptied(self) -> tuple[Part, ...]:
        """Return the parts that have no key any more, or never had one; each once until it has some."""
        before = self._empty
        self._empty = tuple(part for part in self._scope.parts if not any(map(part.holds, self._entries)))
        return tuple(part for part in self._empty if part not in before)

    def listing(self) -> Listing:
        """Return what there is now; it won't change."""
        cut = len(self._base)
        unreadable = sorted(name for name in self._entries if _NOT_TEXT in name)
        entries = {name: entry for name, entry in self._entries.items() if _NOT_TEXT not in name}
        return Listing(
            self._source,
            self.index or 0,
            self._cluster,
            keys={
                name[cut:]: entry
                for name, entry in entries.items()
                if self._is_own(name) and not (name.endswith("/") and not entry.value)
            },
            pairs={f"/{name}": entry for name, entry in entries.items() if self._is_needed(name)},
            problems=tuple(map(self._problem, unreadable)),
            place=self._place,
        )

    def _is_own(self, name: str) -> bool:
        return self._scope.own is not None and name.startswith(self._base) and name != self._base

    def _is_needed(self, name: str) -> bool:
        return name.startswith(self._below) or name in self._exact

    def _problem(self, name: str) -> Problem:
        return Problem(
            "source", f"{self._source} key {name!r}", "its name is not UTF-8 (rename or delete it)"
        )
