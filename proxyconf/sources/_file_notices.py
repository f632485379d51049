"""Notices of the kernel that something happened in a folder."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from watchfiles import awatch

from proxyconf.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

# a change is seen after one or two steps; while changes keep coming, after the debounce
_STEP_MS = 20
_DEBOUNCE_MS = 100

_LIMITS = "raise fs.inotify.max_user_instances, max_user_watches, or how many files we may open"


class UnwatchableError(SourceError):
    """The kernel gives no notices of these folders, although they are there.

    Attributes:
        mend: What a person can do about it.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.mend = mend


async def notices(folders: Iterable[Path], relist_s: float) -> AsyncGenerator[None, None]:
    """Yield once *folders* are watched, then whenever something happened there, and every *relist_s*.

    Raises:
        UnwatchableError: A limit is reached, or we may not read one; at once, or later.
        SourceError: One is gone.
    """
    watch = awatch(
        *folders,
        watch_filter=None,  # the swap of a hidden link may be what replaces a file
        step=_STEP_MS,
        debounce=_DEBOUNCE_MS,
        rust_timeout=max(1, round(relist_s * 1000)),
        yield_on_timeout=True,
        recursive=False,
    )
    async with aclosing(watch):
        first = asyncio.create_task(_next(watch), name="file notices")
        try:
            await asyncio.sleep(0)  # in its first step it makes the watch
            if first.done():
                await first
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
    except FileNotFoundError as exc:
        raise SourceError(f"watch: {exc}") from exc
    except PermissionError as exc:
        raise UnwatchableError(str(exc), "let our user read that folder") from exc
    except (OSError, RuntimeError) as exc:
        raise UnwatchableError(str(exc).partition(" (Error ")[0], _LIMITS) from exc
