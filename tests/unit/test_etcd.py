"""The etcd source without an etcd: settings, addresses, records, files, and what we use of its library."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import UsageError
from proxyconf.model import Listing
from proxyconf.sources import open_source
from proxyconf.sources._etcd_connect import Files, Server, read_files, read_servers
from proxyconf.sources._etcd_rpc import rpc
from proxyconf.sources._servers import read_record
from proxyconf.sources.etcd import Settings

if TYPE_CHECKING:
    from pathlib import Path

OPENSSL = shutil.which("openssl")


def refusal(values: dict[str, object]) -> str:
    """Return why settings are refused."""
    with pytest.raises(UsageError) as caught:
        open_source(SourceTable("etcd", "etcd.lab", values, "test"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param({"endpoints": []}, "endpoints", id="no endpoint"),
        pytest.param({"endpoints": ["ftp://a"]}, r"[etcd.lab] endpoints: 'ftp://a': no endpoint", id="ftp"),
        pytest.param({"endpoints": ["http://a:b"]}, "endpoints: 'http://a:b': Port could not", id="port"),
        pytest.param({"endpoints": ["a:99999"]}, "endpoints: 'a:99999': Port out of range", id="large port"),
        pytest.param({"endpoints": ["a:0"]}, "endpoints: 'a:0': no endpoint", id="port 0"),
        pytest.param({"endpoints": [""]}, "endpoints: '': no endpoint", id="empty"),
        pytest.param({"endpoints": ["http://[::1"]}, "endpoints: 'http://[::1': Invalid IPv6", id="bracket"),
        pytest.param({"endpoints": ["http://a/v3"]}, "endpoints: 'http://a/v3': no endpoint", id="path"),
        pytest.param({"endpoints": ["http://u:p@a"]}, "no endpoint of an etcd", id="user in it"),
        pytest.param({"endpoints": ["http://a", "https://b"]}, "both http and https", id="mixture"),
        pytest.param({"ca": "/ca.pem"}, "endpoints: plain http takes no ca, cert or key", id="TLS over http"),
        pytest.param({"endpoints": "https://a", "cert": "/c"}, "key: not set, but cert is", id="no key"),
        pytest.param({"endpoints": "https://a", "key": "/k"}, "cert: not set, but key is", id="no cert"),
        pytest.param({"endpoints": "https://a", "ca": "/none"}, "ca: read /none: No such file", id="no ca"),
        pytest.param({"user": "a"}, "user: no password", id="no password"),
        pytest.param({"password": "a"}, "password: whose?", id="no user"),
        pytest.param(
            {"user": "a", "password": "b", "password_file": "/c"}, "password: there is a password_", id="two"
        ),
        pytest.param(
            {"user": "a", "password_file": "/none"}, "password_file: read /none: No such", id="no file"
        ),
        pytest.param({"timeout": "0s"}, "timeout: must be more than 0", id="timeout"),
        pytest.param({"idle": "0s"}, "idle: must be more than 0", id="idle"),
        pytest.param({"relist": "0s"}, "relist: must be more than 0", id="relist"),
        pytest.param({"srv_record": "a b"}, "srv_record: 'a b': no name of a DNS record", id="SRV record"),
        pytest.param({"srv_record": "a..b"}, "srv_record: 'a..b': no name", id="SRV record with a gap"),
        pytest.param({"srv_record": "ftp://a.b"}, "srv_record: 'ftp://a.b': no name", id="SRV by ftp"),
        pytest.param(
            {"srv_record": "http://a.b", "ca": "/ca"}, "srv_record: plain http takes no ca", id="SRV with ca"
        ),
        pytest.param(
            {"srv_record": "a.b", "ca": "/none"}, "ca: read /none: No such file", id="SRV without ca"
        ),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], text: str) -> None:
    assert text in refusal(values)


def test_the_defaults() -> None:
    source = open_source(SourceTable("etcd", "etcd", {}, "test"))
    assert (source.name, source.policy) == ("etcd", Settings())
    assert Settings().endpoints == ("http://127.0.0.1:2379",)


@pytest.mark.parametrize(
    ("endpoints", "targets"),
    [
        pytest.param(["http://etcd"], ["dns:///etcd:2379"], id="name"),
        pytest.param(["etcd:4001/"], ["dns:///etcd:4001"], id="bare"),
        pytest.param(["127.0.0.1"], ["ipv4:127.0.0.1:2379"], id="address"),
        pytest.param(["http://[::1]:1"], ["ipv6:[::1]:1"], id="IPv6"),
        pytest.param(["https://[::1]:1"], ["dns:///[::1]:1"], id="IPv6 by TLS"),
        pytest.param(
            ["10.0.0.1", "10.0.0.2:1", "10.0.0.3"],
            [
                "ipv4:10.0.0.1:2379,10.0.0.2:1,10.0.0.3:2379",
                "ipv4:10.0.0.2:1,10.0.0.3:2379,10.0.0.1:2379",
                "ipv4:10.0.0.3:2379,10.0.0.1:2379,10.0.0.2:1",
            ],
            id="addresses in one channel, each first once",
        ),
        pytest.param(
            ["10.0.0.1", "[::1]"], ["dns:///10.0.0.1:2379", "dns:///[::1]:2379"], id="both families"
        ),
        pytest.param(["https://10.0.0.1", "https://a"], ["dns:///10.0.0.1:2379", "dns:///a:2379"], id="TLS"),
    ],
)
def test_attempts(endpoints: list[str], targets: list[str]) -> None:
    assert [server.target for server in read_servers(endpoints)] == targets


def test_messages_name_the_endpoints_as_written() -> None:
    assert [server.url for server in read_servers(["10.0.0.1", "10.0.0.2"])] == [
        "10.0.0.1, 10.0.0.2",
        "10.0.0.2, 10.0.0.1",
    ]
    assert read_servers(["https://a"]) == (Server("dns:///a:2379", "https://a", secure=True),)


@pytest.mark.parametrize(
    ("text", "certificates", "secure"),
    [
        pytest.param("_etcd-client._tcp.example.com", False, False, id="plain"),
        pytest.param("_etcd-client-ssl._tcp.example.com.", False, True, id="etcd's name for TLS"),
        pytest.param("_etcd._tcp.example.com", True, True, id="with certificates"),
        pytest.param("https://_etcd._tcp.example.com", False, True, id="https"),
        pytest.param("http://_etcd-client-ssl._tcp.example.com", False, False, id="http"),
    ],
)
def test_records(text: str, certificates: bool, secure: bool) -> None:  # noqa: FBT001 - a table
    assert read_record(text, certificates=certificates) == (text.rpartition("/")[2], secure)


async def test_where_no_key_is_wanted_nothing_is_asked() -> None:
    """It is known to be empty; to watch it is to wait, whoever is at the endpoint."""
    source = open_source(SourceTable("etcd", "etcd.lab", {"endpoints": "127.0.0.1:1", "prefix": ""}, "test"))
    async with aclosing(source.watch()) as listings:
        assert await anext(listings) == Listing("etcd.lab", place="etcd.lab key '{key}'", unasked=True)
        coming = asyncio.ensure_future(anext(listings))
        assert not (await asyncio.wait({coming}, timeout=0.05))[0]
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two certificates that sign themselves, with keys, one of them encrypted as well."""
    if OPENSSL is None:
        pytest.skip("needs the program openssl to make certificates")
    folder = tmp_path_factory.mktemp("pem")
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    encrypt = ["ec", "-in", "a-key.pem", "-aes128", "-passout", "pass:x", "-out", "locked.pem"]
    for command in (
        [*new, "-keyout", "a-key.pem", "-out", "a.pem", "-subj", "/CN=a"],
        [*new, "-keyout", "b-key.pem", "-out", "b.pem", "-subj", "/CN=b"],
        encrypt,
    ):
        subprocess.run([OPENSSL, *command], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param({"ca": "a-key.pem"}, r"ca: .*a-key.pem: .*no PEM", id="a key as ca"),
        pytest.param(
            {"cert": "a.pem", "key": "b-key.pem"}, r"cert: .*MISMATCH .the key is another", id="other key"
        ),
        pytest.param({"cert": "a.pem", "key": "b.pem"}, r"cert: .*no PEM", id="no key"),
        pytest.param({"cert": "a.pem", "key": "locked.pem"}, r"cert: .*encrypted", id="encrypted"),
    ],
)
def test_wrong_files_are_named(certificates: Path, names: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_files(Files(**{key: certificates / name for key, name in names.items()}))


def test_files(certificates: Path, tmp_path: Path) -> None:
    """They are handed on as they are, but for the end of the password's line."""
    password = tmp_path / "password"
    password.write_bytes("gehéim \r\n".encode())
    a, key = certificates / "a.pem", certificates / "a-key.pem"
    secrets = read_files(Files(a, a, key, password))
    assert (secrets.ca, secrets.cert, secrets.key) == (a.read_bytes(), a.read_bytes(), key.read_bytes())
    assert secrets.password == "gehéim "


def test_a_password_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"a\xff")
    with pytest.raises(UsageError, match="password_file: not UTF-8 at byte 1"):
        read_files(Files(password_file=file))


def test_what_we_use_of_aetcd_is_there() -> None:
    """Its messages and stubs are generated from etcd's own definitions; a new version may differ."""
    assert issubclass(rpc.AioRpcError, Exception)
    fields = {
        rpc.RangeRequest: "key range_end limit revision",
        rpc.RangeResponse: "header kvs more",
        rpc.ResponseHeader: "cluster_id revision",
        rpc.KeyValue: "key value create_revision mod_revision",
        rpc.WatchRequest: "create_request progress_request",
        rpc.WatchCreateRequest: "key range_end start_revision progress_notify fragment",
        rpc.WatchProgressRequest: "",
        rpc.WatchResponse: "watch_id created events fragment canceled cancel_reason compact_revision",
        rpc.Event: "type kv",
        rpc.AuthenticateRequest: "name password",
        rpc.AuthenticateResponse: "token",
    }
    for message, names in fields.items():
        assert set(names.split()) <= {field.name for field in message.DESCRIPTOR.fields}
    assert rpc.Event.DELETE == 1
    calls: list[str] = []
    channel = SimpleNamespace(
        unary_unary=lambda name, **_: calls.append(name), stream_stream=lambda name, **_: calls.append(name)
    )
    for stub in (rpc.AuthStub, rpc.KVStub, rpc.WatchStub):
        stub(channel)
    assert {
        "/etcdserverpb.Auth/Authenticate",
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.Watch/Watch",
    } <= set(calls)


def test_grpc_is_loaded_only_when_configured_and_then_leaves_children_alone() -> None:
    """Its fork handlers must be off before it is loaded, and nobody pays for it without [etcd]."""
    code = (
        "import os, sys, proxyconf.sources as sources; sources.kinds();"
        "print('grpc' in sys.modules); import proxyconf.sources.etcd;"
        "print('grpc' in sys.modules, os.environ['GRPC_ENABLE_FORK_SUPPORT'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True", "0"]
