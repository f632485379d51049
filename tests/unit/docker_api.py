"""A scripted engine: Docker's API over a real socket, with answers that a test sets."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from pathlib import Path
    from types import TracebackType

    from aiohttp.typedefs import Handler


def row(name: str, **fields: object) -> dict[str, Any]:
    """Return an entry of a container list as dockerd 20.10 sends it; the id is the name, 64 wide."""
    return {
        "Id": container_id(name),
        "Names": [f"/{name}"],
        "Created": 1700000000,
        "Ports": [{"PrivatePort": 8080, "Type": "tcp"}],
        "Labels": {},
        "State": "running",
        "Status": "Up 2 seconds",
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "198.18.0.2", "GlobalIPv6Address": ""}}},
    } | fields


def container_id(name: str) -> str:
    return name.ljust(64, "-")


class ScriptedEngine:
    """An engine whose containers are a list.

    Attributes:
        containers: What it lists.
        details: Its answers to an inspect, by container id.
        info: What it says of itself.
        refusals: Status and body by the end of a path, instead of an answer; a str body is HTML.
            Status 0 hangs up.
        url: Where it is, once it serves.
        gate: Lists wait until it is set.
        inspect_gate: So do inspects.
        inspecting: Inspects that are not answered yet.
        most_inspecting: The most that there ever were.
        requests: The paths asked for, without the version.
        watchers: Event streams that are open.
    """

    def __init__(self) -> None:
        self.url = ""
        self.containers: list[dict[str, Any]] = []
        self.details: dict[str, dict[str, Any]] = {}
        self.info = {"ID": "HNI3:VX4A"}
        self.refusals: dict[str, tuple[int, object]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.inspect_gate = asyncio.Event()
        self.inspect_gate.set()
        self.inspecting = self.most_inspecting = 0
        self.requests: list[str] = []
        self.watchers: list[asyncio.Queue[bytes | None]] = []
        self._asked = asyncio.Condition()
        self._clock = itertools.count(1_700_000_000_000_000_000)
        app = web.Application(middlewares=[self._refuse])
        app.router.add_get("/version", self._version)
        for path, handler in {
            "version": self._version,
            "info": self._info,
            "events": self._events,
            "containers/json": self._list,
            "containers/{id}/json": self._inspect,
        }.items():
            app.router.add_get("/{api:v[0-9.]+}/" + path, handler)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self.gate.set()
        self.inspect_gate.set()
        await self._runner.cleanup()

    async def serve_socket(self, path: Path) -> None:
        """Listen on a unix socket."""
        await web.UnixSite(self._runner, path).start()
        self.url = f"unix://{path}"

    async def serve_tcp(self, context: ssl.SSLContext | None = None) -> None:
        """Listen on a free port of 127.0.0.1."""
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"tcp://127.0.0.1:{self._runner.addresses[-1][1]}"

    def say(self, action: str, name: str, *, kind: str = "container", **attributes: str) -> None:
        """Send an event about the container *name* to every watcher."""
        actor = {"ID": container_id(name), "Attributes": attributes}
        if kind == "network":
            actor = {"ID": "net", "Attributes": {"container": container_id(name), **attributes}}
        event = {"Type": kind, "Action": action, "Actor": actor, "time": 1, "timeNano": next(self._clock)}
        self.send(json.dumps(event).encode() + b"\n")

    def send(self, line: bytes) -> None:
        for watcher in self.watchers:
            watcher.put_nowait(line)

    def hang_up(self) -> None:
        """End every event stream."""
        for watcher in self.watchers:
            watcher.put_nowait(None)

    async def asked(self, path: str, times: int) -> None:
        """Wait until *path* was asked for that often."""
        async with self._asked:
            await self._asked.wait_for(lambda: self.requests.count(path) >= times)

    async def watched(self) -> None:
        """Wait until somebody follows the events."""
        async with self._asked:
            await self._asked.wait_for(lambda: bool(self.watchers))

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = "/" + request.path.lstrip("/").partition("/")[2] if "/v1" in request.path else request.path
        self.requests.append(path)
        async with self._asked:
            self._asked.notify_all()
        if path == "/containers/json":
            await self.gate.wait()
        if path in self.refusals:
            status, body = self.refusals[path]
            if not status and request.transport:
                request.transport.abort()
            if isinstance(body, str):
                return web.Response(status=status, text=body, content_type="text/html")
            # as dockerd: with a charset, aiodocker would not take it for JSON
            headers = {"Content-Type": "application/json"}
            return web.Response(status=status, body=json.dumps(body).encode(), headers=headers)
        return await handler(request)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self.info)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(self.containers)

    async def _inspect(self, request: web.Request) -> web.Response:
        self.inspecting += 1
        self.most_inspecting = max(self.most_inspecting, self.inspecting)
        await self.inspect_gate.wait()
        self.inspecting -= 1
        details = self.details.get(request.match_info["id"])
        return web.json_response(details or {"message": "No such container"}, status=200 if details else 404)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watcher: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.watchers.append(watcher)
        async with self._asked:
            self._asked.notify_all()
        try:
            while (line := await watcher.get()) is not None:
                await response.write(line)
        finally:
            self.watchers.remove(watcher)
        return response
