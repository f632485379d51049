"""The sources: whether each answers, and what else its kind has to say."""

from __future__ import annotations

import time
from contextlib import aclosing
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from proxyconf.doctor.finding import Check, Findings, of_message, ok
from proxyconf.errors import SourceError
from proxyconf.model import UNASKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.config import SourceTable
    from proxyconf.model import Listing
    from proxyconf.sources import Source


def source_checks(table: SourceTable, source: Source) -> Iterator[Check]:
    """Yield what there is to look at of a source."""
    attempts = len(table.values.get("endpoints", ())) or 1
    yield Check(source.name, lambda: answers(source, attempts=attempts))
    name = f"proxyconf.doctor.kind_{table.kind}"
    if find_spec(name):
        yield Check(source.name, lambda: import_module(name).examine(source))


async def answers(source: Source, *, attempts: int) -> Findings:
    """Yield whether the source lists what it has; each of the *attempts* goes to its next server.

    Raises:
        SourceError: It does not.
    """
    for left in reversed(range(attempts)):
        started = time.perf_counter()
        try:
            async with aclosing(source.watch()) as listings:
                listing = await anext(listings)
        except SourceError as exc:
            if not left:
                raise
            yield of_message("warning", source.name, str(exc))
        else:
            took_ms = 1000 * (time.perf_counter() - started)
            says = f"{_content(listing)}, listed in {took_ms:.0f} ms"
            yield ok(source.name, UNASKED if listing.unasked else says)
            for problem in listing.problems:
                if problem.what == "source":
                    yield of_message("warning", source.name, problem.why)
            return


def _content(listing: Listing) -> str:
    counts = (
        (len(listing.keys), "key", "keys"),
        (len(listing.pairs), "key for templates", "keys for templates"),
        (len(listing.containers), "container", "containers"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count) or (
        "nothing is in it"
    )
