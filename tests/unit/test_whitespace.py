"""White space around tags: a line of tags alone is not in the output, every other one is as it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from proxyconf.resources.whitespace import by_lines
from tests.unit.template_folder import Folder

if TYPE_CHECKING:
    from pathlib import Path

JINJA = Environment(keep_trailing_newline=True)


class Part(NamedTuple):
    """A line, or a part of it: as it is written, and what it comes to."""

    written: str
    text: str


def of_tags(parts: list[Part]) -> Part:
    return Part("".join(part.written for part in parts), "")


def kept(parts: list[Part]) -> Part:
    return Part("".join(part.written for part in parts), "".join(part.text for part in parts) + "\n")


TEXT = st.sampled_from(["a", "deny all;", "# c", "}", "é\u2028b", "%}", "-", "+", "#}"]).map(
    lambda text: Part(text, text)
)
PRINTED = st.sampled_from(
    [
        Part("{{ 'x' }}", "x"),
        Part("{{'%}'}}", "%}"),
        Part("{{ ''\n}}", ""),
        Part("{% raw %}{{ {# {% if %}\n b{% endraw %}", "{{ {# {% if %}\n b"),
    ]
)
SPACE = st.text(" \t", max_size=3).map(lambda text: Part(text, text))
TAG = st.sampled_from(
    [
        "{% set a = '%}' %}",
        "{%set a={'x': {}}%}",
        "{% set a =\n\n  1 %}",
        "{% if true %}{% endif %}",
        "{% for _ in [] %} {% endfor %}",
        "{# c #}",
        "{##}",
        "{#{% if %} {{ #}",
        "{# one\n two #}",
        "{% raw %}{% endraw %}",
    ]
).map(lambda written: Part(written, ""))
SEVERAL = st.lists(TAG | SPACE, max_size=4)
LINE = (
    st.tuples(SEVERAL, TAG, SEVERAL).map(lambda parts: of_tags([*parts[0], parts[1], *parts[2]]))
    | st.tuples(SEVERAL, TEXT | PRINTED, st.lists(TAG | SPACE | TEXT | PRINTED, max_size=4)).map(
        lambda parts: kept([*parts[0], parts[1], *parts[2]])
    )
    | SPACE.map(lambda space: kept([space]))
)


def rendered(source: str) -> str:
    return JINJA.from_string(by_lines(source, JINJA.lex(source))).render(x=True)


def tags(source: str) -> list[tuple[int, str, str]]:
    """Return what is within tags, each with its line."""
    others = ("data", "comment_begin", "comment", "comment_end", "raw_begin", "raw_end")
    return [(line, kind, token.strip()) for line, kind, token in JINJA.lex(source) if kind not in others]


@given(st.lists(LINE))
def test_it_goes_by_whole_lines(lines: list[Part]) -> None:
    source, expected = "".join(line.written + "\n" for line in lines), "".join(line.text for line in lines)
    assert rendered(source) == expected
    assert tags(by_lines(source, JINJA.lex(source))) == tags(source)  # in the very same lines


@given(st.lists(LINE), LINE)
def test_a_last_line_without_a_line_break(lines: list[Part], last: Part) -> None:
    source = "".join(line.written + "\n" for line in lines) + last.written
    assert rendered(source) == "".join(line.text for line in lines) + last.text.removesuffix("\n")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            "# mode {% if x %}on{% else %}off{% endif %}\ndeny all;\n", "# mode on\ndeny all;\n", id="mixed"
        ),
        pytest.param("a\n  {% if x %}  \n  b\n\t{% endif %}\nc", "a\n  b\nc", id="lines of tags"),
        pytest.param("  {% if x %}b\n{% endif %}\n", "  b\n", id="text behind a tag"),
        pytest.param(" {# c #} {% if x %} {# c #} \na{% endif %}", "a", id="tags and comments"),
        pytest.param("{% if x %}\n\n{% endif %}\n", "\n", id="an empty line is none of tags"),
        pytest.param(" {{ '' }} \n", "  \n", id="what is printed is text, also if it is empty"),
        pytest.param("a {% set b\n= 1 %}\nc", "a \nc", id="a line goes on behind a tag of several lines"),
        pytest.param("{% set b\n= 1 %}\nc", "c", id="a tag of several lines alone"),
        pytest.param("{% raw %}\n {{ a }}\n {% endraw %}\nb", " {{ a }}\nb", id="raw"),
        pytest.param("{% raw %} \n\n{# c #}\n{% endraw %}", "\n{# c #}\n", id="there are no tags in raw"),
        pytest.param(" {% raw %}a{% endraw %} \nb", " a \nb", id="raw is text"),
        pytest.param("a\n{%- if x %}\nb{% endif %}", "ab", id="- before"),
        pytest.param("a\n{% if x -%}\n\n  b{% endif %}", "a\nb", id="- behind"),
        pytest.param("a\n {%- if x -%} \nb\n{%- endif -%} \n\nc", "abc", id="- on both sides"),
        pytest.param("a\n\n{% if x %}\n\n {%- endif %}\nb", "a\n\nb", id="- takes what is up to a tag"),
        pytest.param("a\n{%- raw %}\nb{% endraw -%}\n c", "abc", id="- and raw"),
        pytest.param("{% raw -%}\n b\n {%- endraw %}\nc", "bc", id="- within raw"),
        pytest.param("a\n{#- c #}\nb\n{# c -#}\n c", "ab\nc", id="- of comments"),
        pytest.param("{#-#}\na{#--#}\nb", "ab", id="comments of signs"),
        pytest.param("{{ 1 -}}\n  {% if x %}\n a{% endif %}", "1 a", id="- of what is printed"),
        pytest.param("  {%+ if x %}\na{% endif %}", "  a", id="+ before"),
        pytest.param("  {% if x +%}\na{% endif %}", "\na", id="+ behind"),
        pytest.param(" {%+ if x +%} {#+ c +#} \n{% endif %}", "   \n", id="+ on both sides"),
        pytest.param("{% raw %} {%+ endraw %}\na", " a", id="+ within raw"),
    ],
)
def test_which_white_space_is_in_the_output(source: str, expected: str) -> None:
    assert rendered(source) == expected
    assert tags(by_lines(source, JINJA.lex(source))) == tags(source)


def test_files_of_every_kind_of_line_end(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.text("a {% if true %}b{% endif %}\r\n{% if true %}\r\nc\r{% endif %}\r\n") == "a b\nc\n"


def test_mistakes_are_told_with_their_own_lines(tmp_path: Path) -> None:
    """Wherever line breaks were taken away, and whoever finds it: lexer, parser or render."""
    folder = Folder(tmp_path)
    above = "{% raw %}\n{% endraw %}\n{# c\n #}\n  {% set a =\n 1 %} \nb {% set c = 1 %}\n"
    for mistake in ("{{ $ }}", "{% if %}", "{{ no }}", "{% include 'no' %}", "{% raw %}", "{# c", "{% for"):
        assert folder.error(above + mistake + "\n").startswith("render /t/main:8: ")
    assert folder.error(above + "{% if a %}\n\n").startswith("render /t/main:9: Unexpected end of template")
