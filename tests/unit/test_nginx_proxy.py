"""nginx-proxy's variables and labels: what they ask for, what is wrong, and what the guide says of them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf import values
from proxyconf.model import Claims, Container, Listing
from proxyconf.options import HostOptions, LocationOptions, Options, Rate, ServiceOptions
from proxyconf.routing.beside import beside
from proxyconf.routing.containers import Containers
from proxyconf.routing.labels import Wishes, read_labels
from proxyconf.routing.nginx_proxy import VariableWish, read_variables
from proxyconf.routing.nginx_proxy_settings import INTERNAL, LABELS, PREFIX, VARIABLES, Protocol
from proxyconf.snapshot import merge
from proxyconf.sources import _docker_reading
from proxyconf.tables import Listen, Nginx, Tls

GUIDE = (Path(__file__).parents[2] / "docs/from-nginx-proxy.md").read_text()
OF_TLS = Path(__file__).with_name("test_tls.py")
CODE = re.compile(r"`([^`]+)`")


def read(env: dict[str, str], labels: dict[str, str] | None = None) -> Wishes:
    """Read the settings of a container with a host; *labels* are without nginx-proxy's prefix."""
    named = {f"{PREFIX}{name}": text for name, text in (labels or {}).items()}
    hosts = {} if "VIRTUAL_HOST_MULTIPORTS" in env else {"VIRTUAL_HOST": "a.test"}
    return read_variables("web-1", hosts | env, named)


def good(env: dict[str, str], labels: dict[str, str] | None = None) -> tuple[VariableWish, ...]:
    found = read(env, labels)
    assert found.problems == ()
    assert all(isinstance(wish, VariableWish) for wish in found.wishes)
    return tuple(wish for wish in found.wishes if isinstance(wish, VariableWish))


def the_problem(found: Wishes, place: str) -> str:
    """Return what the only problem says, which is with *place*."""
    (problem,) = found.problems
    assert (problem.what, problem.where) == ("container", f"web-1 {place}")
    return problem.why


def single(*hosts: str, path: str = "/", port: int = 0, options: Options = Options()) -> VariableWish:  # noqa: B008 - immutable
    return VariableWish("VIRTUAL_HOST:", hosts, path, port=port, fallback_port=80, options=options)


def one_of_several(host: str, path: str = "/", port: int = 0, options: Options = Options()) -> VariableWish:  # noqa: B008 - as above
    wish = single(host, path=path, port=port, options=options)
    variable = "VIRTUAL_HOST_MULTIPORTS"
    return replace(wish, name=f"{variable}:{host}{path}", variable=variable)


def at(new: str) -> Options:
    return Options(LocationOptions(replace=new))


def at_location(**asked: Any) -> Options:  # noqa: ANN401 - of any field
    return Options(LocationOptions(**asked))


def spoken(protocol: Protocol, root: str = "") -> Options:
    return Options(service=ServiceOptions(protocol=protocol, root=root))


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({"VIRTUAL_HOST": " App.Example.com "}, single("app.example.com"), id="one"),
        pytest.param(
            {"VIRTUAL_HOST": "b.test, a.test,,a.test\n*.c.test"},
            single("*.c.test", "a.test", "b.test"),
            id="list",
        ),
        pytest.param({"VIRTUAL_PORT": " 8080 "}, single("a.test", port=8080), id="port"),
        pytest.param({"VIRTUAL_PORT": ""}, single("a.test"), id="empty port"),
        pytest.param({"VIRTUAL_PATH": "/api/"}, single("a.test", path="/api"), id="path"),
        pytest.param(
            {"VIRTUAL_HOST": "b.test,a.test", "VIRTUAL_PATH": "/api"},
            single("a.test", "b.test", path="/api"),
            id="every host has the path",
        ),
        pytest.param(
            {"VIRTUAL_PATH": "/api", "VIRTUAL_DEST": "/"},
            single("a.test", path="/api", options=at("/")),
            id="strip",
        ),
        pytest.param(
            {"VIRTUAL_PATH": "/api/", "VIRTUAL_DEST": "/v2/"},
            single("a.test", path="/api", options=at("/v2")),
            id="dest",
        ),
        pytest.param({"VIRTUAL_DEST": "/v2"}, single("a.test", options=at("/v2")), id="dest without a path"),
        pytest.param({"VIRTUAL_DEST": "/"}, single("a.test"), id="dest that changes nothing"),
        pytest.param({"VIRTUAL_PROTO": "HTTPS"}, single("a.test", options=spoken("https")), id="https"),
        pytest.param({"VIRTUAL_PROTO": "grpc"}, single("a.test", options=spoken("grpc")), id="grpc"),
        pytest.param({"VIRTUAL_PROTO": "grpcs"}, single("a.test", options=spoken("grpcs")), id="grpcs"),
        pytest.param({"VIRTUAL_PROTO": "uwsgi"}, single("a.test", options=spoken("uwsgi")), id="uwsgi"),
        pytest.param(
            {"VIRTUAL_PROTO": "fastcgi"},
            single("a.test", options=spoken("fastcgi", "/var/www/public")),
            id="fastcgi",
        ),
        pytest.param(
            {"VIRTUAL_PROTO": "fastcgi", "VIRTUAL_ROOT": "/srv/app"},
            single("a.test", options=spoken("fastcgi", "/srv/app")),
            id="root",
        ),
        pytest.param({"VIRTUAL_ROOT": "/srv/app"}, single("a.test"), id="root without fastcgi"),
        pytest.param(
            {"NETWORK_ACCESS": "internal"},
            single("a.test", options=Options(LocationOptions(allow=INTERNAL))),
            id="internal",
        ),
        pytest.param({"NETWORK_ACCESS": "external"}, single("a.test"), id="external"),
    ],
)
def test_what_a_host_asks_for(env: dict[str, str], expected: VariableWish) -> None:
    assert good(env) == (expected,)


def test_without_a_host_nothing_is_asked_for() -> None:
    """Not even the proxy's own container, whose variables are the same, has a problem."""
    env = {"HTTPS_METHOD": "redirect", "VIRTUAL_HOST": " ", "VIRTUAL_PORT": "x"}
    assert read_variables("nginx-proxy", env, {f"{PREFIX}keepalive": "x"}) == Wishes()
    assert read({"VIRTUAL_HOST": ","}) == Wishes()


def test_other_variables_and_labels_are_passed_over() -> None:
    found = read_variables("web-1", {"VIRTUAL_HOST": "a.test", "PATH": "x"}, {"com.github.other": "x"})
    assert found == Wishes((single("a.test"),))


def test_the_service_is_the_default_one() -> None:
    """So that labels of another container, which name the same host and path, share it."""
    (wish,) = good({"VIRTUAL_PATH": "/api"})
    (other,) = read_labels("web-2", {"proxyconf.host": "a.test", "proxyconf.path": "/api"}).wishes
    assert wish.service_of("a.test") == other.service_of("a.test")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(r"~^foo\.test$", "is a regular expression", id="regular expression"),
        pytest.param("foo.*", "write all that are meant: 'foo.com,foo.net'", id="open end"),
        pytest.param(".foo.test", "write both: 'foo.test,*.foo.test'", id="leading dot"),
        pytest.param("foo.test:8080", "without a port", id="port"),
    ],
)
def test_a_host_that_no_route_takes_does_not_cost_the_others(text: str, why: str) -> None:
    found = read({"VIRTUAL_HOST": f"a.test,{text},b.test"})
    assert found.wishes == (single("a.test", "b.test"),)
    assert why in the_problem(found, "variable VIRTUAL_HOST")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        pytest.param("VIRTUAL_PORT", "80,81", "is no port", id="port"),
        pytest.param("VIRTUAL_PATH", "~^/(a|b)/", "is nginx's own syntax", id="regular expression"),
        pytest.param("VIRTUAL_PATH", "= /a", "is nginx's own syntax", id="exact path"),
        pytest.param("VIRTUAL_PATH", "^~ /a", "is nginx's own syntax", id="modifier"),
        pytest.param("VIRTUAL_PATH", "a", "start it with /", id="path"),
        pytest.param("VIRTUAL_DEST", "/$1", "is no path", id="dest"),
        pytest.param("VIRTUAL_PROTO", "htps", "did you mean 'https'?", id="proto"),
        pytest.param("VIRTUAL_ROOT", "www", "start it with /", id="root"),
        pytest.param("NETWORK_ACCESS", "intern", 'neither "internal" nor "external"', id="access"),
        pytest.param("HTTPS_METHOD", "no-http", "(did you mean 'nohttp'?)", id="https"),
    ],
)
def test_where_it_is_not_clear_who_may_go_where_there_is_no_route(name: str, text: str, why: str) -> None:
    found = read({name: text})
    assert found.wishes == ()
    assert why in the_problem(found, f"variable {name}")


@pytest.mark.parametrize(
    ("label", "text", "why"),
    [
        pytest.param("loadbalance", "random;", "no directive that is known", id="another directive"),
        pytest.param(
            "loadbalance", "ip_hash; zone a 64k;", "no directive that is known", id="two directives"
        ),
        pytest.param("loadbalance", "hash ;", "in a Compose file, $$ for $", id="a lost key"),
        pytest.param("loadbalance", "hash $request_id;", "hashes what is not known", id="another key"),
        pytest.param("loadbalance", "hash $cookie_;", "the name of a cookie", id="no cookie"),
        pytest.param("loadbalance", "hash $remote_addr ketama;", "no directive that is known", id="ketama"),
        pytest.param("keepalive", "-1", "is no number of connections", id="keepalive"),
        pytest.param("keepalive", "", "is no number of connections", id="empty"),
        pytest.param("keep-alive", "8", "did you mean 'keepalive'?", id="spelling"),
        pytest.param("debug-endpoint", "true", "ask proxyconf status", id="debug endpoint"),
        pytest.param("http2.enable", "on", 'neither "true" nor "false"', id="http2"),
        pytest.param("http3.enable", "true", "is not done", id="http3"),
        pytest.param("http3.enable", "x", 'neither "true" nor "false"', id="text"),
        pytest.param("non-get-redirect", "303", "no status to redirect with", id="redirect"),
        pytest.param("trust-default-cert", "no", 'neither "true" nor "false"', id="default certificate"),
    ],
)
def test_labels_that_are_not_done_do_not_cost_the_route(label: str, text: str, why: str) -> None:
    found = read({}, {label: text})
    assert found.wishes == (single("a.test"),)
    assert why in the_problem(found, f"label {PREFIX}{label}")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        pytest.param("CERT_NAME", "certs/shared.crt", "is no name of a certificate", id="certificate"),
        pytest.param("HSTS", "31536000", "is nothing that Strict-Transport-Security says", id="hsts"),
        pytest.param("SERVER_TOKENS", "build", "and [nginx] server_tokens counts", id="tokens"),
        pytest.param(
            "SSL_POLICY", "Mozilla-Old", "(there are Mozilla-Modern and Mozilla-Intermediate)", id="old"
        ),
        pytest.param("SSL_POLICY", "AWS-TLS13-1-2-2021-06", "[nginx.tls] policy counts", id="of Amazon"),
        pytest.param("ENABLE_HTTP_ON_MISSING_CERT", "false", "(write HTTPS_METHOD=nohttp, ", id="http"),
    ],
)
def test_variables_that_are_not_done_do_not_cost_the_route(name: str, text: str, why: str) -> None:
    found = read({name: text})
    assert found.wishes == (single("a.test"),)
    assert why in the_problem(found, f"variable {name}")


@pytest.mark.parametrize(
    ("env", "labels", "expected"),
    [
        pytest.param({"CERT_NAME": "shared"}, {}, HostOptions(certificate="shared"), id="certificate"),
        pytest.param({"CERT_NAME": "default"}, {}, HostOptions(certificate="default"), id="default one"),
        pytest.param({"HTTPS_METHOD": "redirect"}, {}, HostOptions(https="redirect"), id="redirect"),
        pytest.param({"HTTPS_METHOD": "noredirect"}, {}, HostOptions(https="both"), id="noredirect"),
        pytest.param({"HTTPS_METHOD": " NoHTTP"}, {}, HostOptions(https="only"), id="nohttp"),
        pytest.param({"HTTPS_METHOD": "nohttps"}, {}, HostOptions(https="off"), id="nohttps"),
        pytest.param({"HSTS": "off"}, {}, HostOptions(hsts=""), id="no hsts"),
        pytest.param(
            {"HSTS": "max-age=31536000; includeSubDomains; preload"},
            {},
            HostOptions(hsts="max-age=31536000; includeSubDomains; preload"),
            id="hsts",
        ),
        pytest.param({"SSL_POLICY": "Mozilla-Modern"}, {}, HostOptions(tls_policy="modern"), id="modern"),
        pytest.param(
            {"SSL_POLICY": "Mozilla-Intermediate"},
            {},
            HostOptions(tls_policy="intermediate"),
            id="intermediate",
        ),
        pytest.param({"SERVER_TOKENS": "on"}, {}, HostOptions(server_tokens=True), id="tokens"),
        pytest.param({"SERVER_TOKENS": "off"}, {}, HostOptions(server_tokens=False), id="no tokens"),
        pytest.param({}, {"ssl_verify_client": "on"}, HostOptions(verify_client="on"), id="clients must"),
        pytest.param({}, {"ssl_verify_client": "Off"}, HostOptions(verify_client=""), id="clients need not"),
        pytest.param(
            {},
            {"ssl_verify_client": "optional_no_ca"},
            HostOptions(verify_client="optional_no_ca"),
            id="clients may",
        ),
        pytest.param({}, {"http2.enable": "true"}, HostOptions(http2=True), id="http2"),
        pytest.param({}, {"http2.enable": "false"}, HostOptions(http2=False), id="no http2"),
        pytest.param({}, {"non-get-redirect": "308"}, HostOptions(other_redirect_status=308), id="308"),
        pytest.param(
            {}, {"trust-default-cert": "true"}, HostOptions(missing="default"), id="default for all"
        ),
        pytest.param({}, {"trust-default-cert": "false"}, HostOptions(missing="http"), id="http without"),
    ],
)
def test_what_counts_for_the_whole_host(
    env: dict[str, str], labels: dict[str, str], expected: HostOptions
) -> None:
    assert good(env, labels) == (single("a.test", options=Options(host=expected)),)


def test_several_ports_share_what_counts_for_a_host() -> None:
    env = {"VIRTUAL_HOST_MULTIPORTS": "a.test: {/: {}, /x: {}}", "HTTPS_METHOD": "nohttp"}
    asked = Options(host=HostOptions(https="only"))
    assert good(env) == (
        one_of_several("a.test", options=asked),
        one_of_several("a.test", "/x", options=asked),
    )


def test_who_may_come_must_be_clear() -> None:
    """To serve everybody would open what is closed."""
    found = read({}, {"ssl_verify_client": "yes"})
    assert found.wishes == ()
    assert "does not say whether" in the_problem(found, f"label {PREFIX}ssl_verify_client")


def test_what_is_so_anyway_is_no_problem() -> None:
    labels = dict.fromkeys(("http3.enable", "debug-endpoint"), "false")
    assert good({"ENABLE_HTTP_ON_MISSING_CERT": "true"}, labels) == (single("a.test"),)


def test_a_label_that_can_not_be_printed() -> None:
    found = read({}, {"a\n": "x"})
    assert the_problem(found, rf"label '{PREFIX}a\n'").startswith("is no label of nginx-proxy's")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", None),
        ("disabled", 0),
        ("0", 0),
        (" 32 ", 32),
    ],
)
def test_keepalive(text: str, expected: int | None) -> None:
    (wish,) = good({}, {"keepalive": text})
    assert wish.options == Options(service=ServiceOptions(keepalive=expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ip_hash;", "ip_hash"),
        ("least_conn", "least_conn"),
        ("hash $remote_addr;", "hash:client"),
        ("hash  $binary_remote_addr  consistent ;", "hash:client"),
        ("hash $request_uri consistent;", "hash:uri"),
        ("hash $http_x_user consistent;", "hash:header:x-user"),
        ("hash $cookie_SESSION_id;", "hash:cookie:SESSION_id"),
    ],
)
def test_loadbalance(text: str, expected: str) -> None:
    (wish,) = good({}, {"loadbalance": text})
    assert wish.options == Options(service=ServiceOptions(balance=expected))


MULTIPORTS = {
    "www.test": {},
    "API.test": {"/": {"port": 8000, "dest": ""}, "/admin/": {"port": 9000, "dest": "/", "proto": "https"}},
}
OF_MULTIPORTS = (
    one_of_several("www.test"),
    one_of_several("api.test", port=8000),
    one_of_several(
        "api.test", "/admin", 9000, Options(LocationOptions(replace="/"), ServiceOptions(protocol="https"))
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(MULTIPORTS), id="json"),
        pytest.param(
            """
            www.test:
            API.test:
              "/":
                port: 8000
              /admin/: {port: 9000, dest: /, proto: https}
            """,
            id="yaml",
        ),
    ],
)
def test_several_ports(text: str) -> None:
    assert good({"VIRTUAL_HOST_MULTIPORTS": text}) == OF_MULTIPORTS


def test_several_ports_count_instead_of_the_host_and_what_is_beside_it() -> None:
    """What is the container's counts for both; the rest is not even looked at."""
    env = {
        "VIRTUAL_HOST_MULTIPORTS": "a.test: {/php: {proto: fastcgi}, /: {}}",
        "VIRTUAL_HOST": "~b",
        "VIRTUAL_PORT": "x",
        "VIRTUAL_PATH": "x",
        "VIRTUAL_DEST": "x",
        "VIRTUAL_PROTO": "x",
        "VIRTUAL_ROOT": "/srv",
        "NETWORK_ACCESS": "internal",
    }
    php, root = good(env, {"keepalive": "8"})
    internal, kept = LocationOptions(allow=INTERNAL), ServiceOptions(keepalive=8)
    assert php.options == Options(internal, replace(kept, protocol="fastcgi", root="/srv"))
    assert root.options == Options(internal, kept)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        pytest.param("~x: {}", "'~x/': '~x' is a regular expression", id="host"),
        pytest.param("x.test: 80", "'x.test/': '80' says nothing of a path", id="port of a host"),
        pytest.param("x.test: [80]", "['80'] says nothing of a path", id="list"),
        pytest.param("x.test: {/a: 80}", "'x.test/a': '80' says nothing of a path", id="port of a path"),
        pytest.param("x.test: {~a: {}}", "'x.test~a': '~a' is nginx's own syntax", id="path"),
        pytest.param("x.test: {/: {prot: 80}}", "there is no 'prot' (did you mean 'proto'?)", id="key"),
        pytest.param("x.test: {/: {port: [80]}}", "port: ['80'] is no text", id="several ports"),
        pytest.param("x.test: {/: {port: 0}}", "'0' is no port", id="port"),
        pytest.param("A.test: {}", "it is there twice", id="twice"),
        pytest.param("a.test: {/: {}}", "'a.test' is there twice, and the later one counts", id="same name"),
    ],
)
def test_an_entry_that_can_not_be_read_does_not_cost_the_others(entry: str, why: str) -> None:
    found = read({"VIRTUAL_HOST_MULTIPORTS": f"a.test:\n{entry}\nb.test:"})
    assert found.wishes == (one_of_several("a.test"), one_of_several("b.test"))
    assert why in the_problem(found, "variable VIRTUAL_HOST_MULTIPORTS")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("a.test: {", "is no YAML", id="syntax"),
        pytest.param("a.test", "names no host", id="a host alone"),
        pytest.param("[a.test]", "names no host", id="list"),
        pytest.param("# nothing", "names no host", id="nothing"),
        pytest.param("a: " + "[" * 200, "is nested too deeply", id="too deep"),
        pytest.param("a: " + "x" * 65_536, "is longer than 65536 characters", id="too long"),
    ],
)
def test_several_ports_that_can_not_be_read(text: str, why: str) -> None:
    found = read({"VIRTUAL_HOST_MULTIPORTS": text})
    assert found.wishes == ()
    assert why in the_problem(found, "variable VIRTUAL_HOST_MULTIPORTS")


def test_few_lines_do_not_make_many_routes() -> None:
    paths = ", ".join(f"/{number}: {{}}" for number in range(100))
    hosts = "\n".join(f"h{number}.test: *all" for number in range(100))
    found = read({"VIRTUAL_HOST_MULTIPORTS": f"h.test: &all {{{paths}}}\n{hosts}"})
    assert len(found.wishes) == 1_000
    assert "more than 1000 paths" in the_problem(found, "variable VIRTUAL_HOST_MULTIPORTS")


def test_several_ports_need_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "proxyconf.sources._file_yaml", raising=False)
    monkeypatch.setitem(sys.modules, "yaml", None)
    found = read({"VIRTUAL_HOST_MULTIPORTS": "a.test:"})
    assert found.wishes == ()
    assert "(pip install 'proxyconf[yaml]')" in the_problem(found, "variable VIRTUAL_HOST_MULTIPORTS")


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = read({"VIRTUAL_HOST": "~x,a.test", "VIRTUAL_PORT": "x", "CERT_NAME": "/"}, {"loadbalance": "x"})
    assert [problem.where.split()[-1] for problem in found.problems] == [
        f"{PREFIX}loadbalance",
        "CERT_NAME",
        "VIRTUAL_HOST",
        "VIRTUAL_PORT",
    ]


def test_our_labels_say_all_of_what_they_claim_too() -> None:
    labels = read_labels("web-1", {"proxyconf.host": "a.test", "proxyconf.port": "81"})
    variables = read({"VIRTUAL_HOST": "a.test,b.test", "VIRTUAL_PORT": "82", "CERT_NAME": "/"})
    both = beside("web-1", labels, variables)
    assert both.wishes == (*labels.wishes, single("b.test", port=82))
    assert both.problems == labels.problems + variables.problems
    assert beside("web-1", labels, read({})).wishes == labels.wishes
    assert beside("web-1", Wishes(), variables) == variables


AUTH = "joe:$apr1$ab$0123456789abcdefghijkl"
JOE = (("joe", "$apr1$ab$0123456789abcdefghijkl"),)


def completed(env: dict[str, str], ours: dict[str, str], theirs: dict[str, str] | None = None) -> Wishes:
    """Return what variables and labels come to, where these name no host."""
    labels = {f"proxyconf.{name}": text for name, text in ours.items()}
    return beside("web-1", read_labels("web-1", labels, completing=True), read(env, theirs))


@pytest.mark.parametrize(
    ("env", "ours", "expected"),
    [
        pytest.param({}, {"auth": AUTH}, single("a.test", options=at_location(users=JOE)), id="auth"),
        pytest.param(
            {"NETWORK_ACCESS": "internal"},
            {"allow": "192.0.2.0/24", "deny": "192.0.2.1"},
            single("a.test", options=at_location(allow=("192.0.2.0/24",), deny=("192.0.2.1/32",))),
            id="a label wins",
        ),
        pytest.param(
            {"NETWORK_ACCESS": "internal"},
            {"rate": "60r/m", "rate_burst": "5"},
            single("a.test", options=at_location(allow=INTERNAL, rate=Rate(60, 5))),
            id="a variable stays",
        ),
        pytest.param(
            {"VIRTUAL_PATH": "/x", "VIRTUAL_DEST": "/y"},
            {"redirect": "https://b.test"},
            single("a.test", path="/x", options=at_location(redirect="https://b.test")),
            id="redirect",
        ),
        pytest.param(
            {"VIRTUAL_PATH": "/x"},
            {"strip": "true"},
            single("a.test", path="/x", options=at("/")),
            id="strip",
        ),
        pytest.param(
            {"VIRTUAL_PROTO": "fastcgi"},
            {"root": "/srv"},
            single("a.test", options=spoken("fastcgi", "/srv")),
            id="root",
        ),
        pytest.param(
            {"VIRTUAL_PROTO": "https"},
            {"verify": "true"},
            single("a.test", options=Options(service=ServiceOptions(protocol="https", verify=True))),
            id="beside a protocol",
        ),
        pytest.param(
            {"VIRTUAL_PROTO": "fastcgi"}, {"proto": "http"}, single("a.test"), id="another protocol"
        ),
        pytest.param(
            {"VIRTUAL_PORT": "81"},
            {"port": "82", "network": "x", "weight": "2", "backup": "true", "health": "prefer"},
            replace(
                single("a.test", port=82),
                network="x",
                weight=2,
                backup=True,
                health="prefer",
                has_label_port=True,
            ),
            id="endpoint",
        ),
        pytest.param(
            {"VIRTUAL_HOST_MULTIPORTS": "a.test: {/: {port: 81}}"},
            {"port": "82", "auth": AUTH},
            one_of_several("a.test", port=81, options=at_location(users=JOE)),
            id="a port of several",
        ),
        pytest.param(
            {"HTTPS_METHOD": "nohttp"},
            {"hsts": "max-age=9"},
            single("a.test", options=Options(host=HostOptions(https="only", hsts="max-age=9"))),
            id="of the host",
        ),
    ],
)
def test_labels_without_a_host_complete_the_variables(
    env: dict[str, str], ours: dict[str, str], expected: VariableWish
) -> None:
    assert completed(env, ours) == Wishes((expected,))


def test_a_password_beside_a_variable_is_asked_for() -> None:
    (route,) = claims(container(labels={"proxyconf.auth": AUTH})).routes
    assert (route.claim, route.options.location.users) == ("a.test/", JOE)


def test_they_complete_all_that_variables_ask_for() -> None:
    """And what they share with those that have a NAME and a host."""
    several = {"VIRTUAL_HOST_MULTIPORTS": "a.test: {/: {}, /x: {}}"}
    found = completed(several, {"port": "82", "auth": AUTH, "api.host": "c.test"})
    own, *theirs = found.wishes
    assert (own.hosts, own.port, own.options.location.users) == (("c.test",), 82, ())
    assert [(wish.path, wish.port, wish.options.location.users) for wish in theirs] == [
        ("/", 82, JOE),
        ("/x", 82, JOE),
    ]
    assert [wish.setting("port") for wish in theirs] == ["label proxyconf.port"] * 2
    assert found.problems == ()


@pytest.mark.parametrize(
    ("ours", "bad"),
    [
        pytest.param({"auth": "joe:secret"}, "auth", id="not readable"),
        pytest.param({"allow": "10.9.9"}, "allow", id="no network"),
        pytest.param({"hots": "a.test", "auth": AUTH}, "hots", id="unknown"),
        pytest.param({"host.x.y": "a.test"}, "host.x.y", id="no NAME"),
        pytest.param({"api.auth": AUTH}, "api.auth", id="a NAME without a host"),
        pytest.param({"service": "x", "auth": AUTH}, "auth", id="with a service"),
        pytest.param({"path": "/x", "auth": AUTH}, "path", id="path"),
        pytest.param({"rate_burst": "5"}, "rate_burst", id="no effect"),
        pytest.param({"root": "/srv"}, "root", id="no effect by a variable"),
        pytest.param({"host": "b.test", "auth": "x"}, "auth", id="beside a host of its own"),
        pytest.param({"api.host": "a.test", "api.auth": "x"}, "api.auth", id="of the same host"),
    ],
)
def test_with_a_bad_label_variables_route_nothing(ours: dict[str, str], bad: str) -> None:
    """It may be what would protect the route."""
    labels = {f"proxyconf.{name}": text for name, text in ours.items()}
    found = claims(container(labels=labels))
    assert found.routes == ()
    first, second = found.problems
    assert first.where == f"web-1 label proxyconf.{bad}"
    assert second.where == "web-1 variable VIRTUAL_HOST"
    assert second.why == (
        f"is not routed, for what would protect it may be in a bad label: proxyconf.{bad}"
        " (mend it, or set proxyconf.host in place of the variable VIRTUAL_HOST)"
    )


def test_a_backup_that_the_balance_of_a_variable_does_not_know() -> None:
    """nginx would refuse all of its configuration."""
    found = completed({}, {"backup": "true"}, {"loadbalance": "ip_hash;"})
    assert found.wishes == ()
    assert found.problems[0].why.startswith("contradicts proxyconf.balance: nginx has no backup with ip_hash")


def test_a_redirect_leaves_no_variable_without_effect() -> None:
    """Who sets NETWORK_ACCESS means strangers to be kept out, and nginx redirects before it looks at them."""
    found = completed({"NETWORK_ACCESS": "internal"}, {"redirect": "https://b.test"})
    assert found.wishes == ()
    assert found.problems[0].where == "web-1 label proxyconf.redirect"
    assert found.problems[0].why == "leaves NETWORK_ACCESS without effect (delete one of them)"


def test_what_a_good_label_claims_is_routed_beside_a_bad_one() -> None:
    """Nothing of the variable is left to be told of."""
    found = claims(container(ports=(80,), labels={"proxyconf.host": "a.test", "proxyconf.x.y": ""}))
    assert [route.where for route in found.routes] == ["container web-1 label proxyconf.host"]
    assert [problem.where for problem in found.problems] == ["web-1 label proxyconf.x.y"]


def test_the_label_of_a_network_that_is_missing() -> None:
    """It is one that can be set."""
    (problem,) = claims(container(labels={"proxyconf.network": "x"})).problems
    assert "proxyconf.network" in problem.why


@pytest.mark.parametrize(
    ("env", "setting"),
    [({}, "VIRTUAL_PATH"), ({"VIRTUAL_HOST_MULTIPORTS": "a.test:"}, "VIRTUAL_HOST_MULTIPORTS")],
)
def test_a_path_is_the_variables_own(env: dict[str, str], setting: str) -> None:
    """So that is what a person is told to set, where a label needs another one."""
    found = completed(env, {"strip": "true"})
    assert found.problems[0].where == "web-1 label proxyconf.strip"
    assert found.problems[0].why == f"has no effect: the path is / already (set {setting})"


def test_bad_labels_without_variables_are_said_once() -> None:
    assert len(beside("web-1", read_labels("web-1", {"proxyconf.x.y": ""}), Wishes()).problems) == 1


def test_a_service_beside_a_variable() -> None:
    """What it says of the endpoint is the service's."""
    found = completed({}, {"service": "x", "port": "82"})
    assert [(wish.service, wish.hosts, wish.port) for wish in found.wishes] == [
        ("x", (), 82),
        ("", ("a.test",), 0),
    ]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("ours", "env", "why"),
    [
        pytest.param(
            {"host": "a.test", "auth": AUTH},
            {},
            "b.test is routed by VIRTUAL_HOST, without the auth of proxyconf.host (name it in proxyconf.host,"
            " or take it out of VIRTUAL_HOST)",
            id="auth",
        ),
        pytest.param(
            {"host": "c.test", "allow": "10.0.0.1", "deny": "10.0.0.2"},
            {},
            "a.test, b.test are routed by VIRTUAL_HOST, without the allow and deny of proxyconf.host (name"
            " them in proxyconf.host, or take them out of VIRTUAL_HOST)",
            id="another host",
        ),
        pytest.param(
            {"api.host": "a.test", "api.verify_client": "on"},
            {},
            "b.test is routed by VIRTUAL_HOST, without the verify_client of proxyconf.api.host (name it in"
            " proxyconf.api.host, or take it out of VIRTUAL_HOST)",
            id="NAME",
        ),
        pytest.param(
            {"api.host": "a.test", "api.auth": AUTH},
            {"VIRTUAL_HOST_MULTIPORTS": "{a.test: {/: {}}, b.test: {}}"},
            "b.test is routed by VIRTUAL_HOST_MULTIPORTS, without the auth of proxyconf.api.host (name it in"
            " proxyconf.api.host, or take it out of VIRTUAL_HOST_MULTIPORTS)",
            id="several ports",
        ),
        pytest.param({"api.host": "c.test", "api.auth": AUTH}, {}, "", id="NAME of another host"),
        pytest.param({"host": "a.test", "rate": "1r/s"}, {}, "", id="protects nobody"),
        pytest.param({"host": "a.test,b.test", "auth": AUTH}, {}, "", id="both"),
        pytest.param(
            {"host": "a.test", "allow": "10.0.0.1"}, {"NETWORK_ACCESS": "internal"}, "", id="theirs"
        ),
        pytest.param({"service": "x"}, {}, "", id="service"),
    ],
)
def test_hosts_that_our_labels_do_not_protect_as_their_own(
    ours: dict[str, str], env: dict[str, str], why: str
) -> None:
    labels = read_labels("web-1", {f"proxyconf.{name}": text for name, text in ours.items()})
    found = beside("web-1", labels, read({"VIRTUAL_HOST": "a.test,b.test"} | env))
    assert [(problem.where, problem.why) for problem in found.problems] == ([("web-1", why)] if why else [])
    assert {host for wish in found.wishes for host in wish.hosts} >= {"a.test", "b.test"}


@pytest.mark.parametrize(
    ("ours", "opened"),
    [
        pytest.param({"host": "a.test,c.test"}, "a.test/", id="nothing"),
        pytest.param({"host": "a.test", "rate": "1r/s"}, "a.test/", id="another option"),
        pytest.param({"host": "a.test,b.test"}, "a.test/, b.test/", id="both hosts"),
        pytest.param({"host": "a.test", "allow": "192.0.2.0/24"}, "", id="allow"),
        pytest.param({"host": "a.test", "path": "/x"}, "", id="another path"),
        pytest.param({"host": "c.test"}, "", id="another host"),
        pytest.param({}, "", id="no label"),
    ],
)
def test_labels_of_ours_that_open_what_was_closed_are_a_problem(ours: dict[str, str], opened: str) -> None:
    labels = read_labels("web-1", {f"proxyconf.{name}": text for name, text in ours.items()})
    variables = read({"VIRTUAL_HOST": "a.test,b.test", "NETWORK_ACCESS": "internal"})
    both = beside("web-1", labels, variables)
    if not opened:
        assert both.problems == ()
        return
    assert the_problem(both, "variable NETWORK_ACCESS") == (
        f"does not count for {opened}, of which label proxyconf.host and those beside it say all (set the"
        f" label proxyconf.allow, for example to {','.join(INTERNAL)}, or delete this)"
    )


@pytest.mark.parametrize(
    ("theirs", "ours", "opened"),
    [("on", None, True), ("on", "off", False), ("on", "optional", False), ("off", None, False)],
)
def test_so_are_those_that_ask_no_client_for_a_certificate(
    theirs: str, ours: str | None, *, opened: bool
) -> None:
    """Unless they say so themselves."""
    said = {"proxyconf.api.host": "a.test"} | ({"proxyconf.api.verify_client": ours} if ours else {})
    both = beside("web-1", read_labels("web-1", said), read({}, {"ssl_verify_client": theirs}))
    if opened:
        why = the_problem(both, f"label {PREFIX}ssl_verify_client")
        assert "of which label proxyconf.api.host and those beside it say all" in why
        assert "(set the label proxyconf.api.verify_client, for example to on, or delete this)" in why
    else:
        assert both.problems == ()


def test_names_of_both_differ() -> None:
    """The keys of routes and endpoints are made of them."""
    label = read_labels("web-1", {"proxyconf.VIRTUAL_HOST:.host": "a.test"})
    assert label.wishes == ()
    assert good({})[0].name == "VIRTUAL_HOST:"


@pytest.mark.parametrize(
    ("env", "host", "port"),
    [
        pytest.param({}, "variable VIRTUAL_HOST", "variable VIRTUAL_PORT", id="single"),
        pytest.param(
            {"VIRTUAL_HOST_MULTIPORTS": "a.test:"},
            "variable VIRTUAL_HOST_MULTIPORTS",
            "variable VIRTUAL_HOST_MULTIPORTS",
            id="several",
        ),
    ],
)
def test_a_person_is_told_of_the_variable(env: dict[str, str], host: str, port: str) -> None:
    (wish,) = good(env)
    assert (wish.setting("host"), wish.setting("port")) == (host, port)


def container(name: str = "web-1", **said: Any) -> Container:  # noqa: ANN401 - of any field
    """Return one that runs, on a network of its own, with a host."""
    its = {"env": {"VIRTUAL_HOST": "a.test"}, "networks": {"edge": "10.0.0.1"}, "labels": {}} | said
    return Container(id=name, name=name, state="running", **its)


def claims(*containers: Container) -> Claims:
    return Containers().read(Listing("docker", containers=containers))


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        pytest.param((8080,), "10.0.0.1:8080", id="one"),
        pytest.param((443, 8080), "10.0.0.1:80", id="several"),
        pytest.param((), "10.0.0.1:80", id="none"),
    ],
)
def test_the_port_is_the_only_one_or_80(ports: tuple[int, ...], expected: str) -> None:
    found = claims(container(ports=ports))
    assert found.problems == ()
    (route,), (member,) = found.routes, found.members
    assert (route.host, route.where) == ("a.test", "container web-1 variable VIRTUAL_HOST")
    assert (member.endpoint.address, member.where) == (expected, route.where)
    assert member.service == route.service


@pytest.mark.parametrize(
    "network",
    [
        pytest.param({"networks": {"host": ""}, "network_mode": "host"}, id="the host's"),
        pytest.param({"network_mode": "container:abc"}, id="another container's"),
    ],
)
def test_without_a_network_of_its_own_the_port_must_be_named(network: dict[str, Any]) -> None:
    """For 80 there is, as often as not, the proxy's own."""
    found = claims(container(**network))
    assert found.members == ()
    assert "(name the one to use with the variable VIRTUAL_PORT)" in found.problems[0].why
    named = {"VIRTUAL_HOST": "a.test", "VIRTUAL_PORT": "8080"}
    (member,) = claims(container(**network, env=named)).members
    assert member.endpoint.address.endswith(":8080")


def test_containers_share_a_site_whichever_way_they_say_it() -> None:
    label = container("web-2", env={}, labels={"proxyconf.host": "a.test", "proxyconf.port": "80"})
    snapshot = merge([claims(container(), replace(label, networks={"edge": "10.0.0.2"}))])
    assert [route.host for route in snapshot.routes] == ["a.test"]
    assert snapshot.problems == ()
    (endpoints,) = snapshot.services.values()
    assert [one.address for one in endpoints] == ["10.0.0.1:80", "10.0.0.2:80"]


def test_what_a_container_asks_for_both_ways_is_one_route() -> None:
    labels = {"proxyconf.host": "a.test", "proxyconf.port": "81"}
    found = claims(container(labels=labels))
    assert [route.where for route in found.routes] == ["container web-1 label proxyconf.host"]
    assert [member.endpoint.address for member in found.members] == ["10.0.0.1:81"]
    assert found.problems == ()


def test_variables_that_become_known_later_count() -> None:
    reader = Containers()
    for env, hosts in (({}, []), ({"VIRTUAL_HOST": "a.test"}, ["a.test"])):
        found = reader.read(Listing("docker", containers=(container(env=env),)))
        assert [route.host for route in found.routes] == hosts


def test_the_source_reads_these_variables_and_no_others() -> None:
    """An environment has secrets."""
    assert _docker_reading._ROUTING_VARIABLES == VARIABLES


@given(
    st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text(max_size=30)),
    st.dictionaries(st.sampled_from(sorted(LABELS)), st.text(max_size=30)),
)
def test_nothing_but_canonical_values_comes_of_any_text(env: dict[str, str], labels: dict[str, str]) -> None:
    found = read_variables("web-1", env, labels)
    for wish in found.wishes:
        assert [values.host(host) for host in wish.hosts] == list(wish.hosts)
        assert values.path(wish.path) == wish.path
    assert all(problem.why for problem in found.problems)


def rows(section: str) -> list[list[str]]:
    """Return the rows of a section's table, without its head."""
    text = re.split(r"^## ", GUIDE, flags=re.MULTILINE)
    (found,) = (one for one in text if one.startswith(f"{section}\n"))
    split = [row.split(" | ") for row in re.findall(r"^\| (.+) \|$", found, re.MULTILINE)]
    return [row for row in split if "`" in row[0]]


def test_the_guide_names_every_setting() -> None:
    named = [CODE.findall(row[0])[0] for row in rows("Settings of a container")]
    ours = {name.removeprefix(PREFIX) for name in VARIABLES | LABELS}
    assert sorted(set(named)) == sorted(ours)


def test_the_guide_names_settings_that_exist() -> None:
    fields = {"nginx": Nginx, "nginx.listen": Listen, "nginx.tls": Tls}
    named = re.findall(r"`\[([\w.]+)\] (\w+)", GUIDE)
    assert named
    assert all(key in fields[table].__struct_fields__ for table, key in named)


def test_the_guide_names_tests_that_exist() -> None:
    tests = {name for name in globals() if name.startswith("test_")}
    tests |= set(re.findall(r"^def (test_\w+)", OF_TLS.read_text(), re.MULTILINE))
    for row in rows("Settings of a container"):
        assert len(row) == 3
        assert set(CODE.findall(row[2])) <= tests
        assert CODE.findall(row[2])
