"""Which files are meant, in which order they are read, and which folders tell when that changes.

A folder is read with all folders below it, in the order of the names at each level, as confd reads it. Links
to files and folders are followed. What starts with a dot is left alone: editors' temporary files, and the
folders behind the links of a mounted ConfigMap, which would be read a second time.
"""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass, field
from pathlib import Path

from proxyconf.errors import SourceDeniedError, SourceError

TABLES = ".toml"
"""The ending of files of services and routes."""

YAML = (".yaml", ".yml")
TREES = (*YAML, ".json")
"""The endings of files of keys for templates."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look.

    Attributes:
        paths: Files and folders, absolute; a file counts by whatever name.
        pattern: A shell's, for the names of files in folders.
        trees: Look for trees of keys in folders, and in the folders below. (Where no template needs keys, a
            stray YAML file is nothing to complain about.)
        source: Who asks, for messages.
    """

    paths: tuple[Path, ...]
    pattern: str = "*"
    trees: bool = True
    source: str = "file"

    def __str__(self) -> str:
        return ", ".join(map(shown, self.paths))


@dataclass(frozen=True, slots=True)
class Found:
    """What is there.

    Attributes:
        files: In the order in which they are to be read, each once.
        folders: Where something may change, with what tells a folder from another one at its place.
        file_systems: On which ones the places are: another one at its place may be nothing but an empty mount
            point.
    """

    files: tuple[Path, ...]
    folders: dict[Path, tuple[int, int]]
    file_systems: tuple[int, ...]


def find(places: Places) -> Found:
    """Look for the files.

    Blocks.

    Raises:
        SourceError: A path is missing, or a folder can't be read.
        SourceDeniedError: We may not look there.
    """
    search = _Search(places)
    for path in places.paths:
        try:
            search.look(path)
        except OSError as exc:
            # also for a folder deep below: what was in it is unknown, which is not "nothing"
            raise lost(Path(exc.filename or path), exc, places.source) from exc
    # of a file that is named twice, the later place counts: its keys are to override more
    last_first = dict.fromkeys(reversed(search.files))
    return Found(tuple(reversed(last_first)), search.folders, tuple(search.file_systems))


def lost(path: Path, exc: OSError, source: str) -> SourceError:
    """Return the error of a path that can't be read."""
    if isinstance(exc, PermissionError):
        return SourceDeniedError(f"read {shown(path)}: {exc.strerror} (let our user read it)")
    return SourceError(f"read {shown(path)}: {exc.strerror} (create it, or correct path in [{source}])")


def shown(path: Path) -> str:
    """Return the name as text: a file's name is bytes, and what is no UTF-8 can be neither saved nor sent."""
    return os.fsencode(path).decode(errors="backslashreplace")


@dataclass(slots=True)
class _Search:
    """What was found so far."""

    places: Places
    files: list[Path] = field(default_factory=list)
    folders: dict[Path, tuple[int, int]] = field(default_factory=dict)
    file_systems: list[int] = field(default_factory=list)

    def look(self, path: Path) -> None:
        self.file_systems.append(path.stat().st_dev)
        if path.is_dir():
            self._look_below(path)
        else:
            self._take_folder(path.parent)
            self._take_file(path)

    def _look_below(self, root: Path) -> None:
        seen: set[tuple[int, int]] = set()
        waiting = [root]
        while waiting:
            path = waiting.pop()
            if not path.is_dir():
                if self._is_meant(path, root):
                    self._take_file(path)
            elif (path == root or self.places.trees) and (identity := self._take_folder(path)) not in seen:
                seen.add(identity)  # links may lead round in circles
                waiting += sorted((one for one in path.iterdir() if one.name[0] != "."), reverse=True)

    def _is_meant(self, path: Path, root: Path) -> bool:
        # services and routes are read from the folder itself only: moved to one below, they are switched off
        tables = path.suffix == TABLES and path.parent == root
        known = tables or (path.suffix in TREES and self.places.trees)
        return known and fnmatch.fnmatchcase(path.name, self.places.pattern)

    def _take_file(self, path: Path) -> None:
        self.files.append(path)
        if path.is_symlink():  # its target may change as well
            real = Path(os.path.realpath(path))  # unlike resolve() it takes links that lead to themselves
            if real.parent.is_dir():
                self._take_folder(real.parent)

    def _take_folder(self, path: Path) -> tuple[int, int]:
        stat = path.stat()
        identity = (stat.st_dev, stat.st_ino)
        self.folders[Path(os.path.realpath(path))] = identity
        return identity
