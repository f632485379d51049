"""Since when nginx serves what it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.model import Route

_NOTHING: Mapping[str, float] = {}


class Since:
    """The times at which routes and endpoints were first proved, in the form they still have.

    Attributes:
        snapshot: What nginx serves.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._routes: dict[str, tuple[Route, float]] = {}
        self._services: dict[str, dict[str, float]] = {}

    def note(self, snapshot: Snapshot, at: float) -> None:
        """Take in that nginx serves *snapshot*, proved at *at* (Unix time)."""
        before, self.snapshot = self.snapshot, snapshot
        if before.routes != snapshot.routes:
            times = {(claim, route.service): time for claim, (route, time) in self._routes.items()}
            self._routes = {
                route.claim: (route, times.get((route.claim, route.service), at)) for route in snapshot.routes
            }
        # what most changes leave alone is told by identity: of thousands, a look at each would cost more
        for name, found in snapshot.services.items():
            if before.services.get(name) is not found:
                known = self._services.get(name, _NOTHING)
                self._services[name] = {one.address: known.get(one.address, at) for one in found}
        for name in before.services.keys() - snapshot.services.keys():
            del self._services[name]

    def route(self, claim: str) -> tuple[Route, float] | None:
        """Return what host and path, as one text, are served by, and since when they lead to its service."""
        return self._routes.get(claim)

    def endpoint(self, service: str, address: str) -> float | None:
        """Return since when *address* serves for *service*; None if it does not."""
        return self._services.get(service, _NOTHING).get(address)
