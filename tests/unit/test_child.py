"""nginx as a child, played by shell scripts: started, started again, drained, and what a crash leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxyconf.child import Child
from proxyconf.errors import CommandError, Shutdown
from proxyconf.tables import Exec
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
    from pathlib import Path

    from proxyconf.api import ChildState

    Logs = list[MutableMapping[str, object]]

STAYS = "while :; do sleep 0.02; done"
DRAINS = f"trap 'exit 0' QUIT; {STAYS}"


class Shown:
    """A child whose script says, in files, what became of it."""

    def __init__(self, folder: Path, script: str, settings: Exec) -> None:
        self.folder = folder
        self.ready = asyncio.Event()
        self.ready.set()
        self.told: list[ChildState] = []
        self.master: int | None = None
        self.program = folder / "nginx"
        self.program.write_text(f"#!/bin/sh\necho $$ >> {folder}/pids\n{script}\n")
        self.program.chmod(0o755)
        argv = [str(self.program), "-g", "daemon off;"]
        self.child = Child(argv, settings, ready=self._ready, master=self._master, note=self.told.append)

    async def _ready(self) -> None:
        await self.ready.wait()

    async def _master(self) -> int | None:
        return self.master

    @property
    def states(self) -> list[str]:
        return [one.state for one in self.told]

    @property
    def pids(self) -> list[int]:
        path = self.folder / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.01)

    async def until_started(self, times: int = 1) -> int:
        """Wait until the script runs for the *times*-th time, its traps set; return its pid."""
        await self.until(lambda: len(self.pids) >= times)
        await asyncio.sleep(0.05)
        return self.pids[-1]


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as found:
        yield found


@asynccontextmanager
async def running(
    folder: Path, script: str, settings: Exec | None = None, *, master: int | None = None
) -> AsyncIterator[tuple[Shown, asyncio.Task[None]]]:
    """Run it; nothing is left of it afterwards."""
    shown = Shown(folder, script, settings or Exec())
    shown.master = master
    task = asyncio.create_task(shown.child.run())
    try:
        yield shown, task
    finally:
        shown.master = None
        task.cancel()
        with suppress(asyncio.CancelledError, Shutdown):
            await task
        if process := shown.child._process:
            process.kill()
            process.wait()


def is_there(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


async def test_it_waits_for_the_first_configuration_and_is_drained(tmp_path: Path, logs: Logs) -> None:
    async with running(tmp_path, DRAINS) as (shown, task):
        shown.ready.clear()
        await asyncio.sleep(0.1)
        assert (shown.states, shown.pids) == (["waiting"], [])
        shown.ready.set()
        pid = await shown.until_started()
        await shown.child.stop()
        await task
    assert shown.states == ["waiting", "running", "stopping"]
    assert shown.told[1].pid == shown.told[2].pid == pid
    assert shown.told[1].command == f"{shown.program} -g 'daemon off;'"
    assert [line["event"] for line in logs] == ["nginx.started", "nginx.stopped"]
    assert shown.child.exit_code == 0


async def test_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C in our terminal must not cut requests short."""
    async with running(tmp_path, DRAINS) as (shown, _):
        pid = await shown.until_started()
        assert os.getsid(pid) == os.getpgid(pid) == pid


async def test_told_to_end_before_it_was_started(tmp_path: Path) -> None:
    async with running(tmp_path, DRAINS) as (shown, _):
        shown.ready.clear()
        await shown.child.stop()
        assert (shown.states, shown.pids) == (["waiting"], [])


@pytest.mark.parametrize(
    ("script", "at_least_s"),
    [
        pytest.param(f"trap '' QUIT; {STAYS}", 0.2, id="by SIGTERM"),
        pytest.param(f"trap '' QUIT TERM; {STAYS}", 1.2, id="by SIGKILL"),
    ],
)
async def test_one_that_does_not_finish_is_ended(
    tmp_path: Path, script: str, at_least_s: float, logs: Logs
) -> None:
    async with running(tmp_path, script, Exec(stop_timeout=Seconds(0.2))) as (shown, task):
        pid = await shown.until_started()
        started = time.monotonic()
        await shown.child.stop()
        assert at_least_s <= time.monotonic() - started < 10
        await task
        assert not is_there(pid)
    assert [line["event"] for line in logs] == ["nginx.started", "nginx.cut_short", "nginx.stopped"]


async def test_it_is_started_again_later_and_later(tmp_path: Path, logs: Logs) -> None:
    async with running(tmp_path, "exit 3") as (shown, _):
        await shown.until_started(3)
        gone = [one for one in shown.told if one.state == "down"]
        assert [one.restarts for one in gone[:2]] == [1, 2]
        assert gone[0].reason == (
            "ended with exit code 3 after 0 s (why, it said on standard error, or in its log);"
            " it is started again after 0.1 s"
        )
        assert gone[1].reason.endswith("after 1 s")
        assert [one.pid for one in gone[:2]] == [0, 0]
        await shown.until(lambda: shown.states[-1] == "down")
        await shown.child.stop()
        assert shown.states[-1] == "down"
    assert [line["log_level"] for line in logs if line["event"] == "nginx.ended"][:2] == ["error"] * 2


@pytest.mark.parametrize(
    ("script", "code", "why"),
    [
        pytest.param("exit 3", 3, "ended with exit code 3", id="exit code"),
        pytest.param("exit 0", 0, "ended in order after 0 s (if it went to the background", id="in order"),
        pytest.param("kill -KILL $$", 137, "was killed by SIGKILL", id="killed"),
    ],
)
async def test_we_end_with_it(tmp_path: Path, script: str, code: int, why: str, logs: Logs) -> None:
    async with running(tmp_path, script, Exec(on_exit="end")) as (shown, task):
        with pytest.raises(Shutdown):
            await task
    assert shown.child.exit_code == code
    assert why in str(logs[-1]["reason"])
    assert "so proxyconf ends, too" in str(logs[-1]["reason"])


async def test_what_a_crash_leaves_is_ended(tmp_path: Path) -> None:
    """Workers of a master that is gone hold the addresses of the next one."""
    script = f"env --default-signal=QUIT sleep 300 & echo $! > {tmp_path}/worker; {STAYS}"
    async with running(tmp_path, script) as (shown, _):
        pid = await shown.until_started()
        worker = int((tmp_path / "worker").read_text())
        os.kill(pid, signal.SIGKILL)
        await shown.until_started(2)
        await shown.until(lambda: not is_there(worker))
        assert is_there(shown.pids[-1])
    os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)


async def test_what_one_that_ends_in_order_leaves_is_its_own_affair(tmp_path: Path) -> None:
    """An nginx that goes to the background is not shot, but found."""
    script = f"sleep 300 & echo $! > {tmp_path}/worker; exit 0"
    async with running(tmp_path, script) as (shown, _):
        await shown.until(lambda: "down" in shown.states)
        worker = shown.master = int((tmp_path / "worker").read_text())
        await shown.until(lambda: shown.states[-1] == "adopted")
        assert is_there(worker)
        os.kill(worker, signal.SIGKILL)
        assert len(shown.pids) == 1


async def test_one_that_runs_already_is_not_started_twice(tmp_path: Path, logs: Logs) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:  # noqa: ASYNC220 - takes 3 ms
        async with running(tmp_path, DRAINS, master=other.pid) as (shown, _):
            await shown.until(lambda: shown.states[-1] == "adopted")
            assert (shown.told[-1].pid, shown.pids) == (other.pid, [])
            await shown.child.stop()
            assert other.poll() is None
            assert logs[-1]["event"] == "nginx.left_running"
            shown.child.reopen()
            assert other.wait() == -signal.SIGUSR1
            shown.child.reopen()  # to nobody


async def test_one_that_was_there_before_is_followed_by_ours(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:  # noqa: ASYNC220 - takes 3 ms
        async with running(tmp_path, DRAINS, master=other.pid) as (shown, _):
            await shown.until(lambda: shown.states[-1] == "adopted")
            other.kill()
            shown.master = None
            await shown.until_started()
            down = next(one for one in shown.told if one.state == "down")
            assert f"pid {other.pid}, which we did not start, has ended" in down.reason


async def test_logs_are_opened_anew(tmp_path: Path) -> None:
    async with running(tmp_path, f"trap 'echo yes > {tmp_path}/reopened' USR1; {STAYS}") as (shown, _):
        shown.child.reopen()  # before it is there
        await shown.until_started()
        shown.child.reopen()
        await shown.until((tmp_path / "reopened").exists)


async def test_a_program_that_is_missing(tmp_path: Path) -> None:
    """At first it is a mistake; later it may be back soon."""
    async with running(tmp_path, DRAINS) as (shown, _):
        shown.ready.clear()
        shown.program.unlink()
        shown.ready.set()
        await shown.until(lambda: shown.told[-1].state == "down")
        assert shown.told[-1].reason.startswith("can't be started: No such file or directory; it is started")

    async def none() -> None:
        raise AssertionError

    with pytest.raises(CommandError, match=r"run /none: no such program \(is it installed"):
        Child(["/none"], Exec(), ready=none, master=none, note=shown.told.append)


def test_a_crash_of_ours_leaves_it_running(tmp_path: Path) -> None:
    """The loop is gone when it ends, and nobody minds."""

    async def crash() -> subprocess.Popen[bytes]:
        shown = Shown(tmp_path, DRAINS, Exec())
        task = asyncio.create_task(shown.child.run())
        await shown.until_started()
        task.cancel()
        await asyncio.wait([task])
        process = shown.child._process
        assert process
        return process

    process = asyncio.run(crash())
    waiting = [thread for thread in threading.enumerate() if thread.name == "nginx"]
    assert process.poll() is None
    process.kill()
    for thread in waiting:
        thread.join(10)
    process.wait()
