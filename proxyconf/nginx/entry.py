"""Whether nginx's workers can reach what they serve from; the check, which root makes, does not notice."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from proxyconf.files import user_name
from proxyconf.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def user_called(name: str) -> pwd.struct_passwd | None:
    """Return the user; None for no name, and where there is none, of whom nginx itself will tell."""
    try:
        return pwd.getpwnam(name) if name else None
    except KeyError:
        return None


def closed_state(folder: Path, worker: str) -> Iterator[Problem]:
    """Yield which folders keep *worker* from the state *folder*."""
    for closed in _closed(folder, worker):
        why = (
            f"{worker}, whom nginx's workers run as, may not enter it, so that large uploads and answers fail"
            f" (chmod o+x {closed}, or set another [state] dir)"
        )
        yield Problem("folder", str(closed), why)


def foreign_temp(folder: Path, user: int) -> Iterator[Problem]:
    """Yield whether folders in *folder*, the temporary ones, are not of *user*, whom nginx runs as.

    They are what an nginx leaves that root has started once; only root's can mend that by itself.
    """
    with suppress(OSError):
        found = {one.stat().st_uid for one in (folder, *folder.iterdir())}
        for other in found - {user}:
            mend = f"sudo chown -R {user} {folder}, and do not start nginx as root"
            why = (
                f"has what belongs to {user_name(other)}, and nginx is to run as {user_name(user)}, so that"
                f" large uploads and answers fail ({mend})"
            )
            yield Problem("folder", str(folder), why)


def closed_challenge(folder: Path, worker: str) -> Iterator[Problem]:
    """Yield what keeps *worker* from answering ACME's challenges from *folder*."""
    if not os.path.isdir(folder):  # noqa: PTH112 - whatever is wrong with it
        why = "is no folder, so that no challenge of ACME's is answered (make it, or set another [nginx.tls]"
        yield Problem("folder", str(folder), f"{why} challenge)")
    for closed in _closed(folder, worker):
        why = (
            f"{worker}, whom nginx's workers run as, may not enter it, so that no challenge of ACME's is"
            f" answered (chmod o+x {closed}, or set another [nginx.tls] challenge)"
        )
        yield Problem("folder", str(closed), why)


def _closed(folder: Path, worker: str) -> list[Path]:
    """Return the folders on the way to *folder* that *worker* may not enter; none where it is as we are."""
    user = user_called(worker)
    return [one for one in (folder, *folder.parents) if user and not _may_enter(user, one)]


def _may_enter(user: pwd.struct_passwd, folder: Path) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return True  # not there yet
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return user.pw_uid == 0 or bool(status.st_mode & stat.S_IXOTH)
