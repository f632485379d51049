"""The program and nginx on https: certificates of a folder, renewed ones, challenges, gRPC, clients' own."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.live.asking import TIMEOUT_S, until
from tests.live.running import Running
from tests.live.server import free_ports
from tests.unit.made_certificates import DAY_S, Pair, make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.needs("nginx")

HSTS = "max-age=31536000"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came by https, and with which certificate, protocol and session."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate: bytes
    spoken: str | None
    resumed: bool | None
    session: ssl.SSLSession | None


def pair(*names: str, days: float = 90) -> Pair:
    now = time.time()
    return make_pair(names[0], *names, begin=now - 60, end=now + days * DAY_S)


def name_in(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


class Site:
    """A proxyconf with certificates, and routes from a file."""

    def __init__(self, folder: Path, *settings: str) -> None:
        (self.port,) = free_ports(1)
        self.folder = folder
        self.certificates, self.challenges = folder / "certs", folder / "acme"
        self.certificates.mkdir()
        (self.challenges / ".well-known/acme-challenge").mkdir(parents=True)
        self.file = folder / "routes.toml"
        tls = {"certificates": self.certificates, "challenge": self.challenges, "hsts": HSTS}
        flags = [
            *(f"nginx.tls.{key}={value}" for key, value in tls.items()),
            *(f"file.path={self.file}", f"nginx.listen.https=127.0.0.1:{self.port}", *settings),
        ]
        self.proxy = Running(*(word for flag in flags for word in ("-s", flag)))
        self._routes: dict[str, dict[str, object]] = {}
        self._services: dict[str, str] = {}

    def route(self, host: str, service: str, address: str = "", **options: Any) -> None:  # noqa: ANN401 - TOML
        """Lead *host* to an endpoint, by default a backend that is called as the service."""
        self._routes[host] = {"host": host, "service": service, **options}
        self._services[service] = address or self.proxy.backend(service)
        lines = [
            f"[services.{name}]\nendpoints = [{json.dumps(to)}]\n" for name, to in self._services.items()
        ]
        for name, route in self._routes.items():
            said = "".join(f"{key} = {toml(value)}\n" for key, value in route.items())
            lines.append(f"[routes.{json.dumps(name)}]\n{said}")
        whole = self.file.with_suffix(".new")
        whole.write_text("\n".join(lines))
        whole.replace(self.file)

    def ask(
        self,
        host: str,
        path: str = "/",
        *,
        version: ssl.TLSVersion | None = None,
        client: Path | None = None,
        session: ssl.SSLSession | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """Ask by https, whatever the certificate."""
        context = context or context_of(version, client)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=TIMEOUT_S)
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)
        with context.wrap_socket(sock, server_hostname=host, session=session) as tls:
            shown, spoken = tls.getpeercert(binary_form=True) or b"", tls.selected_alpn_protocol()
            connection.sock = tls
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            body = response.read()
            return Answer(response.status, headers, body, shown, spoken, tls.session_reused, tls.session)

    def until(self, host: str, shown: Pair) -> None:
        """Wait until *host* is served with that certificate."""
        until(lambda: self._shows(host) == name_in(shown), f"the certificate of {host}")
        self.proxy.until_state("applied")
        self.proxy.until_settled()

    def _shows(self, host: str) -> bytes:
        try:
            return self.ask(host).certificate
        except (OSError, http.client.HTTPException):
            return b""

    def plain(self, host: str, path: str = "/", method: str = "GET") -> tuple[int, str, bytes]:
        """Ask by http; return status, where to, and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.headers.get("Location", ""), response.read()
        finally:
            connection.close()


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(of)}" for key, of in value.items()) + "}"
    return json.dumps(value)


def context_of(version: ssl.TLSVersion | None = None, client: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if version:
        context.minimum_version = context.maximum_version = version
    if client:
        context.load_cert_chain(client)
    return context


@contextmanager
def secured(*settings: str, certificates: Mapping[str, Pair] | None = None) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="pc-https-") as path:
        Path(path).chmod(0o755)
        site = Site(Path(path), *settings)
        with site.proxy:
            site.route("start.test", "web")
            for name, default in (certificates or {}).items():
                default.put(site.certificates, name)
            site.proxy.serve()
            yield site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with secured() as made:
        yield made


def test_a_host_with_a_certificate_is_on_https(site: Site) -> None:
    """The first one needs nobody to say anything; requests by http are sent there, with what they ask for."""
    own = pair("a.test")
    own.put(site.certificates, "a.test")
    site.route("a.test", "web")
    site.until("a.test", own)
    answer = site.ask("a.test", "/x")
    assert json.loads(answer.body)["name"] == "web"
    headers = {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", str(site.port))
    assert answer.headers["strict-transport-security"] == HSTS
    assert site.plain("a.test", "/x?y=%20")[:2] == (301, f"https://a.test:{site.port}/x?y=%20")
    assert site.plain("start.test")[0] == 200
    with pytest.raises(ssl.SSLError):
        site.ask("start.test")
    explained = site.proxy.cli("explain", f"https://a.test:{site.port}/x")
    assert explained.stdout.startswith("a.test/ is served, since ")
    assert f"certificate: {site.certificates}/a.test.crt: for a.test, until " in explained.stdout
    (known,) = [one for one in site.proxy.status().certificates if one.name == "a.test"]
    assert (known.names, known.file) == (("a.test",), str(site.certificates / "a.test.crt"))


def test_a_plan_knows_the_last_good_certificate() -> None:
    """Half of a renewed pair changes nothing, in the one that runs and in what it would do."""
    with secured() as site:
        first = pair("a.test")
        first.put(site.certificates, "a.test")
        site.route("a.test", "web")
        site.until("a.test", first)
        (site.certificates / "a.test.crt").write_bytes(pair("a.test").certificate)
        site.proxy.until_status(lambda status: "the one before" in str(status.problems), "it is half there")
        plan = site.proxy.cli("plan")
        assert (plan.returncode, plan.stdout) == (0, "no files would change\n")
        assert "the one before is still used" in plan.stderr
        site.proxy.cli("pause")
        site.route("b.test", "web")
        plan = site.proxy.cli("plan")
        assert (plan.returncode, plan.stdout.splitlines()[-1]) == (2, "1 file would change")
        assert plan.stderr.count("warning: ") == 1


def test_a_key_is_nobodys_to_read(site: Site) -> None:
    pair("key.test").put(site.certificates, "key.test")
    site.route("key.test", "web")
    until(lambda: site.plain("key.test")[0] == 301, "key.test is on https")
    keys = list((site.proxy.state / "nginx" / "parts").glob("c-*.pem"))
    assert keys
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_a_renewed_certificate_is_served_and_half_a_renewal_is_not(site: Site) -> None:
    """Not even by a run that begins in between."""
    old, new = pair("renewed.test"), pair("renewed.test")
    old.put(site.certificates, "renewed")
    site.route("renewed.test", "web")
    site.until("renewed.test", old)
    (site.certificates / "renewed.crt").write_bytes(new.certificate)
    site.route("change-1.test", "web")  # a change of anything has them read at once
    site.proxy.until_status(
        lambda status: any("is still used" in problem.why for problem in status.problems), "the problem"
    )
    assert site.ask("renewed.test").certificate == name_in(old)
    site.proxy.kill()
    site.proxy.start()
    site.proxy.until_event("proxyconf.started", count=2)
    site.proxy.until_state("applied")
    assert site.ask("renewed.test").certificate == name_in(old)
    (site.certificates / "renewed.key").write_bytes(new.key)
    site.until("renewed.test", new)
    after = site.proxy.until_status(lambda status: not status.problems, "nothing is wrong")
    (done,) = [one for one in after.history if "certificates" in one.asked]
    assert done.changed == ("~ renewed.test (certificate renewed)",)


def test_challenges_are_answered_by_http_alone(site: Site) -> None:
    """Also for a host that nobody serves yet: its certificate may have to be there first."""
    (site.challenges / ".well-known/acme-challenge/token").write_text("answer")
    pair("challenged.test").put(site.certificates, "challenged")
    site.route("challenged.test", "web")
    until(lambda: site.plain("challenged.test")[0] == 301, "challenged.test is on https")
    for host in ("challenged.test", "start.test", "unknown.test"):
        assert site.plain(host, "/.well-known/acme-challenge/token") == (200, "", b"answer")
    assert site.plain("unknown.test")[0] == 404


def test_what_hosts_ask_for(site: Site) -> None:
    wild = pair("*.ask.test")
    wild.put(site.certificates, "_.ask.test")
    asked: dict[str, dict[str, Any]] = {
        "both": {"https": "both"},
        "only": {"https": "only"},
        "off": {"https": "off"},
        "post": {"https_redirect_status": 308},
        "later": {"hsts": "max-age=5", "response_header": {"X-More": "1"}},
        "naked": {"www": True},
    }
    for name, options in asked.items():
        site.route(f"{name}.ask.test", "web", **options)
    site.until("later.ask.test", wild)
    assert site.plain("both.ask.test")[0] == site.ask("both.ask.test").status == 200
    assert "strict-transport-security" not in site.ask("both.ask.test").headers
    assert (site.plain("only.ask.test")[0], site.ask("only.ask.test").status) == (404, 200)
    assert site.plain("off.ask.test")[0] == 200
    assert [site.plain("post.ask.test", method=method)[0] for method in ("GET", "HEAD", "POST")] == [
        301,
        301,
        308,
    ]
    later = site.ask("later.ask.test").headers
    assert (later["strict-transport-security"], later["x-more"]) == ("max-age=5", "1")
    port = site.proxy.port
    assert site.plain("www.naked.ask.test", "/x")[:2] == (301, "http://naked.ask.test/x")
    assert site.plain(f"www.naked.ask.test:{port}", "/x")[1] == f"http://naked.ask.test:{port}/x"


def test_sessions_outlive_a_reload(site: Site) -> None:
    own = pair("session.test")
    own.put(site.certificates, "session")
    site.route("session.test", "web")
    site.until("session.test", own)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = context_of(version)
        first = site.ask("session.test", context=context)
        assert not first.resumed
        reloads = site.proxy.reloads()
        site.proxy.signal(signal.SIGHUP)
        until(lambda: site.proxy.reloads() > reloads, "nginx has reloaded")  # noqa: B023 - at once
        site.proxy.until_settled()
        assert site.ask("session.test", context=context, session=first.session).resumed


def test_clients_show_certificates(site: Site) -> None:
    """Without one of the authority the answer is 400, and 503 where there is no authority yet."""
    own, client, foreign = pair("mutual.test"), pair("client"), pair("client")
    own.put(site.certificates, "mutual")
    site.route("mutual.test", "web", verify_client="on")
    site.until("mutual.test", own)
    assert site.ask("mutual.test").status == 503
    (site.certificates / "mutual.ca.crt").write_bytes(client.certificate)
    site.route("change-2.test", "web")  # as above
    until(lambda: site.ask("mutual.test").status == 400, "clients are asked")
    for name, shown, status in (("client", client, 200), ("foreign", foreign, 400)):
        file = site.folder / f"{name}.pem"
        file.write_bytes(shown.key + shown.certificate)
        # for 100 ms the workers of before, who know no authority, answer as well
        until(lambda: site.ask("mutual.test", client=file).status == status, name)  # noqa: B023 - at once
    # its name is no UTF-8: OpenSSL refuses it, and nothing else does
    invalid = pair("zzzz")
    broken = ssl.DER_cert_to_PEM_cert(name_in(invalid).replace(b"zzzz", b"\xff\xfe\xfd\xfc"))
    (site.certificates / "mutual.ca.crt").write_text(broken)
    site.route("change-3.test", "web")
    until(lambda: site.plain("change-3.test")[0] == 200, "the change")
    site.proxy.until_status(
        lambda status: any("its last good form serves" in problem.why for problem in status.problems),
        "the problem",
    )
    assert site.ask("mutual.test", client=site.folder / "client.pem").status == 200
    assert site.ask("mutual.test").status == 400
    (site.certificates / "mutual.ca.crt").write_bytes(client.certificate)


@contextmanager
def grpc_backend() -> Iterator[str]:
    """Run a gRPC service that returns what it was sent, and who was asked."""

    class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:  # noqa: ANN401 - grpc has no types
            return grpc.unary_unary_rpc_method_handler(
                lambda request, _: call.method.encode() + b" " + request
            )

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=(Echo(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def test_grpc_is_passed_on(site: Site) -> None:
    own = pair("grpc.test")
    own.put(site.certificates, "grpc")
    with grpc_backend() as address:
        site.route("grpc.test", "grpc", address, proto="grpc")
        site.until("grpc.test", own)
        credentials = grpc.ssl_channel_credentials(own.certificate)
        options = (("grpc.ssl_target_name_override", "grpc.test"), ("grpc.default_authority", "grpc.test"))
        with grpc.secure_channel(f"127.0.0.1:{site.port}", credentials, options) as channel:
            call = channel.unary_unary("/echo.Echo/Say")
            assert call(b"hello", timeout=TIMEOUT_S) == b"/echo.Echo/Say hello"


def test_a_modern_policy_and_a_default_certificate() -> None:
    settings = ("nginx.tls.policy=modern", "nginx.tls.missing=default", "nginx.tls.http2=false")
    default = pair("default.test")
    with secured(*settings, certificates={"default": default}) as site:
        shown = site.ask("start.test", version=ssl.TLSVersion.TLSv1_3)
        assert (shown.status, shown.certificate) == (200, name_in(default))
        with pytest.raises(ssl.SSLError):
            site.ask("start.test", version=ssl.TLSVersion.TLSv1_2)
