"""A value knows its key: what refuses it names the key, and shows no text that may be a secret."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import pytest

from proxyconf.model import Entry, Snapshot
from proxyconf.resources.filters import FILTERS
from proxyconf.resources.functions import functions
from proxyconf.resources.jinja import TemplateError, Templates
from proxyconf.resources.keyspace import Share
from proxyconf.resources.pairs import Pair, StoreValue, key_of
from proxyconf.resources.store import Store, Stores
from proxyconf.resources.world import Used, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SECRET = '{"password": "Hunter2; '
KEYS = {
    "/app/secret": SECRET,
    "/app/json": '{"port": 80}',
    "/app/server/3": "10.0.0.3; }",
    "/app/host": "a_; b",
    "/app/bytes": "\udcff",
    "/app/line": "a\nHunter2",
    "/app/dollar": "$Hunter2",
}
# what these refuse is shown: it is no secret, and helps
SHOWN = {"endpoint", "location", "port", "server_name"}
OF_NAMES = {"groupby", "join", "sum"}  # an attribute's name, which a mistake in it must show


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def why_not(folder: Path, expression: str) -> str:
    """Return why an expression can't be printed; "" if it can."""
    (folder / "it").write_text(f"{{{{ {expression} }}}}")
    try:
        Templates(folder).render("it", Store(KEYS.items(), "/prod"), World(time=0), Snapshot())
    except TemplateError as exc:
        return str(exc).removeprefix(f"render {folder}/it:1: ")
    return ""


def why_not_called(function: Callable[..., object], args: Sequence[object]) -> str:
    """Return what a call raises, whatever that is; "" if it returns."""
    try:
        function(*args)
    except Exception as exc:  # noqa: BLE001 - as templates are rendered
        return str(exc)
    return ""


def test_a_value_is_the_text_it_is() -> None:
    value = StoreValue("x", "/prod/k")
    assert (value, str(value), repr(value), f"{value}", hash(value)) == ("x", "x", "'x'", "x", hash("x"))
    assert json.dumps([value]) == '["x"]'
    again = [
        pickle.loads(pickle.dumps(value)),
        copy.copy(value),
        copy.deepcopy(value),
        str(value),
        value.upper(),
    ]
    assert [type(each) for each in again] == [str] * 5


def test_values_of_the_store_know_the_full_name_of_their_key() -> None:
    store = Stores("/prod").of(Share(("/prod/k", "/prod/k/"), (Entry(b"1"), Entry(b"2"))))
    (pair,) = store.gets("/*")
    for value in (pair, pair.Value, store.get("/k"), store.getv("/k"), store.getvs("/*")[0]):
        assert key_of(value) == "/prod/k"
    assert [key_of(value) for value in (store.getv("/no", "x"), Pair("/k", "x"), "x", None)] == [""] * 4


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param(
            "getv('/app/server/3')|endpoint",
            "endpoint '/prod/app/server/3': '10.0.0.3; }' is no address (write",
            id="address",
        ),
        pytest.param(
            "gets('/app/ho*')[0].Value|server_name",
            "server_name '/prod/app/host': 'a_; b' is no host name (",
            id="host",
        ),
        pytest.param(
            "getv('/app/host')|location", "location '/prod/app/host': 'a_; b' is no path (", id="path"
        ),
        pytest.param("get('/app/host').value|port", "port '/prod/app/host': 'a_; b' is no port (", id="port"),
        pytest.param(
            "getv('/app/dollar')|nginx_quote", "nginx_quote '/prod/app/dollar': has a $, a variable", id="$"
        ),
        pytest.param(
            "getv('/app/line')|nginx_quote_plain",
            "nginx_quote_plain '/prod/app/line': has the control character '\\n' (remove it)",
            id="control",
        ),
        pytest.param(
            "json(getv('/app/secret'))",
            "json '/prod/app/secret': is no JSON (Unterminated string starting at: line 1 column 14 (",
            id="JSON",
        ),
        pytest.param(
            "jsonArray(getv('/app/json'))",
            "jsonArray '/prod/app/json': is JSON, but no array (use json)",
            id="another kind of JSON",
        ),
        pytest.param(
            "json(get('/app/json'))", "json '/prod/app/json': is no text (write its .Value)", id="pair"
        ),
        pytest.param("atoi(getv('/app/host'))", "atoi '/prod/app/host': is no whole number (", id="number"),
        pytest.param(
            "add(1, getv('/app/host'))",
            "add '/prod/app/host': is no whole number (write atoi(...))",
            id="an argument that is not the first",
        ),
        pytest.param("join(getv('/app/host'), '')", "join '/prod/app/host': is no list", id="list"),
        pytest.param(
            "nindent(getv('/app/json'), '')", "nindent '/prod/app/json': is no whole number (", id="count"
        ),
        pytest.param(
            "regexMatch(getv('/app/secret') ~ '(', '')",
            "regexMatch: a text is no regular expression (",
            id="what is made of a value has no key",
        ),
        pytest.param(
            "getv(getv('/app/host'))",
            "getv '/prod/app/host': its value is not the name of a key below the prefix '/prod' (did you",
            id="a value for a key",
        ),
        pytest.param("gets(getv('/app/secret') ~ '[')", "gets '", id="a pattern"),
        pytest.param(
            "getv('/app/json').port",
            "the value of '/prod/app/json' is a text without 'port' (write json(...) first?)",
            id="a member of a value",
        ),
        pytest.param(
            "json(getv('/app/json'))[getv('/app/secret')]",
            "nothing has the name that is the value of '/prod/app/secret' (write .get(...)?)",
            id="a value as a name",
        ),
        pytest.param(
            "json(getv('/app/json')).host",
            "a dict has no attribute 'host' (write .get('host') where it may be missing, or test it: ... is",
            id="a member of JSON",
        ),
        pytest.param(
            "getv('/app/secret')|filesizeformat",
            "could not convert string to float: '...' (ValueError)",
            id="a foreign function",
        ),
    ],
)
def test_a_bad_value_is_told_by_its_key(folder: Path, expression: str, expected: str) -> None:
    assert why_not(folder, expression).startswith(expected)


def test_a_value_has_no_members_beside_those_of_a_text(folder: Path) -> None:
    """Without json(...), .key must not be the key's name: a certificate's key is meant."""
    assert "without 'key' (write json" in why_not(folder, "getv('/app/json').key")
    assert "unsafe" in why_not(folder, "getv('/app/json')._key")


@pytest.mark.parametrize("name", sorted(functions(Store(()), World(time=0), Used())))
def test_no_function_shows_a_value(name: str) -> None:
    """Whichever argument it is, and whatever else is wrong."""
    store = Store(KEYS.items(), "/prod")
    function = functions(store, World(time=0), Used())[name]
    for key in KEYS:
        value, pair = store.getv(key), store.get(key)
        for one in (value, pair, [value], {"a": value}, {key: 1, value: 2}):
            for args in (
                [one],
                [one, 1],
                [1, one],
                ["", one],
                ["", "", one],
                [one, one, one],
                [1, 2, 3, one],
            ):
                told = why_not_called(function, args)
                assert value not in told
                assert "Hunter2" not in told


@pytest.mark.parametrize("name", sorted({*FILTERS} - SHOWN - OF_NAMES))
def test_no_filter_shows_a_value(folder: Path, name: str) -> None:
    for value in ("getv('/app/secret')", "[getv('/app/secret')]", "{getv('/app/secret'): 1}"):
        for form in ("{0}|{1}", "{0}|{1}({0})", "1|{1}({0})", "[1]|{1}(1, {0})"):
            assert "Hunter2" not in why_not(folder, form.format(value, name))


@pytest.mark.parametrize(
    "name", ["json", "jsonArray", "fromJson", "base64Decode", "atoi", "parseBool", "add"]
)
def test_what_is_made_of_a_value_is_not_shown_either(folder: Path, name: str) -> None:
    told = why_not(folder, f"{name}(trimSuffix(getv('/app/secret'), ' '){', 1' * (name == 'add')})")
    assert told.startswith(f"{name}: a text is n")
    assert "Hunter2" not in told
