"""Files of services and routes, and trees of keys for templates, followed as they change.

    [file]
    path = ["/etc/proxyconf/sites.toml", "/etc/proxyconf/values.d"]

A ``*.toml`` holds services and routes:

    [services.web]
    endpoints = ["127.0.0.1:8081", {address = "127.0.0.1:8082", weight = 2}]

    [routes.blog]
    host = "blog.example.com"
    service = "web"

Any other file holds keys for templates, as YAML or, in a ``*.json``, as JSON, and is read as confd's file
store reads it. A file that can't be read or understood, or is empty all of a sudden, keeps its last good
content. Another file system at a path, such as none where one was mounted, arms the loss guard. What the
kernel can't watch is read every ``relist``.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec
import structlog

from proxyconf.errors import UsageError
from proxyconf.model import Problem
from proxyconf.sources._file_finding import YAML, Places, find
from proxyconf.sources._file_notices import UnwatchableError, notices
from proxyconf.sources._file_reading import File, make_listing, read_files
from proxyconf.tables import SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from proxyconf.model import Listing

log = structlog.get_logger(__name__)


class Settings(SourcePolicy, frozen=True, kw_only=True):
    """The keys of ``[file]``.

    Attributes:
        path: Files and folders, or one of them. In a folder every ``*.toml`` counts and, where templates need
            keys, every ``*.yaml``, ``*.yml`` and ``*.json`` in it and below; a file that is named itself
            counts by whatever name.
        filter: A shell pattern for the names of the files in folders.
        relist: Read again this often even if no change was seen, for network file systems tell of none; and
            where changes can't be seen at all.
    """

    path: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1)]
    filter: Annotated[str, msgspec.Meta(min_length=1)] = "*"
    relist: Seconds = Seconds(60)


def open_source(name: str, settings: Settings, needs: Sequence[str] = ()) -> FileSource:
    """Make the source of the table *name*.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    if not settings.relist:
        raise UsageError(f'[{name}] relist: must be more than 0 (write "5s", or leave it out)')
    if any(path.suffix in YAML for path in settings.path) and not find_spec("yaml"):
        raise UsageError(f"[{name}] path: for YAML, PyYAML is missing (pip install 'proxyconf[yaml]')")
    return FileSource(name, settings, needs)


class FileSource:
    """The source; `watch` serves one watch at a time.

    Attributes:
        name: The name of its table.
        policy: Its settings.
    """

    def __init__(self, name: str, settings: Settings, needs: Sequence[str] = ()) -> None:
        self.name = name
        self.policy = settings
        self._needs = needs
        self._places = Places(
            tuple(path.absolute() for path in settings.path),
            # as in Go's patterns, where [^a] is any but a
            pattern=settings.filter.replace("[^", "[!"),
            trees=bool(needs),
            source=name,
        )
        self._files: Mapping[Path, File] = {}
        self._unwatched: UnwatchableError | None = None

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Read everything, yield it at once, and again after every change of the content.

        Raises:
            SourceError: A path is missing, or nothing in it can be understood.
            SourceDeniedError: We may not read it.
        """
        latest: Listing | None = None
        while True:
            watched = (await asyncio.to_thread(find, self._places)).folders
            async with aclosing(self._steps(watched)) as steps:
                async for _ in steps:
                    folders, self._files, listing = await asyncio.to_thread(self._read)
                    if listing != latest:
                        latest = listing
                        yield listing
                    if folders != watched:
                        break  # one was replaced, or a link leads elsewhere: watch the new ones

    async def _steps(self, folders: Iterable[Path]) -> AsyncGenerator[None, None]:
        """Yield when it is time to read; the first time when a watch stands, so that it misses nothing.

        Ends where the folders can't be watched: once, after `relist`, so that it is tried again.
        """
        relist_s = float(self.policy.relist)
        try:
            async with aclosing(notices(folders, relist_s)) as coming:
                async for _ in coming:
                    self._note(None)
                    yield
        except UnwatchableError as exc:
            self._note(exc)
            yield
            await asyncio.sleep(relist_s)

    def _note(self, unwatched: UnwatchableError | None) -> None:
        if unwatched and not self._unwatched:
            poll_s = float(self.policy.relist)
            log.warning("source.unwatched", source=self.name, reason=str(unwatched), poll_s=poll_s)
        elif self._unwatched and not unwatched:
            log.info("source.watched", source=self.name)
        self._unwatched = unwatched

    def _read(self) -> tuple[Mapping[Path, object], Mapping[Path, File], Listing]:
        """Return the folders, the files, and what they say. Blocks."""
        found = find(self._places)
        files = read_files(found.files, self._files, self._places)
        listing = make_listing(files, self._places, self._needs)
        listing = replace(listing, cluster=" ".join(map(str, found.file_systems)))
        if exc := self._unwatched:
            rate = f"every {self.policy.relist:g} s"
            why = f"can't be watched ({exc}), so it is read {rate} ({exc.mend})"
            listing = replace(listing, problems=(*listing.problems, Problem("source", self.name, why)))
        return found.folders, files, listing
