"""Reading nginx's language: directives with their place and context, whatever is quoted or commented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.nginx.syntax import Include, Statement, includes, statements

TEXT = r"""
user www-data; # a comment; with { marks }
http {
    include "conf.d/*.conf";
    map $a ${b}c { default "#"; '~^x{2};' "quo\"ted"; }
    server {
        listen 80 default_server;
        location ~ "a{2};" { return 200 '${x}; "y"'; }
    }
}
"""


def test_directives_with_their_context() -> None:
    found = [(statement.words, statement.context) for statement in statements(TEXT)]
    assert found == [
        (("user", "www-data"), ()),
        (("http",), ()),
        (("include", "conf.d/*.conf"), ("http",)),
        (("map", "$a", "${b}c"), ("http",)),
        (("default", "#"), ("http", "map")),
        (("~^x{2};", 'quo"ted'), ("http", "map")),
        (("server",), ("http",)),
        (("listen", "80", "default_server"), ("http", "server")),
        (("location", "~", "a{2};"), ("http", "server")),
        (("return", "200", '${x}; "y"'), ("http", "server", "location")),
    ]


def test_the_place_is_exact() -> None:
    """What stands there is the directive itself, so that it can be replaced."""
    include = next(statement for statement in statements(TEXT) if statement.name == "include")
    assert TEXT[include.start : include.end] == 'include "conf.d/*.conf";'


@pytest.mark.parametrize(
    ("word", "value"),
    [
        pytest.param(r"^/\d\{2}$", r"^/\d\{2}$", id="a closing brace inside a word"),
        pytest.param("a#b", "a#b", id="a hash inside a word"),
        pytest.param("don't", "don't", id="a quote inside a word"),
        pytest.param("${a}/$b$", "${a}/$b$", id="variables"),
        pytest.param("a\u00a0b", "a\u00a0b", id="a space that is none"),
        pytest.param(r'"a\"b\\\n\."', 'a"b\\\n\\.', id="escapes in quotes"),
        pytest.param(r"a\ b\'\"\;", "a\\ b'\"\\;", id="escapes without"),
        pytest.param("'\\''", "'", id="a quote in quotes"),
        pytest.param("''", "", id="an empty word"),
    ],
)
def test_words_are_read_as_nginx_does(word: str, value: str) -> None:
    """It keeps a backslash that escapes nothing (tests/live/test_nginx_context.py asks it)."""
    found = list(statements(f"a {{ x {word}; }} y;"))
    assert [statement.words for statement in found] == [("a",), ("x", value), ("y",)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("a b", [], id="no end"),
        pytest.param("} a;", ["a"], id="a brace too many"),
        pytest.param("; ; a;", ["a"], id="lone semicolons"),
        pytest.param('a "b;', ["a"], id="an open quote"),
        pytest.param("a { b; ", ["a", "b"], id="an open block"),
    ],
)
def test_nonsense_is_no_error(text: str, names: list[str]) -> None:
    """To refuse it is nginx's business."""
    assert [statement.name for statement in statements(text)] == names


LUA = """\
# content_by_lua_block { it's
a; content_by_lua_block {
    local t = {"}", '}', [[}]], [=[ ]] } ]=]} -- } "
    --[[ } ]] include no.conf;
}
set_by_lua_block $x { return "{" }
include yes.conf;
"""


def test_lua_is_another_language() -> None:
    """Its quotes, comments and braces are not nginx's."""
    assert [statement.name for statement in statements(LUA)] == [
        "a",
        "content_by_lua_block",
        "set_by_lua_block",
        "include",
    ]
    assert [include.pattern for include in includes(LUA)] == ["yes.conf"]


def test_lua_without_an_end_is_no_error() -> None:
    assert list(includes("content_by_lua_block { if x then { include a;")) == []


def test_includes_are_found_in_every_block() -> None:
    text = 'include a; http { include \'b c\' ; map $x $y { include # so\n c*.map; } "include" "d"; }'
    found = list(includes(text))
    assert [include.pattern for include in found] == ["a", "b c", "c*.map", "d"]
    assert text[found[2].start : found[2].end] == "include # so\n c*.map;"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("gzip on;", id="none"),
        pytest.param("# include a;\n", id="commented out"),
        pytest.param("x include a;", id="an argument"),
        pytest.param("x 'a; include b;';", id="quoted"),
        pytest.param("include a b;", id="two words"),
        pytest.param("include a", id="no end"),
        pytest.param("include a {", id="a block"),
        pytest.param("included a; includes b; include_x c; \\include d;", id="something else"),
    ],
)
def test_what_is_no_include(text: str) -> None:
    assert list(includes(text)) == []


@given(st.lists(st.sampled_from(["include", "x", "'a b'", "$a", "#;\n", " ", ";", "{", "}", "\n", "\\;"])))
def test_includes_are_those_among_the_statements(pieces: list[str]) -> None:
    text = " ".join(pieces)
    assert list(includes(text)) == [
        Include(statement.words[1], statement.start, statement.end)
        for statement in statements(text)
        if statement.name == "include" and len(statement.words) == 2 and text[statement.end - 1] == ";"
    ]


def test_long_nonsense_is_read_quickly() -> None:
    """In a time that grows with its length, not with the square of it."""
    for piece in ("include ", "a ", "include #\n", '"a include b; ', "x{", "'"):
        assert len(list(includes(piece * 100_001))) <= 100_001


@given(st.text(alphabet="ab {};\"'\\$#\n*", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    """Statements do not overlap, and each is where it says."""
    end = 0
    for statement in statements(text):
        assert isinstance(statement, Statement)
        assert end <= statement.start < statement.end
        assert text[statement.end - 1] in ";{"
        end = statement.end


def test_no_pattern_needs_a_newer_python() -> None:
    """Of a group with alternatives, `)*+` does not match what it should before 3.11.5 (gh-106052)."""
    sources = (Path(__file__).parents[2] / "proxyconf").rglob("*.py")
    lines = [line for path in sources for line in path.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if re.search(r"\)[*+?]\+", line)] == []
