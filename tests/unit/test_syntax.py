"""Reading nginx's language: directives with their place and context, whatever is quoted or commented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.nginx.syntax import Statement, statements

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


@given(st.text(alphabet="ab {};\"'\\$#\n*", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    """Statements do not overlap, and each is where it says."""
    end = 0
    for statement in statements(text):
        assert isinstance(statement, Statement)
        assert end <= statement.start < statement.end
        assert text[statement.end - 1] in ";{"
        end = statement.end
