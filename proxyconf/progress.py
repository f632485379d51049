"""Whether the loop that applies changes moves on: what ``/healthz`` and a watchdog ask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP_S = 120.0  # a check may take 30 s, and nothing in one step has a longer bound


class Progress:
    """A promise that is renewed: whoever works says by when there will be another sign of life.

    All that the loop waits for has a bound, so a promise that is not kept means a bug, or a machine in
    trouble. Nothing else is counted as that: to be restarted for a slow check would help nobody.

    Args:
        clock: Returns seconds; the loop's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = math.inf  # nothing is promised before the work begins

    def promise(self, within_s: float = 0.0) -> None:
        """Give a sign of life, and promise another: within the time of a step, and *within_s* more."""
        self._due = self._clock() + within_s + _STEP_S

    @property
    def late_s(self) -> float:
        """For how many seconds the promised sign of life has been missing; 0: the loop moves on."""
        return max(0.0, self._clock() - self._due)
