"""The labels of a container: what they ask for, and what is wrong with them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.model import Problem
from proxyconf.options import NONE, LocationOptions, Options, Rate, ServiceOptions
from proxyconf.routing.labels import Wish, read_labels


def wishes(**labels: str) -> tuple[Wish, ...]:
    """Return what good labels ask for; ``api__host`` stands for ``proxyconf.api.host``."""
    read = read_labels("web-1", spelled_out(labels))
    assert read.problems == ()
    return read.wishes


def spelled_out(labels: dict[str, str]) -> dict[str, str]:
    return {"proxyconf." + name.replace("__", "."): value for name, value in labels.items()}


def options(**labels: str) -> Options:
    """Return what good labels ask for a.test/api."""
    (wish,) = wishes(host="a.test", path="/api", **labels)
    return wish.options


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"host": " App.example.com "}, [Wish("", ("app.example.com",))], id="a host is enough"),
        pytest.param(
            {
                "host": "a.test",
                "path": "/api/",
                "service": "web",
                "port": "80",
                "network": "edge",
                "weight": "2",
                "backup": "True",
            },
            [Wish("", ("a.test",), "/api", "web", 80, "edge", 2, backup=True)],
            id="everything",
        ),
        pytest.param(
            {"host": "b.test,a.test, a.test  c.test"}, [Wish("", ("a.test", "b.test", "c.test"))], id="list"
        ),
        pytest.param({"service": "web"}, [Wish("", service="web")], id="a mere member"),
        pytest.param(
            {"service": "web", "health": "prefer"}, [Wish("", service="web", health="prefer")], id="health"
        ),
        pytest.param(
            {"api__host": "api.test", "api__port": "81", "ui__host": "ui.test", "port": "80", "weight": "3"},
            [Wish("api", ("api.test",), port=81, weight=3), Wish("ui", ("ui.test",), port=80, weight=3)],
            id="what names share",
        ),
        pytest.param(
            {"host": "a.test", "path": "/x", "service": "web", "api__host": "api.test"},
            [Wish("", ("a.test",), "/x", "web"), Wish("api", ("api.test",))],
            id="host, path and service are not shared",
        ),
        pytest.param(
            {"host": "a.test b.test", "api__host": "b.test c.test"},
            [Wish("", ("a.test", "b.test")), Wish("api", ("c.test",))],
            id="the same again counts once",
        ),
        pytest.param(
            {"host": "a.test", "again__host": "a.test"},
            [Wish("", ("a.test",))],
            id="nothing but the same again",
        ),
        pytest.param(
            {"host": "a.test", "api__host": "a.test", "api__path": "/api"},
            [Wish("", ("a.test",)), Wish("api", ("a.test",), "/api")],
            id="another path",
        ),
        pytest.param({}, [], id="none"),
    ],
)
def test_what_labels_ask_for(labels: dict[str, str], expected: list[Wish]) -> None:
    assert list(wishes(**labels)) == expected


def test_other_labels_are_passed_over() -> None:
    read = read_labels("web-1", {"com.example": "x", "proxyconf": "x", "proxyconfig.host": "a.test"})
    assert (read.wishes, read.problems) == ((), ())


def test_a_container_that_is_not_enabled_asks_for_nothing() -> None:
    """Not even what is wrong with its other labels is said."""
    labels = {"host": "a.test", "api__host": "b.test", "port": "x"}
    read = read_labels("web-1", spelled_out(labels | {"enable": "False"}))
    assert (read.wishes, read.problems, read.enabled) == ((), (), False)
    (wish,) = wishes(host="a.test", enable="true")
    assert wish == Wish("", ("a.test",))


def test_the_default_service_is_like_no_name() -> None:
    (wish,) = wishes(host="a.test", path="/api")
    assert wish.service_of("a.test") == "a.test/api"


@pytest.mark.parametrize(
    ("labels", "label", "why"),
    [
        pytest.param({"host": "a b;"}, "host", "'b;' is no host name", id="host"),
        pytest.param({"host": " , "}, "host", "no host is named", id="empty host"),
        pytest.param({"host": "a.test", "path": "api"}, "path", "start it with /", id="path"),
        pytest.param({"host": "a.test", "port": "http"}, "port", "'http' is no port", id="port"),
        pytest.param({"host": "a.test", "weight": "1001"}, "weight", "from 1 to 1000", id="weight"),
        pytest.param({"host": "a.test", "backup": ""}, "backup", 'neither "true" nor "false"', id="backup"),
        pytest.param({"host": "a.test", "health": "yes"}, "health", 'is not "require"', id="health"),
        pytest.param({"host": "a.test", "network": ""}, "network", "no network is named", id="network"),
        pytest.param(
            {"host": "a.test", "service": "a/b"}, "service", "is no name of a service", id="service"
        ),
        pytest.param({"host": "a.test", "enable": "no"}, "enable", 'neither "true" nor "false"', id="enable"),
        pytest.param(
            {"api__host": "a.test", "api__enable": "false"},
            "api.enable",
            "no such label (write proxyconf.enable, which is of the whole container)",
            id="enable under a name",
        ),
        pytest.param({"hots": "a.test"}, "hots", "did you mean 'host'?", id="spelling"),
        pytest.param({"api__prot": "80"}, "api.prot", "did you mean 'proto'?", id="spelling under a name"),
        pytest.param({"": "x"}, "", "known: allow, auth, backup", id="no option"),
        pytest.param({"host__host": "a.test"}, "host.host", "proxyconf.NAME.host", id="an option for a name"),
        pytest.param({"a__b__host": "a.test"}, "a.b.host", "proxyconf.NAME.host", id="a dot in a name"),
        pytest.param({"path": "/api"}, "path", "(set proxyconf.host)", id="path alone"),
        pytest.param(
            {"path": "/api", "service": "web"}, "path", "(set proxyconf.host)", id="path of a mere member"
        ),
        pytest.param({"port": "80"}, "port", "no effect without a host", id="port alone"),
        pytest.param(
            {"api__port": "80"}, "api.port", "(set proxyconf.api.host)", id="port alone under a name"
        ),
    ],
)
def test_a_bad_label_is_a_problem(labels: dict[str, str], label: str, why: str) -> None:
    """It is the only one, and nothing comes of its group."""
    read = read_labels("web-1", spelled_out(labels))
    assert read.wishes == ()
    (problem,) = read.problems
    assert (problem.what, problem.where) == ("container", f"web-1 label proxyconf.{label}")
    assert why in problem.why


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"api__port": "81"}, id="port"),
        pytest.param({"api__service": "web"}, id="service"),
        pytest.param({"api__weight": "2"}, id="weight"),
    ],
)
def test_labels_that_contradict_each_other(other: dict[str, str]) -> None:
    """The labels without a name win, as they come first."""
    labels = {"host": "a.test", "api__host": "a.test", "ui__host": "ui.test", **other}
    read = read_labels("web-1", spelled_out(labels))
    assert [wish.name for wish in read.wishes] == ["", "ui"]
    assert read.problems == (
        Problem(
            "container",
            "web-1 label proxyconf.api.host",
            "contradicts proxyconf.host: a.test/ leads elsewhere there (delete one of them)"
            "; its route is left out",
        ),
    )


def test_a_bad_group_does_not_spoil_the_others() -> None:
    read = read_labels("web-1", spelled_out({"host": "a b;", "api__host": "api.test", "ui__x": "1"}))
    assert [wish.name for wish in read.wishes] == ["api"]
    assert len(read.problems) == 2


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        pytest.param({"auth": "joe"}, "auth", id="bad"),
        pytest.param({"allow": "10.0.0.0/8"}, "allow", id="idle"),
        pytest.param({"host": "a.test", "deny": "x"}, "deny", id="bad beside a host"),
        pytest.param({"auht": "joe"}, "auht", id="misspelled"),
        pytest.param({"apy__verify_client": "on"}, "apy.verify_client", id="of a name without a host"),
        pytest.param({"a__b__auth": "joe"}, "a.b.auth", id="of no name"),
    ],
)
def test_what_may_protect_and_is_bad_or_idle_closes_all_routes(labels: dict[str, str], label: str) -> None:
    """Nobody knows which of them it was for."""
    others = {"api__host": "api.test", "ui__host": "ui.test", "pool__service": "pool"}
    read = read_labels("web-1", spelled_out(labels | others))
    assert [wish.name for wish in read.wishes] == ["pool"]
    why = f"is not routed, for what would protect it may be in a bad label: proxyconf.{label} (mend it)"
    assert [problem.where for problem in read.problems if problem.why == why] == [
        "web-1 label proxyconf.api.host",
        "web-1 label proxyconf.ui.host",
    ]
    assert [problem.where for problem in read.problems if problem.why != why] == [
        f"web-1 label proxyconf.{label}"
    ]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"body_size": "x"}, id="protects nothing"),
        pytest.param({"ui__host": "ui.test", "ui__auth": "joe"}, id="of another route"),
        pytest.param({"host": "a.test", "auth": "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}, id="good"),
    ],
)
def test_a_label_that_is_of_no_other_route_closes_none(labels: dict[str, str]) -> None:
    read = read_labels("web-1", spelled_out(labels | {"api__host": "api.test"}))
    assert "api" in {wish.name for wish in read.wishes}


def test_a_bad_shared_label_spoils_those_that_share_it() -> None:
    labels = {"port": "x", "api__host": "api.test", "ui__host": "ui.test", "ui__port": "80"}
    read = read_labels("web-1", spelled_out(labels))
    assert [(wish.name, wish.port) for wish in read.wishes] == [("ui", 80)]
    assert [problem.where for problem in read.problems] == ["web-1 label proxyconf.port"]


def test_without_options() -> None:
    """It is the very object that is told from others at no cost; also where only defaults are asked for."""
    assert options() is NONE
    assert options(strip="false", proto="http", rate="1r/s").location == LocationOptions(rate=Rate(60))
    assert options(strip="false", proto="http") is NONE


def test_options() -> None:
    asked = options(
        strip="true",
        body_size="50m",
        read_timeout="5m",
        buffering="false",
        allow="10.0.0.0/8,192.0.2.7",
        rate="10r/s",
        rate_burst="20",
        proto="https",
        verify="true",
        verify_name="b.test",
        balance="least_conn",
        max_fails="3",
        fail_timeout="30s",
    )
    assert asked.location == LocationOptions(
        replace="/",
        body_size=50 << 20,
        read_timeout=300,
        buffering=False,
        allow=("10.0.0.0/8", "192.0.2.7/32"),
        rate=Rate(600, 20),
    )
    assert asked.service == ServiceOptions(
        "https", verify=True, name="b.test", balance="least_conn", max_fails=3, fail_timeout=30
    )


def test_headers() -> None:
    """Each has a label of its own, under a name as well."""
    labels = {
        "proxyconf.host": "a.test",
        "proxyconf.request_header.X-B": "2",
        "proxyconf.request_header.X-A": "1",
        "proxyconf.request_header.Accept-Encoding": "",
        "proxyconf.api.host": "api.test",
        "proxyconf.api.response_header.X-Frame-Options": "DENY",
    }
    read = read_labels("web-1", labels)
    assert read.problems == ()
    assert [wish.options.location for wish in read.wishes] == [
        LocationOptions(request_headers=(("Accept-Encoding", ""), ("X-A", "1"), ("X-B", "2"))),
        LocationOptions(response_headers=(("X-Frame-Options", "DENY"),)),
    ]


def test_names_share_what_is_of_the_service() -> None:
    """Not what is of a route: a redirect or a list of networks would be too much for another one."""
    asked = wishes(
        proto="https",
        verify="true",
        api__host="api.test",
        api__maintenance="true",
        ui__host="ui.test",
        ui__proto="http",
        port="80",
    )
    assert [wish.options for wish in asked] == [
        Options(LocationOptions(maintenance=True), ServiceOptions("https", verify=True)),
        NONE,
    ]
    assert [wish.port for wish in asked] == [80, 80]


def test_a_mere_member_may_share_its_options() -> None:
    asked = wishes(service="web", proto="grpc", api__host="api.test")
    assert [(wish.name, wish.options.service.protocol) for wish in asked] == [("", "http"), ("api", "grpc")]


def test_what_is_asked_of_https_alone_does_not_cost_the_route_where_http_is_there_too() -> None:
    """Nobody is unprotected for it: it is a problem of the host's (`nginx.tls`)."""
    options = {"https": "both", "hsts": "max-age=9", "https_redirect_status": "308"}
    labels = {"host": "a.test"} | options
    found = read_labels("web-1", {f"proxyconf.{name}": text for name, text in labels.items()})
    assert found.problems == ()
    assert found.wishes[0].options.host.hsts == "max-age=9"


@pytest.mark.parametrize(
    ("labels", "label", "why"),
    [
        pytest.param({"strip": "yes"}, "strip", "'yes' is neither", id="switch"),
        pytest.param({"auth": "joe:secret"}, "auth", "the password of 'joe' is no hash", id="auth"),
        pytest.param(
            {"request_header__Host": "b"}, "request_header.Host", "Host is how the endpoint", id="header"
        ),
        pytest.param(
            {"request_header__X-A": "\n\x01", "request_header__X-B": "1"},
            "request_header.X-A",
            "printable ASCII",
            id="one header of two",
        ),
        pytest.param(
            {"request_header__X-A": "1", "request_header__x-a": "1"},
            "request_header.x-a",
            "a header is named twice",
            id="header twice",
        ),
        pytest.param(
            {"request_header": "X-A: 1"},
            "request_header",
            "write proxyconf.request_header.X-Name = value",
            id="header without its name",
        ),
        pytest.param(
            {"strip": "true", "replace": "/v1"},
            "strip",
            "contradicts proxyconf.replace (delete one of them)",
            id="strip and replace",
        ),
        pytest.param(
            {"strip": "true", "path": "/"},
            "strip",
            "has no effect: the path is / already (set proxyconf.path)",
            id="nothing to strip",
        ),
        pytest.param({"replace": "/api/"}, "replace", "the path is /api already", id="replaced by itself"),
        pytest.param(
            {"replace": "/v1", "redirect": "https://b.test"},
            "replace",
            "has no effect beside proxyconf.redirect, which keeps the request's path",
            id="replace and redirect",
        ),
        pytest.param(
            {"strip": "true", "redirect": "https://b.test"},
            "strip",
            "has no effect beside proxyconf.redirect",
            id="strip and redirect",
        ),
        *(
            pytest.param(
                {option: value, "redirect": "https://b.test"},
                option,
                "has no effect beside proxyconf.redirect: nginx redirects before it looks at it (delete one",
                id=f"{option} and redirect",
            )
            for option, value in {
                "auth": "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
                "allow": "10.0.0.0/8",
                "deny": "10.0.0.0/8",
                "rate": "10r/s",
            }.items()
        ),
        pytest.param(
            {"allow": "10.0.0.0/8", "deny": "10.0.0.0/8,::/0"},
            "deny",
            "contradicts proxyconf.allow: 10.0.0.0/8 is in both",
            id="allow and deny",
        ),
        pytest.param(
            {"rate_burst": "20"},
            "rate_burst",
            "has no effect by itself (set proxyconf.rate, for example to 10r/s)",
            id="burst of no rate",
        ),
        pytest.param(
            {"redirect_status": "308"}, "redirect_status", "(set proxyconf.redirect,", id="status alone"
        ),
        pytest.param({"verify": "true"}, "verify", "(set proxyconf.proto, for example", id="verify http"),
        pytest.param(
            {"verify_name": "b.test", "proto": "grpc"}, "verify_name", "to https)", id="name of http"
        ),
        pytest.param({"root": "/var/www"}, "root", "to fastcgi)", id="root of http"),
        pytest.param(
            {"backup": "true", "balance": "hash:client"},
            "backup",
            "contradicts proxyconf.balance: nginx has no backup with hash:client (delete one of them)",
            id="backup with a hash",
        ),
    ],
)
def test_a_bad_option_is_a_problem(labels: dict[str, str], label: str, why: str) -> None:
    """The route is left out: it may be meant for few."""
    read = read_labels("web-1", spelled_out({"host": "a.test", "path": "/api"} | labels))
    assert read.wishes == ()
    (problem,) = read.problems
    assert (problem.what, problem.where) == ("container", f"web-1 label proxyconf.{label}")
    assert why in problem.why


def test_an_option_of_a_name_is_named() -> None:
    read = read_labels("web-1", spelled_out({"api__host": "a.test", "api__rate_burst": "1"}))
    (problem,) = read.problems
    assert problem.where == "web-1 label proxyconf.api.rate_burst"
    assert problem.why == (
        "has no effect by itself (set proxyconf.api.rate, for example to 10r/s); its route is left out"
    )


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        pytest.param(
            {"auth": "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "service": "web"}, "auth", id="member"
        ),
        pytest.param({"proto": "grpc"}, "proto", id="nothing else"),
        pytest.param({"maintenance": "true", "api__host": "api.test"}, "maintenance", id="not shared"),
    ],
)
def test_an_option_without_a_host_is_a_problem(labels: dict[str, str], label: str) -> None:
    problems = read_labels("web-1", spelled_out(labels)).problems
    assert [(problem.where, problem.why) for problem in problems] == [
        (f"web-1 label proxyconf.{label}", "has no effect without a host (set proxyconf.host)")
    ]


def test_options_that_contradict_each_other() -> None:
    labels = {"host": "a.test", "api__host": "a.test", "api__maintenance": "true"}
    (problem,) = read_labels("web-1", spelled_out(labels)).problems
    assert problem.why == (
        "contradicts proxyconf.host: a.test/ has other options there (delete one of them)"
        "; its route is left out"
    )


LABELS = st.from_regex(
    r"\Aproxyconf\.([a-z]{1,3}\.)?(host|path|service|port|network|weight|backup|x|strip|rate|request_header\.X)\Z"
) | st.text(max_size=12).map(lambda text: "proxyconf." + text)
VALUES = st.text(max_size=12) | st.sampled_from(["a.test", "b.test, a.test", "/api", "web", "80", "true"])


@given(labels=st.dictionaries(LABELS, VALUES, max_size=8))
def test_anything_is_a_wish_or_a_problem(labels: dict[str, str]) -> None:
    """Nothing raises, nothing is passed over in silence, and only harmless text gets through."""
    read = read_labels("web-1", labels)
    assert bool(labels) == bool(read.wishes or read.problems)
    for wish in read.wishes:
        assert wish.hosts or wish.service
        for host in wish.hosts:
            assert re.fullmatch(r"[a-z0-9._*-]+/[^\s;{}\"'$\\]*", host + wish.path, re.ASCII)
    for problem in read.problems:
        assert str(problem).isprintable()


@pytest.mark.parametrize(
    "bad",
    [
        {"admin.allow": "10.0.0/8"},
        {"admin.alow": "10.0.0.0/8"},
        {"admin.auth": "no hash", "admin.port": "80"},
        {"admin.allow": "10.0.0.0/8", "admin.port": "many"},
        {"admin.allow": "10.0.0.0/8", "admin.redirect": "https://b.test"},
    ],
)
def test_what_a_bad_label_was_to_protect_is_not_open_by_a_shorter_path(bad: dict[str, str]) -> None:
    """Else the container's route at / gets the requests for /admin, and asks nobody who they are."""
    said = {
        "web.host": "a.test",
        "other.host": "b.test",
        "admin.host": "a.test",
        "admin.path": "/admin",
    } | bad
    wishes = read_labels("c", {f"proxyconf.{label}": text for label, text in said.items()})
    assert [wish.hosts for wish in wishes.wishes] == [("b.test",)]
    assert any("c label proxyconf.web.host" in problem.where for problem in wishes.problems)


def test_a_bad_host_of_what_is_protected_may_be_any() -> None:
    said = {"web.host": "a.test", "admin.host": "a!test", "admin.path": "/admin", "admin.allow": "10.0.0.0/8"}
    assert read_labels("c", {f"proxyconf.{label}": text for label, text in said.items()}).wishes == ()
