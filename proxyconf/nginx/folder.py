"""The folder that we share with nginx: parts, the root file, and what an interrupted run left there.

A part is named by its content and never changes, so only new ones are written. The rename of the root file is
the commit. What it names is on the disk before that, so that no crash leaves a tree that nginx would not
start from.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from proxyconf.errors import StateError
from proxyconf.files import make_folder
from proxyconf.nginx.addition_folders import AdditionFolders
from proxyconf.nginx.additions import HOST_D, LOCATION_D
from proxyconf.nginx.entry import closed_challenge, closed_state, foreign_temp, user_called
from proxyconf.nginx.part import parts_named, read_parts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from proxyconf.model import Problem
    from proxyconf.nginx.part import Part

_Stamp = tuple[str, int, int]
"""A file's name or inode, its time of change in ns, and its size."""
_SYNC_IN_TURN_MAX = 4
_SYNCS_AT_ONCE = 8


class Folder:
    """``<state>/nginx``; every method blocks.

    Attributes:
        path: The folder.
        root: The file that nginx reads: ``nginx.conf`` or ``http.conf``.
        staged: Where the next one waits to be checked, in the same folder, so that relative names agree.
        additions: What operators add to hosts, from here and elsewhere.
    """

    def __init__(
        self,
        path: Path,
        root_name: str,
        *,
        worker: str = "",
        error_pages: Path | None = None,
        challenge: Path | None = None,
        temp_user: int | None = None,
    ) -> None:
        """Take the folder *path*.

        Args:
            path: It.
            root_name: Of the file that nginx reads.
            worker: Whom nginx's workers run as, where that is not us.
            error_pages: The folder of the operators' error pages, if there is one.
            challenge: The folder that ACME's challenges are answered from, if it is one of this host.
            temp_user: Whose the temporary folders have to be; None where nginx itself sees to that.
        """
        self.path = path
        self._worker = worker
        self._challenge = challenge
        self._temp_user = temp_user
        self.root = path / root_name
        self.staged = path / f"{root_name}.next"
        self.additions = AdditionFolders(path, error_pages)
        self._parts = path / "parts"
        self._present: set[str] = set()
        self._parts_stamp = -1
        self._unsynced: list[Path] = []
        self._checked: tuple[_Stamp, ...] = ()  # the operators' files, as nginx's check will find them
        self._seal: tuple[_Stamp | None, tuple[_Stamp, ...]] | None = None

    def prepare(self) -> None:
        """Make what is missing, and delete parts that the root file does not name.

        Raises:
            StateError: The folder can't be used.
        """
        try:
            for name in (".", "parts", "main.d", "http.d", HOST_D, LOCATION_D, "temp"):
                make_folder(self.path / name, 0o755)
            self.staged.unlink(missing_ok=True)
            self._present = {entry.name for entry in os.scandir(self._parts)}
            self._parts_stamp = self._parts_changed()
            self.keep(parts_named(self.live()))
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def live(self) -> bytes:
        """Return the root file's content; empty without one.

        Raises:
            StateError: It can't be read.
        """
        try:
            content = self.root.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as exc:
            raise _unusable(exc, self.path) from exc
        self._seal = self._signature(), self._operators()
        self._parts_stamp = self._parts_changed()
        return content

    def parts(self, names: Iterable[str]) -> tuple[Part, ...]:
        """Return those of the parts *names* that can be read.

        What a backup has not, such as keys, is passed over: it is but the last good form of something.
        """
        texts = {}
        for name in names:
            with suppress(OSError):
                texts[name] = (self._parts / name).read_bytes()
        return tuple(read_parts(texts))

    def obstacles(self) -> tuple[Problem, ...]:
        """Return why nginx's workers can't reach what they serve from."""
        challenge = closed_challenge(self._challenge, self._worker) if self._challenge else ()
        temp = foreign_temp(self.path / "temp", self._temp_user) if self._temp_user is not None else ()
        return (*closed_state(self.path, self._worker), *temp, *challenge)

    def untouched(self) -> bool:
        """Tell whether root file, parts and operators' files are as they were written or checked last."""
        whole = self._parts_changed() == self._parts_stamp
        return whole and self._seal is not None and (self._signature(), self._operators()) == self._seal

    def _parts_changed(self) -> int:
        """Return when a part came or went, in ns."""
        try:
            return self._parts.stat().st_mtime_ns
        except OSError:
            return -1

    def _count_parts(self) -> bool:
        """Look which parts are still there; tell whether some are gone that nobody of us deleted."""
        make_folder(self._parts, 0o755)
        there = {entry.name for entry in os.scandir(self._parts)}
        lost = self._present - there
        self._present &= there
        self._unsynced = [path for path in self._unsynced if path.name in there]
        self._parts_stamp = self._parts_changed()
        return bool(lost)

    def _signature(self) -> _Stamp | None:
        try:
            status = self.root.stat()
        except OSError:
            return None
        return str(status.st_ino), status.st_mtime_ns, status.st_size

    def _operators(self) -> tuple[_Stamp, ...]:
        """Return what tells whether somebody has changed a file in main.d or http.d."""
        found: list[_Stamp] = []
        for name in ("main.d", "http.d"):
            with suppress(OSError), os.scandir(self.path / name) as entries:
                for entry in entries:
                    if entry.name.endswith(".conf"):
                        status = entry.stat()
                        found.append((entry.path, status.st_mtime_ns, status.st_size))
        return tuple(sorted(found))

    def stage(self, parts: Iterable[Part], root: bytes) -> None:
        """Write the parts that are missing, and the root file beside the live one.

        Raises:
            StateError: Full, or not ours to write.
        """
        self._checked = self._operators()
        try:
            if self._parts_changed() != self._parts_stamp:
                self._count_parts()
            for part in parts:
                if part.file not in self._present:
                    path = self._parts / part.file
                    self._write_part(path, part)
                    self._present.add(part.file)
                    self._unsynced.append(path)
            self._parts_stamp = self._parts_changed()
            self.staged.write_bytes(root)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def _write_part(self, path: Path, part: Part) -> None:
        """Write a part for those who have to read it: the master, which is root or as we are, or workers."""
        match part.kind:
            case "certificate":
                _write_private(path, part.text)
            case "host" | "operator":  # a header of a request may be a secret
                _write_private(path, part.text, mode=0o640)
            case "users" if user := user_called(self._worker):
                _write_private(path, part.text, mode=0o640, group=user.pw_gid)
            case _:
                path.write_bytes(part.text)

    def has(self, names: frozenset[str]) -> bool:
        """Tell whether all of these parts were there when it was looked at last."""
        return names <= self._present

    def has_lost_parts(self) -> bool:
        """Tell whether parts are gone that nobody of us deleted; the next `stage` writes what it needs.

        Raises:
            StateError: The folder can't be read.
        """
        try:
            return self._count_parts()
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def sync(self) -> None:
        """Bring to the disk what was staged; needed before `install`.

        Raises:
            StateError: The disk failed.
        """
        try:
            _sync_all([*self._unsynced, self.staged])
            if self._unsynced:
                _sync(self._parts)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc
        self._unsynced = []

    def install(self) -> None:
        """Make the staged root file the live one.

        Raises:
            StateError: It could not be renamed.
        """
        try:
            self.staged.replace(self.root)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc
        self._seal = self._signature(), self._checked

    def sync_folder(self) -> None:
        """Bring the rename to the disk.

        Raises:
            StateError: The disk failed.
        """
        try:
            _sync(self.path)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def put_back(self, root: bytes) -> None:
        """Make an earlier root file live again; its parts are still there.

        Raises:
            StateError: It could not be written.
        """
        self.stage((), root)
        self.sync()
        self.install()

    def keep(self, wanted: frozenset[str]) -> None:
        """Delete all parts but those.

        Raises:
            StateError: They are not ours to delete.
        """
        touched = self._parts_changed() != self._parts_stamp
        try:
            for name in self._present - wanted:
                (self._parts / name).unlink(missing_ok=True)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc
        self._present &= wanted
        if not touched:  # else it is for the next look to find out what somebody else has done
            self._parts_stamp = self._parts_changed()


def _write_private(path: Path, content: bytes, *, mode: int = 0o600, group: int | None = None) -> None:
    """Write what nobody else may read: with *mode*, whatever the umask, and that *group* instead of ours."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if group is not None:  # who needs none may not even be allowed the call, as in our systemd unit
            os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), mode)
        file.write(content)


def _sync_all(paths: list[Path]) -> None:
    """Sync files side by side: a disk takes them together; a sync of everything may take for ever."""
    if len(paths) <= _SYNC_IN_TURN_MAX:
        for path in paths:
            _sync(path)
        return
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        list(pool.map(_sync, paths))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(exc: OSError, folder: Path) -> StateError:
    return StateError(
        f"write {exc.filename or folder}: {exc.strerror} (may we write there, and is there room?)"
    )
