"""The other stores, and other ways to find one: Consul, folders of YAML and JSON, SRV records."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live import consul_server
from tests.live.certificates import make_certificates
from tests.live.confd_lab import ConfdLab
from tests.live.consul_server import ConsulServer
from tests.live.etcd_server import EtcdServer
from tests.unit.dns_server import dns_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "127.0.53.53"  # the DNS server's, on the one port that resolvers ask
TEXT = '{% for pair in gets("/app/server/*") %}{{ pair.Key|base }}={{ pair.Value }} {% endfor %}.\n'


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    if not consul_server.available():
        pytest.skip("needs consul (make setup)")
    with tempfile.TemporaryDirectory(prefix="proxyconf-consul-") as path, ConsulServer(Path(path)) as server:
        yield server


def test_consul(consul: ConsulServer) -> None:
    """Its keys have no leading slash; the templates' have."""
    consul.put("prod/app/server/1", "10.0.0.1:80")
    node = consul.url.removeprefix("http://")
    with ConfdLab("-backend", "consul", "-node", node, "-prefix", "/prod") as lab:
        dest = lab.text("name", TEXT, keys=["/app"])
        daemon = lab.start()
        lab.until_text(dest, "1=10.0.0.1:80 .\n")
        consul.put("prod/app/server/2", "10.0.0.2:80")
        lab.until_text(dest, "1=10.0.0.1:80 2=10.0.0.2:80 .\n")
        consul.delete("prod/app/server/2")
        lab.until_text(dest, "1=10.0.0.1:80 .\n")
        assert lab.stop(daemon) == 0


def test_a_folder_of_yaml_and_json() -> None:
    """With a filter; what changes, comes and goes is followed."""
    with ConfdLab("-backend", "file", "-filter", "*.y*ml", "-interval", "60") as lab:
        store = lab.folder / "store"
        store.mkdir()
        lab.flags = (*lab.flags, "-file", str(store))
        (store / "a.yaml").write_text("app:\n  server:\n    1: 10.0.0.1:80\n")
        (store / "other.json").write_text(json.dumps({"app": {"server": {"9": "passed over"}}}))
        dest = lab.text("name", TEXT)
        lab.start()
        lab.until_text(dest, "1=10.0.0.1:80 .\n")
        (store / "b.yml").write_text("app: {server: {2: '10.0.0.2:80'}}\n")
        lab.until_text(dest, "1=10.0.0.1:80 2=10.0.0.2:80 .\n")
        (store / "a.yaml").unlink()
        lab.until_text(dest, "2=10.0.0.2:80 .\n")


@pytest.mark.needs("openssl")
def test_etcd_with_certificates_and_a_password(tmp_path: Path) -> None:
    """The password from confd.toml, the certificates from flags and the environment."""
    certificates = dataclasses.replace(make_certificates(tmp_path), mutual=True)
    with EtcdServer(tmp_path / "etcd", certificates=certificates) as etcd:
        etcd.put("/prod/app/server/1", "10.0.0.1:80")
        etcd.enable_auth("root", readers={"confd": ("secret", "/prod/")})
        node = etcd.url.removeprefix("https://")
        files = (
            "-client-cert",
            str(certificates.path("client")),
            "-client-key",
            certificates.path("client-key"),
        )
        with ConfdLab("-node", node, "-scheme", "https", *map(str, files)) as lab:
            lab.extra["CONFD_CLIENT_CAKEYS"] = str(certificates.path("ca"))
            config = lab.folder / "confd.toml"
            config.write_text(
                'basic_auth = true\nusername = "confd"\npassword = "secret"\nprefix = "/prod"\n'
            )
            dest = lab.text("name", TEXT, keys=["/app"])
            done = lab.once("-config-file", str(config))
            assert (done.returncode, dest.read_text()) == (0, "1=10.0.0.1:80 .\n"), done.stderr


@pytest.mark.needs("root", "unshare")
async def test_srv(etcd: EtcdServer) -> None:
    """The host's own resolver is asked, and the record beats any node."""
    etcd.put("/name", "a")
    async with dns_server(ADDRESS, 53) as dns:
        dns.records["_etcd._tcp.example.com"] = [f"1 1 {etcd.port} localhost."]
        with ConfdLab("-srv-domain", "example.com", "-node", "127.0.0.1:1") as lab:
            dest = lab.text("name")
            resolv = lab.folder / "resolv.conf"
            resolv.write_text(f"nameserver {ADDRESS}\n")
            line = f'mount --bind {resolv} /etc/resolv.conf && exec confd -onetime "$@"'
            argv = ("unshare", "--mount", "sh", "-c", line, "confd", *lab.flags)
            done = await asyncio.to_thread(lambda: lab.run(*argv))
            assert done.returncode == 0, done.stderr
            assert dest.read_text() == "a\n"
        assert dns.asked == ["_etcd._tcp.example.com"]
