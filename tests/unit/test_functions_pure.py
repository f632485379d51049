"""confd's functions on texts, numbers, lists and JSON, and those of its fork."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.resources.arguments import FunctionError
from proxyconf.resources.functions import PURE
from proxyconf.resources.pairs import Pair

INTEGERS = st.integers(-1000, 1000)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("base", ["/a/b"], "b"),
        ("dir", ["/a/b"], "/a"),
        ("split", ["a:b:", ":"], ["a", "b", ""]),
        ("split", ["", ":"], [""]),
        ("split", ["aß", ""], ["a", "ß"]),
        ("join", [["a", 1, True], "-"], "a-1-true"),
        ("join", [[], "-"], ""),
        ("contains", ["abc", "bc"], True),
        ("contains", ["abc", "x"], False),
        ("replace", ["aaa", "a", "b", 2], "bba"),
        ("replace", ["aaa", "a", "b", -1], "bbb"),
        ("replace", ["aaa", "a", "b", 0], "aaa"),
        ("replace", ["aaa", "a", "b"], "bbb"),
        ("trimSuffix", ["a.test", ".test"], "a"),
        ("trimPrefix", ["a.test", "a."], "test"),
        ("toUpper", ["aé"], "AÉ"),
        ("toLower", ["AÉ"], "aé"),
        ("base64Encode", ["a\udcff"], "Yf8="),
        ("base64Decode", ["Yf8=\r\n"], "a\udcff"),
        ("indent", [2, "a\nb"], "  a\n  b"),
        ("indent", [2, ""], ""),
        ("nindent", [2, "a\nb"], "\n  a\n  b"),
        ("quote", ['a"\\\n\r\tb'], '"a\\"\\\\\\n\\r\\tb"'),
        ("quote", ["é\0\udcff\u2028\U000e0001"], '"é\\x00\\xff\\u2028\\U000e0001"'),
        ("squote", ["a'b"], "'a'b'"),
        ("regexMatch", ["^a.c$", "abc"], True),
        ("regexMatch", ["^b", "abc"], False),
        ("regexFind", ["[0-9]+", "v12.3"], "12"),
        ("regexFind", ["x", "v12.3"], ""),
        ("regexReplaceAll", ["(a)(x)?", "aab", "<$1>"], "<a><a>b"),
        ("regexReplaceAll", ["(?P<n>a)(x)?", "a", "${n}$n$2$9$z$$1\\1"], "aa$1\\1"),
        ("regexReplaceAll", ["a", "a", "$1x"], ""),
        ("repeat", [3, "ab"], "ababab"),
        ("repeat", [0, "ab"], ""),
        ("nospace", [" a\tb\n"], "ab"),
        ("snakecase", ["someHTTPServer x-yZ"], "some_http_server_x_y_z"),
        ("kebabcase", ["SomeThing2Do"], "some-thing2-do"),
        ("camelcase", ["some_HTTP-server"], "someHttpServer"),
        ("camelcase", [""], ""),
        ("snakecase", ["_"], ""),
        ("sha256sum", ["abc"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_functions_on_texts(name: str, args: list[object], expected: object) -> None:
    found = PURE[name](*args)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("map", ["a", 1, "b", "x"], {"a": 1, "b": "x"}),
        ("map", [], {}),
        ("dict", ["a", 1], {"a": 1}),
        ("dict", [[("a", 1)]], {"a": 1}),
        ("list", [1, "a"], [1, "a"]),
        ("append", [(1, 2), 3], [1, 2, 3]),
        ("hasKey", [{"a": 1}, "a"], True),
        ("hasKey", [{"a": 1}, "b"], False),
        ("keys", [{"b": 1, "a": 2}], ["a", "b"]),
        ("values", [{"b": 1, "a": 2}], [2, 1]),
        ("pluck", ["a", {"a": 1}, {"b": 2}, {"a": 3}], [1, 3]),
        ("reverse", [["a", "b"]], ["b", "a"]),
        ("sortByLength", [["ccc", "b", "a", "dd"]], ["b", "a", "dd", "ccc"]),
        ("sortKVByLength", [[Pair("/aa", ""), Pair("/b", "")]], [Pair("/b", ""), Pair("/aa", "")]),
        ("seq", [3, 5], [3, 4, 5]),
        ("seq", [1, 0], []),
        ("atoi", ["-12"], -12),
        ("atoi", ["+007"], 7),
        ("parseBool", ["T"], True),
        ("parseBool", ["false"], False),
        ("add", [1, -2], -1),
        ("sub", [1, 2], -1),
        ("mul", [3, -2], -6),
        ("div", [-7, 2], -3),
        ("mod", [-7, 3], -1),
        ("mod", [7, -3], 1),
        ("default", ["x", ""], "x"),
        ("default", ["x", "y"], "y"),
        ("ternary", ["yes", "no", True], "yes"),
        ("ternary", ["yes", "no", False], "no"),
        ("coalesce", ["", None, 0, "x"], "x"),
        ("coalesce", [""], None),
        ("empty", [{}], True),
        ("empty", ["x"], False),
        ("json", ['{"a": {"b": [1]}}'], {"a": {"b": [1]}}),
        ("json", ["null"], {}),
        ("jsonArray", ["[1, true, null]"], [1, True, None]),
        ("jsonArray", ["null"], []),
        ("fromJson", ['"a"'], "a"),
        ("toJson", [{"b": [1, None], "a": "é<"}], '{"a":"é<","b":[1,null]}'),
        ("toPrettyJson", [{"b": 1, "a": []}], '{\n  "a": [],\n  "b": 1\n}'),
    ],
)
def test_functions_on_data(name: str, args: list[object], expected: object) -> None:
    found = PURE[name](*args)
    assert (found, type(found)) == (expected, type(expected))


def test_a_dictionary_takes_names_as_keywords_too() -> None:
    assert PURE["map"]("a", 1, b=2) == {"a": 1, "b": 2}


@pytest.mark.parametrize("written", ["1234567", "1.10", "1e3", "-0.0", "12345678901234567890123", "1E400"])
def test_a_number_in_json_prints_as_it_is_written(written: str) -> None:
    """confd prints 1234567 as 1.234567e+06."""
    number = PURE["json"](f'{{"n": {written}}}')["n"]
    assert (str(number), f"{number!r}", PURE["toUpper"](number)) == (written, written, written.upper())


def test_a_number_in_json_counts_as_one() -> None:
    assert PURE["jsonArray"]("[1.5, 2]")[0] * 2 == 3.0
    assert PURE["toJson"](PURE["fromJson"]('{"a": 1.50}')) == '{"a":1.5}'


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_reads_back(value: object) -> None:
    assert PURE["fromJson"](PURE["toJson"](value)) == value
    assert json.loads(PURE["toPrettyJson"](value)) == value


@given(INTEGERS, INTEGERS.filter(bool))
def test_division_goes_towards_zero(a: int, b: int) -> None:
    quotient, rest = PURE["div"](a, b), PURE["mod"](a, b)
    assert quotient == int(a / b)
    assert (quotient * b + rest, abs(rest) < abs(b), rest * a >= 0) == (a, True, True)


@given(st.binary())
def test_base64_takes_any_bytes(value: bytes) -> None:
    text = value.decode(errors="surrogateescape")
    assert PURE["base64Decode"](PURE["base64Encode"](text)) == text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(["join", "abc", ","], "join: a text is no list", id="no list"),
        pytest.param(["join", {}, ","], "join: a dictionary is no list", id="nor is a dictionary"),
        pytest.param(["join", 5, ","], "join: 5 is no list", id="nor a number"),
        pytest.param(["base", Pair("/a", "x")], "base: a pair is no text (write its .Value)", id="a pair"),
        pytest.param(["base", iter("a")], "base: a list is no text", id="a sequence"),
        pytest.param(["base", date(2000, 1, 1)], "base: a date is no text", id="something else"),
        pytest.param(["base", ["a"]], "base: a list is no text", id="no text"),
        pytest.param(["keys", []], "keys: a list is no dictionary", id="no dictionary"),
        pytest.param(["add", "1", 2], "add: a text is no whole number (write atoi(...))", id="text in sums"),
        pytest.param(["add", 1, 2.5], "add: 2.5 is no whole number", id="point in sums"),
        pytest.param(["add", True, 1], "add: true is no whole number", id="truth in sums"),
        pytest.param(["mod", 1, 0], "mod: division by zero", id="nothing left over"),
        pytest.param(["atoi", "1_0"], "atoi: a text is no whole number (digits", id="Python's digits"),
        pytest.param(
            ["atoi", "9223372036854775808"], "atoi: a text is no whole number", id="too many digits"
        ),
        pytest.param(["parseBool", "yes"], "parseBool: a text is neither true nor false", id="yes"),
        pytest.param(["seq", 1, 10**9], "seq: more than 100000 numbers, up to 1000000000", id="long seq"),
        pytest.param(["repeat", 10**9, "ab"], "repeat: 1000000000 is not from 0 to 5000000", id="huge"),
        pytest.param(["indent", -1, "a"], "indent: -1 is not from 0 to 1000", id="negative"),
        pytest.param(["map", 5], "map: 'int' object is not iterable", id="no pairs"),
        pytest.param(["map", "a"], "map: the last name has no value", id="name alone"),
        pytest.param(["map", "a", 1, "b"], "map: the last name has no value", id="odd"),
        pytest.param(["json", "[1]"], "json: a text is JSON, but no object (use jsonArray)", id="array"),
        pytest.param(["jsonArray", "{}"], "jsonArray: a text is JSON, but no array (use json)", id="object"),
        pytest.param(["json", "1"], "json: a text is JSON, but no object (use fromJson)", id="number"),
        pytest.param(["json", "{"], "json: a text is no JSON (Expecting property name", id="half"),
        pytest.param(["json", "[" * 100_000], "json: a text is no JSON (maximum", id="deep"),
        pytest.param(["json", '{"a": NaN}'], "json: a text is no JSON (NaN is no number", id="nan"),
        pytest.param(["toJson", float("inf")], "toJson: Out of range", id="infinite"),
        pytest.param(["base64Decode", "a"], "base64Decode: a text is no base64 (", id="base64"),
        pytest.param(
            ["regexFind", "(", "a"], "regexFind: a text is no regular expression (missing )", id="regex"
        ),
    ],
)
def test_a_wrong_argument_is_named(call: list[Any], message: str) -> None:
    with pytest.raises(FunctionError, match=f"^{re.escape(message)}"):
        PURE[call[0]](*call[1:])
