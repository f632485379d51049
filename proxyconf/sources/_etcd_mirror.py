"""The keys below a prefix, kept in step with etcd and published as listings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxyconf.model import Entry, Listing, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_DELETE = 1  # mvccpb.Event.EventType


@dataclass(frozen=True, slots=True)
class KeyRange:
    """All keys below a prefix: from `start` up to, and without, `end`."""

    start: bytes
    end: bytes


def key_range(prefix: str) -> KeyRange:
    """Return the range of the keys below *prefix*: below ``/a`` is ``/a/b``, but not ``/ab``."""
    start = f"{prefix.rstrip('/')}/".encode()
    return KeyRange(start, prefix_end(start))


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the first key after all those that start with *prefix*; ``\0``, etcd's word for "no end"."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\0"


@dataclass(frozen=True, slots=True)
class Listed:
    """All keys of a range at one revision.

    Attributes:
        cluster: Identity of the cluster.
        revision: Of the store.
        pairs: etcd's KeyValue messages.
    """

    cluster: str
    revision: int
    pairs: tuple[Any, ...]


class Mirror:
    """What etcd holds below a prefix, as far as we heard.

    Attributes:
        cluster: Identity of the cluster.
        revision: Of the latest list, or of the latest change since.
    """

    def __init__(self, source: str, keys: KeyRange) -> None:
        self.cluster = ""
        self.revision = 0
        self._source = source
        self._start = keys.start
        self._listed = 0
        self._entries: dict[str, Entry] = {}
        self._unreadable: dict[bytes, Problem] = {}
        base = keys.start.decode().replace("{", "{{").replace("}", "}}")
        self._place = f"{source} key '{base}{{key}}'"

    def take(self, listed: Listed) -> bool:
        """Replace everything; tell whether anything is different now."""
        before = (self.cluster, self._entries, self._unreadable)
        self.cluster, self.revision, self._listed = listed.cluster, listed.revision, listed.revision
        self._entries, self._unreadable = {}, {}
        for pair in listed.pairs:
            self._put(pair)
        return before != (self.cluster, self._entries, self._unreadable)

    def apply(self, events: Iterable[Any]) -> bool:
        """Make all changes of one answer of a watch; tell whether anything is different now."""
        changed = False
        for event in events:
            pair = event.kv
            # the answer's own revision may be ahead of its events, so it says nothing of what we have
            if pair.mod_revision <= self._listed:
                continue  # a list was faster than the watch
            changed |= self._drop(pair.key) if event.type == _DELETE else self._put(pair)
            self.revision = pair.mod_revision
        return changed

    def listing(self) -> Listing:
        """Return what there is now; it won't change."""
        return Listing(
            self._source,
            self.revision,
            self.cluster,
            keys=dict(self._entries),
            problems=tuple(self._unreadable.values()),
            place=self._place,
        )

    def _put(self, pair: Any) -> bool:  # noqa: ANN401 - grpc has no types
        entry = Entry(pair.value, pair.create_revision)
        key = self._key(pair.key)
        if key is None:
            changed = pair.key not in self._unreadable
            self._unreadable[pair.key] = Problem(
                "source", f"{self._source} key {pair.key!r}", "its name is not UTF-8 (rename or delete it)"
            )
            return changed
        changed = self._entries.get(key) != entry
        self._entries[key] = entry
        return changed

    def _drop(self, raw: bytes) -> bool:
        key = self._key(raw)
        gone = self._unreadable.pop(raw, None) if key is None else self._entries.pop(key, None)
        return gone is not None

    def _key(self, raw: bytes) -> str | None:
        """Return the name below the prefix; None when it is no text."""
        try:
            return raw[len(self._start) :].decode()
        except UnicodeDecodeError:
            return None
