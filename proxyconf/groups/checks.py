"""Which of the candidates of a group may be put in place: asked in context where that is possible.

Three forms of a ``check_cmd``:

* ``nginx -t [-c F]``: run on a copy of the files that lead from F to the candidates, with all of them in it,
  so that neither a candidate passes that nginx would not load, nor one is refused for its predecessor;
* one with ``{{.src}}``: run on the staged file;
* any other, or where nginx reaches the file by no include or its own files can't be copied: run with the
  candidate in place, after its predecessor was noted in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxyconf.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxyconf.command import Running
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


async def check_together(nginx: Beside, wishes: Sequence[Wish], running: Running) -> Verdict:
    """Ask *nginx* about all *wishes*; where it refuses them, find out which.

    Args:
        nginx: In whose context.
        wishes: One or more.
        running: Where nginx's program is listed while it checks.

    Raises:
        CommandError: It could not be asked.
        StateError: A candidate can't be read, or no copy be written beside nginx's files.
    """
    verdict = Verdict()
    try:
        reached = await _ask(nginx, wishes, running)
    except RefusedError as exc:
        if len(wishes) > 1:
            return await _one_by_one(nginx, wishes, running)
        verdict.refused.append((wishes[0], str(exc)))
        return verdict
    for wish in wishes:
        (verdict.passed if wish.output.dest.path in reached else verdict.unreached).append(wish)
    return verdict


async def _one_by_one(nginx: Beside, wishes: Sequence[Wish], running: Running) -> Verdict:
    """Add one after the other to those that pass; again, for one may need another that comes later."""
    verdict, rest = Verdict(), list(wishes)
    while rest:
        verdict.refused, passed = [], len(verdict.passed) + len(verdict.unreached)
        for wish in rest:
            try:
                reached = await _ask(nginx, [*verdict.passed, wish], running)
            except RefusedError as exc:
                verdict.refused.append((wish, str(exc)))
            else:
                (verdict.passed if wish.output.dest.path in reached else verdict.unreached).append(wish)
        rest = [wish for wish, _ in verdict.refused]
        if len(verdict.passed) + len(verdict.unreached) == passed:
            break
    return verdict


async def _ask(nginx: Beside, wishes: Sequence[Wish], running: Running) -> frozenset[Path]:
    swaps = {wish.output.dest.path: wish.output.dest.staged for wish in wishes}
    checks = [check for wish in wishes if (check := wish.output.resource.check)]
    return await nginx.check(swaps, timeout_s=max(check.timeout_s for check in checks), running=running)
