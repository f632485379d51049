"""A template's keys, searched as confd's store searches them."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxyconf.model import Entry
from proxyconf.resources import glob
from proxyconf.resources.arguments import FunctionError
from proxyconf.resources.keyspace import Share
from proxyconf.resources.pairs import Pair
from proxyconf.resources.store import Store, Stores

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = {
    "/app/name": "shop",
    "/app/server/1": "10.0.0.2:80",
    "/app/server/10": "10.0.0.1:80",
    "/app/server/2": "10.0.0.3:80",
    "/app/server-b/x": "",
    "/app/server/2/weight": "5",
    "/top": "t",
}
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "a-b", "b*", "é"]), min_size=1, max_size=3)
KEY = NAMES.map(lambda names: "/" + "/".join(names))
VALUE = st.sampled_from([b"", b"1", b"\xff", "\u00fc".encode()])


def store(prefix: str = "") -> Store:
    return Store(reversed(KEYS.items()), prefix)


def test_a_key_and_its_value() -> None:
    found = store().get("/app/name")
    assert (found, found.Key, found.Value) == (Pair("/app/name", "shop"), found.key, found.value)
    assert (store().getv("/app/name"), store().getv("/no", "x"), store().getv("/app/server-b/x", "x")) == (
        "shop",
        "x",
        "",  # an empty value is a value
    )


def test_a_key_is_there_if_it_has_a_value() -> None:
    assert [
        store().exists(key) for key in ("/app/name", "/app/server-b/x", "/app/server", "/no", "app/name")
    ] == [
        True,
        True,
        False,  # a folder
        False,
        False,  # keys start with a slash
    ]


def test_gets_is_by_key_and_getvs_by_value() -> None:
    found = store().gets("/app/server/*")
    assert [pair.key for pair in found] == ["/app/server/1", "/app/server/10", "/app/server/2"]
    assert store().getvs("/app/server/*") == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
    assert (store().gets("/no/*"), store().getvs("/no/*"), store().gets("*")) == ([], [], [])


def test_ls_lists_names_and_lsdir_only_folders() -> None:
    keys = store()
    assert keys.ls("/app") == ["name", "server", "server-b"]
    assert keys.lsdir("/app") == ["server", "server-b"]
    assert keys.ls("/app/") == ["name", "server", "server-b"]
    assert keys.ls("/app/server") == ["1", "10", "2"]
    assert keys.lsdir("/app/server") == ["2"]
    assert (keys.ls("/"), keys.lsdir("/")) == (["app", "top"], ["app"])
    assert keys.ls("/top") == ["top"]  # as a shell's ls does with a file
    assert keys.ls("/app/server/2") == ["2", "weight"]
    assert (keys.ls("/no"), keys.lsdir("/no"), keys.ls("app")) == ([], [], [])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("app/name", "write '/app/name': with a slash", id="no slash at the start"),
        pytest.param("/app/name/", "write '/app/name': with a slash", id="a slash at the end"),
        pytest.param("/app/server", "it is a folder: write gets('/app/server/*')", id="a folder"),
        pytest.param("/app/nane", "did you mean '/app/name'?", id="misspelt"),
        pytest.param("/other", "is it below one of the resource's keys?", id="unknown"),
    ],
)
def test_a_missing_key_says_how_it_can_be_mended(key: str, expected: str) -> None:
    with pytest.raises(FunctionError, match=re.escape(f"no such key below the prefix '/prod' ({expected}")):
        store("/prod").getv(key)
    with pytest.raises(FunctionError, match=re.escape(f"no such key ({expected}")):
        store().get(key)


def test_keys_are_cleaned_and_the_one_that_was_clean_counts() -> None:
    """confd takes either of two that come to one key, by chance."""
    for pairs in ([("/k", "1"), ("/k/", "2"), ("k", "3")], [("/k/", "2"), ("k", "3"), ("/k", "1")]):
        assert Store(pairs).gets("/*") == [Pair("/k", "1")]
    assert Store([("/k/", "2"), ("k", "3")]).getv("/k") == "2"
    assert Store([("", "itself")]).getv("/") == "itself"
    assert Store([("", "itself")]).ls("/") == ["/"]


def test_bytes_that_are_no_text_come_through() -> None:
    value = b"\xff\x00".decode(errors="surrogateescape")
    assert Store([("/k", value)]).getv("/k").encode(errors="surrogateescape") == b"\xff\x00"


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        # as Go's path.Match has it
        ("web", "web", "we webs"),
        ("*", "web", "a/b"),
        ("web*", "web web-1", "web/1"),
        ("web*/1", "web/1 web-2/1", "web/2/1"),
        ("w*b*/p*t", "web/port wb/pt w-b-b/p-t", "web/a/port web/por"),
        ("w?b", "web wüb", "w/b wb"),
        ("*b", "bbb", "bba"),
        ("**b**", "abc b", "ac"),
        ("n[12]", "n1 n2", "n3"),
        ("n[1-3]", "n1 n3", "n4"),
        ("n[^1-3]", "n4 n/", "n1"),
        ("[é-ü]*", "ê ö", "a"),
        ("[\\]x]", "] x", "a"),
        ("[\\-x]", "- x", "a"),
        ("[x\\-]", "- x", "a"),
        ("[3-1]", "", "1 2 3 -"),
        ("[^3-1]", "1 /", "12"),
        ("[&~|^]", "& ~ | ^", "a"),
        ("[[]x", "[x", "]x"),
        ("*[a*]b", "x*b xab", "xb"),
        ("*a[b]*", "ab xabx", "a/b"),
        ("a\\*b", "a*b", "axb a\\*b"),
        ("a.+()b", "a.+()b", "axb"),
    ],
)
def test_globs_match_as_in_go(pattern: str, names: str, others: str) -> None:
    assert [name for name in names.split(" ") if name and not matches(pattern, name)] == []
    assert [name for name in others.split(" ") if matches(pattern, name)] == []


@pytest.mark.parametrize(
    "pattern", ["[", "[a", "[]a]", "[^]", "[-]", "[x-]", "[a-b-c]", "[^", "a\\", "[\\", "*["]
)
def test_a_malformed_glob_is_an_error(pattern: str) -> None:
    with pytest.raises(FunctionError, match=r"malformed|backslash"):
        Store([]).gets(f"/{pattern}")


def test_many_stars_take_no_exponential_time() -> None:
    assert not matches("*a" * 30 + "b", "a" * 200)


@given(
    st.lists(KEY, unique=True), st.lists(st.sampled_from([*"/ab-*?é", "[ab]", "\\*", "[^/b]"]), max_size=8)
)
@example(["/\U0010ffff", "/\U0010ffffb"], ["\U0010ffff", "*"])
def test_gets_finds_what_a_look_at_every_key_finds(keys: list[str], parts: list[str]) -> None:
    pattern = "/" + "".join(parts)
    known = Store([(key, key) for key in keys])
    expected = [key for key in known._keys if like_go(pattern, key)]
    assert [pair.key for pair in known.gets(pattern)] == expected


@given(st.lists(KEY, unique=True), KEY | st.just("/"))
def test_ls_finds_what_a_look_at_every_key_finds(keys: list[str], path: str) -> None:
    known = Store([(key, "") for key in keys])
    within = path.rstrip("/") + "/"
    rests = [key.removeprefix(within) for key in known._keys if key.startswith(within) and key != within]
    itself = {path.rpartition("/")[2] or "/"} if known.exists(path) else set()
    assert known.ls(path) == sorted({rest.partition("/")[0] for rest in rests} | itself)
    assert known.lsdir(path) == sorted({rest.partition("/")[0] for rest in rests if "/" in rest})


@given(st.lists(st.dictionaries(KEY | st.sampled_from(["", "//a", "/b/", "/a/../b"]), VALUE), max_size=4))
def test_stores_made_one_after_the_other_are_like_new_ones(contents: list[dict[str, bytes]]) -> None:
    """Whatever came, went, or changed meanwhile; also with keys that are not clean."""
    stores = Stores("/prod")
    for content in contents:
        share = share_of({f"/prod{key}": value for key, value in content.items()})
        texts = {key: content[key].decode(errors="surrogateescape") for key in content}
        found = stores.of(share)
        expected = Store(sorted(texts.items()), "/prod")
        assert [found.gets(pattern) for pattern in ("/*", "/*/*", "/a/[b]")] == [
            expected.gets(pattern) for pattern in ("/*", "/*/*", "/a/[b]")
        ]
        assert [found.exists(key) for key in (*texts, "/b")] == [
            expected.exists(key) for key in (*texts, "/b")
        ]


def test_only_a_changed_entry_is_read_again() -> None:
    stores, share = Stores(""), share_of({"/a/1": b"1", "/a/2": b"2"})
    before = stores.of(share).gets("/a/*")
    after = stores.of(Share(share.names, (share.entries[0], Entry(b"new")))).gets("/a/*")
    assert after[0] is before[0]
    assert after[1] == ("/a/2", "new")


def share_of(content: Mapping[str, bytes]) -> Share:
    names = sorted(content)
    return Share(tuple(names), tuple(Entry(content[name]) for name in names))


def matches(pattern: str, name: str) -> bool:
    wanted = glob.compiled(pattern)
    return name.startswith(wanted.head) and wanted.fits(name)


def like_go(pattern: str, name: str) -> bool:
    """Match by trying everything, one character after the other."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return like_go(pattern[1:], name) or (name[:1] not in ("", "/") and like_go(pattern, name[1:]))
    if not name:
        return False
    if pattern[0] == "[":
        members, _, rest = pattern[1:].partition("]")
        inside = (name[0] not in members) if members[0] == "^" else name[0] in members
        return inside and like_go(rest, name[1:])
    if pattern[0] == "\\":
        return name[0] == pattern[1] and like_go(pattern[2:], name[1:])
    return (name[0] == pattern[0] or (pattern[0] == "?" and name[0] != "/")) and like_go(
        pattern[1:], name[1:]
    )


@given(st.text(string.printable + "é\U0010ffff", max_size=8))
def test_a_name_without_signs_matches_itself_only(name: str) -> None:
    plain = re.sub(r"([*?\[\\])", r"\\\1", name)
    assert matches(plain, name)
    assert not matches(plain, name + "x")
