"""What is said of a template's mistake: the file, the line, why, and the mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.template_folder import Folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "a\n{{ getv('/app/nam') }}",
            "2: getv '/app/nam': no such key below the prefix '/prod' (did you mean '/app/name'?)",
        ),
        ("{{ getv() }}", "1: getv: missing a required argument: 'key' (write getv(key, [default]))"),
        ("{{ gettv('/a') }}", "1: 'gettv' is undefined (did you mean getv?)"),
        ("{% set servers = 1 %}{{ server }}", "1: 'server' is undefined (did you mean servers?)"),
        ("{% for k, val in [] %}{% endfor %}{{ vel }}", "1: 'vel' is undefined (did you mean val?)"),
        ("{{ something.else }}", "1: 'something' is undefined (set it first, or write a text in quotes)"),
        ("{{ get('/app/name').Val }}", "1: a Pair has no attribute 'Val'"),
        (
            "{{ services.nope }}",
            "1: a dict has no attribute 'nope' (write .get('nope') where it may be missing, or test",
        ),
        ("{{ 'a'|toUper }}", "1: there is no filter 'toUper' (did you mean toUpper?)"),
        ("{{ '/a'|getv }}", "1: there is no filter 'getv' (write getv(...)"),
        ("{{ 'a'|xyzzy }}", "1: there is no filter 'xyzzy'"),
        ("{{ 1 is prime }}", "1: there is no test 'prime'"),
        ("{{ ['a']|random }}", "1: there is no filter 'random'"),
        ("{% if a %}\n{% endfor %}", "2: Encountered unknown tag 'endfor'."),
        ("{{ 'a }}", "1: unexpected char"),
        ("a\n\n{{ datetime }}", "3: datetime is a function (write datetime())"),
        ("{% macro m() %}{% endmacro %}{{ m }}", "1: m is a function (write m())"),
        ("{{ {}.items }}", "1: items is a function (write items(), or data['items'] for a name in data)"),
        ("{{ cycler }}", "1: Cycler is a function (write Cycler())"),
        ("{{ get('/app/name') }}", "1: the pair of '/app/name' is printed (write its .Key or .Value)"),
        ("{{ [1]|map('string') }}", "1: a sequence is printed that was not gone through (write"),
        ("{{ json(getv('/app/json')).nothing }}", "1: null is printed (write default("),
        (
            "{% for a in json(getv('/app/json')).items %}{% endfor %}",
            "1: 'builtin_function_or_method' object is not iterable; a name in data that is also",
        ),
        ("{{ 1 / 0 }}", "1: division by zero (ZeroDivisionError)"),
        ("{{ 'a' + 1 }}", '1: can only concatenate str (not "int") to str (TypeError)'),
        (
            "{{ ''.__class__ }}",
            "1: access to attribute '__class__' of 'str' object is unsafe (templates can neither",
        ),
        ("{{ [].append(1) }}", "1: access to attribute 'append' of 'list' object is unsafe ("),
        ("{{ services.clear() }}", "1: access to attribute 'clear' of 'dict' object is unsafe ("),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "1: Range too big."),
        ("{{ 'a' * 10 ** 9 }}", "1: the result of * is too big"),
        ("{{ 10 ** 9 * [1] }}", "1: the result of * is too big"),
        ("{{ 10 ** 1000000 }}", "1: the result of ** is too big"),
        ("{{ 'x'|center(10 ** 18) }}", "1: it would need more memory than there is"),
        ("{{ 10.0 ** 1000 }}", "1: (34, 'Numerical result out of range') (OverflowError)"),
        (
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "1: templates include, or macros call, each other without end",
        ),
        ("{% include 'main' %}", "1: templates include, or macros call, each other without end"),
        ("{% include 'no' %}", "1: there is no such template in /t: no"),
        (
            "{% include ['no', 'nope'] %}",
            "1: there is no such template in /t: none of the templates given were found: no, nope",
        ),
        ("{% include '../etc/passwd' %}", "1: template '../etc/passwd' is outside of /t (move it there)"),
        ("{% include 'a/../../x' ignore missing %}", "1: template 'a/../../x' is outside of /t"),
        (
            "{{range gets `/x/*`}}\nserver {{.Value}};\n{{end}}",
            "1: 3 actions are in Go's template syntax (Jinja2's is behind each arrow; see docs/from-confd.md",
        ),
        (
            "a\n{{ 'x'|base }} {{ end }}",
            "2: {{ end }} is in Go's template syntax (in Jinja2 write {% endfor %} or",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_mend(folder: Folder, source: str, message: str) -> None:
    assert folder.error(source).startswith(f"render /t/main:{message}")


def test_a_mistake_in_another_file_is_told_as_such(folder: Folder) -> None:
    folder.write("part", "\n{{ getv('/no') }}")
    folder.write("macros", "{% macro m(key) %}\n{{ getv(key) }}{% endmacro %}")
    folder.write("wrong", "a\nb\n{% if %}")
    assert folder.error("{% include 'part' %}").startswith("render /t/part:2: getv '/no': no such key")
    assert folder.error("{% import 'macros' as m %}{{ m.m('/no') }}").startswith(
        "render /t/macros:2: getv '/no'"
    )
    assert (
        folder.error("\n{% include 'wrong' %}")
        == "render /t/wrong:3: Expected an expression, got 'end of statement block'"
    )


def test_half_a_character_is_no_text(folder: Folder) -> None:
    assert folder.error("{{ json(getv('/app/json')).half }}") == (
        "render /t/main: half a surrogate pair is printed (a value in JSON has one, such as \\ud800)"
    )


def test_a_long_message_is_shortened(folder: Folder) -> None:
    message = folder.error("{{ '" + "x" * 1000 + "' + 1 }}{{ {}['" + "x" * 1000 + "'] }}")
    assert len(message) < 100
    message = folder.error("{{ {}['" + "x" * 1000 + "'] }}")
    assert len(message) < 500
