"""The file source on real files and notifications."""

# ruff: noqa: ASYNC240 - the files are small, and these loops have nothing else to do

from __future__ import annotations

import asyncio
import os
import re
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.model import Claims, Endpoint, Entry, Listing, Problem
from proxyconf.routing import Reader
from proxyconf.sources import open_source
from proxyconf.sources._file_finding import Places, find, lost
from proxyconf.sources._file_reading import File, make_listing, read_files

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from proxyconf.sources import Source

EXAMPLE = """
[services.web]
endpoints = ["127.0.0.1:8081", {address = "127.0.0.1:8082", weight = 2}]

[routes.blog]
host = "blog.example.com"
path = "/"
service = "web"
"""
ONE = '[services.web]\nendpoints = ["127.0.0.1:8081"]\n'
TWO = '[services.web]\nendpoints = ["127.0.0.1:8082"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sites.toml"


def source(path: Path, **settings: object) -> Source:
    return open_source(SourceTable("file", "file", {"path": str(path), **settings}, "test"))


@asynccontextmanager
async def watching(opened: Source) -> AsyncIterator[AsyncGenerator[Listing, None]]:
    """Watch; every test has 10 s."""
    async with asyncio.timeout(10), aclosing(opened.watch()) as listings:
        yield listings


async def keys(listings: AsyncGenerator[Listing, None]) -> list[str]:
    return list((await anext(listings)).keys)


def read(path: Path, text: str | bytes) -> Listing:
    """Return the listing of a file with *text*."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return listed(path)


def files(path: Path, before: Mapping[Path, File] | None = None) -> dict[Path, File]:
    places = Places((path,))
    return read_files(find(places).files, before or {}, places)


def listed(path: Path) -> Listing:
    return make_listing(files(path), Places((path,)))


def replace(path: Path, text: str) -> None:
    """As a careful editor: a new file, renamed over the old one."""
    new = path.with_name(".new")
    new.write_text(text)
    new.replace(path)


def test_a_file_is_keys_as_in_a_store(path: Path) -> None:
    listing = read(path, EXAMPLE)
    assert listing.keys == {
        "services/web/127.0.0.1:8081": Entry(
            b"127.0.0.1:8081", 0, f"file {path}: services.web 127.0.0.1:8081"
        ),
        "services/web/127.0.0.1:8082": Entry(
            b'{"address":"127.0.0.1:8082","weight":2}', 0, f"file {path}: services.web 127.0.0.1:8082"
        ),
        "routes/blog": Entry(
            b'{"host":"blog.example.com","path":"/","service":"web"}', 0, f"file {path}: routes.blog"
        ),
    }
    assert listing.problems == ()


def test_it_becomes_claims(path: Path) -> None:
    claims = Reader().read(read(path, EXAMPLE))
    assert [(member.service, member.endpoint) for member in claims.members] == [
        ("web", Endpoint("127.0.0.1:8081")),
        ("web", Endpoint("127.0.0.1:8082", 2)),
    ]
    assert [(route.claim, route.service, route.where) for route in claims.routes] == [
        ("blog.example.com/", "web", f"file {path}: routes.blog")
    ]


def test_an_empty_file_is_known_to_be_empty(path: Path) -> None:
    assert Reader().read(read(path, "")) == Claims("file")


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        pytest.param("[sevices.web]", "sevices", "unknown table (did you mean 'services'?)", id="table"),
        pytest.param("services = 1", "services", "expected tables (write [services.NAME])", id="no tables"),
        pytest.param("services.web = []", "services.web", "expected a table with endpoints", id="no table"),
        pytest.param(
            "services.web.endpoints = '127.0.0.1:8091'",
            "services.web.endpoints",
            'expected a list (write endpoints = ["127.0.0.1:8091"])',
            id="no list",
        ),
        pytest.param(
            "services.web.endpoints = 1",
            "services.web.endpoints",
            'endpoints = ["10.0.0.1:80"]',
            id="a number",
        ),
        pytest.param(
            "[services.web]\nendpoint = []", "services.web.endpoint", "did you mean 'endpoints'?", id="key"
        ),
        pytest.param(
            "services.web.endpoints = ['127.0.0.1:80', {address = '127.0.0.1:80'}]",
            "services.web 127.0.0.1:80",
            "is there twice (delete one)",
            id="twice",
        ),
        pytest.param('"a\\nb" = 1', "'a\\nb'", "unknown table", id="newline in a name"),
    ],
)
def test_what_is_wrong_in_a_file_is_a_problem(path: Path, text: str, place: str, why: str) -> None:
    (problem,) = read(path, text).problems
    assert (problem.what, problem.where) == ("file", f"{path}: {place}")
    assert why in problem.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("services.web.endpoints = ['web:80']", "web web:80: 'web:80' is no address", id="name"),
        pytest.param("services.web.endpoints = ['a/b']", "web #1: 'a/b' is no address", id="slash"),
        pytest.param("services.web.endpoints = ['']", "web #1: the value is empty", id="empty"),
        pytest.param("services.web.endpoints = [8080]", "web #1: '8080' is no address", id="number"),
        pytest.param("services.web.endpoints = [{weight = 2}]", "web #1: object missing", id="no address"),
        pytest.param("services.'a/b'.endpoints = ['127.0.0.1:80']", "a/b 127.0.0.1:80: is no", id="service"),
        pytest.param("routes.web = 'a.test'", "routes.web: 'a.test' is no route (write {", id="route"),
        pytest.param("routes.web.host = 07:32:00", "routes.web: '07:32:00' is no host", id="date"),
    ],
)
def test_bad_values_are_for_routing_to_refuse(path: Path, text: str, why: str) -> None:
    """They come through, so that a value that turns bad keeps its last good form."""
    (problem,) = Reader().read(read(path, text)).problems
    assert why in str(problem)


@pytest.mark.parametrize(
    ("content", "where", "why"),
    [
        pytest.param("a = 1\nb = \n", ":2", "is no TOML: Invalid value", id="TOML"),
        pytest.param("a = 1\nb = [", ":2", "is no TOML", id="ends too early"),
        pytest.param(
            'a = "x\n',
            ":1",
            r"is no TOML: Illegal character '\n' (at line 1, column 7) (is a quote not closed?)",
            id="quote",
        ),
        pytest.param(b"a = 1\n\n# \xff", ":3", "is not UTF-8", id="not UTF-8"),
        pytest.param("a = " + "9" * 5000, "", "is no TOML", id="endless number"),
        pytest.param("a = " + "[" * 100_000, "", "is no TOML", id="endless depth"),
    ],
)
def test_a_file_that_was_never_good_is_unknown_not_empty(
    path: Path, content: str | bytes, where: str, why: str
) -> None:
    with pytest.raises(SourceError, match=re.escape(f"read {path}{where}: {why}")) as caught:
        read(path, content)
    assert len(str(caught.value)) < 300


@given(text=st.text(alphabet="[]servicoutndp.hab=\"'{},: 1\n#", max_size=60) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    try:
        listing = read(path, text)
    except SourceError:
        return
    Reader().read(listing)
    assert all(str(problem).isprintable() for problem in listing.problems)


def test_a_bad_file_keeps_its_last_good_content(path: Path) -> None:
    """Until it is good again, whether it can't be understood or can't be read."""
    path.write_text(ONE)
    good = files(path)
    path.write_text("x")
    bad = files(path, good)
    assert bad[path].entries == good[path].entries
    assert [
        (problem.where, problem.why.endswith("; its last good content is kept"))
        for problem in bad[path].problems
    ] == [(f"{path}:1", True)]
    assert files(path, bad) == bad
    path.unlink()
    os.mkfifo(path)
    unreadable = files(path, bad)
    assert unreadable[path].entries == good[path].entries
    assert unreadable[path].problems == (
        Problem("file", str(path), "is no regular file; its last good content is kept"),
    )
    path.unlink()
    path.write_text(ONE)
    assert files(path, unreadable) == good


def test_a_file_that_is_empty_all_of_a_sudden_keeps_its_last_good_content(path: Path) -> None:
    """It is being written, or the disk was full; nobody empties a file to say that nothing is there."""
    path.write_text(ONE)
    good = files(path)
    path.write_text("")
    empty = files(path, good)
    why = "is empty; its last good content is kept (if nothing is to be in it: write a comment into it)"
    assert empty[path].entries == good[path].entries
    assert empty[path].problems == (Problem("file", str(path), why),)
    path.write_text("# nothing")
    none = files(path, empty)
    assert none[path].entries == {}
    path.write_text("")
    assert files(path, none)[path].problems == ()


def test_what_is_not_known_of_a_file_may_be_from_before(tmp_path: Path) -> None:
    """A run that begins with a broken or an empty one does not know that there was anything in it."""
    for name, text in (("good", ONE), ("none", "# nothing"), ("broken", "x"), ("empty", "")):
        (tmp_path / f"{name}.toml").write_text(text)
    assert listed(tmp_path).unread == (f"file {tmp_path}/broken.toml:", f"file {tmp_path}/empty.toml:")


def test_a_folder(tmp_path: Path) -> None:
    """Every *.toml in it counts, but no backup, nothing hidden, nothing below; a bad one does not count."""
    for name in ("b.toml", "a.toml~", ".a.toml", "a.txt"):
        (tmp_path / name).write_text(TWO)
    (tmp_path / "a.toml").write_text(ONE)
    (tmp_path / "bad.toml").write_text("x")
    (tmp_path / "gone.toml").symlink_to("nowhere")
    (tmp_path / "folder.toml").mkdir()
    listing = listed(tmp_path)
    assert [entry.where for entry in listing.keys.values()] == [
        f"file {tmp_path}/a.toml: services.web 127.0.0.1:8081",
        f"file {tmp_path}/b.toml: services.web 127.0.0.1:8082",
    ]
    assert [problem.where for problem in listing.problems] == [
        f"{tmp_path}/bad.toml:1",
        f"{tmp_path}/gone.toml",
    ]


def test_a_name_that_is_no_text_can_be_saved_and_shown(tmp_path: Path) -> None:
    """To Linux a file's name is bytes; one that is no UTF-8 once ended the program when it was saved."""
    for name, text in ((b"a\xff.toml", ONE), (b"b\xff.toml", "x")):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(text)
    listing = listed(tmp_path)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(listing), type=Listing) == listing
    assert [problem.where for problem in listing.problems] == [rf"{tmp_path}/b\xff.toml:1"]


def test_of_two_files_with_the_same_key_the_first_counts(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.toml").write_text(ONE)
    listing = listed(tmp_path)
    place = "services.web 127.0.0.1:8081"
    assert [entry.where for entry in listing.keys.values()] == [f"file {tmp_path}/a.toml: {place}"]
    assert listing.problems == (
        Problem(
            "file",
            f"{tmp_path}/b.toml",
            f"services/web/127.0.0.1:8081 counts as in file {tmp_path}/a.toml: {place} (delete one)",
        ),
    )


def test_a_file_we_may_not_read() -> None:
    """The supervisor tries such a source again more slowly. (Root may read everything, so it is made up.)"""
    path = Path("/etc/sites.toml")
    assert isinstance(lost(path, PermissionError(13, "Permission denied"), "file"), SourceDeniedError)
    assert File(None, None, (), denied=True).denied


async def test_lists_at_once_and_after_every_change(path: Path) -> None:
    """Written in place or renamed over; the published listing stays as it was."""
    path.write_text(ONE)
    async with watching(source(path)) as listings:
        first = await anext(listings)
        assert list(first.keys) == ["services/web/127.0.0.1:8081"]
        path.write_text(TWO)
        assert await keys(listings) == ["services/web/127.0.0.1:8082"]
        replace(path, ONE)
        assert await keys(listings) == ["services/web/127.0.0.1:8081"]
        replace(path, "# none any more\n")
        assert await keys(listings) == []
    assert list(first.keys) == ["services/web/127.0.0.1:8081"]


async def test_what_does_not_change_the_content_is_no_listing(path: Path) -> None:
    path.write_text(ONE)
    async with watching(source(path)) as listings:
        await anext(listings)
        for number in range(3):
            replace(path, ONE)
            (path.parent / f"other{number}").write_text(TWO)
        coming = asyncio.ensure_future(anext(listings))
        done, _ = await asyncio.wait({coming}, timeout=0.3)
        assert not done
        replace(path, TWO)
        assert list((await coming).keys) == ["services/web/127.0.0.1:8082"]


async def test_a_folder_is_followed(tmp_path: Path) -> None:
    async with watching(source(tmp_path)) as listings:
        assert await keys(listings) == []
        (tmp_path / "a.toml").write_text(ONE)
        assert await keys(listings) == ["services/web/127.0.0.1:8081"]
        replace(tmp_path / "b.toml", TWO)
        assert len(await keys(listings)) == 2
        (tmp_path / "a.toml").unlink()
        assert await keys(listings) == ["services/web/127.0.0.1:8082"]


async def test_a_link_is_followed_as_it_is_swapped(tmp_path: Path) -> None:
    """As mounted settings change: a hidden link to a folder is renamed over; then the file behind it."""
    for name, text in (("v1", ONE), ("v2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sites.toml").write_text(text)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "sites.toml").symlink_to("..data/sites.toml")
    async with watching(source(tmp_path / "sites.toml")) as listings:
        assert await keys(listings) == ["services/web/127.0.0.1:8081"]
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").replace(tmp_path / "..data")
        assert await keys(listings) == ["services/web/127.0.0.1:8082"]
        replace(tmp_path / "v2" / "sites.toml", ONE)
        assert await keys(listings) == ["services/web/127.0.0.1:8081"]


async def test_what_no_notification_tells_is_read_again(tmp_path: Path) -> None:
    """Here a link to a folder, which itself is in a folder that is not watched."""
    for name, text in (("v1", ONE), ("v2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sites.toml").write_text(text)
    current = tmp_path / "current"
    current.symlink_to("v1")
    async with watching(source(current, relist="50ms")) as listings:
        assert await keys(listings) == ["services/web/127.0.0.1:8081"]
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").replace(current)
        assert await keys(listings) == ["services/web/127.0.0.1:8082"]


@pytest.mark.parametrize(
    "missing",
    [pytest.param("sites.toml", id="file"), pytest.param("no/sites.toml", id="folder of it")],
)
async def test_a_missing_path_says_how_to_mend_it(tmp_path: Path, missing: str) -> None:
    path = tmp_path / missing
    with pytest.raises(
        SourceError, match=re.escape(f"read {path}: No such file or directory (create it, or")
    ):
        async with watching(source(path)) as listings:
            await anext(listings)


async def test_a_link_to_itself_is_an_error(path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(SourceError, match="symbolic links"):
        async with watching(source(path)) as listings:
            await anext(listings)


@pytest.mark.parametrize("folder", [pytest.param(False, id="file"), pytest.param(True, id="folder")])
async def test_a_path_that_vanishes_is_an_error(tmp_path: Path, folder: bool) -> None:  # noqa: FBT001
    """Not an empty listing: unknown is not empty. The next watch goes on with what it knew."""
    watched = tmp_path / ("sites" if folder else "sites.toml")
    file = watched / "a.toml" if folder else watched
    if folder:
        watched.mkdir()
    file.write_text(ONE)
    opened = source(watched)
    async with watching(opened) as listings:
        await anext(listings)
        watched.rename(tmp_path / "away")
        with pytest.raises(SourceError, match="No such file"):
            await anext(listings)
    (tmp_path / "away").rename(watched)
    file.write_text("x")
    async with watching(opened) as listings:
        listing = await anext(listings)
        assert (len(listing.keys), len(listing.problems)) == (1, 1)


async def test_another_file_system_is_another_store(tmp_path: Path) -> None:
    """As where nothing is mounted any more: a folder without files is there, and says nothing of them."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "a.toml").write_text(ONE)
    mounted = tmp_path / "mounted"
    mounted.symlink_to("sites")
    async with watching(source(mounted, relist="50ms")) as listings:
        before = await anext(listings)
        (tmp_path / "new").symlink_to("/proc/sys/vm")
        (tmp_path / "new").replace(mounted)
        after = await anext(listings)
        assert (after.keys, after.problems) == ({}, ())
        assert after.cluster != before.cluster


def test_folders_are_told_apart_by_more_than_their_path(tmp_path: Path) -> None:
    folder = tmp_path / "sites"
    folder.mkdir()
    before = find(Places((folder,))).folders
    folder.rename(tmp_path / "away")
    folder.mkdir()
    assert find(Places((folder,))).folders != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"relist": "0s"}, r"\[file\] relist: must be more than 0", id="relist"),
        pytest.param({"pat": "x"}, "did you mean 'path'", id="unknown key"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(SourceTable("file", "file", {"path": "/x", **settings}, "test"))


def test_a_path_is_needed() -> None:
    with pytest.raises(UsageError, match="path"):
        open_source(SourceTable("file", "file", {}, "test"))
