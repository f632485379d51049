"""Find the part that nginx refuses: by file and line, else by a name it quotes, else by halving."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxyconf.model import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from proxyconf.nginx.part import Part

_PLACE = re.compile(r"parts/([hos]-[0-9a-f]{16}\.conf):\d+")
_CONFLICT = re.compile(r'\[warn\].*? conflicting server name "([^"]+)" on (\S+), ignored')
_ELSEWHERE = re.compile(r"\[emerg\] .* in \S+:\d+$", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]+)"')
_OF_HOSTS = ("users", "page")  # hosts can't be written without them


def accused(output: str, changed: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts that nginx's message points at; none where it points at nothing that is new.

    For a file that hosts can't be written without these hosts are to blame.

    What nginx took before is not to blame, though it may be what the message names: an operator's new file
    that clashes with it must not take a working site away.

    Args:
        output: What ``nginx -t`` printed.
        changed: Parts of the candidate that were not in the last good generation.
    """
    files = set(_PLACE.findall(output))
    if files:
        return tuple(part for part in changed if part.file in files)
    if _ELSEWHERE.search(output):
        return ()  # a quoted name in a message about somebody's file is not the name of a part
    names = {name.rpartition("/")[2] for name in _QUOTED.findall(output)}
    found = tuple(part for part in changed if part.file in names or (part.is_included and part.name in names))
    if len(found) != 1:
        return ()
    if found[0].kind in _OF_HOSTS:
        return tuple(part for part in changed if found[0] in part.files)
    return found


def conflicts(output: str, parts: Sequence[Part]) -> tuple[Problem, ...]:
    """Return our hosts that another server block has, too: for nginx a mere warning."""
    ours = {part.name for part in parts if part.kind == "host"}
    return tuple(
        Problem(
            "host",
            name,
            f"another server block has it on {address}, and nginx takes the one that is read first (remove it"
            " from one of them)",
        )
        for name, address in dict.fromkeys(_CONFLICT.findall(output))
        if name in ours
    )


async def guilty(
    changed: Sequence[Part], passes: Callable[[Sequence[Part]], Awaitable[bool]]
) -> tuple[Part, ...]:
    """Return the parts that must go so that the rest passes; none where it fails without any of them.

    Of two that pass alone but not together, the later one must go. Each costs as many checks as the number of
    parts can be halved.

    Args:
        changed: The parts under suspicion, which fail together.
        passes: Says whether nginx takes the candidate with these of them only.
    """
    # hosts first: a service is looked at only where a host leads to it, and a host without it answers 503
    rest = sorted(
        (part for part in changed if part.kind not in _OF_HOSTS), key=lambda part: part.kind != "host"
    )
    if not rest or not await passes(()):
        return ()
    found: list[Part] = []
    good: list[Part] = []
    while rest:
        first = await _first_bad(good, rest, passes)
        found.append(rest[first])
        good, rest = good + rest[:first], rest[first + 1 :]
        if await passes([*good, *rest]):
            break
    return tuple(found)


async def _first_bad(
    good: list[Part], rest: list[Part], passes: Callable[[Sequence[Part]], Awaitable[bool]]
) -> int:
    """Return the place of the first of *rest* that fails with what is before it."""
    passing, failing = 0, len(rest)
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if await passes([*good, *rest[:middle]]):
            passing = middle
        else:
            failing = middle
    return passing
