"""The nginx.conf of somebody else, read: where its nginx is found, and what stands beside our include.

What they have already (directives, default servers) is not written again, for nginx would refuse it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError
from proxyconf.nginx.dialect import canonical_listen
from proxyconf.nginx.syntax import statements

if TYPE_CHECKING:
    from proxyconf.nginx.syntax import Statement

_CONTEXT_MAX = 3  # what matters is not deeper than http, server


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of somebody else's configuration matters to us.

    Attributes:
        present: Names of the directives directly in the http block.
        default_servers: Addresses, as `canonical_listen` writes them, that have a default server, by word or
            as the first that listens there before our include.
        pid: The pid file, if it is set.
        error_log: The first log in the main context, if one is set.
        includes_us: Our file is included.
        stamps: Every file and folder that was looked at, with its time of change.
    """

    present: frozenset[str] = frozenset()
    default_servers: frozenset[str] = frozenset()
    pid: str = ""
    error_log: str = ""
    includes_us: bool = False
    stamps: tuple[tuple[str, int], ...] = ()

    def is_current(self) -> bool:
        """Tell whether none of the files has changed since, and none has come; blocks for microseconds."""
        return all(_stamp(name) == stamp for name, stamp in self.stamps)


@dataclass(slots=True)
class _Reading:
    """What a reading has found so far."""

    folder: Path
    ours: Path | None
    present: set[str] = field(default_factory=set)
    default_servers: set[str] = field(default_factory=set)
    main: dict[str, str] = field(default_factory=dict)
    met_ours: bool = False
    seen: set[tuple[Path, tuple[str, ...]]] = field(default_factory=set)
    stamps: dict[str, int] = field(default_factory=dict)


def read_surroundings(conf: Path, ours: Path | None = None) -> Surroundings:
    """Read *conf* and all that it includes, but for *ours*; blocks.

    Without *ours*, only what is in the main context is read.

    Raises:
        CommandError: *conf* can't be read.
    """
    reading = _Reading(conf.parent, ours)
    try:
        conf.read_bytes()
    except OSError as exc:
        raise CommandError(f"read {conf}: {exc.strerror} (set [nginx] conf to the main file)") from exc
    _read(reading, conf, ())
    return Surroundings(
        frozenset(reading.present),
        frozenset(reading.default_servers),
        reading.main.get("pid", ""),
        reading.main.get("error_log", ""),
        reading.met_ours,
        tuple(reading.stamps.items()),
    )


def _read(reading: _Reading, file: Path, context: tuple[str, ...]) -> None:
    if (file, context) in reading.seen:
        return  # again, or an include that includes itself; nginx refuses that
    reading.seen.add((file, context))
    reading.stamps[str(file)] = _stamp(str(file))
    try:
        text = file.read_text(errors="surrogateescape")
    except OSError:
        return  # nginx will say so itself
    for statement in statements(text):
        where = (*context, *statement.context)[:_CONTEXT_MAX]
        if statement.name == "include" and len(statement.words) == 2:
            if reading.ours or not where:
                _follow(reading, statement, where)
        elif where == ("http",):
            reading.present.add(statement.name)
        elif where == ("http", "server") and statement.name == "listen" and len(statement.words) > 1:
            # without the word, the first that listens there is it: a site that was there before us
            if not reading.met_ours or not {"default_server", "default"}.isdisjoint(statement.words[2:]):
                reading.default_servers.add(canonical_listen(statement.words[1]))
        elif not where and len(statement.words) > 1:
            reading.main.setdefault(statement.name, statement.words[1])


def _follow(reading: _Reading, statement: Statement, where: tuple[str, ...]) -> None:
    pattern = str(reading.folder / statement.words[1])
    if reading.ours and reading.ours.match(pattern):
        reading.met_ours = True
        return
    folder = str(Path(pattern).parent)
    reading.stamps[folder] = _stamp(folder)
    for found in sorted(glob(pattern)):  # noqa: PTH207 - the pattern may be a whole path
        _read(reading, Path(found), where)


def _stamp(name: str) -> int:
    try:
        return os.stat(name).st_mtime_ns  # noqa: PTH116 - ten times cheaper, and asked before every change
    except OSError:
        return 0
