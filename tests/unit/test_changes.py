"""The change queue and its pace, in virtual time: when what is handed out."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from proxyconf.changes import Batch, ChangeQueue
from proxyconf.model import Change
from proxyconf.tables import Pace
from proxyconf.units import Seconds
from tests.unit.fakes import change, now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.looptime

GATHER, QUIET, LIMIT, REFILL_MIN, REFILL_MAX = 0.002, 0.025, 0.5, 0.5, 5.0
ONE, TWO = change("10.0.0.1:80"), change("10.0.0.2:80")
URGENT = change("10.0.0.3:80", urgent=True)
OTHER = change("10.0.0.9:80", source="docker")


def later(queue: ChangeQueue, at: float, what: Change = ONE) -> None:
    asyncio.get_running_loop().call_at(at, queue.put, what)


async def due(queue: ChangeQueue) -> float:
    """Return when the next batch was handed out."""
    await queue.get()
    return now()


def spend(queue: ChangeQueue, *costs_s: float) -> None:
    for cost_s in costs_s:
        queue.bucket.spend(cost_s)


@asynccontextmanager
async def storm(queue: ChangeQueue, gap_s: float) -> AsyncIterator[None]:
    """Put a change at once, and one every *gap_s*."""

    async def blow() -> None:
        while True:
            queue.put(ONE)
            await asyncio.sleep(gap_s)

    task = asyncio.create_task(blow())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_lone_change_is_handed_out_after_gathering() -> None:
    """It never waits for quiet."""
    queue = ChangeQueue(Pace())
    later(queue, 7)
    assert await queue.get() == Batch({"etcd": ONE}, since=7)
    assert now() == 7 + GATHER


async def test_every_lone_change_is_leading() -> None:
    queue = ChangeQueue(Pace())
    for start in (1, 2, 3):
        later(queue, start)
        assert await due(queue) == start + GATHER


async def test_what_comes_while_gathering_comes_along() -> None:
    """The newest of each source, and the age of the oldest."""
    queue = ChangeQueue(Pace())
    later(queue, 1, ONE)
    later(queue, 1.001, OTHER)
    later(queue, 1.0015, TWO)
    assert await queue.get() == Batch({"etcd": TWO, "docker": OTHER}, since=1)
    assert now() == 1 + GATHER


async def test_what_was_put_before_anybody_waited_is_not_leading() -> None:
    """While something is applied, what comes waits for quiet."""
    queue = ChangeQueue(Pace())
    queue.put(ONE)
    assert await due(queue) == QUIET


async def test_a_change_during_an_apply_is_not_leading() -> None:
    queue = ChangeQueue(Pace())
    later(queue, 1)
    await queue.get()
    later(queue, 1.01, TWO)
    await asyncio.sleep(0.02)  # applying
    assert await due(queue) == pytest.approx(1.01 + QUIET, abs=1e-9)


async def test_a_change_right_behind_another_is_not_leading() -> None:
    """Even when somebody waits already: it may be the second of many."""
    queue = ChangeQueue(Pace())
    later(queue, 1)
    await queue.get()
    later(queue, 1.01, TWO)
    assert await due(queue) == pytest.approx(1.01 + QUIET, abs=1e-9)


async def test_a_burst_is_handed_out_after_quiet() -> None:
    queue = ChangeQueue(Pace())
    for number in range(5):
        later(queue, number / 100, TWO if number == 4 else ONE)
    await asyncio.sleep(0.005)
    assert (await queue.get()).changes == {"etcd": TWO}
    assert now() == 0.04 + QUIET


async def test_a_burst_without_quiet_is_handed_out_at_the_limit() -> None:
    """The age of the oldest counts, so that a trailing window can never starve."""
    queue = ChangeQueue(Pace())
    async with storm(queue, 0.02):
        assert await due(queue) == LIMIT
        assert await due(queue) == pytest.approx(0.52 + LIMIT)


async def test_the_bucket_lets_three_go_at_once() -> None:
    queue = ChangeQueue(Pace())
    spend(queue, 0, 0)
    later(queue, 0.1)
    assert await due(queue) == pytest.approx(0.1 + GATHER)
    queue.bucket.spend(0)
    later(queue, 0.2)
    assert await due(queue) == REFILL_MIN  # the first token has come back


async def test_the_bucket_never_holds_more_than_three() -> None:
    queue = ChangeQueue(Pace())
    await asyncio.sleep(1000)
    spend(queue, 0, 0, 0)
    later(queue, 1001 - 0.9)
    assert await due(queue) == 1000 + REFILL_MIN


@pytest.mark.parametrize(
    ("cost_s", "refill_s"),
    [
        pytest.param(0.0, REFILL_MIN, id="cheap"),
        pytest.param(0.1, REFILL_MIN, id="4 x 0.1 is below the least"),
        pytest.param(0.5, 2.0, id="4 x 0.5"),
        pytest.param(60.0, REFILL_MAX, id="costly"),
    ],
)
async def test_a_token_comes_back_after_four_times_the_cost(cost_s: float, refill_s: float) -> None:
    queue = ChangeQueue(Pace())
    spend(queue, cost_s, cost_s, cost_s)
    later(queue, 0.001)
    assert await due(queue) == refill_s
    queue.bucket.spend(cost_s)
    later(queue, refill_s + 0.001)
    assert await due(queue) == 2 * refill_s


async def test_tokens_come_back_at_the_newest_price() -> None:
    """After three costly reloads and a cheap one, the next is not held up by the old price."""
    queue = ChangeQueue(Pace())
    spend(queue, 60, 60, 60)
    later(queue, 0.001)
    assert await due(queue) == REFILL_MAX
    queue.bucket.spend(0)
    later(queue, REFILL_MAX + 0.001)
    assert await due(queue) == REFILL_MAX + REFILL_MIN


@pytest.mark.parametrize(
    ("memory", "times"),
    [
        pytest.param(1 << 30, 1, id="as much as they may"),
        pytest.param(3 << 30, 3, id="three times"),
        pytest.param(1 << 40, 20, id="a multitude"),
    ],
)
async def test_old_workers_that_hold_too_much_slow_the_reloads(memory: int, times: int) -> None:
    queue = ChangeQueue(Pace(burst=1))
    queue.bucket.spend(0, old_workers=memory)
    queue.put(ONE)
    assert await due(queue) == times * REFILL_MIN


async def test_a_pace_without_any_rest_is_possible() -> None:
    queue = ChangeQueue(Pace(refill_min=Seconds(0), refill_max=Seconds(0)))
    spend(queue, 1, 1, 1, 1)
    later(queue, 1)
    assert await due(queue) == 1 + GATHER


async def test_a_storm_gives_two_passes_a_second() -> None:
    """50 changes a second for 20 s; each pass reloads."""
    queue = ChangeQueue(Pace())
    passes = []
    async with storm(queue, 0.02):
        while now() < 20:
            passes.append(await due(queue))
            queue.bucket.spend(0.05)
    assert passes == [pytest.approx(LIMIT + number * (LIMIT + 0.02)) for number in range(39)]


async def test_a_storm_of_lone_changes_is_held_by_the_bucket() -> None:
    """Each of them would be leading."""
    queue = ChangeQueue(Pace())
    passes = []
    async with storm(queue, 0.03):
        while now() < 20:
            passes.append(await due(queue))
            queue.bucket.spend(0.05)
    assert len(passes) <= 3 + 2 * 20 + 1
    assert passes[-1] - passes[-21] == pytest.approx(10, abs=0.03)


async def test_urgent_skips_the_quiet() -> None:
    queue = ChangeQueue(Pace())
    queue.put(ONE)
    later(queue, 0.01, URGENT)
    assert await due(queue) == 0.01


async def test_urgent_stays_urgent_when_it_is_replaced() -> None:
    queue = ChangeQueue(Pace())
    queue.put(URGENT)
    queue.put(ONE)
    assert await queue.get() == Batch({"etcd": ONE}, since=0)
    assert now() == GATHER
    queue.put(ONE)
    assert await due(queue) == pytest.approx(GATHER + QUIET)  # and is forgotten afterwards


async def test_urgent_takes_a_token_ahead_of_its_time() -> None:
    """One, and what comes after it waits for longer, so that there are no more of them in the long run."""
    queue = ChangeQueue(Pace())
    spend(queue, 0, 0, 0)
    queue.put(URGENT)
    assert await due(queue) == GATHER
    queue.bucket.spend(0)
    queue.put(URGENT)
    assert await due(queue) == REFILL_MIN
    queue.bucket.spend(0)
    queue.put(ONE)
    assert await due(queue) == 3 * REFILL_MIN


async def test_what_comes_while_a_token_is_awaited_comes_along() -> None:
    queue = ChangeQueue(Pace())
    spend(queue, 0, 0, 0)
    queue.put(ONE)
    later(queue, REFILL_MIN - 0.001, TWO)
    assert await queue.get() == Batch({"etcd": TWO}, since=0)
    assert now() == REFILL_MIN


async def test_fresh_survives_being_replaced() -> None:
    """Or the loss guard would not look at what comes right after an outage."""
    queue = ChangeQueue(Pace())
    queue.put(change("10.0.0.1:80", fresh=True))
    queue.put(TWO)
    queue.put(ONE)
    assert (await queue.get()).changes == {"etcd": Change(ONE.listing, fresh=True)}
    queue.put(ONE)
    assert (await queue.get()).changes == {"etcd": ONE}


async def test_cancelled_while_it_settles_loses_nothing() -> None:
    queue = ChangeQueue(Pace())
    queue.put(ONE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(QUIET / 2):
            await queue.get()
    assert await queue.get() == Batch({"etcd": ONE}, since=0)
    assert now() == QUIET


async def test_a_change_after_a_cancelled_get_is_not_leading() -> None:
    """Nobody waits then: a pass that was due by the clock is under way."""
    queue = ChangeQueue(Pace())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await queue.get()
    queue.put(ONE)
    assert await due(queue) == 1 + QUIET


async def test_poke_gives_an_empty_batch_once() -> None:
    queue = ChangeQueue(Pace())
    asyncio.get_running_loop().call_at(3, queue.poke)
    assert await queue.get() == Batch({}, since=3, poked=True)
    assert now() == 3 + GATHER
    queue.put(ONE)
    assert await queue.get() == Batch({"etcd": ONE}, since=3 + GATHER)


async def test_poke_comes_along_with_a_change() -> None:
    queue = ChangeQueue(Pace())
    queue.put(ONE)
    queue.poke()
    assert await queue.get() == Batch({"etcd": ONE}, since=0, poked=True)


async def test_the_pace_is_settable() -> None:
    queue = ChangeQueue(Pace(gather=Seconds(1), quiet=Seconds(2), limit=Seconds(3)))
    queue.put(ONE)
    assert await due(queue) == 2
    later(queue, 10)
    assert await due(queue) == 11
    async with storm(queue, 1):
        assert await due(queue) == 11 + 3
