"""An nginx of our own image, which can check files for the one in another container."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.command import run_command
from proxyconf.errors import RefusedError, StateError
from proxyconf.nginx.build import parse_build
from proxyconf.nginx.control import ask_nginx, quiet

if TYPE_CHECKING:
    from proxyconf.nginx.build import Build

_TIMEOUT_S = 10.0
# What the other nginx opens with its own rights, or knows and we don't: a check by us would leave files of
# these that it can't use, or fail where all is well.
_ITS_OWN = re.compile(
    r"^( *)(?:(user) .*|(pid) .*|(error_log) .*|(access_log) .*|(\w+_temp_path) .*);$", re.MULTILINE
)


class OwnProgram:
    """A program that may be there.

    Args:
        binary: Its name.
    """

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._build: Build | None = None

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return shutil.which(self._binary) is not None

    async def build(self) -> Build:
        """Return what it is.

        Raises:
            CommandError: It can't be run.
            UsageError: It is no nginx.
        """
        if self._build is None:
            done = await run_command([self._binary, "-V"], timeout_s=_TIMEOUT_S)
            self._build = parse_build(done.output)
        return self._build

    async def check(self, main: Path) -> str:
        """Return what it prints about a copy of *main*, without what only the other one can open.

        Raises:
            RefusedError: It refuses it.
            CommandError: It could not be asked.
            StateError: The copy can't be written.
        """
        options = quiet(await self.build())
        copy = main.with_name(f"{main.name}.own")
        try:
            scratch = await asyncio.to_thread(_write, main, copy)
        except OSError as exc:
            raise StateError(f"write {exc.filename or copy}: {exc.strerror} (may we write there?)") from exc
        try:
            output = await ask_nginx([self._binary, *options, "-t", "-c", str(copy)], main)
        except RefusedError as exc:
            text = exc.output.replace(str(copy), str(main))
            raise RefusedError(str(exc).replace(str(copy), str(main)), text) from exc
        finally:
            await asyncio.to_thread(_remove, copy, scratch)
        return output.replace(str(copy), str(main))


def _write(main: Path, copy: Path) -> Path:
    """Write the copy; return the folder for what its check opens."""
    text = main.read_text(encoding="utf-8")
    scratch = Path(tempfile.mkdtemp(prefix="proxyconf-check-"))
    try:
        copy.write_text(_ITS_OWN.sub(lambda found: _ours(found, scratch), text), encoding="utf-8")
    except OSError:
        shutil.rmtree(scratch)
        raise
    return scratch


def _ours(found: re.Match[str], scratch: Path) -> str:
    indent, user, pid, error_log, access_log, temp_path = found.groups()
    if user:
        return indent
    if pid:
        return f"{indent}pid {scratch}/pid;"
    if error_log:
        return f"{indent}error_log stderr;"
    return f"{indent}access_log off;" if access_log else f"{indent}{temp_path} {scratch}/{temp_path};"


def _remove(copy: Path, scratch: Path) -> None:
    copy.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
