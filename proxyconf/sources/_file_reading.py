"""TOML files to the keys that a store would hold: ``services/<service>/<instance>`` and ``routes/<name>``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import tomli

from proxyconf import values
from proxyconf.errors import BadValueError, SourceDeniedError, SourceError
from proxyconf.model import Entry, Listing, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANCE_LIMIT = 100


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read.

    Attributes:
        raw: Its bytes; None: it can't be read.
        keys: Of its last good content; None: there was none yet.
        problems: What is wrong in it, or with it.
        denied: We may not read it.
    """

    raw: bytes | None = None
    keys: Mapping[str, Entry] | None = None
    problems: tuple[Problem, ...] = ()
    denied: bool = False


def read_files(path: Path, before: Mapping[Path, File], source: str) -> dict[Path, File]:
    """Read *path*, a file or a folder of them; what did not change since *before* is taken from there.

    Blocks.

    Raises:
        SourceError: There is no such file or folder, or no file in it can be read and understood.
    """
    try:
        files = {file: _read_file(file, before.get(file, File()), source) for file in _files(path)}
    except OSError as exc:
        raise lost(path, exc, source) from exc
    if files and all(file.keys is None for file in files.values()):
        # nothing is known, which is not the same as "there is nothing"
        kind = SourceDeniedError if any(file.denied for file in files.values()) else SourceError
        reasons = (f"{problem.where}: {problem.why}" for file in files.values() for problem in file.problems)
        raise kind(f"read {'; '.join(reasons)}")
    return files


def find_folders(path: Path, source: str) -> dict[Path, tuple[int, int]]:
    """Return the folders where *path* may change, with what tells a folder from another one at its place.

    Blocks.

    Raises:
        SourceError: There is no such folder.
    """
    try:
        real = Path(os.path.realpath(path))  # unlike resolve() it takes links that lead to themselves
        # where a file is a link, its target may change as well
        found = {real} if path.is_dir() else {path.parent.resolve(), real.parent}
        stats = {folder: folder.stat() for folder in found}
        return {folder: (stat.st_dev, stat.st_ino) for folder, stat in stats.items()}
    except OSError as exc:
        raise lost(path, exc, source) from exc


def lost(path: Path, exc: OSError, source: str) -> SourceError:
    if isinstance(exc, PermissionError):
        return SourceDeniedError(f"read {_shown(path)}: {exc.strerror} (let our user read it)")
    return SourceError(f"read {_shown(path)}: {exc.strerror} (create it, or correct path in [{source}])")


def _shown(path: Path) -> str:
    """Return the name as text: a file's name is bytes, and what is no UTF-8 can be neither saved nor sent."""
    return os.fsencode(path).decode(errors="backslashreplace")


def make_listing(path: Path, files: Mapping[Path, File], source: str) -> Listing:
    """Return what all files say; of two that hold the same key, the first counts."""
    keys: dict[str, Entry] = {}
    problems: list[Problem] = []
    for name, file in files.items():
        problems += file.problems
        for key, entry in (file.keys or {}).items():
            holder = keys.setdefault(key, entry)
            if holder is not entry:
                problems.append(
                    Problem("file", _shown(name), f"{key} counts as in {holder.where} (delete one)")
                )
    place = f"{source} {_shown(path)}: ".replace("{", "{{").replace("}", "}}") + "{key}"
    return Listing(source, keys=keys, problems=tuple(problems), place=place)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        path.stat()
        return [path]
    # editors' backups and temporary files have another ending, or a dot at the start
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix == ".toml" and file.name[0] != "." and not file.is_dir()
    )


def _read_file(path: Path, before: File, source: str) -> File:
    """Read one file; if it is bad, keep its last good content."""
    shown = _shown(path)
    kept = "" if before.keys is None else "; its last good content is kept"
    try:
        raw = _read_bytes(path)
    except OSError as exc:
        denied = isinstance(exc, PermissionError)
        hint = " (let our user read it)" if denied else ""
        problem = Problem("file", shown, f"{exc.strerror or exc}{hint}{kept}")
        return File(None, before.keys, (problem,), denied=denied)
    if raw == before.raw:
        return before
    try:
        content = _parse(raw)
    except BadValueError as exc:
        return File(raw, before.keys, (Problem("file", f"{shown}{_line(exc, raw)}", f"{exc}{kept}"),))
    reading = _Reading(shown, f"{source} {shown}")
    reading.read(content)
    return File(raw, reading.keys, tuple(reading.problems))


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():  # a pipe would block us for ever
        path.stat()
        raise OSError("is no regular file")
    return path.read_bytes()


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        return tomli.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise BadValueError(f"is not UTF-8 (at line {line})") from exc
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits is a mere ValueError
        raise BadValueError(f"is no TOML: {values.shown(str(exc))[1:-1]}") from exc


def _line(exc: BadValueError, raw: bytes) -> str:
    """Return ``:LINE`` where the error names one."""
    if found := re.search(r"at line (\d+)", str(exc)):
        return f":{found[1]}"
    return f":{len(raw.splitlines())}" if "at end of document" in str(exc) else ""


@dataclass(slots=True)
class _Reading:
    """The keys of one file while they are collected."""

    path: str
    place: str
    keys: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, content: Mapping[str, Any]) -> None:
        """Take what looks like services and routes; whether their values are good, routing knows."""
        for name, table in content.items():
            if name not in ("services", "routes"):
                self._refuse(name, f"unknown table ({values.spelling(name, ('services', 'routes'))})")
            elif not isinstance(table, dict):
                self._refuse(name, f"expected tables (write [{name}.NAME])")
            elif name == "routes":
                for route, value in table.items():
                    self._put(f"routes/{route}", value, f"routes.{route}")
            else:
                for service, value in table.items():
                    self._read_service(service, value)

    def _read_service(self, name: str, table: object) -> None:
        place = f"services.{name}"
        if not isinstance(table, dict) or not isinstance(table.get("endpoints", []), list):
            self._refuse(place, 'expected a table with endpoints (write endpoints = ["10.0.0.1:80"])')
            return
        for unknown in table.keys() - {"endpoints"}:
            self._refuse(f"{place}.{unknown}", f"unknown key ({values.spelling(unknown, ('endpoints',))})")
        for number, value in enumerate(table.get("endpoints", ()), start=1):
            instance = _instance(value, number)
            self._put(f"services/{name}/{instance}", value, f"{place} {instance}")

    def _put(self, key: str, value: object, place: str) -> None:
        raw = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        if key in self.keys:
            self._refuse(place, "is there twice (delete one)")
        else:
            self.keys[key] = Entry(raw, where=f"{self.place}: {place}")

    def _refuse(self, place: str, why: str) -> None:
        shown = place if place.isprintable() else values.shown(place)
        self.problems.append(Problem("file", f"{self.path}: {shown}", why))


def _instance(value: object, number: int) -> str:
    """Return the address, so that an endpoint stays itself when the list is re-ordered; else its number."""
    text = value.get("address") if isinstance(value, dict) else value
    if (
        not isinstance(text, str)
        or len(text) > _INSTANCE_LIMIT
        or "/" in text
        or not text.strip().isprintable()
    ):
        return f"#{number}"
    return text.strip() or f"#{number}"
