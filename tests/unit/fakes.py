"""What the tests of the core share: short listings, scripted sources, a record of what was logged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxyconf.model import Change, Entry, Listing
from proxyconf.tables import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

EVER = 1e9


def now() -> float:
    """Return the loop's time, virtual or not."""
    return asyncio.get_running_loop().time()


def listing(
    *addresses: str, source: str = "etcd", revision: int = 1, cluster: str = "", urgent: bool = False
) -> Listing:
    """Return a listing of one service, ``web``, with these endpoints, at the host ``web.test``."""
    keys = {f"services/web/{number}": Entry(text.encode()) for number, text in enumerate(addresses)}
    keys["routes/web"] = Entry(b'{"host": "web.test"}')
    return Listing(
        source, revision=revision, cluster=cluster, keys=keys, place=f"{source} {{key}}", urgent=urgent
    )


def change(*addresses: str, source: str = "etcd", fresh: bool = False, urgent: bool = False) -> Change:
    """Return the change that `listing` is."""
    return Change(listing(*addresses, source=source, urgent=urgent), fresh=fresh)


def addresses(count: int, first: int = 1) -> tuple[str, ...]:
    """Return as many different addresses."""
    return tuple(f"10.0.0.{first + number}:80" for number in range(count))


class ScriptedSource:
    """Plays one script per connection: yields listings, sleeps numbers, raises errors.

    Behind the end of each it is quiet for ever.

    Attributes:
        starts: When each connection was made.
        closed: How many of the connections were closed.
    """

    def __init__(self, *scripts: Sequence[Listing | Exception | float], name: str = "etcd") -> None:
        self.name = name
        self.policy = SourcePolicy()
        self.starts: list[float] = []
        self.closed = 0
        self._scripts = list(scripts)

    async def watch(self) -> AsyncGenerator[Listing, None]:
        self.starts.append(now())
        try:
            for step in (*(self._scripts.pop(0) if self._scripts else ()), EVER):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Listing):
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.closed += 1
