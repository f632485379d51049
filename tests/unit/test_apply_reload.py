"""Apply and a reload that goes wrong: refused, unproved, or nobody there to be reloaded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import pytest

from proxyconf.errors import NotRunningError, RefusedError, ReloadError, ReloadRefusedError
from proxyconf.steps import Steps
from tests.unit.fake_nginx import Bench, assert_startable, parts_on_disk, serving, site
from tests.unit.fakes import now

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.looptime


async def refused(bench: Bench, *names: str) -> None:
    """Let nginx refuse to reload to the site of these."""
    bench.nginx.hup = "refuse"
    with pytest.raises(ReloadRefusedError, match="still could not bind"):
        await bench.serve(site(*names))


async def test_after_a_refused_reload_the_last_good_root_is_back(tmp_path: Path) -> None:
    """Byte for byte, so that a restart of nginx is safe."""
    bench = await serving(tmp_path, site("a"))
    good = bench.nginx.root
    await refused(bench, "a", "b")
    assert bench.nginx.root == bench.nginx.loaded == good
    assert_startable(tmp_path)
    assert bench.apply.proved is None
    assert not await bench.apply.serves()


async def test_what_was_refused_is_checked_and_reloaded_again(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    await refused(bench, "a", "b")
    bench.nginx.hup = "load"
    assert await bench.serve(site("a", "b"))
    assert bench.nginx.hosts() == ["a.test", "b.test"]
    assert (bench.nginx.checks, bench.nginx.signals) == (3, 3)


async def test_what_is_served_is_read_anew_for_something_beside_it(tmp_path: Path) -> None:
    """A template, for example, while the newest site is refused."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.refuse_all = "nonsense"
    with pytest.raises(RefusedError):
        await bench.serve(site("a", "b"))
    await bench.apply.reload(Steps())
    assert bench.nginx.signals == 2
    assert bench.nginx.hosts() == ["a.test"]
    bench.nginx.pid = None
    with pytest.raises(NotRunningError):
        await bench.apply.reload(Steps())


async def test_back_to_what_is_served_needs_no_reload(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    await refused(bench, "a", "b")
    assert await bench.serve(site("a"))
    assert (bench.nginx.checks, bench.nginx.signals) == (2, 2)
    assert await bench.apply.serves()


async def test_after_many_refusals_the_good_parts_are_still_there(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    for name in "bcdef":
        await refused(bench, name)
    assert await bench.serve(site("a"))
    assert_startable(tmp_path)
    await refused(bench, "g")
    assert_startable(tmp_path)


async def test_the_first_one_refused_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    """Its files passed the check; only the reload is tried again."""
    bench = Bench(tmp_path)
    await bench.apply.resume(None)
    await refused(bench, "a")
    bench.nginx.hup = "load"
    assert await bench.serve(site("a"))
    assert (bench.nginx.checks, bench.nginx.signals) == (1, 2)


@pytest.mark.parametrize(
    "passing",
    [
        pytest.param("bind() to 0.0.0.0:80 failed (98: Address already in use)", id="bind"),
        pytest.param("bind() to [::]:80 failed (98: Address already in use)", id="bind to IPv6"),
    ],
)
async def test_a_try_of_five_is_not_the_last_word(tmp_path: Path, passing: str) -> None:
    """The master gets an address at last, or says that it still could not."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.hup, bench.nginx.complaint = "refuse", [passing]
    with pytest.raises(ReloadError, match="no proof within 5 s"):
        await bench.serve(site("b"))


async def test_the_last_word_on_an_address_says_which(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    tried = "bind() to 0.0.0.0:81 failed (98: Address already in use)"
    bench.nginx.complaint = [*[tried] * 5, "still could not bind()"]
    bench.nginx.hup = "refuse"
    with pytest.raises(ReloadRefusedError, match=rf"^reload nginx: {re.escape(tried)}, still could not bind"):
        await bench.serve(site("b"))


async def test_an_old_complaint_is_not_of_this_reload(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    bench.nginx.log.append("something of yesterday")
    assert await bench.serve(site("b"))


async def test_without_a_proof_the_files_stay(tmp_path: Path) -> None:
    """And only the reload is tried again: nothing is checked twice."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.hup = "ignore"
    with pytest.raises(ReloadError, match="no proof within 5 s"):
        await bench.serve(site("b"))
    assert now() == 5
    assert bench.nginx.root != bench.nginx.loaded
    assert bench.apply.proved is None
    bench.nginx.hup = "load"
    assert await bench.serve(site("b"))
    assert (bench.nginx.checks, bench.nginx.signals) == (2, 3)
    assert bench.nginx.hosts() == ["b.test"]


async def test_a_proof_that_comes_late_needs_no_other_reload(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    bench.nginx.hup = "ignore"
    with pytest.raises(ReloadError):
        await bench.serve(site("b"))
    bench.nginx.loaded = bench.nginx.root
    assert await bench.serve(site("b"))
    assert bench.nginx.signals == 2


async def test_without_a_proof_another_change_is_checked_and_installed(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    bench.nginx.hup = "ignore"
    with pytest.raises(ReloadError):
        await bench.serve(site("b"))
    bench.nginx.hup = "load"
    assert await bench.serve(site("c"))
    assert bench.nginx.hosts() == ["c.test"]


async def test_a_slow_nginx_gets_ten_times_what_it_took_last(tmp_path: Path) -> None:
    """A reload without a proof took nobody knows how long, so it does not count."""
    bench = await serving(tmp_path, site("a"))
    bench.apply.cost_s = 2.0
    bench.nginx.hup = "ignore"
    for end in (20, 40):
        with pytest.raises(ReloadError, match="no proof within 20 s"):
            await bench.serve(site("b"))
        assert now() == end


async def test_proof_is_asked_for_often_at_first(tmp_path: Path) -> None:
    """Every 2 ms 40 times, then every 5, 20, and 100 ms."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.hup, bench.nginx.asked = "ignore", 0
    with pytest.raises(ReloadError):
        await bench.serve(site("b"))
    slow = (5 - 40 * (0.002 + 0.005 + 0.02)) / 0.1
    assert bench.nginx.asked == pytest.approx(120 + slow, abs=1)


async def test_while_no_nginx_runs_it_is_installed(tmp_path: Path) -> None:
    """Checked, too; and its start settles it without a signal."""
    bench = Bench(tmp_path)
    bench.nginx.pid = None
    await bench.apply.resume(None)
    for _ in range(3):
        with pytest.raises(NotRunningError):
            await bench.serve(site("a"))
    assert (bench.nginx.checks, bench.nginx.signals, bench.apply.reloads) == (1, 0, 0)
    assert_startable(tmp_path)
    bench.nginx.start(8)
    assert await bench.serve(site("a"))
    assert (bench.nginx.checks, bench.nginx.signals) == (1, 0)
    assert await bench.apply.serves()


async def test_an_nginx_that_was_started_too_early_is_reloaded(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.nginx.pid = None
    await bench.apply.resume(None)
    with pytest.raises(NotRunningError):
        await bench.serve(site("a"))
    bench.nginx.start(8)
    bench.nginx.pid = None
    with pytest.raises(NotRunningError):
        await bench.serve(site("b"))
    bench.nginx.pid = 8
    assert await bench.serve(site("b"))
    assert bench.nginx.hosts() == ["b.test"]
    assert bench.nginx.signals == 1


async def test_an_nginx_that_stops_is_noticed(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    bench.nginx.pid = None
    assert not await bench.apply.serves()
    with pytest.raises(NotRunningError):
        await bench.serve(site("a"))
    assert bench.nginx.checks == 1


async def test_another_master_is_asked_before_it_is_signalled(tmp_path: Path) -> None:
    """nginx was restarted, on our file: nothing needs to be done but to look."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.start(9)
    assert not await bench.apply.serves()
    assert await bench.serve(site("a"))
    assert await bench.apply.serves()
    assert (bench.nginx.checks, bench.nginx.signals) == (1, 1)


async def test_another_master_that_runs_on_something_else_is_reloaded(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    bench.nginx.pid, bench.nginx.loaded = 9, b""
    assert await bench.serve(site("a"))
    assert bench.nginx.signals == 2
    assert bench.nginx.hosts() == ["a.test"]


async def test_parts_of_candidates_that_came_to_nothing_go(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    bench.nginx.refuse = lambda text: "mystery" if "bad" in text else ""
    await bench.serve(site("a", "b", "bad"))
    bench.nginx.refuse = lambda _: ""
    for name in "cde":
        await bench.serve(site(name))
    assert len(parts_on_disk(tmp_path)) == 6


@pytest.mark.parametrize("hup", [pytest.param("refuse", id="refused"), pytest.param("ignore", id="unproved")])
async def test_what_never_gets_live_does_not_pile_up(
    tmp_path: Path, hup: Literal["refuse", "ignore"]
) -> None:
    """Kept are the good one, and two before the latest; else a night without a proof would fill the disk."""
    bench = await serving(tmp_path, site("good"))
    bench.nginx.hup = hup
    for number in range(6):
        with pytest.raises(ReloadError):
            await bench.serve(site(f"a{number}"))
    assert len(parts_on_disk(tmp_path)) == 8
    assert_startable(tmp_path)
    bench.nginx.hup = "load"
    assert await bench.serve(site("good"))
    assert_startable(tmp_path)


async def test_candidates_refused_as_a_whole_do_not_pile_up(tmp_path: Path) -> None:
    """The latest stays, since it is tried again soon."""
    bench = await serving(tmp_path, site("good"))
    bench.nginx.refuse_all = "somebody else's file"
    for number in range(6):
        with pytest.raises(RefusedError):
            await bench.serve(site(f"a{number}"))
    assert len(parts_on_disk(tmp_path)) == 4
    bench.nginx.refuse_all = ""
    assert await bench.serve(site("a5"))
    assert_startable(tmp_path)
