"""What is left where it is killed, its store is wiped or away, or another confd has been there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.confd_lab import ConfdLab
from tests.live.etcd_server import EtcdServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("nginx")


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd that may be ended."""
    with EtcdServer(tmp_path / "etcd") as server:
        yield server


def test_killed_while_an_unchecked_file_is_in_place(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Only a check that must see it there can leave one; ``proxyconf recover`` puts back the good one."""
    etcd.put("/app/server/1", lab.backend("one"))
    check = f"looks-in-place {lab.nginx}/nginx.conf"
    dest = lab.app(check_cmd=check)
    lab.script("looks-in-place", 'exec nginx -t -q -c "$1"')
    assert lab.once().returncode == 0
    good = dest.read_bytes()
    lab.script("looks-in-place", f"touch {lab.folder}/started; sleep 1000")
    daemon = lab.start()
    etcd.put("/app/server/1", "not an address;")
    lab.until((lab.folder / "started").exists, "the check runs")
    lab.kill(daemon)
    lab.end_left_overs()
    assert "invalid parameter" in lab.nginx_test()
    done = lab.run("proxyconf", "recover")
    assert (done.returncode, done.stdout) == (0, f"put back: {dest}\n")
    assert dest.read_bytes() == good
    assert lab.nginx_test() == ""


def test_the_next_start_puts_it_back_too(lab: ConfdLab, etcd: EtcdServer) -> None:
    """And where there was no file, there is none."""
    etcd.put("/name", "a")
    dest = lab.text("name", check_cmd="slow {{.dest}}")
    lab.script("slow", f"touch {lab.folder}/started; sleep 1000")
    daemon = lab.start()
    lab.until((lab.folder / "started").exists, "the check runs")
    assert dest.exists()
    lab.kill(daemon)
    lab.end_left_overs()
    lab.script("slow", "exit 1")
    done = lab.once()
    assert done.returncode == 1
    assert "template.recovered" in done.stderr
    assert not dest.exists()


def test_a_wiped_store_is_held_until_confirmed(own_etcd: EtcdServer) -> None:
    """A store that came back empty is no order to write an empty file."""
    with ConfdLab("-node", own_etcd.url) as lab:
        dest = lab.text("name", '{{ gets("/a/*")|length }}\n', keys=["/a"])
        own_etcd.fill({f"/a/{number}": "x" for number in range(4)})
        lab.start()
        lab.until_text(dest, "4\n")
        own_etcd.wipe()
        own_etcd.new_identity()
        own_etcd.start()
        (problem,) = lab.until_status(lambda status: status.problems, "held").problems
        assert "came back with 0 of 4 keys for templates" in problem.why
        assert "proxyconf confirm" in problem.why
        assert dest.read_text() == "4\n"
        done = lab.run("proxyconf", "confirm")
        assert (done.returncode, done.stdout) == (0, "confirmed: etcd\n")
        lab.until_text(dest, "0\n")
        lab.until_status(lambda status: not status.problems, "no problem is left")


def test_a_store_that_is_away_at_the_start(own_etcd: EtcdServer) -> None:
    """Files stay as they are: what it said in the run before may be older than what confd wrote since."""
    with ConfdLab("-node", own_etcd.url) as lab:
        dest = lab.text("name")
        own_etcd.put("/name", "a")
        assert lab.once().returncode == 0
        own_etcd.stop()
        dest.write_text("by confd\n")
        lab.start()
        waiting = lab.until_status(
            lambda status: (status.state, status.sources[0].state) == ("waiting", "lost"), "it is lost"
        )
        assert waiting.sources[0].listed_at is None
        assert waiting.reason == "for etcd, for what an earlier run knew may be outdated"
        assert dest.read_text() == "by confd\n"
        own_etcd.start()
        own_etcd.put("/name", "b")
        lab.until_text(dest, "b\n")
        lab.until_state("applied")


def test_a_store_that_has_never_been_there(own_etcd: EtcdServer) -> None:
    """Unknown is not empty: nothing is written until it has spoken."""
    with ConfdLab("-node", own_etcd.url) as lab:
        dest = lab.text("name", '{{ gets("/*")|length }}\n')
        own_etcd.stop()
        lab.start()
        lab.until_status(lambda status: status.state == "waiting", "it waits")
        assert not dest.exists()
        own_etcd.start()
        lab.until_text(dest, "0\n")


def test_the_broken_file_that_confd_has_left(lab: ConfdLab, etcd: EtcdServer) -> None:
    """It is what we would write, too: not proved for being there, and replaced once there is something right.

    confd tests the tree as it is, so there the right file is refused for ever.
    """
    dest = lab.app()
    lab.start_nginx()
    server = f"server {{\n    listen 127.0.0.1:{lab.port};\n    location / {{ proxy_pass http://app; }}\n}}\n"
    dest.write_text(f"upstream app {{\n}}\n{server}")
    drafted = lab.confd("-noop")
    assert (drafted.returncode, drafted.stdout) == (0, "1 template: 0 would change; nothing was written\n")
    assert "no servers are inside upstream" in lab.nginx_test()
    assert lab.once().returncode == 1
    etcd.put("/app/server/1", lab.backend("one"))
    assert lab.once().returncode == 0
    assert lab.nginx_test() == ""
    assert lab.ask() == "one"
