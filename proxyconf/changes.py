"""The change queue: the newest listing of every source, handed out when the pace allows.

From idle a change is applied at once (leading edge). While changes keep coming they are gathered: until
`quiet` has passed without one, or until the oldest has waited for `limit`. Every reload takes a token from a
bucket, so that a storm costs two reloads a second and can starve nothing. A death takes one ahead of its
time, which the reloads after it pay back.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.model import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.tables import Pace

_COSTS_PER_TOKEN = 4
_CROWDING_MAX = 20.0  # so that no change ever waits for longer than this many refills
_AHEAD = 1  # a container starts in less than a refill, and may have the address of one that has just died


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be applied together.

    Attributes:
        changes: Source to its newest listing.
        since: When the oldest of them arrived, by the loop's clock.
        poked: A person asked for a pass.
    """

    changes: Mapping[str, Change]
    since: float
    poked: bool = False


class Bucket:
    """Tokens, one for each reload of one thing; made and used inside one event loop."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._clock = asyncio.get_running_loop().time
        self._refill_s = float(pace.refill_min)
        self._full_at = -math.inf  # when it would be full again

    def ready_at(self, *, urgent: bool = False) -> float:
        """Return when there is a token, or may be taken if *urgent*, by the loop's clock; it may be past."""
        at_hand = self._pace.burst + (_AHEAD if urgent else 0)
        return self._full_at - (at_hand - 1) * self._refill_s

    def spend(self, cost_s: float, *, old_workers: int = 0) -> None:
        """Take a token for a reload; the costlier it was, the later the next one comes.

        Args:
            cost_s: Seconds that it took.
            old_workers: Bytes that workers of earlier configurations hold.
        """
        pace, now = self._pace, self._clock()
        crowding = min(max(1.0, old_workers / max(1, pace.old_workers)), _CROWDING_MAX)
        missing_s = max(0.0, self._full_at - now)
        missing = missing_s / self._refill_s if missing_s else 0.0
        self._refill_s = min(max(_COSTS_PER_TOKEN * cost_s, pace.refill_min), pace.refill_max) * crowding
        self._full_at = now + (missing + 1) * self._refill_s  # all at the newest price


class ChangeQueue:
    """Holds at most one change per source; made and used inside one event loop.

    Attributes:
        bucket: Who applies what is handed out takes a token of it for each reload.
    """

    def __init__(self, pace: Pace) -> None:
        self.bucket = Bucket(pace)
        self._pace = pace
        self._clock = asyncio.get_running_loop().time
        self._pending: dict[str, Change] = {}
        self._arrived = asyncio.Event()
        self._first: float | None = None
        self._last = -math.inf
        self._leading = self._urgent = self._poked = False
        self._busy = True  # until somebody waits

    def put(self, change: Change) -> None:
        """Keep *change* in place of an older one of its source."""
        source = change.listing.source
        older = self._pending.get(source)
        if older and older.fresh:
            change = Change(change.listing, fresh=True)
        self._pending[source] = change
        self._urgent |= change.listing.urgent
        self._note()

    def pace(self, pace: Pace) -> None:
        """Go on at another pace."""
        self.bucket = Bucket(pace)
        self._pace = pace

    @property
    def is_poked(self) -> bool:
        """Whether a pass was asked for since the last one was begun."""
        return self._poked

    def poke(self) -> None:
        """Ask for a pass without a change: something a person said may alter the outcome."""
        self._poked = True
        self._note()

    async def get(self) -> Batch:
        """Wait until something is due, and take it.

        A caller that is cancelled while it waits loses nothing: what is pending stays.
        """
        self._busy = False
        try:
            while (due := self._due()) > self._clock():
                self._arrived.clear()
                async with asyncio.timeout_at(None if math.isinf(due) else due):
                    await self._arrived.wait()
        except TimeoutError:
            pass  # it is due: the clock may be a hair behind the timer, and to ask it again would spin
        finally:
            self._busy = True  # a caller that gave up has something else to do
        return self._take()

    def _note(self) -> None:
        now = self._clock()
        if self._first is None:
            self._first = now
            self._leading = not self._busy and now - self._last >= self._pace.quiet
        self._last = now
        self._arrived.set()

    def _due(self) -> float:
        if self._first is None:
            return math.inf
        pace = self._pace
        settled = (
            self._first + pace.gather
            if self._leading or self._urgent
            else min(self._last + pace.quiet, self._first + pace.limit)
        )
        return max(settled, self.bucket.ready_at(urgent=self._urgent))

    def _take(self) -> Batch:
        since = self._clock() if self._first is None else self._first
        batch = Batch(self._pending, since, self._poked)
        self._pending, self._first = {}, None
        self._urgent = self._poked = False
        return batch
