"""The reconciler with its brake on: what is taken in, what is said, and what comes into effect afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import ReloadError
from proxyconf.model import Problem
from tests.unit.fakes import change, now
from tests.unit.reconciling import House

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.api import Status

pytestmark = pytest.mark.looptime

ONE, TWO = "10.0.0.1:80", "10.0.0.2:80"


def told(house: House) -> tuple[str, str]:
    status: Status = house.board.status()
    return status.state, status.reason.partition(" (")[0]


async def test_what_comes_waits(tmp_path: Path) -> None:
    """It is said; and comes into effect at once afterwards."""
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    house.put(change(TWO), at=3)
    house.put(change(ONE, TWO), at=5)
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.brake.hold()
        assert told(house) == ("applied", "")
        await asyncio.sleep(2)
        assert told(house) == ("paused", "2 changes wait")
        await asyncio.sleep(17)
        assert told(house) == ("paused", "1 change waits")
        assert house.board.status().routes[0].endpoints == (ONE, TWO)
        house.reconciler.resume()
        await asyncio.sleep(1)
    assert house.apply.calls == [1.002, 21.002]
    assert told(house) == ("applied", "")
    done = house.board.status().history[-1]
    assert (done.sources, done.asked, done.changed) == (("etcd",), ("resume",), (f"+ web {TWO}",))
    assert done.served_ms == pytest.approx(2), "the pause is not ours to answer for"


async def test_while_nothing_comes_nothing_waits(tmp_path: Path) -> None:
    """Not even where the same is said again, or what came has gone again."""
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    house.put(change(ONE), at=3)
    house.put(change(TWO), at=5)
    house.put(change(ONE), at=7)
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.brake.hold()
        await asyncio.sleep(2)
        assert told(house) == ("applied", "")
        await asyncio.sleep(2)
        assert told(house)[0] == "paused"
        await asyncio.sleep(2)
        assert told(house) == ("applied", "")
        assert house.board.status().behind_since is None
        house.reconciler.resume()
        await asyncio.sleep(1)
    assert house.board.status().history[-1].changed == ()


async def test_a_file_that_came_beside_the_snapshot_waits(tmp_path: Path) -> None:
    """A renewed certificate, or an operator's file; also once it has been read, and is nothing new."""
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.brake.hold()
        house.apply.known = house.apply.still = False
        await asyncio.sleep(10)
        assert told(house)[0] == "paused"
        house.apply.still = True
        await asyncio.sleep(10)
        assert told(house)[0] == "paused"
    assert house.apply.calls == [1.002]


async def test_an_nginx_that_went_is_not_mended(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.brake.hold()
        house.apply.still = house.apply.runs = False
        await asyncio.sleep(10)
        assert told(house) == ("paused", "what is new waits")
        assert (house.board.status().nginx.running, house.board.status().applied) == (False, None)
    assert house.apply.calls == [1.002]


async def test_a_failure_is_not_repeated(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.outcomes = [ReloadError("no proof")] * 3
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(2.5)
        house.reconciler.brake.hold()
        await asyncio.sleep(60)
        assert told(house) == ("paused", "what is new waits")
    assert house.apply.calls == [1.002, 2.002]


async def test_what_is_under_way_can_be_waited_for(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.takes_s = 3
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.brake.hold()
        await house.reconciler.brake.at_rest()
        assert now() == 4.002
        assert told(house) == ("applied", "")


async def test_from_the_start_with_nothing_new(tmp_path: Path) -> None:
    """nginx proves what an earlier run gave it, which is just what is wanted: nothing waits."""
    house = House(tmp_path)
    house.apply.known = True
    house.reconciler.brake.hold()
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.wait_for(house.reconciler.settled.wait(), 2)
        assert told(house) == ("applied", "")
        assert house.board.status().behind_since is None
        house.apply.known = False
        house.put(change(), at=3)
        await asyncio.sleep(5)
        assert told(house) == ("paused", "1 change waits")
    assert house.apply.calls == []


async def test_from_the_start(tmp_path: Path) -> None:
    """What nginx serves is of an earlier run; problems are told all the same, and nobody waits in vain."""
    house = House(tmp_path)
    house.apply.problems = (Problem("host", "web.test", "nginx refuses it"),)
    house.reconciler.brake.hold()
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.wait_for(house.reconciler.settled.wait(), 2)
        assert told(house) == ("paused", "what is new waits")
        assert [problem.what for problem in house.board.status().problems] == ["host"]
        assert house.apply.calls == []
        house.reconciler.ask("configuration")
        house.reconciler.resume()
        await asyncio.sleep(1)
    assert len(house.apply.calls) == 1
    assert house.board.status().history[-1].asked == ("configuration", "resume", "start")


async def test_how_long_a_change_waits_is_known(tmp_path: Path) -> None:
    """From its arrival on, in the time of the world."""
    house = House(tmp_path)
    house.apply.takes_s = 4
    house.put(change(ONE), at=1)
    house.put(change(TWO), at=10)
    async with house.running():
        await asyncio.sleep(9)
        assert house.board.status().behind_since is None
        await asyncio.sleep(2)
        since = house.board.status().behind_since
        assert since is not None
        await asyncio.sleep(9)
        assert house.board.status().behind_since is None
