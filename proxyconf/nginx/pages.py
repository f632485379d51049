"""Error pages: an operator's files in place of what nginx itself says to a status. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.nginx import quoting
from proxyconf.nginx.writing import Lines, block, directive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from proxyconf.nginx.part import Part

# nginx comes to these by itself; it could be made to answer any
_BY_ITSELF = (
    *(400, 401, 403, 404, 405, 408, 411, 412, 413, 414, 415, 416, 421, 429),
    *(500, 501, 502, 503, 504, 505, 507),
)
_UNANSWERED = (444, 499)  # hung up by nginx, or by the client
_NAME = re.compile(r"[45](?:[0-9]{2}|[0-9]x|xx)\.html")


class Pages(NamedTuple):
    """Error pages as they are written.

    Attributes:
        parts: The pages.
        server: What a server needs for them.
        maintenance: What a location needs that is closed for a while; its page is one of `later_location`.
        location: What a location has that is for pages only.
    """

    parts: tuple[Part, ...] = ()
    server: tuple[Lines, ...] = ()
    maintenance: tuple[Lines, ...] = ()
    location: tuple[Lines, ...] = ()


NO_PAGES = Pages()


def statuses_of(name: str) -> tuple[int, ...]:
    """Return what the file *name* is the page of, as ``404.html`` or ``50x.html``; nothing if it is none."""
    if not _NAME.fullmatch(name):
        return ()
    status = name[:3]
    if status.isdigit():
        return () if int(status) in _UNANSWERED else (int(status),)
    return tuple(one for one in _BY_ITSELF if re.fullmatch(status.replace("x", "[0-9]"), str(one)))


def by_status(pages: Iterable[Part]) -> dict[int, Part]:
    """Return for each status the page whose name fits best, sorted."""
    found: dict[int, Part] = {}
    for page in sorted(pages, key=lambda one: one.name, reverse=True):  # an x comes after all digits
        found |= dict.fromkeys(statuses_of(page.name), page)
    return dict(sorted(found.items()))


def write_pages(pages: Mapping[int, Part], folder: Path) -> Pages:
    """Write what serves *pages*, by status, from the *folder* of the parts.

    Each server has it: with error_page in the http block, others' servers would look for our pages, too.

    Raises:
        BadValueError: The folder can't be written.
    """
    if not pages:
        return NO_PAGES
    statuses: dict[str, list[int]] = {}
    for status, page in pages.items():
        statuses.setdefault(page.file, []).append(status)
    lines = [
        directive("error_page", *(quoting.number(one, at_most=599) for one in of), quoting.page(file))
        for file, of in statuses.items()
    ]
    # internal: for nginx's own errors, not for whoever asks; and no other file has a name like that
    location = (directive("internal"), directive("alias", quoting.page_files(folder)))
    lines.append(block("location ^~ /.proxyconf-errors/p-", body=location))
    closed = pages.get(503)
    later = (directive("error_page 503", quoting.page(closed.file, later=True)),) if closed else ()
    return Pages(tuple(dict.fromkeys(pages.values())), tuple(lines), later, location)


def later_location(pages: Pages, headers: Sequence[Lines]) -> Lines:
    """Return the location of the page that says when to come again; an answer has its headers, and no others.

    Args:
        pages: Those of `write_pages`, one of them for 503.
        headers: What else its answers have.
    """
    return block("location ^~ /.proxyconf-errors/later/p-", body=(*pages.location, *headers))
