"""The proof by workers: what they are before and after a reload, and what the master says meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

import pytest

from proxyconf.command import Running
from proxyconf.errors import ReloadError, ReloadRefusedError
from proxyconf.groups.proving import has_loaded, look_before, wait_for_workers
from proxyconf.nginx.workers import Worker
from tests.unit.grouping import TICKS_PER_S, FakeBeside, ticks

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.groups.proving import Before
    from proxyconf.nginx.beside import Beside

pytestmark = pytest.mark.looptime


@pytest.fixture
def nginx(tmp_path: Path) -> FakeBeside:
    (tmp_path / "etc").mkdir()
    return FakeBeside(tmp_path / "etc")


def hup(nginx: FakeBeside) -> None:
    with nginx.signals.open("a") as file:
        file.write("\n")


async def before(nginx: FakeBeside) -> Before:
    return await look_before(cast("Beside", nginx), time.clock_gettime(time.CLOCK_BOOTTIME))


async def wait(nginx: FakeBeside, seen: Before, running: Running | None = None) -> None:
    await wait_for_workers(cast("Beside", nginx), seen, patience_s=5, running=running or Running())


def elapsed() -> float:
    return asyncio.get_running_loop().time()


async def test_new_workers_are_the_proof(nginx: FakeBeside) -> None:
    seen = await before(nginx)
    assert seen.workers == {Worker(100, 1), Worker(101, 1)}
    asyncio.get_running_loop().call_later(0.5, hup, nginx)
    await wait(nginx, seen)
    assert elapsed() == pytest.approx(0.5, abs=0.15)


async def test_they_came_while_the_command_ran(nginx: FakeBeside) -> None:
    """Nobody waits for what has happened."""
    seen = await before(nginx)
    hup(nginx)
    await wait(nginx, seen)
    assert elapsed() == 0


async def test_it_is_not_asked_while_its_master_hands_over(nginx: FakeBeside) -> None:
    """That takes 100 ms, during which to ask would cost more than all the rest of a change."""
    seen = await before(nginx)
    asyncio.get_running_loop().call_later(0.01, hup, nginx)
    await wait(nginx, seen)
    assert elapsed() == pytest.approx(0.1)


async def test_the_old_ones_are_no_proof(nginx: FakeBeside) -> None:
    with pytest.raises(ReloadError, match=r"still the old ones after 5 s \(does reload_cmd reload the nginx"):
        await wait(nginx, await before(nginx))
    assert elapsed() == pytest.approx(5, abs=0.2)


async def test_workers_from_before_the_files_are_no_proof(nginx: FakeBeside) -> None:
    """Such as those of a reload that was under way."""
    seen = await before(nginx)
    nginx._workers = frozenset({Worker(200, ticks() - 10 * TICKS_PER_S)})
    with pytest.raises(ReloadError, match="still the old ones"):
        await wait(nginx, seen)


async def test_nginx_says_why_not(nginx: FakeBeside) -> None:
    """Each reason once, and only what it has said since."""
    nginx.log.append("something old")
    nginx.hup = "refuse"
    nginx.complaint = ['open() "/cert.pem" failed', 'open() "/cert.pem" failed', "still could not bind()"]
    seen = await before(nginx)
    hup(nginx)
    with pytest.raises(ReloadRefusedError, match=r'^reload nginx: open\(\) "/cert.pem" failed, still could'):
        await wait(nginx, seen)
    assert elapsed() < 1


async def test_an_address_it_has_not_given_up_yet(nginx: FakeBeside) -> None:
    """It tries five times: what it says in between is not its last word."""
    nginx.hup = "refuse"
    nginx.complaint = ["bind() to 0.0.0.0:80 failed (98: Address already in use)"]
    seen = await before(nginx)
    hup(nginx)
    loop = asyncio.get_running_loop()
    loop.call_later(2, nginx.log.append, "still could not bind()")
    with pytest.raises(
        ReloadRefusedError, match=r"bind\(\) to 0\.0\.0\.0:80 failed .*, still could not bind"
    ):
        await wait(nginx, seen)
    assert elapsed() == pytest.approx(2, abs=0.6)


async def test_an_end_is_not_waited_for(nginx: FakeBeside) -> None:
    running = Running()
    asyncio.get_running_loop().call_later(1, running.end)
    with pytest.raises(ReloadError):
        await wait(nginx, await before(nginx), running)
    assert elapsed() == pytest.approx(1, abs=0.15)


async def test_somebody_elses_reload_is_let_through_first(nginx: FakeBeside) -> None:
    """Its workers come up after we look, and may have read the files before ours; not for ever, though."""
    nginx.busy = 10
    await before(nginx)
    assert elapsed() == pytest.approx(0.05)
    nginx.busy = 10**6
    await before(nginx)
    assert elapsed() == pytest.approx(3.05, abs=0.01)


async def test_whether_it_has_loaded(nginx: FakeBeside) -> None:
    installed_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert not await has_loaded(cast("Beside", nginx), installed_at)
    nginx.start()
    assert await has_loaded(cast("Beside", nginx), installed_at)
    assert not await has_loaded(cast("Beside", nginx), installed_at + 1)
