"""The keys that we follow, kept in step with etcd and published as listings.

What is followed: all keys below the source's prefix, for routes, and for each need of a template the key of
that name and all below it. A key may be wanted for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxyconf.model import Entry, Listing, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_DELETE = 1  # mvccpb.Event.EventType


@dataclass(frozen=True, slots=True, order=True)
class KeyRange:
    """All keys from `start` up to, and without, `end`."""

    start: bytes
    end: bytes


def key_ranges(prefix: str, needs: Iterable[str]) -> tuple[KeyRange, ...]:
    """Return the ranges that hold every wanted key; they are ascending and have no key in common.

    Args:
        prefix: Only what is below it: below ``/a`` is ``/a/b``, but neither ``/a`` nor ``/ab``. "" for none.
        needs: The key itself and what is below it. Their ranges also hold what sorts between the two, such as
            ``/a-b``, which a `Mirror` passes over: one range is one watch.
    """
    wanted = {_below(prefix)} if prefix else set()
    wanted |= {_from(need) for need in needs}
    found: list[KeyRange] = []
    for one in sorted(wanted):
        # of two ranges of this kind, one holds the other or they are apart
        if not found or one.start >= found[-1].end:
            found.append(one)
    return tuple(found)


def _below(name: str) -> KeyRange:
    start = _folder(name)
    return KeyRange(start, prefix_end(start))


def _from(need: str) -> KeyRange:
    below = _below(need)
    return KeyRange(below.start[:-1] or b"/", below.end)


def _folder(name: str) -> bytes:
    """Return what the names of all keys below *name* start with."""
    return f"{name.rstrip('/')}/".encode()


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the first key after all those that start with *prefix*; ``\0``, etcd's word for "no end"."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\0"


@dataclass(frozen=True, slots=True)
class Listed:
    """All keys of some ranges at one revision.

    Attributes:
        cluster: Identity of the cluster.
        revision: Of the store.
        pairs: etcd's KeyValue messages.
    """

    cluster: str
    revision: int
    pairs: tuple[Any, ...]


class Mirror:
    """What etcd holds of the wanted keys, as far as we heard.

    Attributes:
        cluster: Identity of the cluster.
        revision: Of the latest list, or of the latest change since.
    """

    def __init__(self, source: str, prefix: str, needs: Sequence[str] = ()) -> None:
        self.cluster = ""
        self.revision = 0
        self._source = source
        self._listed = 0
        base = _folder(prefix) if prefix else b""
        self._keys = _View((base,) if prefix else (), cut=len(base))
        folders = tuple(_folder(need) for need in needs)
        self._pairs = _View(folders, frozenset(folder[:-1] for folder in folders))
        self._views = [view for view in (self._keys, self._pairs) if view.folders]
        self._unreadable: dict[bytes, Problem] = {}
        shown = base.decode().replace("{", "{{").replace("}", "}}")
        self._place = f"{source} key '{shown}{{key}}'"

    def take(self, listed: Listed) -> bool:
        """Replace everything; tell whether anything is different now."""
        before = (self.cluster, self._unreadable, [view.entries for view in self._views])
        self.cluster, self.revision, self._listed = listed.cluster, listed.revision, listed.revision
        self._unreadable = {}
        for view in self._views:
            view.clear()
        for pair in listed.pairs:
            self._put(pair)
        return before != (self.cluster, self._unreadable, [view.entries for view in self._views])

    def apply(self, events: Iterable[Any]) -> bool:
        """Make the changes that a watch told of; tell whether anything is different now."""
        changed = False
        for event in events:
            pair = event.kv
            # the answer's own revision may be ahead of its events, so it says nothing of what we have
            if pair.mod_revision <= self._listed:
                continue  # a list was faster than the watch
            changed |= self._drop(pair.key) if event.type == _DELETE else self._put(pair)
            # watches of several ranges may be ahead of each other
            self.revision = max(self.revision, pair.mod_revision)
        return changed

    def listing(self) -> Listing:
        """Return what there is now; it won't change."""
        return Listing(
            self._source,
            self.revision,
            self.cluster,
            keys=self._keys.published(),
            pairs=self._pairs.published(),
            problems=tuple(self._unreadable.values()),
            place=self._place,
        )

    def _put(self, pair: Any) -> bool:  # noqa: ANN401 - grpc has no types
        raw, entry, changed = pair.key, Entry(pair.value, pair.create_revision), False
        try:
            for view in self._views:
                changed |= view.put(raw, entry)
        except UnicodeDecodeError:
            changed = raw not in self._unreadable
            self._unreadable[raw] = Problem(
                "source", f"{self._source} key {raw!r}", "its name is not UTF-8 (rename or delete it)"
            )
        return changed

    def _drop(self, raw: bytes) -> bool:
        changed = False
        try:
            for view in self._views:
                changed |= view.drop(raw)
        except UnicodeDecodeError:
            changed = self._unreadable.pop(raw, None) is not None
        return changed


class _View:
    """The keys that are wanted for one purpose, by the names that they have there.

    Attributes:
        folders: What is below them is wanted; each ends with a slash.
        entries: Name to entry.
    """

    def __init__(
        self, folders: tuple[bytes, ...], names: frozenset[bytes] = frozenset(), *, cut: int = 0
    ) -> None:
        self.folders = folders
        self.entries: dict[str, Entry] = {}
        self._names = names
        self._cut = cut
        self._copy: Mapping[str, Entry] | None = None

    def clear(self) -> None:
        self.entries, self._copy = {}, None

    def put(self, raw: bytes, entry: Entry) -> bool:
        """Keep *entry* if it is wanted; tell whether it is news."""
        name = self._name(raw)
        if name is None or self.entries.get(name) == entry:
            return False
        self.entries[name] = entry
        self._copy = None
        return True

    def drop(self, raw: bytes) -> bool:
        """Forget an entry; tell whether it was there."""
        name = self._name(raw)
        if name is None or self.entries.pop(name, None) is None:
            return False
        self._copy = None
        return True

    def published(self) -> Mapping[str, Entry]:
        """Return a copy: the same one, until something changes."""
        if self._copy is None:
            self._copy = dict(self.entries)
        return self._copy

    def _name(self, raw: bytes) -> str | None:
        """Return the key's name; None if it is not wanted.

        Raises:
            UnicodeDecodeError: It is no text.
        """
        if raw.startswith(self.folders) or raw in self._names:
            return raw[self._cut :].decode()
        return None
