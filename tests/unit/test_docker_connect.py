"""Addresses, certificates and sockets: what works, and what the refusals say."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
import ssl
import subprocess
from contextlib import aclosing
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiodocker.exceptions import DockerError

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.sources import open_source
from proxyconf.sources._docker_connect import Address, read_address
from proxyconf.sources._docker_errors import translated
from proxyconf.sources._tls import Tls, read_certificates
from tests.unit.docker_api import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxyconf.model import Listing

ADDRESS = Address("unix:///run/docker.sock", "http://docker", "/run/docker.sock")
OPENSSL = shutil.which("openssl")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority with certificates for a server and a client, and another authority."""
    if OPENSSL is None:
        pytest.skip("needs the program openssl to make certificates")
    folder = tmp_path_factory.mktemp("tls")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for ca in ("ca", "other"):
        files = ["-keyout", f"{ca}-key.pem", "-out", f"{ca}.pem"]
        openssl(folder, "req", "-x509", *new, *files, "-subj", f"/CN={ca}", "-addext", "keyUsage=keyCertSign")
    for name, subject in (("server", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example"), ("cert", "DNS:me")):
        key = "key.pem" if name == "cert" else f"{name}-key.pem"
        openssl(
            folder,
            *["req", "-x509", *new, "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-keyout", key],
            *["-out", f"{name}.pem", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}"],
            *["-addext", "basicConstraints=critical,CA:FALSE"],
        )
    return folder


def openssl(folder: Path, *args: str) -> None:
    subprocess.run([OPENSSL or "openssl", *args], cwd=folder, check=True, capture_output=True)


def server_context(folder: Path, certificate: str = "server", *, mutual: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}-key.pem")
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return context


async def first(**values: object) -> Listing:
    """Return the first listing of a source with these settings."""
    source = open_source(SourceTable("docker", "docker", values, "test"))
    async with asyncio.timeout(10), aclosing(source.watch()) as listings:
        return await anext(listings)


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with ScriptedEngine() as scripted:
        yield scripted


@pytest.mark.parametrize("scheme", ["tcp", "http"])
async def test_plain_http(engine: ScriptedEngine, scheme: str) -> None:
    await engine.serve_tcp()
    assert (await first(url=engine.url.replace("tcp", scheme))).cluster == "HNI3:VX4A"


@pytest.mark.parametrize("scheme", ["tcp", "https"])
async def test_mutual_tls(engine: ScriptedEngine, certificates: Path, scheme: str) -> None:
    """With certificates, tcp:// means https."""
    await engine.serve_tcp(server_context(certificates))
    files = {name: str(certificates / f"{name}.pem") for name in ("ca", "cert", "key")}
    assert (await first(url=engine.url.replace("tcp", scheme), **files)).cluster == "HNI3:VX4A"


@pytest.mark.parametrize("folder_only", [True, False], ids=["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"])
async def test_the_environment_of_dockers_own_client(
    engine: ScriptedEngine, certificates: Path, monkeypatch: pytest.MonkeyPatch, *, folder_only: bool
) -> None:
    """DOCKER_HOST with certificates in DOCKER_CERT_PATH, or in ~/.docker when they are to be verified."""
    await engine.serve_tcp(server_context(certificates))
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    if folder_only:
        monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    else:
        (certificates / ".docker").symlink_to(".")
        monkeypatch.setenv("HOME", str(certificates))
        monkeypatch.delenv("DOCKER_CERT_PATH", raising=False)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert (await first()).cluster == "HNI3:VX4A"


def test_a_wrong_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    with pytest.raises(UsageError, match=r"'ssh://somewhere'.*from DOCKER_HOST"):
        open_source(SourceTable("docker", "docker", {}, "test"))


def test_the_default_is_the_usual_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(UsageError, match=r"unix:///var/run/docker\.sock"):
        open_source(SourceTable("docker", "docker", {"ca": "/ca.pem"}, "test"))


async def test_an_unknown_authority_is_refused(engine: ScriptedEngine, certificates: Path) -> None:
    await engine.serve_tcp(server_context(certificates, mutual=False))
    with pytest.raises(SourceDeniedError, match=r"CERTIFICATE_VERIFY_FAILED.*set ca to the authority"):
        await first(url=engine.url, ca=str(certificates / "other.pem"))


async def test_a_certificate_of_another_name_is_refused(engine: ScriptedEngine, certificates: Path) -> None:
    await engine.serve_tcp(server_context(certificates, "wrong", mutual=False))
    with pytest.raises(SourceDeniedError, match="use a name or address in url"):
        await first(url=engine.url, ca=str(certificates / "ca.pem"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_missing_certificate_is_named(
    engine: ScriptedEngine, certificates: Path, version: ssl.TLSVersion
) -> None:
    context = server_context(certificates)
    context.maximum_version = version
    await engine.serve_tcp(context)
    with pytest.raises(SourceError, match=r"(set|check) cert and key"):
        await first(url=engine.url, ca=str(certificates / "ca.pem"))


async def test_tls_to_a_plain_port_is_named(engine: ScriptedEngine, certificates: Path) -> None:
    await engine.serve_tcp()
    with pytest.raises(SourceDeniedError, match="speaks plain HTTP there: write http://"):
        await first(url=engine.url, ca=str(certificates / "ca.pem"))


def test_plain_http_to_a_tls_port_is_named() -> None:
    """dockerd says so itself."""
    with pytest.raises(SourceDeniedError, match="write https://"), translated("list", ADDRESS):
        raise DockerError(400, "Client sent an HTTP request to an HTTPS server.\n")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param({"ca": "key.pem"}, "ca: .*key.pem", id="a key as ca"),
        pytest.param(
            {"cert": "cert.pem", "key": "ca-key.pem"},
            "cert: .*KEY_VALUES_MISMATCH.*not of the key",
            id="other key",
        ),
        pytest.param({"cert": "cert.pem", "key": "ca.pem"}, "cert: ", id="no key"),
        pytest.param({"cert": "cert.pem", "key": "locked.pem"}, "encrypted", id="encrypted key"),
    ],
)
def test_wrong_certificates_are_named(certificates: Path, values: dict[str, str], text: str) -> None:
    openssl(certificates, "ec", "-in", "key.pem", "-aes128", "-passout", "pass:secret", "-out", "locked.pem")
    with pytest.raises(UsageError, match=text):
        read_certificates(Tls(**{name: certificates / file for name, file in values.items()}))


async def test_a_certificate_that_vanishes_is_denied(
    engine: ScriptedEngine, certificates: Path, tmp_path: Path
) -> None:
    """Certificates are read anew for every connection, so that renewed ones are used."""
    await engine.serve_tcp(server_context(certificates, mutual=False))
    ca = tmp_path / "ca.pem"
    shutil.copy(certificates / "ca.pem", ca)
    source = open_source(SourceTable("docker", "docker", {"url": engine.url, "ca": str(ca)}, "test"))
    ca.unlink()
    with pytest.raises(SourceDeniedError, match=r"connect to tcp://.*: ca: read .*No such file"):
        await anext(source.watch())


@pytest.mark.parametrize(
    ("url", "tls", "base"),
    [
        pytest.param("tcp://host", Tls(), "http://host:2375", id="tcp"),
        pytest.param("tcp://[::1]:1/", Tls(), "http://[::1]:1", id="IPv6"),
        pytest.param("http://host:2375/docker/", Tls(), "http://host:2375/docker", id="below a path"),
        pytest.param("https://host", Tls(), "https://host", id="https"),
        pytest.param("unix:///run/a b.sock", Tls(), "http://docker", id="unix"),
    ],
)
def test_addresses(url: str, tls: Tls, base: str) -> None:
    assert read_address(url, tls).base == base


async def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such socket .is the engine running") as caught:
        await first(url=f"unix://{tmp_path}/docker.sock")
    assert type(caught.value) is SourceError


async def test_a_folder_instead_of_a_socket(tmp_path: Path) -> None:
    """What an engine leaves where it was told to mount a socket that did not exist."""
    with pytest.raises(SourceDeniedError, match="a folder, not a socket"):
        await first(url=f"unix://{tmp_path}")


async def test_a_socket_nobody_listens_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "docker.sock"))
    with pytest.raises(SourceError, match=r"connection refused .*mount the folder that holds the socket"):
        await first(url=f"unix://{tmp_path}/docker.sock")


async def test_a_port_nobody_listens_on() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match=r"connection refused .does the engine listen there"):
            await first(url=f"tcp://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        pytest.param(0o660, r"run with the group \d+", id="group"),
        pytest.param(0o600, "run as the socket's owner", id="owner"),
        pytest.param(None, "may not enter the socket's folder", id="folder"),
    ],
)
def test_a_forbidden_socket(tmp_path: Path, mode: int | None, text: str) -> None:
    """Raised as aiohttp does: as root, the tests may open every socket."""
    path = tmp_path / "docker.sock"
    if mode is not None:
        path.touch()
        path.chmod(mode)
    with pytest.raises(SourceDeniedError, match=f"permission denied .*{text}"), translated("list", at(path)):
        raise aiohttp.ClientOSError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(
            aiohttp.ClientOSError(errno.EPIPE, "Broken pipe"), "connection lost: broken pipe", id="pipe"
        ),
        pytest.param(aiohttp.ServerDisconnectedError(), "connection lost: Server disconnected", id="hung up"),
        pytest.param(aiohttp.ClientPayloadError(), "connection lost: ClientPayloadError", id="no text"),
        pytest.param(aiohttp.ConnectionTimeoutError("x"), "no answer in time", id="time-out"),
    ],
)
def test_lost_connections(error: Exception, text: str) -> None:
    with pytest.raises(SourceError, match=text), translated("list", ADDRESS):
        raise error


def test_a_reset_over_tls_may_be_a_refusal() -> None:
    """With TLS 1.3, a reset may overtake what the engine says of our certificate."""
    address = Address("tcp://host", "https://host:2376", tls=Tls())
    with (
        pytest.raises(SourceError, match=r"connection reset by peer .*check cert"),
        translated("ask", address),
    ):
        raise aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer")


def test_bugs_are_not_disguised() -> None:
    with pytest.raises(ZeroDivisionError), translated("list", ADDRESS):
        raise ZeroDivisionError


def at(path: Path) -> Address:
    return Address(f"unix://{path}", "http://docker", str(path))
