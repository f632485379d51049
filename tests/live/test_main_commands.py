"""The other commands from end to end, on a file as source: once, render, check, status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

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
def proxy(sites: Path) -> Iterator[Running]:
    """What follows the file `sites`; nothing runs yet."""
    with Running("--file", str(sites)) as proxy:
        write(sites, proxy.backend("one"))
        yield proxy


def write(sites: Path, *endpoints: str, more: str = "") -> None:
    """Put a new file in place of *sites*, as an editor does; a.test leads to *endpoints*."""
    new = sites.with_suffix(".new")
    new.write_text(
        f'[services.web]\nendpoints = {json.dumps(endpoints)}\n[routes.web]\nhost = "a.test"\n{more}'
    )
    new.replace(sites)


def test_a_file_that_is_renamed_into_place(proxy: Running, sites: Path) -> None:
    """Each new one is served; one that is broken is a problem, and the last good one counts."""
    proxy.serve()
    proxy.until_serves("a.test", "one")
    write(sites, proxy.backend("two"))
    proxy.until_serves("a.test", "two")
    write(sites, proxy.backend("three"), more="broken = [\n")
    problem = proxy.until_status(lambda status: status.problems, "a problem").problems[0]
    assert str(sites) in problem.where
    assert set(proxy.answers("a.test")) == {"two"}
    write(sites, proxy.backend("three"), more='[routes.b]\nhost = "b.test"\nservice = "web"\n')
    proxy.until_serves("b.test", "three")
    proxy.until_status(lambda status: not status.problems, "nothing is wrong")


def test_once(proxy: Running, sites: Path) -> None:
    """Installed while no nginx runs, applied while one does; what is set aside is a warning."""
    first = proxy.cli("once")
    assert first.returncode == 0
    assert first.stdout.startswith("installed and checked: 1 route")
    assert first.stdout.endswith(f"no nginx runs; start it with: nginx -c {proxy.root}\n")
    proxy.start_nginx(f"nginx -c {proxy.root}")
    assert proxy.ask("a.test") == "one"
    second = proxy.cli("once")
    assert (second.returncode, second.stdout) == (0, "applied: nginx serves 1 route, 0 problems\n")
    assert proxy.cli("once").returncode == 0
    assert proxy.reloads() == 1, "what is proved is not reloaded again"
    write(sites, proxy.backend("two"), "10.0.0.1:70000")
    third = proxy.cli("once")
    assert (third.returncode, third.stdout) == (0, "applied: nginx serves 1 route, 1 problem\n")
    assert "warning: endpoint" in third.stderr
    assert "70000" in third.stderr
    proxy.until_serves("a.test", "two")


def test_once_that_does_not_work(proxy: Running, sites: Path) -> None:
    """Refused, in vain waiting, and badly asked: three exit codes, each with its reason."""
    assert proxy.cli("once").returncode == 0
    before = proxy.root.read_bytes()
    operators = proxy.root.parent / "http.d" / "mine.conf"
    operators.write_text("nonsense on;\n")
    write(sites, proxy.backend("two"))
    refused = proxy.cli("once")
    assert refused.returncode == 1
    assert refused.stdout.startswith("not applied: refused: ")
    assert f'unknown directive "nonsense" in {operators}:1' in refused.stdout
    assert proxy.root.read_bytes() == before
    operators.unlink()
    (port,) = free_ports(1)
    waited = proxy.cli("once", "--timeout", "500ms", "--etcd", f"http://127.0.0.1:{port}")
    assert waited.returncode == 1
    assert waited.stdout.startswith("not applied: etcd: list ")
    assert "connection refused (is etcd running there? check endpoints)" in waited.stderr
    assert proxy.root.read_bytes() == before
    unknown = proxy.cli("once", "-s", "nginx.lisen.http=:80")
    assert unknown.returncode == 2
    assert "[nginx]: lisen: unknown key (did you mean 'listen'?)" in unknown.stderr
    proxy.start()
    proxy.until_status(lambda status: status, "it answers")
    assert proxy.cli("once").returncode == 2


def test_render_changes_nothing(proxy: Running, tmp_path: Path) -> None:
    """What it shows is what `once` then writes, but for the secret name and the nonce."""
    shown = proxy.cli("render")
    assert shown.returncode == 0
    assert not proxy.state.exists()
    out = tmp_path / "out"
    assert proxy.cli("render", "--out", str(out)).stdout == f"3 files in {out}\n"
    assert all(path.read_text() in shown.stdout for path in out.rglob("*.conf"))
    proxy.cli("once")
    parts = {path.name: path.read_bytes() for path in (proxy.root.parent / "parts").iterdir()}
    assert {path.name: path.read_bytes() for path in (out / "parts").iterdir()} == parts
    assert len(parts) == 2


def test_check(proxy: Running, sites: Path) -> None:
    """It needs neither the source nor a state folder; a file of the operator is checked with the rest."""
    sites.unlink()
    fresh = proxy.cli("check")
    assert fresh.returncode == 0, fresh.stderr
    assert not proxy.state.exists()
    write(sites, proxy.backend("one"))
    proxy.cli("once")
    saved = proxy.cli("check")
    assert saved.returncode == 0
    assert "site: nginx takes it (1 route" in saved.stdout
    operators = proxy.root.parent / "http.d" / "mine.conf"
    operators.write_text("nonsense on;\n")
    refused = proxy.cli("check")
    assert refused.returncode == 1
    assert 'unknown directive "nonsense"' in refused.stderr
    assert proxy.cli("check", "-s", "nginx.binary=/nowhere/nginx").returncode == 1
    assert proxy.cli("check", "-s", "file.pth=x").returncode == 2


def test_status(proxy: Running) -> None:
    """For people, for machines, and when nobody is there to ask."""
    nobody = proxy.cli("status")
    assert nobody.returncode == 1
    assert "(does proxyconf run" in nobody.stderr
    proxy.serve()
    proxy.until_serves("a.test", "one")
    found = json.loads(proxy.cli("status", "--json").stdout)
    assert (found["state"], found["applied"]["proof"]) == ("applied", "nonce")
    assert found["routes"][0]["endpoints"] == [proxy.backend("one")]
    text = proxy.cli("status").stdout
    assert f"a.test -> web ({proxy.backend('one')})" in text
    assert (proxy.state / "status.sock").stat().st_mode & 0o777 == 0o600
