"""A scripted engine with containers in which programs run: as much as it takes to reach an nginx."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from proxyconf.nginx.engine_api import EngineApi
from proxyconf.nginx.in_container import Finder, InContainer
from proxyconf.nginx.own_program import OwnProgram
from proxyconf.sources._docker_connect import read_address
from proxyconf.sources._tls import Tls
from proxyconf.units import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from aiohttp.typedefs import Handler

VERSION = """nginx version: nginx/1.27.4
configure arguments: --prefix=/etc/nginx --with-http_ssl_module --user=nginx
"""


def inspected(name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON
    """Return the answer to an inspect; the id is the name, 64 wide."""
    return {
        "Id": name.ljust(64, "-"),
        "Name": f"/{name}",
        "State": {"Running": True, "StartedAt": "2026-01-02T03:04:05Z"},
        "Config": {"User": "", "Labels": {}},
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "127.0.0.1"}}, "Ports": {}},
    } | fields


class NginxEngine:
    """An engine.

    Attributes:
        url: Where it is.
        containers: What it says of each, by name.
        programs: Returns exit code and output of a command.
        titles: What runs in every container.
        signals: Container and signal, in order.
        commands: What was run.
        refusals: Status and body by the end of a path, instead of an answer.
        requests: Method and path of each, without the version.
        late: How often a program that has ended is said to be running.
        info: What it says of itself.
        version: What it says of its program and its API.
    """

    def __init__(self) -> None:
        self.url = ""
        self.containers: dict[str, dict[str, Any]] = {}
        self.programs: Callable[[Sequence[str]], tuple[int | None, str]] = lambda _: (0, VERSION)
        self.titles = ["nginx: master process nginx", "nginx: worker process"]
        self.signals: list[tuple[str, str]] = []
        self.commands: list[list[str]] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []
        self.late = 0
        self.info: dict[str, Any] = {}
        self.version: dict[str, Any] = {"ApiVersion": "1.41"}
        app = web.Application(middlewares=[self._refuse])
        app.router.add_get("/version", self._version)
        for method, path, handler in (
            ("GET", "version", self._version),
            ("GET", "info", self._info),
            ("GET", "containers/json", self._list),
            ("GET", "containers/{id}/json", self._inspect),
            ("GET", "containers/{id}/top", self._top),
            ("POST", "containers/{id}/kill", self._kill),
            ("POST", "containers/{id}/exec", self._exec),
            ("POST", "exec/{number}/start", self._start),
            ("GET", "exec/{number}/json", self._ended),
        ):
            app.router.add_route(method, "/v1.41/" + path, handler)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def serve(self, path: Path) -> None:
        """Listen on a unix socket."""
        await web.UnixSite(self._runner, path).start()
        self.url = f"unix://{path}"

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix("/v1.41")
        self.requests.append(f"{request.method} {path}")
        for end, (status, body) in self.refusals.items():
            if path.endswith(end):
                return web.Response(status=status, text=body, content_type="text/html")
        return await handler(request)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response(self.version)

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self.info)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = dict(label.split("=") for label in json.loads(request.query["filters"])["label"])
        rows = [
            {"Id": one["Id"]}
            for one in self.containers.values()
            if wanted.items() <= one["Config"]["Labels"].items()
        ]
        return web.json_response(rows)

    def _of(self, request: web.Request) -> dict[str, Any] | None:
        name = request.match_info["id"]
        return next((one for one in self.containers.values() if name in (one["Id"], one["Name"][1:])), None)

    async def _inspect(self, request: web.Request) -> web.Response:
        found = self._of(request)
        if found is None:
            return web.json_response({"message": "No such container"}, status=404)
        return web.json_response(found)

    def _not_running(self, request: web.Request) -> web.Response | None:
        found = self._of(request)
        if found is None:
            return web.json_response({"message": "No such container"}, status=404)
        if not found["State"]["Running"]:
            return web.json_response({"message": "container is not running"}, status=409)
        return None

    async def _top(self, request: web.Request) -> web.Response:
        rows = [[str(number), "2000", title] for number, title in enumerate(self.titles, start=1)]
        return self._not_running(request) or web.json_response({"Processes": rows})

    async def _kill(self, request: web.Request) -> web.Response:
        if answer := self._not_running(request):
            return answer
        self.signals.append((request.match_info["id"], request.query["signal"]))
        return web.Response(status=204)

    async def _exec(self, request: web.Request) -> web.Response:
        if answer := self._not_running(request):
            return answer
        self.commands.append((await request.json())["Cmd"])
        return web.json_response({"Id": str(len(self.commands) - 1)}, status=201)

    async def _start(self, request: web.Request) -> web.StreamResponse:
        """Send both streams in frames, and hang up, as dockerd does without an upgrade."""
        _, output = self.programs(self.commands[int(request.match_info["number"])])
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.docker.raw-stream"})
        response.force_close()
        await response.prepare(request)
        for line in output.encode().splitlines(keepends=True):
            await response.write(bytes([2, 0, 0, 0]) + len(line).to_bytes(4) + line)
        return response

    async def _ended(self, request: web.Request) -> web.Response:
        if self.late:
            self.late -= 1
            return web.json_response({"Running": True, "ExitCode": None})
        code, _ = self.programs(self.commands[int(request.match_info["number"])])
        return web.json_response({"Running": False, "ExitCode": code})


def api_of(engine: NginxEngine) -> EngineApi:
    return EngineApi(read_address(engine.url, Tls()), timeout_s=5)


def control_of(
    engine: NginxEngine,
    folder: Path,
    *,
    own_program: str = "",
    own_ids: Sequence[str] = (),
    listen: str = ":80",
) -> InContainer:
    api = api_of(engine)
    return InContainer(
        api,
        Finder(api, "web", own_ids),
        listen=ListenAddress.parse(listen),
        binary="nginx",
        error_log=folder / "error.log",
        own=OwnProgram(own_program or "no-such-nginx"),
    )
