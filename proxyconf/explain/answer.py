"""What a question is answered from, and the form of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxyconf.api import Status
    from proxyconf.held import Held
    from proxyconf.model import Claims, Listing, Snapshot
    from proxyconf.nginx.part import Part
    from proxyconf.since import Since
    from proxyconf.tables import Nginx


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain.

    Attributes:
        what: The kind of thing: route, seen, asks, rival, service, endpoint, left out, container, idle, key,
            certificate, file, nginx, source, template, problem.
        says: Its part.
        is_bad: It keeps requests away.
        links: What belongs to it.
    """

    what: str
    says: str
    is_bad: bool = False
    links: tuple[Link, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``GET /api/v1/explain?what=QUESTION``.

    Attributes:
        question: What was asked.
        is_served: nginx passes requests on, or sends them elsewhere as was asked for, as it has proved.
        verdict: In a line.
        chain: From what was seen to what is served.
    """

    question: str
    is_served: bool
    verdict: str
    chain: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Known:
    """What answers are made of.

    Attributes:
        listings: What the sources said, as far as it counts.
        claims: What that asks for, in the order of the configuration.
        held: What the sources said last, where it does not count.
        snapshot: What nginx should serve.
        status: What is so.
        since: Since when it is served.
        part_of: A kind and name of a part to the part that nginx serves, if it does.
        settings: What is set for nginx.
        now: Unix time.
    """

    listings: Sequence[Listing]
    claims: Sequence[Claims]
    held: Sequence[Held]
    snapshot: Snapshot
    status: Status
    since: Since
    part_of: Callable[[str, str], Part | None]
    settings: Nginx
    now: float

    @cached_property
    def touching(self) -> Sequence[tuple[Held, frozenset[str]]]:
        """What is held, with the claims that it would change: to find them out takes a look at everything."""
        return [(one, one.touched(self.snapshot.routes)) for one in self.held]
