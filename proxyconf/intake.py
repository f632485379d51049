"""What of the sources counts: the required ones must have spoken, and a sudden loss waits for a person.

"Unknown is not empty": a source's last good listing counts until a better one arrives, also across our own
restarts; a key's last good value likewise. A listing that comes right after an outage, or from another store,
and has lost too many of the endpoints is held: the one before it counts until the store has them again, or a
person confirms the loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proxyconf.held import Held
from proxyconf.model import Claims, Problem
from proxyconf.routing import Reader
from proxyconf.snapshot import lost_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.model import Change, Listing
    from proxyconf.tables import SourcePolicy


class Intake:
    """The newest accepted claims of every source.

    Args:
        policies: Source to its policy, in the order of the configuration.
        needs: The key prefixes that templates want of all of them.
    """

    def __init__(self, policies: Mapping[str, SourcePolicy], needs: tuple[str, ...] = ()) -> None:
        self._feeds = {name: _Feed(policy, needs) for name, policy in policies.items()}

    def follow(self, policies: Mapping[str, SourcePolicy], needs: tuple[str, ...]) -> None:
        """Go on with these sources; what is known of one of them stays."""
        feeds = {name: self._feeds.get(name) or _Feed(policy, needs) for name, policy in policies.items()}
        for name, feed in feeds.items():
            feed.policy, feed.needs = policies[name], needs
        self._feeds = feeds  # at once, for another thread may be saving what is in them

    def restore(self, listing: Listing) -> None:
        """Let a listing count that was saved by an earlier run, until the source speaks."""
        feed = self._feeds.get(listing.source)
        if feed and feed.listing is None:
            feed.restore(listing)

    def take(self, change: Change) -> None:
        """Let a listing count, or hold it."""
        if feed := self._feeds.get(change.listing.source):  # else it is not among the sources any more
            feed.take(change)

    def confirm(self) -> tuple[str, ...]:
        """Let what is held count; return the sources it was of."""
        held = [(name, feed, feed.held) for name, feed in self._feeds.items() if feed.held]
        for _, feed, (listing, _) in held:
            feed.accept(*feed.read(listing))  # read again: from now on its values are the last good ones
        return tuple(name for name, _, _ in held)

    def claims(self) -> tuple[Claims, ...]:
        """Return what counts, in the order of the configuration."""
        return tuple(feed.claims for feed in self._feeds.values() if feed.claims is not None)

    def listings(self) -> tuple[Listing, ...]:
        """Return the listings that count, to be saved; each notes the last good entries that it needs."""
        return tuple(feed.listing for feed in self._feeds.values() if feed.listing is not None)

    def held(self) -> tuple[Held, ...]:
        """Return the listings that are held, in the order of the configuration."""
        return tuple(
            Held(*feed.held, feed.claims or Claims(name)) for name, feed in self._feeds.items() if feed.held
        )

    def problems(self) -> tuple[Problem, ...]:
        """Return why listings are held."""
        return tuple(held.problem for held in self.held())

    def unknown(self) -> tuple[str, ...]:
        """Return the required sources of which nothing is known, not even from an earlier run."""
        return tuple(
            name for name, feed in self._feeds.items() if feed.policy.required and feed.claims is None
        )

    def behind(self) -> tuple[str, ...]:
        """Return the required sources that have not said yet, in this run, all that templates want.

        What an earlier run saved does for routes. Templates have their files in place, and somebody else may
        have written them meanwhile.
        """
        return tuple(name for name, feed in self._feeds.items() if feed.policy.required and feed.is_behind)

    def silent(self) -> tuple[str, ...]:
        """Return the required sources that have not spoken in this run."""
        return tuple(name for name, feed in self._feeds.items() if feed.policy.required and not feed.spoke)


class _Feed:
    """One source's part."""

    def __init__(self, policy: SourcePolicy, needs: tuple[str, ...]) -> None:
        self.policy = policy
        self.needs = needs
        self._reader = Reader()
        self.listing: Listing | None = None
        self.claims: Claims | None = None
        self.held: tuple[Listing, Claims] | None = None
        self.spoke = False
        self._suspect = self._is_restored = False

    def take(self, change: Change) -> None:
        listing, claims = self.read(self._completed(change.listing))
        self.spoke = True
        self._suspect |= change.fresh or self._is_another_store(listing)
        if self._suspect and lost_share(self._comparable(listing), claims) > self.policy.max_loss:
            self.held = (listing, claims)
            if self.listing:  # what is only held must not cost a key the last good form that counts
                self.read(self.listing)
        else:
            self.accept(listing, claims)

    def _completed(self, listing: Listing) -> Listing:
        """Add what was known of places that can't be read now, and say so."""
        before, unread = self.listing, listing.unread
        if before is None or not unread:
            return listing
        keys = {key: entry for key, entry in before.keys.items() if entry.where.startswith(unread)}
        pairs = {key: entry for key, entry in before.pairs.items() if entry.where.startswith(unread)}
        kept = [*keys.values(), *pairs.values()]
        told = [place for place in unread if any(entry.where.startswith(place) for entry in kept)]
        why = "what was in it before still counts (mend it, or take it away)"
        return replace(
            listing,
            keys={**keys, **listing.keys},
            pairs={**pairs, **listing.pairs},
            problems=(*listing.problems, *(Problem("source", place.rstrip(":"), why) for place in told)),
        )

    def read(self, listing: Listing) -> tuple[Listing, Claims]:
        """Return what *listing* asks for, and itself as it is to be saved."""
        claims = self._reader.read(listing)
        if listing.last_good != claims.last_good:
            listing = replace(listing, last_good=claims.last_good)
        return listing, claims

    @property
    def is_behind(self) -> bool:
        return (
            self.listing is None or self._is_restored or not all(map(self.listing.was_asked_for, self.needs))
        )

    def _comparable(self, listing: Listing) -> Claims | None:
        """Return what counts; without its keys for templates where it was asked for others than *listing*."""
        if self.claims and self.listing and self.listing.needs != listing.needs:
            return replace(self.claims, pairs={})
        return self.claims

    def accept(self, listing: Listing, claims: Claims) -> None:
        self.listing, self.claims = listing, claims
        self.held, self._suspect, self._is_restored = None, False, False

    def restore(self, listing: Listing) -> None:
        self.accept(*self.read(listing))
        self._is_restored = True

    def _is_another_store(self, listing: Listing) -> bool:
        before = self.listing
        return before is not None and (
            listing.cluster != before.cluster or listing.revision < before.revision
        )
