"""The watches of an etcd on scripted calls, in virtual time: probes, fragments, and every end."""

from __future__ import annotations

import asyncio
import gc
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.sources._etcd_mirror import key_ranges
from proxyconf.sources._etcd_rpc import grpc, rpc
from proxyconf.sources._etcd_stream import Watch
from tests.unit.etcd_calls import ANSWER_S, SERVER, ScriptedCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from proxyconf.sources._etcd_mirror import KeyRange

pytestmark = pytest.mark.looptime

RANGES = key_ranges("/p", ())
SEVERAL = key_ranges("/p", ["/a", "/b"])
CREATED = rpc.WatchResponse(created=True)
PROGRESS = rpc.WatchResponse(watch_id=-1)
IDLE_S = 15.0


@asynccontextmanager
async def watching(call: ScriptedCall, ranges: Sequence[KeyRange] = RANGES) -> AsyncIterator[Watch]:
    watch = Watch(call, operation="watch '/p/'", server=SERVER, idle_s=IDLE_S, answer_s=ANSWER_S)
    try:
        await watch.open(ranges, 7)
        yield watch
    finally:
        await watch.close()


def now() -> float:
    return asyncio.get_running_loop().time()


def answer(*names: str, fragment: bool = False, watch_id: int = 0) -> object:
    events = [rpc.Event(kv=rpc.KeyValue(key=name.encode())) for name in names]
    return rpc.WatchResponse(events=events, fragment=fragment, watch_id=watch_id)


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


async def test_every_range_has_a_watch_on_the_one_stream() -> None:
    """And they all ask for the same revision."""
    call = ScriptedCall()
    async with watching(call, SEVERAL):
        pass
    assert [(r.key, r.range_end, r.start_revision) for r in call.created] == [
        (b"/a", b"/a0", 7),
        (b"/b", b"/b0", 7),
        (b"/p/", b"/p0", 7),
    ]


async def test_one_of_the_watches_that_is_never_created_is_enough_to_give_up() -> None:
    """However long the others have been at work."""
    call = ScriptedCall()
    async with watching(call, SEVERAL) as watch:
        call.answer(CREATED, CREATED)
        call.answer(answer("/a/x"), after_s=3)
        assert await names(watch) == ["/a/x"]
        with pytest.raises(SourceError, match="no answer in time"):
            await watch.receive(until=math.inf)
        assert now() == 3 + ANSWER_S
    assert [kind for _, kind in call.requests] == ["create_request"] * 3


async def test_one_answer_stands_for_all_watches() -> None:
    """To a question about progress: it comes with a number that is no watch's."""
    call = ScriptedCall()
    async with watching(call, SEVERAL) as watch:
        call.answer(CREATED, CREATED, CREATED)
        call.answer(PROGRESS, after_s=IDLE_S + 1)
        assert await names(watch, until=2 * IDLE_S) == []
    assert call.requests[3:] == [(IDLE_S, "progress_request")]


async def test_a_transaction_is_joined() -> None:
    """It comes in an answer for each watch that it concerns, a moment after each other."""
    call = ScriptedCall()
    async with watching(call, SEVERAL) as watch:
        call.answer(CREATED, CREATED, CREATED)
        call.answer(answer("/a/x"), after_s=1)
        call.answer(answer("/b/x", watch_id=1), after_s=1.0003)
        call.answer(answer("/p/x", watch_id=2), after_s=1.0005)
        call.answer(answer("/a/y"), after_s=1.1)
        assert [await names(watch), await names(watch)] == [["/a/x", "/b/x", "/p/x"], ["/a/y"]]


async def test_a_change_of_a_single_range_is_not_waited_with() -> None:
    call = ScriptedCall()
    async with watching(call) as watch:
        call.answer(CREATED)
        call.answer(answer("a"), after_s=1)
        await names(watch)
        assert now() == 1


async def test_an_end_right_after_a_change_comes_with_the_next_question() -> None:
    call = ScriptedCall()
    async with watching(call, SEVERAL) as watch:
        call.answer(CREATED, CREATED, CREATED)
        call.answer(answer("/a/x"), after_s=1)
        call.answer(rpc.WatchResponse(watch_id=1, canceled=True, compact_revision=9), after_s=1.0005)
        assert await names(watch) == ["/a/x"]
        with pytest.raises(SourceError, match="compacted"):
            await names(watch)


async def test_fragments_are_joined_watch_by_watch() -> None:
    call = ScriptedCall()
    async with watching(call, SEVERAL) as watch:
        call.answer(CREATED, CREATED, CREATED)
        call.answer(answer("/a/1", fragment=True), answer("/b/1", fragment=True, watch_id=1), after_s=1)
        call.answer(answer("/b/2", watch_id=1), after_s=2)
        call.answer(answer("/a/2"), after_s=3)
        assert [await names(watch), await names(watch)] == [["/b/1", "/b/2"], ["/a/1", "/a/2"]]


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
