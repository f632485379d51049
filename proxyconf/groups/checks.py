"""Which of the candidates of a group may be put in place: asked in context where that is possible.

Three forms of a ``check_cmd``:

* ``nginx -t [-c F]``: run on a copy of the files that lead from F to the candidates, with all of them in it,
  so that neither a candidate passes that nginx would not load, nor one is refused for its predecessor;
* one with ``{{.src}}``: run on the staged file;
* any other, or a file that nginx reaches by no include: run with the candidate in place, after its
  predecessor was noted in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxyconf.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxyconf.groups.output import Wish
    from proxyconf.nginx.beside import Beside


@dataclass(slots=True)
class Verdict:
    """What a check in context says.

    Attributes:
        passed: May be put in place, all of them together.
        refused: Each with nginx's reason.
        unreached: No include leads to these, so that nothing was said of them.
    """

    passed: list[Wish] = field(default_factory=list)
    refused: list[tuple[Wish, str]] = field(default_factory=list)
    unreached: list[Wish] = field(default_factory=list)


async def check_together(nginx: Beside, wishes: Sequence[Wish]) -> Verdict:
    """Ask *nginx* about all *wishes*; where it refuses them, find out which.

    Raises:
        CommandError: It could not be asked.
    """
    verdict = Verdict()
    if not wishes:
        return verdict
    try:
        reached = await nginx.check(_swaps(wishes))
    except RefusedError as exc:
        if len(wishes) == 1:
            verdict.refused.append((wishes[0], str(exc)))
            return verdict
        return await _one_by_one(nginx, wishes)
    for wish in wishes:
        (verdict.passed if wish.output.dest.path in reached else verdict.unreached).append(wish)
    return verdict


async def _one_by_one(nginx: Beside, wishes: Sequence[Wish]) -> Verdict:
    """Add one after the other to those that pass; again, for one may need another that comes later."""
    verdict, rest = Verdict(), list(wishes)
    while rest:
        verdict.refused, passed = [], len(verdict.passed) + len(verdict.unreached)
        for wish in rest:
            try:
                reached = await nginx.check(_swaps([*verdict.passed, wish]))
            except RefusedError as exc:
                verdict.refused.append((wish, str(exc)))
            else:
                (verdict.passed if wish.output.dest.path in reached else verdict.unreached).append(wish)
        rest = [wish for wish, _ in verdict.refused]
        if len(verdict.passed) + len(verdict.unreached) == passed:
            break
    return verdict


def _swaps(wishes: Sequence[Wish]) -> dict[Path, Path]:
    return {wish.output.dest.path: wish.output.dest.staged for wish in wishes}
