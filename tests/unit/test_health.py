"""When a probe is told that all is well."""

from __future__ import annotations

import msgspec
import pytest

from proxyconf.api import NginxState, SourceState, Status
from proxyconf.health import liveness, readiness
from proxyconf.progress import Progress

NOW = 1000.0
WATCHED = SourceState(name="etcd", state="watching", since=10.0, listed_at=11.0)


def status(state: str = "applied", reason: str = "") -> Status:
    """Return such a state, with two sources that are watched."""
    sources = [WATCHED, WATCHED]
    return Status(nginx=NginxState(mode="own", root="/n"), state=state, reason=reason, sources=sources)


@pytest.mark.parametrize(
    ("shown", "reasons"),
    [
        pytest.param(status(), (), id="applied"),
        pytest.param(status("refused", "bad"), ("refused: bad",), id="refused"),
        pytest.param(status("starting"), ("starting",), id="starting"),
    ],
)
def test_what_is_served_must_be_what_it_should_be(shown: Status, reasons: tuple[str, ...]) -> None:
    found = readiness(shown, stale_after_s=60, now=NOW)
    assert (found.ok, found.reasons) == (not reasons, reasons)


def test_nobody_is_served_while_no_nginx_runs() -> None:
    """Also before the loop that applies changes has looked."""
    shown = status()
    shown.nginx.running = False
    assert readiness(shown, stale_after_s=60, now=NOW).reasons == ("no nginx runs",)


def source(**values: object) -> Status:
    shown = status()
    shown.sources[1] = msgspec.structs.replace(WATCHED, **values)
    return shown


@pytest.mark.parametrize(
    ("shown", "reasons"),
    [
        pytest.param(source(since=0.0), (), id="watched for long"),
        pytest.param(source(state="lost", since=NOW - 60), (), id="lost for a while"),
        pytest.param(
            source(state="lost", since=NOW - 61, reason="gone"),
            ("source etcd: lost for 61 s: gone",),
            id="lost for too long",
        ),
        pytest.param(source(state="lost", since=NOW - 61, required=False), (), id="not required"),
        pytest.param(
            source(state="starting", listed_at=None),
            ("source etcd: has not said yet what it has",),
            id="silent",
        ),
        pytest.param(
            source(state="lost", listed_at=None, since=NOW, reason="refused"),
            ("source etcd: refused",),
            id="never there",
        ),
    ],
)
def test_required_sources_must_be_fresh(shown: Status, reasons: tuple[str, ...]) -> None:
    found = readiness(shown, stale_after_s=60, now=NOW)
    assert (found.ok, found.reasons) == (not reasons, reasons)


def test_alive_is_who_moves_on() -> None:
    clock = [0.0]
    progress = Progress(lambda: clock[0])
    progress.promise()
    assert liveness(progress).ok
    clock[0] = 1000.0
    assert not liveness(progress).ok
