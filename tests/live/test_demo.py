"""The demo, as ``make demo`` runs it: every step goes as it should, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.etcd_server import available

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.skipif(not available(), reason="needs etcd and etcdctl (make setup)"),
]

_TOP = Path(__file__).parents[2]
_TIMEOUT_S = 120


def test_every_step_goes_as_it_should(folder: Path) -> None:
    with _demo(folder, DEMO_SECONDS="1") as demo:
        output, _ = demo.communicate(timeout=_TIMEOUT_S)
    assert demo.returncode == 0, output
    assert "All 7 steps went as they should" in output
    assert "\x1b" not in output
    assert _left(folder) == ([], [])


@pytest.mark.parametrize(
    ("number", "seen"),
    [
        pytest.param(signal.SIGINT, "2  ", id="Ctrl-C while all of them run"),
        pytest.param(signal.SIGTERM, "   do    nginx -c", id="SIGTERM while nginx starts"),
    ],
)
def test_nothing_is_left_after_a_signal(folder: Path, number: signal.Signals, seen: str) -> None:
    """The demo may end at any moment, and its last line tells the truth."""
    with _demo(folder) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if line.startswith(seen):
                break
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=_TIMEOUT_S)
    assert demo.returncode == 128 + number, output
    assert output.endswith("All programs have ended, and their folder is removed.\n")
    assert _left(folder) == ([], [])


def test_failed_step_is_named(folder: Path) -> None:
    """Without a working etcd nothing can go as it should; the end of its log says why."""
    etcd = folder / "bin" / "etcd"
    etcd.parent.mkdir()
    etcd.write_text("#!/bin/sh\necho no etcd today\nexit 1\n")
    etcd.chmod(0o755)
    with _demo(folder, DEMO_SECONDS="1", ETCD_BIN=str(etcd.parent)) as demo:
        output, _ = demo.communicate(timeout=_TIMEOUT_S)
    assert demo.returncode == 1, output
    assert "FAIL  step 1 (start etcd, proxyconf and nginx): etcd has ended" in output
    assert "no etcd today" in output
    etcd.unlink()
    etcd.parent.rmdir()
    assert _left(folder) == ([], [])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: below it is a unix socket, whose path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="pc-demo-") as path:
        yield Path(path)


def _demo(folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=_TOP,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _left(folder: Path) -> tuple[list[str], list[str]]:
    """Return the processes that have to do with *folder*, and what is in it."""
    processes = [
        (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for process in Path("/proc").glob("[0-9]*")
        if _uses(process, str(folder))
    ]
    return processes, [file.name for file in folder.iterdir()]


def _uses(process: Path, folder: str) -> bool:
    try:
        if folder in (process / "cmdline").read_bytes().decode(errors="replace"):
            return True
        return any(folder in str(file.readlink()) for file in (process / "fd").iterdir())
    except OSError:  # it ended meanwhile, or is somebody else's
        return False
