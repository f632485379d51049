"""Status over a real unix socket: who may ask, what is answered, and what is said when nobody answers."""

# ruff: noqa: ASYNC240 - one small file

from __future__ import annotations

import asyncio
import os
import socket
import stat
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxyconf import __version__
from proxyconf.board import AppliedState, Board, NginxState, Pass
from proxyconf.errors import StateError
from proxyconf.model import Change, Endpoint, Problem, Route, Snapshot
from proxyconf.status import ask_confirm, ask_status, serving
from tests.unit.fakes import listing

if TYPE_CHECKING:
    from pathlib import Path


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


def nothing() -> tuple[str, ...]:
    return ()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


async def request(path: Path, method: str, what: str) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.request(method, f"http://proxyconf{what}") as answer,
    ):
        return answer.status


async def test_everything_comes_through(path: Path) -> None:
    shown = board()
    async with serving(path, shown, nothing):
        status = await ask_status(path)
    assert status == shown.status()
    assert (status.version, status.pid) == (__version__, os.getpid())


async def test_the_answer_is_of_the_moment(path: Path) -> None:
    shown = board()
    async with serving(path, shown, nothing):
        assert (await ask_status(path)).state == "applied"
        shown.waiting("for etcd")
        assert (await ask_status(path)).state == "waiting"


async def test_only_we_may_ask(path: Path) -> None:
    """Whatever the umask."""
    before = os.umask(0)
    try:
        async with serving(path, board(), nothing):
            found = path.stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(found)
    assert stat.S_IMODE(found) == 0o600


async def test_the_socket_goes_with_the_program(path: Path) -> None:
    async with serving(path, board(), nothing):
        pass
    assert not path.exists()


async def test_the_socket_goes_with_a_program_that_fails(path: Path) -> None:
    with pytest.raises(KeyError):
        await fail_while_serving(path)
    assert not path.exists()


async def fail_while_serving(path: Path) -> None:
    async with serving(path, board(), nothing):
        raise KeyError


async def test_the_socket_of_a_killed_one_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(path, board(), nothing):
        assert (await ask_status(path)).state == "applied"


async def test_confirm_returns_whose_listings_count_now(path: Path) -> None:
    held = ["etcd", "docker"]

    def confirm() -> tuple[str, ...]:
        found = tuple(held)
        held.clear()
        return found

    async with serving(path, board(), confirm):
        assert await ask_confirm(path) == ("etcd", "docker")
        assert await ask_confirm(path) == ()


@pytest.mark.parametrize(
    ("method", "what", "code"),
    [
        pytest.param("GET", "/api/v1/confirm", 405, id="confirm by GET"),
        pytest.param("POST", "/api/v1/status", 405, id="status by POST"),
        pytest.param("GET", "/", 404, id="something else"),
    ],
)
async def test_what_is_not_answered(path: Path, method: str, what: str, code: int) -> None:
    async with serving(path, board(), nothing):
        assert await request(path, method, what) == code


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
