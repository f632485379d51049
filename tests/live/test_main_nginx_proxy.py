"""Containers as they are run for nginx-proxy, on a real engine: nginx serves what their variables say."""

from __future__ import annotations

import http.client
import socket
import ssl
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import TIMEOUT_S, network_of
from tests.live.running import Running
from tests.live.server import free_ports
from tests.unit.made_certificates import DAY_S, Pair, make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.live.asking import Place
    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

THEIRS = "com.github.nginx-proxy.nginx-proxy."


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, and with which certificate."""

    status: int
    headers: Mapping[str, str]
    body: str
    certificate: bytes = b""


class Client:
    """Asks by http and https, where the containers are reached; it believes every certificate."""

    def __init__(self, place: Place, port: int, tls_port: int) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=place.enter)
        self._port, self._tls_port = port, tls_port

    def plain(self, host: str, method: str = "GET") -> Answer:
        return self._thread.submit(self._plain, host, method).result()

    def secure(self, host: str, client: Path | None = None) -> Answer:
        return self._thread.submit(self._secure, host, client).result()

    def close(self) -> None:
        self._thread.shutdown()

    def _plain(self, host: str, method: str) -> Answer:
        return _ask(socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT_S), host, method)

    def _secure(self, host: str, client: Path | None) -> Answer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if client:
            context.load_cert_chain(client)
        sock = socket.create_connection(("127.0.0.1", self._tls_port), timeout=TIMEOUT_S)
        with context.wrap_socket(sock, server_hostname=host) as tls:
            return _ask(tls, host, "GET")


def _ask(sock: socket.socket, host: str, method: str) -> Answer:
    connection = http.client.HTTPConnection(host)
    connection.sock = sock
    try:
        connection.request(method, "/", headers={"Host": host})
        response = connection.getresponse()
        shown = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read().decode(), shown or b"")
    finally:
        connection.close()


async def run(engine: DockerEngine, name: str, **variables: str) -> None:
    options = [part for item in variables.items() for part in ("-e", "=".join(item))]
    await engine.run(name, "-e", f"APP={name}", *options)


async def test_a_change_over_from_nginx_proxy(docker_engine: DockerEngine) -> None:
    """Those that run already and those that come later; one of ours shares a site with one of theirs."""
    several = '{"ports.test": {"/": {"port": 8080}}, "b.test": {"/x": {"port": 8080}}}'
    await run(docker_engine, "one", VIRTUAL_HOST="a.test,b.test", VIRTUAL_PORT="8080")
    with Running(
        "--docker", "-s", f"docker.url={docker_engine.url}", place=network_of(docker_engine)
    ) as proxy:
        proxy.serve()
        proxy.until_serves("a.test", "one")
        proxy.until_serves("b.test", "one")
        await docker_engine.run(
            "two", "-e", "APP=two", labels={"proxyconf.host": "a.test", "proxyconf.port": "8080"}
        )
        proxy.until_serves("a.test", "one", "two")
        assert proxy.status().problems == []
        await run(docker_engine, "many", VIRTUAL_HOST_MULTIPORTS=several, SSL_POLICY="Mozilla-Old")
        proxy.until_serves("ports.test", "many")
        assert {(route.host, route.path) for route in proxy.status().routes} == {
            ("a.test", "/"),
            ("b.test", "/"),
            ("b.test", "/x"),
            ("ports.test", "/"),
        }
        (problem,) = proxy.status().problems
        assert problem.where == "many variable SSL_POLICY"
        await docker_engine.remove("one")
        proxy.until_serves("a.test", "two")
        proxy.until_serves("b.test", "503")


async def test_nginx_takes_what_settings_come_to(docker_engine: DockerEngine) -> None:
    """Each by itself, for one that it refuses would be set aside and named."""
    labels = {
        "keepalive": ("auto", "disabled", "8"),
        "loadbalance": ("ip_hash;", "least_conn;", "hash $http_x_user;", "hash $cookie_id consistent;"),
    }
    variables = [{"VIRTUAL_PROTO": proto} for proto in ("https", "fastcgi", "uwsgi")]
    variables += [{"NETWORK_ACCESS": "internal"}, {"VIRTUAL_PATH": "/x/", "VIRTUAL_DEST": "/y/"}]
    pairs = [(name, text) for name, texts in labels.items() for text in texts]
    hosts = [f"h{number}.test" for number in range(len(variables) + len(pairs))]
    for host, more in zip(hosts, variables, strict=False):
        await run(docker_engine, host.removesuffix(".test"), VIRTUAL_HOST=host, VIRTUAL_PORT="8080", **more)
    for host, (name, text) in zip(hosts[len(variables) :], pairs, strict=True):
        label = f"com.github.nginx-proxy.nginx-proxy.{name}"
        await docker_engine.run(
            host, "-e", f"VIRTUAL_HOST={host}", "-e", "VIRTUAL_PORT=8080", labels={label: text}
        )
    with Running(
        "--docker", "-s", f"docker.url={docker_engine.url}", place=network_of(docker_engine)
    ) as proxy:
        proxy.serve()
        proxy.until_serves(hosts[-1], "app")
        assert sorted(route.host for route in proxy.status().routes) == sorted(hosts)
        assert proxy.status().problems == []
        proxy.until_serves("h3.test", "h3")  # asked from 127.0.0.1


def pair(*names: str) -> Pair:
    now = time.time()
    return make_pair(names[0], *names, begin=now - 60, end=now + 90 * DAY_S)


@pytest.fixture
def certificates() -> Iterator[Path]:
    """Make a folder as it is for nginx-proxy: `tmp_path` is not for nginx's workers."""
    with tempfile.TemporaryDirectory(prefix="pc-certs-") as path:
        yield Path(path)


async def test_those_with_certificates(docker_engine: DockerEngine, certificates: Path) -> None:
    """Each does what nginx-proxy's guide says of its settings, with the folder that nginx-proxy has."""
    shared, other, client = pair("*.p.test"), pair("default.test"), pair("client")
    shared.put(certificates, "shared")
    pair("known.test").put(certificates, "known.test")
    other.put(certificates, "default")
    (certificates / "known.test.ca.crt").write_bytes(client.certificate)
    (certificates / "client.pem").write_bytes(client.certificate + client.key)
    (certificates / "shared.dhparam.pem").write_text("none of ours")
    containers: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "usual.p.test": ({"CERT_NAME": "shared", "HSTS": "max-age=1; preload", "SERVER_TOKENS": "on"}, {}),
        "both.p.test": ({"HTTPS_METHOD": "noredirect"}, {}),
        "only.p.test": ({"HTTPS_METHOD": "nohttp", "SERVER_TOKENS": "off"}, {}),
        "off.p.test": ({"HTTPS_METHOD": "nohttps"}, {}),
        "post.p.test": ({"HSTS": "off"}, {"non-get-redirect": "308", "http2.enable": "true"}),
        "known.test": ({}, {"ssl_verify_client": "on"}),
        "other.test": ({}, {"trust-default-cert": "true"}),
        "bare.test": ({"HTTPS_METHOD": "nohttp"}, {}),
        "modern.p.test": ({"SSL_POLICY": "Mozilla-Modern"}, {}),
    }
    for host, (variables, labels) in containers.items():
        env = {"VIRTUAL_HOST": host, "VIRTUAL_PORT": "8080", "APP": host.partition(".")[0]} | variables
        options = [part for item in env.items() for part in ("-e", "=".join(item))]
        theirs = {f"{THEIRS}{name}": text for name, text in labels.items()}
        await docker_engine.run(host, *options, labels=theirs)
    place = network_of(docker_engine)
    (port,) = free_ports(1)
    tls = {"listen.https": f"127.0.0.1:{port}", "tls.certificates": certificates, "tls.hsts": "max-age=2"}
    settings = [part for key, value in tls.items() for part in ("-s", f"nginx.{key}={value}")]
    with Running("--docker", "-s", f"docker.url={docker_engine.url}", *settings, place=place) as proxy:
        proxy.serve()
        proxy.until_serves("off.p.test", "off")
        asked = Client(place, proxy.port, port)
        try:
            _check(asked, port, name_in(shared), name_in(other), certificates / "client.pem")
        finally:
            asked.close()
        problems = {problem.where: problem.why for problem in proxy.status().problems}
        assert sorted(problems) == ["bare.test", "modern.p.test"]
        assert problems["bare.test"].startswith("answers 503, for no certificate is for bare.test")
        assert "set [nginx.tls] policy to 'modern'" in problems["modern.p.test"]


def _check(asked: Client, port: int, shared: bytes, other: bytes, client: Path) -> None:
    usual = asked.secure("usual.p.test")
    assert (usual.status, usual.body[:10], usual.certificate) == (200, "app=usual ", shared)
    assert usual.headers["strict-transport-security"] == "max-age=1; preload"
    assert usual.headers["server"].startswith("nginx/")
    redirect = asked.plain("usual.p.test")
    assert (redirect.status, redirect.headers["location"]) == (301, f"https://usual.p.test:{port}/")
    for both in (asked.plain("both.p.test"), asked.secure("both.p.test")):
        assert (both.status, both.headers.get("strict-transport-security")) == (200, None)
    only = asked.secure("only.p.test")
    assert (asked.plain("only.p.test").status, only.status) == (404, 200)
    assert (only.headers["strict-transport-security"], only.headers["server"]) == ("max-age=2", "nginx")
    with pytest.raises(ssl.SSLError):
        asked.secure("off.p.test")
    assert [asked.plain("post.p.test", method).status for method in ("GET", "POST")] == [301, 308]
    assert "strict-transport-security" not in asked.secure("post.p.test").headers
    assert [asked.secure("known.test", shown).status for shown in (None, client)] == [400, 200]
    assert (asked.plain("other.test").status, asked.secure("other.test").certificate) == (301, other)
    assert asked.plain("bare.test").status == 503
    assert asked.secure("modern.p.test").status == 200


def name_in(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
