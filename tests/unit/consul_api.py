"""A scripted Consul: its KV store's API over a real socket, with answers that a test sets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from types import TracebackType


class Request(NamedTuple):
    """What was asked.

    Attributes:
        name: The key, or what the names of keys start with.
        query: But for ``recurse``.
        at: The loop's time.
    """

    name: str
    query: dict[str, str]
    headers: dict[str, str]
    recurse: bool
    at: float

    @property
    def since(self) -> str:
        return self.query.get("index", "")


def answer(
    pairs: dict[str, str] | None = None,
    *,
    status: int = 200,
    body: str | bytes | None = None,
    headers: dict[str, str] | None = None,
    **index: int,
) -> web.Response:
    """Return an answer with *pairs* or *body*, for once; without headers, it has the *index*, or 10."""
    if body is None:
        body = json.dumps([_row(name, value.encode(), 7) for name, value in (pairs or {}).items()])
    if headers is None:
        headers = {"X-Consul-Index": str(index.get("index", 10)), "X-Consul-KnownLeader": "true"}
    return web.Response(status=status, body=body, headers=headers)


def _row(name: str, value: bytes | None, created: int) -> dict[str, object]:
    encoded = None if value is None else base64.b64encode(value).decode()
    return {
        "LockIndex": 0,
        "Key": name,
        "Flags": 42,
        "Value": encoded,
        "CreateIndex": created,
        "ModifyIndex": created + 1,
    }


class ScriptedConsul:
    """A Consul whose keys are a dict.

    Attributes:
        keys: Name to value; None is what Consul's UI makes of a folder.
        index: Of the store; a query that waits is answered when it is higher than it asked for.
        answers: What the next requests get, instead of what is so.
        secret: Names that start like this may not be read.
        down: It has lost its leader.
        gate: Requests wait until it is set.
        requests: What was asked.
        itself: What it says of itself, by the path; None is refused.
        url: Where it is, once it serves.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, bytes | None] = {}
        self.index = 10
        self.answers: deque[web.Response] = deque()
        self.secret: tuple[str, ...] = ()
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[Request] = []
        self.itself: dict[str, object] = {
            "status/peers": ["10.0.0.1:8300"],
            "status/leader": "10.0.0.1:8300",
            "agent/self": {"Config": {"Version": "1.22.0"}},
        }
        self._created: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()
        app = web.Application()
        app.router.add_get("/v1/kv/{name:.*}", self._read)
        app.router.add_get("/v1/{name:(?:status|agent)/.*}", self._tell_of_itself)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self.lose()
        await asyncio.gather(*self._notices)
        await self._runner.cleanup()

    async def serve(self, context: ssl.SSLContext | None = None) -> None:
        """Listen on a free port of 127.0.0.1."""
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._runner.addresses[-1][1]}"

    def put(self, name: str, value: str | None = "") -> None:
        """Set a key."""
        self.keys[name] = None if value is None else value.encode()
        self._created.setdefault(name, self.index + 1)
        self.touch()

    def drop(self, name: str) -> None:
        """Delete a key."""
        del self.keys[name]
        self.touch()

    def touch(self, index: int = 0) -> None:
        """Raise the index, by default by one, and answer those who wait."""
        self.index = index or self.index + 1
        self._tell()

    def lose(self) -> None:
        """Lose the leader: those who wait are told, and whoever asks."""
        self.down = True
        self._tell()

    async def asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= times)

    def _tell(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _tell_of_itself(self, request: web.Request) -> web.StreamResponse:
        said = self.itself[request.match_info["name"]]
        if said is None:
            return web.Response(status=403, text="Permission denied")
        return web.json_response(said)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if {"stale", "consistent"} <= query.keys():
            return web.Response(
                status=400, text="Cannot specify ?stale with ?consistent, conflicting semantics."
            )
        recurse = query.pop("recurse", None) is not None
        asked = Request(
            request.match_info["name"],
            query,
            dict(request.headers),
            recurse,
            asyncio.get_running_loop().time(),
        )
        self.requests.append(asked)
        await self._notify()
        await self.gate.wait()
        if self.answers:
            return self.answers.popleft()
        if asked.since:
            await self._wait(int(asked.since), float(asked.query["wait"].removesuffix("ms")) / 1000)
        if self.down:
            return web.Response(status=500, text="No cluster leader")
        return self._list(asked.name) if recurse else self._get(asked.name)

    async def _wait(self, since: int, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s), self._changed:
                await self._changed.wait_for(lambda: self.down or self.index > since)
        except TimeoutError:
            pass

    def _list(self, root: str) -> web.Response:
        rows = [
            _row(name, value, self._created.get(name, 5))
            for name, value in sorted(self.keys.items())
            if name.startswith(root) and not name.startswith(self.secret or ("\0",))
        ]
        return answer(status=200 if rows else 404, body=json.dumps(rows) if rows else "", index=self.index)

    def _get(self, name: str) -> web.Response:
        if name.startswith(self.secret or ("\0",)):
            return web.Response(status=403, text="Permission denied")
        return answer(status=200 if name in self.keys else 404, body="", index=self.index)
