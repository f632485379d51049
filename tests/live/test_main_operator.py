"""Operators' own files and signals: what they change is checked, and loaded without anybody else's change."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import until
from tests.live.etcd_server import EtcdServer, available
from tests.live.running import Keys, serving

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
        proxy.kill_nginx()
        proxy.start_nginx()
        assert proxy.until_state("applied").nginx.running
