"""Reach an nginx: check a configuration, signal the master, read what it said.

``via = "local"``: a process on this host, found by its pid file.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proxyconf.command import run_command
from proxyconf.errors import NotRunningError, RefusedError, ReloadError
from proxyconf.nginx.build import parse_build

if TYPE_CHECKING:
    from proxyconf.nginx.build import Build

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

    async def build(self) -> Build:
        """Return what it is and can.

        Raises:
            CommandError: It can't be run.
        """
        ...

    async def check(self, main: Path) -> str:
        """Return what nginx prints about the main file *main* and all it includes.

        Raises:
            RefusedError: nginx refuses it.
            CommandError: It could not be asked.
        """
        ...

    async def master(self) -> int | None:
        """Return what identifies the running master; None when none runs."""
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
        binary: The program, for ``-t`` and ``-V``.
        pid_file: Where the master writes its pid.
        error_log: Where it says what is wrong; None when that can't be read.
    """

    def __init__(self, binary: str, pid_file: Path, error_log: Path | None) -> None:
        self._binary = binary
        self._pid_file = pid_file
        self._error_log = error_log
        self._build: Build | None = None

    async def build(self) -> Build:
        """Return what ``nginx -V`` says."""
        done = await run_command([self._binary, "-V"], timeout_s=_CHECK_TIMEOUT_S)
        self._build = parse_build(done.output)
        return self._build

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` as the same user, with the same prefix, as the master would."""
        build = self._build or await self.build()
        # or it would first open the log that was compiled in, which may belong to somebody else
        quiet = ["-e", "stderr"] if build.version >= (1, 19, 5) else []
        done = await run_command([self._binary, *quiet, "-t", "-c", str(main)], timeout_s=_CHECK_TIMEOUT_S)
        if done.code:
            raise RefusedError(f"check {main}: {first_complaint(done.output)}", done.output)
        return done.output

    async def master(self) -> int | None:
        """Return the pid in the pid file if an nginx master has it."""
        try:
            pid = int(self._pid_file.read_text())
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if title.startswith(b"nginx: master") else None

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


def first_complaint(output: str) -> str:
    """Return the message that matters in what ``nginx -t`` printed, without the word nginx and the level."""
    found = re.search(r"\[(?:emerg|alert|crit)\] (?:\d+#\d+: )?(.*)", output)
    return found[1].strip() if found else output.strip()[-300:] or "nginx said nothing"
