"""Write files and folders so that no crash leaves half of one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proxyconf.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path


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
