"""What Prometheus is told, read by its own parser."""

from __future__ import annotations

import platform
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxyconf import __version__
from proxyconf.api import AppliedState, CertificateState, NginxState, Pass, Pause, TemplateState
from proxyconf.board import Board
from proxyconf.metrics import Metrics
from proxyconf.model import Change, Endpoint, Problem, Route, Snapshot
from tests.unit.fakes import listing

APPLIED = AppliedState(digest="d", at=2.5)
SNAPSHOT = Snapshot(
    (Route("a.test", "/", "web", "k", "etcd k", "etcd"),),
    {"web": (Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80"))},
)


@pytest.fixture
def board() -> Board:
    return Board(["etcd", "docker"], NginxState(mode="own", root="/n/nginx.conf", version="1.22.1"))


@pytest.fixture
def metrics(board: Board) -> Metrics:
    return Metrics(board)


def samples(metrics: Metrics) -> dict[str, float]:
    """Return the value of each series."""
    text, _ = metrics.text("")
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def done(result: str = "applied", served_ms: float | None = 40.0, **steps_ms: float) -> Pass:
    return Pass(
        at=1.0, result=result, sources=("etcd",), changed=("+ a",), served_ms=served_ms, steps_ms=steps_ms
    )


EXPECTED = {
    "routes": 1,
    "endpoints": 2,
    "problems": 1,
    "applied_lag_seconds": 0,
    "applied_timestamp_seconds": 2.5,
    "paused": 0,
    "nginx_running": 1,
    "old_workers": 2,
    "old_workers_bytes": 5 << 20,
    "state{state=applied}": 1,
    "state{state=failed}": 0,
    "source_up{source=etcd}": 1,
    "source_up{source=docker}": 0,
    "source_age_seconds{source=etcd}": 0,
    "source_entries{source=etcd}": 3,
    "templates{state=waiting}": 1,
    "templates{state=applied}": 0,
    "certificate_expiry_timestamp_seconds{name=a.test}": 9e9,
}


def test_what_is_so(board: Board, metrics: Metrics) -> None:
    board.source_listed(Change(listing("10.0.0.1:80", "10.0.0.2:80")))
    board.snapshot_made(SNAPSHOT, (Problem("route", "etcd b", "bad"),))
    board.passed(done(), APPLIED)
    board.workers_counted(2, 5 << 20)
    board.certificates_found([CertificateState(name="a.test", file="/c", names=("a.test",), not_after=9e9)])
    board.templates_known([TemplateState(dest="/x", src="x", state="waiting")])
    found = samples(metrics)
    assert {name: found[f"proxyconf_{name}"] for name in EXPECTED} == EXPECTED
    assert (
        f"proxyconf_build_info{{nginx=1.22.1}}{{python={platform.python_version()}}}{{version={__version__}}}"
        in found
    )
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_what_gets_older(board: Board, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is lost, or never spoke, and a change that waits: in a pause, too."""
    board.source_listed(Change(listing("10.0.0.1:80")))
    board.passed(done(), APPLIED)
    board.source_lost("etcd", "gone")
    now = time.time()
    board.behind(now)
    board.paused(Pause(since=now))
    monkeypatch.setattr(time, "time", lambda: now + 50)
    found = samples(metrics)
    for name in ("source_age_seconds{source=etcd}", "source_age_seconds{source=docker}"):
        assert found[f"proxyconf_{name}"] == pytest.approx(50, abs=1)
    assert found["proxyconf_applied_lag_seconds"] == pytest.approx(50)
    assert found["proxyconf_paused"] == 1
    assert "proxyconf_source_listed_timestamp_seconds{source=docker}" not in found


def test_without_a_site_nothing_is_said_of_nginx() -> None:
    board = Board([], NginxState(mode="none", root=""))
    found = samples(Metrics(board))
    names = ("proxyconf_nginx", "proxyconf_old_workers", "proxyconf_applied_timestamp")
    assert [name for name in found if name.startswith(names)] == []


def test_what_attempts_took(board: Board, metrics: Metrics) -> None:
    board.passed(done(check=12, signal=0.3, proof=20), APPLIED)
    found = samples(metrics)
    assert found["proxyconf_event_to_served_seconds_count"] == 1
    assert found["proxyconf_event_to_served_seconds_sum"] == pytest.approx(0.04)
    assert found["proxyconf_event_to_served_seconds_bucket{le=0.05}"] == 1
    assert found["proxyconf_event_to_served_seconds_bucket{le=0.025}"] == 0
    assert found["proxyconf_step_seconds_sum{step=check}"] == pytest.approx(0.012)
    assert not [name for name in found if name.endswith("_created")]


@pytest.mark.parametrize(
    ("attempt", "counted", "observed"),
    [
        pytest.param(done(signal=1, proof=2), "applied", 1, id="reloaded"),
        pytest.param(done(served_ms=None, signal=1, proof=2), "applied", 0, id="reloaded for no change"),
        pytest.param(done(render=1), None, 0, id="served already"),
        pytest.param(done("failed", signal=1, proof=5000), "failed", 0, id="no proof"),
        pytest.param(done("refused", signal=1), "refused", 0, id="only templates were loaded"),
        pytest.param(done("refused", check=1), None, 0, id="refused by the check"),
        pytest.param(done("installed", check=1), None, 0, id="no nginx runs"),
    ],
)
def test_which_are_reloads(
    board: Board, metrics: Metrics, attempt: Pass, counted: str | None, observed: int
) -> None:
    if attempt.result == "applied":
        board.passed(attempt, APPLIED)
    else:
        board.failed(attempt)
    found = samples(metrics)
    reloads = {
        result: found[f"proxyconf_reloads_total{{result={result}}}"]
        for result in ("applied", "refused", "failed")
    }
    assert reloads == {result: float(result == counted) for result in reloads}
    assert found["proxyconf_event_to_served_seconds_count"] == observed
