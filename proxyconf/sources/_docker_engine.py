"""A connection to an engine: requests go out, and what comes back waits in one queue, in order of arrival."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerError

from proxyconf.errors import SourceError
from proxyconf.sources._docker_connect import Address, open_session
from proxyconf.sources._docker_errors import status_text, translated
from proxyconf.sources._docker_events import ACTIONS
from proxyconf.sources._docker_reading import (
    Details,
    Event,
    is_secluded,
    read_container,
    read_details,
    read_event,
)
from proxyconf.sources._tls import read_certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Coroutine

    from proxyconf.model import Container

# fewer take longer for many containers, and more do not end sooner
_INSPECTS_AT_ONCE = 8
_FILTERS = json.dumps({"type": ["container", "network"], "event": ACTIONS})


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer to `Engine.ask_list`."""

    containers: tuple[Container, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """The answer to `Engine.ask_details`."""

    container: str
    details: Details


Message = Event | Listed | Learned


class Engine:
    """One connection; made by `connect`.

    Attributes:
        id: Tells this engine from others; "" where it does not say.
        secluded: Not even its host gets to its networks.
        denied: What a proxy before it answers instead of an inspect, for which nobody asks again; "" if none.
    """

    def __init__(self, docker: aiodocker.Docker, address: Address, opened: asyncio.Event) -> None:
        self.id = self.denied = ""
        self.secluded = False
        self._few = asyncio.Semaphore(_INSPECTS_AT_ONCE)
        self._docker = docker
        self._events: Any = docker.events  # aiodocker does not type it
        self._address = address
        self._opened = opened
        self._inbox: asyncio.Queue[Message | asyncio.Task[Message]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def greet(self) -> None:
        """Settle the version of the API, and learn who answers."""
        if self._docker.api_version == "auto":
            with translated("ask version of", self._address):
                await self._docker.version()
        with translated("ask info of", self._address):
            try:
                info = await self._docker.system.info()
                # podman makes up another ID for every answer
                self.id = "" if "BuildahVersion" in info else str(info.get("ID") or "")
                self.secluded = is_secluded(info)
            except DockerError as exc:
                if exc.status not in (401, 403, 404):  # what a filtering proxy says
                    raise

    async def listen(self, *, timeout_s: float) -> None:
        """Open the event stream; when this returns, nothing that happens from now on is missed."""
        subscriber = self._events.subscribe(create_task=False)
        # a task of our own: the one aiodocker makes raises out of close() when the engine has died
        stream = asyncio.create_task(self._stream(), name="docker stream")
        stream.add_done_callback(lambda _: self._opened.set())
        self._tasks.add(stream)
        with translated("watch", self._address):
            async with asyncio.timeout(timeout_s):
                await self._opened.wait()
        self._start(self._pump(subscriber, stream))

    def ask_list(self) -> None:
        """Ask for all containers."""
        self._start(self._list())

    def ask_details(self, container: str) -> None:
        """Ask for what no list tells of *container*."""
        self._start(self._inspect(container))

    async def receive(self, *, until: float) -> Message | None:
        """Return the next message, or None at the time *until* of the loop's clock.

        Raises:
            SourceError: The connection is lost or a request failed.
        """
        try:
            async with asyncio.timeout_at(None if until == math.inf else until):
                message = await self._inbox.get()
        except TimeoutError:
            return None
        return message.result() if isinstance(message, asyncio.Task) else message

    async def close(self) -> None:
        """End all tasks; the session is the caller's to close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._docker.close()

    def _start(self, request: Coroutine[Any, Any, Message]) -> None:
        task = asyncio.create_task(request, name="docker request")
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Message]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: when two requests fail, only the first one's is raised
            self._inbox.put_nowait(task)

    async def _stream(self) -> None:
        with translated("watch", self._address):
            await self._events.run(timeout=aiohttp.ClientTimeout(total=None), filters=_FILTERS)

    async def _pump(self, subscriber: Any, stream: asyncio.Task[None]) -> Message:  # noqa: ANN401 - untyped there
        while (message := await subscriber.get()) is not None:
            with translated("read events of", self._address):
                self._inbox.put_nowait(read_event(message))
        await stream
        raise SourceError(
            f"watch {self._address.url}: the stream ended (the engine stops, or a proxy cut it)"
        )

    async def _list(self) -> Listed:
        with translated("list containers of", self._address):
            rows = await self._docker.containers.list(all=True)
            return Listed(tuple(map(read_container, rows)))

    async def _inspect(self, container: str) -> Learned:
        with translated("inspect container of", self._address):
            async with self._few:
                if self.denied:
                    return Learned(container, Details())
                try:
                    answer = await self._docker.containers.container(container).show()
                except DockerError as exc:
                    return Learned(container, self._refused(exc))
            return Learned(container, read_details(answer))

    def _refused(self, exc: DockerError) -> Details:
        """Return what is known of a container that can't be inspected; raise *exc* without a connection."""
        if exc.status in (404, 409):  # it is gone
            return Details()
        if exc.status in (401, 403):
            self.denied = status_text(exc)
            return Details()
        if exc.status >= 900:  # aiodocker's own, for "no connection"
            raise exc
        return Details(refused=status_text(exc))


@asynccontextmanager
async def connect(address: Address, *, api_version: str, timeout_s: float) -> AsyncGenerator[Engine, None]:
    """Make a connection, closed on the way out. Requests are limited to *timeout_s* seconds each.

    Raises:
        SourceError: The engine is out of reach; SourceDeniedError: it refuses us.
    """
    with translated("connect to", address):
        context: ssl.SSLContext | None = None
        if address.tls is not None:
            context = await asyncio.to_thread(read_certificates, address.tls)
    opened = asyncio.Event()
    trace = aiohttp.TraceConfig()

    async def note(_: object, __: object, end: aiohttp.TraceRequestEndParams) -> None:
        if end.url.path.endswith("/events"):
            opened.set()

    # the only sign aiodocker gives that the headers of the event stream are there
    trace.on_request_end.append(note)
    async with open_session(address, context, trace) as session:
        docker = aiodocker.Docker(
            url=address.base,
            connector=session.connector,
            session=session,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            api_version=api_version,
        )
        engine = Engine(docker, address, opened)
        try:
            await engine.greet()
            yield engine
        finally:
            await engine.close()
