"""What the running program answers over HTTP, and how to ask it.

On its unix socket, which only we and root may use, it takes wishes, too; at an address, where one is set, it
only tells.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from proxyconf.api import (
    Because,
    Confirmed,
    Health,
    History,
    Pass,
    Pause,
    Problems,
    Resumed,
    Routes,
    Status,
)
from proxyconf.errors import BadValueError, ProxyconfError, StateError, UsageError
from proxyconf.explain.answer import Explanation
from proxyconf.health import liveness, readiness
from proxyconf.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from proxyconf import tables
    from proxyconf.board import Board
    from proxyconf.progress import Progress
    from proxyconf.units import ListenAddress

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TIMEOUT_S = 5.0
_PAUSE_TIMEOUT_S = 60.0  # what is under way is waited for
_SAY_TIMEOUT_S = 1.0

_REFUSALS: dict[int, type[ProxyconfError]] = {
    HTTPStatus.BAD_REQUEST: UsageError,
    HTTPStatus.INSUFFICIENT_STORAGE: StateError,
}

T = TypeVar("T")


class Program(Protocol):
    """What runs.

    Attributes:
        board: What happened and what is so.
        progress: Whether the loop that applies changes moves on.
    """

    board: Board
    progress: Progress

    async def explain(self, question: str) -> Explanation:
        """Say why a host, a container or a key is served, or is not.

        Raises:
            BadValueError: It is no question.
        """
        ...

    def confirm(self) -> tuple[str, ...]:
        """Believe the listings that are held; return their sources."""
        ...

    async def pause(self, reason: str) -> Pause:
        """Apply nothing from now on; returns when what was under way has ended."""
        ...

    async def resume(self) -> Pause | None:
        """Apply again; return the pause that has ended, if there was one."""
        ...


@asynccontextmanager
async def serving(path: Path, program: Program, settings: tables.Status) -> AsyncIterator[None]:
    """Answer on the unix socket *path*, and at an address that may be set, while the block runs.

    Raises:
        StateError: The socket can't be made, or is another program's, or the address not be listened on.
    """
    tells = _tells(program, settings)
    async with AsyncExitStack() as stack:
        sock = _bind(path)
        stack.callback(_remove, path)
        await web.SockSite(await _runner(stack, tells | _takes(program)), sock).start()
        if settings.address is not None:
            await _listen(await _runner(stack, tells), settings.address)
        yield


def _tells(program: Program, settings: tables.Status) -> dict[tuple[str, str], Handler]:
    """Return what is answered to everybody."""
    board, metrics = program.board, Metrics(program.board)

    async def healthz(_: web.Request) -> web.Response:
        return _probed(liveness(program.progress))

    async def readyz(_: web.Request) -> web.Response:
        stale_after_s = float(settings.stale_after)
        return _probed(readiness(board.status(), stale_after_s=stale_after_s, now=time.time()))

    async def scraped(request: web.Request) -> web.Response:
        text, content_type = metrics.text(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def status(_: web.Request) -> web.Response:
        return _json(board.status())

    async def routes(_: web.Request) -> web.Response:
        return _json(Routes(board.status().routes))

    async def problems(_: web.Request) -> web.Response:
        return _json(Problems(board.status().problems))

    async def history(_: web.Request) -> web.Response:
        return _json(History(board.status().history))

    async def explained(request: web.Request) -> web.Response:
        try:
            return _json(await program.explain(request.query.get("what", "")))
        except BadValueError as exc:
            raise web.HTTPBadRequest(text=f"{exc}\n") from exc

    return {
        ("GET", "/healthz"): healthz,
        ("GET", "/readyz"): readyz,
        ("GET", "/metrics"): scraped,
        ("GET", "/api/v1/status"): status,
        ("GET", "/api/v1/routes"): routes,
        ("GET", "/api/v1/problems"): problems,
        ("GET", "/api/v1/history"): history,
        ("GET", "/api/v1/explain"): explained,
    }


def _takes(program: Program) -> dict[tuple[str, str], Handler]:
    """Return what only we and root may ask for."""

    async def confirm(_: web.Request) -> web.Response:
        return _json(Confirmed(program.confirm()))

    async def pause(request: web.Request) -> web.Response:
        try:
            said = msgspec.json.decode(await request.read() or b"{}", type=Because)
        except msgspec.DecodeError as exc:
            raise web.HTTPBadRequest(text=f'pause: {exc} (send nothing, or {{"reason": "..."}})\n') from exc
        return _json(await program.pause(said.reason))

    async def resume(_: web.Request) -> web.Response:
        return _json(Resumed(await program.resume()))

    return {
        ("POST", "/api/v1/confirm"): confirm,
        ("POST", "/api/v1/pause"): pause,
        ("POST", "/api/v1/resume"): resume,
    }


async def _runner(stack: AsyncExitStack, handlers: dict[tuple[str, str], Handler]) -> web.AppRunner:
    app = web.Application(middlewares=[_say_what_is_full])
    for (method, path), handler in handlers.items():
        add = app.router.add_get if method == "GET" else app.router.add_post  # the former takes HEAD, too
        add(path, handler)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_SAY_TIMEOUT_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


@web.middleware
async def _say_what_is_full(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except StateError as exc:
        raise web.HTTPInsufficientStorage(text=f"{exc}\n") from exc


async def _listen(runner: web.AppRunner, address: ListenAddress) -> None:
    try:
        await web.TCPSite(runner, address.host or None, address.port).start()
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise StateError(
            f"listen on {address}: {reason.lower()} (set [status] address to a free one of this host)"
        ) from exc


def _json(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status)


def _probed(health: Health) -> web.Response:
    return _json(health, 200 if health.ok else 503)


def _bind(path: Path) -> socket.socket:
    """Return a listening-to-be socket, in the place of one that a killed program has left.

    The lock on the state folder says nothing of a path that is set: two may have the same one.
    """
    if _is_answered(path):
        raise StateError(
            f"listen on {path}: another program, maybe another proxyconf, answers there (set another"
            " [status] socket, or leave it out)"
        )
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove(path)
        os.fchmod(sock.fileno(), 0o600)  # before it has a name, so that there is no moment of openness
        sock.bind(str(path))
    except OSError as exc:
        sock.close()
        raise StateError(f"listen on {path}: {exc} (set [status] socket to a path that we may make)") from exc
    return sock


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # noqa: FBT003 - the standard library's
        try:
            probe.connect(str(path))
        except BlockingIOError:  # it has many to answer
            return True
        except OSError:
            return False
    return True


def _remove(path: Path) -> None:
    if path.is_socket():  # a file of another kind is somebody's: to bind will fail
        with suppress(FileNotFoundError):
            path.unlink()


async def ask_status(path: Path) -> Status:
    """Ask the program that runs for its state.

    Raises:
        StateError: It does not answer.
    """
    return await _ask(path, "GET /api/v1/status", Status)


async def ask_health(path: Path) -> Health:
    """Ask the program that runs whether its loop that applies changes moves on.

    Raises:
        StateError: It does not answer.
    """
    return await _ask(path, "GET /healthz", Health)


async def ask_history(path: Path) -> list[Pass]:
    """Ask the program that runs what it did; the newest comes last.

    Raises:
        StateError: It does not answer.
    """
    return (await _ask(path, "GET /api/v1/history", History)).history


async def ask_explain(path: Path, question: str) -> Explanation:
    """Ask the program that runs why a host, a container or a key is served, or is not.

    Raises:
        UsageError: It is no question.
        StateError: It does not answer.
    """
    return await _ask(path, "GET /api/v1/explain", Explanation, asked={"what": question})


async def ask_confirm(path: Path) -> tuple[str, ...]:
    """Tell the program that runs to believe the listings that it holds; return the sources.

    Raises:
        StateError: It does not answer.
    """
    return (await _ask(path, "POST /api/v1/confirm", Confirmed)).sources


async def ask_pause(path: Path, reason: str) -> Pause:
    """Tell the program that runs to apply nothing from now on; what it is at now is waited for.

    Raises:
        StateError: It does not answer.
    """
    because = msgspec.json.encode(Because(reason))
    return await _ask(path, "POST /api/v1/pause", Pause, body=because, timeout_s=_PAUSE_TIMEOUT_S)


async def ask_resume(path: Path) -> Pause | None:
    """Tell the program that runs to apply again; return the pause that has ended, if there was one.

    Raises:
        StateError: It does not answer.
    """
    return (await _ask(path, "POST /api/v1/resume", Resumed)).paused


async def _ask(
    path: Path,
    request: str,
    into: type[T],
    *,
    asked: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> T:
    method, _, what = request.partition(" ")
    url = f"http://proxyconf{what}"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), timeout=timeout) as session,
            session.request(method, url, params=asked, data=body) as answer,
        ):
            said = await answer.read()
            if refusal := _REFUSALS.get(answer.status):
                raise refusal(said.decode(errors="replace").strip())
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:  # a probe says no by that
                answer.raise_for_status()
            return msgspec.json.decode(said, type=into)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as exc:
        # what aiohttp makes of an OSError speaks of TLS
        system = exc.strerror if isinstance(exc, OSError) else None
        reason = system or str(exc) or "no answer in time"
        raise StateError(
            f"ask {path}: {reason.lower()} (does proxyconf run with this state folder, and are you its user"
            " or root?)"
        ) from exc
