"""A destination file: what it is, what it should be, and the one step from one to the other."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxyconf.errors import StateError

_DEFAULT_MODE = 0o644

Stamp = tuple[int, ...]  # differs where a file was touched


@dataclass(frozen=True, slots=True)
class Form:
    """What a file is, or should be.

    Attributes:
        mode: Permission bits.
    """

    content: bytes
    mode: int
    uid: int
    gid: int


class Dest:
    """One destination; every method blocks, and raises StateError where disk or permissions are in the way.

    Attributes:
        path: As it was configured.
    """

    def __init__(self, path: Path, *, mode: int | None, uid: int | None, gid: int | None) -> None:
        """Take the file *path*; what is None stays as it is, or is ours where there is no file yet."""
        self.path = path
        self._mode = mode
        self._uid = os.geteuid() if uid is None else uid
        self._gid = os.getegid() if gid is None else gid

    @property
    def real(self) -> Path:
        """The file itself, where the path is a link: the link stays."""
        return Path(os.path.realpath(self.path))

    @property
    def staged(self) -> Path:
        """Where the next content waits, on the same file system; nginx's ``*`` takes no file with a dot."""
        real = self.real
        return real.with_name(f".{real.name}.proxyconf-stage")

    def now(self) -> Form | None:
        """Return what is there; None when there is no file."""
        try:
            status = self.real.stat()
            # a pipe would be waited for, for ever
            content = b"" if stat.S_ISFIFO(status.st_mode) else self.real.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise _unusable(exc, self.path) from exc
        if stat.S_ISFIFO(status.st_mode):
            raise StateError(f"write {self.path}: it is a pipe (name a file as dest)")
        return Form(content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)

    def stamp(self) -> Stamp:
        """Return what tells whether somebody has touched the file; empty when there is none."""
        try:
            return _stamp_of(self.path.stat())
        except OSError:
            return ()

    def changed_at(self) -> float:
        """Return when content, name, mode or owner changed last, in seconds since boot.

        Without a file it is now: nobody can have read it. A wall clock that was set since then misleads.
        """
        since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            return since_boot_s - (time.time() - self.path.stat().st_ctime)
        except OSError:
            return since_boot_s

    def wanted(self, content: bytes, now: Form | None) -> Form:
        """Return what should be there."""
        mode = self._mode if self._mode is not None else now.mode if now else _DEFAULT_MODE
        return Form(content, mode, self._uid, self._gid)

    def foresee(self, now: Form | None, form: Form) -> None:
        """Raise what would be in the way of *form* where *now* is, as far as a look can tell."""
        if now == form:
            return
        is_new = now is None or now.content != form.content
        kept = now if not is_new or self.is_mounted() else None
        try:
            if is_new:
                _look(self.real.parent, os.W_OK | os.X_OK)
            if kept:
                _look(self.real, os.W_OK if is_new else os.F_OK)
            _look_at_owners(kept.uid if kept else os.geteuid(), form)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def stage(self, form: Form) -> None:
        """Write *form* to where it waits, and bring it to the disk."""
        staged = self.staged
        try:
            # the folder may be anybody's, who must not choose where we write by a link with this name
            with suppress(FileNotFoundError):
                staged.unlink()
            _write(staged, form, os.O_CREAT | os.O_EXCL)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def is_mounted(self) -> bool:
        """Tell whether the file itself is a mount, as in containers: then it can't be replaced."""
        name = str(self.real)
        # os.path.ismount takes a file that is mounted from the same file system for none
        with suppress(OSError):
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
            return any(_unescaped(line.split(" ")[4]) == name for line in mounts.splitlines())
        return False

    def install(self, form: Form) -> Stamp:
        """Put what was staged, which is *form*, in place; in one step, but for a file that is mounted.

        Returns:
            The stamp of what was put there, which nobody else can have touched yet.
        """
        real = self.real
        try:
            if self.is_mounted():
                stamp = _write(real, form, 0)
                self.unstage()
            else:
                stamp = _stamp_of(self.staged.stat())
                self.staged.replace(real)
            _sync_folder(real.parent)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc
        return stamp

    def unstage(self) -> None:
        """Delete what was staged, be it by a run that was killed."""
        with suppress(OSError):
            self.staged.unlink()

    def put(self, form: Form | None) -> None:
        """Make the file *form*, or make it vanish."""
        if form is not None:
            self.stage(form)
            self.install(form)
            return
        real = self.real
        try:
            real.unlink(missing_ok=True)
            _sync_folder(real.parent)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc

    def mend(self, form: Form) -> None:
        """Give the file mode and owner of *form*."""
        try:
            _own(str(self.real), form)
        except OSError as exc:
            raise _unusable(exc, self.path) from exc


def _look(path: Path, wish: int) -> None:
    """Raise what would be in the way of *wish*, access bits; root may do all that the disk lets it."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(path, wish, effective_ids=True):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _look_at_owners(now: int, form: Form) -> None:
    """Raise that we may not give mode and owner of *form* to a file that is the user *now*'s."""
    if (user := os.geteuid()) == 0:
        return
    if (now, form.uid) != (user, user) or form.gid not in (os.getegid(), *os.getgroups()):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _write(path: Path, form: Form, flags: int) -> Stamp:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(form.content)
        # not before: on a disk that has just become full, what was there could not be put back
        stream.truncate()
        _own(descriptor, form)
        os.fsync(descriptor)
        return _stamp_of(os.fstat(descriptor))


def _stamp_of(status: os.stat_result) -> Stamp:
    return (
        status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode, status.st_uid, status.st_gid
    )  # fmt: skip


def _own(file: int | str, form: Form) -> None:
    status = os.stat(file)  # noqa: PTH116 - takes a descriptor, too
    if (status.st_uid, status.st_gid) != (form.uid, form.gid):
        os.chown(file, form.uid, form.gid)
    os.chmod(file, form.mode)  # noqa: PTH101 - as above; after chown, which takes set-id bits away


def _unescaped(name: str) -> str:
    """Return a name of mountinfo, where white space and backslashes are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(exc: OSError, path: Path) -> StateError:
    hints = {
        errno.ENOENT: f"create the folder {path.parent}",
        errno.EPERM: "only root may give a file to another owner: run as root, or leave owner and group out",
        errno.EACCES: f"let our user write in {path.parent}",
        errno.EROFS: "it is mounted read-only",
        errno.EISDIR: "it is a folder: name a file as dest",
    }
    hint = hints.get(exc.errno or 0, "may we write there, and is there room?")
    return StateError(f"write {path}: {exc.strerror} ({hint})")
