"""Trees of keys in YAML and JSON, as confd's file store reads them; what a file may do to us is bounded."""

from __future__ import annotations

import json
import re
import sys

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyconf.errors import BadValueError
from proxyconf.model import Entry, Problem
from proxyconf.sources._file_tree import read_tree


def flat(text: str, path: str = "a.yaml") -> dict[str, str]:
    """Return the keys of a tree, and their values as text."""
    entries, problems = read_tree(text, path, "file")
    assert problems == ()
    return {name: entry.value.decode() for name, entry in entries.items()}


def flat_json(text: str) -> dict[str, str]:
    return flat(text, "a.json")


def refused(text: str, path: str = "a.yaml") -> str:
    with pytest.raises(BadValueError) as caught:
        read_tree(text, path, "file")
    return str(caught.value)


# --- values


def test_nested_maps_and_lists_are_keys() -> None:
    text = """
    app:
      name: shop
      upstreams:
        - {host: 10.0.0.1, port: 8080}
        - [x, y]
      none: {}
      empty: []
    """
    assert flat(text) == {
        "/app/name": "shop",
        "/app/upstreams/0/host": "10.0.0.1",
        "/app/upstreams/0/port": "8080",
        "/app/upstreams/1/0": "x",
        "/app/upstreams/1/1": "y",
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        pytest.param("8080", "8080", id="integer"),
        pytest.param("0644", "0644", id="octal, as a mode is written"),
        pytest.param("1_000", "1_000", id="integer with a line"),
        pytest.param("12345678901234567890123", "12345678901234567890123", id="large"),
        pytest.param("1.10", "1.10", id="a version"),
        pytest.param("1e3", "1e3", id="float"),
        pytest.param("1234567.0", "1234567.0", id="no exponent"),
        pytest.param("2026-01-02", "2026-01-02", id="date"),
        pytest.param("12:30", "12:30", id="time, or a number to the base of 60"),
        pytest.param("true", "true", id="true"),
        pytest.param("TRUE", "true", id="TRUE"),
        pytest.param("Yes", "true", id="yes"),
        pytest.param("off", "false", id="off"),
        pytest.param("y", "y", id="a letter"),
        pytest.param("'yes'", "yes", id="quoted yes"),
        pytest.param("!!str yes", "yes", id="yes, marked as text"),
        pytest.param("!!binary aGk=", "hi", id="binary"),
        pytest.param("!ours x", "x", id="unknown tag"),
        pytest.param("''", "", id="empty text"),
        pytest.param("'~'", "~", id="quoted null"),
        pytest.param("ä ö", "ä ö", id="beyond ASCII"),
        pytest.param("|\n  a\n  b\n", "a\nb\n", id="block"),
    ],
)
def test_a_scalar_of_yaml(written: str, value: str) -> None:
    assert flat(f"k: {written}") == {"/k": value}


@pytest.mark.parametrize("written", ["", "~", "null", "NULL"])
def test_a_null_is_no_key(written: str) -> None:
    """As in confd; in a list its number is left out."""
    assert flat(f"a: {written}\nb: [x, {written or '~'}, y]") == {"/b/0": "x", "/b/2": "y"}


def test_a_scalar_of_json() -> None:
    text = '{"a": [1, -0, 1.10, 1e3, 12345678901234567890123, true, false, null, "", "x\\u0000y"]}'
    values = ["1", "-0", "1.10", "1e3", "12345678901234567890123", "true", "false", None, "", "x\0y"]
    assert flat_json(text) == {f"/a/{n}": value for n, value in enumerate(values) if value is not None}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("1: x\non: x\ntrue: x\n~: x", ["/1", "/on", "/true", "/~"], id="not texts"),
        pytest.param("/a/b: x\nc//d/: x\n./e: x", ["/a/b", "/c/d", "/e"], id="slashes"),
        pytest.param("a: {../b: x, '': y}", ["/b", "/a"], id="cleaned as confd does"),
        pytest.param("'': x", ["/"], id="the root"),
        pytest.param("'': {'': {a: x}}", ["/a"], id="empty"),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert list(flat(text)) == names


def test_half_a_character_is_replaced() -> None:
    """JSON can write it, and no UTF-8 can: the listing could neither be saved nor sent."""
    assert flat_json('{"\\ud800": "\\udfff"}') == {"/?": "?"}


def test_of_two_values_with_one_name_the_later_counts() -> None:
    assert flat("a/b: 1\na: {b: 2}") == {"/a/b": "2"}


def test_where_an_entry_stands() -> None:
    entries, _ = read_tree("a: {b: x}", "/etc/a.yaml", "file.values")
    assert entries == {"/a/b": Entry(b"x", 0, "file.values /etc/a.yaml: /a/b")}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~", "{}"])
def test_nothing_is_known_to_be_nothing(text: str) -> None:
    assert flat(text) == {}


def test_anchors_and_merges() -> None:
    text = """
    base: &base {a: 1, b: 1}
    more: &more {b: 2, c: 2}
    one: {b: 0, <<: *base}
    two:
      <<: [*more, *base]
    same: [&x v, *x]
    '<<': quoted
    """
    keys = flat(text)
    assert {name: value for name, value in keys.items() if name.startswith("/one")} == {
        "/one/a": "1",
        "/one/b": "0",
    }
    assert {name: value for name, value in keys.items() if name.startswith("/two")} == {
        "/two/a": "1",
        "/two/b": "2",
        "/two/c": "2",
    }
    assert (keys["/same/0"], keys["/same/1"], keys["/<<"]) == ("v", "v", "quoted")


def test_what_is_odd_is_said_with_its_line() -> None:
    """The file counts nevertheless."""
    entries, problems = read_tree("a: 1\nb: 2\na: 3\n---\nc: 4\n", "/a.yaml", "file")
    assert {name: entry.value for name, entry in entries.items()} == {"/a": b"3", "/b": b"2"}
    assert problems == (
        Problem("file", "/a.yaml:3", "'a' is there twice, and the later one counts (delete one)"),
        Problem(
            "file", "/a.yaml:4", "a second document starts here, and only the first counts (use two files)"
        ),
    )


# --- what can't be understood


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(
            "a: b: c",
            "is no YAML: mapping values are not allowed in this context (at line 1, colu",
            id="YAML",
        ),
        pytest.param(
            "a: 1\nb: [", "is no YAML: did not find expected node content (at the end, at line 2)", id="ends"
        ),
        pytest.param(
            "a: 1\nb: \x01", "is no YAML: control characters are not allowed (at line 2)", id="control"
        ),
        pytest.param("- a", "holds no names (write NAME: VALUE)", id="list"),
        pytest.param("text", "holds no names (write NAME: VALUE)", id="text"),
        pytest.param("a: 1\n[x]: 1", "a name must be a text (write NAME: VALUE) (at line 2)", id="name"),
        pytest.param("a: *x", "*x stands for nothing that ends before it (at line 1)", id="alias"),
        pytest.param(
            "a: &x [*x]", "*x stands for nothing that ends before it (at line 1)", id="holds itself"
        ),
        pytest.param(
            "a: 1\n<<: 2", "<< merges mappings only (quote it if it is a name) (at line 2)", id="merge"
        ),
        pytest.param("a: !!binary aGk", "!!binary is no base64: Incorrect padding (at line 1)", id="base64"),
    ],
)
def test_bad_yaml(text: str, why: str) -> None:
    assert refused(text).startswith(why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param('{\n"a": }', "is no JSON: Expecting value (at line 2, column 6)", id="JSON"),
        pytest.param("[1]", "holds no names (write NAME: VALUE)", id="list"),
        pytest.param('{"a": NaN}', "is no JSON: NaN is no number (write it as a text)", id="NaN"),
    ],
)
def test_bad_json(text: str, why: str) -> None:
    assert refused(text, "a.json") == why


NESTED = "is nested too deeply: more than 100 levels"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("a: " + "[" * 101 + "]" * 101, f"{NESTED} (at line 1)", id="lists"),
        pytest.param("\n".join(" " * n + "a:" for n in range(101)), f"{NESTED} (at line 101)", id="mappings"),
        pytest.param("a: " + "[" * 1_000_000, "is no YAML: exceeded maximum nesting depth", id="endless"),
        pytest.param(
            "a: &a " + "[" * 60 + "x" + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60, NESTED, id="by alias"
        ),
    ],
)
def test_deep_yaml_is_refused(text: str, why: str) -> None:
    assert refused(text).startswith(why)


def test_deep_json_is_refused() -> None:
    for depth in (101, 1_000_000):
        assert refused('{"a":' + "[" * depth + "]" * depth + "}", "a.json") == NESTED
    assert list(flat_json('{"a":' + "[" * 99 + "1" + "]" * 99 + "}")) == ["/a" + "/0" * 99]


def bomb(leaf: str) -> str:
    """Return ten lines of YAML for ten billion nodes."""
    lines = [f"a0: &a0 {leaf}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    return "\n".join(lines)


@pytest.mark.parametrize("leaf", ["x", "[]", '"' + "x" * 100_000 + '"'], ids=["text", "nothing", "long text"])
def test_a_bomb_of_aliases_is_refused(leaf: str) -> None:
    assert refused(bomb(leaf)) == "takes more than 32 MiB as keys (split it; mind its aliases)"


def test_a_bomb_of_merges_is_refused() -> None:
    text = "a: &a {" + ", ".join(f"k{n}: x" for n in range(1000)) + "}\nb: {" + "<<: *a, " * 101 + "}"
    assert refused(text) == "<< has merged more than 100000 names (write fewer) (at line 2)"


@given(text=st.text(alphabet="ab:-[]{}&*<!|>'\"\\ \n\t#,?~%1", max_size=60) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for path in ("a.yaml", "a.json"):
        try:
            entries, _ = read_tree(text, path, "file")
        except BadValueError:
            continue
        assert all(name[0] == "/" and "//" not in name for name in entries)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(entries), type=dict[str, Entry]) == entries


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
TREES = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.recursive(
        SCALARS, lambda tree: st.lists(tree, max_size=3) | st.dictionaries(st.text("ab", min_size=1), tree)
    ),
)


@settings(max_examples=30)  # PyYAML's writer is slow
@given(tree=TREES)
def test_yaml_and_json_of_one_tree_are_the_same_keys(tree: dict[str, object]) -> None:
    assert flat_json(json.dumps(tree)) == flat(yaml.safe_dump(tree))


def test_a_pyyaml_without_libyaml_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own parser lets errors through that are not its own."""
    monkeypatch.delattr(yaml, "CSafeLoader")
    monkeypatch.delitem(sys.modules, "proxyconf.sources._file_yaml", raising=False)
    assert flat("a: [x, yes]") == {"/a/0": "x", "/a/1": "true"}
    for text in ("a: 1\nb: [", 'a: "\\UFFFFFFFF"', f"%YAML {'9' * 5000}.1\n---\na: 1", "a: " + "[" * 101):
        assert re.match(r"is (no YAML|nested too deeply): .{1,200}$", refused(text))
