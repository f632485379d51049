"""A connection to etcd: lists a range at one revision, and reads the raw stream of a watch."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from proxyconf.sources._etcd_connect import PAGE, open_channel
from proxyconf.sources._etcd_errors import explain, translated
from proxyconf.sources._etcd_mirror import Listed
from proxyconf.sources._etcd_rpc import grpc, rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from proxyconf.errors import SourceError
    from proxyconf.sources._etcd_connect import Secrets, Server
    from proxyconf.sources._etcd_mirror import KeyRange

# without it, a member that has lost its peers keeps a watch open, and silent, for ever
_METADATA = (("hasleader", "true"),)


@asynccontextmanager
async def connect(server: Server, secrets: Secrets, *, user: str, timeout_s: float) -> AsyncIterator[Client]:
    """Make a client, which connects with its first request; leaving ends what it has under way."""
    channel = open_channel(server, secrets, timeout_s=timeout_s)
    try:
        yield Client(channel, server, user=user, password=secrets.password, timeout_s=timeout_s)
    finally:
        await channel.close()


class Client:
    """One connection to etcd, for one attempt."""

    def __init__(self, channel: Any, server: Server, *, user: str, password: str, timeout_s: float) -> None:  # noqa: ANN401 - grpc has no types
        self._server = server
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._metadata: tuple[tuple[str, str], ...] = _METADATA
        self._auth = rpc.AuthStub(channel)
        self._keys = rpc.KVStub(channel)
        self._watch = rpc.WatchStub(channel)

    async def list(self, keys: KeyRange) -> Listed:
        """Return all keys of the range, as they were at one revision.

        Raises:
            SourceError: No answer, or the history was compacted between two pages.
            SourceDeniedError: etcd refuses us, or we do not trust it.
        """
        if self._user:
            await self._log_in()
        with translated(f"list {keys.start.decode()!r}", self._server):
            return await self._pages(keys)

    async def _log_in(self) -> None:
        """Get a token: before every list, because tokens expire."""
        request = rpc.AuthenticateRequest(name=self._user, password=self._password)
        with translated(f"log in as {self._user!r}", self._server):
            answer = await self._auth.Authenticate(request, timeout=self._timeout_s)
        self._metadata = (*_METADATA, ("token", answer.token))

    async def _pages(self, keys: KeyRange) -> Listed:
        start, revision = keys.start, 0
        pairs: list[Any] = []
        while True:
            request = rpc.RangeRequest(key=start, range_end=keys.end, limit=PAGE, revision=revision)
            page = await self._keys.Range(request, timeout=self._timeout_s, metadata=self._metadata)
            revision = revision or page.header.revision
            pairs += page.kvs
            if not page.more:
                return Listed(str(page.header.cluster_id), revision, tuple(pairs))
            start = page.kvs[-1].key + b"\0"

    @asynccontextmanager
    async def watch(self, keys: KeyRange, *, since: int, idle_s: float) -> AsyncIterator[Watch]:
        """Follow the changes of the range from revision *since* on; leaving ends the call.

        Args:
            keys: What to watch.
            since: The first revision that is of interest.
            idle_s: After so long without a word from etcd, ask whether it is still there.

        Raises:
            SourceError: The watch could not be opened.
        """
        operation = f"watch {keys.start.decode()!r}"
        watch = Watch(
            self._watch.Watch(metadata=self._metadata),
            operation=operation,
            server=self._server,
            idle_s=idle_s,
            answer_s=self._timeout_s,
        )
        try:
            await watch.open(keys, since)
            yield watch
        finally:
            await watch.close()


class Call(Protocol):
    """What we use of gRPC's stream of requests and answers."""

    async def read(self) -> Any:  # noqa: ANN401 - grpc has no types
        """Return the next answer, or `grpc.aio.EOF`."""
        ...

    async def write(self, request: Any) -> None:  # noqa: ANN401 - grpc has no types
        """Send a request."""
        ...

    def cancel(self) -> bool:
        """End the call; a read under way is cancelled."""
        ...


class Watch:
    """A watch as a stream of changes, each whole; every end of it is an error.

    etcd may be frozen, or the way to it cut, without any sign on the connection, so when it is silent it is
    asked for its progress. The revision in its answer is not used: it may be ahead of what was delivered
    (etcd issue 15220).
    """

    def __init__(self, call: Call, *, operation: str, server: Server, idle_s: float, answer_s: float) -> None:
        self._call = call
        self._operation = operation
        self._server = server
        self._idle_s = idle_s
        self._answer_s = answer_s
        self._clock = asyncio.get_running_loop().time
        self._asked = False
        self._patient_until = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._inbox: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._joined: list[Any] = []

    async def open(self, keys: KeyRange, since: int) -> None:
        """Ask for the changes of *keys* from revision *since* on."""
        await self._ask(
            create_request=rpc.WatchCreateRequest(
                key=keys.start,
                range_end=keys.end,
                start_revision=since,
                progress_notify=True,
                fragment=True,  # else a burst of more than gRPC's limit ends the stream
            )
        )
        # a task of its own, since a read that is cancelled cancels the whole call
        self._reading = asyncio.create_task(self._read(), name=self._operation)

    async def receive(self, *, until: float) -> Sequence[Any]:
        """Return the events of the next change and of all that are there by now.

        There are none when the loop's time is *until* before a change came.

        Raises:
            SourceError: The stream ended, or etcd is silent, cancelled the watch or lost its leader.
            SourceDeniedError: We may not watch (any more).
        """
        events: list[Any] = []
        while not events and await self._wait(until):
            while self._inbox and not (events and self._is_end(self._inbox[0])):
                answer = self._inbox.popleft()
                self._check(answer)
                self._joined += answer.events
                if not answer.fragment:
                    events += self._joined
                    self._joined = []
        return events

    async def close(self) -> None:
        """End the call, and wait until nothing of it is left."""
        self._call.cancel()
        if self._reading is not None:
            self._reading.cancel()
            # whatever it ends with is of no interest any more
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        """Take in answers as they come: in a burst, many between two looks at them."""
        try:
            while True:
                answer = await self._call.read()
                self._inbox.append(answer)
                self._asked = False
                self._patient_until = self._clock() + self._idle_s
                self._arrived.set()
                if answer is grpc.aio.EOF:
                    return
        finally:
            self._arrived.set()

    async def _wait(self, until: float) -> bool:
        """Wait for an answer; return False when it is *until* before one came."""
        while not self._inbox:
            if self._reading and self._reading.done():
                with translated(self._operation, self._server):
                    self._reading.result()
            self._arrived.clear()
            limit = min(until, self._patient_until)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if limit == math.inf else limit):
                    await self._arrived.wait()
                continue
            if self._clock() >= self._patient_until:
                await self._ask(progress_request=rpc.WatchProgressRequest())
            elif self._clock() >= until:
                return False
        return True

    def _is_end(self, answer: Any) -> bool:  # noqa: ANN401 - grpc has no types
        return answer is grpc.aio.EOF or bool(answer.compact_revision) or answer.canceled

    def _check(self, answer: Any) -> None:  # noqa: ANN401 - grpc has no types
        """Raise unless the watch goes on."""
        if answer is grpc.aio.EOF:
            raise self._error("etcd ended it without a reason")
        if answer.compact_revision:
            raise self._error("required revision has been compacted")
        if answer.canceled:
            raise self._error(answer.cancel_reason or "etcd cancelled it without a reason")

    async def _ask(self, **request: Any) -> None:  # noqa: ANN401 - grpc has no types
        """Send a request that must be answered, unless one is already overdue."""
        if self._asked:
            raise self._error("DEADLINE_EXCEEDED")
        self._asked = True
        self._patient_until = self._clock() + self._answer_s
        # a call that has just ended says why to who reads it; grpc.aio's write only says that it has
        with translated(self._operation, self._server), suppress(asyncio.InvalidStateError):
            async with asyncio.timeout(self._answer_s):
                await self._call.write(rpc.WatchRequest(**request))

    def _error(self, text: str) -> SourceError:
        return explain(text, self._operation, self._server)
