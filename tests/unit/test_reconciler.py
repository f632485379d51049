"""The reconciler on a scripted apply, in virtual time: when it applies, and what it does when that fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from proxyconf.errors import (
    CommandError,
    NotRunningError,
    RefusedError,
    ReloadError,
    ReloadRefusedError,
    StateError,
    UsageError,
)
from proxyconf.model import Change, Listing, Problem
from proxyconf.nginx.workers import Lingering
from proxyconf.outfit import Outfit
from proxyconf.tables import Tables
from tests.unit.fakes import change, now
from tests.unit.reconciling import House, ScriptedApply

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.apply import Apply

pytestmark = pytest.mark.looptime

GATHER = 0.002
ONE, TWO = "10.0.0.1:80", "10.0.0.2:80"
FAILED = ReloadError("no proof")


async def test_a_change_is_applied_and_told(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE, fresh=True), at=1)
    await house.until(2)
    assert house.apply.calls == [1 + GATHER]
    status = house.board.status()
    assert (status.state, status.reason, status.nginx.running) == ("applied", "", True)
    assert status.applied is not None
    assert status.applied.digest == "digest-1"
    assert [(route.host, route.endpoints) for route in status.routes] == [("web.test", (ONE,))]
    (done,) = status.history
    assert (done.result, done.sources, done.changed) == (
        "applied",
        ("etcd",),
        ("+ web.test/", f"+ web {ONE}"),
    )
    assert done.served_ms == pytest.approx(2)
    assert list(done.steps_ms) == ["snapshot", "check", "proof"]


@pytest.mark.parametrize(
    ("outcome", "known"),
    [
        (ReloadError("no proof"), False),
        (CommandError("not included"), False),
        (ReloadRefusedError("no"), True),
        (StateError("full"), True),
    ],
)
@pytest.mark.parametrize("changes", [True, False])
async def test_what_is_proved_no_more_is_not_known_to_be_served(
    tmp_path: Path, outcome: Exception, *, known: bool, changes: bool
) -> None:
    """Somebody else may have had nginx read other files; of a change that fails what was before is served."""
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.apply.still, house.apply.outcomes = False, [outcome] * 9
        if changes:
            house.queue.put(change(TWO))
        await asyncio.sleep(6)
    status = house.board.status()
    assert status.state == "failed"
    is_known = known or changes
    assert (status.applied is not None, house.board.since.route("web.test/") is not None) == (
        is_known,
        is_known,
    )


async def test_where_nothing_waited_no_time_is_told(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE, fresh=True), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.look_again()
        await house.reconciler.looked.wait()
    done = house.board.status().history[-1]
    assert (done.asked, done.changed, done.served_ms) == (("look",), (), None)


async def test_where_nothing_is_for_nginx_no_time_is_told(tmp_path: Path) -> None:
    """As of an endpoint whose service no route leads to: it is noted, and nobody is served by it."""
    house = House(tmp_path)
    house.put(change(ONE, fresh=True), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.apply.reloading = False
        house.queue.put(change(TWO, fresh=True))
        await asyncio.sleep(2)
    done = house.board.status().history[-1]
    assert (done.result, done.changed) == ("applied", (f"- web {ONE}", f"+ web {TWO}"))
    assert done.served_ms is None


async def test_certificates_are_told_as_a_cause(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(2)
        house.apply.still, house.apply.recertified = False, ("~ web.test (certificate web)",)
        await asyncio.sleep(6)
    done = house.board.status().history[-1]
    assert (done.asked, done.changed) == (("certificates",), ("~ web.test (certificate web)",))


async def test_a_host_that_lets_nobody_in_is_told_as_closed(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.problems = (Problem("host", "web.test", "answers 503, for no certificate is for it"),)
    house.put(change(ONE, fresh=True), at=1)
    await house.until(2)
    (done,) = house.board.status().history
    assert done.changed == ("+ web.test/ (closed: 503)", f"+ web {ONE}")


async def test_what_is_served_is_looked_at_every_5_s(tmp_path: Path) -> None:
    """And nothing is done while it is."""
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    await house.until(17)
    assert house.apply.calls == [1 + GATHER]
    assert house.apply.looks == [6.002, 11.002, 16.002]


async def test_what_is_not_served_any_more_is_applied_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(8)
        house.apply.still = False
        await asyncio.sleep(9)
    assert house.apply.calls == [1 + GATHER, 11.002]
    assert house.board.status().history[-1].sources == ()


async def test_an_apply_that_does_nothing_costs_no_token(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    house.put(change(ONE), at=2)
    async with house.running():
        await asyncio.sleep(3)
        house.apply.reloading = False
        for number in range(8):
            house.put(change(ONE), at=3.1 + number / 10)
        await asyncio.sleep(1)
    assert [round(at, 4) for at in house.apply.calls[2:]] == [round(3.102 + n / 10, 4) for n in range(8)]


async def test_reloads_cost_tokens(tmp_path: Path) -> None:
    """What failed after a reload, too."""
    house = House(tmp_path)
    for number in range(5):
        house.put(change(ONE), at=2 + number / 10)
    await house.until(4)
    assert house.apply.calls[:3] == [2.002, 2.102, 2.202]
    assert house.apply.calls[3] == pytest.approx(2.502, abs=0.05)


async def test_old_workers_are_counted(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.lingering = Lingering(2, 30 << 30)
    house.put(change(ONE), at=1)
    for number in range(3):
        house.put(change(TWO), at=2 + number)
    await house.until(5)
    assert (house.board.nginx.old_workers, house.board.nginx.old_workers_bytes) == (2, 30 << 30)
    assert len(house.apply.calls) == 3  # after the burst a reload comes every 10 s


@pytest.mark.parametrize(
    ("error", "state", "settled"),
    [
        pytest.param(FAILED, "failed", False, id="no proof"),
        pytest.param(ReloadRefusedError("bind"), "failed", False, id="reload refused"),
        pytest.param(StateError("full"), "failed", False, id="disk full"),
        pytest.param(CommandError("no nginx"), "failed", False, id="no program"),
        pytest.param(RefusedError("bad"), "refused", True, id="refused"),
    ],
)
async def test_failures_are_repeated_with_back_off(
    tmp_path: Path, error: Exception, state: str, *, settled: bool
) -> None:
    house = House(tmp_path)
    house.apply.outcomes = [error] * 8
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(100)
        status = house.board.status()
        assert (status.state, status.reason) == (state, str(error))
        assert len(status.history) == 1
        assert house.reconciler.settled.is_set() == settled
        await asyncio.sleep(200)
    waits = [late - early for early, late in zip(house.apply.calls, house.apply.calls[1:], strict=False)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30])
    assert house.board.status().state == "applied"
    assert house.reconciler.settled.is_set()


async def test_the_age_of_a_change_counts_through_failures(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.outcomes = [FAILED, FAILED]
    house.put(change(ONE), at=1)
    house.put(change(TWO), at=3)
    await house.until(5)
    assert house.apply.calls == [1.002, 2.002, 3.002]
    done = house.board.status().history[-1]
    assert done.result == "applied"
    assert done.served_ms == pytest.approx(2002)


async def test_the_back_off_starts_again_after_a_success(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.outcomes = [FAILED, FAILED, None, FAILED]
    house.put(change(ONE), at=1)
    house.put(change(TWO), at=7)
    await house.until(10)
    assert house.apply.calls == [1.002, 2.002, 4.002, 7.002, 8.002]


async def test_an_nginx_that_does_not_run_is_looked_for(tmp_path: Path) -> None:
    """A state, not a failure: no back-off, and it is settled."""
    house = House(tmp_path)
    house.apply.outcomes = [NotRunningError("none")] * 100
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(30)
        assert house.board.status().state == "installed"
        assert house.board.nginx.running is False
        assert house.reconciler.settled.is_set()
        house.apply.outcomes = []
        await asyncio.sleep(0.9)
    assert house.apply.calls == [1.002, house.apply.waits[-1]], "a look does not make everything anew"
    waits = [late - early for early, late in zip(house.apply.waits, house.apply.waits[1:], strict=False)]
    assert waits == pytest.approx([0.5] * len(waits))
    assert house.board.status().state == "applied"
    assert house.board.nginx.running is True


async def test_shutdown_lets_an_apply_in_flight_finish(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.takes_s = 3
    house.put(change(ONE), at=1)
    async with house.running() as task:
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert house.apply.done[0][0] == now() == 1.002 + 3
    applied = house.state.load_applied()
    assert applied is not None
    assert applied.nonce == "nonce-1"


async def test_shutdown_while_idle_is_at_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.until(3)
    assert now() == 3


async def test_what_comes_during_an_apply_is_applied_next(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.takes_s = 1
    house.put(change(ONE), at=1)
    house.put(change(TWO), at=1.5)
    house.put(change(ONE, TWO), at=1.6)
    await house.until(4)
    assert house.apply.addresses() == [(ONE,), (ONE, TWO)]
    assert house.apply.calls == [1.002, 2.002]


async def test_a_person_can_ask_for_a_pass(tmp_path: Path) -> None:
    """A confirmed loss is applied without another change."""
    house = House(tmp_path)
    house.put(change(ONE, TWO, fresh=True), at=1)
    house.put(change(fresh=True), at=2)
    async with house.running():
        await asyncio.sleep(3)
        assert [str(problem)[:11] for problem in house.board.status().problems] == ["source etcd"]
        assert house.intake.confirm() == ("etcd",)
        house.queue.poke()
        await asyncio.sleep(1)
    assert house.apply.addresses() == [(ONE, TWO), (ONE, TWO), ()]
    assert house.board.status().problems == []


async def test_problems_of_all_kinds_reach_the_board(tmp_path: Path) -> None:
    house = House(tmp_path)
    refused = Problem("host", "web.test", "nginx refuses it")
    house.apply.problems = (refused,)
    bad = Problem("endpoint", "etcd x", "bad")
    house.put(change(ONE, TWO, fresh=True), at=1)
    house.put(Change(Listing("etcd", revision=1, problems=(bad,))), at=2)
    house.put(change(ONE, TWO), at=3)
    house.put(Change(Listing("etcd", revision=1, problems=(bad,)), fresh=True), at=4)
    async with house.running():
        await asyncio.sleep(2.5)
        assert house.board.status().problems == [bad, refused]
        await asyncio.sleep(2)
        assert [problem.what for problem in house.board.status().problems] == ["source", "host"]
        house.apply.outcomes = [FAILED]
        house.intake.confirm()
        house.queue.poke()
        await asyncio.sleep(0.5)
        assert house.board.status().problems == [bad, refused]


async def test_a_folder_that_can_not_be_used_at_the_start_ends_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.apply.unusable = StateError("no room")
    with pytest.raises(StateError, match="no room"):
        async with house.running() as task:
            await task


async def test_served_means_proved(tmp_path: Path) -> None:
    """What is tidied and saved after the proof keeps nobody waiting; the gathering before it does."""
    house = House(tmp_path)
    house.apply.takes_s, house.apply.tidies_s = 2.0, 3.0
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(10)
        assert house.board.status().history[-1].served_ms == pytest.approx(2002)


async def test_whatever_goes_wrong_is_tried_again(tmp_path: Path) -> None:
    """A folder that may not be entered, an nginx that is none any more: what works goes on."""
    house = House(tmp_path)
    house.apply.outcomes = [PermissionError(13, "Permission denied"), UsageError("nginx can't be run"), None]
    house.put(change(ONE), at=1)
    await house.until(10)
    assert house.apply.calls == [1.002, 2.002, 4.002]
    assert house.board.status().state == "applied"


async def test_a_look_that_is_asked_for_in_a_pass_comes_after_it(tmp_path: Path) -> None:
    """It is that next look whose end is the answer, and nothing is altered under the pass."""
    house = House(tmp_path)
    house.apply.takes_s = 2.0
    house.put(change(ONE), at=1)
    async with house.running():
        for at in (2, 4):
            await asyncio.sleep(at - now())
            house.reconciler.look_again()
        assert house.apply.looked_again == pytest.approx([3.002])
        await house.reconciler.looked.wait()
        assert house.apply.looked_again == pytest.approx([3.002, 5.002])
        assert now() == pytest.approx(7.002)
        asked = [done.asked for done in house.board.status().history]
    assert asked == [("start",), ("look",), ("look",)]


async def test_a_new_configuration_waits_for_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    """A file system turned read-only must not end what serves."""
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    later = ScriptedApply()
    later.unusable = StateError("read-only")
    async with house.running():
        await asyncio.sleep(2)
        house.reconciler.wear(Outfit(Tables(), cast("Apply", later)))
        await asyncio.sleep(2)
        assert (house.board.status().state, house.board.status().reason) == ("failed", "read-only")
        later.unusable = None
        await asyncio.sleep(5)
        assert house.board.status().state == "applied"
    assert (len(house.apply.calls), len(later.calls), later.resumed[0] is not None) == (1, 1, True)
