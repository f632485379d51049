"""What the real program answers over HTTP, and a pause of it, on a file as source and a real nginx."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.asking import until
from tests.live.running import Running
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("nginx")


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    return tmp_path / "sites.toml"


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def proxy(sites: Path, address: str) -> Iterator[Running]:
    with Running("--file", str(sites), "-s", f"status.address={address}") as proxy:
        write(sites, proxy.backend("one"))
        yield proxy


def write(sites: Path, endpoint: str) -> None:
    """Put a new file in place of *sites*; a.test leads to *endpoint*."""
    new = sites.with_suffix(".new")
    new.write_text(f'[services.web]\nendpoints = ["{endpoint}"]\n[routes.web]\nhost = "a.test"\n')
    new.replace(sites)


def ask(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def metrics(address: str) -> dict[str, float]:
    """Return what Prometheus would know after a scrape."""
    code, text = ask(address, "/metrics")
    assert code == 200
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_tells_what_a_change_took(proxy: Running, sites: Path, address: str) -> None:
    """And a probe whether nginx serves what it should; at an address nothing can be asked for."""
    proxy.start()
    proxy.until_state("installed")
    assert ask(address, "/healthz") == (200, '{"ok":true,"reasons":[]}')
    assert ask(address, "/readyz")[0] == 503
    proxy.start_nginx()
    proxy.until_state("applied")
    assert ask(address, "/readyz") == (200, '{"ok":true,"reasons":[]}')
    before = metrics(address)
    assert before["proxyconf_nginx_running"] == 1
    write(sites, proxy.backend("two"))
    proxy.until_serves("a.test", "two")
    after = metrics(address)
    for name in ("proxyconf_reloads_total{applied}", "proxyconf_event_to_served_seconds_count"):
        assert after[name] == before[name] + 1
    took_s = after["proxyconf_event_to_served_seconds_sum"] - before["proxyconf_event_to_served_seconds_sum"]
    served_ms = proxy.status().history[-1].served_ms
    assert served_ms is not None
    assert took_s == pytest.approx(served_ms / 1000)
    assert after["proxyconf_step_seconds_sum{check}"] > before["proxyconf_step_seconds_sum{check}"]
    assert (after["proxyconf_applied_lag_seconds"], after["proxyconf_endpoints"]) == (0, 1)
    assert json.loads(ask(address, "/api/v1/history")[1])["history"][-1]["sources"] == ["file"]
    assert ask(address, "/api/v1/pause", "POST")[0] == 404


def test_paused_it_applies_nothing(proxy: Running, sites: Path, address: str) -> None:
    """Not even after a new start, by kill -9; resumed, it serves the newest."""
    proxy.serve()
    proxy.until_serves("a.test", "one")
    assert proxy.cli("pause", "--because", "moving").returncode == 0
    reloads = proxy.reloads()
    assert ask(address, "/readyz")[0] == 200, "nothing waits"
    write(sites, proxy.backend("two"))
    assert proxy.until_state("paused").reason == "2 changes wait (to go on: proxyconf resume)"
    assert json.loads(ask(address, "/readyz")[1])["reasons"] == [f"paused: {proxy.status().reason}"]
    assert metrics(address)["proxyconf_paused"] == 1
    proxy.kill()
    proxy.start()
    proxy.until_state("paused")
    assert "(moving); nothing is applied until proxyconf resume" in proxy.cli("status").stdout
    assert set(proxy.answers("a.test")) == {"one"}
    assert proxy.reloads() == reloads
    assert proxy.cli("resume").stdout.startswith("resumed after ")
    proxy.until_serves("a.test", "two")
    until(lambda: ask(address, "/readyz")[0] == 200, "it is ready")
    assert "applied, by file, resume, start, served after " in proxy.cli("history").stdout
