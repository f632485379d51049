"""What systemd is told, over a socket like its own; in virtual time where a watchdog waits."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from proxyconf import app
from proxyconf.api import AppliedState, NginxState, Pass, Pause, SourceState, Status, TemplateState
from proxyconf.board import Board
from proxyconf.model import Problem
from proxyconf.notify import Herald, Notifier, in_short, is_ready
from proxyconf.progress import Progress
from tests.unit.installed import Installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PROVED = AppliedState(digest="d", at=0.0)


class Listener:
    """The manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address)

    def heard(self) -> list[list[str]]:
        """Return the lines of every message since the last time."""
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096).decode().splitlines())
        return found


@contextmanager
def listening(address: str) -> Iterator[Listener]:
    listener = Listener(address)
    try:
        yield listener
    finally:
        listener.socket.close()


def test_what_systemd_said_is_taken_away() -> None:
    """A command that we run must not take it for something that was said to it."""
    environment = {"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "HOME": "/"}
    notifier = Notifier.from_environment(environment, 7)
    assert (bool(notifier), notifier.watchdog_s, environment) == (True, 30.0, {"HOME": "/"})


@pytest.mark.parametrize(
    ("environment", "limit_s"),
    [
        pytest.param({}, 0.0, id="nobody"),
        pytest.param({"WATCHDOG_USEC": "500000"}, 0.5, id="whoever"),
        pytest.param({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, 0.0, id="somebody else"),
        pytest.param({"WATCHDOG_USEC": "soon"}, 0.0, id="no number"),
    ],
)
def test_the_watchdog(environment: dict[str, str], limit_s: float) -> None:
    notifier = Notifier.from_environment(environment, 7)
    assert (bool(notifier), notifier.watchdog_s) == (False, limit_s)
    assert not notifier.tell(ready=1)


def test_a_message(tmp_path: Path) -> None:
    with listening(f"{tmp_path}/s") as listener:
        assert Notifier(f"{tmp_path}/s").tell(ready=1, status="here")
        assert listener.heard() == [["READY=1", "STATUS=here"]]


def test_an_abstract_socket() -> None:
    name = f"proxyconf-test-{os.getpid()}"
    with listening(f"\0{name}") as listener:
        assert Notifier(f"@{name}").tell(ready=1)
        assert listener.heard() == [["READY=1"]]


def test_a_manager_that_is_gone(tmp_path: Path) -> None:
    assert not Notifier(f"{tmp_path}/s").tell(ready=1)


@asynccontextmanager
async def heralded(path: Path, board: Board, progress: Progress) -> AsyncIterator[tuple[Listener, Herald]]:
    """Let it speak, of a watchdog of 3 s, into a listener."""
    with listening(f"{path}/s") as listener:
        herald = Herald(Notifier(f"{path}/s", 3.0), board, progress)
        task = asyncio.create_task(herald.run())
        try:
            yield listener, herald
        finally:
            task.cancel()
            await asyncio.wait([task])


def make_board() -> Board:
    return Board(("etcd",), NginxState(mode="own", root="/n"))


def make_progress() -> Progress:
    return Progress(asyncio.get_running_loop().time)


def applied(*changed: str) -> Pass:
    return Pass(at=0.0, result="applied", changed=changed)


@pytest.mark.looptime
async def test_from_the_start_to_the_end(tmp_path: Path) -> None:
    """Ready at the first proof, and a sign of life each second from then on."""
    board = make_board()
    async with heralded(tmp_path, board, make_progress()) as (listener, herald):
        await asyncio.sleep(0.1)
        assert listener.heard() == [["STATUS=starting", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=4000000"]]
        board.waiting("for etcd")
        await asyncio.sleep(0.1)
        assert listener.heard() == [["STATUS=waits for etcd", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=4000000"]]
        board.passed(applied(), PROVED)
        await asyncio.sleep(0.1)
        assert listener.heard() == [["STATUS=nginx serves 0 routes", "READY=1", "WATCHDOG=1"]]
        await asyncio.sleep(2)
        assert listener.heard() == [["STATUS=nginx serves 0 routes", "WATCHDOG=1"]] * 2
        herald.stop()
        await asyncio.sleep(2)
        assert listener.heard() == [["STOPPING=1", "STATUS=stopping"]]


@pytest.mark.looptime
async def test_a_reconciler_that_hangs_gets_no_help(tmp_path: Path) -> None:
    """Neither the watchdog is fed, nor the start's limit put off; the line is still told."""
    time_s = 0.0
    board, progress = make_board(), Progress(lambda: time_s)
    progress.promise()
    time_s = 1000.0
    async with heralded(tmp_path, board, progress) as (listener, _):
        await asyncio.sleep(0.1)
        assert listener.heard() == [["STATUS=starting"]]
        board.passed(applied(), PROVED)
        await asyncio.sleep(1)
        assert listener.heard()[0] == ["STATUS=nginx serves 0 routes", "READY=1"]
        progress.promise()
        await asyncio.sleep(1)
        assert "WATCHDOG=1" in listener.heard()[-1]


@pytest.mark.looptime
async def test_ready_is_said_until_it_has_got_through(tmp_path: Path) -> None:
    board = make_board()
    board.passed(applied(), PROVED)
    herald = Herald(Notifier(f"{tmp_path}/s", 3.0), board, make_progress())
    task = asyncio.create_task(herald.run())
    await asyncio.sleep(1.5)
    with listening(f"{tmp_path}/s") as listener:
        await asyncio.sleep(1)
        assert "READY=1" in listener.heard()[0]
    task.cancel()
    await asyncio.wait([task])


async def test_a_reload(tmp_path: Path) -> None:
    """With the time, by which systemd tells an answer to its signal from an older one."""
    board = make_board()
    async with heralded(tmp_path, board, make_progress()) as (listener, herald):
        await herald.reload(asyncio.sleep(0))
        (first, *_) = [lines for lines in listener.heard() if "RELOADING=1" in lines]
        assert first[1].startswith("MONOTONIC_USEC=")
        board.passed(applied(), PROVED)
        await asyncio.sleep(0.01)
        assert "READY=1" in listener.heard()[-1]
        await herald.reload(asyncio.sleep(0))
        assert listener.heard()[-1] == ["READY=1", "STATUS=nginx serves 0 routes"]


async def test_the_program_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a start without nginx, over a hang-up, to the end."""
    installed = Installed(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/s")
    with listening(f"{tmp_path}/s") as listener:
        said: list[str] = []

        async def until(part: str) -> None:
            async with asyncio.timeout(30):
                while not any(part in line for line in said):
                    said.extend(line for lines in listener.heard() for line in lines)
                    await asyncio.sleep(0.01)

        task = asyncio.create_task(app.run(installed.settings(), read_again=installed.settings))
        await until("STATUS=1 route installed, but no nginx runs")
        assert "NOTIFY_SOCKET" not in os.environ
        os.kill(os.getpid(), signal.SIGHUP)
        await until("RELOADING=1")
        os.kill(os.getpid(), signal.SIGTERM)
        await until("STOPPING=1")
        await task
    assert "READY=1" not in said


@pytest.mark.looptime
async def test_nobody_is_told_nothing() -> None:
    board = make_board()
    await Herald(Notifier(), board, make_progress()).run()
    assert not board.moved.is_set()


def status(
    state: str,
    mode: str = "own",
    *,
    reason: str = "",
    templates: tuple[str, ...] = (),
    paused: bool = False,
) -> Status:
    found = [TemplateState(dest=f"/{number}", src="s", state=one) for number, one in enumerate(templates)]
    nginx = NginxState(mode=mode, root="/n", start="nginx -c /n/nginx.conf")
    pause = Pause(since=0.0) if paused else None
    return Status(nginx=nginx, state=state, reason=reason, templates=found, paused=pause)


@pytest.mark.parametrize(
    ("found", "ready"),
    [
        pytest.param(status("applied"), True, id="proved"),
        pytest.param(status("installed"), False, id="no nginx"),
        pytest.param(status("paused", paused=True), True, id="a person's word"),
        pytest.param(status("refused"), False, id="refused"),
        pytest.param(status("applied", templates=("refused",)), True, id="the site counts"),
        pytest.param(status("refused", "none", templates=("applied", "refused")), True, id="one bad"),
        pytest.param(status("starting", "none", templates=("applied", "starting")), False, id="one to come"),
        pytest.param(status("waiting", "none", templates=("starting",)), False, id="no keys yet"),
    ],
)
def test_ready(found: Status, ready: bool) -> None:  # noqa: FBT001
    assert is_ready(found) is ready


@pytest.mark.parametrize(
    ("found", "line"),
    [
        pytest.param(
            status("installed"),
            "0 routes installed, but no nginx runs: nginx -c /n/nginx.conf",
            id="no nginx",
        ),
        pytest.param(status("refused", reason="check x:\nbad"), "refused: check x: bad", id="refused"),
        pytest.param(status("failed", reason="x" * 999), f"failed: {'x' * 292}…", id="long"),
        pytest.param(
            status("refused", "none", templates=("refused", "applied", "applied")),
            "templates: 2 applied, 1 refused",
            id="templates",
        ),
        pytest.param(status("applied", "none"), "nothing to do: there is no template", id="none"),
    ],
)
def test_the_line(found: Status, line: str) -> None:
    assert in_short(found) == line


def test_the_line_names_what_is_wrong() -> None:
    found = status("applied")
    found.sources = [SourceState(name="etcd", state="lost", reason="refused"), SourceState(name="docker")]
    found.problems = [Problem("key", "/a", "bad")]
    assert in_short(found) == "nginx serves 0 routes; etcd lost: refused; 1 problem"
