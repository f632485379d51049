"""Whether the loop moves on: signs of life, and how long one may be missing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from proxyconf.errors import NotRunningError, RefusedError
from proxyconf.outfit import Outfit
from proxyconf.progress import Progress
from proxyconf.resources.table import Command
from proxyconf.tables import Tables
from tests.unit.fakes import change
from tests.unit.reconciling import House

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.groups.group import Group

pytestmark = pytest.mark.looptime

ONE = "10.0.0.1:80"


def test_a_promise_is_kept_or_not() -> None:
    clock = [1000.0]
    progress = Progress(lambda: clock[0])
    clock[0] += 1e6
    assert progress.late_s == 0, "nothing was promised"
    progress.promise(30)
    clock[0] += 150
    assert progress.late_s == 0
    clock[0] += 1
    assert progress.late_s == 1
    progress.promise()
    assert progress.late_s == 0


async def test_who_waits_moves_on(tmp_path: Path) -> None:
    """For a change, for a retry, for an nginx."""
    house = House(tmp_path)
    house.apply.outcomes = [RefusedError("bad")] * 8 + [NotRunningError("none")] * 50
    house.put(change(ONE), at=1)
    async with house.running():
        for _ in range(400):
            await asyncio.sleep(1)
            assert house.reconciler.progress.late_s == 0


async def test_what_hangs_is_late(tmp_path: Path) -> None:
    """A step that never ends; and it is forgiven as soon as it does."""
    house = House(tmp_path)
    house.apply.takes_s = 200
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(121)
        assert house.reconciler.progress.late_s == 0
        await asyncio.sleep(9)
        assert house.reconciler.progress.late_s == pytest.approx(130 - 121.002)
        await asyncio.sleep(90)
        assert house.reconciler.progress.late_s == 0


@pytest.mark.parametrize(
    ("checks", "patience_s"),
    [
        pytest.param(None, 0, id="no templates"),
        pytest.param([], 0, id="without a check"),
        pytest.param([None, 40.0, 30.0], 140, id="with checks"),
    ],
)
def test_templates_may_take_what_their_checks_may(
    checks: list[float | None] | None, patience_s: float
) -> None:
    outputs = [
        SimpleNamespace(resource=SimpleNamespace(check=limit and Command("true", limit)))
        for limit in checks or ()
    ]
    joined = None if checks is None else cast("Group", SimpleNamespace(outputs=outputs))
    assert Outfit(Tables(), None, joined).patience_s == patience_s
