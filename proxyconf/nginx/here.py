"""An nginx on this host, by our settings: how to write for it, how to reach it, how it proves itself."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import shlex
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from proxyconf.command import run_command
from proxyconf.nginx.build import parse_build
from proxyconf.nginx.certificates import NO_CERTIFICATES
from proxyconf.nginx.control import Included, Local, not_included
from proxyconf.nginx.dialect import Dialect
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.holders import listened_on
from proxyconf.nginx.places import OurPlaces
from proxyconf.nginx.proof import Prober
from proxyconf.nginx.site import Renderer
from proxyconf.nginx.surroundings import read_surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.nginx.build import Build
    from proxyconf.nginx.certificates import Certificates
    from proxyconf.nginx.control import Control
    from proxyconf.nginx.proof import Asker
    from proxyconf.nginx.surroundings import Surroundings
    from proxyconf.tables import Nginx

_USERS = ("www-data", "nginx", "nobody")
# Debian, Ubuntu and Alpine; Fedora and its kin; openSUSE
AUTHORITIES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Here:
    """An nginx and all that belongs to it.

    Attributes:
        control: The way to reach it.
        folder: What it reads from us.
        prober: Who asks it for proof.
        renderer: Returns who writes for it: another one whenever what surrounds us has changed.
        start: What a person runs, or does, so that it serves our file.
        certificates: What hosts may be served with.
    """

    control: Control
    folder: Folder
    prober: Asker
    renderer: Callable[[], Renderer]
    start: str
    certificates: Certificates = NO_CERTIFICATES


async def ask_build(binary: str, prefix: Path | None = None) -> Build:
    """Return what the program *binary* says it is, run with ``-p`` *prefix* if that is given.

    Raises:
        CommandError: It can't be run.
        UsageError: It is no nginx.
    """
    done = await run_command([binary, "-V"], timeout_s=_TIMEOUT_S)
    return parse_build(done.output, prefix)


async def open_nginx(
    settings: Nginx,
    build: Build,
    path: Path,
    token: str,
    *,
    uid: int | None = None,
) -> Here:
    """Return the nginx that *settings* are about.

    Args:
        settings: The ``[nginx]`` table.
        build: What it is.
        path: The folder that it reads from us, ``<state>/nginx``.
        token: Makes the name under which it answers the proof.
        uid: As of `reach_nginx`.

    Raises:
        CommandError: Mode include: their main file can't be read.
    """
    uid = os.geteuid() if uid is None else uid
    dialect = _dialect(settings, build, path, token, root=uid == 0)
    listen = listened_on(settings)
    if dialect.own:
        renderer = Renderer(dialect)
        local = Local(settings.binary, build, OurPlaces(path / "nginx.pid", path / "error.log"), listen)
        start = shlex.join([settings.binary, "-c", str(dialect.root_file)])
        return _here(dialect, local, lambda: renderer, start, temp_user=uid or None)
    ours = path / dialect.root_file.name
    found = await asyncio.to_thread(read_surroundings, settings.conf, ours)
    included = Included(settings.binary, build, settings.conf, ours, listen)
    start = shlex.join([settings.binary, "-c", str(settings.conf)])
    return _here(dialect, included, _Included(dialect, ours, found).renderer, start)


def _here(
    dialect: Dialect,
    control: Control,
    renderer: Callable[[], Renderer],
    start: str,
    *,
    temp_user: int | None = None,
) -> Here:
    worker = dialect.settings.user if dialect.own and dialect.root else ""
    challenge = dialect.settings.tls.challenge
    folder = Folder(
        dialect.folder,
        dialect.root_file.name,
        worker=worker,
        error_pages=dialect.settings.error_pages,
        challenge=Path(challenge) if challenge.startswith("/") else None,
        temp_user=temp_user,
    )
    prober = Prober(dialect.settings.listen.http[0], dialect.proof_name)
    return Here(control, folder, prober, renderer, start)


def _dialect(settings: Nginx, build: Build, path: Path, token: str, *, root: bool) -> Dialect:
    if root and not settings.user:
        settings = msgspec.structs.replace(settings, user=_worker_user())
    return Dialect(
        settings=settings,
        build=build,
        folder=path,
        token=token,
        ipv6=has_ipv6(),
        root=root,
        authorities=next((file for file in AUTHORITIES if file.is_file()), None),
    )


def _worker_user() -> str:
    """Return the first that is there with a group of its name, as nginx wants it; "" for nginx's default."""
    known = {entry.pw_name for entry in pwd.getpwall()} & {entry.gr_name for entry in grp.getgrall()}
    return next((user for user in _USERS if user in known), "")


def has_ipv6() -> bool:
    """Tell whether this kernel speaks IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


class _Included:
    """Writes for somebody else's nginx, by what it has at the moment."""

    def __init__(self, dialect: Dialect, ours: Path, found: Surroundings) -> None:
        self._dialect = dialect
        self._ours = ours
        self._take(found)

    def renderer(self) -> Renderer:
        if not self._found.is_current():
            self._take(read_surroundings(self._dialect.settings.conf, self._ours))
        if not self._found.includes_us:
            raise not_included(self._dialect.settings.conf, self._ours)
        return self._renderer

    def _take(self, found: Surroundings) -> None:
        self._found = found
        self._renderer = Renderer(
            replace(self._dialect, present=found.present, default_servers=found.default_servers)
        )


class Contained(Protocol):
    """What is known of an nginx in another container."""

    @property
    def build(self) -> Build | None:
        """What it is; None where nobody could tell yet."""
        ...

    @property
    def root(self) -> bool:
        """Whether its master runs as root."""
        ...


class Elsewhere:
    """Writes for what is in the other container at the moment.

    Args:
        dialect: For what is the same whatever is there.
        control: Knows the rest.
    """

    def __init__(self, dialect: Dialect, control: Contained) -> None:
        self._dialect = dialect
        self._control = control
        self._renderer = Renderer(dialect)

    def renderer(self) -> Renderer:
        """Return who writes for that."""
        build, root = self._control.build or self._dialect.build, self._control.root
        if (build, root) != (self._dialect.build, self._dialect.root):
            self._dialect = replace(self._dialect, build=build, root=root)
            self._renderer = Renderer(self._dialect)
        return self._renderer
