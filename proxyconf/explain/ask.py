"""Questions: a host with or without a path, a container's name or the beginning of its id, or a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.explain.container import find_container, of_container
from proxyconf.explain.host import of_host
from proxyconf.explain.key import of_key

if TYPE_CHECKING:
    from proxyconf.explain.answer import Explanation, Known, Link


def explain(question: str, known: Known) -> Explanation:
    """Answer *question*; each problem is told once, where it comes first.

    Raises:
        BadValueError: It is no question.
    """
    found = _explain(question.strip(), known)
    return structs.replace(found, chain=_told_once(found.chain, set()))


def _told_once(links: tuple[Link, ...], told: set[str]) -> tuple[Link, ...]:
    kept = []
    for link in links:
        if link.what == "problem":
            if link.says in told:
                continue
            told.add(link.says)
        kept.append(structs.replace(link, links=_told_once(link.links, told)))
    return tuple(kept)


def _explain(asked: str, known: Known) -> Explanation:
    if container := find_container(asked, known):
        return of_container(asked, container, known)
    if key := of_key(asked, known):
        return key
    host, slash, path = asked.removeprefix("http://").removeprefix("https://").partition("/")
    try:
        host = values.host(host.partition(":")[0])
    except BadValueError as exc:
        raise BadValueError(
            f"explain {values.shown(asked)}: no container and no key is called that, and it is no host:"
            f" {exc} (write HOST, HOST/PATH, a container or a key)"
        ) from exc
    return of_host(asked, host, slash + path or "/", known)
