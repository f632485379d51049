"""The task of one group: the newest view, at a bounded pace, again when something is due; and its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from proxyconf.groups.lane import Lane
from proxyconf.tables import Pace
from tests.unit.fakes import now
from tests.unit.grouping import view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxyconf.groups.group import Group
    from proxyconf.groups.rendering import View

pytestmark = pytest.mark.looptime


class Noting:
    """An output that is only told how it stands."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def note(self, state: str, reason: str = "") -> None:
        self.notes.append((state, reason))


class FakeGroup:
    """A group that takes its time.

    Attributes:
        brought: When it began to bring which view.
        causes: What each is another one by.
        takes_s: How long one takes.
        wait_s: How soon it wants to look again.
        runs_command: Whether each runs one.
        due: Whether there is something to do without a change.
        is_pending: Whether an earlier run has left a reload undone.
        looks: When it was asked that.
        crash: Is raised.
    """

    def __init__(self) -> None:
        self.outputs = (Noting(), Noting())
        self.commands = 0
        self.brought: list[tuple[float, View | None]] = []
        self.causes: list[list[str]] = []
        self.takes_s = 0.0
        self.wait_s = 5.0
        self.runs_command = False
        self.due = self.is_pending = False
        self.looks: list[float] = []
        self.crash: Exception | None = None
        self.resumed = 0
        self.hurried_at: float | None = None

    async def resume(self) -> None:
        self.resumed += 1

    async def bring(self, seen: View | None, causes: frozenset[str]) -> float:
        self.causes.append(sorted(causes))
        self.brought.append((now(), seen))
        await asyncio.sleep(self.takes_s)
        self.commands += self.runs_command
        if self.crash:
            raise self.crash
        return self.wait_s

    async def is_due(self) -> bool:
        self.looks.append(now())
        if self.crash:
            raise self.crash
        return self.due

    def end_soon(self) -> None:
        self.hurried_at = now()

    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.brought]


@asynccontextmanager
async def running(group: FakeGroup | Group, pace: Pace | None = None) -> AsyncIterator[Lane]:
    lane = Lane(cast("Group", group), pace=pace or Pace())
    task = asyncio.create_task(lane.run())
    try:
        yield lane
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_waits_for_a_first_view() -> None:
    group = FakeGroup()
    async with running(group) as lane:
        await asyncio.sleep(60)
        assert (group.resumed, group.brought, group.looks) == (1, [], [])
        lane.want(view(a="1"))
        await lane.settled.wait()
        assert group.times() == [60]


async def test_the_newest_view_wins_and_one_is_under_way_at_a_time() -> None:
    group = FakeGroup()
    group.takes_s = 1
    first, second, third = view(a="1"), view(a="2"), view(a="3")
    async with running(group) as lane:
        lane.want(first)
        await asyncio.sleep(0.5)
        lane.want(second)
        lane.want(third)
        await asyncio.sleep(5)
        assert [seen for _, seen in group.brought] == [first, third]
        assert group.times() == [0, 1]


async def test_a_view_has_the_causes_of_those_it_overtook_too() -> None:
    group = FakeGroup()
    group.takes_s, group.due = 1, True
    first, second, third = view(a="1"), view(a="2"), view(a="3")
    async with running(group) as lane:
        lane.want(first, frozenset({"start", "etcd"}))
        await asyncio.sleep(0.5)
        lane.want(second, frozenset({"etcd"}))
        lane.want(third, frozenset({"file"}))
        lane.want(third, frozenset({"look"}))
        await asyncio.sleep(10)
    assert group.causes == [["etcd", "start"], ["etcd", "file"], []]


async def test_the_same_view_is_nothing_new() -> None:
    group = FakeGroup()
    seen = view(a="1")
    async with running(group) as lane:
        lane.want(seen)
        await lane.settled.wait()
        lane.want(seen)
        assert lane.settled.is_set()
        await asyncio.sleep(1)
        assert len(group.brought) == 1


async def test_settled_is_said_of_the_newest_view() -> None:
    """Not when an older one has come to its end meanwhile."""
    group = FakeGroup()
    group.takes_s = 1
    async with running(group) as lane:
        lane.want(view(a="1"))
        await asyncio.sleep(0.5)
        lane.want(view(a="2"))
        await asyncio.sleep(1)
        assert not lane.settled.is_set()
        await lane.settled.wait()
        assert now() == pytest.approx(2)


async def test_looks_and_does_only_what_is_due() -> None:
    group = FakeGroup()
    async with running(group) as lane:
        lane.want(view(a="1"))
        await asyncio.sleep(11)
        assert (group.times(), group.looks) == ([0], [5, 10])
        group.due = True
        await asyncio.sleep(5)
        assert group.times() == [0, 15]
        assert lane.settled.is_set()


async def test_a_change_does_not_wait_for_the_next_look() -> None:
    group = FakeGroup()
    async with running(group) as lane:
        lane.want(view(a="1"))
        await asyncio.sleep(2)
        lane.want(view(a="2"))
        await asyncio.sleep(1)
        assert group.times() == [0, 2]


async def test_commands_are_bounded() -> None:
    """Three at once, then one per half second; each brings what is newest then."""
    group = FakeGroup()
    group.runs_command = True
    async with running(group) as lane:
        views = [view(a=str(number)) for number in range(200)]
        for one in views:
            lane.want(one)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert group.times() == [0, 0.01, 0.02, 0.5, 1.0, 1.5, 2.0]
        assert group.brought[-1][1] is views[-1]


async def test_what_runs_nothing_is_not_slowed_down() -> None:
    group = FakeGroup()
    async with running(group) as lane:
        for number in range(20):
            lane.want(view(a=str(number)))
            await asyncio.sleep(0.01)
        assert len(group.brought) == 20


async def test_a_bug_is_told_and_tried_again() -> None:
    """It is one group's; its traceback is logged once."""
    group = FakeGroup()
    group.crash = OSError("Too many open files")
    with capture_logs() as logs:
        async with running(group) as lane:
            lane.want(view(a="1"))
            await lane.settled.wait()
            group.due = True
            await asyncio.sleep(12)
            assert group.times() == [0, 5, 10]
            group.crash = None
            await asyncio.sleep(5)
            group.crash = OSError("Too many open files")
            await asyncio.sleep(5)
    reason = "crashed: OSError('Too many open files') (a bug of ours: please report it)"
    assert [set(output.notes) for output in group.outputs] == [{("failed", reason)}] * 2
    assert [entry["event"] for entry in logs] == ["templates.crashed"] * 2


async def test_an_end_while_nothing_is_under_way() -> None:
    group = FakeGroup()
    async with running(group) as lane:
        lane.want(view(a="1"))
        await asyncio.sleep(1)
    assert now() == 1
    assert group.hurried_at is None


async def test_an_end_waits_for_what_is_under_way() -> None:
    group = FakeGroup()
    group.takes_s = 2
    async with running(group) as lane:
        lane.want(view(a="1"))
        await asyncio.sleep(1)
    assert (now(), group.hurried_at) == (2, 1)


async def test_a_program_that_goes_on_hurries_nothing() -> None:
    """As when the configuration is read again; but if it is to end meanwhile, it must end soon."""
    group = FakeGroup()
    group.takes_s = 60
    lane = Lane(cast("Group", group), pace=Pace())
    task = asyncio.create_task(lane.run())
    lane.want(view(a="1"))
    await asyncio.sleep(1)
    lane.let_finish()
    task.cancel()
    await asyncio.sleep(20)
    assert group.hurried_at is None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert now() == 60
    assert group.times() == [0]
    assert group.hurried_at == 21


async def test_a_reload_that_was_left_undone_waits_for_no_view() -> None:
    """Its store may be down; and nobody takes that for the outcome of a view."""
    group = FakeGroup()
    group.is_pending = True
    async with running(group) as lane:
        await asyncio.sleep(1)
        assert (group.brought, lane.settled.is_set()) == ([(0, None)], False)
        lane.want(seen := view(a="1"))
        await lane.settled.wait()
        assert group.brought[1:] == [(1, seen)]


async def test_a_lane_that_is_held_does_nothing() -> None:
    """Neither for a view nor for what is due; what is under way ends, and the newest view counts then."""
    group = FakeGroup()
    group.takes_s = 2
    async with running(group) as lane:
        lane.want(view(a="1"))
        await asyncio.sleep(1)
        lane.brake.hold()
        await lane.brake.at_rest()
        assert now() == 2
        group.due = True
        lane.want(view(a="2"))
        await asyncio.sleep(20)
        assert group.times() == [0]
        newest = view(a="3")
        lane.want(newest)
        lane.brake.release()
        await asyncio.sleep(1)
    assert group.times() == [0, 22]
    assert group.brought[-1][1] is newest
