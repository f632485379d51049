"""What a listing asks for: keys and container labels to routes and endpoints. Pure, but for its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.model import Claims
from proxyconf.routing.containers import Containers
from proxyconf.routing.keys import Keys

if TYPE_CHECKING:
    from proxyconf.model import Listing


class Reader:
    """Reads the listings of one source, one after the other.

    It remembers what it read: what is the same in the next listing gives the very same objects, so that a
    change costs what changed; and what is bad there keeps its last good form, be it of an earlier run.
    """

    def __init__(self) -> None:
        self._keys = Keys()
        self._containers = Containers()

    def read(self, listing: Listing) -> Claims:
        """Return what *listing* asks for: members and routes by key, bad values as problems."""
        keys, containers = self._keys.read(listing), self._containers.read(listing)
        return Claims(
            listing.source,
            members=keys.members + containers.members,
            routes=keys.routes + containers.routes,
            named=containers.named,
            pairs=listing.pairs,
            containers=listing.containers,
            idle=containers.idle,
            problems=listing.problems + keys.problems + containers.problems,
            last_good=keys.last_good,
        )
