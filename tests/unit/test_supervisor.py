"""The one retry loop, the deferral of cancellation, and the end of the program, in virtual time."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxyconf.errors import ReloadError, Shutdown, SourceDeniedError, SourceError
from proxyconf.model import Change, Listing
from proxyconf.supervisor import keep_watching, stop_on_signal, uninterrupted
from tests.unit.fakes import EVER, ScriptedSource, listing, now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

pytestmark = pytest.mark.looptime

ONE, TWO = listing("10.0.0.1:80"), listing("10.0.0.2:80")
GONE, DENIED = SourceError("gone"), SourceDeniedError("wrong password")


class Witness:
    """Notes what it is told, and when."""

    def __init__(self) -> None:
        self.published: list[Change] = []
        self.seen: list[tuple[str, object]] = []

    def publish(self, change: Change) -> None:
        self.published.append(change)

    def source_listed(self, change: Change) -> None:
        self.seen.append(("listed", change.listing))

    def source_lost(self, name: str, reason: str) -> None:
        self.seen.append((f"lost {name}", reason))


async def watch(source: ScriptedSource, *, until: float) -> Witness:
    """Keep watching *source* until that time, then cancel it."""
    witness = Witness()
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await keep_watching(source, witness.publish, witness)
    assert now() == until
    return witness


def waits(source: ScriptedSource) -> list[float]:
    return [late - early for early, late in zip(source.starts, source.starts[1:], strict=False)]


async def test_the_first_listing_of_a_connection_is_fresh() -> None:
    source = ScriptedSource([ONE, TWO, GONE], [TWO, ONE])
    witness = await watch(source, until=10)
    assert witness.published == [
        Change(ONE, fresh=True),
        Change(TWO),
        Change(TWO, fresh=True),
        Change(ONE),
    ]


async def test_the_witness_learns_of_everything_in_order() -> None:
    witness = await watch(ScriptedSource([ONE, GONE], [TWO]), until=10)
    assert witness.seen == [("listed", ONE), ("lost etcd", "gone"), ("listed", TWO)]


async def test_the_back_off_grows_to_its_cap() -> None:
    """By chance half to the whole of 0.2 s, 0.4 s, ... 5 s."""
    source = ScriptedSource(*[[GONE] for _ in range(12)])
    await watch(source, until=100)
    longest = [0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 7]
    assert len(waits(source)) == len(longest)
    for wait, most in zip(waits(source), longest, strict=True):
        assert most / 2 <= wait <= most


async def test_the_waits_differ() -> None:
    """Many of us must not come back to a store at the same moment."""
    source = ScriptedSource(*[[GONE] for _ in range(30)])
    await watch(source, until=200)
    assert len(set(waits(source)[-20:])) > 10


async def test_the_back_off_starts_again_after_a_listing() -> None:
    source = ScriptedSource(*[[GONE] for _ in range(8)], [ONE, 100.0, GONE], [ONE])
    await watch(source, until=300)
    assert waits(source)[-2] > 2.5
    assert 100.1 <= waits(source)[-1] <= 100.2


async def test_the_back_off_grows_where_a_listing_is_all_there_is() -> None:
    """As where a proxy passes the list but not the watch: it must not be listed ten times a second."""
    scripts: list[list[Listing | Exception | float]] = [[ONE, 0.1, GONE] for _ in range(7)]
    source = ScriptedSource(*scripts)
    await watch(source, until=100)
    assert waits(source)[-1] > 2.5


async def test_to_be_denied_is_tried_again_slowly() -> None:
    source = ScriptedSource(*[[DENIED] for _ in range(7)])
    await watch(source, until=300)
    longest = [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    for wait, most in zip(waits(source), longest, strict=True):
        assert most / 2 <= wait <= most


async def test_a_very_long_outage_breaks_no_arithmetic() -> None:
    source = ScriptedSource(*[[GONE] for _ in range(1100)])
    await watch(source, until=5600)
    assert len(source.starts) == 1101


async def test_a_reason_is_logged_once() -> None:
    """And again when it is of another kind, or after the source was there; the rest is for who debugs."""
    scripts: list[list[Listing | Exception | float]] = [
        [GONE],
        [GONE],
        [DENIED],
        [DENIED],
        [ONE, DENIED],
        [ONE],
    ]
    with capture_logs() as logs:
        await watch(ScriptedSource(*scripts), until=100)
    said = [(line["event"], line["reason"]) for line in logs if line["log_level"] == "warning"]
    assert said == [
        ("source.lost", "gone"),
        ("source.lost", "wrong password"),
        ("source.lost", "wrong password"),
    ]
    assert {(line["event"], line["source"]) for line in logs} == {("source.lost", "etcd")}


async def test_a_bug_in_a_source_is_isolated() -> None:
    """It is logged with its traceback, told to the witness, and the source starts anew."""
    source = ScriptedSource([KeyError("typo")], [KeyError("typo")], [ONE])
    with capture_logs() as logs:
        witness = await watch(source, until=20)
    assert source.starts == [0, 5, 10]
    assert witness.published == [Change(ONE, fresh=True)]
    reason = "crashed: KeyError('typo') (a bug of ours: please report it)"
    assert witness.seen == [("lost etcd", reason), ("lost etcd", reason), ("listed", ONE)]
    assert [(line["event"], line["exc_info"], line["log_level"]) for line in logs] == [
        ("source.crashed", True, "error")
    ]


async def test_a_source_that_just_ends_counts_as_lost() -> None:
    """It broke its promise, which is no reason to hammer on it."""

    class Ending(ScriptedSource):
        async def watch(self) -> AsyncGenerator[Listing, None]:
            self.starts.append(now())
            yield ONE

    source = Ending(name="docker")
    witness = await watch(source, until=0.09)
    assert witness.seen == [("listed", ONE), ("lost docker", "watch docker: ended without a reason")]
    assert source.starts == [0]


async def test_cancellation_ends_it_and_closes_the_connection() -> None:
    source = ScriptedSource([ONE, EVER])
    task = asyncio.create_task(keep_watching(source, Witness().publish, Witness()))
    await asyncio.sleep(3)
    assert source.closed == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (source.closed, now()) == (1, 3)


async def test_the_connection_is_closed_before_the_next_one_is_made() -> None:
    class Single(ScriptedSource):
        async def watch(self) -> AsyncGenerator[Listing, None]:
            assert self.closed == len(self.starts)
            async with aclosing(super().watch()) as listings:
                async for one in listings:
                    yield one

    witness = await watch(Single([ONE, GONE], [ONE, GONE], [TWO]), until=10)
    assert [kind for kind, _ in witness.seen] == ["listed", "lost etcd"] * 2 + ["listed"]


async def work(seconds: float, outcome: object = "done") -> object:
    await asyncio.sleep(seconds)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def test_uninterrupted_returns_the_result() -> None:
    assert await uninterrupted(work(2)) == "done"


async def test_uninterrupted_raises_the_error() -> None:
    with pytest.raises(ReloadError, match="refused"):
        await uninterrupted(work(2, ReloadError("refused")))


async def test_a_cancellation_waits_for_the_end() -> None:
    done = []

    async def note() -> None:
        done.append(await work(5))

    task = asyncio.create_task(uninterrupted(note()))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (done, now()) == (["done"], 5)


async def test_an_error_after_a_cancellation_is_logged() -> None:
    """For nobody is there any more to handle it."""
    task = asyncio.create_task(uninterrupted(work(5, ReloadError("refused"))))
    await asyncio.sleep(1)
    task.cancel()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await task
    assert logs == [{"event": "apply.failed_at_shutdown", "reason": "refused", "log_level": "error"}]
    assert now() == 5


async def test_a_cancellation_from_inside_goes_on() -> None:
    with pytest.raises(asyncio.CancelledError):
        await uninterrupted(work(1, asyncio.CancelledError()))


async def grouped(end: Coroutine[object, object, None], busy: asyncio.Future[None]) -> None:
    async def wait() -> None:
        await busy

    async with asyncio.TaskGroup() as group:
        group.create_task(end)
        group.create_task(wait())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
async def test_a_signal_ends_the_task_group(number: signal.Signals) -> None:
    """A hang-up before it does not: that one only asks for something."""
    busy = asyncio.ensure_future(asyncio.sleep(EVER))
    loop = asyncio.get_running_loop()
    loop.call_later(1, os.kill, os.getpid(), signal.SIGHUP)
    loop.call_later(2, os.kill, os.getpid(), number)
    hung_up: list[float] = []
    with pytest.raises(ExceptionGroup) as caught:
        await grouped(stop_on_signal({signal.SIGHUP: lambda: hung_up.append(now())}), busy)
    assert caught.group_contains(Shutdown)
    assert busy.cancelled()
    assert (hung_up, now()) == ([1], 2)
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


async def test_what_comes_last_is_done_while_everything_runs() -> None:
    """Somebody who loses patience and asks again does not break it off."""
    busy = asyncio.ensure_future(asyncio.sleep(EVER))
    loop = asyncio.get_running_loop()
    loop.call_later(1, os.kill, os.getpid(), signal.SIGTERM)
    loop.call_later(2, os.kill, os.getpid(), signal.SIGINT)
    done: list[tuple[float, bool]] = []

    async def last() -> None:
        await asyncio.sleep(5)
        done.append((now(), busy.cancelled()))

    with pytest.raises(ExceptionGroup):
        await grouped(stop_on_signal({}, last=last), busy)
    assert (done, busy.cancelled()) == ([(6, False)], True)
