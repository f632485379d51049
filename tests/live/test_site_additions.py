"""Operators' files, error pages, the default host and the access log on a real nginx."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx.additions import Additions, piece, with_originals
from proxyconf.nginx.pages import by_status
from proxyconf.nginx.part import Part, make_part
from proxyconf.nginx.site import Renderer
from tests.golden.cases import dialect, route, snapshot, write_site
from tests.live.echo_backend import EchoBackend
from tests.live.nginx_server import check
from tests.live.options_lab import OptionsProxy
from tests.live.server import free_ports

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("nginx")

PAGES = {"404.html": "nothing here", "50x.html": "broken", "503.html": "soon", "401.html": "who?"}
ROUTES = (
    route("a.test", "/", "web"),
    route("a.test", "/dead", "dead"),
    route("a.test", "/none", "none"),
    route("a.test", "/off", "web", maintenance=True),
    route("a.test", "/secret", "web", users=(("ann", "{SHA}" + "b" * 27 + "="),)),
    route("b.test", "/only", "web"),
)


def read_all(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read()


def pages(**texts: str) -> Iterator[Part]:
    for name, text in texts.items():
        yield make_part("page", name, text.encode())


@pytest.fixture(scope="module")
def web() -> Iterator[EchoBackend]:
    with EchoBackend("web") as backend:
        yield backend


@pytest.fixture(scope="module")
def proxy(web: EchoBackend) -> Iterator[OptionsProxy]:
    with OptionsProxy() as proxy:
        proxy.additions = Additions(
            servers={
                "a.test.conf": piece("/a", b"location = /own { return 204; }\nadd_header X-Server s;\n")
            },
            locations={
                "a.test.conf": piece("/b", b"proxy_hide_header Server;\nadd_header X-Location l;\n"),
                "default.conf": piece("/c", b"client_max_body_size 3;"),
            },
            pages=by_status(pages(**PAGES)),
        )
        proxy.serve(*ROUTES, web=web.address, dead=f"127.0.0.1:{free_ports(1)[0]}", none=())
        yield proxy


@pytest.mark.parametrize(
    ("host", "path", "status", "page"),
    [
        pytest.param("unknown.test", "/x", 404, "404.html", id="unknown host"),
        pytest.param("b.test", "/", 404, "404.html", id="no route"),
        pytest.param("a.test", "/none", 503, "503.html", id="no endpoints"),
        pytest.param("a.test", "/off", 503, "503.html", id="maintenance"),
        pytest.param("a.test", "/dead", 502, "50x.html", id="nobody answers"),
        pytest.param("a.test", "/secret", 401, "401.html", id="no password"),
    ],
)
def test_what_nginx_itself_says_is_a_page(
    proxy: OptionsProxy, host: str, path: str, status: int, page: str
) -> None:
    for body in (b"", b"a body"):
        if not (body and host == "b.test"):
            answer = proxy.ask(host, path, body=body)
            assert (answer.status, answer.body) == (status, PAGES[page].encode())
            assert answer.headers["content-type"] == "text/html"


def test_headers_of_pages(proxy: OptionsProxy) -> None:
    """A maintenance says when to come again, and who is asked for a password is still asked."""
    assert proxy.ask("a.test", "/off").headers["retry-after"] == "120"
    assert "retry-after" not in proxy.ask("a.test", "/none").headers
    assert proxy.ask("a.test", "/secret").headers["www-authenticate"] == 'Basic realm="a.test"'


def test_what_an_upstream_says_stays_as_it_is(proxy: OptionsProxy) -> None:
    with proxy.connect("DELETE / HTTP/1.0\r\nHost: a.test\r\n\r\n") as connection:
        said = read_all(connection)
    assert b" 501 " in said
    assert b"Unsupported method" in said


@pytest.mark.parametrize("host", ["a.test", "unknown.test"])
def test_pages_are_for_nobody_who_asks(proxy: OptionsProxy, host: str) -> None:
    """Nor is anything else that is in their folder."""
    files = [file.name for file in (proxy.folder.path / "parts").iterdir()]
    assert len(files) > len(PAGES)
    for name in files:
        for start in ("p-", "p-../", ""):
            path = f"/.proxyconf-errors/{start}{name.removeprefix('p-')}"
            answer = proxy.ask(host, path)
            assert answer.status == 404 or json.loads(answer.body)["path"] == path


def test_pieces_are_where_they_belong(proxy: OptionsProxy) -> None:
    """Of a host its own ones, else the default ones; where there are no routes there are none."""
    assert proxy.ask("a.test", "/own").status == 204
    assert proxy.ask("a.test").headers["x-location"] == "l"
    assert "x-server" not in proxy.ask("a.test").headers, "headers of a location take the place of others"
    assert proxy.ask("a.test", "/own").headers["x-server"] == "s"
    assert "server" in proxy.ask("a.test", "/own").headers
    assert proxy.ask("a.test", body=b"four").status == 200
    assert proxy.ask("b.test", "/only", body=b"four").status == 413
    assert proxy.ask("b.test", "/only", body=b"two").status == 200
    assert proxy.ask("unknown.test", "/own").status == 404


def test_another_page_is_served(web: EchoBackend) -> None:
    with OptionsProxy() as proxy:
        for text in ("soon", "later"):
            proxy.additions = Additions(pages=by_status(pages(**{"503.html": text})))
            proxy.serve(route("a.test", "/", "none"), route("b.test", "/", "web"), web=web.address, none=())
            assert proxy.ask("a.test").body == text.encode()


def test_an_operators_own_error_page_comes_first() -> None:
    with OptionsProxy() as proxy:
        own = b"error_page 503 @own;\nlocation @own { return 503 mine; }\n"
        proxy.additions = Additions(
            servers={"a.test.conf": piece("/a", own)}, pages=by_status(pages(**PAGES))
        )
        proxy.serve(route("a.test", "/", "none"), none=())
        assert proxy.ask("a.test").body == b"mine"


@pytest.mark.parametrize("kind", ["servers", "locations"])
@pytest.mark.parametrize(
    ("text", "complaint", "line"),
    [
        ("}", 'unexpected "}"', 1),
        ("aio off;\n} server { listen 1; return 418;", 'unexpected "}"', 2),
        ("location /x {", "unexpected end of file", 3),
        ("} } server { listen 1; location / { return 418;", 'unexpected "}"', 1),
        ("aio off", "unexpected end of file", 3),
        ('aio "off', "unexpected end of file", 3),
        ("\n\noops on;", 'unknown directive "oops"', 3),
        ("include nowhere.conf;", "nowhere.conf", 1),
    ],
)
def test_a_piece_can_not_break_out_of_its_place(
    tmp_path: Path, kind: str, text: str, complaint: str, line: int
) -> None:
    """A file has to be whole in itself; nginx names it."""
    additions = Additions(**{kind: {"a.test.conf": piece("/host.d/a.test.conf", text.encode())}})  # type: ignore[arg-type]
    site = Renderer(dialect(tmp_path)).render(
        snapshot(route("a.test", "/", "web"), web="10.0.0.1:80"), additions=additions
    )
    said = with_originals(check(write_site(site)), site.parts, tmp_path / "parts")
    assert complaint in said
    assert said.splitlines()[0].endswith(f"/host.d/a.test.conf:{line}")


def test_unknown_hosts_lead_to_the_default_host(web: EchoBackend) -> None:
    """With the name that was asked for; the proof is still the proof's."""
    with OptionsProxy(default_host="a.test") as proxy:
        site = proxy.serve(
            route("a.test", "/", "web"), route("b.test", "/", "none"), web=web.address, none=()
        )
        assert dict(json.loads(proxy.ask("x.test").body)["headers"])["Host"] == "x.test"
        assert proxy.ask("b.test").status == 503
        assert proxy.ask(site.dialect.proof_name).body == b"nonce-1"


def test_a_log_of_json_objects(tmp_path: Path, web: EchoBackend) -> None:
    """Whatever the client says, and where it says next to nothing."""
    log = tmp_path / "access.log"
    with OptionsProxy(access_log=str(log), access_log_format="json", trusted_proxies=("127.0.0.2",)) as proxy:
        proxy.serve(route("*.a.test", "/", "web"), web=web.address)
        odd = 'curl "\\ \t\xfe;{}'
        proxy.ask("x.a.test", "/p?q=%22", headers={"User-Agent": odd, "X-Forwarded-For": "192.0.2.7"})
        proxy.ask("x.a.test", headers={"X-Forwarded-For": "192.0.2.7"}, source="127.0.0.2")
        for said in ("\x01\r\n\r\n", "GET /\r\n", "GET / HTTP/1.1\r\n\r\n", "GET /x HTTP/1.0\r\n\r\n"):
            with proxy.connect(said) as connection:
                read_all(connection)
        proxy.server.stop()
        first, second, *rest = [json.loads(line) for line in log.read_text().splitlines()]
    assert (first["status"], first["method"], first["uri"]) == (200, "GET", "/p?q=%22")
    assert (first["host"], first["route_host"], first["remote_addr"]) == ("x.a.test", "*.a.test", "127.0.0.1")
    assert (first["upstream_addr"], first["upstream_status"], first["referer"]) == (web.address, "200", "")
    assert first["user_agent"].startswith('curl "\\ ')
    assert float(first["upstream_response_time"]) <= first["request_time"] + 0.01
    assert first["bytes"] > 0
    assert second["remote_addr"] == "192.0.2.7"
    assert [one["status"] for one in rest] == [400, 404, 400, 404]


def test_a_log_on_standard_output(tmp_path: Path) -> None:
    """As in a container."""
    site = Renderer(dialect(tmp_path, access_log="/dev/stdout")).render(snapshot())
    done = subprocess.run(
        ["nginx", "-t", "-c", write_site(site)], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stderr
