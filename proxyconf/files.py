"""Read files without waiting; write files and folders so that no crash leaves half of one."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError, StateError

if TYPE_CHECKING:
    from pathlib import Path


def read_regular(file: Path, limit: int) -> bytes:
    """Return the content of somebody's file, whatever stands in its place.

    Args:
        file: It; of a symbolic link, what that leads to.
        limit: Bytes that it may have.

    Raises:
        OSError: It can't be opened or read; a folder and a socket are like that, too.
        BadValueError: It is no regular file, or too large; the text goes on from the file's name.
    """
    with open(file, "rb", opener=_open_at_once) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise BadValueError("is no regular file (put one in its place)")
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise BadValueError(f"is too large: it has more than {limit} bytes (make it smaller)")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: else a FIFO takes until somebody writes to it, maybe for ever."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def user_name(uid: int) -> str:
    """Return what a user is called; ``#1000``, as sudo takes it, where there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def make_folder(path: Path, mode: int) -> None:
    """Make a folder with exactly *mode*, whatever the umask, unless it is there.

    Raises:
        OSError: It can't be made.
    """
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(mode)


def replace_file(file: Path, content: bytes) -> None:
    """Replace a file in one step, by one that only we may read.

    Raises:
        StateError: Full, or not ours to write.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as exc:
        raise StateError(f"write {file}: {exc.strerror} (may we write there, and is there room?)") from exc


def remove_file(file: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        StateError: It is not ours to remove.
    """
    try:
        file.unlink(missing_ok=True)
    except OSError as exc:
        raise StateError(f"remove {file}: {exc.strerror} (run as its owner)") from exc
