"""A host that no route is for: who names it in vain, where its route may be, and who answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.verdict import earlier_serves, so_far, why_unproved
from proxyconf.explain.words import container_link, containers_of, place_of, problem_links, problems_at
from proxyconf.held import MEND
from proxyconf.routing import labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.api import SourceState
    from proxyconf.explain.answer import Known
    from proxyconf.held import Held
    from proxyconf.model import Container, Listing

_VARIABLES = ("VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS")
_ANOTHERS = "another server of this nginx, or its default one,"
_DEFAULT_HOST = "[nginx] default_host"
_NO_HOST = re.compile(r"""[][\s,;:/{}"']+""")


def of_unknown(question: str, host: str, known: Known) -> Explanation:
    """Say what there is of a host that no route is for."""
    if known.status.applied is None and _is_of_earlier_run(host, known):
        verdict = f"{host} is served as it was proved before; what is new is not in effect: {so_far(known)}"
        return Explanation(question=question, is_served=True, verdict=verdict)
    told = list(named_links(host, known))
    unsure = [one for one in known.status.sources if one.state == "lost" or one.listed_at is None]
    chain = (
        *told,
        *problem_links(one.problem for one in _held_with(host, known)),
        *problem_links(problems_at(_DEFAULT_HOST, known.status.problems)),
        *(Link(what="source", says=_of_source(one), is_bad=True) for one in unsure),
    )
    verdict = f"no route is for it{_who_answers(host, known)}"
    if hint := _hint(host, unsure, known, is_told=bool(told)):
        verdict = f"{verdict} ({hint})"
    return Explanation(question=question, is_served=False, verdict=verdict, chain=chain)


def hosts_for(host: str) -> Iterator[str]:
    """Yield what nginx takes for *host*: its own name first, then the longest wildcard."""
    yield host
    rest = host.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"


def _is_of_earlier_run(host: str, known: Known) -> bool:
    """Tell whether nginx has the host of an earlier run, of whose routes nothing is known yet."""
    return earlier_serves(known) and any(known.part_of("host", name) for name in hosts_for(host))


def _who_answers(host: str, known: Known) -> str:
    if known.status.applied is None:  # so that nobody knows whether there is a default server
        return f", and nothing is proved: {why_unproved(host, known)}"
    return f": {_ANOTHERS if known.settings.mode == 'include' else 'the default server'} answers"


def _hint(host: str, unsure: Sequence[SourceState], known: Known, *, is_told: bool) -> str:
    """Return where its route may be."""
    if held := _held_with(host, known):
        return f"what {held[0].listing.source} said last has one, and is held; {MEND}"
    if is_told:
        return ""
    if unsure:
        return f"it may be in {', '.join(one.name for one in unsure)}, of which the newest is not known"
    return "is it spelled as in the label or key, and is its source listed?"


def _held_with(host: str, known: Known) -> list[Held]:
    names = set(hosts_for(host))
    return [one for one in known.held if any(route.host in names for route in one.claims.routes)]


def _of_source(source: SourceState) -> str:
    state = "lost" if source.state == "lost" else "has not said yet what it has"
    return ": ".join(filter(None, (source.name, state, source.reason)))


def named_links(host: str, known: Known) -> Iterator[Link]:
    """Yield the containers and keys that name *host*, be it in vain."""
    for container in containers_of(known):
        if host in _named_by(container):
            yield container_link(container, known)
    for listing in known.listings:
        yield from _key_links(host, listing, known)


def _key_links(host: str, listing: Listing, known: Known) -> Iterator[Link]:
    """Yield the keys of routes that name *host*."""
    for key, entry in listing.keys.items():
        if key.startswith("routes/") and host == _named_in(entry.value):
            where = place_of(key, entry, listing)
            problems = problem_links(problems_at(where, known.status.problems))
            yield Link(what="key", says=where, links=tuple(problems))


def _named_by(container: Container) -> set[str]:
    """Return the hosts that a container's labels and variables name, be it in vain.

    Whole ones, and of nothing else: whoever may ask could find out any text letter by letter, else.
    """
    texts = [text for label, text in container.labels.items() if labels.names_host({label: text})]
    texts += [container.env.get(name, "") for name in _VARIABLES]
    return {_canonical(word) for text in texts for word in _NO_HOST.split(text)}


def _named_in(value: bytes) -> str:
    """Return the host that a route's key names, be it in vain; "" for none."""
    try:
        fields = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    host = fields.get("host") if isinstance(fields, dict) else None
    return _canonical(host) if isinstance(host, str) else ""


def _canonical(word: str) -> str:
    try:
        return values.host(word)
    except BadValueError:
        return ""
