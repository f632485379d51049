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
from proxyconf.nginx.surroundings import Shadow, read_surroundings
from proxyconf.nginx.workers import Lingering, lingering_workers

if TYPE_CHECKING:
    from proxyconf.nginx.build import Build
    from proxyconf.nginx.surroundings import Surroundings

_CHECK_TIMEOUT_S = 30.0
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


class Local:
    """A process on this host.

    Args:
        binary: The program, for ``-t``.
        build: What it is.
        pid_file: Where the master writes its pid.
        error_log: Where it says what is wrong; None when that can't be read.
    """

    def __init__(self, binary: str, build: Build, pid_file: Path, error_log: Path | None) -> None:
        self._binary = binary
        # without it, nginx would first open the log that was compiled in, which may belong to somebody else
        self._quiet = ["-e", "stderr"] if build.version >= (1, 19, 5) else []
        self._pid_file = pid_file
        self._error_log = error_log

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` as the same user, with the same prefix, as the master would."""
        done = await run_command(
            [self._binary, *self._quiet, "-t", "-c", str(main)], timeout_s=_CHECK_TIMEOUT_S
        )
        if done.code < 0:
            raise CommandError(f"check {main}: nginx was ended by signal {-done.code} (is memory short?)")
        if done.code:
            complaint = first_complaint(done.output)
            if "bind()" in complaint and "13: Permission denied" in complaint:
                complaint += " (only root may open ports below 1024: run as root, or set [nginx.listen] http)"
            raise RefusedError(f"check {main}: {complaint}", done.output)
        return done.output

    async def master(self) -> int | None:
        """Return the pid in the pid file if an nginx master has it."""
        return _master(self._pid_file)

    async def lingering(self) -> Lingering:
        """Look at the master's children."""
        pid = await self.master()
        return Lingering() if pid is None else lingering_workers(pid)

    async def reload(self) -> None:
        """Send HUP to the master; ``nginx -s reload`` would parse everything once more."""
        pid = await self.master()
        if pid is None:
            raise NotRunningError(f"reload nginx: no master with the pid in {self._pid_file}")
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError as exc:
            raise NotRunningError(f"reload nginx: pid {pid} has just ended") from exc
        except PermissionError as exc:
            raise ReloadError(
                f"reload nginx: may not signal pid {pid} (run as root, or as the user that nginx runs as)"
            ) from exc

    async def mark(self) -> LogMark:
        """Return the log's inode and size."""
        try:
            status = self._error_log.stat() if self._error_log else None
        except OSError:
            return LogMark()
        return LogMark(status.st_ino, status.st_size) if status else LogMark()

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        """Read the log from there; from its start where it was rotated meanwhile."""
        pid = await self.master()
        if self._error_log is None or pid is None:
            return ()
        try:
            with self._error_log.open("rb") as log:
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
        found: Where it says that its pid file and log are.
    """

    def __init__(self, binary: str, build: Build, conf: Path, ours: Path, found: Surroundings) -> None:
        log = found.error_log or build.error_log_path
        readable = None if log in ("stderr", "off") or ":" in log else build.prefix / log
        super().__init__(binary, build, build.prefix / (found.pid or build.pid_path), readable)
        self._conf = conf
        self._ours = ours

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` on a copy of their main file that includes *main* in place of ours."""
        found = await asyncio.to_thread(read_surroundings, self._conf, self._ours)
        if not found.chain:
            raise CommandError(
                f"check {self._conf}: it does not include us"
                f" (add 'include {self._ours.parent}/http.con[f];' to its http block)"
            )
        shadow = Shadow(found, main)
        try:
            await asyncio.to_thread(shadow.write)
            return shadow.in_real_names(await super().check(shadow.main))
        except RefusedError as exc:
            raise RefusedError(shadow.in_real_names(str(exc)), shadow.in_real_names(exc.output)) from exc
        finally:
            shadow.remove()


def first_complaint(output: str) -> str:
    """Return the message that matters in what ``nginx -t`` printed, without the word nginx and the level."""
    found = re.search(r"\[(?:emerg|alert|crit)\] (?:\d+#\d+: )?(.*)", output)
    return found[1].strip() if found else output.strip()[-300:] or "nginx said nothing"
