"""The board: what is so, what happened, and one line in the log for each change of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxyconf.board import AppliedState, Board, NginxState, Pass, RouteState
from proxyconf.model import Change, Container, Endpoint, Idle, Listing, Problem, Route, Snapshot
from tests.unit.fakes import listing

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
        RouteState(host="b.test", path="/", service="gone", source="etcd routes/b", endpoints=()),
    ]


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
            {"event": "nginx.not_running", "start": "nginx -c it", "log_level": "warning"},
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
    assert board.status().applied == APPLIED
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
    for number in range(50):
        board.passed(done(changed=(f"+ {number}",)), APPLIED)
    assert [one.changed for one in board.status().history] == [(f"+ {number}",) for number in range(30, 50)]


def test_old_workers_are_counted(board: Board) -> None:
    board.workers_counted(3, 1 << 20)
    assert (board.status().nginx.old_workers, board.status().nginx.old_workers_bytes) == (3, 1 << 20)
