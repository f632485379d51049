"""Call the program: in this process, or as one of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from proxyconf.cli import main

if TYPE_CHECKING:
    from click.testing import Result


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def child(*arguments: str) -> subprocess.Popen[str]:
    """Start it as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "proxyconf", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for its end; return exit code, output and errors."""
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err
