"""Files to entries: what is good of each, and what all say together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError, SourceDeniedError, SourceError
from proxyconf.model import Entry, Listing, Problem
from proxyconf.sources._file_finding import TABLES, TREES, shown
from proxyconf.sources._file_tables import read_tables
from proxyconf.sources._file_tree import read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from proxyconf.sources._file_finding import Places

_SIZE_LIMIT_MIB = 16


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read.

    Attributes:
        raw: Its bytes; None: it can't be read.
        entries: Of its last good content: for `Listing.keys` those of a TOML file, else for `Listing.pairs`.
            None: there was no good content yet.
        problems: What is wrong in it, or with it.
        denied: We may not read it.
    """

    raw: bytes | None = None
    entries: Mapping[str, Entry] | None = None
    problems: tuple[Problem, ...] = ()
    denied: bool = False

    @property
    def is_unknown(self) -> bool:
        """What is in it is not known, or is nothing yet: an earlier run may know more."""
        return self.entries is None or not (self.raw or self.entries)


def read_files(files: Iterable[Path], before: Mapping[Path, File], places: Places) -> dict[Path, File]:
    """Read *files*; what did not change since *before* is taken from there.

    Blocks.

    Raises:
        SourceError: Of a file that `Places.paths` names nothing good is known, or of no file at all.
        SourceDeniedError: Because we may not read one of these.
    """
    read = {file: _read_file(file, before.get(file, File()), places.source) for file in files}
    unknown = {path: file for path, file in read.items() if file.entries is None}
    named = {path: unknown[path] for path in places.paths if path in unknown}
    # where nothing is known, that is not "there is nothing"; and without a named file that was to override
    # others, theirs would count
    if missing := unknown if len(unknown) == len(read) else named:
        kind = SourceDeniedError if any(file.denied for file in missing.values()) else SourceError
        reasons = (
            f"{problem.where}: {problem.why}" for file in missing.values() for problem in file.problems
        )
        raise kind(f"read {'; '.join(reasons)}")
    return read


def make_listing(files: Mapping[Path, File], places: Places, needs: Sequence[str] = ()) -> Listing:
    """Return what all *files* say.

    Of two files that hold the same service or route, the first counts, and the second is a problem. A
    template's key is overridden by later files, as in confd: defaults first, then what is special here.

    Args:
        files: In the order in which they were read.
        places: Where they are.
        needs: The key prefixes that templates want.
    """
    keys: dict[str, Entry] = {}
    pairs: dict[str, Entry] = {}
    problems: list[Problem] = []
    for path, file in files.items():
        problems += file.problems
        if path.suffix != TABLES:
            pairs.update(file.entries or {})
            continue
        for key, entry in (file.entries or {}).items():
            holder = keys.setdefault(key, entry)
            if holder is not entry:
                problems.append(
                    Problem("file", shown(path), f"{key} counts as in {holder.where} (delete one)")
                )
    place = f"{places.source} {places}: ".replace("{", "{{").replace("}", "}}") + "{key}"
    wanted = _only(pairs, needs)
    unread = tuple(f"{places.source} {shown(path)}:" for path, file in files.items() if file.is_unknown)
    return Listing(
        places.source, keys=keys, pairs=wanted, problems=tuple(problems), unread=unread, place=place
    )


def _only(pairs: Mapping[str, Entry], needs: Sequence[str]) -> dict[str, Entry]:
    """Return what is needed: keys of these very names, and what is below them."""
    names, folders = frozenset(needs), tuple(f"{need.rstrip('/')}/" for need in needs)
    return {name: entry for name, entry in pairs.items() if name in names or name.startswith(folders)}


def _read_file(path: Path, before: File, source: str) -> File:
    """Read one file; if it is bad, keep its last good content."""
    place = shown(path)
    kept = "" if before.entries is None else "; its last good content is kept"
    try:
        raw = _read_bytes(path)
    except OSError as exc:
        denied = isinstance(exc, PermissionError)
        hint = " (let our user read it)" if denied else ""
        problem = Problem("file", place, f"{exc.strerror or exc}{hint}{kept}")
        return File(None, before.entries, (problem,), denied=denied)
    if raw == before.raw:
        return before
    if not raw and before.entries:  # whoever writes it in place has just begun, or the disk was full
        why = f"is empty{kept} (if nothing is to be in it: write a comment into it)"
        return File(raw, before.entries, (Problem("file", place, why),))
    read = read_tables if path.suffix == TABLES else read_tree
    try:
        entries, problems = read(_decode(raw), place, source)
    except BadValueError as exc:
        hint = "" if path.suffix in (TABLES, *TREES) else f" (services and routes go into a *{TABLES})"
        problem = Problem("file", f"{place}{_line(exc, raw)}", f"{exc}{hint}{kept}")
        return File(raw, before.entries, (problem,))
    return File(raw, entries, problems)


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():  # a pipe would block us for ever
        path.stat()
        raise OSError("is no regular file")
    limit = _SIZE_LIMIT_MIB << 20
    with path.open("rb") as stream:
        raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise OSError(f"is larger than {_SIZE_LIMIT_MIB} MiB (split it)")
    return raw


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")  # editors of another system mark their UTF-8
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise BadValueError(f"is not UTF-8 (at line {line})") from exc


def _line(exc: BadValueError, raw: bytes) -> str:
    """Return ``:LINE`` where the error names one."""
    if found := re.search(r"at line (\d+)", str(exc)):
        return f":{found[1]}"
    return f":{len(raw.splitlines())}" if "at end of document" in str(exc) else ""
