"""Reach an nginx: check a configuration, signal the master, read what it said.

``via = "local"``: a process on this host, found by its pid file. Of an nginx that somebody else configures, a
copy of its own main file is checked, with our include in it pointed at the candidate.
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
from proxyconf.nginx.places import TheirPlaces
from proxyconf.nginx.shadow import Shadow
from proxyconf.nginx.workers import Lingering, lingering_workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from proxyconf.command import Running
    from proxyconf.nginx.build import Build
    from proxyconf.nginx.places import Places

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

    async def check(self, main: Path) -> str:
        """Return what nginx prints about the main file *main* and all it includes.

        Raises:
            RefusedError: nginx refuses it.
            CommandError: It could not be asked, or was killed before it answered.
        """
        ...

    async def master(self) -> int | None:
        """Return what identifies the running master; None when none runs."""
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
        log = self._places.error_log
        try:
            status = log.stat() if log else None
        except OSError:
            return LogMark()
        return LogMark(status.st_ino, status.st_size) if status else LogMark()

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        """Read the log from there; from its start where it was rotated meanwhile."""
        error_log, pid = self._places.error_log, await self.master()
        if error_log is None or pid is None:
            return ()
        try:
            with error_log.open("rb") as log:
                status = os.fstat(log.fileno())
                same = status.st_ino == since.inode and status.st_size >= since.size
                start = since.size if same else 0
                if status.st_size == start:
                    return ()
                log.seek(max(start, status.st_size - _LOG_TAIL_MAX))
                text = log.read(_LOG_TAIL_MAX).decode(errors="replace")
        except OSError:
            return ()
        return tuple(message for number, message in _EMERG.findall(text) if int(number) == pid)


class Local(Process):
    """A process on this host.

    Args:
        binary: The program, for ``-t``.
        build: What it is.
        places: Where it is found.
    """

    def __init__(self, binary: str, build: Build, places: Places) -> None:
        super().__init__(places)
        self._binary = binary
        self._quiet = quiet(build)

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` as the same user, with the same prefix, as the master would."""
        return await ask_nginx([self._binary, *self._quiet, "-t", "-c", str(main)], main)

    async def lingering(self) -> Lingering:
        """Look at the master's children."""
        pid = await self.master()
        return Lingering() if pid is None else lingering_workers(pid)

    async def reload(self) -> None:
        """Send HUP to the master; ``nginx -s reload`` would parse everything once more."""
        pid = await self.master()
        if pid is None:
            raise NotRunningError(f"reload nginx: no master with the pid in {self._places.pid_file}")
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError as exc:
            raise NotRunningError(f"reload nginx: pid {pid} has just ended") from exc
        except PermissionError as exc:
            raise ReloadError(
                f"reload nginx: may not signal pid {pid} (run as root, or as the user that nginx runs as)"
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
    """

    def __init__(self, binary: str, build: Build, conf: Path, ours: Path) -> None:
        super().__init__(binary, build, TheirPlaces(conf, build))
        self._conf = conf
        self._ours = ours

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` on a copy of their main file that includes *main* in place of ours."""
        shadow = await asyncio.to_thread(Shadow, self._conf, {self._ours: main})
        if not shadow.reached:
            raise CommandError(
                f"check {self._conf}: it does not include us"
                f" (add 'include {self._ours.parent}/http.con[f];' to its http block)"
            )
        return await check_shadow(shadow, super().check)


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
    done = await run_command(argv, timeout_s=timeout_s, running=running)
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
