"""The pure parts of the demo: what it reads, and what it says."""

from __future__ import annotations

import asyncio
import io
import math
from collections import Counter

import pytest

from demo.__main__ import read_seconds
from demo.asking import Answer, failures_in_words, listed, read_answer, tally
from demo.errors import DemoError
from demo.journal import Event, Journal, read_event, sentences
from demo.screen import Screen, wants_colour

_NAMES = {"127.0.0.1:21001": "a", "127.0.0.1:21002": "b"}
_APPLIED = "+ hello 127.0.0.1:21001"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nServer: nginx\r\nX-Backend: a\r\n\r\nhello", Answer(200, "a"), id="backend"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nX-Backend: b\r\n\r\n", Answer(200, "b"), id="last header"),
        pytest.param(b"HTTP/1.1 503 Gone\r\nServer: nginx\r\n\r\n", Answer(503), id="nginx itself"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n\r\nX-Backend: a\r\n", Answer(200), id="only in the body"),
        pytest.param(b"", Answer(0, error="hung up"), id="nothing"),
    ],
)
def test_answer_says_who_gave_it(raw: bytes, answer: Answer) -> None:
    assert read_answer(raw) == answer


def test_failures_are_counted_by_kind_the_most_common_first() -> None:
    assert failures_in_words(["hung up", "502", "502"]) == "502 (2 times), hung up (once)"


def test_tally_is_sorted_by_name() -> None:
    assert tally(Counter({"b": 49, "502": 1, "a": 50})) == "502 1, a 50, b 49"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param(["a"], "a", id="one"),
        pytest.param(["a", "b"], "a and b", id="two"),
        pytest.param(["a", "b", "c"], "a, b and c", id="three"),
    ],
)
def test_names_are_listed(names: list[str], text: str) -> None:
    assert listed(names) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("", math.inf, id="until Ctrl-C"),
        pytest.param("20", 20, id="whole"),
        pytest.param("0.5", 0.5, id="part"),
    ],
)
def test_seconds_are_read(text: str, seconds: float) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", [pytest.param(text, id=text) for text in ("soon", "-1", "nan", "20s")])
def test_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(DemoError, match=f"DEMO_SECONDS='{text}'"):
        read_seconds(text)


def test_log_line_is_read() -> None:
    event = read_event('{"changed": "+ x 1, - y 2", "event": "site.applied", "level": "info"}')
    assert event == Event("site.applied", {"changed": "+ x 1, - y 2", "level": "info"})
    assert event.changed == ("+ x 1", "- y 2")


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "7", '{"level": "info"}'])
def test_other_lines_are_no_events(line: str) -> None:
    assert read_event(line) is None


@pytest.mark.parametrize(
    ("event", "told"),
    [
        pytest.param(
            Event("site.applied", {"changed": f"{_APPLIED}, - hello 127.0.0.1:21002", "served_ms": 41}),
            [
                "backend a (127.0.0.1:21001) joined: served after 41 ms",
                "backend b (127.0.0.1:21002) left: gone after 41 ms",
            ],
            id="backends",
        ),
        pytest.param(
            Event("site.applied", {"changed": "+ web 10.0.0.1:80", "served_ms": 41}),
            ["backend web (10.0.0.1:80) joined: served after 41 ms"],
            id="somebody else's backend",
        ),
        pytest.param(
            Event("site.applied", {"changed": "- x.test/api", "served_ms": 41}),
            ["route x.test/api left: gone after 41 ms"],
            id="route",
        ),
        pytest.param(
            Event("nginx.running", {"changed": "nothing"}),
            ["nginx runs, and serves all of it"],
            id="nginx back",
        ),
        pytest.param(
            Event("problem.found", {"what": "endpoint", "where": "key 'x'", "why": "no address"}),
            ["set aside: endpoint key 'x': no address"],
            id="problem",
        ),
        pytest.param(
            Event("problem.solved", {"what": "endpoint", "where": "key 'x'"}),
            ["no longer a problem: endpoint key 'x'"],
            id="mended",
        ),
        pytest.param(
            Event("source.lost", {"source": "etcd", "reason": "refused"}),
            ["etcd is lost, what it last said is still served: refused"],
            id="source lost",
        ),
        pytest.param(
            Event("source.listed", {"source": "etcd", "entries": 4}),
            ["etcd is there: 4 keys"],
            id="source back",
        ),
        pytest.param(
            Event("nginx.not_running", {"start": "nginx -c x"}),
            ["nginx does not run; start it with: nginx -c x"],
            id="nginx gone",
        ),
        pytest.param(
            Event("new.happened", {"reason": "y", "level": "info", "timestamp": "now"}),
            ["new.happened reason=y"],
            id="not known here",
        ),
    ],
)
def test_events_are_told(event: Event, told: list[str]) -> None:
    assert list(sentences(event, _NAMES)) == told


async def test_journal_finds_an_event_that_is_there_or_comes() -> None:
    journal, reader = Journal(), asyncio.StreamReader()
    following = asyncio.create_task(journal.follow(reader))
    reader.feed_data(b'{"event": "one"}\nno event\n')
    assert await journal.find("one", lambda event: event.name == "one") == Event("one")
    finding = asyncio.create_task(journal.find("two", lambda event: event.name == "two", since=1))
    reader.feed_data(b'{"event": "two"}\n')
    assert await finding == Event("two")
    reader.feed_eof()
    await following
    assert journal.lines == ['{"event": "one"}', "no event", '{"event": "two"}']


async def test_journal_says_that_the_program_has_ended() -> None:
    """Nobody waits for an event that can't come any more."""
    journal, reader = Journal(), asyncio.StreamReader()
    finding = asyncio.create_task(journal.find("two", lambda event: event.name == "two"))
    reader.feed_eof()
    await journal.follow(reader)
    with pytest.raises(DemoError, match="proxyconf has ended"):
        await finding


def test_screen_writes_two_columns() -> None:
    out = io.StringIO()
    screen = Screen(out, colour=False)
    screen.title("1  start")
    screen.did("this")
    screen.ok("that")
    screen.more("and more")
    screen.failed("but")
    assert out.getvalue() == (
        "\n1  start\n   do    this\n   ok    that\n         and more\n   FAIL  but\n"  # one column per line
    )


def test_table_is_aligned() -> None:
    out = io.StringIO()
    Screen(out, colour=False).table([("ask", "curl"), ("see all", "status")])
    assert out.getvalue() == "   ask      curl\n   see all  status\n"


def test_colour_changes_no_letter() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    for out, colour in ((plain, False), (coloured, True)):
        Screen(out, colour=colour).ok("fine")
    assert coloured.getvalue() == "   \x1b[32mok    \x1b[0mfine\n"
    assert plain.getvalue() == "   ok    fine\n"


@pytest.mark.parametrize(
    ("out", "environment", "wanted"),
    [
        pytest.param(_Terminal(), {"TERM": "xterm"}, True, id="terminal"),
        pytest.param(_Terminal(), {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param(_Terminal(), {"NO_COLOR": ""}, True, id="NO_COLOR empty"),
        pytest.param(_Terminal(), {"TERM": "dumb"}, False, id="dumb"),
        pytest.param(io.StringIO(), {"TERM": "xterm"}, False, id="file"),
    ],
)
def test_colour_is_for_terminals(out: io.StringIO, environment: dict[str, str], *, wanted: bool) -> None:
    assert wants_colour(out, environment) is wanted
