"""What each option of a route does on a real nginx."""

from __future__ import annotations

import base64
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.options import Rate
from tests.golden.cases import route
from tests.live.echo_backend import EchoBackend
from tests.live.options_lab import NOT_YET_S, OptionsProxy, Played, receive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.nginx_server import Answer

pytestmark = pytest.mark.needs("nginx")

# of the password "right"
HASHES = {
    "apr1": "$apr1$abcdefgh$tPMe7lknrFZeX55XJF00t0",
    "bcrypt": "$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC",
    "sha512": (
        "$6$saltsalt$gzY3OAolfMFSB9Ld7iMdOQlViFqO3IOPeU0zkHsD.58tcMxRAFD0Qjfi2sjus3i.8aqWarEvFPREqzp18Jm291"
    ),
    "sha1": "{SHA}0nofEXcSAJSXFLGvmfBIpBb11vQ=",
}
ROUTES = (
    route("body.test", "/", "web"),
    route("body.test", "/any", "web", body_size=0),
    route("body.test", "/ten", "web", body_size=10),
    route("in.test", "/", "web", allow=("127.0.0.0/30", "fd00::/8"), deny=("127.0.0.2",)),
    route("in.test", "/not-you", "web", deny=("127.0.0.2",)),
    route("off.test", "/", "web", maintenance=True, response_headers=(("X-Off", "yes"),)),
    route("old.test", "/app", "gone", redirect="https://new.test:8443"),
    route("old.test", "/kept", "gone", redirect="http://new.test", redirect_status=308),
    route("path.test", "/app", "web", replace="/new"),
    route("path.test", "/cut", "web", replace="/"),
    route(
        "secret.test",
        "/",
        "web",
        users=tuple(HASHES.items()),
        response_headers=(("X-Frame-Options", "DENY"),),
    ),
    route("whole.test", "/", "web", replace="/in/side"),
)


@pytest.fixture(scope="module")
def web() -> Iterator[EchoBackend]:
    with EchoBackend("web") as backend:
        yield backend


@pytest.fixture(scope="module")
def proxy(web: EchoBackend) -> Iterator[OptionsProxy]:
    with OptionsProxy() as made:
        assert made.serve(*ROUTES, web=web.address, gone=()).problems == ()
        yield made


@pytest.fixture
def fresh() -> Iterator[OptionsProxy]:
    with OptionsProxy() as made:
        yield made


def says(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("", ""),
        ("/", "/"),
        ("?a=b%20c&d=/e", "?a=b%20c&d=/e"),
        ("/x?a=b%2Fc", "/x?a=b%2Fc"),
        ("/a%20b", "/a%20b"),
        ("/a+b", "/a+b"),
        ("/a%3Fb?c", "/a%3Fb?c"),
        ("/a%23b", "/a%23b"),
        ("/a%25b", "/a%25b"),
        ("/a%2525b", "/a%2525b"),
        ("/%C3%A4", "/%C3%A4"),
        ("/a%0Ab", "/a%0Ab"),
        ("/a%22b", "/a%22b"),
        ("/a;b=c", "/a;b=c"),
        ("/a/../b", "/b"),
        ("/../{}/x", "/x"),
        pytest.param("/a%2Fb", "/a/b", id="an encoded slash becomes one"),
        pytest.param("//a//b", "/a/b", id="double slashes become one"),
    ],
)
@pytest.mark.parametrize(("path", "new"), [("/app", "/new"), ("/cut", "")])
def test_a_path_in_the_place_of_the_routes_own(
    proxy: OptionsProxy, path: str, new: str, asked: str, passed: str
) -> None:
    """What follows it keeps its meaning, and cannot leave it."""
    wanted = new + passed if new else passed if passed[:1] == "/" else f"/{passed}"
    assert says(proxy.ask("path.test", path + asked.format(path[1:])))["path"] == wanted


def test_a_path_before_all_others(proxy: OptionsProxy) -> None:
    assert says(proxy.ask("whole.test", "/x?y"))["path"] == "/in/side/x?y"
    assert says(proxy.ask("whole.test", "/"))["path"] == "/in/side/"
    assert proxy.ask("path.test", "/apple").status == 404


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/ten", 10, 200), ("/ten", 11, 413), ("/", (1 << 20) + 1, 413), ("/any", (1 << 20) + 1, 200)],
)
def test_how_large_a_body_may_be(proxy: OptionsProxy, path: str, size: int, status: int) -> None:
    """Without the option nginx takes a megabyte."""
    answer = proxy.ask("body.test", path, body=b"x" * size)
    assert answer.status == status
    if status == 200:
        assert len(says(answer)["body"]) == size


@pytest.mark.parametrize(
    ("path", "source", "status"),
    [
        ("/", "127.0.0.1", 200),
        pytest.param("/", "127.0.0.2", 403, id="denied within what is allowed"),
        pytest.param("/", "127.0.0.5", 403, id="not allowed"),
        ("/not-you", "127.0.0.2", 403),
        ("/not-you/x", "127.0.0.2", 403),
        ("/not-you", "127.0.0.5", 200),
    ],
)
def test_who_may_ask(proxy: OptionsProxy, path: str, source: str, status: int) -> None:
    assert proxy.ask("in.test", path, source=source).status == status


class TestBehindATrustedProxy:
    """Who may ask, and how often, goes by the client that it names."""

    def ask(self, proxy: OptionsProxy, client: str, *, source: str = "127.0.0.2") -> int:
        said = {"X-Forwarded-For": f"127.0.0.9, {client}"}  # what a client itself says comes first
        return proxy.ask("a.test", headers=said, source=source).status

    def test_who_may_ask(self, web: EchoBackend) -> None:
        with OptionsProxy(trusted_proxies=("127.0.0.2",)) as proxy:
            proxy.serve(route("a.test", "/", "web", allow=("192.0.2.7", "127.0.0.0/8")), web=web.address)
            assert self.ask(proxy, "192.0.2.7") == 200
            assert self.ask(proxy, "192.0.2.8") == 403
            assert self.ask(proxy, "192.0.2.8", source="127.0.0.3") == 200

    def test_how_often(self, web: EchoBackend) -> None:
        with OptionsProxy(trusted_proxies=("127.0.0.2",)) as proxy:
            proxy.serve(route("a.test", "/", "web", rate=Rate(per_minute=1)), web=web.address)
            assert [self.ask(proxy, "192.0.2.7") for _ in range(2)] == [200, 429]
            assert self.ask(proxy, "192.0.2.8") == 200


@pytest.mark.parametrize("name", HASHES)
def test_users_log_in(proxy: OptionsProxy, name: str) -> None:
    def login(name: str, password: str) -> Answer:
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        return proxy.ask("secret.test", headers={"Authorization": f"Basic {pair}"})

    assert says(login(name, "right"))["name"] == "web"
    assert login(name, "wrong").status == login("nobody", "right").status == 401


def test_who_does_not_log_in_is_asked_to(proxy: OptionsProxy) -> None:
    """The route's headers are in that answer, too."""
    answer = proxy.ask("secret.test")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="secret.test"'
    assert answer.headers["x-frame-options"] == "DENY"


def test_nobody_but_the_workers_reads_the_hashes(proxy: OptionsProxy) -> None:
    """It can't be told whom they run as where nginx is not started by root: it is ourselves then."""
    (users,) = (proxy.folder.path / "parts").glob("*.users")
    if stat.S_IMODE(users.stat().st_mode) != 0o644:
        assert (stat.S_IMODE(users.stat().st_mode), users.group()) == (0o640, "www-data")


def test_users_are_kept_as_long_as_a_host_needs_them(fresh: OptionsProxy, web: EchoBackend) -> None:
    users = (("ann", HASHES["sha1"]),)
    first = fresh.serve(route("a.test", "/", "web", users=users), web=web.address)
    fresh.folder.keep(frozenset(part.file for part in first.parts))
    fresh.folder.prepare()  # as another run does
    assert [file.read_text() for file in (fresh.folder.path / "parts").glob("u-*")] == [
        f"ann:{users[0][1]}\n"
    ]
    fresh.serve(route("a.test", "/", "web"), web=web.address)
    fresh.folder.prepare()
    assert list((fresh.folder.path / "parts").glob("u-*")) == []


@pytest.mark.parametrize(
    ("path", "status", "place"),
    [
        ("/app", 301, "https://new.test:8443/app"),
        ("/app/x%2Fy?a=b&c=%20", 301, "https://new.test:8443/app/x%2Fy?a=b&c=%20"),
        ("/kept/x", 308, "http://new.test/kept/x"),
    ],
)
def test_a_redirect_keeps_path_and_query(proxy: OptionsProxy, path: str, status: int, place: str) -> None:
    answer = proxy.ask("old.test", path)
    assert (answer.status, answer.headers["location"]) == (status, place)


@pytest.mark.parametrize("target", [".evil.test/", "@evil.test/", "http://old.test", "*", "//evil.test/app"])
def test_a_redirect_leads_nowhere_else(fresh: OptionsProxy, target: str) -> None:
    """What stands behind the host is a path, whatever a client writes in its place."""
    fresh.serve(route("old.test", "/", "gone", redirect="https://new.test"), gone=())
    with fresh.connect(f"GET {target} HTTP/1.0\r\nHost: old.test\r\n\r\n") as connection:
        found = receive(connection, b"\r\n\r\n").decode()
    place = [line.split()[1] for line in found.splitlines() if line.startswith("Location:")]
    assert " 400 " in found or all(
        one.startswith("https://new.test/") or one == "https://new.test" for one in place
    )


def test_maintenance(proxy: OptionsProxy) -> None:
    answer = proxy.ask("off.test", "/any")
    assert (answer.status, answer.headers["retry-after"], answer.headers["x-off"]) == (503, "120", "yes")


class TestHeaders:
    """A location that sets one must set all of ours again."""

    routes = (
        route(
            "a.test",
            "/",
            "web",
            request_headers=(
                ("X-Price", '5 $ "now"; $host'),
                ("x-forwarded-proto", "https"),
                ("X-Real-IP", ""),
                ("Connection", "close"),
            ),
            response_headers=(("X-Quoted", 'a "b"; $host \\ é'), ("Cache-Control", "no-store")),
        ),
        route("plain.test", "/", "web"),
    )

    @pytest.fixture
    def proxy(self, web: EchoBackend) -> Iterator[OptionsProxy]:
        with OptionsProxy() as made:
            site = made.serve(*self.routes, web=web.address)
            assert [problem.why for problem in site.problems] == [
                "header 'Connection': is nginx's own to set (take it away)"
            ]
            yield made

    def test_a_request_has_them_and_ours(self, proxy: OptionsProxy) -> None:
        forged = {"X-Price": "0", "X-Real-IP": "192.0.2.1", "X-Forwarded-For": "192.0.2.1", "Proxy": "x"}
        own, plain = (
            {name.lower(): value for name, value in says(proxy.ask(host, headers=forged))["headers"]}
            for host in ("a.test", "plain.test")
        )
        assert plain.pop("x-price") == "0"
        assert plain.pop("x-real-ip") == "127.0.0.1"
        assert own == {
            **plain,
            "host": "a.test",
            "x-forwarded-host": "a.test",
            "x-price": '5 $ "now"; $host',
            "x-forwarded-proto": "https",
        }

    def test_an_answer_has_them(self, proxy: OptionsProxy) -> None:
        headers = proxy.ask("a.test").headers
        assert headers["x-quoted"].encode("latin-1").decode() == 'a "b"; $host \\ é'
        assert headers["cache-control"] == "no-store"

    def test_a_websocket_is_still_one(self, proxy: OptionsProxy) -> None:
        upgrade = "GET /x HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        with proxy.connect(upgrade) as connection:
            assert b"101" in receive(connection, b"\r\n\r\n")
            connection.sendall(b"ping\n")
            assert receive(connection, b"\n") == b"ping\n"


class TestRate:
    """One client's requests."""

    def test_too_many_are_refused(self, fresh: OptionsProxy, web: EchoBackend) -> None:
        """The exact path and what is below count together; another client, and another route, do not."""
        rate = Rate(per_minute=1, burst=2)
        fresh.serve(
            route("a.test", "/app", "web", rate=rate),
            route("a.test", "/b", "web", rate=rate),
            web=web.address,
        )
        found = [fresh.ask("a.test", path).status for path in ("/app", "/app/x", "/app/y", "/app", "/app/z")]
        assert found == [200, 200, 200, 429, 429]
        assert fresh.ask("a.test", "/b").status == 200
        assert fresh.ask("a.test", "/app", source="127.0.0.2").status == 200

    def test_without_a_burst_there_is_one_at_a_time(self, fresh: OptionsProxy, web: EchoBackend) -> None:
        fresh.serve(route("a.test", "/", "web", rate=Rate(per_minute=1)), web=web.address)
        assert [fresh.ask("a.test").status for _ in range(2)] == [200, 429]

    def test_another_rate_is_no_obstacle_to_a_reload(self, fresh: OptionsProxy, web: EchoBackend) -> None:
        """An unchanged one is remembered across it."""
        other = route("b.test", "/", "web", rate=Rate(per_minute=1))
        fresh.serve(route("a.test", "/", "web", rate=Rate(per_minute=1)), other, web=web.address)
        assert fresh.ask("a.test").status == fresh.ask("b.test").status == 200
        fresh.serve(route("a.test", "/", "web", rate=Rate(per_minute=2)), other, web=web.address)
        assert [fresh.ask("a.test").status for _ in range(2)] == [200, 429]
        assert fresh.ask("b.test").status == 429


class TestWaiting:
    """Time-outs and buffers, with an endpoint that takes its time."""

    @pytest.fixture
    def slow(self) -> Iterator[Played]:
        with Played() as played:
            yield played

    def test_an_endpoint_that_says_nothing(self, fresh: OptionsProxy, slow: Played) -> None:
        fresh.serve(route("a.test", "/", "slow", read_timeout=0.05), slow=slow.address)
        assert fresh.ask("a.test").status == 504

    def test_an_endpoint_that_takes_nothing(self, fresh: OptionsProxy, slow: Played) -> None:
        fresh.serve(route("a.test", "/", "slow", send_timeout=0.05, body_size=0), slow=slow.address)
        assert fresh.ask("a.test", body=bytes(32 << 20)).status == 504

    @pytest.mark.parametrize("buffering", [False, True])
    def test_an_answer_piece_by_piece(self, fresh: OptionsProxy, slow: Played, *, buffering: bool) -> None:
        """With a buffer the client gets nothing before the endpoint is done."""
        fresh.serve(route("a.test", "/", "slow", buffering=buffering), slow=slow.address)
        with fresh.connect("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n") as client, slow.accept() as endpoint:
            receive(endpoint, b"\r\n\r\n")
            endpoint.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            if buffering:
                client.settimeout(NOT_YET_S)
                with pytest.raises(TimeoutError):
                    receive(client, b"first")
                client.settimeout(None)
                endpoint.sendall(b"after")
                assert receive(client, b"firstafter")
            else:
                assert receive(client, b"first")

    @pytest.mark.parametrize("buffering", [False, True])
    def test_a_request_piece_by_piece(self, fresh: OptionsProxy, slow: Played, *, buffering: bool) -> None:
        """With a buffer the endpoint is not asked before the client is done."""
        fresh.serve(route("a.test", "/", "slow", request_buffering=buffering), slow=slow.address)
        with fresh.connect("POST / HTTP/1.0\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nfirst") as client:
            if buffering:
                with pytest.raises(TimeoutError):
                    slow.accept(NOT_YET_S)
                client.sendall(b"after")
                with slow.accept() as endpoint:
                    receive(endpoint, b"firstafter")
            else:
                with slow.accept() as endpoint:
                    receive(endpoint, b"first")
