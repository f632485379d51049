"""Since when nginx serves what it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[str, float] = {}


class Since:
    """The times at which routes and endpoints were first proved, in the form they still have."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._routes: dict[tuple[str, str], float] = {}
        self._services: dict[str, dict[str, float]] = {}

    def note(self, snapshot: Snapshot, at: float) -> None:
        """Take in that nginx serves *snapshot*, proved at *at* (Unix time)."""
        before, self._snapshot = self._snapshot, snapshot
        if before.routes != snapshot.routes:
            claims = [(route.claim, route.service) for route in snapshot.routes]
            self._routes = {claim: self._routes.get(claim, at) for claim in claims}
        # what most changes leave alone is told by identity: of thousands, a look at each would cost more
        for name, found in snapshot.services.items():
            if before.services.get(name) is not found:
                known = self._services.get(name, _NOTHING)
                self._services[name] = {one.address: known.get(one.address, at) for one in found}
        for name in before.services.keys() - snapshot.services.keys():
            del self._services[name]

    def route(self, claim: str, service: str) -> float | None:
        """Return since when host and path, as one text, lead to *service*; None if they do not."""
        return self._routes.get((claim, service))

    def endpoint(self, service: str, address: str) -> float | None:
        """Return since when *address* serves for *service*; None if it does not."""
        return self._services.get(service, _NOTHING).get(address)
