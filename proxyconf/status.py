"""What the running program answers over HTTP on its unix socket, and how to ask it."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from proxyconf.board import Status
from proxyconf.errors import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from proxyconf.board import Board

_TIMEOUT_S = 5.0

T = TypeVar("T")


class Confirmed(msgspec.Struct, frozen=True):
    """The answer to ``POST /api/v1/confirm``: the sources whose held listing counts now."""

    sources: tuple[str, ...]


@asynccontextmanager
async def serving(path: Path, board: Board, confirm: Callable[[], tuple[str, ...]]) -> AsyncIterator[None]:
    """Answer on the unix socket *path*, which only we and root may use, while the block runs.

    Raises:
        StateError: The socket can't be made.
    """

    async def status(_: web.Request) -> web.Response:
        return _json(board.status())

    async def confirmed(_: web.Request) -> web.Response:
        return _json(Confirmed(confirm()))

    app = web.Application()
    app.router.add_get("/api/v1/status", status)
    app.router.add_post("/api/v1/confirm", confirmed)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, _bind(path)).start()
        yield
    finally:
        await runner.cleanup()
        _remove(path)


def _json(value: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _bind(path: Path) -> socket.socket:
    """Return a listening-to-be socket; the lock on the state folder says that nobody else uses *path*."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove(path)
        os.fchmod(sock.fileno(), 0o600)  # before it has a name, so that there is no moment of openness
        sock.bind(str(path))
    except OSError as exc:
        sock.close()
        raise StateError(f"listen on {path}: {exc} (set [status] socket to a path that we may make)") from exc
    return sock


def _remove(path: Path) -> None:
    if path.is_socket():  # a file of another kind is somebody's: to bind will fail
        with suppress(FileNotFoundError):
            path.unlink()


async def ask_status(path: Path) -> Status:
    """Ask the program that runs for its state.

    Raises:
        StateError: It does not answer.
    """
    return await _ask(path, "GET", "status", Status)


async def ask_confirm(path: Path) -> tuple[str, ...]:
    """Tell the program that runs to believe the listings that it holds; return the sources.

    Raises:
        StateError: It does not answer.
    """
    return (await _ask(path, "POST", "confirm", Confirmed)).sources


async def _ask(path: Path, method: str, what: str, into: type[T]) -> T:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), timeout=timeout) as session,
            session.request(method, f"http://proxyconf/api/v1/{what}", raise_for_status=True) as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=into)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as exc:
        # what aiohttp makes of an OSError speaks of TLS
        system = exc.strerror if isinstance(exc, OSError) else None
        reason = system or str(exc) or "no answer in time"
        raise StateError(
            f"ask {path}: {reason.lower()} (does proxyconf run with this state folder, and are you its user"
            " or root?)"
        ) from exc
