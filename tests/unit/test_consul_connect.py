"""Consul's settings, and what failed connections to it mean."""

from __future__ import annotations

import errno
import os
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.sources import open_source
from proxyconf.sources._consul_connect import Files, Server, read_files, read_servers
from proxyconf.sources._consul_errors import translated
from proxyconf.sources._consul_mirror import read_scope

if TYPE_CHECKING:
    from pathlib import Path

SERVER = Server("https://consul.example", "https://consul.example:8501", secure=True)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://127.0.0.1:8500", "http://127.0.0.1:8500"),
        ("https://consul.example.com", "https://consul.example.com:8501"),
        pytest.param("consul:1234/", "http://consul:1234", id="no scheme"),
        pytest.param("http://[::1]", "http://[::1]:8500", id="IPv6"),
        pytest.param("https://proxy:443/consul/", "https://proxy:443/consul", id="a path"),
    ],
)
def test_endpoints(text: str, base: str) -> None:
    (server,) = read_servers([text])
    assert (server.url, server.base, server.secure) == (text, base, text.startswith("https:"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"wait": "0s"}, r"\[consul\] wait: must be more than 0"),
        ({"timeout": "0s"}, r"\[consul\] timeout: must be more than 0"),
        ({"min_interval": "0s"}, r"\[consul\] min_interval: must be more than 0"),
        ({"wait": "11m"}, 'wait: Consul waits for at most "10m"'),
        ({"prefix": "/a//b"}, "prefix: 'a//b': no path of Consul's API"),
        ({"prefix": "../b"}, "prefix: '../b': no path"),
        ({"token": "a", "token_file": "/a"}, "token: there is a token_file, too"),
        ({"token": "a\nb"}, "token: has a character that can't be printed"),
        ({"user": "a", "password": "a", "password_file": "/a"}, "password: there is a password_file, too"),
        ({"user": "a"}, "user: no password .set"),
        ({"password": "a"}, "password: whose. .set user"),
        ({"user": "a:b", "password": "c"}, "user: 'a:b': has a colon"),
        ({"endpoints": ["http://a", "https://b"]}, "endpoints: both http and https"),
        ({"endpoints": ["ftp://a"]}, "endpoints: 'ftp://a': no endpoint of a Consul .write"),
        ({"endpoints": ["http://a:b"]}, "endpoints: 'http://a:b': Port could not be cast"),
        ({"endpoints": ["http://a:0"]}, "endpoints: 'http://a:0': no endpoint"),
        ({"endpoints": ["http://me@a"]}, "endpoints: 'http://me@a': no endpoint"),
        ({"endpoints": ["http://a?b"]}, "endpoints: 'http://a.b': no endpoint"),
        ({"srv_record": "a b"}, "srv_record: 'a b': no name of a DNS record"),
        ({"srv_record": "http://_consul._tcp.a", "ca": "/a"}, "srv_record: plain http takes no ca"),
        ({"srv_record": "_consul._tcp.a", "ca": "/no/such"}, "ca: read /no/such: No such file"),
        ({"ca": "/a"}, "endpoints: plain http takes no ca, cert or key"),
        ({"endpoints": ["https://a"], "cert": "/a"}, "key: not set, but cert is"),
        ({"endpoints": ["https://a"], "ca": "/no/such"}, "ca: read /no/such: No such file"),
        ({"token_file": "/no/such"}, "token_file: read /no/such: No such file"),
        ({"user": "a", "password_file": "/no/such"}, "password_file: read /no/such: No such file"),
    ],
    ids=str,
)
def test_wrong_settings(values: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_source(SourceTable("consul", "consul", values, "test"))


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"a\xff", "token_file: not UTF-8 at byte 1"), (b"a\nb", "token_file: has a character that can't")],
)
def test_a_token_file_that_has_no_token(content: bytes, text: str, tmp_path: Path) -> None:
    """What it has is not shown."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=text):
        open_source(SourceTable("consul", "consul", {"token_file": str(file)}, "test"))


@pytest.mark.parametrize(("insecure", "mode"), [(True, ssl.CERT_NONE), (False, ssl.CERT_REQUIRED)])
def test_certificates_need_not_be_checked(mode: ssl.VerifyMode, *, insecure: bool) -> None:
    context = read_files(Files(insecure=insecure), secure=True).context
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (mode, not insecure)


@pytest.mark.parametrize(
    ("prefix", "needs", "root"),
    [
        ("proxyconf", (), "proxyconf/"),
        ("/a/b/", (), "a/b/"),
        ("/", (), ""),
        ("", ["/app/server"], "app/server"),
        ("", ["/app/server", "/app/server/1"], "app/server"),
        ("", ["/app/server", "/app/servers"], "app/"),
        ("app/server", ["/app/server"], "app/server"),
        ("app", ["/app/server"], "app/"),
        ("proxyconf", ["/app"], ""),
        ("", ["/app", "/"], ""),
    ],
)
def test_one_read_brings_all(prefix: str, needs: list[str], root: str) -> None:
    assert read_scope(prefix, needs).root == root


def _certificate_error(code: int, reason: str) -> ssl.SSLCertVerificationError:
    return ssl.SSLCertVerificationError(code, f"[SSL: CERTIFICATE_VERIFY_FAILED] {reason} (_ssl.c:1006)")


@pytest.mark.parametrize(
    ("exc", "kind", "text"),
    [
        pytest.param(TimeoutError(), SourceError, "no answer in time", id="time-out"),
        pytest.param(
            _certificate_error(1, "unable to get local issuer certificate"),
            SourceDeniedError,
            "TLS: .*local issuer certificate .set ca to the authority",
            id="unknown authority",
        ),
        pytest.param(
            _certificate_error(1, "Hostname mismatch, certificate is not valid for 'a'"),
            SourceDeniedError,
            "use a name or address in endpoints",
            id="another name",
        ),
        pytest.param(
            _certificate_error(1, "certificate has expired"),
            SourceDeniedError,
            "renew Consul's certificate, or set the clock",
            id="expired",
        ),
        pytest.param(
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            SourceDeniedError,
            "TLS: .* wrong version number .Consul speaks plain HTTP there",
            id="plain HTTP",
        ),
        pytest.param(
            ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert (_ssl.c:2580)"),
            SourceDeniedError,
            "Consul refuses our certificate: set cert and key",
            id="our certificate",
        ),
        pytest.param(
            OSError(errno.EHOSTUNREACH, "Connect call failed ('192.0.2.1', 8500)"),
            SourceError,
            f"{os.strerror(errno.EHOSTUNREACH).lower()} .does Consul listen there",
            id="no route",
        ),
        pytest.param(
            OSError(errno.ECONNRESET, ""),
            SourceError,
            "connection lost: connection reset by peer .*or it refuses our certificate",
            id="reset",
        ),
        pytest.param(
            aiohttp.ServerDisconnectedError(), SourceError, "connection lost: Server disconnected", id="end"
        ),
        pytest.param(
            UsageError("ca: gone"), SourceDeniedError, "ca: gone$", id="a certificate that went away"
        ),
    ],
)
def test_failed_connections(exc: Exception, kind: type[SourceError], text: str) -> None:
    """Each names the operation, the endpoint, the reason and the mend."""
    with (
        pytest.raises(SourceError, match=f"^read 'a' at https://consul.example: .*{text}") as caught,
        translated("read 'a'", SERVER),
    ):
        raise exc
    assert caught.type is kind
    assert "_ssl.c" not in str(caught.value)
