"""Stops a loop between two of its rounds."""

from __future__ import annotations

import asyncio


class Brake:
    """Held by whoever wants nothing done, minded by the loop.

    Attributes:
        at_work: The loop holds this lock in a round.
    """

    def __init__(self) -> None:
        self.at_work = asyncio.Lock()
        self._free = asyncio.Event()
        self._free.set()

    @property
    def is_on(self) -> bool:
        """Whether nothing is to be done."""
        return not self._free.is_set()

    def hold(self) -> None:
        """Let no further round begin."""
        self._free.clear()

    def release(self) -> None:
        """Let rounds begin again."""
        self._free.set()

    async def released(self) -> None:
        """Wait until rounds may begin."""
        await self._free.wait()

    async def at_rest(self) -> None:
        """Wait until a round under way is over."""
        async with self.at_work:
            pass
