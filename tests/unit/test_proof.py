"""The prober against small servers: what counts as an answer, and that none can hold it up."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx.proof import Prober
from proxyconf.units import ListenAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "0123456789abcdef.proxyconf.invalid"
HEAD = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\n\r\n"


class Server:
    """Answers each connection with the given bytes, in pieces; notes what it was asked."""

    def __init__(self, *pieces: bytes, hangs: bool = False) -> None:
        self.asked: list[bytes] = []
        self.port = 0
        self._pieces = pieces
        self._hangs = hangs
        self._open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        with suppress(ConnectionError):
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
            if self._hangs:
                await reader.read()
        writer.close()

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1") -> AsyncIterator[Server]:
        async with await asyncio.start_server(self.serve, host, 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
        for writer in self._open:
            with suppress(ConnectionError):
                await writer.wait_closed()


def prober(listen: str, timeout_s: float = 10.0) -> Prober:
    return Prober(ListenAddress.parse(listen), NAME, timeout_s=timeout_s)


async def ask(server: Server, timeout_s: float = 10.0) -> str | None:
    async with server.running():
        return await prober(f"127.0.0.1:{server.port}", timeout_s).ask()


@pytest.mark.parametrize(
    ("pieces", "nonce"),
    [
        pytest.param([HEAD + b"abc-1"], "abc-1", id="a nonce"),
        pytest.param([HEAD[:9], HEAD[9:40], HEAD[40:] + b"abc", b"-1"], "abc-1", id="in pieces"),
        pytest.param([HEAD.replace(b"1.1", b"1.0") + b"abc-1\n"], "abc-1", id="HTTP/1.0"),
        pytest.param([HEAD], "", id="an empty one"),
        pytest.param([HEAD.replace(b"200 OK", b"404 Not Found") + b"abc-1"], "", id="404"),
        pytest.param([HEAD.replace(b"200 OK", b"503 Busy") + b"abc-1"], "", id="503"),
        pytest.param([b"SSH-2.0-OpenSSH\r\n\r\nabc-1"], "", id="another protocol"),
        pytest.param([], None, id="hung up"),
        pytest.param([HEAD + b"\xff\xfe"], "\N{REPLACEMENT CHARACTER}" * 2, id="no text"),
    ],
)
async def test_what_counts_as_an_answer(pieces: list[bytes], nonce: str | None) -> None:
    assert await ask(Server(*pieces)) == nonce


async def test_it_asks_for_the_name_that_only_we_know() -> None:
    server = Server(HEAD)
    await ask(server)
    assert server.asked == [f"GET / HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode()]


async def test_every_question_is_a_connection_of_its_own() -> None:
    """An old worker keeps those that it has."""
    server = Server(HEAD + b"1")
    async with server.running():
        one = prober(f"127.0.0.1:{server.port}")
        assert [await one.ask(), await one.ask()] == ["1", "1"]
    assert len(server.asked) == 2


async def test_an_answer_without_an_end_is_cut() -> None:
    answer = await ask(Server(HEAD, *[b"x" * 1000] * 20, hangs=True))
    assert answer is not None
    assert set(answer) == {"x"}
    assert len(answer) < 10_000


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(Server(hangs=True), id="nothing"),
        pytest.param(Server(HEAD + b"abc", hangs=True), id="half an answer"),
    ],
)
async def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    start = time.monotonic()
    assert await ask(server, timeout_s=0.05) is None
    assert time.monotonic() - start < 5


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await prober(f"127.0.0.1:{unused.getsockname()[1]}").ask() == ""


async def test_a_reset_is_no_answer() -> None:
    class Rude(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()  # what is left unread makes it a reset
            writer.transport.abort()

    assert await ask(Rude()) is None


@pytest.mark.parametrize("listen", [":{}", "0.0.0.0:{}"])
async def test_every_address_is_reached_through_the_loopback(listen: str) -> None:
    """But not by 127.0.0.1, which somebody else may listen on besides."""
    async with Server(HEAD + b"1").running("0.0.0.0") as server:
        assert await prober(listen.format(server.port)).ask() == "1"
    async with Server(HEAD + b"2").running("127.0.0.1") as server:
        assert await prober(listen.format(server.port)).ask() == ""


@pytest.mark.parametrize("listen", ["[::]:{}", "[::1]:{}"])
async def test_so_it_is_with_ipv6(listen: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    async with Server(HEAD + b"1").running("::1") as server:
        assert await prober(listen.format(server.port)).ask() == "1"
