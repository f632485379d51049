"""An nginx in another container whose processes we see: ``via = "pid"``.

The two share a PID namespace, as the containers of a pod may, and mostly their network; of their files only
``<state>/nginx/``. The master is told by its title, which has its command line, and never by the pid file:
where the namespace is not shared after all, the number in that is somebody else's here, and may be our own.

An nginx of our own image checks. Its version should be that of the one that serves; where it is not, and we
may look into the program of that, the status says so.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, NotRunningError
from proxyconf.model import Problem
from proxyconf.nginx.control import LogMark, emergencies, end_of, hang_up
from proxyconf.nginx.dialect import Dialect
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.here import AUTHORITIES, Elsewhere, Here, has_ipv6
from proxyconf.nginx.own_program import OwnProgram
from proxyconf.nginx.proof import Prober, asked_at
from proxyconf.nginx.workers import (
    Lingering,
    lingering_workers,
    owner_of,
    parent_of,
    started_at,
    title_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.nginx.build import Build
    from proxyconf.tables import Nginx
    from proxyconf.units import ListenAddress

_TITLE = "nginx: master process "
_PROGRAM = re.compile(rb"nginx version: (\w+)/([\d.]+)")
_LOOPBACKS = ("127.", "::1")


@dataclass(frozen=True, slots=True)
class Master:
    """A master that runs on our file.

    Attributes:
        pid: Its process id, which may once have been another's.
        started: When, in clock ticks since boot.
    """

    pid: int
    started: int


class SharedPid:
    """The control of it.

    Args:
        main: The file that it is started with, ``-c``, at the same path in both containers.
        listen: Where the proof is asked for.
        error_log: Where its master says what is wrong.
        own: The program that checks.
        build: What that is, and so the other one should be.

    Attributes:
        build: What it is taken for.
        root: Its master runs as root, or would, as far as we know.
    """

    def __init__(
        self, main: Path, listen: ListenAddress, error_log: Path, own: OwnProgram, build: Build
    ) -> None:
        self.build: Build | None = build
        self.root = os.geteuid() == 0
        self._main = main
        self._listen = listen
        self._error_log = error_log
        self._own = own
        self._own_build = build
        self._found: Master | None = None
        self._whys: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what an operator should mend, or know."""
        return tuple(Problem("nginx", "shared PID namespace", why) for why in self._whys)

    async def meet(self) -> None:
        """Look for it, so that what is written is for the user that it has."""
        await self.master()

    async def check(self, main: Path) -> str:
        """Have our own nginx check a copy."""
        return await self._own.check(main)

    async def master(self) -> Master | None:
        """Return the one master on our file; None where there is none, or several."""
        known = self._found
        if known is None or not _lives(known):
            self._found, self._whys = await asyncio.to_thread(self._look)
            if self._found:
                self.root = owner_of(self._found.pid) == 0
        return self._found

    def _look(self) -> tuple[Master | None, tuple[str, ...]]:
        # who comes into a namespace of others has no parent there; in our own, an `init` may be it
        alone = 1 in (os.getpid(), os.getppid())
        pid, why = choose(masters(), self._main, alone=alone)
        if pid is None:
            return None, (why,) if why else ()
        whys = (self._why_other(pid), self._why_far(pid))
        # who has just ended, and so has no start, is missed at the next look
        return Master(pid, started_at(pid) or 0), tuple(why for why in whys if why)

    def _why_other(self, pid: int) -> str:
        """Return what is wrong with the program that checks; "" where nothing is, or nobody can tell."""
        try:
            found = _PROGRAM.search(Path(f"/proc/{pid}/exe").read_bytes())
        except OSError:  # another user's, or with rights that we lack
            return ""
        own = self._own_build
        if found is None or not own.version:
            return ""
        flavour, text = found[1].decode().lower(), found[2].decode()
        version = tuple(map(int, text.split(".")))[:3]
        if (flavour, version) == (own.flavour, own.version):
            return ""
        ours = ".".join(map(str, own.version))
        return (
            f"our own {own.flavour} {ours} checks for a {flavour} {text}, which may take other directives"
            " (run both from one image)"
        )

    def _why_far(self, pid: int) -> str:
        """Return why the proof can't be asked for; "" where it can, or nobody can tell."""
        where = asked_at(self._listen.host)
        try:
            shared = Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
        except OSError:
            return ""
        if shared or not where.startswith(_LOOPBACKS):
            return ""
        return (
            f"nginx's network is not ours, so that it can't be asked at {where} what it serves"
            ' (share it: network_mode: "service:NAME" in Compose; or let the first address of [nginx.listen]'
            " http be one that is reached from here)"
        )

    async def in_the_way(self) -> str:
        """Return that nobody can tell: its network may be another one."""
        return ""

    async def lingering(self) -> Lingering:
        """Look at the master's children."""
        found = await self.master()
        return lingering_workers(found.pid) if found else Lingering()

    async def reload(self) -> None:
        """Send HUP to the master."""
        found = await self.master()
        if found is None:
            raise NotRunningError(f"reload nginx: no master that was started with -c {self._main} is seen")
        hang_up(found.pid)

    async def mark(self) -> LogMark:
        """Return the log's end."""
        return end_of(self._error_log)

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        """Read the log from there; whether our namespace is the one whose numbers it has is not known."""
        return tuple(text for _, text in emergencies(self._error_log, since))


def masters() -> dict[int, str]:
    """Return the titles of all masters that are seen from here, by process id."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    found = {pid: title for pid in pids if (title := title_of(pid)).startswith(_TITLE)}
    # what was just forked has its parent's title, and so, for longer, has a program that replaces it (USR2)
    return {pid: title for pid, title in found.items() if parent_of(pid) not in found}


def choose(titles: Mapping[int, str], main: Path, *, alone: bool) -> tuple[int | None, str]:
    """Return which of the masters runs on our file; or None, and why where that is to be mended.

    Args:
        titles: Of all masters, by process id.
        main: Our file.
        alone: We have a namespace of our own.
    """
    named = re.compile(rf" -c ?{re.escape(str(main))}( |$)")
    ours = sorted(pid for pid, title in titles.items() if named.search(title))
    if len(ours) == 1:
        return ours[0], ""
    if ours:
        pids = ", ".join(map(str, ours))
        return None, f"{len(ours)} masters run on {main}: pids {pids} (end all but one)"
    if titles:
        pid, title = min(titles.items())
        command = title.removeprefix(_TITLE)
        return None, f"pid {pid} runs '{command}', and no master runs on {main} (start it with -c {main})"
    if alone:
        return None, (
            "nginx can't be seen from here: our PID namespace is of our own"
            ' (share one: docker run --pid container:NAME, or pid: "service:NAME" in Compose)'
        )
    return None, ""


def _lives(master: Master) -> bool:
    """Tell whether it still runs; who has ended and was not collected yet has a start, but no title."""
    return started_at(master.pid) == master.started and title_of(master.pid).startswith(_TITLE)


async def open_shared_pid(settings: Nginx, path: Path, token: str, *, uid: int | None = None) -> Here:
    """Return the nginx that *settings* are about.

    Args:
        settings: The ``[nginx]`` table.
        path: The folder that it reads from us, ``<state>/nginx``, which is at the same path there.
        token: Makes the name under which it answers the proof.
        uid: The user that writes for it, and runs it; None: as we are.

    Raises:
        CommandError: There is no program to check by.
        UsageError: It is no nginx, or what ``[nginx]`` says is wrong.
    """
    own = OwnProgram(settings.binary)
    if not own.exists:
        raise CommandError(
            f'[nginx] via = "pid": no {settings.binary} here, and nothing may be run in nginx\'s container'
            ' (use an image that has both, as Dockerfile.all-in-one makes it, or via = "docker:NAME")'
        )
    build = await own.build()
    dialect = Dialect(
        settings=settings,  # without a user, nginx's own default is right in every image
        build=build,
        folder=path,
        token=token,
        ipv6=has_ipv6(),
        root=(os.geteuid() if uid is None else uid) == 0,
        authorities=next((file for file in AUTHORITIES if file.is_file()), None),
    )
    listen = settings.listen.http[0]
    control = SharedPid(dialect.root_file, listen, path / "error.log", own, build)
    renderer = Elsewhere(dialect, control).renderer
    folder = Folder(path, dialect.root_file.name, error_pages=settings.error_pages)
    start = f"nginx -c {dialect.root_file}, in its container; start or create that"
    return Here(control, folder, Prober(listen, dialect.proof_name), renderer, start)
