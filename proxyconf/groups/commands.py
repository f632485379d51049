"""A user's own commands: run as they meant them, with what they may name filled in."""

from __future__ import annotations

import re
import shlex
import signal
import time
from typing import TYPE_CHECKING

import structlog

from proxyconf.command import run_command
from proxyconf.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.command import Completed, Running
    from proxyconf.resources.table import Command

log = structlog.get_logger(__name__)

_PLACE = re.compile(r"\{\{-?\s*\.(src|dest)\s*-?\}\}")
_OUTPUT_SHOWN = 300
_PLAIN_RELOAD = re.compile(
    r"(?:exec )?(?:"
    r"(?:/\S*/)?nginx(?: -q)? -s reload"
    r"|(?:/\S*/)?service nginx (?:force-)?reload"
    r"|(?:/\S*/)?systemctl (?:try-)?reload nginx(?:\.service)?"
    r"|/etc/init\.d/nginx (?:force-)?reload"
    r"|(?:/\S*/)?rc-service nginx reload"
    r")"
)


def names_src(command: Command) -> bool:
    """Tell whether *command* asks for the staged file, ``{{.src}}``."""
    words = [command.line] if isinstance(command.line, str) else command.line
    return any(found[1] == "src" for word in words for found in _PLACE.finditer(word))


def with_dest_for_src(command: Command, dest: Path) -> str | tuple[str, ...]:
    """Return the line of *command* with *dest* in the place of ``{{.src}}`` and ``{{.dest}}``."""
    argv = filled_in(command, src=dest, dest=dest)
    return shown(argv) if isinstance(command.line, str) else argv


def is_plain_reload(command: Command) -> bool:
    """Tell whether *command* does nothing but reload the nginx of this host, by one of the common ways."""
    line = command.line if isinstance(command.line, str) else shlex.join(command.line)
    plain = re.sub(r"(?:\s*&?[12]?>\s*(?:/dev/null|&[12]))+\s*$", "", " ".join(line.split()))
    return _PLAIN_RELOAD.fullmatch(plain) is not None


def filled_in(command: Command, *, src: Path, dest: Path) -> tuple[str, ...]:
    """Return what to run: a text goes to ``/bin/sh -c``, as in confd; a list is program and arguments."""
    files = {"src": str(src), "dest": str(dest)}
    if isinstance(command.line, str):
        return "/bin/sh", "-c", _PLACE.sub(lambda found: shlex.quote(files[found[1]]), command.line)
    return tuple(_PLACE.sub(lambda found: files[found[1]], word) for word in command.line)


def shown(argv: tuple[str, ...]) -> str:
    """Return a command as its author wrote it."""
    return argv[2] if argv[:2] == ("/bin/sh", "-c") else shlex.join(argv)


async def run(argv: tuple[str, ...], *, timeout_s: float, running: Running) -> None:
    """Run it.

    Raises:
        CommandError: It can't be run, failed, or did not end in time; says what it printed last.
    """
    started = time.perf_counter()
    try:
        done = await run_command(argv, timeout_s=timeout_s, running=running)
    except CommandError as exc:
        _log(argv, started, reason=str(exc))
        raise
    said = " ".join(done.output.split())[-_OUTPUT_SHOWN:]
    _log(argv, started, code=done.code, output=said)
    if done.code:
        raise CommandError(f"run {shown(argv)}: {_end_of(done, running)}: {said or 'it printed nothing'}")


def _log(argv: tuple[str, ...], started: float, **outcome: object) -> None:
    ms = round((time.perf_counter() - started) * 1000, 1)
    log.debug("command.ran", argv=shown(argv), duration_ms=ms, **outcome)


def _end_of(done: Completed, running: Running) -> str:
    if running.ended and done.code == -signal.SIGKILL:
        return "ended, because proxyconf is to end"
    return f"exit code {done.code}" if done.code > 0 else f"ended by signal {-done.code}"
