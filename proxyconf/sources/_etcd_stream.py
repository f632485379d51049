"""A connection to etcd: lists ranges at one revision, and reads the raw stream of their watches."""

from __future__ import annotations

import asyncio
import itertools
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
_NAMED_MAX = 3  # ranges, in a message
_JOIN_S = 0.001  # four answers for one transaction came within 0.3 ms (median), 0.8 ms (of 95 %)


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

    async def list(self, ranges: Sequence[KeyRange]) -> Listed:
        """Return all keys of the ranges, of which there is at least one, as they were at one revision.

        Raises:
            SourceError: No answer, or the history was compacted between two pages.
            SourceDeniedError: etcd refuses us, or we do not trust it.
        """
        if self._user:
            await self._log_in()
        parts: list[Listed] = []
        for keys in ranges:
            with translated(f"list {keys.start.decode()!r}", self._server):
                parts.append(await self._pages(keys, parts[0].revision if parts else 0))
        pairs = itertools.chain.from_iterable([part.pairs for part in parts])
        return Listed(parts[0].cluster, parts[0].revision, tuple(pairs))

    async def _log_in(self) -> None:
        """Get a token: before every list, because tokens expire."""
        request = rpc.AuthenticateRequest(name=self._user, password=self._password)
        with translated(f"log in as {self._user!r}", self._server):
            answer = await self._auth.Authenticate(request, timeout=self._timeout_s)
        self._metadata = (*_METADATA, ("token", answer.token))

    async def _pages(self, keys: KeyRange, revision: int) -> Listed:
        """Return all keys of the range at *revision*; 0 is the newest."""
        start = keys.start
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
    async def watch(self, ranges: Sequence[KeyRange], *, since: int, idle_s: float) -> AsyncIterator[Watch]:
        """Follow the changes of the ranges from revision *since* on; leaving ends the call.

        Args:
            ranges: What to watch: with a watch for each, all on one stream.
            since: The first revision that is of interest.
            idle_s: After so long without a word from etcd, ask whether it is still there.

        Raises:
            SourceError: The watch could not be opened.
        """
        watch = Watch(
            self._watch.Watch(metadata=self._metadata),
            operation=f"watch {_named(ranges)}",
            server=self._server,
            idle_s=idle_s,
            answer_s=self._timeout_s,
        )
        try:
            await watch.open(ranges, since)
            yield watch
        finally:
            await watch.close()


def _named(ranges: Sequence[KeyRange]) -> str:
    names = ", ".join(repr(keys.start.decode()) for keys in ranges[:_NAMED_MAX])
    more = len(ranges) - _NAMED_MAX
    return f"{names} and {more} more" if more > 0 else names


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
    """The watches of some ranges as one stream of changes; every end of one of them is an error.

    What etcd sends for one watch comes whole. A transaction that concerns several comes in as many answers,
    a moment after each other, and nothing says how many; so they are waited for, and mostly joined.

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
        self._several = False
        self._uncreated = 0
        self._patient_until = 0.0
        self._inbox: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._fragments: dict[int, list[Any]] = {}
        # a task of its own, since a read that is cancelled cancels the whole call
        self._reading = asyncio.create_task(self._read(), name=operation)

    async def open(self, ranges: Sequence[KeyRange], since: int) -> None:
        """Ask for the changes of the ranges from revision *since* on."""
        self._uncreated, self._several = len(ranges), len(ranges) > 1
        creates = [
            rpc.WatchCreateRequest(
                key=keys.start,
                range_end=keys.end,
                start_revision=since,
                progress_notify=True,
                fragment=True,  # else a burst of more than gRPC's limit ends the stream
            )
            for keys in ranges
        ]
        await self._ask(*[rpc.WatchRequest(create_request=create) for create in creates])

    async def receive(self, *, until: float) -> Sequence[Any]:
        """Return the events of the next change and of all that are there by now.

        There are none when the loop's time is *until* before a change came.

        Raises:
            SourceError: The stream ended, or etcd is silent, cancelled the watch or lost its leader.
            SourceDeniedError: We may not watch (any more).
        """
        events: list[Any] = []
        while not events and await self._wait(until):
            self._take(events)
        if events and self._several:
            await asyncio.sleep(_JOIN_S)
            self._take(events)
        return events

    def _take(self, events: list[Any]) -> None:
        """Add to *events* what is there; an end stays there if something came before it."""
        while self._inbox and not (events and self._is_end(self._inbox[0])):
            answer = self._inbox.popleft()
            self._check(answer)
            if answer.fragment:
                self._fragments.setdefault(answer.watch_id, []).extend(answer.events)
            else:
                events += self._fragments.pop(answer.watch_id, ())
                events += answer.events

    async def close(self) -> None:
        """End the call, and wait until nothing of it is left."""
        self._call.cancel()
        self._reading.cancel()
        # whatever it ends with is of no interest any more
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        """Take in answers as they come: in a burst, many between two looks at them."""
        try:
            while True:
                answer = await self._call.read()
                self._inbox.append(answer)
                if answer is grpc.aio.EOF:
                    return
                self._uncreated -= answer.created
                self._asked = self._uncreated > 0
                self._patient_until = self._clock() + (self._answer_s if self._asked else self._idle_s)
                self._arrived.set()
        finally:
            self._arrived.set()

    async def _wait(self, until: float) -> bool:
        """Wait for an answer; return False when it is *until* before one came."""
        while not self._inbox:
            if self._reading.done():
                with translated(self._operation, self._server):
                    self._reading.result()
            self._arrived.clear()
            limit = min(until, self._patient_until)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if limit == math.inf else limit):
                    await self._arrived.wait()
                continue
            if self._clock() >= self._patient_until:
                await self._ask(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
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

    async def _ask(self, *requests: Any) -> None:  # noqa: ANN401 - grpc has no types
        """Send requests that must be answered, unless an answer is already overdue."""
        if self._asked:
            raise self._error("DEADLINE_EXCEEDED")
        self._asked = True
        self._patient_until = self._clock() + self._answer_s
        # a call that has just ended says why to who reads it; grpc.aio's write only says that it has
        with translated(self._operation, self._server), suppress(asyncio.InvalidStateError):
            async with asyncio.timeout(self._answer_s):
                for request in requests:
                    await self._call.write(request)

    def _error(self, text: str) -> SourceError:
        return explain(text, self._operation, self._server)
