"""Workers: found among the children of a master, here of the test, and what their age proves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx.workers import (
    Worker,
    has_loaded,
    is_settled,
    lingering_workers,
    renewed,
    serving_workers,
    started_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = "nginx: worker process"
HELPERS = [
    "cache manager process",
    "cache loader process",
    "privileged agent process",
    "master process nginx",
]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
A, B, C, D = (Worker(pid, started) for pid, started in [(1, 1000), (2, 1001), (3, 2000), (4, 2001)])


@contextmanager
def child(title: str) -> Iterator[int]:
    """Run a process with just this title."""
    with subprocess.Popen([title], executable="/bin/cat", stdin=subprocess.PIPE) as process:
        try:
            while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
                pass  # for an instant after its start a process has no title
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("before", "after", "since", "proved"),
    [
        pytest.param({A, B}, {C, D}, 1500, True, id="all are new"),
        pytest.param({A, B}, {C}, 2000, True, id="fewer, in the same tick"),
        pytest.param({A}, {C, D}, 1500, True, id="more"),
        pytest.param(set(), {C, D}, 1500, True, id="none before"),
        pytest.param({A, B}, set(), 1500, False, id="none serves"),
        pytest.param({A, B}, {A, B}, 1500, False, id="refused"),
        pytest.param({A, B}, {A, B, C, D}, 1500, False, id="both, for 100 ms"),
        pytest.param({A, B}, {B, C, D}, 1500, False, id="one has not gone yet"),
        pytest.param({A, B}, {B, C}, 1500, False, id="one has crashed"),
        pytest.param({A, B}, {C, D}, 2001, False, id="of a reload before the files were installed"),
        pytest.param({Worker(3, 1000)}, {C}, 1500, True, id="a pid that was used again"),
    ],
)
def test_renewed(before: set[Worker], after: set[Worker], since: int, *, proved: bool) -> None:
    assert renewed(before, after, since) is proved


@pytest.mark.parametrize(
    ("started", "workers", "since", "loaded"),
    [
        pytest.param(1000, {A}, 999, True, id="started since then"),
        pytest.param(1000, {A}, 1000, False, id="started in the same tick"),
        pytest.param(1000, set(), 999, False, id="without workers yet"),
        pytest.param(None, {A}, 999, False, id="just ended"),
        pytest.param(500, {C, D}, 1500, True, id="reloaded by somebody"),
        pytest.param(500, {C, D}, 2000 - TICKS_PER_S, False, id="reloaded while they were installed"),
        pytest.param(500, {C}, 1500, False, id="a lone worker, which may have crashed"),
        pytest.param(500, {A, C}, 800, False, id="one after the other, which may have crashed"),
    ],
)
def test_has_loaded(started: int | None, workers: set[Worker], since: int, *, loaded: bool) -> None:
    assert has_loaded(started, workers, since) is loaded


def test_who_serves() -> None:
    """No helper, none that is just starting, none that is shutting down."""
    master = os.getpid()
    assert serving_workers(master) == frozenset()
    with ExitStack() as stack:
        for title in HELPERS:
            stack.enter_context(child(f"nginx: {title}"))
        old = stack.enter_context(child(f"{WORKER} is shutting down"))
        pids = {stack.enter_context(child(WORKER)) for _ in range(2)}
        found = serving_workers(master)
        assert {worker.pid for worker in found} == pids
        now = time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S
        assert all(now - 10 * TICKS_PER_S < worker.started <= now for worker in found)
        lingering = lingering_workers(master)
        assert lingering.count == 1
        assert lingering.memory > 0
        assert old not in pids
    assert serving_workers(master) == frozenset()


def test_who_has_ended_has_no_start() -> None:
    with child(WORKER) as pid:
        assert started_at(pid)
    assert started_at(pid) is None
    assert serving_workers(pid) == frozenset()


def test_brackets_in_a_program_s_name_do_not_hide_its_start(tmp_path: Path) -> None:
    """The name stands before the start, and may have any character."""
    program = tmp_path / "a) 1 2 (b"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        now = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)
        assert started_at(process.pid) in range(now - 10 * TICKS_PER_S, now + 1)
        process.kill()


def test_a_master_that_lets_signals_in_is_settled() -> None:
    """One that blocks them is handling one."""
    with child("nginx: master process") as pid:
        assert is_settled(pid)
    assert is_settled(pid), "nor does one reload that has ended"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        with child("nginx: master process") as pid:
            assert not is_settled(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
