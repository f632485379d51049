"""The folders: what we write to, and what we read."""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import TYPE_CHECKING

from proxyconf.doctor.finding import Finding, Findings, of_message, ok, warning, wrong
from proxyconf.files import user_name
from proxyconf.groups import undo
from proxyconf.nginx.reach import open_certificates
from proxyconf.report import age
from proxyconf.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxyconf.nginx.certificates import CertificateSet

_STATE, _CERTIFICATES = "state", "certificates"
_FULL_BYTES = 4 << 20  # a generation of 10,000 endpoints, written twice
_LITTLE_BYTES = 64 << 20
_FEW_INODES = 1_000


async def state_folder(path: Path) -> Findings:
    """Yield whether we may write to the state folder, and whether there is room."""
    for finding in await asyncio.to_thread(lambda: tuple(_state(path))):
        yield finding


def _state(path: Path) -> Iterator[Finding]:
    there = next(folder for folder in (path, *path.parents) if _may(folder, os.F_OK))
    if os.geteuid() == 0 and (user := State(path).user()) != 0:
        name = user_name(user)
        mend = f"for that one's own view: sudo -u {shlex.quote(name)} proxyconf doctor, with the same flags"
        yield ok(_STATE, f"{path} is of the user {name}, and we are root, who may more", mend)
    if not there.is_dir():
        yield wrong(_STATE, f"{there} is no folder", "set another [state] dir")
        return
    if not _may(there, os.W_OK | os.X_OK):
        what = "write to it" if there == path else f"make it in {there}"
        make = "chown -R" if there == path else "install -d -o"
        mend = f"run as its owner, or as root; or: {make} {os.geteuid()} {path}; or set another [state] dir"
        yield wrong(_STATE, f"{path}: we may not {what}", mend)
    elif there != path:
        yield ok(_STATE, f"{path} is not there yet, and can be made")
    else:
        yield ok(_STATE, f"{path} can be written to")
    yield room(there, os.statvfs(there))
    if path == there and _may(path / "undo", os.R_OK | os.X_OK) and not undo.is_clean(path / "undo"):
        says = f"{path}/undo has files that a killed run has left unchecked"
        yield warning(_STATE, says, "proxyconf recover puts them back; a running proxyconf does so by itself")


def _may(path: Path, mode: int) -> bool:
    """Tell whether we may; what is in a folder that we may not enter is as if it were not there."""
    return os.access(path, mode, effective_ids=True)


def room(path: Path, found: os.statvfs_result) -> Finding:
    """Return how much room the file system of *path* has for us."""
    free = found.f_bavail * found.f_frsize
    text = f"{free >> 20} MiB are free on the file system of {path}"
    mend = "make room, or set another [state] dir"
    if found.f_flag & os.ST_RDONLY:
        return wrong(
            _STATE, f"the file system of {path} is read-only", "mount it with rw, or set [state] dir"
        )
    if free < _FULL_BYTES:
        return wrong(_STATE, f"only {text}", mend)
    if found.f_files and found.f_favail < _FEW_INODES:
        return warning(_STATE, f"only {found.f_favail} more files fit on the file system of {path}", mend)
    return warning(_STATE, f"only {text}", mend) if free < _LITTLE_BYTES else ok(_STATE, text)


async def certificate_folder(path: Path, now: float) -> Findings:
    """Yield what there is in the folder of certificates, at the Unix time *now*."""
    for finding in await asyncio.to_thread(lambda: tuple(_certificates(path, now))):
        yield finding


def _certificates(path: Path, now: float) -> Iterator[Finding]:
    if not _may(path, os.F_OK):
        mend = "make it, or set [nginx.tls] certificates"
        yield wrong(_CERTIFICATES, f"{path} is not there, or in a folder that we may not enter", mend)
        return
    if not _may(path, os.R_OK | os.X_OK):
        mend = f"run as its owner, or as root; or: setfacl -R -m u:{os.geteuid()}:rX {path}"
        yield wrong(_CERTIFICATES, f"{path}: we may not read it", mend)
        return
    found = open_certificates(path).found
    for problem in found.problems:
        yield of_message("warning", _CERTIFICATES, f"{problem.where}: {problem.why}")
    yield _in_words(path, found, now)


def _in_words(path: Path, found: CertificateSet, now: float) -> Finding:
    good = sorted((one.not_after, one.name) for one in found.by_name.values() if one.is_good)
    if not good:
        return warning(_CERTIFICATES, f"{path} has none that is good", _without_good(found))
    end, name = good[0]
    count = "1 is good" if len(good) == 1 else f"{len(good)} are good"
    return ok(_CERTIFICATES, f"{path}: {count}; the first to end is {name}, {age(end - now)} from now")


def _without_good(found: CertificateSet) -> str:
    """Return what can be done where none is good, and what hosts have until then."""
    if found.by_name:
        return "renew them; until then their hosts go on with these, and http is sent to https"
    if found.problems:
        return "mend those; until then hosts go on with what they had before, or with http"
    return "put NAME.crt and NAME.key into it for each; until then all is http"
