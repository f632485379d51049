"""The live view: what it shows, how it is made to fit, and how it is drawn."""

from __future__ import annotations

import click
import msgspec
import pytest

from proxyconf.api import NginxState, Pass, RouteState, SourceState, Status
from proxyconf.model import Problem
from proxyconf.report import Section
from proxyconf.rows import fit, frame, wrap
from proxyconf.watch import View
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


def shown(view: View, now: float = NOW, height: int = 40, width: int = 160) -> list[str]:
    return [click.unstyle(line) for line in view.lines(now, height, width)]


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
PROBLEMS = "problems (4)| p1| p2| p3| p4"
THREE = f"||routes (5)| r1| r2| ... and 3 more||{PROBLEMS}"


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        pytest.param(
            40, f"{SOURCES}||routes (5)| r1| r2| r3| r4| r5||problems (4)| p1| p2| p3| p4||odd| o1", id="all"
        ),
        pytest.param(19, f"{SOURCES}{THREE}||odd| o1", id="fewer routes"),
        pytest.param(17, f"{SOURCES}{THREE}|no room for odd", id="not the odd one"),
        pytest.param(
            16, f"{SOURCES}||{PROBLEMS}||odd| o1|no room for routes (5)", id="what there is room for"
        ),
        pytest.param(10, f"head||{PROBLEMS}|no room for sources, routes (5), odd", id="problems first"),
        pytest.param(
            4, "head|no room for sources, routes (5), problems (4), odd", id="only what there would be"
        ),
        pytest.param(1, "head", id="one line"),
        pytest.param(0, "", id="none"),
    ],
)
def test_it_fits(height: int, expected: str) -> None:
    made = [click.unstyle(line).replace("  ", " ") for line in fit(["head"], SECTIONS, height, 80)]
    assert "|".join(made) == expected
    assert len(made) <= height


def test_problems_are_seen_whole_in_a_small_terminal() -> None:
    """With the mend, which stands at the end; as many as there is room for, and how many more there are."""
    problems = [
        Problem("route", f"etcd key '/proxyconf/routes/r{number}'", "'a b' is no host name (write one)" * 3)
        for number in range(9)
    ]
    sources = [
        SourceState(name=f"file.{number}", state="watching", since=NOW, listed_at=NOW) for number in range(5)
    ]
    lost = SourceState(name="etcd", state="lost", since=NOW, reason="connection refused " * 5 + "(mend)")
    view = View()
    view.take(
        status(
            routes=50, problems=problems, sources=[*sources, lost], state="failed", reason="x " * 40 + "y"
        ),
        NOW,
    )
    made = shown(view, height=24, width=80)
    assert len(made) <= 24
    assert all(len(line) <= 80 for line in made if " -> " not in line)
    assert made[1:3] == [f"state: failed: {'x ' * 32}", f"  {'x ' * 8}y"]
    at = made.index("sources") + 1
    assert made[at].startswith("  etcd: lost for 0 s: connection refused")
    assert "(mend)" in made[at + 1]
    at = made.index("problems (9)")
    assert made[at + 1].startswith("  route etcd key '/proxyconf/routes/r0': 'a b' is no host name")
    assert made[at + 2].endswith("(write one)")
    assert made[at + 9] == "  ... and 5 more"


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        pytest.param("abc def", ["abc def"], id="it fits"),
        pytest.param("abcdef ghijkl mnop", ["abcdef ", "  ghijkl ", "  mnop"], id="at spaces"),
        pytest.param("abcdefghijklmnopqrst", ["abcdefghij", "  klmnopqr", "  st"], id="without any"),
        pytest.param("a" * 99, ["a" * 10, *["  " + "a" * 8] * 2, "  " + "a" * 73], id="no more than four"),
        pytest.param(
            "\x1b[31mabcdef\x1b[0m ghijkl",
            ["\x1b[31mabcdef\x1b[0m ", "  ghijkl"],
            id="a style that ends",
        ),
        pytest.param(
            "\x1b[31mabcdef ghijkl\x1b[0m",
            ["\x1b[31mabcdef \x1b[0m", "  \x1b[31mghijkl\x1b[0m"],
            id="a style that goes on",
        ),
        pytest.param("", [""], id="nothing"),
    ],
)
def test_a_line_is_wrapped(line: str, rows: list[str]) -> None:
    assert wrap(line, 10) == rows


def test_a_line_that_is_larger_than_its_room_is_shown_in_part() -> None:
    made = fit([], [Section("problems (2)", ["abc " * 60, "x"])], 5, 20)
    assert [click.unstyle(line) for line in made] == [
        "",
        "problems (2)",
        "  " + "abc " * 4,
        "    " + "abc " * 4,
        "  ... and 1 more",
    ]


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
