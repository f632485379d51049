"""What every source must do (see `proxyconf.sources`), told once, and run over all kinds."""

from __future__ import annotations

import asyncio
import copy
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceError
from proxyconf.sources import open_source

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from typing import Any

    from proxyconf.model import Listing
    from proxyconf.sources import Source

# kinds whose store only a real server is like, so that tests/live alone drives them
LIVE = frozenset({"etcd"})


class Store(Protocol):
    """A store of things with names, as one kind of source sees it."""

    def settings(self) -> dict[str, object]:
        """Return the table that leads a source to it."""
        ...

    def put(self, name: str) -> None:
        """Put a thing into it."""
        ...

    def drop(self, name: str) -> None:
        """Take it out."""
        ...

    def lose(self) -> None:
        """Let every watch lose it."""
        ...

    def restore(self) -> None:
        """Let it be there again, as it was."""
        ...

    def names(self, listing: Listing) -> set[str]:
        """Return the names of what is listed."""
        ...


async def lists_at_once(kind: str, store: Store) -> None:
    """The first listing is whole, an empty one too, and has the source's name."""
    source = opened(kind, store)
    assert source.name == f"{kind}.other"
    async with watching(source) as listings:
        first = await anext(listings)
    assert (first.source, store.names(first)) == (f"{kind}.other", set())
    store.put("a")
    store.put("b")
    async with watching(source) as listings:
        assert store.names(await anext(listings)) == {"a", "b"}


async def every_change_is_a_whole_listing(kind: str, store: Store) -> None:
    """And none that was published before is touched."""
    store.put("a")
    published: list[tuple[Listing, Listing]] = []
    async with watching(opened(kind, store)) as listings:
        await until(listings, store, {"a"}, published)
        store.put("b")
        await until(listings, store, {"a", "b"}, published)
        store.drop("a")
        await until(listings, store, {"b"}, published)
        store.drop("b")
        await until(listings, store, set(), published)
    assert all(listing == as_it_came for listing, as_it_came in published)
    assert {listing.source for listing, _ in published} == {f"{kind}.other"}


async def a_lost_store_is_an_error(kind: str, store: Store) -> None:
    """Not an empty listing; and the same source watches again as soon as it is back."""
    source = opened(kind, store)
    store.put("a")
    async with watching(source) as listings:
        await anext(listings)
        store.lose()
        with pytest.raises(SourceError):
            await anext(listings)
    store.restore()
    async with watching(source) as listings:
        assert store.names(await anext(listings)) == {"a"}


async def nothing_is_left_when_closed(kind: str, store: Store) -> None:
    """Whether it was never asked, has published, or waits; `watching` looks for tasks."""
    async with watching(opened(kind, store)):
        pass
    async with watching(opened(kind, store)) as listings:
        await anext(listings)
    async with watching(opened(kind, store)) as listings:
        await anext(listings)
        coming = asyncio.ensure_future(anext(listings))
        await asyncio.wait({coming}, timeout=0.05)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming


CHECKS: tuple[Callable[[str, Store], Awaitable[None]], ...] = (
    lists_at_once,
    every_change_is_a_whole_listing,
    a_lost_store_is_an_error,
    nothing_is_left_when_closed,
)


def opened(kind: str, store: Store) -> Source:
    return open_source(SourceTable(kind, f"{kind}.other", store.settings(), "test"))


@asynccontextmanager
async def watching(source: Source) -> AsyncIterator[AsyncGenerator[Listing, None]]:
    """Watch for at most 20 s; after that no task of it may be left."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(20):
        async with aclosing(source.watch()) as listings:
            yield listings
        left = {task for task in asyncio.all_tasks() - before if not is_scripted(task)}
        # gRPC has a task that sees a cancelled call to its end, a moment later
        assert not left or not (await asyncio.wait(left, timeout=1))[1]


def is_scripted(task: asyncio.Task[Any]) -> bool:
    """Tell whether *task* belongs to a scripted server, which runs in our loop."""
    return "RequestHandler" in repr(task.get_coro())


async def until(
    listings: AsyncGenerator[Listing, None],
    store: Store,
    wanted: set[str],
    published: list[tuple[Listing, Listing]],
) -> None:
    """Wait for the listing of what is *wanted*; note each one, and how it looked as it came."""
    while True:
        listing = await anext(listings)
        published.append((listing, copy.deepcopy(listing)))
        if store.names(listing) == wanted:
            return
