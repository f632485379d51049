"""What a listing would change that the loss guard holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.model import Problem

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from proxyconf.model import Claims, Listing, Route

MEND = "if the loss is real: proxyconf confirm; to allow more: max_loss"


@dataclass(frozen=True, slots=True)
class Held:
    """A listing that waits for a person.

    Attributes:
        listing: It.
        claims: What it asks for.
        before: What counts in its place.
    """

    listing: Listing
    claims: Claims
    before: Claims

    @property
    def problem(self) -> Problem:
        """Why it is held, and the mend."""
        before, after = self.before, self.claims
        told = [f"{len(after.members)} of {len(before.members)} endpoints"] if before.members else []
        told += [f"{len(after.pairs)} of {len(before.pairs)} keys for templates"] if before.pairs else []
        why = f"came back with {' and '.join(told)}, so what it had before still counts ({MEND})"
        return Problem("source", self.listing.source, why)

    def touched(self, routes: Iterable[Route]) -> frozenset[str]:
        """Return the claims of those *routes* that it would change, and of all that it would bring."""
        claims = {claim for claim, _ in _of_routes(self.before) ^ _of_routes(self.claims)}
        services = {service for service, _ in _of_members(self.before) ^ _of_members(self.claims)}
        return frozenset(claims | {route.claim for route in routes if route.service in services})


def _of_routes(claims: Claims) -> set[tuple[str, Hashable]]:
    return {(route.claim, (route.service, route.options)) for route in claims.routes}


def _of_members(claims: Claims) -> set[tuple[str, Hashable]]:
    return {(member.service, member.endpoint) for member in claims.members}
