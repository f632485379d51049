"""A key: what it counts for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import endpoint_link, judged
from proxyconf.explain.words import problem_links, problems_at, source_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.explain.answer import Known


def of_key(question: str, known: Known) -> Explanation | None:
    """Answer for a key, as it is below the prefix or as it is in the store."""
    for listing in known.listings:
        for key, entry in listing.keys.items():
            where = entry.where or listing.place.format(key=key)
            if question not in (key, f"/{key}") and f"{question!r}" not in where:
                continue
            problems = problems_at(where, known.status.problems)
            links = [*_key_links(key, known), *problem_links(problems)]
            served = any(link.what == "endpoint" or not link.is_bad for link in links) and bool(links)
            verdict = f"{where}: " + (problems[0].why if problems else "counts")
            seen = Link(what="seen", says=f"{where}, {source_line(listing.source, known)}")
            return Explanation(
                question=question, is_served=served and not problems, verdict=verdict, chain=(seen, *links)
            )
    return None


def _key_links(key: str, known: Known) -> Iterator[Link]:
    for one in known.claims:
        for member in one.members:
            if member.key == key:
                yield Link(what="service", says=f"{member.service!r}")
                yield endpoint_link(member, member.service, known)
        for route in one.routes:
            if route.key == key:
                good, verdict = judged(route, known)
                yield Link(what="route", says=verdict, is_bad=not good)
