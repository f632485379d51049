"""Status over a real unix socket: who may ask, what is answered, and what is said when nobody answers."""

# ruff: noqa: ASYNC240 - one small file

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxyconf import __version__, tables
from proxyconf.api import AppliedState, Health, NginxState, Pass, Pause
from proxyconf.board import Board
from proxyconf.errors import BadValueError, StateError, UsageError
from proxyconf.explain.answer import Explanation, Link
from proxyconf.model import Change, Endpoint, Listing, Problem, Route, Snapshot
from proxyconf.progress import Progress
from proxyconf.status import (
    ask_confirm,
    ask_explain,
    ask_health,
    ask_pause,
    ask_resume,
    ask_status,
    serving,
)
from proxyconf.units import ListenAddress
from tests.unit.calling import call
from tests.unit.fakes import listing

if TYPE_CHECKING:
    from pathlib import Path


HERE = "127.0.0.1"
SETTINGS = tables.Status()


def board() -> Board:
    """Return a board with something of everything."""
    made = Board(
        ["etcd", "docker"], NginxState(mode="own", root="/n/nginx.conf", version="1.22.1", start="x")
    )
    made.source_listed(Change(listing("10.0.0.1:80", revision=3)))
    made.source_lost("docker", "gone")
    made.snapshot_made(
        Snapshot((Route("a.test", "/", "web", "k", "etcd k", "etcd"),), {"web": (Endpoint("10.0.0.1:80"),)}),
        (Problem("route", "etcd b", "bad \N{SNOWMAN}"),),
    )
    made.passed(Pass(at=1.5, result="applied", changed=("+ a.test/",)), AppliedState(digest="d", at=2.5))
    return made


class Scripted:
    """Stands for what runs.

    Attributes:
        held: The sources whose listings are held.
        is_full: Nothing can be written.
    """

    def __init__(self) -> None:
        self.board = board()
        self.clock = 100.0
        self.progress = Progress(lambda: self.clock)
        self.held: tuple[str, ...] = ()
        self.is_full = False

    async def explain(self, question: str) -> Explanation:
        if not question.strip():
            raise BadValueError("explain '': it is no host")
        link = Link(what="seen", says="container web")
        return Explanation(question=question, is_served=True, verdict="served", chain=(link,))

    def confirm(self) -> tuple[str, ...]:
        found, self.held = self.held, ()
        return found

    async def pause(self, reason: str) -> Pause:
        if self.is_full:
            raise StateError("write paused: no room")
        pause = Pause(since=7.0, reason=reason)
        self.board.paused(pause)
        return pause

    async def resume(self) -> Pause | None:
        ended = self.board.status().paused
        self.board.paused(None)
        return ended


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


@pytest.fixture
def program() -> Scripted:
    return Scripted()


async def request(
    connector: aiohttp.BaseConnector, method: str, what: str, *, said: str = "", accept: str = ""
) -> tuple[int, str, str]:
    """Return status, content type and body of an answer."""
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(
            method, f"http://{HERE}{what}", data=said or None, headers={"Accept": accept or "*/*"}
        ) as answer,
    ):
        return answer.status, answer.content_type, await answer.text()


async def ask(path: Path, what: str, method: str = "GET", *, said: str = "") -> tuple[int, Any]:
    """Ask on the unix socket; return the status of the answer, and what its JSON says."""
    code, _, text = await request(aiohttp.UnixConnector(str(path)), method, what, said=said)
    return code, json.loads(text) if text.startswith("{") else text


async def test_a_question_is_answered(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        answer = await ask_explain(path, "a.test/x?y&z=%20 #")
        with pytest.raises(UsageError, match="explain '': it is no host"):
            await ask_explain(path, " ")
    assert answer.question == "a.test/x?y&z=%20 #"
    assert answer.chain == (Link(what="seen", says="container web"),)


async def test_everything_comes_through(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        status = await ask_status(path)
    assert status == program.board.status()
    assert (status.version, status.pid) == (__version__, os.getpid())


async def test_the_answer_is_of_the_moment(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        assert (await ask_status(path)).state == "applied"
        program.board.waiting("for etcd")
        assert (await ask_status(path)).state == "waiting"


async def test_only_we_may_ask(path: Path, program: Scripted) -> None:
    """Whatever the umask."""
    before = os.umask(0)
    try:
        async with serving(path, program, SETTINGS):
            found = path.stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(found)
    assert stat.S_IMODE(found) == 0o600


async def test_the_socket_goes_with_the_program(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        pass
    assert not path.exists()


async def test_the_socket_goes_with_a_program_that_fails(path: Path) -> None:
    with pytest.raises(KeyError):
        await fail_while_serving(path)
    assert not path.exists()


async def fail_while_serving(path: Path) -> None:
    async with serving(path, Scripted(), SETTINGS):
        raise KeyError


async def test_the_socket_of_a_killed_one_is_replaced(path: Path, program: Scripted) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(path, program, SETTINGS):
        assert (await ask_status(path)).state == "applied"


async def test_the_socket_of_one_that_runs_stays(path: Path, program: Scripted) -> None:
    """Two state folders may be told the same ``[status] socket``."""
    async with serving(path, program, SETTINGS):
        with pytest.raises(StateError, match=r"listen on .*: another program, maybe another proxyconf, answ"):
            await fail_while_serving(path)
        assert (await ask_status(path)).state == "applied"


async def test_a_socket_with_too_many_to_answer_stays(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(StateError, match="answers there"):
            await fail_while_serving(path)
    assert path.exists()


async def test_confirm_returns_whose_listings_count_now(path: Path, program: Scripted) -> None:
    program.held = ("etcd", "docker")
    async with serving(path, program, SETTINGS):
        assert await ask_confirm(path) == ("etcd", "docker")
        assert await ask_confirm(path) == ()


@pytest.mark.parametrize(
    ("method", "what", "code"),
    [
        pytest.param("HEAD", "/api/v1/status", 200, id="status by HEAD"),
        pytest.param("GET", "/api/v1/confirm", 405, id="confirm by GET"),
        pytest.param("GET", "/api/v1/pause", 405, id="pause by GET"),
        pytest.param("POST", "/api/v1/status", 405, id="status by POST"),
        pytest.param("GET", "/", 404, id="something else"),
    ],
)
async def test_which_methods_there_are(
    path: Path, program: Scripted, method: str, what: str, code: int
) -> None:
    async with serving(path, program, SETTINGS):
        assert (await ask(path, what, method))[0] == code


@pytest.mark.parametrize("part", ["routes", "problems", "history"])
async def test_parts_can_be_asked_for(path: Path, program: Scripted, part: str) -> None:
    async with serving(path, program, SETTINGS):
        whole = (await ask(path, "/api/v1/status"))[1]
        assert await ask(path, f"/api/v1/{part}") == (200, {part: whole[part]})
    assert whole[part]


async def test_pause_and_resume(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        assert await ask_resume(path) is None
        assert await ask_pause(path, "moving") == Pause(since=7.0, reason="moving")
        assert (await ask_status(path)).paused == Pause(since=7.0, reason="moving")
        assert await ask_resume(path) == Pause(since=7.0, reason="moving")
        assert (await ask_status(path)).paused is None


async def test_a_pause_that_can_not_be_noted(path: Path, program: Scripted) -> None:
    program.is_full = True
    async with serving(path, program, SETTINGS):
        with pytest.raises(StateError, match=r"^write paused: no room$"):
            await ask_pause(path, "")


@pytest.mark.parametrize(
    ("said", "code", "answer"),
    [
        pytest.param("", 200, {"since": 7.0, "reason": ""}, id="nothing"),
        pytest.param('{"reason": "x"}', 200, {"since": 7.0, "reason": "x"}, id="a reason"),
        pytest.param("because", 400, "pause: JSON is malformed", id="no JSON"),
        pytest.param('{"because": "x"}', 400, "pause: Object contains unknown field", id="another word"),
    ],
)
async def test_what_may_be_said_with_a_pause(
    path: Path, program: Scripted, said: str, code: int, answer: object
) -> None:
    async with serving(path, program, SETTINGS):
        found = await ask(path, "/api/v1/pause", "POST", said=said)
    assert found[0] == code
    assert found[1] == answer if code == 200 else found[1].startswith(answer)


async def test_it_is_alive_while_its_loop_moves_on(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        program.progress.promise()
        assert await ask(path, "/healthz") == (200, {"ok": True, "reasons": []})
        program.clock += 125
        reason = "no sign of life from the loop that applies changes, 5 s overdue"
        assert await ask(path, "/healthz") == (503, {"ok": False, "reasons": [reason]})
        assert await ask_health(path) == Health(ok=False, reasons=(reason,))


async def test_the_command_is_a_health_check(path: Path, program: Scripted) -> None:
    """By its exit code; it shows everything all the same."""
    async with serving(path, program, SETTINGS):
        program.board.waiting("for etcd")
        program.progress.promise()
        done = await asyncio.to_thread(call, "status", "--state", str(path.parent))
        assert (done.exit_code, done.stderr) == (0, "")
        program.clock += 125
        done = await asyncio.to_thread(call, "status", "--state", str(path.parent))
        assert (done.exit_code, done.stderr.partition(",")[0]) == (
            1,
            "error: no sign of life from the loop that applies changes",
        )
        assert "waiting: for etcd" in done.stdout


async def test_it_is_ready_while_all_is_applied(path: Path, program: Scripted) -> None:
    program.board.source_listed(Change(Listing("docker")))
    async with serving(path, program, SETTINGS):
        assert await ask(path, "/readyz") == (200, {"ok": True, "reasons": []})
        program.board.waiting("for etcd")
        assert await ask(path, "/readyz") == (503, {"ok": False, "reasons": ["waiting: for etcd"]})


async def test_metrics_in_both_formats(path: Path, program: Scripted) -> None:
    async with serving(path, program, SETTINGS):
        for accept in ("", "application/openmetrics-text; version=1.0.0"):
            code, kind, text = await request(
                aiohttp.UnixConnector(str(path)), "GET", "/metrics", accept=accept
            )
            assert (code, kind) == (200, accept.partition(";")[0] or "text/plain")
            assert "\nproxyconf_routes 1.0\n" in text


async def test_an_address_only_tells(path: Path, program: Scripted) -> None:
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    async with serving(path, program, tables.Status(address=ListenAddress(f"{HERE}:{port}"))):
        for what, code in (("/metrics", 200), ("/api/v1/status", 200), ("/healthz", 200)):
            answer = await request(aiohttp.TCPConnector(), "GET", f":{port}{what}")
            assert answer[0] == code
        for what in ("confirm", "pause", "resume"):
            answer = await request(aiohttp.TCPConnector(), "POST", f":{port}/api/v1/{what}")
            assert answer[0] == 404
    assert program.board.status().paused is None


async def test_an_address_that_is_taken(path: Path, program: Scripted) -> None:
    reason = r"listen on .*: address already in use \(set \[status\] address"
    with socket.create_server((HERE, 0)) as taken:
        settings = tables.Status(address=ListenAddress(f"{HERE}:{taken.getsockname()[1]}"))
        with pytest.raises(StateError, match=reason):
            await serving(path, program, settings).__aenter__()
    assert not path.exists()


async def test_nobody_there(path: Path) -> None:
    with pytest.raises(StateError, match=r"ask .*/status\.sock: no such file .*\(does proxyconf run"):
        await ask_status(path)


async def test_a_socket_that_nobody_serves(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(StateError, match="does proxyconf run"):
        await ask_confirm(path)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="not ours"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntext", id="no JSON"),
        pytest.param(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", id="an error"),
        pytest.param(b"SSH-2.0\r\n", id="no HTTP"),
        pytest.param(b"", id="hung up"),
    ],
)
async def test_somebody_else_there(path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(serve, path):
        with pytest.raises(StateError, match="does proxyconf run"):
            await ask_status(path)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("none/status.sock", id="no folder"),
        pytest.param("x" * 120, id="too long"),
        pytest.param("folder", id="a folder"),
        pytest.param("file", id="somebody's file"),
    ],
)
async def test_a_socket_that_can_not_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StateError, match=r"listen on .*\(set \[status\] socket to a path that we may make\)"):
        await fail_while_serving(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
