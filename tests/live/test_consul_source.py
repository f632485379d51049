"""The Consul source on a real Consul: nothing is missed, and every failure is noticed."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.sources import open_source
from tests.live.certificates import Certificates, make_certificates
from tests.live.consul_server import ConsulServer, available
from tests.live.etcd_watching import first, watching

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from proxyconf.sources import Source

pytestmark = pytest.mark.skipif(
    not available(), reason="NOT TESTED against Consul: get it by tests/lab/consul.sh .venv/bin"
)

READER, OTHER, STRANGER = (f"d2f4c8ba-0000-4000-8000-00000000001{number}" for number in range(3))


@pytest.fixture(scope="module")
def shared_consul(folder: Path) -> Iterator[ConsulServer]:
    with ConsulServer(folder / "shared") as server:
        yield server


@pytest.fixture
def consul(shared_consul: ConsulServer) -> ConsulServer:
    """Return a Consul that runs, with whatever earlier tests have put into it."""
    shared_consul.start()
    return shared_consul


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def source(*endpoints: str, needs: Sequence[str] = (), **settings: object) -> Source:
    values = {"endpoints": list(endpoints), "min_interval": "1ms", **settings}
    return open_source(SourceTable("consul", "consul", values, "test"), needs)


async def test_keys_come_change_and_go(consul: ConsulServer, prefix: str) -> None:
    """Each change is a complete listing; a value that stays the same, or another prefix, is none."""
    consul.put(f"{prefix}x/other", "1")
    consul.put(f"{prefix}/services/web/1", "10.0.0.1:80")
    async with watching(source(consul.url, prefix=prefix)) as watch:
        assert await watch.next() == {"services/web/1": b"10.0.0.1:80"}
        consul.put(f"{prefix}/services/web/2", "10.0.0.2:80")
        assert await watch.next() == {"services/web/1": b"10.0.0.1:80", "services/web/2": b"10.0.0.2:80"}
        consul.put(f"{prefix}/services/web/2", "10.0.0.2:80")
        consul.put(f"{prefix}x/other", "2")
        consul.put(prefix, "no key below")
        consul.put(f"{prefix}/services/web/1", "10.0.0.3:80")
        assert await watch.next() == {"services/web/1": b"10.0.0.3:80", "services/web/2": b"10.0.0.2:80"}
        consul.delete(f"{prefix}/services/web/1")
        assert await watch.next() == {"services/web/2": b"10.0.0.2:80"}
        consul.delete(f"{prefix}/services/web/2")
        assert await watch.next() == {}
    first_seen, last_seen = watch.seen[0], watch.seen[-1]
    assert 0 < first_seen.keys["services/web/1"].born <= first_seen.revision < last_seen.revision
    assert first_seen.keys["services/web/1"].born == watch.seen[2].keys["services/web/1"].born
    assert first_seen.place.format(key="a") == f"consul key '{prefix}/a'"


async def test_a_transaction_is_one_listing(consul: ConsulServer, prefix: str) -> None:
    consul.put(f"{prefix}/old", "1")
    async with watching(source(consul.url, prefix=prefix)) as watch:
        await watch.next()
        consul.transact({f"{prefix}/{number}": "new" for number in range(60)}, deletes=[f"{prefix}/old"])
        assert await watch.next() == {str(number): b"new" for number in range(60)}


async def test_strange_names_folders_and_values(consul: ConsulServer, prefix: str) -> None:
    """What Consul's UI makes of a folder is no key to routes; bytes in a value stay as they are."""
    consul.put(f"{prefix}/services/")
    consul.put(f"{prefix}/services/ü {{a}} %?#&+", bytes(range(256)))
    consul.put(f"{prefix}/empty")
    async with watching(source(consul.url, prefix=prefix, needs=[f"/{prefix}/services"])) as watch:
        assert await watch.next() == {"services/ü {a} %?#&+": bytes(range(256)), "empty": b""}
    assert sorted(watch.seen[0].pairs) == [f"/{prefix}/services/", f"/{prefix}/services/ü {{a}} %?#&+"]


async def test_templates_keys_from_two_folders(consul: ConsulServer, prefix: str) -> None:
    consul.fill(
        {
            f"{prefix}/app/server/1": "1",
            f"{prefix}/app/servers": "beside",
            f"{prefix}/db": "2",
            f"{prefix}/x/1": "3",
        }
    )
    needs = [f"/{prefix}/app/server", f"/{prefix}/db"]
    async with watching(source(consul.url, prefix=f"{prefix}/x", needs=needs)) as watch:
        assert await watch.next() == {"1": b"3"}
        assert sorted(watch.seen[0].pairs) == [f"/{prefix}/app/server/1", f"/{prefix}/db"]
        consul.put(f"{prefix}/db", "4")
        await watch.next()
        assert watch.seen[1].pairs[f"/{prefix}/db"].value == b"4"


async def test_many_keys(consul: ConsulServer, prefix: str) -> None:
    """5,000, and a change is seen before anybody could be impatient."""
    wanted = {f"{number:05}": b"%05d" % number * 20 for number in range(5_000)}
    consul.fill({f"{prefix}/{key}": value.decode() for key, value in wanted.items()})
    async with watching(source(consul.url, prefix=prefix)) as watch:
        assert await watch.next() == wanted
        clock = asyncio.get_running_loop().time
        changed_at = clock()
        consul.put(f"{prefix}/00000", "new")
        assert (await watch.next())["00000"] == b"new"
        assert clock() - changed_at < 1
    consul.delete(f"{prefix}/")


async def test_a_storm(consul: ConsulServer, prefix: str) -> None:
    """The last write counts, and what lies between is left out."""
    async with watching(source(consul.url, prefix=prefix, min_interval="100ms")) as watch:
        await watch.next()
        for number in range(200):
            consul.put(f"{prefix}/a", str(number))
        await watch.until({"a": b"199"})
    assert len(watch.seen) < 100


async def test_an_idle_watch_lives(consul: ConsulServer, prefix: str) -> None:
    """Many waits end without a word to us, and writes elsewhere wake none of us."""
    async with watching(source(consul.url, prefix=prefix, wait="20ms")) as watch:
        await watch.next()
        coming = asyncio.create_task(watch.next())
        for number in range(10):
            consul.put("elsewhere", str(number))
            await asyncio.wait({coming}, timeout=0.05)
        assert not coming.done()
        consul.put(f"{prefix}/a", "1")
        assert await coming == {"a": b"1"}


async def test_a_frozen_consul_is_noticed(consul: ConsulServer, prefix: str) -> None:
    opened = source(consul.url, prefix=prefix, wait="200ms", timeout="300ms")
    async with watching(opened) as watch:
        await watch.next()
        consul.freeze()
        try:
            async with asyncio.timeout(3):
                with pytest.raises(SourceError, match=r"read .* no answer in time"):
                    await watch.next()
                with pytest.raises(SourceError, match=r"read .* no answer in time"):
                    await first(opened)
        finally:
            consul.thaw()
    assert await first(opened) == {}


async def test_a_watch_that_is_cancelled_leaves_nothing(consul: ConsulServer, prefix: str) -> None:
    """Not even while it waits for an answer, which `watching` checks."""
    async with watching(source(consul.url, prefix=prefix)) as watch:
        await watch.next()
        coming = asyncio.create_task(watch.next())
        await asyncio.wait({coming}, timeout=0.1)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming


async def test_a_crash_and_a_restart(folder: Path) -> None:
    """The watch raises at once, the next one says who is gone until Consul is back, and then lists right.

    A Consul that has just started would also answer before it has read its own data.
    """
    with ConsulServer(folder / "kept", keeps=True) as server:
        server.put("proxyconf/a", "1")
        opened = source(server.url)
        async with watching(opened) as watch:
            assert await watch.next() == {"a": b"1"}
            server.kill()
            with pytest.raises(SourceError, match=r"read 'proxyconf/' at .*connection (lost|refused)"):
                await watch.next()
        with pytest.raises(SourceError, match=rf"{server.url}: connection refused .does Consul listen there"):
            await first(opened)
        await asyncio.to_thread(server.start)
        async with watching(opened) as again:
            assert await again.next() == {"a": b"1"}
            server.put("proxyconf/a", "2")
            assert await again.next() == {"a": b"2"}
    assert again.seen[0].revision == watch.seen[0].revision < again.seen[1].revision


async def test_a_wiped_consul_lists_a_lower_revision(consul: ConsulServer, prefix: str) -> None:
    """Nothing else tells it from the one that was there before."""
    consul.fill({f"{prefix}/{number}": "1" for number in range(1000)})
    opened = source(consul.url, prefix=prefix)
    async with watching(opened) as before:
        await before.next()
        consul.wipe()
        with pytest.raises(SourceError):
            await before.next()
    consul.start()
    consul.put(f"{prefix}/a", "1")
    async with watching(opened) as after:
        assert await after.next() == {"a": b"1"}
    assert after.seen[0].revision < before.seen[0].revision


async def test_a_restored_snapshot(consul: ConsulServer, prefix: str) -> None:
    """The index goes backwards under an open watch, which lists what is there now."""
    consul.put(f"{prefix}/a", "before")
    snapshot = consul.call("GET", "snapshot")
    consul.put(f"{prefix}/a", "after")
    consul.put(f"{prefix}/b", "after")
    async with watching(source(consul.url, prefix=prefix, wait="500ms")) as watch:
        assert await watch.next() == {"a": b"after", "b": b"after"}
        consul.call("PUT", "snapshot", snapshot)
        assert await watch.next() == {"a": b"before"}
        assert watch.seen[1].revision < watch.seen[0].revision
        consul.put(f"{prefix}/a", "again")
        assert await watch.next() == {"a": b"again"}


async def test_a_server_without_a_leader(folder: Path) -> None:
    """It would still answer from what it last knew, if one allows stale answers: that is not believed."""
    one, two = (ConsulServer(folder / name, keeps=True) for name in ("one", "two"))
    one.peers, two.peers = [two.address], [one.address]
    two.launch()
    one.launch()
    with two, one:
        one.put("proxyconf/a", "1")
        async with watching(source(one.url, stale=True, wait="300ms")) as watch:
            await watch.until({"a": b"1"})  # one that follows may be late
            two.kill()
            async with asyncio.timeout(15):
                with pytest.raises(SourceError, match=r"(No cluster leader|rpc error.*) .Consul's servers"):
                    await watch.next()
        with pytest.raises(SourceError, match=r"500 (No cluster leader|rpc error.*) .Consul's servers"):
            await first(source(one.url, timeout="10s"))


@pytest.fixture(scope="module")
def locked_consul(folder: Path) -> Iterator[ConsulServer]:
    """Run a Consul that asks for tokens: READER may read what is below proxyconf, OTHER what is not."""
    with ConsulServer(folder / "locked", acl=True) as server:
        server.put("proxyconf/a", "1")
        server.put("elsewhere/a", "1")
        server.allow(READER, 'key_prefix "proxyconf/" { policy = "read" }')
        server.allow(OTHER, 'key_prefix "elsewhere/" { policy = "read" }')
        yield server


async def test_the_right_token(locked_consul: ConsulServer, tmp_path: Path) -> None:
    assert await first(source(locked_consul.url, token=READER)) == {"a": b"1"}
    file = tmp_path / "token"
    file.write_text(f"{READER}\n")
    assert await first(source(locked_consul.url, token_file=str(file))) == {"a": b"1"}


@pytest.mark.parametrize(
    ("token", "text"),
    [
        pytest.param(STRANGER, "403 ACL not found .no such token", id="unknown"),
        pytest.param(OTHER, "403 Permission denied .let the policy", id="without the right"),
        pytest.param("", "403 Permission denied .let the policy", id="none"),
    ],
)
async def test_the_wrong_token(
    locked_consul: ConsulServer, monkeypatch: pytest.MonkeyPatch, token: str, text: str
) -> None:
    """Consul itself says to the latter two that there are no keys."""
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    with pytest.raises(SourceDeniedError, match=rf"read 'proxyconf/' at {locked_consul.url}: {text}"):
        await first(source(locked_consul.url, token=token))


async def test_a_right_that_is_lost(locked_consul: ConsulServer) -> None:
    """Under an open watch it looks as if all keys were deleted."""
    token = "d2f4c8ba-0000-4000-8000-000000000020"
    locked_consul.allow(token, 'key_prefix "proxyconf/" { policy = "read" }')
    async with watching(source(locked_consul.url, token=token, wait="100ms")) as watch:
        assert await watch.next() == {"a": b"1"}
        locked_consul.allow(token, 'key_prefix "elsewhere/" { policy = "read" }')
        with pytest.raises(SourceDeniedError, match="403 Permission denied"):
            await watch.next()


async def test_a_need_that_may_not_be_read(locked_consul: ConsulServer) -> None:
    """It must not look empty only because routes may be read."""
    with pytest.raises(SourceDeniedError, match=r"read 'elsewhere/' at .*403 Permission denied"):
        await first(source(locked_consul.url, token=READER, needs=["/elsewhere"]))


@pytest.mark.parametrize("rule", ["key", "key_prefix"])
async def test_a_right_to_one_key_that_is_not_there(locked_consul: ConsulServer, rule: str) -> None:
    token = f"d2f4c8ba-0000-4000-8000-0000000000{30 + len(rule)}"
    locked_consul.allow(token, f'{rule} "app/one" {{ policy = "read" }}')
    assert await first(source(locked_consul.url, prefix="", token=token, needs=["/app/one"])) == {}


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return make_certificates(folder)


@pytest.fixture(scope="module")
def mutual_consul(folder: Path, certificates: Certificates) -> Iterator[ConsulServer]:
    """Run a Consul that shows a certificate, and asks for one."""
    with ConsulServer(folder / "tls", certificates=dataclasses.replace(certificates, mutual=True)) as server:
        server.put("proxyconf/a", "1")
        yield server


def pem(certificates: Certificates, **names: str) -> dict[str, str]:
    return {key: str(certificates.path(name)) for key, name in names.items()}


CLIENT = {"cert": "client", "key": "client-key"}


async def test_mutual_tls(mutual_consul: ConsulServer, certificates: Certificates) -> None:
    """By address, and it can be watched."""
    async with watching(source(mutual_consul.url, **pem(certificates, ca="ca", **CLIENT))) as watch:
        assert await watch.next() == {"a": b"1"}
        mutual_consul.put("proxyconf/b", "2")
        assert await watch.next() == {"a": b"1", "b": b"2"}
        mutual_consul.delete("proxyconf/b")
        assert await watch.next() == {"a": b"1"}


async def test_an_authority_need_not_be_trusted(
    mutual_consul: ConsulServer, certificates: Certificates
) -> None:
    assert await first(source(mutual_consul.url, insecure=True, **pem(certificates, **CLIENT))) == {"a": b"1"}


@pytest.mark.parametrize("names", [{"ca": "other-ca"}, {}], ids=["other ca", "no ca"])
async def test_an_unknown_authority(
    mutual_consul: ConsulServer, certificates: Certificates, names: dict[str, str]
) -> None:
    with pytest.raises(
        SourceDeniedError, match=r"TLS: .*CERTIFICATE_VERIFY_FAILED.*.set ca to the authority"
    ):
        await first(source(mutual_consul.url, **pem(certificates, **names, **CLIENT)))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({}, id="no certificate"),
        pytest.param({"cert": "foreign", "key": "foreign-key"}, id="a foreign certificate"),
    ],
)
async def test_a_client_without_the_right_certificate(
    mutual_consul: ConsulServer, certificates: Certificates, names: dict[str, str]
) -> None:
    """A reset may overtake what Consul says of it, so it is not always told apart from a lost connection."""
    with pytest.raises(SourceError, match=r"refuses our certificate"):
        await first(source(mutual_consul.url, **pem(certificates, ca="ca", **names)))


async def test_a_certificate_for_another_name(folder: Path, certificates: Certificates) -> None:
    elsewhere = dataclasses.replace(certificates, server="elsewhere")
    with (
        ConsulServer(folder / "elsewhere", certificates=elsewhere) as server,
        pytest.raises(SourceDeniedError, match=r"TLS: .*use a name or address in endpoints"),
    ):
        await first(source(server.url, **pem(certificates, ca="ca")))


async def test_plain_http_to_a_tls_port(mutual_consul: ConsulServer) -> None:
    with pytest.raises(SourceDeniedError, match="write https:// in endpoints"):
        await first(source(mutual_consul.url.replace("https", "http")))


async def test_tls_to_a_plain_port(consul: ConsulServer) -> None:
    with pytest.raises(SourceDeniedError, match=r"TLS: .*Consul speaks plain HTTP there: write http://"):
        await first(source(consul.url.replace("http", "https")))
