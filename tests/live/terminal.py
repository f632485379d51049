"""A command in a terminal of its own: what it has drawn last, and what it leaves behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Self

from tests.live.asking import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_HOME = "\x1b[H"
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal with one command, which is ended at exit.

    Attributes:
        written: All that was written to it.
    """

    def __init__(self, command: Sequence[str], *, cwd: Path, height: int = 24) -> None:
        self.written = ""
        self._main, end = pty.openpty()
        self._resize(end, height)
        self._process = subprocess.Popen(
            command, cwd=cwd, stdin=end, stdout=end, stderr=end, start_new_session=True
        )
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._end)
        os.close(self._main)

    def lines(self) -> list[str]:
        """Return what is shown."""
        while select.select([self._main], [], [], 0)[0]:
            self.written += os.read(self._main, 1 << 16).decode()
        # a frame that is still being written has no end
        last = next((one for one in reversed(self.written.split(_HOME)) if one.endswith("\x1b[J")), "")
        return _CODES.sub("", last).split("\r\n")

    def until_shows(self, text: str) -> list[str]:
        """Wait until *text* is in what is shown, and return that."""
        until(lambda: text in "\n".join(self.lines()), f"the terminal shows {text!r}")
        return self.lines()

    def resize(self, height: int) -> None:
        """Make it another one's height."""
        self._resize(self._end, height)
        self._process.send_signal(signal.SIGWINCH)

    def _resize(self, end: int, height: int) -> None:
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", height, 100, 0, 0))

    def echoes(self) -> bool:
        """Tell whether what is typed is shown."""
        return bool(termios.tcgetattr(self._end)[3] & termios.ECHO)

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(10)
        self.lines()
        return code
