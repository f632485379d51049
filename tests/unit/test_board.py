"""The board: what is so, what happened, and one line in the log for each change of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from structlog.testing import capture_logs

from proxyconf.api import (
    AppliedState,
    CertificateState,
    ChildState,
    NginxState,
    Pass,
    Pause,
    RouteState,
    TemplateState,
)
from proxyconf.board import Board
from proxyconf.held import Held
from proxyconf.model import UNASKED, Change, Container, Endpoint, Idle, Listing, Problem, Route, Snapshot
from proxyconf.options import LocationOptions, Options
from proxyconf.routing import Reader
from tests.unit.fakes import addresses, listing

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

APPLIED = AppliedState(digest="0123456789abcdef", at=5.0)
ROUTE = Route("a.test", "/x", "web", "routes/web", "etcd routes/web", "etcd")
SNAPSHOT = Snapshot((ROUTE,), {"web": (Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80"))})
BAD, WORSE = Problem("route", "etcd a", "bad"), Problem("route", "etcd b", "worse")


@pytest.fixture
def board() -> Board:
    return Board(["etcd", "docker"], NginxState(mode="own", root="/n/nginx.conf", start="nginx -c it"))


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, object]]]:
    with capture_logs() as found:
        yield found


def done(
    result: str = "applied",
    reason: str = "",
    changed: tuple[str, ...] = ("+ a.test/",),
    *,
    proved: bool = True,
) -> Pass:
    steps = {"check": 1.0, "proof": 2.0} if proved else {"render": 1.0}
    return Pass(
        at=9.0,
        result=result,
        sources=("etcd",),
        changed=changed,
        served_ms=12.6,
        steps_ms=steps,
        reason=reason,
    )


def events(logs: list[MutableMapping[str, object]]) -> list[object]:
    return [line["event"] for line in logs]


def test_it_starts_with_nothing(board: Board) -> None:
    status = board.status()
    assert (status.state, status.applied, status.routes, status.history) == ("starting", None, [], [])
    assert [(source.name, source.state, source.listed_at) for source in status.sources] == [
        ("etcd", "starting", None),
        ("docker", "starting", None),
    ]
    assert not board.is_applied


def test_a_source_that_lists(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    """Logged once, as long as it is there."""
    before = time.time()
    board.source_listed(Change(listing("10.0.0.1:80", revision=5), fresh=True))
    board.source_listed(Change(listing("10.0.0.1:80", "10.0.0.2:80", revision=6)))
    containers = tuple(Container(str(number), "web", {}, "running") for number in range(3))
    board.source_listed(Change(Listing("docker", containers=containers)))
    etcd, docker = board.status().sources
    assert (etcd.state, etcd.entries, etcd.revision, docker.entries) == ("watching", 3, 6, 3)
    assert etcd.listed_at is not None
    assert before <= etcd.since <= etcd.listed_at <= time.time()
    assert logs == [
        {"event": "source.listed", "source": "etcd", "entries": 2, "log_level": "info"},
        {"event": "source.listed", "source": "docker", "entries": 3, "log_level": "info"},
    ]


def test_a_source_of_which_nothing_is_wanted(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    """It may not even be there, so it is not said to have listed anything."""
    board.source_listed(Change(Listing("etcd", unasked=True)))
    assert (board.status().sources[0].state, board.status().sources[0].reason) == ("watching", UNASKED)
    assert logs == [{"event": "source.passed_over", "source": "etcd", "reason": UNASKED, "log_level": "info"}]


def test_a_source_that_is_lost_and_found(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    """What it had stays in sight; the supervisor has logged the loss."""
    board.source_listed(Change(listing("10.0.0.1:80", revision=5)))
    board.source_lost("etcd", "gone")
    etcd = board.status().sources[0]
    since = etcd.since
    assert (etcd.state, etcd.reason, etcd.entries, etcd.revision) == ("lost", "gone", 2, 5)
    board.source_lost("etcd", "still gone")
    assert (etcd.reason, etcd.since) == ("still gone", since)
    board.source_listed(Change(listing("10.0.0.1:80", revision=7)))
    assert (etcd.state, etcd.reason, etcd.revision) == ("watching", "", 7)
    assert events(logs) == ["source.listed", "source.listed"]


def test_nothing_is_served_while_no_nginx_runs(board: Board) -> None:
    """What it serves after a start, it serves since then."""
    board.snapshot_made(SNAPSHOT, ())
    board.passed(done(), APPLIED)
    assert board.since.route("a.test/x") == (ROUTE, 9.0)
    board.failed(done("installed", "no nginx runs"))
    status = board.status()
    assert (status.state, status.nginx.running, status.applied) == ("installed", False, None)
    assert board.since.route("a.test/x") is None
    board.passed(msgspec.structs.replace(done(), at=20.0), APPLIED)
    assert board.status().applied == APPLIED
    assert board.since.route("a.test/x") == (ROUTE, 20.0)


@pytest.mark.parametrize(("state", "running"), [("down", False), ("running", True), ("adopted", True)])
def test_an_nginx_that_is_ours_to_start_is_seen_to_run(board: Board, state: str, *, running: bool) -> None:
    board.child_noted(ChildState(command="nginx", state="waiting", since=1.0))
    assert board.nginx.running is None
    board.child_noted(ChildState(command="nginx", state=state, since=1.0))
    assert board.nginx.running is running


def test_templates_have_their_causes_in_the_history(board: Board) -> None:
    template = TemplateState(dest="/etc/x", src="x", state="refused", reason="bad", causes=("etcd", "resume"))
    board.template_noted(template)
    (kept,) = board.status().history
    assert (kept.result, kept.sources, kept.asked, kept.changed, kept.reason) == (
        "refused",
        ("etcd",),
        ("resume",),
        ("~ /etc/x",),
        "bad",
    )


def test_routes_have_their_endpoints(board: Board) -> None:
    gone = Route("b.test", "/", "gone", "routes/b", "etcd routes/b", "etcd")
    board.snapshot_made(Snapshot((ROUTE, gone), SNAPSHOT.services), ())
    assert board.status().routes == [
        RouteState(
            host="a.test",
            path="/x",
            service="web",
            source="etcd routes/web",
            endpoints=("10.0.0.1:80", "10.0.0.2:80"),
        ),
        RouteState(
            host="b.test",
            path="/",
            service="gone",
            source="etcd routes/b",
            endpoints=(),
            answers="503, for there is no endpoint",
        ),
    ]


def asking(**options: object) -> Route:
    return replace(ROUTE, options=Options(LocationOptions(**options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("route", "problems", "answers"),
    [
        pytest.param(ROUTE, (), "", id="passed on"),
        pytest.param(ROUTE, (BAD,), "", id="another's problem"),
        pytest.param(asking(maintenance=True), (), "503, for maintenance", id="maintenance"),
        pytest.param(asking(redirect="https://b.test"), (), "a redirect to https://b.test", id="redirect"),
        pytest.param(asking(redirect="//b.test"), (), "a redirect to b.test", id="www twin"),
        pytest.param(
            asking(redirect="//b.test"),
            (Problem("host", "a.test", "answers 503, for no certificate is for it (put one)"),),
            "503: no certificate is for it (put one)",
            id="closed host",
        ),
        pytest.param(
            ROUTE,
            (Problem("route", "etcd routes/web", "answers 503, for this nginx lacks something"),),
            "503: this nginx lacks something",
            id="closed route",
        ),
        pytest.param(
            ROUTE,
            (Problem("host", "a.test", "nginx refuses it: x (it answers 503)"),),
            "503: nginx refuses it: x (it answers 503)",
            id="refused host",
        ),
        pytest.param(
            ROUTE,
            (Problem("service", "web", "nginx refuses it: x (it is left out)"),),
            "503: nginx refuses it: x (it is left out)",
            id="refused service",
        ),
    ],
)
def test_routes_have_what_they_answer(
    board: Board, route: Route, problems: tuple[Problem, ...], answers: str
) -> None:
    board.snapshot_made(Snapshot((route,), SNAPSHOT.services), problems)
    assert [one.answers for one in board.status().routes] == [answers]


def test_what_is_held_is_told_of_the_source_and_its_routes(board: Board) -> None:
    before, after = (Reader().read(listing(*addresses(count))) for count in (3, 1))
    (route,) = before.routes
    held = Held(listing(*addresses(1)), after, before)
    snapshot = Snapshot((ROUTE, route), SNAPSHOT.services)
    board.snapshot_made(snapshot, (), (held,))
    status = board.status()
    assert [(one.host, one.held) for one in status.routes] == [("a.test", True), ("web.test", True)]
    assert [(one.name, one.held.partition(",")[0]) for one in status.sources] == [
        ("etcd", "came back with 1 of 3 endpoints"),
        ("docker", ""),
    ]
    board.snapshot_made(snapshot, ())
    status = board.status()
    assert not any(route.held for route in status.routes)
    assert not any(source.held for source in status.sources)


def test_containers_that_get_no_requests_are_not_logged(
    board: Board, logs: list[MutableMapping[str, object]]
) -> None:
    idle = Idle("web-1", "it has ended")
    board.snapshot_made(Snapshot(idle=(idle,)), ())
    assert (board.status().idle, events(logs)) == ([idle], [])


def test_problems_are_logged_when_they_come_and_go(
    board: Board, logs: list[MutableMapping[str, object]]
) -> None:
    for problems in [(BAD,), (BAD, WORSE), (WORSE,), (), ()]:
        board.snapshot_made(SNAPSHOT, problems)
        assert board.status().problems == list(problems)
    assert logs == [
        {"event": "problem.found", "what": "route", "where": "etcd a", "why": "bad", "log_level": "warning"},
        {
            "event": "problem.found",
            "what": "route",
            "where": "etcd b",
            "why": "worse",
            "log_level": "warning",
        },
        {"event": "problem.solved", "what": "route", "where": "etcd a", "log_level": "info"},
        {"event": "problem.solved", "what": "route", "where": "etcd b", "log_level": "info"},
    ]


def test_a_pass(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    board.snapshot_made(SNAPSHOT, ())
    board.passed(done(), APPLIED)
    status = board.status()
    assert (status.state, status.applied, status.nginx.running) == ("applied", APPLIED, True)
    assert status.history == [done()]
    assert board.is_applied
    assert logs == [
        {
            "event": "site.applied",
            "served_ms": 13,
            "sources": "etcd",
            "changed": "+ a.test/",
            "routes": 1,
            "digest": "0123456789ab",
            "log_level": "info",
        }
    ]


def test_a_pass_that_did_nothing_is_not_told(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    board.passed(done(), APPLIED)
    board.passed(done(changed=(), proved=False), APPLIED)
    assert len(board.status().history) == len(logs) == 1
    board.passed(done(changed=(), proved=True), APPLIED)
    assert len(board.status().history) == len(logs) == 2


def test_of_many_changes_some_are_logged(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    changed = tuple(f"+ {number}" for number in range(15))
    board.passed(done(changed=changed), APPLIED)
    assert logs[0]["changed"] == ", ".join([*changed[:12], "and 3 more"])
    assert board.status().history[0].changed == changed


def test_a_pass_nobody_caused(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    board.passed(Pass(at=1.0, result="applied"), APPLIED)
    assert (logs[0]["sources"], logs[0]["changed"]) == ("none", "nothing")


@pytest.mark.parametrize(
    ("result", "line"),
    [
        pytest.param("failed", {"event": "site.failed", "reason": "why", "log_level": "error"}, id="failed"),
        pytest.param(
            "refused", {"event": "site.refused", "reason": "why", "log_level": "error"}, id="refused"
        ),
        pytest.param(
            "installed",
            {
                "event": "nginx.not_running",
                "start": "nginx -c it",
                "reason": "why",
                "log_level": "warning",
            },
            id="not running",
        ),
    ],
)
def test_a_failure_is_told_once(
    board: Board, logs: list[MutableMapping[str, object]], result: str, line: dict[str, object]
) -> None:
    board.passed(done(), APPLIED)
    for _ in range(3):
        board.failed(done(result, "why"))
    assert logs[1:] == [line]
    assert [one.result for one in board.status().history] == ["applied", result]
    assert (board.status().state, board.status().reason) == (result, "why")
    assert board.status().applied == (None if result == "installed" else APPLIED)
    assert not board.is_applied
    board.failed(done(result, "another reason"))
    assert len(logs) == 3


def test_after_a_failure_a_pass_is_told_though_nothing_changed(
    board: Board, logs: list[MutableMapping[str, object]]
) -> None:
    board.failed(done("installed", "none"))
    assert board.status().nginx.running is False
    board.passed(done(changed=(), proved=False), APPLIED)
    assert board.status().nginx.running is True
    assert events(logs) == ["nginx.not_running", "nginx.running"]
    assert "served_ms" not in logs[-1], "nginx was waited for"


def test_an_nginx_that_is_ours_to_start(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    """Nobody is told to start it, and that it is down is a problem."""
    child = ChildState(command="nginx -g 'daemon off;'", state="waiting", since=1.0)
    board.child_noted(child)
    assert not board.in_place.is_set()
    board.failed(done("installed", "none"))
    assert board.in_place.is_set()
    assert (logs, board.status().child, board.status().problems) == ([], child, [])
    board.child_noted(msgspec.structs.replace(child, state="down", reason="it crashes"))
    assert board.status().problems == [Problem("nginx", child.command, "it crashes")]


def test_a_refusal_does_not_say_that_nginx_runs(board: Board) -> None:
    board.failed(done("installed", "none"))
    board.failed(done("refused", "bad"))
    assert board.status().nginx.running is False
    board.failed(Pass(at=1.0, result="failed", steps_ms={"signal": 0.1}))
    assert board.status().nginx.running is True


def test_to_wait_is_told_once_per_reason(board: Board, logs: list[MutableMapping[str, object]]) -> None:
    for reason in ("for etcd, docker", "for etcd", "for etcd"):
        board.waiting(reason)
    assert [line["reason"] for line in logs] == ["for etcd, docker", "for etcd"]
    assert (board.status().state, board.status().reason) == ("waiting", "for etcd")


def test_the_history_is_bounded(board: Board) -> None:
    """In passes, and in what each of them changed; the log and status say that there was more."""
    for number in range(150):
        board.passed(done(changed=(f"+ {number}",)), APPLIED)
    history = board.status().history
    assert [one.changed for one in history] == [(f"+ {number}",) for number in range(50, 150)]
    many = tuple(f"+ {number}" for number in range(5000))
    board.passed(done(changed=many), APPLIED)
    assert (board.status().history[-1].changed, board.status().history[-1].more) == (many[:100], 4900)


def test_who_watches_is_told_of_every_attempt(board: Board) -> None:
    """Also of those that are told once only; but not of a look that found nothing to do."""
    seen: list[Pass] = []
    board.observe(seen.append)
    for _ in range(3):
        board.failed(done("failed", "why"))
    board.passed(done(), APPLIED)
    board.passed(done(changed=(), proved=False), APPLIED)
    assert [one.result for one in seen] == ["failed", "failed", "failed", "applied"]


def test_sources_may_be_optional(board: Board) -> None:
    """That can be another one when the configuration is read again."""
    board.sources_known(["etcd", "docker"], optional={"docker"})
    assert [source.required for source in board.status().sources] == [True, False]
    board.sources_known(["etcd", "docker"])
    assert [source.required for source in board.status().sources] == [True, True]


def test_since_when_what_is_served_is_not_what_it_should_be(board: Board) -> None:
    """From the start on; then from the oldest change, or from what went wrong without one."""
    assert board.status().behind_since == board.status().started
    board.passed(done(), APPLIED)
    assert board.status().behind_since is None
    board.behind(7.0)
    board.behind(8.0)
    board.failed(done("failed", "why"))
    assert board.status().behind_since == 7.0
    board.passed(done(), APPLIED)
    before = time.time()
    board.failed(done("installed", "none"))
    since = board.status().behind_since
    assert since is not None
    assert since >= before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param((), "what is new waits", id="unknown"),
        pytest.param(("+ a",), "1 change waits", id="one"),
        pytest.param(("+ a", "- b"), "2 changes wait", id="two"),
    ],
)
def test_what_a_pause_holds_back(
    board: Board, logs: list[MutableMapping[str, object]], changes: tuple[str, ...], reason: str
) -> None:
    board.passed(done(), APPLIED)
    board.paused(Pause(since=5.0, reason="moving"))
    assert (board.status().state, board.status().paused) == ("applied", Pause(since=5.0, reason="moving"))
    for _ in range(2):
        board.held(changes)
    status = board.status()
    assert (status.state, status.reason) == ("paused", f"{reason} (to go on: proxyconf resume)")
    assert events(logs) == ["site.applied", "reconcile.paused"]
    board.paused(None)
    board.passed(done(), APPLIED)
    assert (board.status().state, board.status().paused) == ("applied", None)


def test_old_workers_are_counted(board: Board) -> None:
    board.workers_counted(3, 1 << 20)
    assert (board.status().nginx.old_workers, board.status().nginx.old_workers_bytes) == (3, 1 << 20)


def test_certificates_are_told_of_when_they_are_others() -> None:
    """A renewal changes no route, so that nothing else would tell of it."""
    board = Board((), NginxState(mode="own", root=""))

    def found(**ends: float) -> list[tuple[str, str]]:
        with capture_logs() as logs:
            board.certificates_found(
                CertificateState(name=name, file=f"/certs/{name}.crt", names=("a.test",), not_after=end)
                for name, end in ends.items()
            )
        return [(one["event"], one["name"]) for one in logs]

    assert found(a=1.0, b=1.0) == [("certificate.found", "a"), ("certificate.found", "b")]
    assert found(a=1.0, b=1.0) == []
    assert found(b=2.0) == [("certificate.renewed", "b"), ("certificate.gone", "a")]
