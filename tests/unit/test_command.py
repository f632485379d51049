"""Commands as real child processes: output, exit codes, and that none outlives its time."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from proxyconf.command import Completed, Running, run_command
from proxyconf.errors import CommandError


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


async def wait_until_gone(pid: int) -> None:
    """Wait until no process has this pid, or it waits for nothing but to be collected."""
    async with asyncio.timeout(5):
        while not is_gone(pid):  # noqa: ASYNC110 - another process ends it
            await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


@pytest.mark.parametrize(
    ("script", "completed"),
    [
        pytest.param("echo a; echo b >&2", Completed(0, "a\nb\n"), id="both streams, in order"),
        pytest.param("exit 3", Completed(3, ""), id="exit code"),
        pytest.param("kill -TERM $$", Completed(-15, ""), id="ended by a signal"),
        pytest.param("printf '\\377'", Completed(0, "\N{REPLACEMENT CHARACTER}"), id="no UTF-8"),
        pytest.param("cat", Completed(0, ""), id="no standard input"),
    ],
)
async def test_how_a_command_ended(script: str, completed: Completed) -> None:
    assert await run_command(shell(script), timeout_s=20) == completed


async def test_its_end_is_awaited_not_looked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """By naps of 1, 2, 4, 8 ms a check of 8 ms was seen to have ended after 15."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    assert await run_command(shell("sleep 0.1"), timeout_s=20) == Completed(0, "")
    assert naps == []


def forbidden(pid: int) -> int:
    raise PermissionError(errno.EPERM, f"pidfd_open {pid}")


async def test_without_the_right_to_await_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 5.3, and some sandboxes, have no pidfd_open."""
    monkeypatch.setattr(os, "pidfd_open", forbidden)
    assert await run_command(shell("sleep 0.01; exit 3"), timeout_s=20) == Completed(3, "")
    with pytest.raises(CommandError, match="not done after 0\\.1 s"):
        await run_command(shell("sleep 300"), timeout_s=0.1)


async def test_it_has_a_process_group_of_its_own() -> None:
    """A Ctrl-C in our terminal is not for it."""
    done = await run_command(shell("cut -d' ' -f5 /proc/$$/stat"), timeout_s=20)
    assert int(done.output) != os.getpgrp()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("missing", "No such file or directory", id="missing"),
        pytest.param("text", "Permission denied", id="no program"),
        pytest.param(".", "Permission denied", id="a folder"),
    ],
)
async def test_a_command_that_can_not_be_started(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "text").write_text("text")
    program = str(tmp_path / name)
    with pytest.raises(CommandError) as caught:
        await run_command([program, "-t"], timeout_s=20)
    assert str(caught.value) == f"run {program}: {reason} (is it installed, and may we run it?)"


async def test_too_slow_it_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! >> {pids}; echo $$ >> {pids}; sleep 301"
    start = time.monotonic()
    with pytest.raises(CommandError, match=r"run /bin/sh -c sleep.* not done after 0\.3 s, so it was killed"):
        await run_command(shell(script), timeout_s=0.3)
    assert time.monotonic() - start < 10
    for pid in pids.read_text().split():
        await wait_until_gone(int(pid))


@pytest.mark.parametrize("streams", ["", ">/dev/null 2>&1"], ids=["output kept open", "output let go of"])
async def test_a_child_that_goes_on_is_left_alone(tmp_path: Path, streams: str) -> None:
    """And is not waited for: ``service nginx start``."""
    pid = tmp_path / "pid"
    done = await run_command(shell(f"sleep 300 {streams} & echo $! > {pid}"), timeout_s=20)
    try:
        assert done == Completed(0, "")
        assert not is_gone(int(pid.read_text()))
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), 9)


async def test_it_can_be_cut_short(tmp_path: Path) -> None:
    """With its children; what is started later ends at once."""
    pid, running = tmp_path / "pid", Running()
    task = asyncio.create_task(
        run_command(shell(f"sleep 300 & echo $! > {pid}; wait"), timeout_s=20, running=running)
    )
    async with asyncio.timeout(5):
        while not pid.exists() or not pid.read_text():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    running.end()
    assert (await task).code == -9
    await wait_until_gone(int(pid.read_text()))
    assert (await run_command(shell("sleep 300"), timeout_s=20, running=running)).code == -9


async def test_long_output_loses_its_middle() -> None:
    lines = "i=0; while [ $i -lt 9000 ]; do echo 0123456789; i=$((i+1)); done"
    done = await run_command(shell(f"echo first; {lines}; echo last"), timeout_s=20)
    assert done.output.startswith("first\n0123456789")
    assert done.output.endswith("6789\nlast\n")
    assert "\n[...]\n" in done.output
    assert len(done.output) == (64 << 10) + len("\n[...]\n")


async def test_output_that_just_fits_is_whole() -> None:
    done = await run_command(shell(f"printf '%{64 << 10}s' x"), timeout_s=20)
    assert len(done.output) == 64 << 10


async def test_a_caller_that_is_cancelled_leaves_it_to_its_end(tmp_path: Path) -> None:
    done = tmp_path / "done"
    task = asyncio.create_task(run_command(shell(f"sleep 0.2; touch {done}"), timeout_s=20))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while not done.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)


async def test_commands_that_hang_keep_no_file_waiting() -> None:
    """The threads that read and write are others than those that wait for commands."""
    running = Running()
    hung = [
        asyncio.create_task(run_command(shell("sleep 60"), timeout_s=60, running=running)) for _ in range(40)
    ]
    async with asyncio.timeout(20):
        for _ in range(100):
            await asyncio.to_thread(os.getpid)
    running.end()
    assert {done.code for done in await asyncio.gather(*hung)} == {-9}
