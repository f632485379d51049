"""What the live tests of the etcd source share: opening it, and collecting its listings."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from proxyconf.config import SourceTable
from proxyconf.sources import open_source

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from proxyconf.model import Listing
    from proxyconf.sources import Source


class Watch:
    """Listings as they come.

    Attributes:
        seen: All so far.
    """

    def __init__(self, listings: AsyncGenerator[Listing, None]) -> None:
        self._listings = listings
        self.seen: list[Listing] = []

    async def next(self) -> dict[str, bytes]:
        self.seen.append(await anext(self._listings))
        return values(self.seen[-1])

    async def until(self, wanted: dict[str, bytes]) -> None:
        while await self.next() != wanted:
            pass


def values(listing: Listing) -> dict[str, bytes]:
    return {key: entry.value for key, entry in listing.keys.items()}


def pairs(listing: Listing) -> dict[str, bytes]:
    return {name: entry.value for name, entry in listing.pairs.items()}


def source(*endpoints: str, needs: Sequence[str] = (), **settings: object) -> Source:
    return open_source(SourceTable("etcd", "etcd", {"endpoints": list(endpoints), **settings}, "test"), needs)


@asynccontextmanager
async def watching(opened: Source) -> AsyncIterator[Watch]:
    """Watch until the block ends; then nothing of it may be left."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(20):
        async with aclosing(opened.watch()) as listings:
            yield Watch(listings)
        # gRPC has a task that sees a cancelled call to its end, a moment later
        left = asyncio.all_tasks() - before
        assert not left or not (await asyncio.wait(left, timeout=1))[1]


async def first(opened: Source) -> dict[str, bytes]:
    async with watching(opened) as watch:
        return await watch.next()
