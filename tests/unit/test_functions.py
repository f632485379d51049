"""confd's template functions: what they return, what they note, and how they fail."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.resources.arguments import FunctionError
from proxyconf.resources.functions import functions
from proxyconf.resources.pairs import Pair
from proxyconf.resources.store import Store
from proxyconf.resources.world import Lookup, Used, World

if TYPE_CHECKING:
    from pathlib import Path

# facts of both confds; include is the engine's
OF_CONFD = """exists get gets getv getvs ls lsdir base dir split join trimSuffix contains toUpper toLower
    replace json jsonArray map getenv fileExists datetime seq atoi parseBool add sub mul div mod reverse
    sortByLength sortKVByLength base64Encode base64Decode lookupIP lookupIPV4 lookupIPV6 lookupSRV"""
OF_ITS_FORK = """hostname lookupIfaceIPV4 lookupIfaceIPV6 default ternary coalesce empty toJson fromJson
    toPrettyJson indent nindent quote squote regexMatch regexFind regexReplaceAll trimPrefix repeat nospace
    snakecase camelcase kebabcase dict list hasKey keys values append pluck sha256sum"""


class Calls:
    """All functions on a few keys, and what they noted."""

    def __init__(self, world: World | None = None) -> None:
        store = Store([("/app/name", "shop"), ("/app/port", "80"), ("/app/zone/a", "1")], "/prod")
        self.used = Used()
        self._functions = functions(store, world or World(time=0), self.used)

    def __call__(self, name: str, *args: object) -> Any:  # noqa: ANN401 - any function
        return self._functions[name](*args)

    @property
    def names(self) -> set[str]:
        return set(self._functions)


def test_they_are_those_of_both_confds() -> None:
    assert Calls().names == {*OF_CONFD.split(), *OF_ITS_FORK.split()}


def test_they_know_no_engine() -> None:
    """So that another engine than Jinja can have them."""
    check = "import sys, proxyconf.resources.functions; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_keys_are_read_from_the_store() -> None:
    call = Calls()
    assert call("exists", "/app/name") is True
    assert call("get", "/app/name") == Pair("/app/name", "shop")
    assert call("gets", "/app/n*") == [Pair("/app/name", "shop")]
    assert (call("getv", "/app/name"), call("getv", "/no", "x")) == ("shop", "x")
    assert call("getvs", "/app/*") == ["80", "shop"]
    assert (call("ls", "/app"), call("lsdir", "/app")) == (["name", "port", "zone"], ["zone"])
    assert call.used == Used()  # they are an input anyway


def test_the_clock_is_noted_and_told_in_the_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST5EDT")
    time.tzset()
    call = Calls(World(time=1_000_000_000.5))
    try:
        assert call("datetime").isoformat() == "2001-09-08T21:46:40.500000-04:00"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert call.used.time


def test_the_environment_and_the_host() -> None:
    call = Calls(World(time=0, hostname="edge-1", environment={"A": "a", "EMPTY": ""}))
    assert (call("getenv", "A"), call("getenv", "B"), call("getenv", "B", "b")) == ("a", "", "b")
    assert call("getenv", "EMPTY", "e") == "e"
    assert call("hostname") == "edge-1"


def test_a_file_asked_for_is_noted_with_the_answer(tmp_path: Path) -> None:
    call = Calls()
    there, not_there = str(tmp_path), str(tmp_path / "no")
    assert (call("fileExists", there), call("fileExists", not_there)) == (True, False)
    assert [call("fileExists", path) for path in ("", "a\0b", "x" * 5000)] == [False, False, False]
    assert call.used.files == {there: True, not_there: False, "": False, "a\0b": False, "x" * 5000: False}
    (tmp_path / "no").touch()
    assert call("fileExists", not_there) is False  # one render sees one state of things


@pytest.mark.parametrize(
    ("name", "args", "lookup", "answers", "expected"),
    [
        ("lookupIP", ["db"], Lookup("ip", "db"), ["10.0.0.1", "::1"], ["10.0.0.1", "::1"]),
        ("lookupIPV4", ["db"], Lookup("ipv4", "db"), ["10.0.0.1"], ["10.0.0.1"]),
        ("lookupIPV6", ["db"], Lookup("ipv6", "db"), ["::1"], ["::1"]),
        ("lookupIfaceIPV4", ["eth0"], Lookup("interface4", "eth0"), ["10.0.0.1", "10.0.0.2"], "10.0.0.1"),
        ("lookupIfaceIPV6", ["eth0"], Lookup("interface6", "eth0"), ["fd00::1"], "fd00::1"),
        ("lookupSRV", ["", "", "a.b"], Lookup("srv", "a.b"), ["x. 80 1 2"], [("x.", 80, 1, 2)]),
        ("lookupSRV", ["web", "tcp", "b"], Lookup("srv", "_web._tcp.b"), ["x. 80 1 2"], [("x.", 80, 1, 2)]),
    ],
)
def test_a_look_up_is_noted_and_empty_until_it_is_answered(
    name: str, args: list[object], lookup: Lookup, answers: list[str], expected: object
) -> None:
    call = Calls()
    assert call(name, *args) == type(expected)()
    assert call.used.lookups == {lookup}
    assert Calls(World(time=0, answers={lookup: answers}))(name, *args) == expected


def test_a_server_answers_to_the_names_of_confd() -> None:
    call = Calls(World(time=0, answers={Lookup("srv", "x"): ["a.test. 80 1 2"]}))
    (server,) = call("lookupSRV", "", "", "x")
    assert (server.Target, server.Port, server.Priority, server.Weight) == server


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["getv", "/no"], "getv '/no': no such key below the prefix '/prod' (", id="key"),
        pytest.param(["gets", "/a["], "gets '/a[': a class of characters is malformed (", id="glob"),
        pytest.param(
            ["getv"], "getv: missing a required argument: 'key' (write getv(key, [default]))", id="none"
        ),
        pytest.param(
            ["split", "a"],
            "split: missing a required argument: 'separator' (write split(value, separator))",
            id="one",
        ),
        pytest.param(["getv", 1, 2, 3], "getv: too many positional arguments (write", id="too many"),
        pytest.param(["div", 1, 0], "div: division by zero", id="division"),
        pytest.param(["getenv", None], "getenv: null is no text", id="kind"),
        pytest.param(
            ["toJson", {1, 2}], "toJson: Object of type set is not JSON serializable", id="Python's"
        ),
    ],
)
def test_a_failure_names_function_and_key(args: list[Any], message: str) -> None:
    with pytest.raises(FunctionError, match=f"^{re.escape(message)}"):
        Calls()(*args)


def test_what_is_undefined_speaks_for_itself() -> None:
    """An engine's stand-in for it raises its own error when it is read."""

    class Undefined:
        def __str__(self) -> str:
            raise RuntimeError("it is undefined")

    for name in ("base", "getenv", "getv"):
        with pytest.raises(RuntimeError, match="it is undefined"):
            Calls()(name, Undefined())
