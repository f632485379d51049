"""Questions: a host with or without a path, a container's name or the beginning of its id, or a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.explain.container import find_container, of_container
from proxyconf.explain.host import of_host
from proxyconf.explain.key import of_key

if TYPE_CHECKING:
    from proxyconf.explain.answer import Explanation, Known


def explain(question: str, known: Known) -> Explanation:
    """Answer *question*.

    Raises:
        BadValueError: It is no question.
    """
    asked = question.strip()
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
