"""The etcd source without an etcd: settings, addresses, files, key names, and what a mirror holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceError, UsageError
from proxyconf.model import Entry, Listing
from proxyconf.sources import open_source
from proxyconf.sources._etcd_connect import Files, Server, read_files, read_servers
from proxyconf.sources._etcd_mirror import KeyRange, Listed, Mirror, key_range, prefix_end
from proxyconf.sources._etcd_rpc import rpc
from proxyconf.sources.etcd import Settings, _take_again

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SERVER = Server("dns:///etcd:2379", "http://etcd:2379")
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


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"/a/", b"/a0"),
        (b"a\xff", b"b"),
        (b"a\xfe\xff\xff", b"a\xff"),
        (b"\xff\xff", b"\0"),
        (b"", b"\0"),
    ],
)
def test_prefix_end(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


@pytest.mark.parametrize(
    ("prefix", "start"), [("/a", b"/a/"), ("/a//", b"/a/"), ("a/b", b"a/b/"), ("/", b"/"), ("", b"/")]
)
def test_only_what_is_below_the_prefix(prefix: str, start: bytes) -> None:
    assert key_range(prefix) == KeyRange(start, start[:-1] + b"0")


def pair(key: str | bytes, value: str = "", *, revision: int = 1, born: int = 1) -> object:
    raw = key.encode() if isinstance(key, str) else key
    return rpc.KeyValue(key=raw, value=value.encode(), mod_revision=revision, create_revision=born)


def put(key: str | bytes, value: str, *, revision: int, born: int = 1) -> object:
    return rpc.Event(type=rpc.Event.PUT, kv=pair(key, value, revision=revision, born=born))


def deletion(key: str | bytes, *, revision: int) -> object:
    return rpc.Event(type=rpc.Event.DELETE, kv=pair(key, revision=revision))


def mirror(*pairs: object, revision: int = 10, prefix: str = "/p", source: str = "etcd") -> Mirror:
    made = Mirror(source, key_range(prefix))
    made.take(Listed("7", revision, pairs))
    return made


def test_a_listing_says_what_was_listed() -> None:
    """Keys are relative to the prefix, which stays in the name of their place, braces and all."""
    listing = mirror(pair("/{p}/a{b}", "1", born=3), prefix="/{p}", source="etcd.lab").listing()
    assert listing == Listing(
        "etcd.lab", 10, "7", keys={"a{b}": Entry(b"1", 3)}, place="etcd.lab key '/{{p}}/{key}'"
    )
    assert listing.place.format(key="a{b}") == "etcd.lab key '/{p}/a{b}'"


@pytest.mark.parametrize(
    ("events", "changed", "keys"),
    [
        pytest.param([put("/p/a", "2", revision=11)], True, {"a": b"2"}, id="value"),
        pytest.param([put("/p/a", "1", revision=11)], False, {"a": b"1"}, id="same value"),
        pytest.param([put("/p/a", "1", revision=11, born=11)], True, {"a": b"1"}, id="same value, reborn"),
        pytest.param([deletion("/p/a", revision=11)], True, {}, id="deletion"),
        pytest.param([deletion("/p/b", revision=11)], False, {"a": b"1"}, id="deletion of none"),
        pytest.param(
            [put("/p/b", "1", revision=11), deletion("/p/a", revision=11)], True, {"b": b"1"}, id="both"
        ),
        pytest.param([put("/p/a", "0", revision=10)], False, {"a": b"1"}, id="older than the list"),
        pytest.param([], False, {"a": b"1"}, id="nothing"),
    ],
)
def test_changes(events: Iterable[object], changed: bool, keys: dict[str, bytes]) -> None:  # noqa: FBT001 - a table
    followed = mirror(pair("/p/a", "1"))
    before = followed.listing()
    assert followed.apply(events) is changed
    assert {key: entry.value for key, entry in followed.listing().keys.items()} == keys
    assert before == mirror(pair("/p/a", "1")).listing(), "a published listing never changes"


def test_the_revision_is_that_of_the_latest_change() -> None:
    followed = mirror()
    followed.apply([put("/p/a", "1", revision=12), put("/p/b", "1", revision=15)])
    assert followed.listing().revision == 15


def test_names_that_are_no_text_are_problems() -> None:
    followed = mirror(pair(b"/p/\xff"), pair("/p/a"))
    assert [str(problem) for problem in followed.listing().problems] == [
        r"source etcd key b'/p/\xff': its name is not UTF-8 (rename or delete it)"
    ]
    assert list(followed.listing().keys) == ["a"]
    assert not followed.apply([put(b"/p/\xff", "2", revision=11)]), "it was known"
    assert followed.apply([put(b"/p/\xfe", "2", revision=12)])
    assert followed.apply([deletion(b"/p/\xff", revision=13), deletion(b"/p/\xfe", revision=14)])
    assert followed.listing().problems == ()


def test_a_list_that_says_the_same_is_no_change() -> None:
    followed = mirror(pair("/p/a", "1"))
    assert not _take_again(followed, Listed("7", 20, (pair("/p/a", "1"),)), SERVER)
    assert followed.listing().revision == 20
    assert _take_again(followed, Listed("7", 20, ()), SERVER)


@pytest.mark.parametrize("listed", [Listed("7", 9, ()), Listed("8", 20, ())], ids=["revision", "cluster"])
def test_a_store_that_went_back_is_not_compared_with(listed: Listed) -> None:
    """The watch no longer tells the truth; a new one lists the store as another."""
    with pytest.raises(SourceError, match="went back from revision 10 of cluster 7"):
        _take_again(mirror(), listed, SERVER)


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
        rpc.WatchResponse: "events fragment canceled cancel_reason compact_revision",
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
