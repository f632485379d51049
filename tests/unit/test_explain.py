"""Answers to why a host, a container or a key is routed, or is not."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from proxyconf.errors import BadValueError
from proxyconf.model import Problem
from proxyconf.nginx.part import Part
from proxyconf.options import HostOptions, LocationOptions, ServiceOptions
from proxyconf.routing.offered import OPTIONS
from proxyconf.tables import Nginx, Tls
from tests.golden import cases
from tests.unit.explaining import AT, WEB, World, other, said


@pytest.fixture(autouse=True)
def universal_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_the_whole_chain_of_a_host() -> None:
    answer = World().explain("a.test")
    assert answer.is_served
    assert answer.verdict == "a.test/ is served, since 2027-01-15 08:00:00"
    assert said(answer, "route") == ["a.test/ leads to service 'a.test/'"]
    assert said(answer, "seen") == ["container web-1 label proxyconf.host, docker at 2027-01-15 08:00:00"]
    (endpoint,) = said(answer, "endpoint")
    assert endpoint == (
        "172.18.0.2:8080, served since 2027-01-15 08:00:00: container web-1 label proxyconf.host (its address"
        " in the network front, which the host reaches; the only port that it exposes)"
    )
    assert said(answer, "container") == [
        "web-1 111111111111, running; networks: front (172.18.0.2); exposes: 8080"
    ]
    assert said(answer, "certificate") == ["/certs/own.crt: for a.test, until 2027-01-15 08:00:00"]
    (nginx,) = said(answer, "nginx")
    assert nginx == (
        "parts/h-1.conf and parts/s-1.conf of /state/nginx/nginx.conf, abcdef012345, proved by nonce at"
        " 2027-01-15 08:00:00"
    )


def test_an_expired_certificate_is_told_with_its_problem() -> None:
    problem = Problem("certificate", "/certs/own.crt", "has expired on 2027-01-15 08:00 UTC (renew it)")
    answer = World(now=AT, problems=(problem,)).explain("a.test")
    assert said(answer, "certificate") == ["/certs/own.crt: for a.test, expired 2027-01-15 08:00:00"]
    assert said(answer, "problem") == [f"{problem.where}: {problem.why}"]


@pytest.mark.parametrize(
    ("host_problem", "so"),
    [("", "is on http only"), ("answers 503, for no certificate is for b.test (put one)", "answers 503")],
)
@pytest.mark.parametrize("file", ["/certs/b.test.crt", "/certs/b.test/fullchain.pem"])
def test_a_host_without_a_certificate_says_so(host_problem: str, so: str, file: str) -> None:
    """With what is wrong with the one that is called like it."""
    world = World(
        (replace(WEB, labels={"proxyconf.host": "b.test"}),),
        settings=Nginx(tls=Tls(certificates=Path("/certs"))),
        files=(),
        problems=(Problem("certificate", file, "is not of the key beside it"),),
        host_problems=(Problem("host", "b.test", host_problem),),
    )
    answer = world.explain("b.test")
    assert said(answer, "certificate") == [f"none is for it, so it {so}"]
    assert said(answer, "problem") == [f"{file}: is not of the key beside it"]


@pytest.mark.parametrize(
    ("host", "tls"),
    [
        pytest.param("b.test", Tls(), id="no folder"),
        pytest.param("b.test", Tls(certificates=Path("/certs"), https="off"), id="off"),
        pytest.param("a.test", Tls(certificates=Path("/certs")), id="one fits"),
    ],
)
def test_a_host_that_wants_no_certificate_says_nothing_of_it(host: str, tls: Tls) -> None:
    world = World((replace(WEB, labels={"proxyconf.host": host}),), settings=Nginx(tls=tls), files=())
    assert said(world.explain(host), "certificate") == []


def test_the_operators_files_of_a_host_are_told() -> None:
    """Of one that is refused and left out, too; and the default one only where there is no other."""
    own, default = "/etc/host.d/a.test.conf", "/etc/host.d/default.conf"
    refused = Problem("file", "/etc/location.d/a.test.conf", "nginx refuses it: [emerg] x (it is left out)")
    files = tuple(Part("operator", name, "o-1.conf", b"") for name in (own, default))
    answer = World(files=files, problems=(refused,)).explain("a.test")
    assert said(answer, "file") == [own, f"{refused.where}, left out"]
    assert said(answer, "problem") == [f"{refused.where}: {refused.why}"]
    assert said(World(files=files[1:]).explain("a.test"), "file") == [default]


@pytest.mark.parametrize(
    ("question", "claim"),
    [
        ("a.test/", "a.test/"),
        ("https://A.test:8443/api", "a.test/api"),
        ("a.test/api/x", "a.test/api"),
        ("a.test/apix", "a.test/"),
        ("b.sub.wild.test", "*.sub.wild.test/"),
        ("b.wild.test/x", "*.wild.test/"),
    ],
)
def test_the_route_is_the_one_that_nginx_takes(question: str, claim: str) -> None:
    hosts = ("a.test", "*.wild.test", "*.sub.wild.test")
    keys = {
        f"routes/{number}": f'{{"host": "{host}", "service": "web"}}' for number, host in enumerate(hosts)
    }
    keys |= {
        "routes/api": '{"host": "a.test", "path": "/api", "service": "web"}',
        "services/web/1": "10.0.0.1:80",
    }
    answer = World(containers=(), keys=keys).explain(question)
    assert answer.is_served
    assert answer.verdict.startswith(f"{claim} is served")


def test_options_are_told_and_secrets_are_not() -> None:
    labels = {
        "proxyconf.host": "a.test",
        "proxyconf.path": "/x",
        "proxyconf.strip": "true",
        "proxyconf.hsts": "max-age=1",
        "proxyconf.balance": "least_conn",
        "proxyconf.auth": "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "proxyconf.request_header.X-Token": "secret",
        "proxyconf.allow": "10.0.0.0/8,fd00::/8",
        "proxyconf.read_timeout": "5m",
        "proxyconf.weight": "3",
        "proxyconf.backup": "true",
    }
    answer = World(containers=(replace(WEB, labels=labels), other(3, labels=labels))).explain("a.test/x")
    (asks,) = said(answer, "asks")
    assert asks == (
        "strip true; read_timeout 300s; allow 10.0.0.0/8, fd00::/8; auth joe; request_header X-Token;"
        " hsts max-age=1; balance least_conn"
    )
    assert all("weight 3, backup" in endpoint for endpoint in said(answer, "endpoint"))


@pytest.mark.parametrize(
    ("field", "value", "asks"),
    [
        ("maintenance", "true", "maintenance true"),
        ("buffering", "false", "buffering false"),
        ("replace", '"/v1"', "replace /v1"),
        ("rate", '"10r/s", "rate_burst": 2', "rate 600r/m; rate_burst 2"),
        ("rate", '"10r/m"', "rate 10r/m"),
        ("send_timeout", '"500ms"', "send_timeout 500ms"),
        ("hsts", '"off"', "hsts off"),
        ("missing_certificate", '"default"', "missing_certificate default"),
        ("max_fails", "0", "max_fails 0"),
        ("proto", '"grpc"', "proto grpc"),
    ],
)
def test_options_are_spelled_as_they_are_written(field: str, value: str, asks: str) -> None:
    world = World((), keys={"routes/web": f'{{"host": "a.test", "{field}": {value}}}'})
    assert said(world.explain("a.test"), "asks") == [asks]


@pytest.mark.parametrize(
    ("of", "options"),
    [("location", LocationOptions), ("host", HostOptions), ("service", ServiceOptions)],
)
def test_every_field_has_the_name_of_an_option(of: str, options: type[LocationOptions]) -> None:
    offered = {option.field for option in OPTIONS.values() if option.of == of}
    assert {one.name for one in fields(options)} <= offered


def test_endpoints_that_are_left_out_say_why() -> None:
    label = "container web-{} label proxyconf.host"
    draining = other(3, draining=True)
    starting = other(4, health="starting")
    answer = World(containers=(WEB, draining, starting)).explain("a.test")
    assert said(answer, "left out") == [
        f"172.18.0.3:8080: {label.format(3)}: it is told to end, or unhealthy, and others serve",
        "container web-4 label proxyconf.host",
    ]
    assert said(answer, "idle") == ["its health check has not passed yet"]


def test_a_host_without_endpoints() -> None:
    answer = World(containers=(replace(WEB, state="exited"),)).explain("a.test")
    assert not answer.is_served
    assert answer.verdict == "a.test/ answers 503: service 'a.test/' has no endpoint"
    assert said(answer, "idle") == ["it has ended (docker start)"]


def test_a_container_that_was_removed_a_moment_ago() -> None:
    """It is known for as long as its hosts are, by its name and by them."""
    why = "it was removed a moment ago (its hosts stay known for a minute, as it may be replaced)"
    world = World(containers=(), removed=(replace(WEB, state="dead"),))
    of_host, of_container = world.explain("a.test"), world.explain("web-1")
    assert of_host.verdict == "a.test/ answers 503: service 'a.test/' has no endpoint"
    assert said(of_host, "left out") == ["container web-1 label proxyconf.host"]
    assert said(of_host, "idle") == [why]
    assert of_container.verdict == f"web-1 gets no requests: {why}"


@pytest.mark.parametrize(
    ("option", "verdict"),
    [
        ('"maintenance": true', "a.test/ answers 503, for maintenance, as was asked for"),
        (
            '"redirect": "https://b.test"',
            "a.test/ is served, since 2027-01-15 08:00:00: by a redirect to https://b.test",
        ),
    ],
)
def test_a_host_that_needs_no_endpoint(option: str, verdict: str) -> None:
    keys = {"routes/web": f'{{"host": "a.test", {option}}}'}
    assert World(containers=(), keys=keys).explain("a.test").verdict == verdict


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"verify_client": "on"}, "answers 503, for there is no folder of certificates"),
        ({"https": "only"}, "answers 503, for there is no folder of certificates"),
        ({"proto": "grpc"}, "answers 503, for grpc: needs HTTP/2"),
        ({"auth": "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}, "answers 503, for basic authentication: this"),
    ],
)
def test_a_route_that_lets_nobody_in_is_not_served(labels: dict[str, str], why: str) -> None:
    """It has endpoints, and nginx has proved it: by its problem, it answers 503 all the same."""
    usual = cases.dialect()
    nginx = replace(usual, build=replace(usual.build, without=frozenset({"http_auth_basic_module"})))
    closed = {f"proxyconf.{name}": text for name, text in labels.items()} | {"proxyconf.host": "a.test"}
    world = World(containers=(replace(WEB, labels=closed),), nginx=nginx)
    answer, of_container = world.explain("a.test"), world.explain("web-1")
    assert not answer.is_served
    assert answer.verdict.startswith(f"a.test/ is not served: {why}")
    assert not of_container.is_served
    assert why in of_container.verdict
    assert World(nginx=nginx).explain("a.test").is_served


def test_a_route_whose_service_nginx_does_not_have_is_not_served() -> None:
    """It was left out, as a problem says, or is not there yet."""
    refused = Problem("service", "a.test/", "nginx refuses it: [emerg] x (it is left out)")
    answer = World(left_out="a.test/", problems=(refused,)).explain("a.test")
    assert (answer.is_served, answer.verdict) == (False, f"a.test/ is not served: {refused.why}")
    answer = World(left_out="a.test/").explain("a.test")
    assert answer.verdict == "a.test/ is not served: nginx does not lead to service 'a.test/' yet"


def test_what_is_not_proved_is_not_served() -> None:
    world = World(proved=False, state="failed", reason="reload nginx: no proof")
    answer = world.explain("a.test")
    assert (answer.is_served, answer.verdict) == (
        False,
        "a.test/ is not served: failed: reload nginx: no proof",
    )
    assert "not proved yet" in said(answer, "endpoint")[0]
    assert said(answer, "nginx") == []
    refused = replace_problems(
        world, Problem("host", "a.test", "nginx refuses it: [emerg] x (it is left out)")
    )
    assert "nginx refuses it" in refused.explain("a.test").verdict


def replace_problems(world: World, *problems: Problem) -> World:
    return World(proved=world.proved, state=world.state, reason=world.reason, problems=problems)


def test_a_rival_and_its_loss() -> None:
    keys = {"routes/web": '{"host": "a.test"}', "services/web/1": "10.0.0.1:80"}
    answer = World(keys=keys).explain("a.test")
    assert said(answer, "rival") == ["etcd key '/proxyconf/routes/web': yields to it"]
    loser = World(keys=keys).explain("routes/web")
    assert not loser.is_served
    assert "leads to service 'a.test/' already" in loser.verdict


def test_a_host_that_nobody_has() -> None:
    bad = other(3, labels={"proxyconf.host": "b.test", "proxyconf.port": "x"})
    keys = {"routes/b": '{"host": "b.test", "path": "nowhere"}'}
    answer = World(containers=(bad,), keys=keys).explain("b.test")
    assert answer.verdict == "no route is for it: the default server answers"
    assert said(answer, "container")[0].startswith("web-3 ")
    assert said(answer, "key") == ["etcd key '/proxyconf/routes/b'"]
    assert len(said(answer, "problem")) == 2
    assert "is it spelled" in World().explain("c.test").verdict


@pytest.mark.parametrize(
    ("container", "named"),
    [
        pytest.param({"labels": {"proxyconf.host": "x.test, B.test", "proxyconf.port": "x"}}, 1, id="label"),
        pytest.param(
            {"labels": {"proxyconf.api.host": "b.test", "proxyconf.api.port": "x"}}, 1, id="of NAME"
        ),
        pytest.param(
            {"labels": {}, "env": {"VIRTUAL_HOST": "x.test,b.test", "VIRTUAL_PORT": "x"}}, 1, id="env"
        ),
        pytest.param({"labels": {}, "env": {"VIRTUAL_HOST_MULTIPORTS": '{"b.test":{"/":1}}'}}, 1, id="ports"),
        pytest.param({"labels": {"proxyconf.host": "ab.test.de", "proxyconf.port": "x"}}, 0, id="part"),
        pytest.param({"labels": {"proxyconf.request_header.X": "b.test"}}, 0, id="header"),
        pytest.param({"labels": {"proxyconf.request_header.host": "b.test"}}, 0, id="header host"),
        pytest.param({"labels": {"host": "b.test"}}, 0, id="another's label"),
        pytest.param({"labels": {}, "env": {"TOKEN": "b.test"}}, 0, id="variable"),
    ],
)
def test_only_what_names_hosts_is_looked_at_in_containers(container: dict[str, object], named: int) -> None:
    """Else whoever may ask could find out passwords and tokens, letter by letter."""
    answer = World(containers=(replace(WEB, **container),)).explain("b.test")  # type: ignore[arg-type]
    assert len(said(answer, "container")) == named


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("routes/b", '{"host": "B.test.", "path": "nowhere"}', 1),
        ("routes/b", '{"host": "ab.test", "path": "nowhere"}', 0),
        ("routes/b", '{"host": "a b", "request_header": {"Authorization": "b.test"}}', 0),
        ("routes/b", '{"host": 7, "service": "b.test"}', 0),
        ("routes/b", '["b.test"]', 0),
        ("routes/b", "b.test", 0),
        ("services/b/1", '{"host": "b.test"}', 0),
    ],
)
def test_only_what_names_hosts_is_looked_at_in_keys(key: str, value: str, named: int) -> None:
    answer = World(containers=(), keys={key: value}).explain("b.test")
    assert len(said(answer, "key")) == named


def test_a_host_that_the_default_host_answers_for() -> None:
    world = World(nginx=cases.dialect(default_host="A.test"))
    answer = world.explain("c.test/x")
    assert answer.is_served
    assert answer.verdict == (
        "no route is for it; as default_host, a.test answers on http: a.test/ is served,"
        " since 2027-01-15 08:00:00"
    )
    assert said(answer, "route") == ["a.test/ leads to service 'a.test/'"]
    assert world.explain("a.test").verdict == "a.test/ is served, since 2027-01-15 08:00:00"


def test_a_host_that_somebody_elses_server_may_have() -> None:
    answer = World(settings=Nginx(mode="include")).explain("c.test")
    expected = "no route is for it: another server of this nginx, or its default one, answers"
    assert answer.verdict.startswith(expected)


def test_a_default_host_that_does_not_answer() -> None:
    """What keeps it from that is a problem of the setting."""
    problem = Problem("setting", "[nginx] default_host", "b.test is no host that is known (route it)")
    answer = World(settings=Nginx(default_host="b.test"), problems=(problem,)).explain("c.test")
    assert answer.verdict.startswith("no route is for it: the default server answers")
    assert said(answer, "problem") == [f"{problem.where}: {problem.why}"]


@pytest.mark.parametrize("host", ["a.test", "c.test"])
def test_challenges_are_answered_before_routes(host: str) -> None:
    settings = Nginx(tls=Tls(challenge="/srv/acme"))
    question = f"{host}/.well-known/acme-challenge/x"
    answer = World(settings=settings).explain(question)
    told = f"{question}: challenges are answered on http, from /srv/acme, as [nginx.tls] challenge says"
    assert (answer.is_served, answer.verdict) == (True, told)
    answer = World(settings=settings, proved=False).explain(question)
    assert (answer.is_served, answer.verdict) == (False, f"{told}, once nginx has proved it")


def test_a_route_for_challenges_has_them_itself() -> None:
    labels = {"proxyconf.host": "a.test", "proxyconf.path": "/.well-known/acme-challenge"}
    world = World((replace(WEB, labels=labels),), settings=Nginx(tls=Tls(challenge="/srv/acme")))
    answer = world.explain("a.test/.well-known/acme-challenge/x")
    assert answer.verdict.startswith("a.test/.well-known/acme-challenge is served")


def test_a_path_that_nobody_has() -> None:
    answer = World(containers=(replace(WEB, labels={"proxyconf.host": "a.test", "proxyconf.path": "/x"}),))
    found = answer.explain("a.test/y")
    assert found.verdict == "the path is nobody's: 404"
    assert said(found, "route") == [
        "a.test/x leads to service 'a.test/x': container web-1 label proxyconf.host"
    ]


def test_a_host_whose_root_nobody_has_is_told_by_its_paths() -> None:
    """Who names no path asks for the host: it is served if one of its paths is."""
    at = {"proxyconf.host": "a.test", "proxyconf.path": "/x"}
    one = World(containers=(replace(WEB, labels=at),))
    found = one.explain("a.test")
    told = "a.test/x is served, since 2027-01-15 08:00:00; no route is for its other paths"
    assert (found.is_served, found.verdict) == (True, told)
    assert len(said(found, "endpoint")) == 1
    assert not one.explain("a.test/").is_served

    keys = {"routes/none": '{"host": "a.test", "path": "/y", "service": "none"}'}
    found = replace(one, keys=keys).explain("a.test")
    assert found.is_served
    assert found.verdict.startswith("a.test is served at /x; a.test/y answers 503: no endpoint of service")
    assert found.verdict.endswith("; no route is for its other paths")
    served, empty = said(found, "route")
    assert served.startswith("a.test/x is served, since ")
    assert empty.startswith("a.test/y answers 503")

    found = World(
        (), keys={**keys, "routes/b": '{"host": "a.test", "path": "/z", "service": "none"}'}
    ).explain("a.test")
    assert not found.is_served
    assert found.verdict.startswith("a.test/y answers 503: ")


@pytest.mark.parametrize("question", ["web-1", "/web-1", "1111", "1" * 64])
def test_a_container(question: str) -> None:
    answer = World().explain(question)
    assert (answer.is_served, answer.verdict) == (True, "web-1 gets requests")
    assert len(said(answer, "container")) == len(said(answer, "endpoint")) == 1
    assert said(answer, "route") == ["a.test/ is served, since 2027-01-15 08:00:00"]


def test_a_container_is_told_with_its_services() -> None:
    """An endpoint once for each, for however many hosts it is."""
    both = replace(WEB, labels={"proxyconf.host": "a.test, b.test", "proxyconf.service": "web"})
    assert said(World((both,)).explain("web-1"), "service") == ["'web'"]
    assert len(said(World((both,)).explain("web-1"), "endpoint")) == 1
    apart = replace(WEB, labels={"proxyconf.host": "a.test, b.test"})
    answer = World((apart,)).explain("web-1")
    assert said(answer, "service") == ["'a.test/'", "'b.test/'"]
    assert len(said(answer, "endpoint")) == 2


def test_a_problem_is_told_once() -> None:
    """Though it is the route's, the endpoint's and the container's."""
    problem = Problem("route", "container web-1 label proxyconf.host", "is odd (mend it)")
    answer = World(problems=(problem,)).explain("a.test")
    assert said(answer, "problem") == [f"{problem.where}: {problem.why}"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"labels": {}}, "it asks for no host (set the label", id="no host"),
        pytest.param({"state": "paused"}, "gets no requests: it is paused", id="paused"),
        pytest.param(
            {"labels": {"proxyconf.hots": "x"}},
            "requests: label proxyconf.hots: no such label",
            id="bad label",
        ),
        pytest.param({"state": "exited"}, "it has ended (docker start)", id="ended"),
    ],
)
def test_a_container_that_gets_no_requests(changes: dict[str, object], why: str) -> None:
    answer = World(containers=(replace(WEB, **changes),)).explain("web-1")  # type: ignore[arg-type]
    assert not answer.is_served
    assert answer.verdict.startswith("web-1 gets no requests: ")
    assert answer.verdict.count("gets no requests") == 1
    assert why in answer.verdict


def test_a_container_to_whose_service_no_route_leads() -> None:
    """It has an endpoint that is known, and that nobody is led to."""
    lonely = replace(WEB, labels={"proxyconf.service": "web"})
    answer = World(containers=(lonely,)).explain("web-1")
    assert (answer.is_served, answer.verdict) == (
        False,
        "web-1 gets no requests: no route leads to service 'web'",
    )


def test_a_container_whose_host_is_another_ones() -> None:
    late = other(3, labels={"proxyconf.host": "a.test", "proxyconf.service": "late"}, created=1800)
    answer = World(containers=(WEB, late)).explain("web-3")
    assert said(answer, "route") == ["a.test/ is another one's: container web-1 label proxyconf.host"]
    unproved = World(proved=False).explain("web-1")
    told = "web-1 gets no requests: a.test/ is not served: applied: nginx has not proved it yet"
    assert unproved.verdict == told


@pytest.mark.parametrize("question", ["services/web/1", "/services/web/1", "/proxyconf/services/web/1"])
def test_a_key(question: str) -> None:
    keys = {"routes/web": '{"host": "b.test"}', "services/web/1": "10.0.0.1:80"}
    answer = World(keys=keys).explain(question)
    assert answer.is_served
    assert answer.verdict == "etcd key '/proxyconf/services/web/1': counts"
    assert said(answer, "seen") == ["etcd key '/proxyconf/services/web/1', etcd at 2027-01-15 08:00:00"]
    assert said(answer, "endpoint")[0].startswith("10.0.0.1:80, served since")
    assert World(keys=keys).explain("routes/web").is_served


@pytest.mark.parametrize("question", ["services/web", "/services/web/", "web"])
def test_a_service(question: str) -> None:
    keys = {
        "routes/web": '{"host": "b.test", "service": "web"}',
        "services/web/1": "10.0.0.1:80",
        "services/web/2": "10.0.0.2:80",
    }
    answer = World(keys=keys).explain(question)
    assert (answer.is_served, answer.verdict) == (True, "service 'web' gets requests")
    assert said(answer, "service") == ["'web', 2 endpoints"]
    assert len(said(answer, "endpoint")) == 2
    assert said(answer, "route") == ["b.test/ is served, since 2027-01-15 08:00:00"]


def test_a_service_that_gets_no_requests() -> None:
    answer = World(keys={"services/web/1": "10.0.0.1:80"}).explain("services/web")
    assert (answer.is_served, answer.verdict) == (
        False,
        "service 'web' gets no requests: no route leads to it",
    )
    label = {"proxyconf.host": "a.test, b.test", "proxyconf.service": "web"}
    answer = World((replace(WEB, labels=label, state="exited"),)).explain("web")
    assert answer.verdict.endswith("a.test/ answers 503: service 'web' has no endpoint")
    assert said(answer, "left out") == ["container web-1 label proxyconf.host"]


def test_a_service_that_is_called_like_a_host_is_that_host() -> None:
    keys = {"routes/1": '{"host": "b.test", "service": "b.test"}', "services/b.test/1": "10.0.0.1:80"}
    assert World(keys=keys).explain("b.test").verdict.startswith("b.test/ is served")


@pytest.mark.parametrize(
    ("service", "hint"),
    [("bolg", "did you mean 'blog'?"), ("x", "list one, or lead the route to another service")],
)
def test_a_service_that_is_misspelled(service: str, hint: str) -> None:
    keys = {"routes/1": f'{{"host": "b.test", "service": "{service}"}}', "services/blog/1": "10.0.0.1:80"}
    told = f"b.test/ answers 503: no endpoint of service '{service}' is listed ({hint})"
    assert World((), keys=keys).explain("b.test").verdict == told


def test_a_bad_key() -> None:
    answer = World(keys={"services/web/1": "10.0.0.1"}).explain("services/web/1")
    assert not answer.is_served
    assert "is no address" in answer.verdict


def test_what_is_no_question() -> None:
    with pytest.raises(BadValueError, match="write HOST, HOST/PATH, a container, a key or a service"):
        World().explain("no host!")
