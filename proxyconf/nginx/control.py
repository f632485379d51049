"""Reach an nginx: check a configuration, signal the master, read what it said.

``via = "local"``: a process on this host, found by its pid file. Of an nginx that somebody else configures, a
copy of its own main file is checked, with our include in it pointed at the candidate. For one in another
container see `in_container` and `shared_pid`.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proxyconf.command import run_command
from proxyconf.errors import CommandError, NotRunningError, RefusedError, ReloadError
from proxyconf.nginx.holders import Holders
from proxyconf.nginx.places import TheirPlaces
from proxyconf.nginx.shadow import Shadow
from proxyconf.nginx.workers import Lingering, lingering_workers, owner_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    from proxyconf.command import Completed, Running
    from proxyconf.model import Problem
    from proxyconf.nginx.build import Build
    from proxyconf.nginx.places import Places
    from proxyconf.units import ListenAddress

CHECK_TIMEOUT_S = 30.0
_LOCK_S = 0.01
_LOG_TAIL_MAX = 256 << 10
_EMERG = re.compile(r"^\S+ \S+ \[emerg\] (\d+)#\d+: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LogMark:
    """A place in the log: what is behind it is new."""

    inode: int = 0
    size: int = 0


class Control(Protocol):
    """An nginx, wherever it runs."""

    @property
    def build(self) -> Build | None:
        """What it is; None where nobody could tell yet."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps us from reaching it as we should."""
        ...

    async def meet(self) -> None:
        """Learn which nginx it is; to be called before anything is written for it.

        Raises:
            UncheckedError: There is nobody to ask at the moment.
            CommandError: It could not be asked.
        """
        ...

    async def check(self, main: Path) -> str:
        """Return what nginx prints about the main file *main* and all it includes.

        Raises:
            RefusedError: nginx refuses it.
            UncheckedError: There is none to ask at the moment.
            CommandError: It could not be asked, or was killed before it answered.
        """
        ...

    async def master(self) -> Hashable | None:
        """Return what tells the running master from any other; None when none runs."""
        ...

    async def in_the_way(self) -> str:
        """Return who else holds its addresses, and the mend, while it does not run; "" for nobody known."""
        ...

    async def lingering(self) -> Lingering:
        """Return the workers of earlier configurations that still finish what they have."""
        ...

    async def reload(self) -> None:
        """Ask the master to read its configuration again.

        Raises:
            NotRunningError: There is none.
            ReloadError: It may not be signalled.
        """
        ...

    async def mark(self) -> LogMark:
        """Return the end of the log."""
        ...

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        """Return the master's [emerg] messages since then."""
        ...


class Process:
    """A running nginx on this host, or none: its master, and its log.

    Args:
        places: Where they are found.
    """

    def __init__(self, places: Places) -> None:
        self._places = places

    async def master(self) -> int | None:
        """Return the pid in the pid file if an nginx master has it."""
        return _master(self._places.pid_file)

    async def mark(self) -> LogMark:
        """Return the log's inode and size."""
        return end_of(self._places.error_log)

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        """Read the log from there; from its start where it was rotated meanwhile."""
        pid = await self.master()
        if pid is None:
            return ()
        return tuple(text for number, text in emergencies(self._places.error_log, since) if number == pid)


def end_of(error_log: Path | None) -> LogMark:
    """Return the end of a log; that of an empty one where it can't be read."""
    try:
        status = error_log.stat() if error_log else None
    except OSError:
        return LogMark()
    return LogMark(status.st_ino, status.st_size) if status else LogMark()


def emergencies(error_log: Path | None, since: LogMark) -> list[tuple[int, str]]:
    """Return the [emerg] messages since then, each with the process id that it names."""
    try:
        if error_log is None or (text := _behind(error_log, since)) is None:
            return []
    except OSError:
        return []
    return [(int(number), message) for number, message in _EMERG.findall(text)]


def _behind(error_log: Path, since: LogMark) -> str | None:
    """Return what is new in the log; None for nothing."""
    with error_log.open("rb") as log:
        status = os.fstat(log.fileno())
        same = status.st_ino == since.inode and status.st_size >= since.size
        start = since.size if same else 0
        if status.st_size == start:
            return None
        log.seek(max(start, status.st_size - _LOG_TAIL_MAX))
        return log.read(_LOG_TAIL_MAX).decode(errors="replace")


def last_word(complaints: Iterable[str]) -> str:
    """Return why a master keeps the configuration it has, by its [emerg] messages; "" as long as it may not.

    It tries five times to get an address; only "still could not bind()" is its last word, and does not say
    which.
    """
    tries: list[str] = []
    for text in complaints:
        if not text.startswith("bind() to"):
            return ", ".join([*dict.fromkeys(tries), text])
        tries.append(text)
    return ""


class Local(Process):
    """A process on this host.

    Args:
        binary: The program, for ``-t``.
        build: What it is.
        places: Where it is found.
        listen: Where it is to listen.

    Attributes:
        build: What it is.
    """

    def __init__(
        self, binary: str, build: Build, places: Places, listen: Iterable[ListenAddress] = ()
    ) -> None:
        super().__init__(places)
        self._holders = Holders(listen)
        self.build: Build | None = build
        self._binary = binary
        self._quiet = quiet(build)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return none."""
        return ()

    async def meet(self) -> None:
        """Do nothing: it was asked when it was opened."""

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` as the same user, with the same prefix, as the master would."""
        return await ask_nginx([self._binary, *self._quiet, "-t", "-c", str(main)], main)

    async def in_the_way(self) -> str:
        """Look who listens there."""
        return await asyncio.to_thread(self._holders.look)

    async def lingering(self) -> Lingering:
        """Look at the master's children."""
        pid = await self.master()
        return Lingering() if pid is None else lingering_workers(pid)

    async def reload(self) -> None:
        """Send HUP to the master."""
        pid = await self.master()
        if pid is None:
            raise NotRunningError(f"reload nginx: no master with the pid in {self._places.pid_file}")
        hang_up(pid)


def hang_up(pid: int) -> None:
    """Send HUP to the master *pid*; ``nginx -s reload`` would parse everything once more.

    Raises:
        NotRunningError: It has just ended.
        ReloadError: We may not.
    """
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError as exc:
        raise NotRunningError(f"reload nginx: pid {pid} has just ended") from exc
    except PermissionError as exc:
        raise ReloadError(
            f"reload nginx: may not signal pid {pid} of user {owner_of(pid)}, as user {os.geteuid()}"
            " (run as root, or as the user that nginx runs as)"
        ) from exc


def _master(pid_file: Path) -> int | None:
    """Read two small files that are in memory: cheaper than a thread."""
    try:
        pid = int(pid_file.read_text())
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if title.startswith(b"nginx: master") else None


class Included(Local):
    """A process on this host whose main file is somebody else's.

    Args:
        binary: As of `Local`.
        build: What it is.
        conf: The main file.
        ours: The file of ours that it includes.
        listen: As of `Local`.
    """

    def __init__(
        self, binary: str, build: Build, conf: Path, ours: Path, listen: Iterable[ListenAddress] = ()
    ) -> None:
        super().__init__(binary, build, TheirPlaces(conf, build), listen)
        self._conf = conf
        self._ours = ours

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` on a copy of their main file that includes *main* in place of ours."""
        shadow = await asyncio.to_thread(Shadow, self._conf, {self._ours: main})
        if not shadow.reached:
            raise not_included(self._conf, self._ours)
        return await check_shadow(shadow, super().check)


def not_included(conf: Path, ours: Path) -> CommandError:
    """Return the error of a main file *conf* of somebody else that does not include *ours*."""
    return CommandError(
        f"check {conf}: it does not include us (add 'include {ours.parent}/http.con[f];' to its http block)"
    )


async def check_shadow(shadow: Shadow, check: Callable[[Path], Awaitable[str]]) -> str:
    """Return what *check* says about the main file of *shadow*, in real names.

    Raises:
        RefusedError: nginx refuses it, in real names.
        StateError: The copies can't be written.
    """
    while (lock := shadow.lock()) is None:  # noqa: ASYNC110 - it may be another process
        await asyncio.sleep(_LOCK_S)
    try:
        await asyncio.to_thread(shadow.write)
        return shadow.in_real_names(await check(shadow.main))
    except RefusedError as exc:
        raise RefusedError(shadow.in_real_names(str(exc)), shadow.in_real_names(exc.output)) from exc
    finally:
        shadow.remove()
        os.close(lock)


def quiet(build: Build) -> tuple[str, ...]:
    """Return the options without which a check first opens the log that was compiled in.

    That may belong to somebody else, or fill up with the complaints about candidates.
    """
    return ("-e", "stderr") if build.version >= (1, 19, 5) else ()


async def ask_nginx(
    argv: Sequence[str], main: Path, *, timeout_s: float = CHECK_TIMEOUT_S, running: Running | None = None
) -> str:
    """Run a check of the main file *main*, which can be cut short by *running*; return what nginx prints.

    Raises:
        RefusedError: It refuses it.
        CommandError: It can't be run, did not end in time, or was killed.
    """
    return verdict(await run_command(argv, timeout_s=timeout_s, running=running), main)


def verdict(done: Completed, main: Path) -> str:
    """Return what a check of the main file *main* has printed.

    Raises:
        RefusedError: nginx refuses it.
        CommandError: It was killed.
    """
    if done.code < 0:
        raise CommandError(f"check {main}: nginx was ended by signal {-done.code} (is memory short?)")
    if done.code:
        complaint = first_complaint(done.output)
        if "bind()" in complaint and "13: Permission denied" in complaint:
            complaint += " (only root may open ports below 1024: run as root, or listen on others)"
        raise RefusedError(f"check {main}: {complaint}", done.output)
    return done.output


def first_complaint(output: str) -> str:
    """Return the message that matters in what ``nginx -t`` printed, without the word nginx and the level."""
    found = re.search(r"\[(?:emerg|alert|crit)\] (?:\d+#\d+: )?(.*)", output)
    return found[1].strip() if found else output.strip()[-300:] or "nginx said nothing"
