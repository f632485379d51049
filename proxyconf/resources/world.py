"""What a render may look at beside its keys, and the record of what it did look at.

Everything in the record is an input of the rendered text: when one of them changes, the render is due again.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses are read by their annotations
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - as above
from typing import Literal, NamedTuple

_FUNCTIONS = {
    "ip": "lookupIP",
    "ipv4": "lookupIPV4",
    "ipv6": "lookupIPV6",
    "srv": "lookupSRV",
    "interface4": "lookupIfaceIPV4",
    "interface6": "lookupIfaceIPV6",
}


class Lookup(NamedTuple):
    """Something only the network or the kernel knows.

    Attributes:
        kind: ``ip``, ``ipv4``, ``ipv6``: addresses of a host name. ``srv``: a service's servers.
            ``interface4``, ``interface6``: addresses of a network interface.
        name: Host name, ``_service._proto.name``, or the interface.
    """

    kind: Literal["ip", "ipv4", "ipv6", "srv", "interface4", "interface6"]
    name: str

    def __str__(self) -> str:
        return f"{_FUNCTIONS[self.kind]} {self.name!r}"


class Stamp(NamedTuple):
    """How to tell at little cost that a file is another one now."""

    mtime_ns: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a render may look at beside its keys.

    Attributes:
        time: Unix time in seconds.
        hostname: This host's name.
        environment: Our environment variables.
        answers: To look-ups, sorted; one without an answer yet counts as empty for this render.
    """

    time: float
    hostname: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[Lookup, Sequence[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Used:
    """What one render has looked at; filled while it runs, also if it fails.

    Attributes:
        time: The clock. It never makes a render due by itself.
        files: A path that ``fileExists`` was asked for, to its answer.
        lookups: Those without an answer among them: resolve, and render again.
        parts: Which of the snapshot's ``services``, ``routes`` and ``containers``.
        templates: Each template file, to its stamp when it was read; None where there was none.
    """

    time: bool = False
    files: dict[str, bool] = field(default_factory=dict)
    lookups: set[Lookup] = field(default_factory=set)
    parts: set[Literal["services", "routes", "containers"]] = field(default_factory=set)
    templates: dict[Path, Stamp | None] = field(default_factory=dict)


def stamp(path: Path) -> Stamp | None:
    """Return a file's stamp, or None where there is no regular file (or link to one) that we may see."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # the latter: a null byte in its name
        return None
    return Stamp(found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None
