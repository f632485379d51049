"""Services and routes in a TOML file, or in a folder of them, followed as they change.

    [file]
    path = "/etc/proxyconf/sites.toml"

The file:

    [services.web]
    endpoints = ["127.0.0.1:8081", {address = "127.0.0.1:8082", weight = 2}]

    [routes.blog]
    host = "blog.example.com"
    service = "web"

In a folder every ``*.toml`` counts. A file that can't be read or understood keeps its last good content.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

from watchfiles import awatch

from proxyconf.errors import SourceError, UsageError
from proxyconf.sources._file_reading import File, find_folders, make_listing, read_files
from proxyconf.tables import SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from proxyconf.model import Listing

# a change is seen after one or two steps; while changes keep coming, after the debounce
_STEP_MS = 20
_DEBOUNCE_MS = 100


class Settings(SourcePolicy, frozen=True, kw_only=True):
    """The keys of ``[file]``.

    Attributes:
        path: The file or folder.
        relist: Read again this often even if no change was seen: network file systems tell of none.
    """

    path: Path
    relist: Seconds = Seconds(60)


def open_source(name: str, settings: Settings, needs: Sequence[str] = ()) -> FileSource:
    """Make the source of the table *name*.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    del needs  # these files hold services and routes only
    if not settings.relist:
        raise UsageError(f'[{name}] relist: must be more than 0 (write "5s", or leave it out)')
    return FileSource(name, settings)


class FileSource:
    """The source; `watch` serves one watch at a time.

    Attributes:
        name: The name of its table.
        policy: Its settings.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.policy = settings
        self._path = settings.path.absolute()
        self._files: dict[Path, File] = {}

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Read everything, yield it at once, and again after every change of the content.

        Raises:
            SourceError: The file or folder is missing, or nothing in it can be understood.
            SourceDeniedError: We may not read it.
        """
        latest: Listing | None = None
        async with aclosing(self._changes()) as changes:
            async for _ in changes:
                self._files = await asyncio.to_thread(read_files, self._path, self._files, self.name)
                listing = make_listing(self._path, self._files, self.name)
                if listing != latest:
                    latest = listing
                    yield listing

    async def _changes(self) -> AsyncGenerator[None, None]:
        """Yield once a watch stands, so that nothing falls between it and a read, and on every change."""
        while True:
            folders = await self._folders()
            async with aclosing(self._notifications(folders)) as notifications:
                async for _ in notifications:
                    yield
                    if await self._folders() != folders:
                        break  # one was replaced, or a link leads elsewhere: watch the new ones

    async def _folders(self) -> Mapping[Path, object]:
        return await asyncio.to_thread(find_folders, self._path, self.name)

    async def _notifications(self, folders: Iterable[Path]) -> AsyncGenerator[None, None]:
        """Yield once *folders* are watched, whenever something happened there, and every `relist`."""
        watch = awatch(
            *folders,
            watch_filter=None,  # the swap of a hidden link may be what replaces a file
            step=_STEP_MS,
            debounce=_DEBOUNCE_MS,
            rust_timeout=max(1, round(self.policy.relist * 1000)),
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(watch):
            first = asyncio.create_task(_next(watch), name=f"{self.name} watch")
            try:
                await asyncio.sleep(0)  # in its first step it makes the watch
                yield
                await first
                while True:
                    yield
                    await _next(watch)
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)


async def _next(watch: AsyncGenerator[object, None]) -> None:
    try:
        await anext(watch)
    except (OSError, RuntimeError) as exc:
        raise SourceError(
            f"watch: {exc} (if it is a limit, raise fs.inotify.max_user_instances or max_user_watches)"
        ) from exc
