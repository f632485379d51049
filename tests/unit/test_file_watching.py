"""How files are followed: by notices, or polled as long as they can't be watched, which is said."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import time
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxyconf.config import SourceTable
from proxyconf.errors import SourceError
from proxyconf.sources import open_source
from proxyconf.sources._file_notices import UnwatchableError, _next, notices

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from proxyconf.model import Listing
    from proxyconf.sources import Source


def source(*paths: Path, **settings: object) -> Source:
    table = {"path": [str(path) for path in paths], **settings}
    return open_source(SourceTable("file", "file", table, "test"), ("/",))


def replace(path: Path, text: str) -> None:
    new = path.with_name(".new")
    new.write_text(text)
    new.replace(path)


def values(listing: Listing) -> dict[str, str]:
    return {name: entry.value.decode() for name, entry in listing.pairs.items()}


def notifying() -> list[str]:
    """Return the threads that watch files."""
    names = []
    for task in Path("/proc/self/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            names.append(task.read_text())
    return [name for name in names if name.startswith("notify")]


@contextmanager
def one_descriptor() -> Iterator[None]:
    """Leave us one free file descriptor: enough to read a file, too few for a watch."""
    for _ in range(5000):  # an earlier watch may be about to give its descriptors back
        if not notifying():
            break
        time.sleep(0.001)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - the names are wanted, as numbers
    fillers = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)]
    try:
        while fillers[-1] <= highest:
            fillers.append(os.dup(fillers[-1]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1, hard))
        os.close(fillers.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


async def test_what_can_not_be_watched_is_polled(tmp_path: Path) -> None:
    """As long as that is so; said once in the log, and by every listing."""
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    opened = source(path, relist="50ms")
    with capture_logs() as logs:
        async with asyncio.timeout(10), aclosing(opened.watch()) as listings:
            with one_descriptor():
                first = await anext(listings)
                replace(path, "a: 2")
                second = await anext(listings)
            third = await anext(listings)
            replace(path, "a: 3")
            assert values(await anext(listings)) == {"/a": "3"}
    (problem,) = first.problems
    assert (problem.what, problem.where) == ("source", "file")
    assert re.fullmatch(
        r"can't be watched \(.*Too many open files.*\), so it is read every 0\.05 s"
        r" \(raise fs\.inotify\.max_user_instances, max_user_watches, or how many files we may open\)",
        problem.why,
    )
    assert [(values(one), one.problems) for one in (first, second, third)] == [
        ({"/a": "1"}, (problem,)),
        ({"/a": "2"}, (problem,)),
        ({"/a": "2"}, ()),
    ]
    assert [(log["event"], log["log_level"], log.get("poll_s")) for log in logs] == [
        ("source.unwatched", "warning", 0.05),
        ("source.watched", "info", None),
    ]


async def test_nothing_is_left_when_it_is_closed(tmp_path: Path) -> None:
    """Neither a task, nor the thread of the notifications; whether it waits or not."""
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before = asyncio.all_tasks()
    async with asyncio.timeout(10), aclosing(source(path).watch()) as listings:
        await anext(listings)
        assert notifying()
    async with asyncio.timeout(10), aclosing(source(path).watch()) as listings:
        await anext(listings)
        coming = asyncio.ensure_future(anext(listings))
        await asyncio.wait({coming}, timeout=0.05)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming
    assert asyncio.all_tasks() == before
    async with asyncio.timeout(5):
        while notifying():  # noqa: ASYNC110 - the thread ends by itself, a moment later, and tells nobody
            await asyncio.sleep(0)


async def test_polling_ends_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before = asyncio.all_tasks()
    with one_descriptor():
        async with asyncio.timeout(10), aclosing(source(path, relist="1h").watch()) as listings:
            await anext(listings)
            coming = asyncio.ensure_future(anext(listings))
            await asyncio.wait({coming}, timeout=0.05)
            coming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await coming
    assert asyncio.all_tasks() == before


async def test_a_polled_path_that_vanishes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    with one_descriptor():
        async with asyncio.timeout(10), aclosing(source(path, relist="50ms").watch()) as listings:
            await anext(listings)
            path.unlink()
            with pytest.raises(SourceError, match="No such file or directory"):
                await anext(listings)


async def test_a_folder_that_is_gone_is_not_polled(tmp_path: Path) -> None:
    """It was there a moment ago; the next attempt says what is missing."""
    async with asyncio.timeout(10), aclosing(notices([tmp_path / "gone"], 60.0)) as coming:
        with pytest.raises(SourceError, match="watch: No such file or directory") as caught:
            await anext(coming)
    assert not isinstance(caught.value, UnwatchableError)


@pytest.mark.parametrize(
    ("error", "reason", "mend"),
    [
        pytest.param(
            OSError('OS file watch limit reached. about ["/x"] (Error { kind: MaxFilesWatch, paths: [] })'),
            'OS file watch limit reached. about ["/x"]',
            "raise fs.inotify.max_user_instances",
            id="watches",
        ),
        pytest.param(
            PermissionError('Permission denied (os error 13) about ["/x"]'),
            'Permission denied (os error 13) about ["/x"]',
            "let our user read that folder",
            id="permission",
        ),
        pytest.param(RuntimeError("ended"), "ended", "raise fs.inotify", id="later"),
    ],
)
async def test_why_it_can_not_be_watched(error: Exception, reason: str, mend: str) -> None:
    """As watchfiles words it, but for what only its authors understand."""

    async def fails() -> AsyncGenerator[None, None]:
        if str(error):
            raise error
        yield

    with pytest.raises(UnwatchableError) as caught:
        await _next(fails())
    assert str(caught.value) == reason
    assert caught.value.mend.startswith(mend)


# --- as trees change


async def test_a_tree_is_followed(tmp_path: Path) -> None:
    """Renamed over, written in place, in a folder that came later; what changes nothing is no listing."""
    replace(tmp_path / "a.yaml", "a: 1")
    async with asyncio.timeout(10), aclosing(source(tmp_path).watch()) as listings:
        assert values(await anext(listings)) == {"/a": "1"}
        replace(tmp_path / "a.yaml", "a:   1 # the same")
        replace(tmp_path / "a.yaml", "a: 2")
        assert values(await anext(listings)) == {"/a": "2"}
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "b.json").write_text('{"b": 1}')
        while values(await anext(listings)) != {"/a": "2", "/b": "1"}:
            pass  # half a file may be seen, and is a problem for a moment
        replace(tmp_path / "below" / "b.json", '{"b": 2}')
        assert values(await anext(listings)) == {"/a": "2", "/b": "2"}
        (tmp_path / "below" / "b.json").unlink()
        assert values(await anext(listings)) == {"/a": "2"}


async def test_a_mounted_config_map_is_followed(tmp_path: Path) -> None:
    """Its folder holds links into a hidden folder, behind a hidden link that is swapped; the old one goes."""
    mount = tmp_path / "mount"

    def write(version: int) -> None:
        data = mount / f"..{version}"
        (data / "more").mkdir(parents=True)
        (data / "values.yaml").write_text(f"version: {version}")
        (data / "more" / "b.yml").write_text(f"b: {version}")
        (mount / "..data_tmp").symlink_to(data.name)
        (mount / "..data_tmp").replace(mount / "..data")

    write(1)
    for name in ("values.yaml", "more"):
        (mount / name).symlink_to(f"..data/{name}")
    async with asyncio.timeout(10), aclosing(source(mount).watch()) as listings:
        assert values(await anext(listings)) == {"/version": "1", "/b": "1"}
        for version in (2, 3):
            write(version)
            while values(await anext(listings)) != {"/version": str(version), "/b": str(version)}:
                pass  # one may have been read before the swap, and one after it
            for file in ("values.yaml", "more/b.yml"):
                (mount / f"..{version - 1}" / file).unlink()
            (mount / f"..{version - 1}" / "more").rmdir()
            (mount / f"..{version - 1}").rmdir()


async def test_a_linked_file_is_followed_where_it_is(tmp_path: Path) -> None:
    """Although only the link is in the folder."""
    real = tmp_path / "elsewhere" / "a.yaml"
    real.parent.mkdir()
    real.write_text("a: 1")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.yaml").symlink_to(real)
    async with asyncio.timeout(10), aclosing(source(folder).watch()) as listings:
        assert values(await anext(listings)) == {"/a": "1"}
        replace(real, "a: 2")
        assert values(await anext(listings)) == {"/a": "2"}
