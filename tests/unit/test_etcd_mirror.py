"""Which keys of an etcd are followed, and what its mirror holds and publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import SourceError
from proxyconf.model import Entry, Listing
from proxyconf.sources._etcd_connect import Server
from proxyconf.sources._etcd_mirror import KeyRange, Listed, Mirror, key_ranges, prefix_end
from proxyconf.sources._etcd_rpc import rpc
from proxyconf.sources.etcd import _take_again

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERVER = Server("dns:///etcd:2379", "http://etcd:2379")


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"/a/", b"/a0"),
        (b"a\xff", b"b"),
        (b"a\xfe\xff\xff", b"a\xff"),
        (b"\xff\xff", b"\0"),
        (b"", b"\0"),
    ],
)
def test_prefix_end(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


@pytest.mark.parametrize(
    ("prefix", "needs", "ranges"),
    [
        pytest.param("/a", [], ["/a/ /a0"], id="what is below the prefix"),
        pytest.param("/a//", [], ["/a/ /a0"], id="slashes at its end"),
        pytest.param("a/b", [], ["a/b/ a/b0"], id="a prefix without a slash before it"),
        pytest.param("/", [], ["/ 0"], id="the whole store"),
        pytest.param("", [], [], id="nothing"),
        pytest.param("", ["/db", "/app/server"], ["/app/server /app/server0", "/db /db0"], id="needs"),
        pytest.param("/p", ["/db"], ["/db /db0", "/p/ /p0"], id="prefix and need"),
        pytest.param("/p/q", ["/p"], ["/p /p0"], id="prefix below a need"),
        pytest.param("/p", ["/p/q", "/p/r"], ["/p/ /p0"], id="needs below the prefix"),
        pytest.param("/p", ["/p"], ["/p /p0"], id="the prefix itself as need"),
        pytest.param("", ["/a", "/a/b", "/a/b/c", "/a"], ["/a /a0"], id="needs in needs"),
        pytest.param("", ["/a", "/a-b", "/ab"], ["/a /a0", "/ab /ab0"], id="what sorts between is held"),
        pytest.param("/p", ["/a", "/"], ["/ 0"], id="everything"),
    ],
)
def test_ranges(prefix: str, needs: list[str], ranges: list[str]) -> None:
    assert key_ranges(prefix, needs) == tuple(
        KeyRange(*(bound.encode() for bound in one.split())) for one in ranges
    )


def pair(key: str | bytes, value: str = "", *, revision: int = 1, born: int = 1) -> object:
    raw = key.encode() if isinstance(key, str) else key
    return rpc.KeyValue(key=raw, value=value.encode(), mod_revision=revision, create_revision=born)


def put(key: str | bytes, value: str, *, revision: int, born: int = 1) -> object:
    return rpc.Event(type=rpc.Event.PUT, kv=pair(key, value, revision=revision, born=born))


def deletion(key: str | bytes, *, revision: int) -> object:
    return rpc.Event(type=rpc.Event.DELETE, kv=pair(key, revision=revision))


def mirror(
    *pairs: object, revision: int = 10, prefix: str = "/p", needs: Sequence[str] = (), source: str = "etcd"
) -> Mirror:
    made = Mirror(source, prefix, needs)
    made.take(Listed("7", revision, pairs))
    return made


def test_a_listing_says_what_was_listed() -> None:
    """Keys are relative to the prefix, which stays in the name of their place, braces and all."""
    listing = mirror(pair("/{p}/a{b}", "1", born=3), prefix="/{p}", source="etcd.lab").listing()
    assert listing == Listing(
        "etcd.lab", 10, "7", keys={"a{b}": Entry(b"1", 3)}, place="etcd.lab key '/{{p}}/{key}'"
    )
    assert listing.place.format(key="a{b}") == "etcd.lab key '/{p}/a{b}'"
    assert mirror(prefix="").listing().place.format(key="/a") == "etcd key '/a'"


@pytest.mark.parametrize(
    ("events", "changed", "keys"),
    [
        pytest.param([put("/p/a", "2", revision=11)], True, {"a": b"2"}, id="value"),
        pytest.param([put("/p/a", "1", revision=11)], False, {"a": b"1"}, id="same value"),
        pytest.param([put("/p/a", "1", revision=11, born=11)], True, {"a": b"1"}, id="same value, reborn"),
        pytest.param([deletion("/p/a", revision=11)], True, {}, id="deletion"),
        pytest.param([deletion("/p/b", revision=11)], False, {"a": b"1"}, id="deletion of none"),
        pytest.param(
            [put("/p/b", "1", revision=11), deletion("/p/a", revision=11)], True, {"b": b"1"}, id="both"
        ),
        pytest.param([put("/p/a", "0", revision=10)], False, {"a": b"1"}, id="older than the list"),
        pytest.param([], False, {"a": b"1"}, id="nothing"),
    ],
)
def test_changes(events: Iterable[object], changed: bool, keys: dict[str, bytes]) -> None:  # noqa: FBT001 - a table
    followed = mirror(pair("/p/a", "1"))
    before = followed.listing()
    assert followed.apply(events) is changed
    assert {key: entry.value for key, entry in followed.listing().keys.items()} == keys
    assert before == mirror(pair("/p/a", "1")).listing(), "a published listing never changes"


def test_the_revision_is_that_of_the_latest_change() -> None:
    followed = mirror()
    followed.apply([put("/p/a", "1", revision=12), put("/p/b", "1", revision=15)])
    assert followed.listing().revision == 15


def test_the_revision_never_goes_back() -> None:
    """One watch may tell of a revision after another has told of a later one."""
    followed = mirror(needs=["/a", "/b"])
    followed.apply([put("/a/x", "1", revision=15)])
    assert followed.apply([put("/b/x", "1", revision=12)])
    assert followed.listing().revision == 15
    assert followed.apply([put("/b/x", "2", revision=16), deletion("/a/x", revision=16)])
    assert (followed.listing().revision, shown(followed.listing())) == (16, ({}, {"/b/x": b"2"}))


def shown(listing: Listing) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the values of both kinds of keys."""
    keys = {key: entry.value for key, entry in listing.keys.items()}
    return keys, {name: entry.value for name, entry in listing.pairs.items()}


DB = ["/db", "/db/", "/db-a", "/db/a", "/db/a/b"]


@pytest.mark.parametrize(
    ("prefix", "needs", "keys", "pairs"),
    [
        pytest.param("/db", [], ["", "a", "a/b"], [], id="routes only"),
        pytest.param("", ["/db"], [], ["/db", "/db/", "/db/a", "/db/a/b"], id="a need"),
        pytest.param("", ["/db/a"], [], ["/db/a", "/db/a/b"], id="a need that is a key, too"),
        pytest.param("/db", ["/db/a", "/x"], ["", "a", "a/b"], ["/db/a", "/db/a/b", "/x"], id="both"),
        pytest.param("/x", ["/db/"], [], ["/db", "/db/", "/db/a", "/db/a/b"], id="with a slash at its end"),
        pytest.param("", ["/"], [], ["/", *DB, "/dbx", "/x"], id="everything"),
        pytest.param("", [], [], [], id="nothing"),
    ],
)
def test_what_a_key_is_wanted_for(prefix: str, needs: list[str], keys: list[str], pairs: list[str]) -> None:
    """Also where etcd tells of more: /db-a sorts between /db and /db/a, so it is in their range."""
    there = ["/", *DB, "/dbx", "/x"]
    listed = mirror(*[pair(name, name) for name in there], prefix=prefix, needs=needs).listing()
    watched = mirror(prefix=prefix, needs=needs)
    assert watched.apply([put(name, name, revision=11) for name in there]) is bool(keys or pairs)
    for listing in (listed, watched.listing()):
        assert (sorted(listing.keys), sorted(listing.pairs)) == (sorted(keys), sorted(pairs))
    assert not watched.apply([deletion("/db-a", revision=12)]) or "/" in needs
    watched.apply([deletion(name, revision=12) for name in there])
    assert shown(watched.listing()) == ({}, {})


def test_a_key_that_is_wanted_twice_has_one_entry() -> None:
    followed = mirror(pair("/p/a", "1"), needs=["/p"])
    assert followed.apply([put("/p/a", "2", revision=11, born=5)])
    listing = followed.listing()
    assert listing.keys["a"] is listing.pairs["/p/a"]
    assert listing.keys["a"] == Entry(b"2", 5)


def test_what_did_not_change_is_published_again() -> None:
    """As the very same object, so that 10,000 keys for templates cost a route's change nothing."""
    followed = mirror(pair("/p/a", "1"), pair("/db/a", "1"), needs=["/db"])
    before = followed.listing()
    followed.apply([put("/p/a", "2", revision=11)])
    after = followed.listing()
    assert after.pairs is before.pairs
    assert shown(after) == ({"a": b"2"}, {"/db/a": b"1"})
    assert shown(before) == ({"a": b"1"}, {"/db/a": b"1"})


def test_a_name_that_is_no_text_is_one_problem() -> None:
    """However many want it; none where nobody does."""
    followed = mirror(pair(b"/p/\xff"), pair(b"/p-\xff"), prefix="/p", needs=["/p"])
    assert [problem.where for problem in followed.listing().problems] == [r"etcd key b'/p/\xff'"]
    assert not followed.apply([put(b"/p-\xfe", "", revision=11), deletion(b"/p-\xff", revision=12)])
    assert followed.apply([deletion(b"/p/\xff", revision=13)])
    assert followed.listing().problems == ()


def test_names_that_are_no_text_are_problems() -> None:
    followed = mirror(pair(b"/p/\xff"), pair("/p/a"))
    assert [str(problem) for problem in followed.listing().problems] == [
        r"source etcd key b'/p/\xff': its name is not UTF-8 (rename or delete it)"
    ]
    assert list(followed.listing().keys) == ["a"]
    assert not followed.apply([put(b"/p/\xff", "2", revision=11)]), "it was known"
    assert followed.apply([put(b"/p/\xfe", "2", revision=12)])
    assert followed.apply([deletion(b"/p/\xff", revision=13), deletion(b"/p/\xfe", revision=14)])
    assert followed.listing().problems == ()


def test_a_list_that_says_the_same_is_no_change() -> None:
    followed = mirror(pair("/p/a", "1"))
    assert not _take_again(followed, Listed("7", 20, (pair("/p/a", "1"),)), SERVER)
    assert followed.listing().revision == 20
    assert _take_again(followed, Listed("7", 20, ()), SERVER)


@pytest.mark.parametrize("listed", [Listed("7", 9, ()), Listed("8", 20, ())], ids=["revision", "cluster"])
def test_a_store_that_went_back_is_not_compared_with(listed: Listed) -> None:
    """The watch no longer tells the truth; a new one lists the store as another."""
    with pytest.raises(SourceError, match="went back from revision 10 of cluster 7"):
        _take_again(mirror(), listed, SERVER)
