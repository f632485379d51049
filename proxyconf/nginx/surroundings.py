"""Mode include: the nginx.conf of somebody else that includes our file, read, and copied to be checked.

What they have already (directives, default servers) is not written again, for nginx would refuse it. To check
a candidate in context, the files from the main one down to the one with our include are copied beside
themselves, with that include pointed at the candidate.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

from proxyconf.errors import CommandError, StateError
from proxyconf.nginx.dialect import canonical_listen
from proxyconf.nginx.syntax import Statement, statements

_DEPTH_MAX = 16  # an include that includes itself; nginx refuses it


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of somebody else's configuration matters to us.

    Attributes:
        present: Names of the directives directly in the http block.
        default_servers: Addresses, as `canonical_listen` writes them, that have a default server, by word or
            as the first that listens there before our include.
        pid: The pid file, if it is set.
        error_log: The first log in the main context, if one is set.
        chain: The files from the main one to the one with our include, each with the statement that leads on;
            empty when nothing includes us.
        stamps: Every file and folder that was looked at, with its time of change.
    """

    present: frozenset[str] = frozenset()
    default_servers: frozenset[str] = frozenset()
    pid: str = ""
    error_log: str = ""
    chain: tuple[tuple[Path, Statement], ...] = ()
    stamps: tuple[tuple[str, int], ...] = ()

    def is_current(self) -> bool:
        """Tell whether none of the files has changed since, and none has come; blocks for microseconds."""
        return all(_stamp(name) == stamp for name, stamp in self.stamps)


@dataclass(slots=True)
class _Reading:
    """What a reading has found so far."""

    folder: Path
    ours: Path
    present: set[str] = field(default_factory=set)
    default_servers: set[str] = field(default_factory=set)
    main: dict[str, str] = field(default_factory=dict)
    chain: tuple[tuple[Path, Statement], ...] = ()
    stamps: dict[str, int] = field(default_factory=dict)


def read_surroundings(conf: Path, ours: Path) -> Surroundings:
    """Read *conf* and all that it includes, but for *ours*; blocks.

    Raises:
        CommandError: *conf* can't be read.
    """
    reading = _Reading(conf.parent, ours)
    try:
        conf.read_bytes()
    except OSError as exc:
        raise CommandError(f"read {conf}: {exc.strerror} (set [nginx] conf to the main file)") from exc
    _read(reading, conf, (), ())
    return Surroundings(
        frozenset(reading.present),
        frozenset(reading.default_servers),
        reading.main.get("pid", ""),
        reading.main.get("error_log", ""),
        reading.chain,
        tuple(reading.stamps.items()),
    )


def _read(
    reading: _Reading, file: Path, context: tuple[str, ...], way: tuple[tuple[Path, Statement], ...]
) -> None:
    reading.stamps[str(file)] = _stamp(str(file))
    try:
        text = file.read_text(errors="surrogateescape")
    except OSError:
        return  # nginx will say so itself
    for statement in statements(text):
        where = (*context, *statement.context)
        if statement.name == "include" and len(statement.words) == 2:
            _follow(reading, statement, where, (*way, (file, statement)))
        elif where == ("http",):
            reading.present.add(statement.name)
        elif where == ("http", "server") and statement.name == "listen":
            # without the word, the first that listens there is it: a site that was there before us
            if not reading.chain or not {"default_server", "default"}.isdisjoint(statement.words[2:]):
                reading.default_servers.add(canonical_listen(statement.words[1]))
        elif not where and len(statement.words) > 1:
            reading.main.setdefault(statement.name, statement.words[1])


def _follow(
    reading: _Reading,
    statement: Statement,
    where: tuple[str, ...],
    way: tuple[tuple[Path, Statement], ...],
) -> None:
    pattern = str(reading.folder / statement.words[1])
    if reading.ours.match(pattern):
        reading.chain = way
        return
    folder = str(Path(pattern).parent)
    reading.stamps[folder] = _stamp(folder)
    if len(way) < _DEPTH_MAX:
        for found in _matching(pattern):
            _read(reading, found, where, way)


def _matching(pattern: str) -> list[Path]:
    """Return the files of an include, in nginx's order."""
    return [Path(name) for name in sorted(glob(pattern))]  # noqa: PTH207 - the pattern may be a whole path


def _stamp(name: str) -> int:
    try:
        return os.stat(name).st_mtime_ns  # noqa: PTH116 - ten times cheaper, and asked before every change
    except OSError:
        return 0


class Shadow:
    """Copies of the files that lead to our include, pointed at a candidate; gone when the block ends.

    Args:
        surroundings: With the chain.
        candidate: The file to include instead of ours.

    Attributes:
        main: The copy of the main file.
    """

    def __init__(self, surroundings: Surroundings, candidate: Path) -> None:
        files = [file for file, _ in surroundings.chain]
        self._copies = {file: file.with_name(f".{file.name}.proxyconf-check") for file in files}
        self._chain = surroundings.chain
        self._candidate = candidate
        self.main = self._copies[files[0]]

    def write(self) -> None:
        """Write the copies; blocks.

        Raises:
            StateError: One can't be written.
        """
        lead_to = self._candidate
        for file, statement in reversed(self._chain):
            copy = self._copies[file]
            try:
                text = file.read_text(errors="surrogateescape")
                changed = text[: statement.start] + self._instead(statement, lead_to) + text[statement.end :]
                copy.touch(mode=0o600)  # the file may hold secrets
                copy.write_text(changed, errors="surrogateescape")
                copy.chmod(file.stat().st_mode & 0o777)
            except OSError as exc:
                raise StateError(
                    f"copy {file} to check it: {exc.strerror} (mode include must run as root)"
                ) from exc
            lead_to = copy

    def remove(self) -> None:
        """Delete the copies, as far as we may: `write` has said what is wrong; blocks."""
        for copy in self._copies.values():
            with suppress(OSError):
                copy.unlink()

    def in_real_names(self, output: str) -> str:
        """Return what nginx printed, with the names of the files that were copied."""
        for file, copy in self._copies.items():
            output = output.replace(str(copy), str(file))
        return output

    def _instead(self, statement: Statement, lead_to: Path) -> str:
        """Return includes of the same files, one of them replaced."""
        real = {copy: file for file, copy in self._copies.items()}.get(lead_to)
        if real is None:
            return f'include "{lead_to}";'
        pattern = str(self._chain[0][0].parent / statement.words[1])
        return " ".join(f'include "{lead_to if name == real else name}";' for name in _matching(pattern))
