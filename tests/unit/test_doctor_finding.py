"""What the doctor has found, as lines and as JSON; and what it makes of two clocks."""

from __future__ import annotations

import json

import click
import pytest

from proxyconf.doctor.clock import agreement, header_time
from proxyconf.doctor.finding import as_json, as_text, of_message, ok, report, warning, wrong

FOUND = (ok("nginx", "runs"), warning("etcd", "is slow"), wrong("listen", ":80 is taken", "stop it"))


def test_a_line_for_each_and_one_for_all() -> None:
    assert click.unstyle(as_text(report(FOUND))).splitlines() == [
        "ok       nginx   runs",
        "warning  etcd    is slow",
        "wrong    listen  :80 is taken (stop it)",
        "",
        "1 wrong, 1 warning, 1 ok",
    ]


def test_the_level_has_a_colour() -> None:
    assert as_text(report(FOUND)).startswith("\x1b[32mok")


def test_nothing_was_looked_at() -> None:
    assert as_text(report(())) == "\n0 wrong, 0 warnings, 0 ok"


def test_json() -> None:
    assert json.loads(as_json(report(FOUND[1:]))) == {
        "well": False,
        "findings": [
            {"level": "warning", "what": "etcd", "says": "is slow", "mend": ""},
            {"level": "wrong", "what": "listen", "says": ":80 is taken", "mend": "stop it"},
        ],
    }


def test_warnings_are_well() -> None:
    assert report(FOUND[:2]).well


@pytest.mark.parametrize(
    ("message", "says", "mend"),
    [
        pytest.param("ask x: refused", "ask x: refused", "", id="no mend"),
        pytest.param("ask x: refused (start it)", "ask x: refused", "start it", id="mend"),
        pytest.param("ask x (y): no (do (this))", "ask x (y): no", "do (this)", id="parentheses in it"),
        pytest.param("odd)", "odd)", "", id="no beginning"),
    ],
)
def test_the_mend_of_a_message(message: str, says: str, mend: str) -> None:
    found = of_message("wrong", "x", message)
    assert (found.says, found.mend) == (says, mend)
    assert str(found) == message


@pytest.mark.parametrize(
    ("ahead_s", "level", "says"),
    [
        pytest.param(0.3, "ok", "its clock and ours agree within 1 s", id="agree"),
        pytest.param(-4.2, "ok", "its clock and ours agree within 4 s", id="nearly"),
        pytest.param(7.0, "warning", "our clock is 7 s ahead of its own", id="ahead"),
        pytest.param(-3600.0, "warning", "our clock is 3600 s behind its own", id="behind"),
    ],
)
def test_clocks(ahead_s: float, level: str, says: str) -> None:
    found = agreement("etcd", 1000.0, 1000.0 + ahead_s)
    assert (found.level, found.says) == (level, says)
    assert bool(found.mend) == (level == "warning")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param("Thu, 01 Jan 1970 00:01:40 GMT", 100.5, id="date"),
        pytest.param("", None, id="none"),
        pytest.param("yesterday", None, id="nonsense"),
    ],
)
def test_the_date_of_an_answer(date: str, expected: float | None) -> None:
    assert header_time(date) == expected
