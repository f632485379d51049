"""A template's file, and a key that templates are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.words import moment, problem_links, source_line
from proxyconf.model import covers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.api import TemplateState
    from proxyconf.explain.answer import Known
    from proxyconf.model import Listing


def of_template(question: str, known: Known) -> Explanation | None:
    """Answer for the file that a template is written to; None where it is none."""
    template = next((one for one in known.status.templates if one.dest == question), None)
    if template is None:
        return None
    links = [Link(what="template", says=template.src)]
    for need in template.keys:
        count = sum(covers(need, name.rstrip("/") or "/") for name in known.snapshot.pairs)
        says = f"{need}: {count or 'none'} at or below it"
        links.append(Link(what="key", says=says, is_bad=not count))
    links += problem_links(one.problem for one in known.held if _is_touched(template, one.listing, known))
    return Explanation(
        question=question,
        is_served=template.state == "applied",
        verdict=f"{template.dest}: {_in_words(template, known)}",
        chain=tuple(links),
    )


def of_pair(question: str, known: Known) -> Explanation | None:
    """Answer for a key that templates are given, by its full name; None where nobody has it."""
    before, _, rest = question.partition("/")
    if before and not before.endswith(" '"):  # else it is as we name it: SOURCE '/NAME'
        return None
    name = "/" + rest.removesuffix("'").rstrip("/")
    holders = [one for one in known.listings if name in one.pairs or f"{name}/" in one.pairs]
    if not holders:
        return None
    readers = [one for one in known.status.templates if any(covers(need, name) for need in one.keys)]
    verdict = f"{holders[0].source} {name!r}: {_given_to(readers, known)}"
    served = bool(readers) and all(one.state == "applied" for one in readers)
    chain = (*_seen(name, holders, known), *(_link(one, known) for one in readers))
    return Explanation(question=question, is_served=served, verdict=verdict, chain=chain)


def _given_to(readers: Sequence[TemplateState], known: Known) -> str:
    if bad := next((one for one in readers if one.state != "applied"), None):
        return f"is given to {bad.dest}, which has not taken effect: {_in_words(bad, known)}"
    names = ", ".join(one.dest for one in readers)
    return f"is given to {names}" if names else "is given to no template (add it to the keys of one)"


def _seen(name: str, holders: Sequence[Listing], known: Known) -> Iterator[Link]:
    """Yield who has the key *name*: the first counts."""
    for listing in holders:
        said = f"{listing.source} {name!r}, {source_line(listing.source, known)}"
        if listing is holders[0]:
            yield Link(what="seen", says=said)
        else:
            yield Link(what="rival", says=f"{said}: yields to it", is_bad=True)


def _link(template: TemplateState, known: Known) -> Link:
    is_bad = template.state in ("refused", "failed")
    return Link(what="template", says=f"{template.dest}: {_in_words(template, known)}", is_bad=is_bad)


def _is_touched(template: TemplateState, listing: Listing, known: Known) -> bool:
    """Tell whether a *listing* that is held has other keys for a *template* than those that count."""
    counting = next((one.pairs for one in known.listings if one.source == listing.source), {})
    names = {
        name
        for name in counting.keys() | listing.pairs.keys()
        if counting.get(name) != listing.pairs.get(name)
    }
    return any(covers(need, name) for name in names for need in template.keys)


def _in_words(template: TemplateState, known: Known) -> str:
    """Return how it stands with a *template*."""
    if template.state == "applied" and template.applied_at is not None:
        said = f"applied at {moment(template.applied_at)}, proof: {template.proof}"
        return f"{said}; nothing new is applied until proxyconf resume" if known.status.paused else said
    return ": ".join(filter(None, (template.state, template.reason)))
