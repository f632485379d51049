"""Questions: a host, with a path or without, a container's name or how its id begins, a key, a service.

A template is asked for by the file that it is written to. A key or a container may be named as in a problem,
too: ``etcd key '/proxyconf/routes/web'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.explain.container import find_container, of_container, of_held_container
from proxyconf.explain.host import of_host
from proxyconf.explain.key import of_key
from proxyconf.explain.service import find_service, of_service
from proxyconf.explain.template import of_pair, of_template

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
    if found := of_key(asked, known) or of_template(asked, known) or of_pair(asked, known):
        return found
    if container := find_container(asked, known):
        return of_container(asked, container, known)
    if held := of_held_container(asked, known):
        return held
    # services without a name of their own are called like a host and a path, which is what is asked for then
    service = find_service(asked, known)
    if service and "/" not in service and not any(route.host == service for route in known.snapshot.routes):
        return of_service(asked, service, known)
    host, slash, path = asked.removeprefix("http://").removeprefix("https://").partition("/")
    try:
        host = values.host(host.partition(":")[0])
    except BadValueError as exc:
        raise BadValueError(
            f"explain {values.shown(asked)}: no container, no key and no service is called that, and it is no"
            f" host: {exc} (write HOST, HOST/PATH, a container, a key or a service)"
        ) from exc
    return of_host(asked, host, slash + path, known)
