"""The connection to etcd on scripted calls, in virtual time: probes, fragments, pages, and every end."""

from __future__ import annotations

import asyncio
import gc
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.sources._etcd_connect import PAGE, Server
from proxyconf.sources._etcd_mirror import Listed, key_range
from proxyconf.sources._etcd_rpc import grpc, rpc
from proxyconf.sources._etcd_stream import Client, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

pytestmark = pytest.mark.looptime

SERVER = Server("dns:///etcd:2379", "http://etcd:2379")
KEYS = key_range("/p")
CREATED = rpc.WatchResponse(created=True)
PROGRESS = rpc.WatchResponse(watch_id=-1)
IDLE_S = 15.0
ANSWER_S = 4.0


class ScriptedCall:
    """A stream whose answers are given.

    Attributes:
        requests: When each was written, and what it asked for.
        hanging: Writes don't come back.
        ended: Writes fail as grpc.aio's do then.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[float, str]] = []
        self.hanging = False
        self.ended = False
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._reader: asyncio.Task[Any] | None = None

    def answer(self, *answers: Any, after_s: float = 0) -> None:  # noqa: ANN401 - grpc has no types
        for answer in answers:
            asyncio.get_running_loop().call_later(after_s, self._answers.put_nowait, answer)

    async def read(self) -> Any:  # noqa: ANN401 - grpc has no types
        self._reader = asyncio.current_task()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def write(self, request: Any) -> None:  # noqa: ANN401 - grpc has no types
        if self.hanging:
            await asyncio.Event().wait()
        if self.ended:
            raise asyncio.InvalidStateError("RPC already finished.")
        now = asyncio.get_running_loop().time()
        self.requests.append((now, request.WhichOneof("request_union")))

    def cancel(self) -> bool:
        if self._reader is not None and not self._reader.done():  # else Python would forget its exception
            self._reader.cancel()
        return True


@asynccontextmanager
async def watching(call: ScriptedCall) -> AsyncIterator[Watch]:
    watch = Watch(call, operation="watch '/p/'", server=SERVER, idle_s=IDLE_S, answer_s=ANSWER_S)
    try:
        await watch.open(KEYS, 7)
        yield watch
    finally:
        await watch.close()


def now() -> float:
    return asyncio.get_running_loop().time()


def answer(*names: str, fragment: bool = False) -> object:
    events = [rpc.Event(kv=rpc.KeyValue(key=name.encode())) for name in names]
    return rpc.WatchResponse(events=events, fragment=fragment)


async def names(watch: Watch, *, until: float = math.inf) -> list[str]:
    return [event.kv.key.decode() for event in await watch.receive(until=until)]


async def test_changes_come_as_etcd_sends_them() -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a", "b"), PROGRESS)
        call.answer(answer("c"), after_s=1)
        assert [await names(watch), await names(watch)] == [["a", "b"], ["c"]]


async def test_changes_that_come_at_once_are_taken_at_once() -> None:
    """In a burst, each would otherwise be a listing of its own."""
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a", fragment=True), answer("b"), answer("c"), after_s=1)
        assert await names(watch) == ["a", "b", "c"]


async def test_what_came_before_the_end_counts() -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a"), rpc.WatchResponse(canceled=True, cancel_reason="no"), after_s=1)
        assert await names(watch) == ["a"]
        with pytest.raises(SourceError, match="no"):
            await names(watch)


async def test_fragments_are_joined() -> None:
    """Also when the time is up before the last one has come."""
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a", fragment=True), answer("b", fragment=True))
        assert await names(watch, until=1) == []
        call.answer(answer("c"))
        call.answer(answer("d"), after_s=1)
        assert [await names(watch), await names(watch)] == [["a", "b", "c"], ["d"]]


async def test_a_watch_that_is_never_created_is_given_up() -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        with pytest.raises(SourceError, match=r"watch '/p/' at http://etcd:2379: no answer in time"):
            await watch.receive(until=math.inf)
        assert now() == ANSWER_S


async def test_silence_is_questioned_then_given_up() -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED)
        with pytest.raises(SourceError, match="no answer in time"):
            await watch.receive(until=math.inf)
        assert now() == IDLE_S + ANSWER_S
    assert call.requests == [(0, "create_request"), (IDLE_S, "progress_request")]


async def test_an_answer_buys_time() -> None:
    """Every answer does, to whatever question."""
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED)
        call.answer(PROGRESS, after_s=IDLE_S + 1)
        call.answer(answer("a"), after_s=IDLE_S + 2)
        assert await names(watch) == ["a"]
        call.answer(PROGRESS, after_s=IDLE_S + 3)
        assert await names(watch, until=now() + 2 * IDLE_S) == []
    assert [at for at, _ in call.requests] == [0, IDLE_S, 2 * IDLE_S + 2]


async def test_who_comes_back_late_asks_before_giving_up() -> None:
    """A slow consumer is not etcd's fault."""
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a"))
        assert await names(watch) == ["a"]
        await asyncio.sleep(10 * IDLE_S)
        call.answer(PROGRESS, answer("b"), after_s=1)
        assert await names(watch) == ["b"]


@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [
        pytest.param(grpc.aio.EOF, SourceError, "etcd ended it without a reason", id="end of stream"),
        pytest.param(
            rpc.WatchResponse(created=True, canceled=True, cancel_reason="etcdserver: permission denied"),
            SourceDeniedError,
            "permission denied .let a role",
            id="no permission",
        ),
        pytest.param(
            rpc.WatchResponse(canceled=True), SourceError, "cancelled it without a reason", id="cancelled"
        ),
        pytest.param(
            rpc.WatchResponse(canceled=True, compact_revision=9), SourceError, "compacted", id="compacted"
        ),
        pytest.param(
            grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "Socket closed"
            ),
            SourceError,
            "connection lost: Socket closed",
            id="lost",
        ),
    ],
)
async def test_every_end_is_an_error(end: object, kind: type[SourceError], text: str) -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED)
        call.answer(end, after_s=1)
        with pytest.raises(SourceError, match=text) as caught:
            await watch.receive(until=math.inf)
        assert now() == 1
    assert type(caught.value) is kind


async def test_a_question_to_a_call_that_has_just_ended() -> None:
    """The reason is in what can be read, not in what the write raises."""
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a"))
        await watch.receive(until=math.inf)
        call.ended = True
        call.answer(
            grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "Socket closed"
            ),
            after_s=IDLE_S + 0.5,
        )
        with pytest.raises(SourceError, match="Socket closed"):
            await watch.receive(until=math.inf)


async def test_a_question_that_cannot_be_sent() -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED, answer("a"))
        await watch.receive(until=math.inf)
        call.hanging = True
        with pytest.raises(SourceError, match="no answer in time"):
            await watch.receive(until=math.inf)
        assert now() == IDLE_S + ANSWER_S


async def test_closing_leaves_no_task() -> None:
    """Neither a read that waits, nor complaints of one that failed unseen."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    waiting, failed = ScriptedCall(), ScriptedCall()
    for call in (waiting, failed):
        async with watching(call) as watch:
            call.answer(CREATED)
            await watch.receive(until=now() + 1)
            if call is failed:
                call.answer(OSError("unseen"))
                await asyncio.sleep(1)
    assert asyncio.all_tasks() == before
    del call, watch, waiting, failed
    gc.collect()
    assert complaints == []


class ScriptedChannel:
    """A channel whose single answers are given, by the method's name.

    Attributes:
        requests: Method, request and metadata of each.
    """

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.requests: list[tuple[str, Any, Any]] = []
        self._answers = answers

    def unary_unary(self, path: str, **_: object) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = path.rpartition("/")[2]

        async def call(request: object, *, timeout: float, metadata: object = None) -> object:  # noqa: ASYNC109 - grpc's
            assert timeout == ANSWER_S
            self.requests.append((method, request, metadata))
            return self._answers[method].pop(0)

        return call

    def stream_stream(self, path: str, **_: object) -> None:
        pass


def page(*keys: str, revision: int, more: bool = False) -> object:
    header = rpc.ResponseHeader(cluster_id=7, revision=revision)
    return rpc.RangeResponse(header=header, kvs=[rpc.KeyValue(key=key.encode()) for key in keys], more=more)


async def test_pages_are_of_one_revision() -> None:
    """However far the store has got between them."""
    channel = ScriptedChannel(
        {"Range": [page("/p/a", "/p/b", revision=5, more=True), page("/p/c", revision=6)]}
    )
    listed = await Client(channel, SERVER, user="", password="", timeout_s=ANSWER_S).list(KEYS)
    assert listed == Listed("7", 5, tuple(rpc.KeyValue(key=key) for key in (b"/p/a", b"/p/b", b"/p/c")))
    asked = [(r.key, r.range_end, r.revision, r.limit) for _, r, _ in channel.requests]
    assert asked == [(b"/p/", b"/p0", 0, PAGE), (b"/p/b\0", b"/p0", 5, PAGE)]
    assert [metadata for _, _, metadata in channel.requests] == [(("hasleader", "true"),)] * 2


async def test_every_list_logs_in_anew() -> None:
    """Since a token does not live as long as a watch."""
    answers = {
        "Authenticate": [rpc.AuthenticateResponse(token="1"), rpc.AuthenticateResponse(token="2")],
        "Range": [page(revision=5), page(revision=5)],
    }
    channel = ScriptedChannel(answers)
    client = Client(channel, SERVER, user="me", password="secret", timeout_s=ANSWER_S)
    await client.list(KEYS)
    await client.list(KEYS)
    methods = [(method, metadata) for method, _, metadata in channel.requests]
    leader = ("hasleader", "true")
    assert methods == [
        ("Authenticate", None),
        ("Range", (leader, ("token", "1"))),
        ("Authenticate", None),
        ("Range", (leader, ("token", "2"))),
    ]
    assert (channel.requests[0][1].name, channel.requests[0][1].password) == ("me", "secret")
