"""The labels of a container: what they ask for, and what is wrong with them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.model import Problem
from proxyconf.routing.labels import Wish, read_labels


def wishes(**labels: str) -> tuple[Wish, ...]:
    """Return what good labels ask for; ``api__host`` stands for ``proxyconf.api.host``."""
    read = read_labels("web-1", spelled_out(labels))
    assert read.problems == ()
    return read.wishes


def spelled_out(labels: dict[str, str]) -> dict[str, str]:
    return {"proxyconf." + name.replace("__", "."): value for name, value in labels.items()}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"host": " App.example.com "}, [Wish("", ("app.example.com",))], id="a host is enough"),
        pytest.param(
            {
                "host": "a.test",
                "path": "/api/",
                "service": "web",
                "port": "80",
                "network": "edge",
                "weight": "2",
                "backup": "True",
            },
            [Wish("", ("a.test",), "/api", "web", 80, "edge", 2, backup=True)],
            id="everything",
        ),
        pytest.param(
            {"host": "b.test,a.test, a.test  c.test"}, [Wish("", ("a.test", "b.test", "c.test"))], id="list"
        ),
        pytest.param({"service": "web"}, [Wish("", service="web")], id="a mere member"),
        pytest.param(
            {"api__host": "api.test", "api__port": "81", "ui__host": "ui.test", "port": "80", "weight": "3"},
            [Wish("api", ("api.test",), port=81, weight=3), Wish("ui", ("ui.test",), port=80, weight=3)],
            id="what names share",
        ),
        pytest.param(
            {"host": "a.test", "path": "/x", "service": "web", "api__host": "api.test"},
            [Wish("", ("a.test",), "/x", "web"), Wish("api", ("api.test",))],
            id="host, path and service are not shared",
        ),
        pytest.param(
            {"host": "a.test b.test", "api__host": "b.test c.test"},
            [Wish("", ("a.test", "b.test")), Wish("api", ("c.test",))],
            id="the same again counts once",
        ),
        pytest.param(
            {"host": "a.test", "again__host": "a.test"},
            [Wish("", ("a.test",))],
            id="nothing but the same again",
        ),
        pytest.param(
            {"host": "a.test", "api__host": "a.test", "api__path": "/api"},
            [Wish("", ("a.test",)), Wish("api", ("a.test",), "/api")],
            id="another path",
        ),
        pytest.param({}, [], id="none"),
    ],
)
def test_what_labels_ask_for(labels: dict[str, str], expected: list[Wish]) -> None:
    assert list(wishes(**labels)) == expected


def test_other_labels_are_passed_over() -> None:
    read = read_labels("web-1", {"com.example": "x", "proxyconf": "x", "proxyconfig.host": "a.test"})
    assert (read.wishes, read.problems) == ((), ())


def test_the_default_service_is_like_no_name() -> None:
    (wish,) = wishes(host="a.test", path="/api")
    assert wish.service_of("a.test") == "a.test/api"


@pytest.mark.parametrize(
    ("labels", "label", "why"),
    [
        pytest.param({"host": "a b;"}, "host", "'b;' is no host name", id="host"),
        pytest.param({"host": " , "}, "host", "no host is named", id="empty host"),
        pytest.param({"host": "a.test", "path": "api"}, "path", "start it with /", id="path"),
        pytest.param({"host": "a.test", "port": "http"}, "port", "'http' is no port", id="port"),
        pytest.param({"host": "a.test", "weight": "1001"}, "weight", "from 1 to 1000", id="weight"),
        pytest.param({"host": "a.test", "backup": ""}, "backup", 'neither "true" nor "false"', id="backup"),
        pytest.param({"host": "a.test", "network": ""}, "network", "no network is named", id="network"),
        pytest.param(
            {"host": "a.test", "service": "a/b"}, "service", "is no name of a service", id="service"
        ),
        pytest.param({"hots": "a.test"}, "hots", "did you mean 'host'?", id="spelling"),
        pytest.param({"api__prot": "80"}, "api.prot", "did you mean 'port'?", id="spelling under a name"),
        pytest.param({"": "x"}, "", "known: backup, host", id="no option"),
        pytest.param({"host__host": "a.test"}, "host.host", "proxyconf.NAME.host", id="an option for a name"),
        pytest.param({"a__b__host": "a.test"}, "a.b.host", "proxyconf.NAME.host", id="a dot in a name"),
        pytest.param({"path": "/api"}, "path", "(set proxyconf.host)", id="path alone"),
        pytest.param(
            {"path": "/api", "service": "web"}, "path", "(set proxyconf.host)", id="path of a mere member"
        ),
        pytest.param({"port": "80"}, "port", "no effect without a host", id="port alone"),
        pytest.param(
            {"api__port": "80"}, "api.port", "(set proxyconf.api.host)", id="port alone under a name"
        ),
    ],
)
def test_a_bad_label_is_a_problem(labels: dict[str, str], label: str, why: str) -> None:
    """It is the only one, and nothing comes of its group."""
    read = read_labels("web-1", spelled_out(labels))
    assert read.wishes == ()
    (problem,) = read.problems
    assert (problem.what, problem.where) == ("container", f"web-1 label proxyconf.{label}")
    assert why in problem.why


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"api__port": "81"}, id="port"),
        pytest.param({"api__service": "web"}, id="service"),
        pytest.param({"api__weight": "2"}, id="weight"),
    ],
)
def test_labels_that_contradict_each_other(other: dict[str, str]) -> None:
    """The labels without a name win, as they come first."""
    labels = {"host": "a.test", "api__host": "a.test", "ui__host": "ui.test", **other}
    read = read_labels("web-1", spelled_out(labels))
    assert [wish.name for wish in read.wishes] == ["", "ui"]
    assert read.problems == (
        Problem(
            "container",
            "web-1 label proxyconf.api.host",
            "contradicts proxyconf.host: a.test/ leads elsewhere there (delete one of them)",
        ),
    )


def test_a_bad_group_does_not_spoil_the_others() -> None:
    read = read_labels("web-1", spelled_out({"host": "a b;", "api__host": "api.test", "ui__x": "1"}))
    assert [wish.name for wish in read.wishes] == ["api"]
    assert len(read.problems) == 2


def test_a_bad_shared_label_spoils_those_that_share_it() -> None:
    labels = {"port": "x", "api__host": "api.test", "ui__host": "ui.test", "ui__port": "80"}
    read = read_labels("web-1", spelled_out(labels))
    assert [(wish.name, wish.port) for wish in read.wishes] == [("ui", 80)]
    assert [problem.where for problem in read.problems] == ["web-1 label proxyconf.port"]


LABELS = st.from_regex(
    r"\Aproxyconf\.([a-z]{1,3}\.)?(host|path|service|port|network|weight|backup|x)\Z"
) | st.text(max_size=12).map(lambda text: "proxyconf." + text)
VALUES = st.text(max_size=12) | st.sampled_from(["a.test", "b.test, a.test", "/api", "web", "80", "true"])


@given(labels=st.dictionaries(LABELS, VALUES, max_size=8))
def test_anything_is_a_wish_or_a_problem(labels: dict[str, str]) -> None:
    """Nothing raises, nothing is passed over in silence, and only harmless text gets through."""
    read = read_labels("web-1", labels)
    assert bool(labels) == bool(read.wishes or read.problems)
    for wish in read.wishes:
        assert wish.hosts or wish.service
        for host in wish.hosts:
            assert re.fullmatch(r"[a-z0-9._*-]+/[^\s;{}\"'$\\]*", host + wish.path, re.ASCII)
    for problem in read.problems:
        assert str(problem).isprintable()
