"""Logs: text for people, JSON for machines, on standard error."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import pytest
import structlog

from proxyconf.log import leads_to_journal, set_up
from proxyconf.tables import Log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def said(monkeypatch: pytest.MonkeyPatch, settings: Log, stream: io.StringIO) -> list[str]:
    """Return what is said of four events, one of each level."""
    monkeypatch.setattr("sys.stderr", stream)
    set_up(settings)
    log = structlog.get_logger("test")
    log.debug("queue.polled")
    log.info("source.listed", source="etcd", entries=3)
    log.warning("source.lost", reason='a "quoted" \N{SNOWMAN}')
    log.error("site.failed")
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("level", "events"),
    [
        pytest.param("debug", 4, id="debug"),
        pytest.param("info", 3, id="info"),
        pytest.param("warning", 2, id="warning"),
        pytest.param("error", 1, id="error"),
    ],
)
def test_the_level(monkeypatch: pytest.MonkeyPatch, level: str, events: int) -> None:
    settings = Log(level=level, format="json")  # type: ignore[arg-type]
    assert len(said(monkeypatch, settings, io.StringIO())) == events


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object a line, with the time in UTC."""
    lines = [json.loads(line) for line in said(monkeypatch, Log(format="json"), io.StringIO())]
    times = [line.pop("timestamp") for line in lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time) for time in times)
    assert lines == [
        {"event": "source.listed", "level": "info", "source": "etcd", "entries": 3},
        {"event": "source.lost", "level": "warning", "reason": 'a "quoted" \N{SNOWMAN}'},
        {"event": "site.failed", "level": "error"},
    ]


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without colours where it is no terminal."""
    lines = said(monkeypatch, Log(format="text"), io.StringIO())
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{6} \[info     \] source\.listed +source=etcd entries=3", lines[0]
    )
    assert "\033" not in "".join(lines)


def test_on_a_terminal_it_is_text_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(monkeypatch, Log(), Terminal())
    assert "source.listed" in lines[0]
    assert "\033[" in lines[0]


def test_elsewhere_it_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(said(monkeypatch, Log(), io.StringIO())[0])["event"] == "source.listed"


def test_json_on_a_terminal_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(said(monkeypatch, Log(format="json"), Terminal())[0])["event"] == "source.listed"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_bug_has_its_traceback(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """But nothing that variables held."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    set_up(Log(format=form))  # type: ignore[arg-type]
    password = "secret"
    try:
        {"a": 1}["typo"]
    except KeyError:
        structlog.get_logger().exception("source.crashed")
    text = stream.getvalue()
    assert password not in text
    if form == "json":
        text = json.loads(text)["exception"]
    assert "Traceback" in text
    assert "KeyError: 'typo'" in text


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", text)

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_can_not_be_written_is_lost(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A full disk, or a pipe that nobody reads any more, once ended the program."""
    stream = Full()
    said(monkeypatch, Log(format=form), stream)  # type: ignore[arg-type]
    assert stream.getvalue() == ""


@contextmanager
def journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TextIO]:
    """Let standard error be what, by the environment, systemd reads."""
    with (tmp_path / "journal").open("w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        monkeypatch.setattr("sys.stderr", stream)
        yield stream


def written(stream: TextIO) -> list[str]:
    stream.seek(0)
    return stream.read().splitlines()


def test_the_journal_gets_text_with_levels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It knows the time, and shows the level in its own way."""
    with journal(monkeypatch, tmp_path) as stream:
        set_up(Log(level="debug"))
        log = structlog.get_logger("test")
        for tell in (log.debug, log.info, log.warning, log.error):
            tell("source.listed", source="etcd")
        assert written(stream) == [f"<{number}>source.listed source=etcd" for number in (7, 6, 4, 3)]


def test_the_journal_gets_json_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with journal(monkeypatch, tmp_path) as stream:
        set_up(Log(format="json"))
        structlog.get_logger("test").warning("source.lost")
        (line,) = written(stream)
        assert json.loads(line.removeprefix("<4>"))["level"] == "warning"


def test_every_line_of_a_traceback_has_its_level(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with journal(monkeypatch, tmp_path) as stream:
        set_up(Log())
        try:
            {"a": 1}["typo"]
        except KeyError:
            structlog.get_logger().exception("source.crashed")
        lines = written(stream)
        assert len(lines) > 2
        assert all(line.startswith("<3>") for line in lines)


def test_a_file_is_no_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who was started by a unit and writes elsewhere still has the variable."""
    with journal(monkeypatch, tmp_path) as stream, (tmp_path / "log").open("w+") as other:
        assert [leads_to_journal(one) for one in (stream, other, io.StringIO())] == [True, False, False]
