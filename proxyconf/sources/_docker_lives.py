"""How long containers live, and which of them end again and again. Pure: time comes in.

Each short life would cost two reloads, for requests that it hardly answers. So one that has had three of them
in a row has to run for a while before it gets requests. A container that is told to end says nothing about
itself by ending, and neither does one that was restarted by hand: its count starts again.

The time from which a health check passes until it fails is such a life, too, with a count of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container as Group

LIFE_S = 10.0
"""How long a life is long enough: for two reloads, that is one in 5 s. Engines think so, too: before one
starts a container again, it waits longer each time, until that has run for 10 s."""

_SHORT_LIVES = 3
_LIFE_NS = int(LIFE_S * 1e9)


@dataclass(slots=True)
class _Life:
    """What is known of a container's lives.

    Attributes:
        heard: When we last heard that it had started, or was seen to run without that, by our clock.
        started_ns: When it started, by the engine's; None while it does not run, or where that is not known.
        runs: It does.
        short: How many of its lives in a row, up to the last one that ended, were short.
    """

    heard: float
    started_ns: int | None
    runs: bool = True
    short: int = 0


class Lives:
    """The lives of an engine's containers, as far as its events told of them."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}

    def start(self, container: str, time_ns: int, now: float) -> None:
        """Take in that *container* started, at *time_ns* of the engine's clock (0: it does not say)."""
        life = self._lives.setdefault(container, _Life(now, None))
        life.heard, life.started_ns, life.runs = now, time_ns or None, True

    def see(self, container: str, *, asked: float) -> None:
        """Take in that *container* ran when a list was *asked* for, though its start may have been missed."""
        life = self._lives.get(container)
        if life and not life.runs:
            life.heard, life.runs = asked, True

    def end(self, container: str, time_ns: int) -> None:
        """Take in that *container* ended by itself."""
        life = self._lives.get(container)
        if life is None:
            return
        life.runs = False
        if life.started_ns is None:
            return
        # by the engine's clock: what we were late to hear of was no shorter for that
        if time_ns - life.started_ns >= _LIFE_NS:
            del self._lives[container]
        else:
            life.started_ns = None
            life.short += 1

    def forget(self, container: str) -> None:
        """Know nothing of the lives of *container* so far."""
        self._lives.pop(container, None)

    def keep(self, containers: Group[str], *, asked: float) -> None:
        """Forget all others that have not been heard of since *asked*, when *containers* were asked for."""
        gone = [key for key, life in self._lives.items() if key not in containers and life.heard < asked]
        for container in gone:
            del self._lives[container]

    def pardon(self, now: float) -> None:
        """Let those that have run for long enough get requests again."""
        for container in [container for container in self._lives if now >= self._due(container)]:
            del self._lives[container]

    def flaps(self, container: str) -> bool:
        """Tell whether *container* has ended again and again, and not run for long enough since."""
        life = self._lives.get(container)
        return life is not None and life.short >= _SHORT_LIVES

    def wake(self) -> float:
        """Return when `pardon` has something to do; infinite for never."""
        return min(map(self._due, self._lives), default=math.inf)

    def _due(self, container: str) -> float:
        life = self._lives[container]
        return life.heard + LIFE_S if life.runs and self.flaps(container) else math.inf
