"""Run a child process to its end, bounded in time and output.

Children are started from a thread with the plain `subprocess` module: with gRPC loaded that takes 3 ms where
asyncio's own takes 4 to 5, and it is on the way of every change.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

_OUTPUT_MAX = 64 << 10
# not the loop's own threads: those are few, and commands that hang would keep all files waiting
_WAITING = ThreadPoolExecutor(max_workers=32, thread_name_prefix="command")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended.

    Attributes:
        code: Exit code; negative: the signal that ended it.
        output: Standard output and error as they came until it ended, the middle cut out when it is over
            64 KiB.
    """

    code: int
    output: str


class Running:
    """Commands under way that may be cut short: our own end must not wait for a time-out.

    Attributes:
        ended: They were.
    """

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self.ended = False

    def end(self) -> None:
        """Kill them, each with its children, and whatever is started from now on."""
        self.ended = True
        for process in tuple(self._processes):
            _kill(process)

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Take in a command that has just been started."""
        self._processes.add(process)
        if self.ended:
            _kill(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Leave out a command that has ended."""
        self._processes.discard(process)


async def run_command(argv: Sequence[str], *, timeout_s: float, running: Running | None = None) -> Completed:
    """Run *argv*, never through a shell, without standard input and in a process group of its own.

    A caller that is cancelled leaves it running to its end or time-out. What it leaves in the background when
    it ends, a daemon for example, lives on.

    Args:
        argv: Program and arguments.
        timeout_s: How long it may take.
        running: Where it is listed meanwhile, so that it can be cut short.

    Raises:
        CommandError: It can't be started, or did not end in time and was killed with its children.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_WAITING, _run, list(argv), timeout_s, running or Running())


def _run(argv: list[str], timeout_s: float, running: Running) -> Completed:
    # not a pipe: a daemon that a command starts may keep its output open for ever
    output = os.memfd_create("output")
    try:
        process = _start(argv, output)
        running.add(process)
        try:
            if not _ends_within(process, timeout_s):
                raise CommandError(
                    f"run {' '.join(argv)}: not done after {timeout_s:g} s, so it was killed"
                    " (what does it wait for?)"
                )
        finally:
            running.remove(process)
            _kill(process)
            process.wait()
        return Completed(process.returncode, _read(output))
    finally:
        os.close(output)


def _start(argv: list[str], output: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - no shell that the caller did not ask for
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    except OSError as exc:
        raise CommandError(f"run {argv[0]}: {exc.strerror} (is it installed, and may we run it?)") from exc


def _ends_within(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for its end, but no longer; tell whether it has ended.

    Not by `Popen.wait` with a time-out: that naps for 1, 2, 4, 8 ms and so on between its looks, so that a
    check of 8 ms is seen to have ended after 15.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:  # a kernel before 5.3, or a sandbox that forbids it
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        return process.returncode is not None
    try:
        waiting = select.poll()
        waiting.register(pidfd, select.POLLIN)
        if waiting.poll(timeout_s * 1000):
            process.wait()
    finally:
        os.close(pidfd)
    return process.returncode is not None


def _read(output: int) -> str:
    """Return what is in the file, its middle cut out when there is too much."""
    size, half = os.fstat(output).st_size, _OUTPUT_MAX // 2
    if size <= _OUTPUT_MAX:
        return os.pread(output, size, 0).decode(errors="replace")
    start, end = os.pread(output, half, 0), os.pread(output, half, size - half)
    return f"{start.decode(errors='replace')}\n[...]\n{end.decode(errors='replace')}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # not waited for, so the group's number is still its own
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
