"""What this host offers an nginx: a user for its workers, IPv6, a control and a prober for our settings."""

from __future__ import annotations

import os
import pwd
import socket
from typing import TYPE_CHECKING

import msgspec

from proxyconf.nginx.control import Local
from proxyconf.nginx.dialect import Dialect
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.proof import Prober

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.config import Nginx
    from proxyconf.nginx.build import Build

_USERS = ("www-data", "nginx", "nobody")


def dialect_for(settings: Nginx, build: Build, folder: Path, token: str) -> Dialect:
    """Return how to write for this nginx, when its master runs as we do."""
    root = os.geteuid() == 0
    if root and not settings.user:
        settings = msgspec.structs.replace(settings, user=_worker_user())
    return Dialect(settings=settings, build=build, folder=folder, token=token, ipv6=_has_ipv6(), root=root)


def control_for(settings: Nginx, folder: Path) -> Local:
    """Return the way to reach it."""
    return Local(settings.binary, folder / "nginx.pid", folder / "error.log")


def prober_for(dialect: Dialect) -> Prober:
    """Return who asks it for proof."""
    return Prober(dialect.settings.listen.http[0], dialect.proof_name)


def folder_for(dialect: Dialect) -> Folder:
    """Return the folder that it reads."""
    return Folder(dialect.folder, dialect.root_file.name)


def start_command(settings: Nginx, dialect: Dialect) -> str:
    """Return what a person runs, or does, so that nginx serves our file."""
    if dialect.own:
        return f"{settings.binary} -c {dialect.root_file}"
    return f"add 'include {dialect.folder}/http.con[f];' to the http block of {settings.conf}; start nginx"


def _worker_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((user for user in _USERS if user in known), "")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True
