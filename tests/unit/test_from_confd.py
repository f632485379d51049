"""The guide for those who come from confd: it names everything there is, and its examples are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxyconf.confd.flags import BY_SPELLING, FLAGS
from proxyconf.model import Snapshot
from proxyconf.resources.functions import functions
from proxyconf.resources.gosyntax import actions, find, translated
from proxyconf.resources.jinja import Templates
from proxyconf.resources.store import Store
from proxyconf.resources.table import KEYS
from proxyconf.resources.world import Used, World

GUIDE = (Path(__file__).parents[2] / "docs/from-confd.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", GUIDE, re.MULTILINE))
CODE = re.compile(r"`([^`]+)`")


def cells(section: str) -> list[list[str]]:
    """Return the rows of the section's tables, without heads."""
    rows = re.findall(r"^\| (.+) \|$", SECTIONS[section], re.MULTILINE)
    split = [re.split(r" (?<!\\)\| ", row) for row in rows if not row.startswith("---")]
    return [[cell.replace(r"\|", "|") for cell in row] for row in split if "`" in row[0]]


def first_code(cell: str) -> str:
    found = CODE.match(cell)
    return found[1] if found else ""


FUNCTIONS = [pytest.param(*row, id=first_code(row[0])) for row in cells("Functions")]
SYNTAX = [pytest.param(*row, id=row[0]) for row in cells("A template before and after")]
EXAMPLES = re.findall(
    r"### (.+)\n\n((?:.*\n)*?)```go\n((?:.*\n)*?)```\n(?:.*\n)*?```jinja\n((?:.*\n)*?)```\n(?:.*\n)*?"
    r"```text\n((?:.*\n)*?)```\n",
    SECTIONS["A template before and after"],
)


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    (tmp_path / "part.tmpl").write_text("part")
    return Templates(tmp_path)


def rendered(templates: Templates, source: str, pairs: dict[str, str]) -> str:
    (templates.folder / "it.tmpl").write_text(source)
    world = World(time=1_700_000_000, hostname="here")
    return templates.render("it.tmpl", Store(pairs.items()), world, Snapshot()).text


def pairs_in(text: str) -> dict[str, str]:
    """Return the keys that a text tells of: `/key` = `value`."""
    found = dict(re.findall(r"`(/[^`]+)` = `([^`]+)`", text))
    empty = dict.fromkeys(re.findall(r"`(/[^`]+)` = an empty text", text), "")
    return found | empty


def test_it_names_every_flag() -> None:
    named = {word.lstrip("-") for code in CODE.findall(SECTIONS["Flags"]) for word in code.split()}
    assert {flag.name for flag in FLAGS} - named == set()
    first = {code.lstrip("-") for row in cells("Flags") for code in CODE.findall(row[0])}
    assert first - {*BY_SPELLING, "version"} == set()


def test_it_names_every_key_of_confd_toml_that_differs() -> None:
    told = {CODE.findall(flag)[0][1:]: tuple(CODE.findall(keys)) for flag, keys in cells("confd.toml")}
    assert told == {flag.name: flag.keys for flag in FLAGS if flag.keys}


def test_it_names_every_variable() -> None:
    named = set(CODE.findall(SECTIONS["Variables"]))
    assert {variable for flag in FLAGS for variable in flag.variables} - named == set()


def test_it_names_every_key_of_a_resource() -> None:
    named = [code for row in cells("Resource keys") for code in CODE.findall(row[0])]
    assert sorted(named) == sorted(KEYS)


def test_it_names_every_function() -> None:
    named = {first_code(row[0]).split()[0] for row in cells("Functions")}
    known = functions(Store([]), World(time=0), Used())
    assert named == {*known, "include"}


@pytest.mark.parametrize(("go", "jinja", "gives"), FUNCTIONS)
def test_functions_do_what_it_says(templates: Templates, go: str, jinja: str, gives: str) -> None:
    code = first_code(jinja)
    source = code if code.startswith("{%") else f"{{{{ {code} }}}}"
    text = rendered(templates, source, pairs_in(SECTIONS["Functions"]))
    if expected := first_code(gives):
        assert text == expected
    ours = translated(first_code(go)).removeprefix("{{ ").removesuffix(" }}")
    assert code == ours or code.startswith(ours)


@pytest.mark.parametrize(("go", "jinja"), SYNTAX)
def test_the_syntax_beside_gos_is_jinjas(templates: Templates, go: str, jinja: str) -> None:
    source = "{% set a, b, host, port, list = 'x', '', 'h', 1, [2] %}" + first_code(jinja)
    source += "{% endif %}" * (source.count("{% if") - source.count("{% endif"))
    assert rendered(templates, source, pairs_in(SECTIONS["Functions"])) or "#" in jinja or "and" in jinja
    assert find(first_code(go), 1)


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    ("keys", "go", "jinja", "result"), [pytest.param(*rest, id=title) for title, *rest in EXAMPLES]
)
def test_examples(templates: Templates, keys: str, go: str, jinja: str, result: str) -> None:
    assert rendered(templates, jinja, pairs_in(keys)) == result
    assert find(go, 1)


@pytest.mark.parametrize(
    ("keys", "go", "result"),
    [pytest.param(keys, go, result, id=title) for title, keys, go, _, result in EXAMPLES],
)
def test_what_is_told_of_gos_actions_is_enough_to_port_a_file(
    templates: Templates, keys: str, go: str, result: str
) -> None:
    """Each action as the error says it should be, and the text is the same but for white space."""
    ours = iter(actions(go))
    ported = re.sub(r"\{\{.*?\}\}", lambda _: next(ours).ours, go)
    ported = ported.replace("not server.down", 'not server.get("down")')  # what is not there is an error here
    lines = [line.strip() for line in rendered(templates, ported, pairs_in(keys)).splitlines()]
    plain = result.replace('"', "")  # |nginx_quote is ours
    assert [line for line in lines if line] == [line.strip() for line in plain.splitlines()]
