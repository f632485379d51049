"""Each template's share of the keys: all that is at or below its prefixes, and nothing else."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.model import Entry
from proxyconf.resources.keyspace import Keyspace
from proxyconf.resources.paths import base, clean, folder

KEY = st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "a0", "ab", "ü"]), min_size=1, max_size=3).map(
    lambda names: "/" + "/".join(names)
)
ENTRY = Entry(b"x")


def keys_below(keys: list[str], *prefixes: str) -> list[str]:
    names, entries = Keyspace({key: Entry(key.encode()) for key in keys}).below(prefixes)
    assert [entry.value.decode() for entry in entries] == list(names)
    return list(names)


@pytest.mark.parametrize(
    ("prefixes", "expected"),
    [
        pytest.param(["/app"], ["/app", "/app/1", "/app/2/x"], id="the key, and those below it"),
        pytest.param(["app/"], ["/app", "/app/1", "/app/2/x"], id="slashes at the ends don't matter"),
        pytest.param(["/app/2", "/app"], ["/app", "/app/1", "/app/2/x"], id="each once"),
        pytest.param(["/z", "/app/1"], ["/app/1", "/z"], id="by name"),
        pytest.param(["/"], ["/app", "/app-b", "/app/1", "/app/2/x", "/appx", "/z"], id="all"),
        pytest.param([""], ["/app", "/app-b", "/app/1", "/app/2/x", "/appx", "/z"], id="no prefix is all"),
        pytest.param([], [], id="none"),
        pytest.param(["/ap"], [], id="half a name"),
    ],
)
def test_what_is_below(prefixes: list[str], expected: list[str]) -> None:
    keys = ["/z", "/app/2/x", "/appx", "/app", "/app/1", "/app-b"]
    assert keys_below(keys, *prefixes) == expected


@given(st.lists(KEY, unique=True), st.lists(KEY | st.just("/"), max_size=3))
def test_it_is_what_a_look_at_every_key_finds(keys: list[str], prefixes: list[str]) -> None:
    expected = sorted(
        key
        for key in keys
        if any(key == prefix or key.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)
    )
    assert keys_below(keys, *prefixes) == expected


def test_a_change_elsewhere_leaves_a_share_equal() -> None:
    """What a template sees is compared, so that it is not rendered for other templates' keys."""
    before = {"/a/1": Entry(b"1"), "/b/1": Entry(b"1")}
    after = {**before, "/b/1": Entry(b"2")}
    assert Keyspace(before).below(["/a"]) == Keyspace(after).below(["/a"])
    assert Keyspace(before).below(["/b"]) != Keyspace(after).below(["/b"])


def test_templates_with_the_same_prefixes_share_the_work() -> None:
    keyspace = Keyspace({"/a/1": ENTRY})
    assert keyspace.below(["/a"]) is keyspace.below(("/a",))


@pytest.mark.parametrize(
    ("path", "cleaned", "last", "parent"),
    [
        # as Go's path.Clean, path.Base and path.Dir say
        ("/a/b", "/a/b", "b", "/a"),
        ("/a", "/a", "a", "/"),
        ("/", "/", "/", "/"),
        ("", ".", ".", "."),
        ("a", "a", "a", "."),
        ("a/b", "a/b", "b", "a"),
        ("/a/b/", "/a/b", "b", "/a/b"),
        ("//a//b", "/a/b", "b", "/a"),
        ("///", "/", "/", "/"),
        ("/../a", "/a", "a", "/"),
        ("/a/./b/../c", "/a/c", "c", "/a"),
        ("./a", "a", "a", "."),
    ],
)
def test_paths_are_as_in_go(path: str, cleaned: str, last: str, parent: str) -> None:
    assert (clean(path), base(path), folder(path)) == (cleaned, last, parent)


@given(st.text(alphabet="/.a", max_size=12))
def test_the_short_way_to_clean_a_path_gives_the_same(path: str) -> None:
    expected = posixpath.normpath(path)
    assert clean(path) == (expected[1:] if expected.startswith("//") else expected)
