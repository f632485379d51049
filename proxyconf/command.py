"""Run a child process to its end, bounded in time and output.

Children are started from a thread with the plain `subprocess` module: with gRPC loaded that takes 3 ms where
asyncio's own takes 4 to 5, and it is on the way of every change.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

_OUTPUT_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended.

    Attributes:
        code: Exit code; negative: the signal that ended it.
        output: Standard output and error as they came, its middle cut out when it is over 64 KiB.
    """

    code: int
    output: str


async def run_command(argv: Sequence[str], *, timeout_s: float) -> Completed:
    """Run *argv*, never through a shell, without standard input and in a process group of its own.

    A caller that is cancelled leaves it running to its end or time-out; no process outlives that.

    Raises:
        CommandError: It can't be started, or did not end in time and was killed with its children.
    """
    return await asyncio.to_thread(_run, list(argv), timeout_s)


def _run(argv: list[str], timeout_s: float) -> Completed:
    try:
        process = subprocess.Popen(  # noqa: S603 - argv is ours, and no shell reads it
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as exc:
        raise CommandError(f"run {argv[0]}: {exc.strerror} (is it installed, and may we run it?)") from exc
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as exc:
        raise CommandError(
            f"run {' '.join(argv)}: not done after {timeout_s:g} s, so it was killed (what does it wait for?)"
        ) from exc
    finally:
        _end(process)
    return Completed(process.returncode, _trim(output.decode(errors="replace")))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group, unless the command came to its end; a child may still hold the pipe open."""
    if process.returncode is None:  # not waited for, so the group's number is still its own
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _trim(text: str) -> str:
    if len(text) <= _OUTPUT_MAX:
        return text
    half = _OUTPUT_MAX // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"
