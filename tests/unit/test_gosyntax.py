"""Templates in Go's syntax are told from ours, and what ours would be is said where it is obvious."""

from __future__ import annotations

import re

import pytest

from proxyconf.resources import gosyntax

TRANSLATIONS = [
    ('getv "/app/name"', '{{ getv("/app/name") }}'),
    ('getv "/app/name" "none"', '{{ getv("/app/name", "none") }}'),
    ("getv `/a`", '{{ getv("/a") }}'),
    (".Value", "{{ pair.Value }}"),
    ("base .Key", "{{ base(pair.Key) }}"),
    (".Key | base | toUpper", "{{ toUpper(base(pair.Key)) }}"),
    ('.Value | split ":"', '{{ split(":", pair.Value) }}'),  # as Go does it
    ("$data.Id", "{{ data.Id }}"),
    ("(json .Value).port", "{{ json(pair.Value).port }}"),
    ('index $data "a" 0', '{{ data["a"][0] }}'),
    ("len $servers", "{{ servers|length }}"),
    ('printf "%s:%d" .host 80', '{{ "%s:%d"|format(pair.host, 80) }}'),
    ("datetime", "{{ datetime() }}"),
    ('seq 1 (atoi (getv "/n" "3"))', '{{ seq(1, atoi(getv("/n", "3"))) }}'),
    ('range gets "/app/*"', '{% for pair in gets("/app/*") %}'),
    ('range sortKVByLength (gets "/app/*")', '{% for pair in sortKVByLength(gets("/app/*")) %}'),
    ('range getvs "/app/*"', '{% for item in getvs("/app/*") %}'),
    ('range $server := ls "/app"', '{% for server in ls("/app") %}'),
    ('range $i, $server := ls "/app"', '{% for server in ls("/app") %}'),
    ('$data := json (getv "/x")', '{% set data = json(getv("/x")) %}'),
    ("$n = 1", "{% set n = 1 %}"),
    ('if exists "/x"', '{% if exists("/x") %}'),
    ('if eq (getv "/a") "b"', '{% if getv("/a") == "b" %}'),
    ('if and (exists "/a") (not (exists "/b"))', '{% if exists("/a") and (not exists("/b")) %}'),
    ("if true", "{% if true %}"),
    ('else if ne .Value ""', '{% elif pair.Value != "" %}'),
    ("else", "{% else %}"),
    ("end", "{% endfor %} or {% endif %}"),
    ("break", "{% break %}"),
    ('with get "/x"', '{% with pair = get("/x") %}'),
    ('with $x := get "/x"', '{% with x = get("/x") %}'),
    ('template "tls.tmpl" .', '{% include "tls.tmpl" %}'),
    ('include "tls.tmpl"', '{% include "tls.tmpl" %}'),
    ("/* a comment */", "{# a comment #}"),
    # what only a person can translate
    ('datetime.Format "2006"', ""),
    ('define "x"', ""),
    ("template .", ""),
    ('getv "/x', ""),
    ('(getv "/x"', ""),
    ('getv "/x")', ""),
    (".Key .Value", ""),
    ('"a" | .Key', ""),
]


@pytest.mark.parametrize(("action", "expected"), TRANSLATIONS)
def test_actions_are_translated(action: str, expected: str) -> None:
    assert gosyntax.translated(action) == expected


@pytest.mark.parametrize(
    "action", [action for action, expected in TRANSLATIONS if expected not in ("{{ datetime() }}", "")]
)
def test_they_are_recognised(action: str) -> None:
    found = gosyntax.find(f"upstream app {{\n{{{{- {action} -}}}}", 2)
    assert found is not None
    assert (found.line, found.message.startswith("{{- ")) == (2, True)


@pytest.mark.parametrize(
    "inner",
    [
        "getv('/x')",
        "pair.Value|base",
        "a if b else c",
        "not (a)",
        "a and b",
        "range(3)|join",
        "x in ['a', 'b']",
        "'{{ in a text }}'",
        "'a'|replace('a', '$host /* := ')",
        '"$1\\" $2"',
        "a.b.c[0] ~ d",
        "1.5",
    ],
)
def test_jinja_is_not_taken_for_go(inner: str) -> None:
    assert gosyntax.find(f"{{{{ {inner} }}}}", 1) is None


def test_a_mistake_in_a_template_of_jinjas_is_not_blamed_on_go() -> None:
    source = '{% if x %}\n{{ }}\n{{ getv "/x" }}'
    assert gosyntax.find(source, 2) is None
    assert gosyntax.find(source, 3) is not None


def test_an_action_over_several_lines_is_found_from_any_of_them() -> None:
    found = gosyntax.find('{% if x %}\n{{ getv\n   "/x" }}\n', 3)
    assert found is not None
    assert found.line == 2
    assert found.message == (
        '{{ getv "/x" }} is in Go\'s template syntax'
        ' (in Jinja2 write {{ getv("/x") }}; see docs/from-confd.md)'
    )


def test_a_long_action_is_shortened() -> None:
    found = gosyntax.find("{{ define " + '"x' * 50 + " }}", 1)
    assert found is not None
    assert found.message == (
        '{{ define "x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"x"... is in Go\'s template syntax'
        " (see docs/from-confd.md)"
    )


def test_all_actions_are_told_at_once() -> None:
    """One look is enough to port a file; what is there several times is told once."""
    source = """\
{{/* of
  several lines */}}
{{range $i, $name := ls "/app"}}
{{$i}} {{.}} {{$i}}
{{if exists "/x"}} {{$i}} {{end}}
{{end}}
{{define "x"}}
{{end}}
{% if ported %}{{ name }}{% endif %}
{{ getv "/x" }}
"""
    found = gosyntax.find(source, 10)
    assert found is not None
    assert found.line == 1
    assert found.message == (
        "12 actions are in Go's template syntax (Jinja2's is behind each arrow; see docs/from-confd.md):"
        " line 1: {{/* of several lines */}} -> {# ... #};"
        ' line 3: {{range $i, $name := ls "/app"}} -> {% for name in ls("/app") %};'
        " lines 4, 5: {{$i}} -> {{ loop.index0 }}; line 4: {{.}} -> {{ name }};"
        ' line 5: {{if exists "/x"}} -> {% if exists("/x") %}; line 5: {{end}} -> {% endif %};'
        " line 6: {{end}} -> {% endfor %};"
        ' line 7: {{define "x"}}; line 8: {{end}}; line 10: {{ getv "/x" }} -> {{ getv("/x") }}'
    )
    assert gosyntax.find(source, 9) is None


def test_very_many_actions_are_not_all_told() -> None:
    found = gosyntax.find("".join(f"{{{{ .Value{number} }}}}\n" for number in range(25)), 1)
    assert found is not None
    assert found.message.endswith("line 20: {{ .Value19 }} -> {{ pair.Value19 }}; and 5 more")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            'range gets "/a/*"|.Value|if .Key|.|end|end|.Key',
            'for pair in gets("/a/*")|pair.Value|if pair.Key|pair|endif|endfor|pair.Key',
            id="pairs",
        ),
        pytest.param(
            'range jsonArray (getv "/a")|.host|.|end|.',
            'for item in jsonArray(getv("/a"))|item.host|item|endfor|item',
            id="items",
        ),
        pytest.param(
            "range $s := $all|.port|$s.port|end", "for s in all|s.port|s.port|endfor", id="a loop with a name"
        ),
        pytest.param(
            'range $i, $s := getv "/a" | split ","|range $j, $t := ls $s|$j|end|$i|end',
            'for s in split(",", getv("/a"))|for t in ls(s)|loop.index0|endfor|loop.index0|endfor',
            id="indexes",
        ),
        pytest.param(
            "range $k, $v := $data|$k|.|end", "for k, v in data.items()|k|v|endfor", id="a dictionary"
        ),
        pytest.param(
            'with get "/a"|.Value|end|with $x := json .Value|$x.a|.a|end',
            'with pair = get("/a")|pair.Value|endwith|with x = json(pair.Value)|x.a|x.a|endwith',
            id="with",
        ),
        pytest.param("$|$.a|end", "||endfor %} or {% endif", id="what can't be known"),
    ],
)
def test_what_the_dot_is_depends_on_the_place(source: str, expected: str) -> None:
    inners = re.split(r"(?<! )\|(?! )", source)
    found = list(gosyntax.actions("".join(f"{{{{{inner}}}}}" for inner in inners)))
    ours = [re.sub(r"^\{[{%] | [}%]\}$", "", action.ours) for action in found]
    assert ours == expected.split("|")
