"""Answers where what should be served, and what is, are two things."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from proxyconf.api import TemplateState
from proxyconf.held import Held
from proxyconf.model import Problem
from proxyconf.tables import Nginx
from tests.unit.explaining import AT, WEB, World, other, said

SINCE = "2027-01-15 08:00:00"
KEYS = {"routes/web": '{"host": "b.test", "service": "web"}', "services/web/1": "10.0.0.1:80"}


@pytest.fixture(autouse=True)
def universal_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def paused(world: World) -> World:
    return replace(world, state="paused", reason="1 change waits (to go on: proxyconf resume)")


@pytest.mark.parametrize("state", ["installed", "paused"])
@pytest.mark.parametrize("question", ["a.test", "web-1", "routes/web", "services/web", "services/web/1"])
def test_nothing_is_served_while_no_nginx_runs(question: str, state: str) -> None:
    """Though an earlier proof of it is known."""
    world = World(keys=KEYS, running=False, state=state, reason="checked, and no nginx runs on it")
    answer = world.explain(question)
    assert not answer.is_served
    assert "no nginx runs" in answer.verdict
    assert answer.verdict.endswith("(start it with: nginx -c it)")
    assert "served since" not in " ".join(said(answer, "endpoint"))


def test_a_failure_of_somebody_elses_change_is_not_told() -> None:
    answer = World(state="failed", reason="disk full").explain("a.test")
    assert (answer.is_served, answer.verdict) == (True, f"a.test/ is served, since {SINCE}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("10.0.0.2:80", "10.0.0.1:80", id="another endpoint"),
        pytest.param('{"address": "10.0.0.1:80", "weight": 2}', "10.0.0.1:80", id="another weight"),
    ],
)
def test_a_change_of_endpoints_that_failed_is_told(before: str, after: str) -> None:
    served = World(keys=KEYS | {"services/web/1": before})
    world = World(keys=KEYS | {"services/web/1": after}, served=served, state="failed", reason="disk full")
    answer = world.explain("b.test")
    told = f"b.test/ is served, since {SINCE}; its last change is not in effect: failed: disk full"
    assert (answer.is_served, answer.verdict) == (True, told)
    assert world.explain("a.test").verdict == f"a.test/ is served, since {SINCE}"


@pytest.mark.parametrize(
    "option",
    [
        pytest.param({"proxyconf.body_size": "1m"}, id="of the path"),
        pytest.param({"proxyconf.hsts": "max-age=1"}, id="of the host"),
        pytest.param({"proxyconf.balance": "least_conn"}, id="of the service"),
    ],
)
def test_a_change_of_options_that_failed_is_told(option: dict[str, str]) -> None:
    changed = replace(WEB, labels={**WEB.labels, **option})
    answer = World((changed,), served=World(), state="refused", reason="bad").explain("a.test")
    assert answer.is_served
    assert answer.verdict.endswith("; its last change is not in effect: refused: bad")


def test_a_route_that_is_to_lead_elsewhere_is_served_as_before() -> None:
    keys = {**KEYS, "services/late/1": "10.0.0.9:80", "routes/web": '{"host": "b.test", "service": "late"}'}
    answer = paused(World(keys=keys, served=World(keys={**KEYS, **keys, **KEYS}))).explain("b.test")
    assert answer.is_served
    assert answer.verdict == (
        f"b.test/ is served, since {SINCE}, by service 'web'; its last change is not in effect: paused:"
        " 1 change waits (to go on: proxyconf resume)"
    )


def test_a_host_that_serves_its_last_good_form_says_so() -> None:
    problem = Problem("host", "a.test", "nginx refuses it: [emerg] x (its last good form serves)")
    answer = World(problems=(problem,)).explain("a.test")
    assert answer.is_served
    assert (
        answer.verdict == f"a.test/ is served, since {SINCE}; its last change is not in effect: {problem.why}"
    )


def test_a_new_host_that_nginx_refuses_answers_503() -> None:
    """Redirects, too: the whole host is closed."""
    problem = Problem("host", "a.test", "nginx refuses it: [emerg] x (it answers 503)")
    for labels in ({}, {"proxyconf.redirect": "https://b.test"}):
        closed = replace(WEB, labels={**WEB.labels, **labels})
        answer = World((closed,), problems=(problem,)).explain("a.test")
        assert (answer.is_served, answer.verdict) == (False, f"a.test/ is not served: {problem.why}")


@pytest.mark.parametrize("question", ["a.test", "a.test/x"])
def test_what_is_deleted_during_a_pause_is_served_on(question: str) -> None:
    answer = paused(World((), served=World())).explain(question)
    assert answer.is_served
    assert answer.verdict == (
        f"a.test/ is served, since {SINCE}; its removal is not in effect: paused: 1 change waits"
        " (to go on: proxyconf resume)"
    )


def test_a_deleted_host_is_served_on_though_a_wildcard_would_have_it() -> None:
    keys = {**KEYS, "routes/web": '{"host": "*.test", "service": "web"}'}
    world = paused(World((), keys=keys, served=World(keys=keys)))
    assert world.explain("a.test").verdict.startswith(f"a.test/ is served, since {SINCE}; its removal")
    assert world.explain("c.test").verdict == f"*.test/ is served, since {SINCE}"


def test_what_comes_during_a_pause_waits() -> None:
    world = paused(World(keys=KEYS, served=World()))
    for question in ("b.test", "routes/web"):
        answer = world.explain(question)
        assert not answer.is_served
        assert "b.test/ is not served: paused: 1 change waits" in answer.verdict


def test_an_endpoint_that_comes_during_a_pause_waits() -> None:
    keys = {**KEYS, "services/web/2": "10.0.0.2:80"}
    world = paused(World(keys=keys, served=World(keys=KEYS)))
    assert world.explain("services/web/1").verdict.endswith(": counts")
    answer = world.explain("services/web/2")
    assert not answer.is_served
    assert "gets no requests: nginx has not proved it yet: paused: 1 change waits" in answer.verdict


def test_what_an_earlier_run_proved_is_served_during_a_pause() -> None:
    """Its files are nginx's, though this run has proved nothing."""
    world = paused(World(forgotten=True, running=True))
    answer = world.explain("a.test")
    assert answer.is_served
    assert answer.verdict == (
        "a.test/ is served as it was proved before; what is new is not in effect: paused: 1 change waits"
        " (to go on: proxyconf resume)"
    )
    assert not replace(world, running=False).explain("a.test").is_served
    doubted = replace(world, state="failed", reason="reload nginx: no proof").explain("a.test")
    told = "a.test/ is not known to be served: failed: reload nginx: no proof"
    assert (doubted.is_served, doubted.verdict) == (False, told)
    assert not replace(world, left_out="a.test/").explain("a.test").is_served


# --- keys ---


def test_an_endpoint_that_nobody_routes_to_gets_no_requests() -> None:
    answer = World(keys={"services/web/1": "10.0.0.1:80"}).explain("services/web/1")
    assert not answer.is_served
    assert answer.verdict == (
        "etcd key '/proxyconf/services/web/1': gets no requests: no route leads to service 'web'"
    )


@pytest.mark.parametrize("question", ["routes/web", "services/web/1", "b.test"])
def test_in_mode_none_nothing_is_routed(question: str) -> None:
    world = World(keys=KEYS, proved=False, settings=Nginx(mode="none"))
    answer = world.explain(question)
    assert not answer.is_served
    assert "b.test/ is not served: mode is none in [nginx]" in answer.verdict


def test_the_loser_of_a_conflict_is_not_told_as_served() -> None:
    keys = {**KEYS, "routes/z": '{"host": "b.test", "service": "z"}', "services/z/1": "10.0.0.9:80"}
    answer = World(keys=keys).explain("routes/z")
    assert not answer.is_served
    assert said(answer, "route") == ["b.test/ is another one's: etcd key '/proxyconf/routes/web'"]
    endpoint = World(keys=keys).explain("services/z/1")
    assert not endpoint.is_served
    assert endpoint.verdict.endswith("gets no requests: no route leads to service 'z'")


def test_the_same_key_in_two_sources_is_the_first_ones() -> None:
    world = World(keys=KEYS, more={"services/web/1": "10.0.0.7:80", "routes/web": KEYS["routes/web"]})
    for key in ("services/web/1", "routes/web"):
        assert world.explain(key).is_served
        loser = world.explain(f"consul key 'proxyconf/{key}'")
        assert not loser.is_served
        assert "the same key counts at etcd key" in loser.verdict
        assert said(loser, "endpoint") == said(loser, "route") == []


def test_a_key_in_a_folder_that_nobody_reads() -> None:
    answer = World(keys={"service/web/1": "10.0.0.1:80"}).explain("service/web/1")
    assert not answer.is_served
    assert "nothing is read from here (did you mean 'services'?)" in answer.verdict


def test_a_draining_endpoint_gets_no_requests() -> None:
    keys = {**KEYS, "services/web/2": '{"address": "10.0.0.2:80", "draining": true}'}
    answer = World(keys=keys).explain("services/web/2")
    assert not answer.is_served
    assert answer.verdict.endswith("gets no requests: it is told to end, or unhealthy, and others serve")


# --- the loss guard ---


def test_a_held_listing_is_told_of_the_hosts_it_would_change() -> None:
    keys = {**KEYS, "routes/c": '{"host": "c.test"}', "services/c/1": "10.0.0.3:80"}
    world = World(keys=keys).holding({key: keys[key] for key in ("routes/web", "routes/c", "services/c/1")})
    mend = "(if the loss is real: proxyconf confirm; to allow more: max_loss)"
    answer = world.explain("b.test")
    assert answer.is_served
    assert answer.verdict == f"b.test/ is served, since {SINCE}; what etcd said of it last is held {mend}"
    assert said(answer, "problem") == [
        f"etcd: came back with 1 of 2 endpoints, so what it had before still counts {mend}"
    ]
    assert "held" not in world.explain("c.test").verdict
    assert len(said(world.explain("services/web/1"), "problem")) == 1
    assert said(world.explain("services/c/1"), "problem") == []


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("d.test", "what etcd said last has one, and is held; if the loss is real: proxyconf confirm"),
        ("routes/d", "does not count, for what etcd said last is held"),
    ],
)
def test_what_is_only_in_a_held_listing(question: str, told: str) -> None:
    held = World(keys=KEYS).holding({"routes/d": '{"host": "d.test"}'})
    answer = held.explain(question)
    assert not answer.is_served
    assert told in answer.verdict
    assert len(said(answer, "problem")) == 1


# --- hosts that nobody has ---


def test_sources_that_may_have_the_route_are_named() -> None:
    answer = World(lost=True).explain("c.test")
    assert answer.verdict == (
        "no route is for it: the default server answers (it may be in etcd, of which the newest is not known)"
    )
    assert said(answer, "source") == ["etcd: lost: refused"]


def test_nobody_is_said_to_answer_where_nothing_is_proved() -> None:
    answer = World(proved=False, state="waiting", reason="for etcd").explain("c.test")
    assert answer.verdict.startswith("no route is for it, and nothing is proved: waiting: for etcd (is it")
    answer = World(running=False, state="installed", reason="no nginx runs").explain("c.test")
    assert "nothing is proved: installed: no nginx runs (start it with: nginx -c it)" in answer.verdict


def test_a_host_of_an_earlier_run_whose_routes_are_not_known_yet() -> None:
    world = World((), served=World(), forgotten=True, state="waiting", reason="for docker", running=True)
    answer = world.explain("a.test")
    told = "a.test is served as it was proved before; what is new is not in effect: waiting: for docker"
    assert (answer.is_served, answer.verdict) == (True, told)
    assert not world.explain("c.test").is_served
    assert not replace(world, running=None).explain("a.test").is_served


def test_a_path_of_a_host_that_is_not_served() -> None:
    labels = {"proxyconf.host": "a.test", "proxyconf.path": "/x"}
    world = World((replace(WEB, labels=labels),), state="failed", reason="disk full", proved=False)
    told = "the path is nobody's: a.test is not served: failed: disk full"
    assert world.explain("a.test/y").verdict == told
    closed = Problem("host", "a.test", "answers 503, for no certificate is for it (put one)")
    answer = replace(world, proved=True, problems=(closed,)).explain("a.test/y")
    assert answer.verdict == f"the path is nobody's: {closed.why}"


# --- services ---


def test_bad_keys_of_a_service_are_named_with_the_host_that_needs_it() -> None:
    keys = {**KEYS, "services/web/1": "10.0.0.1", "services/web/2": "nowhere:x"}
    answer = World((), keys=keys).explain("b.test")
    assert answer.verdict.startswith(
        "b.test/ answers 503: service 'web' has no endpoint that can be used: etcd key"
        " '/proxyconf/services/web/1': "
    )
    assert len(said(answer, "problem")) == 2
    good = World((), keys={**keys, "services/web/3": "10.0.0.3:80"}).explain("b.test")
    assert good.is_served
    assert len(said(good, "problem")) == 2


def test_a_redirect_is_no_lack_of_endpoints() -> None:
    labels = {"proxyconf.host": "b.test", "proxyconf.redirect": "https://x.test", "proxyconf.www": "true"}
    world = World((other(3, labels=labels, state="exited"),))
    for question, claim, target in (
        ("b.test", "b.test/", "https://x.test"),
        ("www.b.test", "www.b.test/", "b.test"),
    ):
        answer = world.explain(question)
        assert (answer.is_served, answer.verdict) == (
            True,
            f"{claim} is served, since {SINCE}: by a redirect to {target}",
        )
        assert said(answer, "service") == []
    assert not world.explain("web-3").is_served


# --- places as they are printed ---


@pytest.mark.parametrize(
    "question",
    [
        "etcd key '/proxyconf/routes/web'",
        "etcd key '/proxyconf/services/web/1'",
        "etcd key '/proxyconf/services/web/1' (host rule)",
        "container web-1",
        "container web-1 label proxyconf.host",
        "web-1 variable VIRTUAL_HOST",
    ],
)
def test_a_place_is_a_question_as_it_is_printed(question: str) -> None:
    world = World((WEB, other(3, name="etcd", labels={})), keys=KEYS)
    assert world.explain(question).is_served


def test_a_place_in_a_file_is_a_question() -> None:
    """Which is not made of its key."""
    where = "file /etc/proxyconf/sites.toml: routes.blog"
    world = World(keys={"routes/blog": '{"host": "b.test", "path": "nowhere"}'}, where=where)
    answer = world.explain(where)
    assert not answer.is_served
    assert answer.verdict.startswith(f"{where}: ")
    assert "nowhere" in answer.verdict


# --- templates ---

APPLIED = TemplateState(
    dest="/etc/app.conf",
    src="app.tmpl",
    state="applied",
    proof="command",
    applied_at=AT,
    keys=("/app", "/none"),
)
REFUSED = TemplateState(
    dest="/etc/b.conf", src="b.tmpl", state="refused", reason="b.tmpl:1: no key", keys=("/app/x",)
)
PAIRS = {"/app/x": "1", "/app/y": "2", "/other": "3"}


def test_the_file_of_a_template() -> None:
    world = World(pairs=PAIRS, templates=(APPLIED, REFUSED))
    answer = world.explain("/etc/app.conf")
    told = f"/etc/app.conf: applied at {SINCE}, proof: command"
    assert (answer.is_served, answer.verdict) == (True, told)
    assert said(answer, "template") == ["app.tmpl"]
    assert said(answer, "key") == ["/app: 2 at or below it", "/none: none at or below it"]
    answer = world.explain("/etc/b.conf")
    assert (answer.is_served, answer.verdict) == (False, "/etc/b.conf: refused: b.tmpl:1: no key")
    answer = replace(world, pause=True).explain("/etc/app.conf")
    assert answer.verdict == f"{told}; nothing new is applied until proxyconf resume"


@pytest.mark.parametrize("question", ["/app/y", "/app/y/", "etcd '/app/y'"])
def test_a_key_of_a_template(question: str) -> None:
    """Its value may be a secret."""
    world = World(pairs=PAIRS, templates=(APPLIED, REFUSED))
    answer = world.explain(question)
    assert (answer.is_served, answer.verdict) == (True, "etcd '/app/y': is given to /etc/app.conf")
    assert said(answer, "seen") == [f"etcd '/app/y', etcd at {SINCE}"]
    assert said(answer, "template") == [f"/etc/app.conf: applied at {SINCE}, proof: command"]


def test_a_key_of_a_template_that_is_refused_or_of_none() -> None:
    world = World(pairs=PAIRS, templates=(APPLIED, REFUSED))
    answer = world.explain("/app/x")
    assert not answer.is_served
    assert answer.verdict == (
        "etcd '/app/x': is given to /etc/b.conf, which has not taken effect: refused: b.tmpl:1: no key"
    )
    answer = world.explain("/other")
    assert not answer.is_served
    assert answer.verdict == "etcd '/other': is given to no template (add it to the keys of one)"


def test_a_key_that_two_sources_have() -> None:
    answer = World(pairs=PAIRS, more_pairs={"/app/x": "9"}, templates=(APPLIED,)).explain("/app/x")
    assert said(answer, "rival") == ["consul '/app/x', consul at 2027-01-15 08:00:00: yields to it"]


def test_what_is_held_of_a_template() -> None:
    world = World(pairs=PAIRS, templates=(APPLIED, REFUSED)).holding({}, pairs={"/app/x": "1"})
    (problem,) = said(world.explain("/etc/app.conf"), "problem")
    assert problem.startswith("etcd: came back with 1 of 3 keys for templates")
    assert said(world.explain("/etc/b.conf"), "problem") == []


def test_a_container_that_is_only_in_a_held_listing() -> None:
    new = other(5, name="new")
    before, after = World((WEB, other(3), other(4))).known(), World((new,)).known()
    held = Held(after.listings[0], after.claims[0], before.claims[0])
    answer = World((WEB, other(3), other(4)), held=(held,)).explain("new")
    told = "new gets no requests: what docker said last is held"
    assert (answer.is_served, answer.verdict) == (False, told)
    assert len(said(answer, "problem")) == 1


def test_a_route_that_waits_is_not_served_because_its_service_is() -> None:
    """As the one that keeps strangers out of a path: what is asked for there has no effect yet."""
    served = World(containers=(), keys=KEYS)
    new = {"routes/x": '{"host": "b.test", "path": "/admin", "service": "web", "allow": ["10.0.0.0/8"]}'}
    world = replace(served, keys={**KEYS, **new}, served=served, state="paused", running=True, pause=True)
    answer = world.explain("b.test/admin")
    assert not answer.is_served
    assert answer.verdict.startswith("b.test/admin is not served: paused")
    assert not world.explain("routes/x").is_served
