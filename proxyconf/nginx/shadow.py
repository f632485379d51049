"""Copies of the files that lead to candidates, so that nginx can be asked before they are in place.

``nginx -t`` can't be told to read one file in place of another. So every file that includes what is to be
replaced, or leads there, is copied beside itself with that include pointed elsewhere. All else is read as it
is, under the names and from the folder that count when nginx is started.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, NoCopyError, StateError
from proxyconf.nginx.syntax import includes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxyconf.nginx.syntax import Include

_SUFFIX = ".proxyconf-check"
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the tree.

    Attributes:
        swap: The file to replace that it is.
        source: Where its content is: the file itself, or what is staged for it.
        includes: Each with the files it reads, in nginx's order.
    """

    swap: Path | None
    source: Path
    text: str
    includes: tuple[tuple[Include, tuple[Path, ...]], ...]


class Shadow:
    """The tree of a main file, with candidates in the place of some of its files.

    Making one reads the tree, and blocks. Copies have names that are the same each time, so who writes them
    holds the lock.

    Args:
        main: The main file. What is relative in it starts from its folder, as nginx has it.
        swaps: Each file to replace, which need not exist yet, with the file that has its new content. A link
            and what it points at are the same file.

    Attributes:
        main: What to give to nginx.
        reached: Those of *swaps* that are in the tree; no include leads to the others.

    Raises:
        CommandError: The main file can't be read.
        StateError: A candidate can't be read.
    """

    def __init__(self, main: Path, swaps: Mapping[Path, Path]) -> None:
        main = main.absolute()
        self._folder = main.parent
        self._staged = swaps
        self._swaps = _Swaps(swaps)
        self._files: dict[Path, _File] = {}
        self._read_from(main)
        swapped = {name: file.swap for name, file in self._files.items() if file.swap}
        self.reached = frozenset(swapped.values())
        self._instead = {name: swaps[file] for name, file in swapped.items()}
        self._copies = {name: _copy_of(name) for name in self._leading_to(swapped)}
        if main in swapped:
            self._copies[main] = _copy_of(main)
        self._instead |= self._copies
        self.main = self._instead.get(main, main)
        self._real_names = {str(swaps[file]): str(file) for file in self.reached}
        self._real_names |= {str(copy): str(swapped.get(name, name)) for name, copy in self._copies.items()}

    def lock(self) -> int | None:
        """Be the only one, of all processes, who writes copies of files in the main file's folder.

        Returns:
            A descriptor, and to close it ends that; None while it is another one.

        Raises:
            StateError: The folder can't be opened.
        """
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise StateError(f"open {self._folder} to check what is in it: {exc.strerror}") from exc
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(folder)
            return None
        except OSError:
            pass  # a file system without locks: two checks at the same moment are seldom
        return folder

    def write(self) -> None:
        """Write the copies, after those that a killed run has left; blocks.

        Raises:
            StateError: One can't be written.
        """
        for folder in {name.parent for name in self._files}:
            _remove_left_overs(folder)
        for name, copy in self._copies.items():
            try:
                _write_like(copy, self._text(self._files[name]), self._files[name].source)
            except OSError as exc:
                raise NoCopyError(
                    f"copy {name} to check it: {exc.strerror} (the copy goes into the same folder: run as"
                    " root, and let that be writable)"
                ) from exc

    def remove(self) -> None:
        """Delete the copies, as far as we may: `write` has said what is wrong; blocks."""
        for copy in self._copies.values():
            with suppress(OSError):
                copy.unlink()

    def in_real_names(self, output: str) -> str:
        """Return what nginx printed, with the names of the files that copies and candidates stand for."""
        if not self._real_names:
            return output
        names = "|".join(map(re.escape, sorted(self._real_names, key=len, reverse=True)))
        alone = rf"(?<![^\s\"'(=])(?:{names})(?![^\s\"':;,)])"
        return re.sub(alone, lambda found: self._real_names[found[0]], output)

    def _read_from(self, main: Path) -> None:
        pending = [main]
        while pending:
            name = pending.pop()
            if name in self._files:
                continue
            try:
                self._files[name] = self._read(name)
            except OSError as exc:
                if name == main:
                    raise CommandError(
                        f"read {main} to check it: {exc.strerror} (is it nginx's main file, and may we read"
                        " it?)"
                    ) from exc
                self._files[name] = _File(None, name, "", ())  # nginx will say so itself
            pending += self._included_by(name)

    def _included_by(self, name: Path) -> list[Path]:
        return [found for _, names in self._files[name].includes for found in names]

    def _read(self, name: Path) -> _File:
        swap = self._swaps.file(name)
        source = self._staged[swap] if swap else name
        try:
            text = source.read_bytes().decode(errors="surrogateescape")
        except OSError as exc:
            if not swap:
                raise
            raise StateError(f"read {source} to check it: {exc.strerror} (has somebody deleted it?)") from exc
        # what a lone candidate includes can't lead to another one
        found = () if swap and len(self._staged) == 1 else includes(text)
        reads = tuple((include, self._matching(str(self._folder / include.pattern))) for include in found)
        return _File(swap, source, text if reads or swap else "", reads)

    def _matching(self, pattern: str) -> tuple[Path, ...]:
        """Return the files that an include reads, in nginx's order."""
        if not _WILD.search(pattern):
            return (Path(pattern),)
        wild = _as_python_has_it(os.fsencode(pattern))  # as for nginx, a character is a byte
        folders, last = os.path.split(wild)
        found = set(glob(wild))  # noqa: PTH207 - the pattern may be a whole path
        for folder in {*glob(folders), *self._swaps.folders_like(folders)}:  # noqa: PTH207
            found.update(os.path.join(folder, name) for name in self._swaps.names_in(folder, last))  # noqa: PTH118
        return tuple(Path(os.fsdecode(name)) for name in sorted(found))

    def _leading_to(self, wanted: Iterable[Path]) -> set[Path]:
        """Return the files from which includes lead to any of *wanted*."""
        parents: dict[Path, set[Path]] = defaultdict(set)
        for name in self._files:
            for found in self._included_by(name):
                parents[found].add(name)
        leading: set[Path] = set()
        pending = list(wanted)
        while pending:
            new = parents[pending.pop()] - leading
            leading |= new
            pending += new
        return leading

    def _text(self, file: _File) -> str:
        """Return the content with the includes pointed elsewhere, every other line where it was."""
        pieces, end = [], 0
        for include, names in file.includes:
            if not self._instead.keys().isdisjoint(names):
                lines = "\n" * file.text.count("\n", include.start, include.end)
                instead = " ".join(f"include {_word(self._instead.get(name, name))};" for name in names)
                pieces += [file.text[end : include.start], lines, instead]
                end = include.end
        return "".join([*pieces, file.text[end:]])


class _Swaps:
    """Files with what is staged for them, found by any of their names."""

    def __init__(self, swaps: Mapping[Path, Path]) -> None:
        self._files = {os.path.realpath(file): file for file in swaps}
        self._files |= {str(file.absolute()): file for file in swaps}
        self._identities = {_identity(file) for file in swaps} | {None}
        places = [os.path.split(os.fsencode(name)) for name in self._files]
        self._folders = {folder for folder, _ in places}
        self._places = [(os.path.realpath(folder), name) for folder, name in places]

    def file(self, name: Path) -> Path | None:
        """Return the file to replace that has this name, be it by way of links."""
        # first what is cheap: a tree may have thousands of links
        if _identity(name) not in self._identities:
            return None
        return self._files.get(str(name)) or self._files.get(os.path.realpath(name))

    def folders_like(self, pattern: bytes) -> list[bytes]:
        """Return the folders of files to replace that match, whether they exist or not."""
        depth = pattern.count(b"/")
        return [one for one in self._folders if one.count(b"/") == depth and fnmatchcase(one, pattern)]

    def names_in(self, folder: bytes, pattern: bytes) -> list[bytes]:
        """Return the names in *folder* of files to replace that match, whether they exist or not."""
        real = os.path.realpath(folder)
        return [
            name
            for place, name in self._places
            if place == real and fnmatchcase(name, pattern) and (pattern[:1] == b"." or name[:1] != b".")
        ]


def _identity(name: Path) -> tuple[int, int] | None:
    """Return what all names of an existing file have in common."""
    try:
        status = os.stat(name)  # noqa: PTH116 - cheaper
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _copy_of(name: Path) -> Path:
    return name.with_name(f".{name.name}{_SUFFIX}")


def _remove_left_overs(folder: Path) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(_SUFFIX):
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108


def _write_like(copy: Path, text: str, source: Path) -> None:
    """Write a file that nobody may read who may not read *source*, not for a moment."""
    status = source.stat()
    copy.unlink(missing_ok=True)
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        stream.write(text)
        if os.geteuid() == 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, status.st_mode & 0o777)


def _as_python_has_it(pattern: bytes) -> bytes:
    """Return a pattern of glob(3) for `glob`, which knows no backslash, and ``!`` for ``^``."""
    plain = re.sub(rb"\\(.?)", lambda found: escape(found[1]), pattern, flags=re.DOTALL)
    return plain.replace(b"[^", b"[!")


def _word(name: Path) -> str:
    """Return the argument of an include of just this file, whatever characters it has."""
    text = str(name)
    if _WILD.search(text):  # else nginx takes it for a pattern
        text = re.sub(r"([*?\[\\])", r"\\\1", text)
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
