"""The start of a run: what is waited for, what an earlier run left; and that the last write wins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import looptime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxyconf.errors import NotRunningError, RefusedError, ReloadError, StateError, UncheckedError
from proxyconf.model import Change, Entry, Listing
from proxyconf.outfit import Outfit
from proxyconf.state import Applied
from proxyconf.tables import Tables
from tests.unit.fakes import change, listing
from tests.unit.reconciling import House

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.looptime

ONE, TWO = "10.0.0.1:80", "10.0.0.2:80"
BOTH = ("etcd", "docker")
SERVED = Applied(digest="d", nonce="n", at=1.0, owners={"web.test/": ("etcd", "routes/web")})


def leave(house: House, *listings: Listing, applied: Applied | None = None) -> None:
    """Leave in the state folder what an earlier run would have left."""
    with house.state.locked():
        house.state.save_listings(listings)
        if applied:
            house.state.save_applied(applied)


async def test_every_required_source_is_waited_for(tmp_path: Path) -> None:
    house = House(tmp_path, BOTH)
    house.put(change(ONE), at=1)
    house.put(change(TWO, source="docker"), at=4)
    await house.until(5)
    assert house.apply.calls == [4.002]
    assert house.board.waits == [(0.5, "for etcd, docker"), (1.002, "for docker")]


async def test_an_nginx_to_check_by_is_waited_for(tmp_path: Path) -> None:
    """One in another container may come later than we do; that is no failure, and no outcome."""
    house = House(tmp_path)
    house.apply.outcomes = [UncheckedError("for nginx: none"), UncheckedError("for nginx: none"), None]
    house.put(change(ONE), at=1)
    await house.until(3)
    assert house.apply.calls == [1.002, 1.502, 2.002]
    assert house.board.waits == [(0.5, "for etcd"), (1.002, "for nginx: none"), (1.502, "for nginx: none")]
    assert house.board.status().state == "applied"
    assert house.board.nginx.version == "1.22.1"


async def test_a_source_that_is_not_required_is_not_waited_for(tmp_path: Path) -> None:
    house = House(tmp_path, required=False)
    house.put(change(ONE), at=1)
    await house.until(2)
    assert (house.apply.calls, house.board.waits) == ([0.5, 1.002], [])


async def test_what_was_saved_is_applied_at_once(tmp_path: Path) -> None:
    """And counts until the source speaks; it is not settled before."""
    house = House(tmp_path)
    leave(house, listing(ONE), applied=SERVED)
    house.put(change(TWO, fresh=True), at=3)
    async with house.running():
        await asyncio.sleep(2)
        assert (house.apply.calls, house.apply.addresses()) == ([0], [(ONE,)])
        settled = [house.reconciler.settled.is_set()]
        await asyncio.sleep(2)
        assert house.apply.addresses() == [(ONE,), (TWO,)]
        assert [*settled, house.reconciler.settled.is_set()] == [False, True]
    assert house.apply.resumed == [SERVED]


async def test_what_was_saved_of_one_source_does_not_do_for_another(tmp_path: Path) -> None:
    house = House(tmp_path, BOTH)
    leave(house, listing(ONE), applied=SERVED)
    await house.until(9)
    assert house.apply.calls == []


async def test_after_start_wait_it_goes_on_with_what_is_known(tmp_path: Path) -> None:
    """Where no earlier run would lose by it."""
    house = House(tmp_path, BOTH)
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(11)
        assert (house.apply.calls, house.apply.addresses()) == ([10], [(ONE,)])
        house.put(change(TWO, source="docker"), at=12)
        settled = [house.reconciler.settled.is_set()]
        await asyncio.sleep(2)
        assert [*settled, house.reconciler.settled.is_set()] == [False, True]


async def test_no_route_of_the_last_run_is_lost_by_a_silent_source(tmp_path: Path) -> None:
    """However long it takes; and it is looked at every 5 s only."""
    house = House(tmp_path)
    leave(house, applied=SERVED)
    house.put(change(ONE), at=100)
    await house.until(99)
    assert house.apply.done == []
    assert (house.board.status().state, house.board.nginx.running) == ("waiting", True)
    assert house.board.waits[-1] == (95.0, "for etcd: without it 1 routes of the last run would go")
    assert [at for at, _ in house.board.waits] == [0.5, 5.5, *range(10, 96, 5)]
    async with house.running():
        await asyncio.sleep(2)
    assert house.apply.addresses() == [(ONE,)]


async def test_routes_of_the_last_run_that_are_known_anyway_need_no_waiting(tmp_path: Path) -> None:
    house = House(tmp_path, BOTH)
    leave(house, applied=SERVED)
    house.put(change(ONE), at=1)
    await house.until(11)
    assert house.apply.calls == [10]


async def test_a_silent_source_does_not_hold_what_another_one_takes_away(tmp_path: Path) -> None:
    house = House(tmp_path, BOTH)
    leave(house, applied=SERVED)
    house.put(change(ONE), at=1)
    house.put(Change(Listing("etcd", revision=2)), at=12)
    await house.until(13)
    assert house.apply.addresses() == [(ONE,), ()]


async def test_a_route_of_the_host_rule_may_be_of_the_silent_source(tmp_path: Path) -> None:
    house = House(tmp_path, BOTH)
    leave(house, applied=Applied(digest="d", nonce="n", at=1.0, owners={"b.test/": ("", "services/b")}))
    house.put(change(ONE), at=1)
    await house.until(20)
    assert house.apply.calls == []


async def test_what_was_applied_is_saved(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.put(change(ONE), at=1)
    await house.until(2)
    applied = house.state.load_applied()
    assert applied is not None
    assert (applied.digest, applied.nonce) == ("digest-1", "nonce-1")
    assert applied.owners == {"web.test/": ("etcd", "routes/web")}
    again = House(tmp_path)
    assert again.state.load_listings() == (listing(ONE),)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ReloadError("no proof"), id="no proof"),
        pytest.param(RefusedError("bad"), id="refused"),
        pytest.param(NotRunningError("none"), id="no nginx"),
    ],
)
async def test_what_was_not_proved_is_not_saved_as_applied(tmp_path: Path, error: Exception) -> None:
    """But the listing is: it was good."""
    house = House(tmp_path)
    house.apply.outcomes = [error]
    house.put(change(ONE), at=1)
    await house.until(1.4)
    assert house.state.load_applied() is None
    assert House(tmp_path).state.load_listings() == (listing(ONE),)


async def test_a_disk_that_can_not_keep_it_is_tried_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    failures = [StateError("full")]
    save = house.state.save_applied

    def save_applied(applied: Applied) -> None:
        if failures:
            raise failures.pop()
        save(applied)

    house.state.save_applied = save_applied  # type: ignore[method-assign]
    house.put(change(ONE), at=1)
    async with house.running():
        await asyncio.sleep(1.5)
        assert (house.board.status().state, house.board.status().reason) == ("failed", "full")
        await asyncio.sleep(1)
        assert house.board.status().state == "applied"


def claiming(service: str, source: str) -> Listing:
    """Return a listing with a route from a.test to *service*."""
    value = b'{"host": "a.test", "service": "%s"}' % service.encode()
    return Listing(source, keys={f"routes/{service}": Entry(value)})


async def test_a_host_stays_with_its_owner(tmp_path: Path) -> None:
    """Though etcd comes first in the configuration."""
    house = House(tmp_path, BOTH, required=False)
    house.put(Change(claiming("second", "docker")), at=1)
    house.put(Change(claiming("first", "etcd")), at=2)
    await house.until(3)
    assert [made.routes[0].service for _, made in house.apply.done[1:]] == ["second", "second"]


async def test_a_host_stays_with_its_owner_across_a_restart(tmp_path: Path) -> None:
    house = House(tmp_path, BOTH)
    owned = Applied(digest="d", nonce="n", at=1.0, owners={"a.test/": ("docker", "routes/second")})
    leave(house, applied=owned)
    house.put(Change(claiming("first", "etcd")), at=1)
    house.put(Change(claiming("second", "docker")), at=1)
    await house.until(2)
    assert [made.routes[0].service for _, made in house.apply.done] == ["second"]


async def test_the_host_rule_is_followed(tmp_path: Path) -> None:
    house = House(tmp_path, host_rule="{service}.example.com")
    house.put(Change(Listing("etcd", keys={"services/api/1": Entry(ONE.encode())})), at=1)
    await house.until(2)
    assert [made.routes[0].claim for _, made in house.apply.done] == ["api.example.com/"]


SOURCES = ("etcd", "docker", "file")
FAILURES = [
    None,
    ReloadError("no proof"),
    RefusedError("bad"),
    NotRunningError("none"),
    StateError("full"),
]
PUTS = st.lists(
    st.tuples(st.floats(0, 0.3), st.sampled_from(SOURCES), st.integers(0, 250), st.booleans()), max_size=25
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    puts=PUTS,
    outcomes=st.lists(st.sampled_from(FAILURES), max_size=7),
    takes_s=st.sampled_from([0.0, 0.01, 0.2, 1.0]),
)
def test_the_last_write_wins(
    tmp_path: Path,
    puts: list[tuple[float, str, int, bool]],
    outcomes: list[Exception | None],
    takes_s: float,
) -> None:
    """Whatever comes when, and whatever fails: in the end the newest listing of every source is applied."""

    async def play() -> None:
        house = House(tmp_path, SOURCES, required=False)
        house.apply.outcomes, house.apply.takes_s = list(outcomes), takes_s
        newest: dict[str, str] = {}
        async with house.running():
            for wait_s, source, number, urgent in puts:
                await asyncio.sleep(wait_s)
                newest[source] = f"10.0.{SOURCES.index(source)}.{number}:80"
                entry = {f"services/web/{source}": Entry(newest[source].encode())}
                house.queue.put(Change(Listing(source, keys=entry, urgent=urgent)))
            await asyncio.sleep(200)  # as long as so many failures in a row can take
        assert house.apply.addresses()[-1] == tuple(sorted(newest.values()))
        assert house.board.status().state == "applied"

    for left in (tmp_path / "state").glob("**/*.*"):
        left.unlink()
    loop = looptime.new_event_loop()
    try:
        loop.run_until_complete(play())
    finally:
        loop.close()


async def test_templates_alone_wait_for_their_sources_for_ever(tmp_path: Path) -> None:
    """No earlier generation of routes could be lost, but what is unknown is not empty for them either."""
    house = House(tmp_path)
    house.reconciler.wear(Outfit(Tables(), None))
    await house.until(60)
    assert (house.board.status().state, house.reconciler.settled.is_set()) == ("waiting", False)
