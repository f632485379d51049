"""A key: what it counts for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import endpoint_link
from proxyconf.explain.service import why_idle
from proxyconf.explain.verdict import claimed
from proxyconf.explain.words import place_of, problem_links, problems_at, source_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.explain.answer import Known
    from proxyconf.model import Claims, Entry, Listing, Problem


def of_key(question: str, known: Known) -> Explanation | None:
    """Answer for a key, as it is below the prefix, as it is in the store, or as we name its place."""
    for listing in known.listings:
        for key, entry in listing.keys.items():
            if _is_asked(question, key, entry, listing):
                return _of_counting(question, key, listing, known)
    for held in known.held:
        for key, entry in held.listing.keys.items():
            if _is_asked(question, key, entry, held.listing):
                where = place_of(key, entry, held.listing)
                verdict = f"{where}: does not count, for what {held.listing.source} said last is held"
                links = tuple(problem_links([held.problem]))
                return Explanation(question=question, is_served=False, verdict=verdict, chain=links)
    return None


def _is_asked(question: str, key: str, entry: Entry, listing: Listing) -> bool:
    where = place_of(key, entry, listing)
    return question in (key, f"/{key}", where, f"{where} (host rule)") or f"{question!r}" in where


def _of_counting(question: str, key: str, listing: Listing, known: Known) -> Explanation:
    """Answer for a *key* of a *listing* that counts."""
    where = place_of(key, listing.keys[key], listing)
    problems = problems_at(where, known.status.problems) or _folder_problems(key, listing, known)
    claims = next(one for one in known.claims if one.source == listing.source)
    # what another source holds, too, may be that one's; whose it is the problem says
    links = [] if problems and not _is_first(key, listing, known) else [*_key_links(key, claims, known)]
    why = problems[0].why if problems else _why_idle(key, claims, known)
    verdict = f"{where}: {why or 'counts'}"
    seen = Link(what="seen", says=f"{where}, {source_line(listing.source, known)}")
    chain = (seen, *links, *problem_links(problems), *_held_links(key, listing, known))
    return Explanation(question=question, is_served=not why, verdict=verdict, chain=chain)


def _folder_problems(key: str, listing: Listing, known: Known) -> list[Problem]:
    """Return why nothing is read from the folder that a *key* is in."""
    place = listing.place.format(key=key.partition("/")[0])
    return problems_at(place, known.status.problems, what="source")


def _is_first(key: str, listing: Listing, known: Known) -> bool:
    return next(one for one in known.listings if key in one.keys) is listing


def _why_idle(key: str, claims: Claims, known: Known) -> str:
    """Return why a *key* without a problem leads nobody anywhere; "" where it does."""
    for member in claims.members:
        if member.key == key:
            why = why_idle(member, known)
            return why and f"gets no requests: {why}"
    for route in claims.routes:
        if route.key == key:
            verdict = claimed(route, known)
            return "" if verdict.is_served else verdict.says
    return "counts for nothing"


def _key_links(key: str, claims: Claims, known: Known) -> Iterator[Link]:
    for member in claims.members:
        if member.key == key:
            yield Link(what="service", says=f"{member.service!r}")
            yield endpoint_link(member, member.service, known)
    for route in claims.routes:
        if route.key == key:
            verdict = claimed(route, known)
            yield Link(what="route", says=verdict.says, is_bad=not verdict.is_served)


def _held_links(key: str, listing: Listing, known: Known) -> list[Link]:
    """Return that the source said something else of a *key*, where that is held."""
    of_source = (one for one in known.held if one.listing.source == listing.source)
    return problem_links(one.problem for one in of_source if one.listing.keys.get(key) != listing.keys[key])
