"""Whole sites, served by a real nginx."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.model import Endpoint, Snapshot
from proxyconf.nginx.build import parse_build
from proxyconf.nginx.site import Dialect, Renderer
from proxyconf.tables import Listen, Nginx
from proxyconf.units import ListenAddress, Network
from tests.golden.cases import CASES, HERE, TOKEN, dialect, route, write_golden, write_site
from tests.live.echo_backend import EchoBackend
from tests.live.nginx_server import NginxServer, check, nginx_version
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxyconf.nginx.site import Site

pytestmark = pytest.mark.needs("nginx")

FORGED = {
    "X-Real-IP": "192.0.2.1",
    "X-Forwarded-For": "192.0.2.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "forged.test",
    "X-Forwarded-Port": "443",
    "Forwarded": "for=192.0.2.3",
}


class Proxy:
    """An nginx of our own in front of three backends: web, api and spare."""

    def __init__(self, folder: Path, backends: dict[str, str]) -> None:
        self.server = NginxServer(folder, folder / "nginx.conf")
        self.site = Renderer(_dialect(folder, self.server.port)).render(_snapshot(backends))
        write_site(self.site)

    def says(
        self,
        host: str,
        path: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> dict[str, Any]:
        """Return what the backend says that it was asked."""
        answer = self.server.get(host, path, headers=headers, source=source)
        assert answer.status == 200, (answer, self.server.log())
        says: dict[str, Any] = json.loads(answer.body)
        return says

    def headers(
        self,
        host: str,
        path: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> dict[str, str]:
        """Return the headers that the backend got, each of which must be there once."""
        pairs = self.says(host, path, headers=headers, source=source)["headers"]
        found = {name.lower(): value for name, value in pairs}
        assert len(found) == len(pairs), pairs
        return found


def _dialect(folder: Path, port: int, **settings: object) -> Dialect:
    listen = Listen(http=(ListenAddress(f"127.0.0.1:{port}"),))
    trusted = (Network.parse("127.0.0.2"),)
    return dialect(
        folder,
        nginx=parse_build(nginx_version()),
        **{"listen": listen, "trusted_proxies": trusted, "worker_processes": 1, **settings},
    )


def _snapshot(backends: dict[str, str]) -> Snapshot:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    routes = (
        route("*.wild.test", "/", "api"),
        route("empty.test", "/", "empty"),
        route("failing.test", "/", "failing"),
        route("main.test", "/", "web"),
        route("main.test", "/api", "api"),
        route("main.test", "/api/deep", "spare"),
        route("part.test", "/app", "web"),
        route("part.test", "/gone", "empty"),
        route("weighed.test", "/", "weighed"),
        route("x.wild.test", "/", "web"),
    )
    web, api, spare = (backends[name] for name in ("web", "api", "spare"))
    services = {name: (Endpoint(address),) for name, address in backends.items()} | {
        "empty": (),
        "failing": (Endpoint(dead), Endpoint(spare, backup=True)),
        "weighed": (Endpoint(web, weight=3), Endpoint(api), Endpoint(spare, backup=True)),
    }
    return Snapshot(routes, services)


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(EchoBackend(name)).address for name in ("web", "api", "spare")}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, backends: dict[str, str]) -> Iterator[Proxy]:
    made = Proxy(tmp_path_factory.mktemp("nginx"), backends)
    with made.server:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_nginx_takes_the_golden_files(name: str, tmp_path: Path) -> None:
    text = (HERE / f"{name}.golden").read_text()
    nginx = parse_build(nginx_version())
    if not nginx.keepalive_min_timeout:
        text = text.replace("    keepalive_min_timeout 3s;\n", "")
    if not nginx.http2_by_host:
        text = text.replace("    http2 on;\n", "")
    else:
        text = text.replace(" ssl http2", " ssl")
    if not nginx.keeps_by_itself:
        text = text.replace("    keepalive 0;\n", "")
    write_golden(text, tmp_path)
    main = tmp_path / "nginx.conf"
    if "include" in name:
        _write_foreign(tmp_path, main, "server_names_hash_bucket_size 512;")
    assert check(main) == ""


def test_nginx_has_nothing_against_the_site(proxy: Proxy) -> None:
    assert check(proxy.server.conf) == ""


@pytest.mark.parametrize(
    ("host", "path", "backend"),
    [
        ("main.test", "/", "web"),
        ("MAIN.test", "/", "web"),
        ("main.test:8080", "/any", "web"),
        ("main.test", "/api", "api"),
        ("main.test", "/api/", "api"),
        ("main.test", "/api/x?a=b", "api"),
        ("main.test", "/api?a=b", "api"),
        ("main.test", "/%61pi/x", "api"),
        ("main.test", "/apix", "web"),
        ("main.test", "/API", "web"),
        ("main.test", "/x/api", "web"),
        ("main.test", "/api/deep/x", "spare"),
        ("main.test", "/api/deeper", "api"),
        ("main.test", "/x/../api", "api"),
        ("part.test", "/app", "web"),
        ("a.b.wild.test", "/", "api"),
        ("x.wild.test", "/", "web"),
    ],
)
def test_host_and_path_lead_to_a_backend(proxy: Proxy, host: str, path: str, backend: str) -> None:
    """The backend gets the path as it came."""
    says = proxy.says(host, path)
    assert (says["name"], says["path"]) == (backend, path)


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        pytest.param("empty.test", "/", 503, id="no endpoints"),
        pytest.param("part.test", "/gone/x", 503, id="no endpoints for this path"),
        pytest.param("part.test", "/", 404, id="no route for this path"),
        pytest.param("part.test", "/apple", 404, id="a path is no prefix of a word"),
        pytest.param("unknown.test", "/", 404, id="unknown host"),
        pytest.param("wild.test", "/", 404, id="a wildcard needs a label"),
    ],
)
def test_what_leads_nowhere(proxy: Proxy, host: str, path: str, status: int) -> None:
    assert proxy.server.get(host, path).status == status


def test_the_proof_answers_its_nonce(proxy: Proxy) -> None:
    name = proxy.site.dialect.proof_name
    answer = proxy.server.get(name, "/anything")
    assert (answer.status, answer.body) == (200, b"nonce-1")
    assert answer.headers["content-type"] == "text/plain"
    proxy.server.conf.write_bytes(proxy.site.root("nonce-2 $host"))
    proxy.server.reload()
    assert proxy.server.get(name).body == b"nonce-2 $host"


def test_an_untrusted_peer_is_not_believed(proxy: Proxy) -> None:
    headers = proxy.headers("main.test:81", headers=FORGED)
    assert _forwarded(headers) == {
        "x-real-ip": "127.0.0.1",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "main.test:81",
        "x-forwarded-port": str(proxy.server.port),
    }


def test_a_trusted_peer_is_believed(proxy: Proxy) -> None:
    headers = proxy.headers("main.test", headers=FORGED, source="127.0.0.2")
    expected = {name.lower(): value for name, value in FORGED.items()}
    forwarded = {"x-real-ip": "192.0.2.2", "x-forwarded-for": "192.0.2.2, 127.0.0.2"}
    assert _forwarded(headers) == {**expected, **forwarded}


def test_the_client_is_the_last_address_that_is_no_trusted_peer(proxy: Proxy) -> None:
    """What stands before it in X-Forwarded-For is what the client itself said."""
    said = {"X-Forwarded-For": "192.0.2.9, 192.0.2.2, 127.0.0.2"}
    headers = proxy.headers("main.test", headers=said, source="127.0.0.2")
    assert headers["x-real-ip"] == "192.0.2.2"
    assert headers["x-forwarded-for"] == "192.0.2.9, 192.0.2.2, 127.0.0.2, 127.0.0.2"


def test_a_trusted_peer_that_says_nothing(proxy: Proxy) -> None:
    assert _forwarded(proxy.headers("main.test", source="127.0.0.2")) == {
        "x-real-ip": "127.0.0.2",
        "x-forwarded-for": "127.0.0.2",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "main.test",
        "x-forwarded-port": str(proxy.server.port),
    }


def test_other_headers_pass(proxy: Proxy) -> None:
    """But for Proxy, which a CGI program would take for its variable HTTP_PROXY."""
    headers = proxy.headers(
        "main.test:81", headers={"Proxy": "evil:1", "Cookie": "a=$b", "Authorization": "x"}
    )
    assert "proxy" not in headers
    assert (headers["host"], headers["cookie"], headers["authorization"]) == ("main.test:81", "a=$b", "x")


def test_the_backend_gets_the_host_that_was_routed(proxy: Proxy) -> None:
    """A request with an absolute URL is routed by it; its Host may say something else."""
    headers = proxy.headers("internal.test", "http://main.test:81/")
    assert headers["host"] == headers["x-forwarded-host"].partition(":")[0] == "main.test"


def test_connections_to_a_backend_are_kept(proxy: Proxy) -> None:
    first, second = proxy.says("main.test"), proxy.says("main.test")
    assert first["peer"] == second["peer"]
    assert "connection" not in {name.lower() for name, _ in second["headers"]}


def test_a_websocket_passes_through(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.server.port), timeout=10) as client:
        client.sendall(_upgrade("main.test", "WebSocket"))
        stream = client.makefile("rb")
        status = stream.readline()
        while stream.readline() != b"\r\n":
            pass
        client.sendall(b"hello\n")
        assert (status.split()[1], stream.readline()) == (b"101", b"hello\n")


def test_no_other_upgrade_passes(proxy: Proxy) -> None:
    """An upgrade to h2c would lead past the routes."""
    headers = proxy.headers(
        "main.test", headers={"Upgrade": "h2c", "Connection": "upgrade", "HTTP2-Settings": "AA"}
    )
    assert not {"upgrade", "connection"} & headers.keys()


def test_weights_and_spare_backups(proxy: Proxy) -> None:
    names = [proxy.says("weighed.test")["name"] for _ in range(40)]
    assert (names.count("web"), names.count("api")) == (30, 10)


def test_a_backup_serves_when_the_others_fail(proxy: Proxy) -> None:
    assert proxy.says("failing.test")["name"] == "spare"


def test_an_unknown_host_can_be_hung_up_on(tmp_path: Path) -> None:
    server = NginxServer(tmp_path, tmp_path / "nginx.conf")
    write_site(Renderer(_dialect(tmp_path, server.port, default_status=444)).render(Snapshot()))
    with server:
        assert server.get("unknown.test").status == 0


def test_operators_add_files(tmp_path: Path, backends: dict[str, str]) -> None:
    """What they set in the http block holds for every host."""
    proxy = Proxy(tmp_path, backends)
    (tmp_path / "main.d/debug.conf").write_text("env PROXYCONF;\n")
    (tmp_path / "http.d/more.conf").write_text("proxy_set_header X-More yes;\n")
    with proxy.server:
        headers = proxy.headers("main.test")
    assert (headers["x-more"], headers["host"]) == ("yes", "main.test")


def test_include_mode_leaves_the_rest_alone(tmp_path: Path, backends: dict[str, str]) -> None:
    """Their default server stays theirs, and their servers inherit nothing of ours."""
    server = NginxServer(tmp_path, tmp_path / "theirs.conf")
    site = _included(tmp_path, server.port, backends)
    write_site(site)
    theirs = f"""
        server {{
            listen 127.0.0.1:{server.port} default_server;
            location / {{ proxy_pass http://{backends["web"]}; }}
        }}
    """
    _write_foreign(tmp_path, server.conf, theirs)
    assert check(server.conf) == ""
    with server:
        ours = dict(json.loads(server.get("main.test", headers=FORGED).body)["headers"])
        default = dict(json.loads(server.get("unknown.test", headers=FORGED).body)["headers"])
        assert server.get(site.dialect.proof_name).body == b"nonce-1"
    assert (ours["Host"], ours["X-Forwarded-For"]) == ("main.test", "127.0.0.1")
    assert (default["Host"], default["X-Forwarded-For"]) == (backends["web"], FORGED["X-Forwarded-For"])


def test_include_mode_without_our_files(tmp_path: Path) -> None:
    """Their nginx starts before we ever wrote anything."""
    _write_foreign(tmp_path, tmp_path / "theirs.conf", "")
    assert check(tmp_path / "theirs.conf") == ""


def _included(folder: Path, port: int, backends: dict[str, str]) -> Site:
    address = f"127.0.0.1:{port}"
    of = Dialect(
        settings=Nginx(mode="include", listen=Listen(http=(ListenAddress(address),))),
        build=parse_build(nginx_version()),
        folder=folder,
        token=TOKEN,
        default_servers=frozenset({address}),
    )
    return Renderer(of).render(_snapshot(backends))


def _write_foreign(folder: Path, conf: Path, http: str) -> None:
    temp = "".join(
        f"{name}_temp_path {folder}/their_{name};\n" for name in parse_build(nginx_version()).temp_paths
    )
    conf.write_text(
        f"pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {temp} {http} include {folder}/http.con[f]; }}\n"
    )


def _forwarded(headers: dict[str, str]) -> dict[str, str]:
    names = {name.lower() for name in FORGED}
    return {name: value for name, value in headers.items() if name in names}


def _upgrade(host: str, protocol: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n".encode()
