"""Operators' own files and signals: what they change is checked, and loaded without anybody else's change."""

from __future__ import annotations

import os
import signal
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import until
from tests.live.etcd_server import EtcdServer, available
from tests.live.running import Keys, Running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.skipif(not available(), reason="needs etcd (make setup)"),
]


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with tempfile.TemporaryDirectory(prefix="proxyconf-etcd-") as path, EtcdServer(Path(path)) as server:
        yield Keys(server, "/operator")


def test_a_file_of_the_operator_is_loaded_by_itself(keys: Keys) -> None:
    """Neither a change of a source nor a signal is needed; when it goes, so does what it said."""
    with serving(keys) as proxy:
        own = proxy.root.parent / "http.d" / "own.conf"
        listen = f"listen 127.0.0.1:{proxy.port}"
        own.write_text(f"server {{ {listen}; server_name own.test; location / {{ return 418; }} }}\n")
        until(lambda: proxy.ask("own.test") == "418", "the file is loaded")
        own.unlink()
        until(lambda: proxy.ask("own.test") == "404", "it is gone")
        proxy.until_state("applied")
        assert proxy.events("site.failed") == proxy.events("site.refused") == []


def test_a_file_of_the_operator_that_clashes_takes_nothing_away(keys: Keys) -> None:
    """nginx names our part, which it had taken before: that one is not to blame."""
    with serving(keys) as proxy:
        keys.put("routes/web", {"host": "a.test"})
        keys.put("services/web/1", proxy.backend("one"))
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        (part,) = (proxy.state / "nginx" / "parts").glob("s-*.conf")
        clash = proxy.root.parent / "http.d" / "clash.conf"
        clash.write_text(part.read_text())
        assert "duplicate upstream" in proxy.until_state("refused").reason
        assert set(proxy.answers("a.test")) == {"one"}
        clash.unlink()
        proxy.until_state("applied")
        keys.delete("routes/web")


class Files:
    """An operator's files; any change of a source has them looked at, and in a test there is one at once."""

    def __init__(self, keys: Keys, folder: Path) -> None:
        self._keys = keys
        self._folder = folder
        self._count = 0

    def put(self, name: str, text: str) -> Path:
        """Write a file, and return it."""
        file = self._folder / name
        file.write_text(text)
        self._nudge()
        return file

    def delete(self, name: str) -> None:
        """Delete a file."""
        (self._folder / name).unlink()
        self._nudge()

    def _nudge(self) -> None:
        self._count += 1
        self._keys.put("services/idle/1", f"10.0.0.1:{self._count}")


def test_files_for_a_host_and_for_its_routes(keys: Keys) -> None:
    """They come and change by themselves; one that is bad keeps its last good form, and holds up nobody."""
    with serving(keys) as proxy:
        files = Files(keys, proxy.root.parent)
        keys.put("routes/web", {"host": "a.test"})
        keys.put("routes/wild", {"host": "*.b.test", "service": "web"})
        keys.put("services/web/1", proxy.backend("one"))
        proxy.until_serves("a.test", "one")
        file = proxy.root.parent / "host.d" / "a.test.conf"
        file.write_text("location = /own { return 418; }\n")
        until(lambda: proxy.ask("a.test", "/own") == "418", "the host's file is loaded by itself")
        files.put("location.d/_.b.test.conf", "deny all;\n")
        until(lambda: proxy.ask("x.b.test") == "403", "the routes' file is loaded")
        assert proxy.ask("a.test") == "one"

        files.put("host.d/a.test.conf", "location = /own { return 410; }\noops;\n")
        why = f'unknown directive "oops" in {file}:2 (its last good form serves)'
        proxy.until_status(lambda status: why in str(status.problems), "it is refused")
        keys.put("routes/new", {"host": "c.test", "service": "web"})
        proxy.until_serves("c.test", "one")
        assert (proxy.ask("a.test", "/own"), proxy.ask("x.b.test")) == ("418", "403")
        proxy.until_state("applied")
        plan = proxy.cli("plan")
        assert (plan.returncode, plan.stdout) == (0, "no files would change\n")
        assert why in plan.stderr

        proxy.stop()
        proxy.start()
        proxy.until_status(lambda status: why in str(status.problems), "the next run has it, too")
        assert proxy.ask("a.test", "/own") == "418"

        files.put("host.d/a.test.conf", "location = /own { return 410; }\n")
        until(lambda: proxy.ask("a.test", "/own") == "410", "it is mended")
        files.delete("host.d/a.test.conf")
        until(lambda: proxy.ask("a.test", "/own") == "one", "it is gone")
        proxy.until_status(lambda status: not status.problems, "nothing is wrong")
        for name in ("web", "wild", "new"):
            keys.delete(f"routes/{name}")


def test_a_file_never_taken_before_holds_up_no_other_host(keys: Keys) -> None:
    """Those that were served without it still are, and a new one is closed: it may keep strangers out."""
    with serving(keys) as proxy:
        files = Files(keys, proxy.root.parent)
        keys.put("routes/web", {"host": "a.test"})
        keys.put("services/web/1", proxy.backend("one"))
        proxy.until_serves("a.test", "one")
        proxy.until_state("applied")
        file = files.put("host.d/default.conf", "}\n")
        proxy.until_status(lambda status: str(file) in str(status.problems), "it is refused")
        keys.put("routes/more", {"host": "a.test", "path": "/more", "service": "gone"})
        keys.put("routes/new", {"host": "b.test", "service": "web"})
        until(lambda: proxy.ask("a.test", "/more") == "503", "its host changes")
        until(lambda: proxy.ask("b.test") == "503", "the new one is closed")
        assert proxy.ask("a.test") == "one"
        files.put("host.d/default.conf", "# nothing\n")
        proxy.until_serves("b.test", "one")
        for name in ("web", "more", "new"):
            keys.delete(f"routes/{name}")


def test_error_pages_come_and_go(keys: Keys, tmp_path: Path) -> None:
    """For hosts that are known or not."""
    with serving(keys, f"nginx.error_pages={tmp_path}") as proxy:
        files = Files(keys, tmp_path)
        files.put("404.html", "nowhere")
        until(lambda: body(proxy, "x.test") == "nowhere", "the page is served")
        files.put("404.html", "somewhere else")
        until(lambda: body(proxy, "x.test") == "somewhere else", "the new page is served")
        files.delete("404.html")
        until(lambda: "nginx" in body(proxy, "x.test"), "it is gone")
        files.put("oops.html", "?")
        proxy.until_status(lambda status: "the page of no status" in str(status.problems), "a problem")


def body(proxy: Running, host: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.port}/", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text: bytes = answer.read()
    except urllib.error.HTTPError as exc:
        text = exc.read()
        exc.close()
    return text.decode()


def test_a_hang_up_reloads_and_ends_nothing(keys: Keys) -> None:
    """A certificate that an operator's file names may have been renewed, which no stamp tells."""
    with serving(keys) as proxy:
        reloads = proxy.reloads()
        proxy.signal(signal.SIGHUP)
        until(lambda: proxy.reloads() == reloads + 1, "nginx has reloaded")
        proxy.until_state("applied")
        assert len(proxy.events("configuration.read_again")) == 1


def test_an_nginx_whose_master_was_killed_is_missed_and_its_workers_named(keys: Keys) -> None:
    """They hold the addresses, so that to start nginx is not enough."""
    with serving(keys) as proxy:
        assert proxy.nginx
        os.kill(proxy.nginx.pid, signal.SIGKILL)
        gone = proxy.until_state("installed")
        assert "workers of it still serve an earlier configuration" in gone.reason
        assert "is held by workers of an nginx whose master is gone" in gone.reason
        proxy.kill_nginx()
        proxy.start_nginx()
        assert proxy.until_state("applied").nginx.running
