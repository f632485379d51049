"""The state as text for people, and as JSON."""

from __future__ import annotations

import json
import time

import click
import msgspec
import pytest

from proxyconf.api import AppliedState, ChildState, NginxState, Pass, Pause, RouteState, SourceState, Status
from proxyconf.model import Idle, Problem
from proxyconf.report import as_json, as_text, history_as_text, outcome_line

NOW = 1_700_000_000.0
NGINX = NginxState(mode="own", root="/s/nginx/nginx.conf", version="1.22.1", running=True, start="nginx -c x")


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def source(name: str = "etcd", **values: object) -> SourceState:
    made = SourceState(name=name, state="watching", since=NOW - 90, listed_at=NOW - 5, revision=7, entries=12)
    return msgspec.structs.replace(made, **values)


def route(path: str = "/", endpoints: int = 1) -> RouteState:
    addresses = tuple(f"10.0.0.{number}:80" for number in range(endpoints))
    return RouteState(host="a.test", path=path, service="web", source="etcd routes/a", endpoints=addresses)


def status(state: str = "applied", **values: object) -> Status:
    made = Status(
        nginx=NGINX,
        version="1.2.3",
        pid=42,
        started=NOW - 7200,
        state=state,
        applied=AppliedState(digest="0123456789abcdef", at=NOW - 60),
        sources=[source()],
        routes=[route()],
    )
    return msgspec.structs.replace(made, **values)


def lines(shown: Status) -> list[str]:
    return click.unstyle(as_text(shown)).splitlines()


def test_what_a_person_wants_to_know() -> None:
    assert lines(status()) == [
        "proxyconf 1.2.3, pid 42, up 2 h",
        "state: applied",
        "nginx: 1.22.1, mode own, /s/nginx/nginx.conf",
        "applied: 0123456789ab, proved by nonce: nginx answered with it, 1 min ago",
        "",
        "sources",
        "  etcd: watching for 2 min, 12 entries, last change 5 s ago, revision 7",
        "",
        "routes (1)",
        "  a.test -> web (10.0.0.0:80) from etcd routes/a",
    ]


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        pytest.param(status("failed", reason="no proof"), "state: failed: no proof", id="reason"),
        pytest.param(
            status("failed"), "routes (1, as asked for; nginx may not serve all of them yet)", id="not served"
        ),
        pytest.param(
            status("installed", nginx=msgspec.structs.replace(NGINX, running=False)),
            "       does not run; start it with: nginx -c x",
            id="nginx does not run",
        ),
        pytest.param(
            status(child=ChildState(command="nginx", state="waiting", since=NOW)),
            "       is started when the first configuration is in place",
            id="nginx waits",
        ),
        pytest.param(
            status(child=ChildState(command="nginx", state="running", since=NOW - 60, pid=8)),
            "       started by us 1 min ago, pid 8",
            id="nginx is ours",
        ),
        pytest.param(
            status(child=ChildState(command="nginx", state="adopted", since=NOW, pid=8)),
            "       pid 8 ran before we did, and is left running at our end",
            id="nginx was there",
        ),
        pytest.param(
            status(child=ChildState(command="nginx", state="down", since=NOW, restarts=2, reason="gone")),
            "       gone, 2 restarts",
            id="nginx is down",
        ),
        pytest.param(
            status(child=ChildState(command="nginx", state="stopping", since=NOW - 3, pid=8)),
            "       pid 8 finishes the requests that it has, for 3 s now",
            id="nginx is drained",
        ),
        pytest.param(
            status(nginx=msgspec.structs.replace(NGINX, old_workers=2, old_workers_bytes=5 << 20)),
            "       2 old workers finish what they have and hold 5 MiB",
            id="old workers",
        ),
        pytest.param(
            status(sources=[source(state="starting", listed_at=None, revision=0, since=NOW)]),
            "  etcd: starting for 0 s",
            id="a source that starts",
        ),
        pytest.param(
            status(sources=[source(state="lost", reason="refused", revision=0)]),
            "  etcd: lost for 2 min, 12 entries, last change 5 s ago: refused",
            id="a lost source",
        ),
        pytest.param(
            status(routes=[route("/x", 4)]),
            "  a.test/x -> web (10.0.0.0:80, 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80) from etcd routes/a",
            id="four endpoints",
        ),
        pytest.param(
            status(routes=[route("/", 6)]),
            "  a.test -> web (10.0.0.0:80, 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 and 2 more)"
            " from etcd routes/a",
            id="six endpoints",
        ),
        pytest.param(
            status(routes=[msgspec.structs.replace(route(), answers="503, for maintenance")]),
            "  a.test -> web (503, for maintenance) from etcd routes/a",
            id="a route that asks no service",
        ),
        pytest.param(
            status(routes=[msgspec.structs.replace(route(), held=True)]),
            "  a.test -> web (10.0.0.0:80) from etcd routes/a, held as it was",
            id="a held route",
        ),
        pytest.param(
            status(sources=[source(held="came back with 1 of 3", since=NOW)]),
            "  etcd: watching for 0 s, 12 entries, last change 5 s ago, revision 7; held:"
            " came back with 1 of 3",
            id="a held source",
        ),
        pytest.param(
            status(problems=[Problem("route", "etcd b", "bad (mend it)")]),
            "  route etcd b: bad (mend it)",
            id="a problem",
        ),
        pytest.param(
            status(paused=Pause(since=NOW - 300, reason="moving")),
            "paused: for 5 min (moving); nothing is applied until proxyconf resume",
            id="paused for a reason",
        ),
        pytest.param(
            status("paused", reason="1 change waits", paused=Pause(since=NOW - 3)),
            "paused: for 3 s; nothing is applied until proxyconf resume",
            id="paused",
        ),
        pytest.param(
            status(idle=[Idle("web-1", "it has ended")]), "  web-1: it has ended", id="an idle container"
        ),
        pytest.param(status(started=NOW - 3 * 86400), "proxyconf 1.2.3, pid 42, up 3 d", id="days"),
        pytest.param(status(started=NOW + 60), "proxyconf 1.2.3, pid 42, up 0 s", id="a clock set back"),
    ],
)
def test_what_else_there_may_be(shown: Status, line: str) -> None:
    assert line in lines(shown)


def test_nothing_is_said_of_what_there_is_not() -> None:
    text = "\n".join(lines(status(applied=None)))
    for word in ("applied:", "problems", "containers", "last changes", "does not run", "old workers"):
        assert word not in text


def test_the_last_changes_come_newest_first() -> None:
    done = [
        Pass(at=NOW - 100 + number, result="applied", changed=(f"+ {number}",), served_ms=12.6)
        for number in range(8)
    ]
    found = lines(status(history=done))
    start = found.index("last changes") + 1
    assert [line.split(": ")[1].split(";")[0] for line in found[start:]] == [
        f"+ {n}" for n in (7, 6, 5, 4, 3)
    ]


@pytest.mark.parametrize(
    ("done", "line"),
    [
        pytest.param(
            Pass(
                at=NOW - 9,
                result="applied",
                changed=("+ a", "- b", "+ c", "+ d"),
                served_ms=45.6,
                steps_ms={"render": 0.25, "check": 12.0},
            ),
            "  9 s ago applied: + a, - b, + c ...; served after 46 ms (render 0.25, check 12 ms)",
            id="applied",
        ),
        pytest.param(
            Pass(at=NOW - 9, result="refused", changed=("+ a", "- b", "+ c"), reason="bad"),
            "  9 s ago refused: + a, - b, + c; bad",
            id="refused",
        ),
        pytest.param(
            Pass(at=NOW - 9, result="failed", reason="no proof"),
            "  9 s ago failed: nothing new; no proof",
            id="nothing new",
        ),
    ],
)
def test_a_change(done: Pass, line: str) -> None:
    assert lines(status(history=[done]))[-1] == line


DONE = Pass(
    at=NOW - 9,
    result="applied",
    sources=("etcd",),
    asked=("resume",),
    changed=tuple(f"+ {number}" for number in range(12)),
    more=4900,
    served_ms=45.6,
    steps_ms={"render": 0.25, "check": 12.0},
)


def test_the_history_of_attempts() -> None:
    """What caused each, what it changed, what each step took; in the order given."""
    early, late = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) for at in (NOW - 9, NOW))
    refused = Pass(at=NOW, result="refused", reason="bad", changed=("- a",), steps_ms={"check": 3.0})
    template = Pass(at=NOW, result="applied", changed=("~ /etc/x",))
    by_etcd = msgspec.structs.replace(template, sources=("etcd",))
    assert click.unstyle(history_as_text([DONE, refused, template, by_etcd])).splitlines() == [
        f"{early} applied, by etcd, resume, served after 46 ms",
        *(f"    + {number}" for number in range(10)),
        "    and 4902 more",
        "    render 0.25, check 12 ms",
        f"{late} refused, by nginx",
        "    bad",
        "    - a",
        "    check 3 ms",
        f"{late} applied",
        "    ~ /etc/x",
        f"{late} applied, by etcd",
        "    ~ /etc/x",
    ]
    assert history_as_text([]) == "nothing yet"
    assert msgspec.json.decode(as_json([DONE, refused]), type=list[Pass]) == [DONE, refused]


def test_the_state_has_a_colour() -> None:
    assert click.style("applied", fg="green") in as_text(status())
    assert click.style("refused", fg="red") in as_text(status("refused"))
    assert click.style("waiting", fg="yellow") in as_text(status("waiting"))


def test_json_has_everything() -> None:
    shown = status(problems=[Problem("route", "etcd b", "bad")], history=[Pass(at=1.0, result="applied")])
    text = as_json(shown)
    assert msgspec.json.decode(text, type=Status) == shown
    assert json.loads(text)["problems"] == [{"what": "route", "where": "etcd b", "why": "bad"}]
    assert '\n  "state": "applied"' in text


SILENT = [
    source(),
    source("docker", listed_at=None, reason="permission denied"),
    source("file", listed_at=None),
]


@pytest.mark.parametrize(
    ("shown", "settled", "line"),
    [
        pytest.param(status(), True, "applied: nginx serves 1 route, 0 problems", id="applied"),
        pytest.param(
            status("installed"),
            True,
            "installed and checked: 1 route, 0 problems; no nginx runs; start it with: nginx -c x",
            id="installed",
        ),
        pytest.param(status("refused", reason="bad"), True, "not applied: refused: bad", id="refused"),
        pytest.param(
            status("applied", sources=SILENT),
            False,
            "not applied: docker: permission denied; file: no word yet",
            id="what was saved is applied, but not all have spoken",
        ),
        pytest.param(
            status("waiting", reason="for etcd"), False, "not applied: waiting: for etcd", id="waiting"
        ),
        pytest.param(status("starting"), False, "not applied: starting: no outcome in time", id="too soon"),
    ],
)
def test_how_once_ended(shown: Status, *, settled: bool, line: str) -> None:
    assert outcome_line(shown, settled=settled) == line
