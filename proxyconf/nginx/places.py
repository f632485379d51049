"""Where an nginx on this host is found: the file with its master's pid, and the log it complains to."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from proxyconf.errors import CommandError
from proxyconf.nginx.surroundings import Surroundings, read_surroundings
from proxyconf.nginx.syntax import statements

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.nginx.build import Build


class Places(Protocol):
    """Where it is found at the moment; to ask costs microseconds."""

    @property
    def pid_file(self) -> Path:
        """Where the master writes its pid."""
        ...

    @property
    def error_log(self) -> Path | None:
        """Where it says what is wrong; None when that can't be read."""
        ...


@dataclass(frozen=True, slots=True)
class OurPlaces:
    """Of an nginx whose main file is ours."""

    pid_file: Path
    error_log: Path | None


class TheirPlaces:
    """Of an nginx whose main file is somebody else's: what it says is read again whenever it has changed.

    Args:
        conf: The main file.
        build: What nginx has without it.
        directives: What else is in the main context, as ``-g`` has it.
    """

    def __init__(self, conf: Path, build: Build, directives: str = "") -> None:
        self._conf = conf
        self._build = build
        given = {found.name: found.words[1] for found in statements(directives) if len(found.words) > 1}
        self._pid = given.get("pid", "")
        self._error_log = given.get("error_log", "")
        self._found = Surroundings(stamps=((str(conf), -1),))  # never current

    @property
    def pid_file(self) -> Path:
        """As the main file has it, or else the program."""
        self._look()
        return self._build.prefix / (self._pid or self._found.pid or self._build.pid_path)

    @property
    def error_log(self) -> Path | None:
        """As the main file has it, or else the program."""
        self._look()
        log = self._error_log or self._found.error_log or self._build.error_log_path
        return None if log in ("stderr", "off") or ":" in log else self._build.prefix / log

    def _look(self) -> None:
        if not self._found.is_current():
            with suppress(CommandError):  # it is not there yet, or just being replaced
                self._found = read_surroundings(self._conf)
