"""Answers to the look-ups of templates: bounded in time and number, and remembered.

A failure takes away nothing: the last good answer counts until there is another one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from proxyconf.model import Problem
from proxyconf.resources.resolver import Resolver, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxyconf.resources.world import Lookup

LIMIT_S = 2.0
AT_ONCE = 16
FRESH_S = 30.0  # then it is asked again
RETRY_S = 5.0  # as FRESH_S, after a failure
FORGET_S = 3600.0  # without anybody asking for it: names may come out of keys


class Resolve(Protocol):
    """Asks the network or the kernel, once."""

    async def __call__(self, lookup: Lookup, /) -> Iterable[str]:
        """Return the answers, in any order; none is an answer too.

        Raises:
            UnansweredError: It failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a look-up.

    Attributes:
        answer: The last good one; empty until then.
        due: When to ask again, on the loop's clock.
        wanted: When it was last wanted.
        failure: Why the last attempt failed, or "".
    """

    answer: tuple[str, ...]
    due: float
    wanted: float
    failure: str = ""


class Lookups:
    """Answers look-ups, most of them from memory."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve = resolve or Resolver()
        self._known: dict[Lookup, _Known] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def answer(self, wanted: Iterable[Lookup]) -> dict[Lookup, tuple[str, ...]]:
        """Return an answer to each, sorted; empty where there never was one.

        Asks again for those that are older than `FRESH_S`, at most `AT_ONCE` at a time and each for at most
        `LIMIT_S`. When cancelled, what was answered by then is remembered.
        """
        asked = sorted(set(wanted))
        now = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for lookup in asked:
                known = self._known.get(lookup)
                if known is None or now >= known.due:
                    group.create_task(self._ask(lookup), name=f"look up {lookup.name}")
        for lookup in asked:
            self._known[lookup] = replace(self._known[lookup], wanted=now)
        self._known = {each: known for each, known in self._known.items() if now < known.wanted + FORGET_S}
        return {lookup: self._known[lookup].answer for lookup in asked}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The look-ups whose last attempt failed, and why."""
        return tuple(
            Problem("look-up", str(lookup), f"{known.failure}; {_kept(known)}")
            for lookup, known in sorted(self._known.items())
            if known.failure
        )

    async def _ask(self, lookup: Lookup) -> None:
        clock = asyncio.get_running_loop()
        async with self._gate:
            try:
                async with asyncio.timeout(LIMIT_S):
                    answer = tuple(sorted(set(await self._resolve(lookup))))
            except (UnansweredError, TimeoutError) as exc:
                failure = str(exc) or f"no answer within {LIMIT_S:g} s (is the name server up?)"
                before = self._known.get(lookup)
                self._known[lookup] = _Known(
                    before.answer if before else (), clock.time() + RETRY_S, clock.time(), failure
                )
            else:
                self._known[lookup] = _Known(answer, clock.time() + FRESH_S, clock.time())


def _kept(known: _Known) -> str:
    return f"its last answer counts: {', '.join(known.answer)}" if known.answer else "it counts as empty"
