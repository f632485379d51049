"""The first process of a PID namespace: what it passes on, what it collects, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.init import step_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# what comes behind the first line is the program, which is not the first process any more
PROGRAM = """
import os, signal, subprocess, sys, time
from proxyconf.init import step_aside
step_aside((signal.SIGUSR1,))
told = []
def say(number, frame):
    told.append(number)
    print(signal.Signals(number).name, flush=True)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, say)
"""


@contextmanager
def first_process(script: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script behind `PROGRAM` in a namespace, which is gone behind the block."""
    with subprocess.Popen(
        [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            sys.executable,
            "-c",
            PROGRAM + script,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_elsewhere_it_does_nothing() -> None:
    pid, mask = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    step_aside()
    assert (os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == (pid, mask)


@pytest.mark.needs("root", "unshare")
@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param("sys.exit(3)", 3, id="exit code"),
        pytest.param("sys.exit(0)", 0, id="in order"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", 137, id="killed"),
    ],
)
def test_it_ends_as_the_program_does(end: str, code: int) -> None:
    """And takes along what is left."""
    with first_process(f"subprocess.Popen(['sleep', '300'])\nassert os.getppid() == 1\n{end}") as process:
        assert process.wait(20) == code


def test_what_the_first_process_does_can_be_done_by_any() -> None:
    """It passes a signal on to its child, whose end is its own; others are collected."""
    script = """
import signal, subprocess, sys
from proxyconf.init import attend
numbers = {signal.SIGTERM, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
def start(script):
    return subprocess.Popen(["env", "--default-signal", "sh", "-c", script], preexec_fn=lambda:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)).pid
start("exit 1")
sys.exit(attend(start("trap 'kill $!; exit 4' TERM; sleep 0.1; sleep 9 & kill -TERM $PPID; wait"), numbers))
"""
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT, timeout=20, check=False).returncode == 4


@pytest.mark.needs("root", "unshare")
def test_signals_are_passed_on() -> None:
    """Also those that PID 1 is not sent without a handler."""
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    script = "print('ready', flush=True)\nwhile len(told) < 5:\n    time.sleep(0.01)"
    with first_process(script) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for number in numbers:
            os.kill(int(children.read_text()), number)
            assert process.stdout.readline() == f"{number.name}\n"
        assert process.wait(20) == 0


@pytest.mark.needs("root", "unshare")
def test_orphans_are_collected_and_exit_codes_are_not() -> None:
    """Of two hundred commands, each of which leaves one behind."""
    script = """
codes = [subprocess.run(["sh", "-c", "sleep 0.01 & exit 7"]).returncode for _ in range(200)]
left = ["?"]
while left:
    time.sleep(0.05)
    left = subprocess.run(["ps", "-e", "-o", "stat=,comm="], capture_output=True, text=True).stdout.split()
    left = [word for word in left if word in ("sleep", "Z")]
print(set(codes))
"""
    with first_process(script) as process:
        assert process.communicate(timeout=60)[0] == "{7}\n"
        assert process.returncode == 0
