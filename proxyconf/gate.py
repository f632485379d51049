"""When the first pass may be made: what is unknown must not be taken for empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.snapshot import owners_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxyconf.model import Snapshot
    from proxyconf.snapshot import Owner


class Gate:
    """Waits for sources of which nothing is known.

    Args:
        wait_s: For how long, where no route of an earlier run would be lost without them.
        clock: Monotonic seconds.

    Attributes:
        earlier: Who had each host and path at the end of an earlier run.
    """

    def __init__(self, wait_s: float, clock: Callable[[], float]) -> None:
        self.earlier: Mapping[str, Owner] = {}
        self._clock = clock
        self._until = clock() + wait_s

    @property
    def left_s(self) -> float:
        """How long it waits at most; what is lost without a source is waited for even longer."""
        return self._until - self._clock()

    def closed_by(self, unknown: Sequence[str], snapshot: Snapshot, *, for_ever: bool) -> str:
        """Return what is waited for; "" where it may be begun with *snapshot*.

        Args:
            unknown: The required sources of which nothing is known.
            snapshot: What the others say.
            for_ever: Nothing is begun without them.
        """
        if not unknown:
            return ""
        names = ", ".join(unknown)
        if for_ever or self.left_s > 0:
            return f"for {names}"
        there = owners_of(snapshot)
        # "" is the host rule's, whose services may be of any source
        asked = ("", *unknown)
        lost = sum(source in asked and claim not in there for claim, (source, _) in self.earlier.items())
        return f"for {names}: without it {lost} routes of the last run would go" if lost else ""
