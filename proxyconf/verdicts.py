"""What nginx refused: found by blame, remembered by content, its last good form used instead, if any."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from proxyconf.model import Problem
from proxyconf.nginx.blame import accused, guilty
from proxyconf.nginx.control import first_complaint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from collections.abc import Set as AbstractSet

    from proxyconf.errors import RefusedError
    from proxyconf.model import Snapshot
    from proxyconf.nginx.part import Part, PartKind
    from proxyconf.nginx.site import Renderer, Site

log = structlog.get_logger(__name__)

# what made nginx refuse a part may lie outside of it (an operator's file), so it is tried again
_FORGET_S = 300.0
_TOLD_KEPT = 1_000


class Verdicts:
    """Renders snapshots without what nginx refused.

    Args:
        renderer: Returns who renders at the moment.
        clock: Monotonic seconds.

    Attributes:
        problems: What is set aside at present, or could not be written.
    """

    def __init__(self, renderer: Callable[[], Renderer], clock: Callable[[], float] = time.monotonic) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._renderer = renderer
        self._clock = clock
        self._refused: dict[str, tuple[str, float]] = {}  # part's file: reason, and when to forget it
        self._told: dict[str, str] = {}
        self._good: dict[tuple[str, str], Part] = {}
        self._trusted: AbstractSet[str] = frozenset()
        self._latest: Site | None = None

    @property
    def is_due(self) -> bool:
        """Whether something that was refused is to be tried again."""
        return any(until <= self._clock() for _, until in self._refused.values())

    def render(self, snapshot: Snapshot) -> Site:
        """Return the candidate; what was refused is in it in its last good form, or not at all."""
        renderer = self._renderer()
        now = self._clock()
        self._refused = {file: verdict for file, verdict in self._refused.items() if verdict[1] > now}
        site = renderer.render(snapshot)
        aside: dict[tuple[PartKind, str], Part | None] = {}
        refused: list[Problem] = []
        # again and again: where a service is left out, its hosts are other parts, which may be refused too
        while self._refused and (bad := [part for part in site.parts if part.file in self._refused]):
            aside |= {(part.kind, part.name): self._stand_in(part) for part in bad}
            refused += [self._problem(part, aside[part.kind, part.name]) for part in bad]
            site = renderer.render(snapshot, set_aside=aside)
        self.problems = (*site.problems, *refused)
        self._latest = site
        return site

    def trust(self, files: AbstractSet[str]) -> None:
        """Take parts of these names for good ones until a proof: nginx proved them to an earlier run."""
        self._trusted = files

    def forget(self) -> None:
        """Try everything again."""
        self._refused = {}

    def proved(self) -> None:
        """Take the parts of the latest candidate for good ones."""
        if self._latest:
            self._good = {(part.kind, part.name): part for part in self._latest.parts}

    async def judge(
        self,
        snapshot: Snapshot,
        site: Site,
        refusal: RefusedError,
        *,
        passes: Callable[[Site], Awaitable[bool]],
    ) -> None:
        """Find the parts of *site* that nginx refuses, and remember them.

        Raises:
            RefusedError: It is none of the parts; *refusal* itself.
        """
        good = {part.file for part in self._good.values()} or self._trusted
        changed = [part for part in site.parts if part.file not in good]

        async def passes_with(kept: Sequence[Part]) -> bool:
            files = {part.file for part in kept}
            aside = {
                (part.kind, part.name): self._stand_in(part) for part in changed if part.file not in files
            }
            return await passes(self._renderer().render(snapshot, set_aside=aside))

        found = accused(refusal.output, changed) or await guilty(changed, passes_with)
        if not found:
            raise refusal
        reason = first_complaint(refusal.output)
        for part in found:
            self._refused[part.file] = (reason, self._clock() + _FORGET_S)
            if self._told.get(part.file) != reason:  # once, though it is tried again and again
                log.error("part.refused", kind=part.kind, name=part.name, reason=reason)
            self._told = dict([*self._told.items(), (part.file, reason)][-_TOLD_KEPT:])

    def _stand_in(self, part: Part) -> Part | None:
        return self._good.get((part.kind, part.name))  # which is never refused: see `judge`

    def _problem(self, part: Part, stand_in: Part | None) -> Problem:
        instead = "its last good form serves" if stand_in else "it is left out"
        return Problem(part.kind, part.name, f"nginx refuses it: {self._refused[part.file][0]} ({instead})")
