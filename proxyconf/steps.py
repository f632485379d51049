"""What each step of a pass costs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class Steps:
    """What each step of a pass cost.

    Attributes:
        seconds: Step to seconds, in the order of the steps.
        begun: Is told of the beginning of each.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    begun: Callable[[], object] = object

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the step *name*."""
        self.begun()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
