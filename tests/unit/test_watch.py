"""The live view: what it shows, how it is made to fit, and how it is drawn."""

from __future__ import annotations

import click
import msgspec
import pytest

from proxyconf.api import NginxState, Pass, RouteState, SourceState, Status
from proxyconf.model import Problem
from proxyconf.report import Section
from proxyconf.watch import View, fit, frame
from tests.unit.calling import call

NOW = 1_700_000_000.0
SECTIONS = [
    Section("sources", ["s1", "s2"]),
    Section("routes (5)", ["r1", "r2", "r3", "r4", "r5"]),
    Section("problems (4)", ["p1", "p2", "p3", "p4"]),
    Section("odd", ["o1"]),
]


def status(routes: int = 1, **fields: object) -> Status:
    made = Status(
        nginx=NginxState(mode="own", root="/n", version="1.22.1"),
        pid=7,
        started=NOW - 60,
        version="1.0",
        state="applied",
        sources=[SourceState(name="etcd", state="watching", since=NOW - 60, listed_at=NOW - 3, entries=2)],
        routes=[
            RouteState(host=f"h{number}", path="/", service="web", source="etcd", endpoints=("10.0.0.1:80",))
            for number in range(routes)
        ],
        problems=[Problem("route", "etcd 'b'", "is bad")],
        history=[Pass(at=NOW - 5, result="applied", changed=("+ h0/",))],
    )
    return msgspec.structs.replace(made, **fields)


def shown(view: View, now: float = NOW, height: int = 40) -> list[str]:
    return [click.unstyle(line) for line in view.lines(now, height)]


def test_all_that_there_is() -> None:
    view = View()
    view.take(status(), NOW)
    assert shown(view) == [
        "proxyconf 1.0, pid 7, up 1 min",
        "state: applied",
        "nginx: 1.22.1, mode own, /n",
        "",
        "sources",
        "  etcd: watching for 1 min, 2 entries, last change 3 s ago",
        "",
        "routes (1)",
        "  h0 -> web (10.0.0.1:80) from etcd",
        "",
        "problems (1)",
        "  route etcd 'b': is bad",
        "",
        "last changes",
        "  5 s ago applied: + h0/",
    ]


def test_routes_are_cut_first() -> None:
    view = View()
    view.take(status(routes=100), NOW)
    made = shown(view, height=20)
    assert len(made) == 20
    assert made[7:14] == [
        "routes (100)",
        "  h0 -> web (10.0.0.1:80) from etcd",
        "  h1 -> web (10.0.0.1:80) from etcd",
        "  h2 -> web (10.0.0.1:80) from etcd",
        "  h3 -> web (10.0.0.1:80) from etcd",
        "  h4 -> web (10.0.0.1:80) from etcd",
        "  ... and 95 more",
    ]
    assert made[-1] == "  5 s ago applied: + h0/"


def test_before_the_first_answer() -> None:
    view = View()
    assert shown(view) == ["asking"]
    view.lose("ask /s: no such file (does proxyconf run?)", NOW)
    assert shown(view, NOW + 3) == [
        "no answer for 3 s (asking again): ask /s: no such file (does proxyconf run?)"
    ]


def test_an_end_and_a_new_start() -> None:
    """What was said last stays; that it is another process is news for a while."""
    view = View()
    view.take(status(), NOW)
    view.lose("ask /s: refused", NOW + 1)
    view.lose("ask /s: no such file", NOW + 2)
    made = shown(view, NOW + 5)
    assert made[0] == "no answer for 4 s (below is what it said last; asking again): ask /s: no such file"
    assert made[1] == "proxyconf 1.0, pid 7, up 1 min"
    view.take(status(pid=8, started=NOW + 6), NOW + 7)
    assert shown(view, NOW + 8)[:2] == ["it has been started anew", "proxyconf 1.0, pid 8, up 2 s"]
    assert shown(view, NOW + 18)[0] == "proxyconf 1.0, pid 8, up 12 s"


SOURCES = "head||sources| s1| s2"
THREE = "||routes (5)| r1| r2| ... and 3 more||problems (4)| p1| p2| p3| p4"


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        pytest.param(
            40, f"{SOURCES}||routes (5)| r1| r2| r3| r4| r5||problems (4)| p1| p2| p3| p4||odd| o1", id="all"
        ),
        pytest.param(19, f"{SOURCES}{THREE}||odd| o1", id="fewer routes"),
        pytest.param(16, f"{SOURCES}{THREE}", id="not the odd one"),
        pytest.param(10, f"{SOURCES}||problems (4)| p1| p2| ... and 2 more", id="no routes"),
        pytest.param(4, "head||odd| o1", id="what fits"),
        pytest.param(1, "head", id="one line"),
        pytest.param(0, "", id="none"),
    ],
)
def test_it_fits(height: int, expected: str) -> None:
    made = [click.unstyle(line).replace("  ", " ") for line in fit(["head"], SECTIONS, height)]
    assert "|".join(made) == expected
    assert len(made) <= height


def test_a_frame() -> None:
    """Each line clears what was behind it; the last one does not scroll."""
    red = click.style("abc", fg="red")
    assert frame(["x", red], 10, coloured=True) == f"\x1b[Hx\x1b[K\n{red}\x1b[K\x1b[J"
    assert frame([red], 10, coloured=False) == "\x1b[Habc\x1b[K\x1b[J"


def test_lines_are_cut_to_the_width() -> None:
    """Styles count for nothing, and nothing that came from elsewhere moves the cursor."""
    line = f"ab{click.style('cd', fg='red')}ef\x1b[2Jg\n"
    assert frame([line], 5, coloured=True) == "\x1b[Hab\x1b[31mcd\x1b[0me\x1b[K\x1b[J"
    assert frame(["a\x1b[2Jb\nc"], 9, coloured=True) == "\x1b[Ha [2Jb c\x1b[K\x1b[J"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["--json"], "--watch is for people, and --json for machines", id="json"),
        pytest.param([], "--watch: the output is no terminal", id="no terminal"),
    ],
)
def test_not_here(flags: list[str], message: str) -> None:
    result = call("status", "--watch", "--state", "/none", *flags)
    assert result.exit_code == 2
    assert message in result.stderr
