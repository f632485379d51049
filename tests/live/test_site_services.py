"""What each option of a service does on a real nginx."""

from __future__ import annotations

import json
import ssl
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.model import Endpoint
from proxyconf.options import ServiceOptions
from tests.golden.cases import route
from tests.live.certificates import make_certificates
from tests.live.echo_backend import EchoBackend
from tests.live.options_lab import OptionsProxy, Played, accept_any, receive
from tests.live.program_backend import ProgramBackend

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tests.live.nginx_server import Answer

pytestmark = pytest.mark.needs("nginx")

MANY = 150  # keys: of fewer, an endpoint now and then gets none, by its port
FORGED = {"X-Forwarded-For": "192.0.2.1", "X-User": "forged", "Proxy": "http://evil.test", "X-Own": "kept"}


@pytest.fixture
def proxy() -> Iterator[OptionsProxy]:
    with OptionsProxy() as made:
        yield made


@pytest.fixture(scope="module")
def three() -> Iterator[tuple[EchoBackend, ...]]:
    with ExitStack() as stack:
        yield tuple(stack.enter_context(EchoBackend(name)) for name in "abc")


def says(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def endpoints(*backends: EchoBackend | Played) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(backend.address) for backend in backends)


class TestTls:
    """Endpoints that speak HTTPS."""

    def test_who_is_asked_for_and_who_is_believed(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
        names: list[str | None] = []
        context.sni_callback = lambda _sock, name, _context: names.append(name)
        asked = {
            "plain": ServiceOptions("https"),
            "named": ServiceOptions("https", name="other.test"),
            "good": ServiceOptions("https", verify=True, name="localhost"),
            "bad": ServiceOptions("https", verify=True, name="other.test"),
            "unnamed": ServiceOptions("https", verify=True),
        }
        routes = [route("a.test", f"/{name}", name, asked[name], replace="/") for name in asked]
        with (
            EchoBackend("tls", context) as backend,
            OptionsProxy(authorities=certificates.path("ca")) as proxy,
        ):
            proxy.serve(*routes, **dict.fromkeys(asked, backend.address))
            found = says(proxy.ask("a.test", "/plain/x"))
            assert (found["path"], dict(found["headers"])["Host"]) == ("/x", "a.test")
            assert says(proxy.ask("a.test", "/named"))["name"] == says(proxy.ask("a.test", "/good"))["name"]
            assert names == ["a.test", "other.test", "localhost"]
            assert proxy.ask("a.test", "/bad").status == proxy.ask("a.test", "/unnamed").status == 502


class TestPrograms:
    """FastCGI and uwsgi, whose parameters are what headers are elsewhere."""

    def test_fastcgi(self, proxy: OptionsProxy) -> None:
        asked = ServiceOptions("fastcgi", root="/srv/app/")
        with ProgramBackend("fastcgi") as backend:
            proxy.serve(
                route("php.test", "/", "php", asked, request_headers=(("X-User", "$me"), ("X-Own", ""))),
                route("php.test", "/cut", "php", replace="/"),
                route("php.test", "/moved", "php", replace="/new"),
                php=backend.address,
            )
            found = says(proxy.ask("php.test:81", "/a%20b/x.php/more?q=1%202", headers=FORGED))["parameters"]
            assert found["SCRIPT_FILENAME"] == "/srv/app/a b/x.php"
            assert found["DOCUMENT_ROOT"] == "/srv/app"
            assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/a b/x.php", "/more")
            assert (found["QUERY_STRING"], found["REQUEST_URI"]) == ("q=1%202", "/a%20b/x.php/more?q=1%202")
            assert (found["HTTP_HOST"], found["SERVER_NAME"]) == ("php.test:81", "php.test")
            _expect_ours(found)
            assert "HTTP_X_OWN" not in found
            for path, script in (
                ("/", "/index.php"),
                ("/cut", "/index.php"),
                ("/cut/x.php", "/x.php"),
                ("/moved/x%0Ay.php", "/new/x\ny.php"),
            ):
                found = says(proxy.ask("php.test", path))["parameters"]
                assert (found["SCRIPT_FILENAME"], found["REQUEST_URI"]) == (f"/srv/app{script}", path)
            found = says(proxy.ask("php.test", "/x.php", body=b"hello"))
            assert (found["body"], found["parameters"]["CONTENT_LENGTH"]) == ("hello", "5")
            assert found["parameters"]["REQUEST_METHOD"] == "POST"

    def test_uwsgi(self, proxy: OptionsProxy) -> None:
        with ProgramBackend("uwsgi") as backend:
            proxy.serve(
                route(
                    "wsgi.test", "/", "wsgi", ServiceOptions("uwsgi"), request_headers=(("X-User", "$me"),)
                ),
                route("wsgi.test", "/cut", "wsgi", replace="/"),
                wsgi=backend.address,
            )
            found = says(proxy.ask("wsgi.test", "/a%20b?q=1", headers=FORGED))["parameters"]
            assert (found["PATH_INFO"], found["QUERY_STRING"]) == ("/a b", "q=1")
            assert found["HTTP_X_OWN"] == "kept"
            _expect_ours(found)
            assert says(proxy.ask("wsgi.test", "/cut/x"))["parameters"]["PATH_INFO"] == "/x"
            assert says(proxy.ask("wsgi.test", "/x", body=b"hello"))["body"] == "hello"


def _expect_ours(found: dict[str, str]) -> None:
    assert (found["REMOTE_ADDR"], found["HTTP_X_FORWARDED_FOR"], found["HTTP_X_USER"]) == (
        "127.0.0.1",
        "127.0.0.1",
        "$me",
    )
    assert not {"HTTPS", "HTTP_PROXY", "HTTP_FORWARDED"} & set(found)


class TestBalance:
    """Which endpoint is chosen."""

    @pytest.mark.parametrize("kind", ["cookie", "header"])
    def test_a_key_of_the_request_sticks(
        self, proxy: OptionsProxy, three: tuple[EchoBackend, ...], kind: str
    ) -> None:
        """The same key, the same endpoint, also when another one has gone."""
        asked = ServiceOptions(balance="hash:cookie:id" if kind == "cookie" else "hash:header:X-User")

        def chosen() -> list[str]:
            return [
                says(
                    proxy.ask(
                        "a.test", headers={"Cookie": f"id={key}"} if kind == "cookie" else {"X-User": key}
                    )
                )["name"]
                for key in map(str, range(MANY))
            ]

        proxy.serve(route("a.test", "/", "web", asked), web=endpoints(*three))
        before = chosen()
        assert set(before) == {"a", "b", "c"}
        assert chosen() == before
        proxy.serve(route("a.test", "/", "web", asked), web=endpoints(*three[:2]))
        assert all(old in ("c", new) for old, new in zip(before, chosen(), strict=True))

    @pytest.mark.parametrize("balance", ["hash:client", "hash:uri", "ip_hash"])
    def test_clients_and_paths_stick(
        self, proxy: OptionsProxy, three: tuple[EchoBackend, ...], balance: str
    ) -> None:
        proxy.serve(route("a.test", "/", "web", ServiceOptions(balance=balance)), web=endpoints(*three))
        sources = [f"127.{number}.{number}.1" for number in range(MANY)]
        by_client = [says(proxy.ask("a.test", source=source))["name"] for source in sources]
        by_path = [says(proxy.ask("a.test", f"/{number}"))["name"] for number in range(MANY)]
        assert len(set(by_client)) == (1 if balance == "hash:uri" else 3)
        assert len(set(by_path)) == (3 if balance == "hash:uri" else 1)

    def test_the_client_of_a_trusted_proxy_is_the_one_it_names(self, three: tuple[EchoBackend, ...]) -> None:
        with OptionsProxy(trusted_proxies=("127.0.0.1",)) as proxy:
            asked = ServiceOptions(balance="hash:client")
            proxy.serve(route("a.test", "/", "web", asked), web=endpoints(*three))
            clients = [{"X-Forwarded-For": f"192.{number}.2.{number}"} for number in range(MANY)]
            found = [says(proxy.ask("a.test", headers=client))["name"] for client in clients]
            assert len(set(found)) == 3

    def test_least_conn_spares_who_is_busy(self, proxy: OptionsProxy) -> None:
        """Round robin would come back to it."""
        with Played() as one, Played() as other, ExitStack() as stack:
            proxy.serve(
                route("a.test", "/", "web", ServiceOptions(balance="least_conn")), web=endpoints(one, other)
            )
            ask = "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n"
            stack.enter_context(proxy.connect(ask))
            busy, held = accept_any(one, other)
            stack.enter_context(held)
            for _ in range(3):
                with proxy.connect(ask) as client:
                    chosen, endpoint = accept_any(one, other)
                    assert chosen is not busy
                    _answer(endpoint)
                    receive(client, b"204")


def _answer(endpoint: socket.socket) -> None:
    with closing(endpoint):
        receive(endpoint, b"\r\n\r\n")
        endpoint.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.mark.parametrize(("max_fails", "failures"), [(0, 3), (1, 1)])
def test_an_endpoint_that_failed_is_left_out(
    proxy: OptionsProxy, three: tuple[EchoBackend, ...], max_fails: int, failures: int
) -> None:
    """It is asked for only while it may fail."""
    asked = ServiceOptions(max_fails=max_fails, fail_timeout=60)
    with Played() as dead:
        dead.listener.listen(16)
        proxy.serve(
            route("a.test", "/", "web", asked, read_timeout=0.5),
            web=(Endpoint(dead.address), Endpoint(three[0].address, weight=1)),
        )
        assert [says(proxy.ask("a.test"))["name"] for _ in range(6)] == ["a"] * 6
        for _ in range(failures):
            dead.accept(1).close()
        with pytest.raises(TimeoutError):
            dead.accept(0.05)


@pytest.mark.parametrize(("keepalive", "connections"), [(None, 1), (0, 3), (4, 1)])
def test_connections_are_kept(
    proxy: OptionsProxy, three: tuple[EchoBackend, ...], keepalive: int | None, connections: int
) -> None:
    proxy.serve(route("a.test", "/", "web", ServiceOptions(keepalive=keepalive)), web=three[0].address)
    assert len({says(proxy.ask("a.test"))["peer"] for _ in range(3)}) == connections
