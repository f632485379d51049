"""Sources: where truth comes from. One module each, found by its name, loaded only when configured.

To add one, write ``sources/NAME.py`` with

* ``Settings``: a `proxyconf.config.SourcePolicy`, the keys of its ``[NAME]`` table with their defaults;
* ``open_source(name, settings, needs)``: returns an object of the `Source` protocol below. *needs* are the
  key prefixes that templates want (``/app/server``: that key and all below it; ``/``: all), for
  `Listing.pairs`. A source that has containers and no keys says ``HAS_KEYS = False``, and is given in their
  place the name of the container that nginx is in, or "".

A source does not retry, queue or sleep between attempts: it raises `SourceError` and the supervisor starts
it anew. ``tests/unit/test_source_contract.py`` runs over every module here.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from proxyconf.config import SourceTable, convert

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from proxyconf.model import Listing
    from proxyconf.tables import SourcePolicy


class Source(Protocol):
    """Anything that can list its content and say when the list changed."""

    @property
    def name(self) -> str:
        """The name of its table in the configuration: ``etcd`` or ``etcd.NAME``."""
        ...

    @property
    def policy(self) -> SourcePolicy:
        """How far its absence and its losses are tolerated."""
        ...

    def watch(self) -> AsyncGenerator[Listing, None]:
        """Connect, yield the complete listing at once, and again after every change.

        A generator serves one connection: it ends only by raising. Closing it releases what it holds.

        Raises:
            SourceError: The store was lost, or is not to be trusted any more; watch again.
            SourceDeniedError: The store refuses us; watch again, but later.
        """
        ...


def kinds() -> tuple[str, ...]:
    """Return the names of all kinds of source, sorted, without importing them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"))


def has_keys(table: SourceTable) -> bool:
    """Tell whether the source that *table* configures depends on what keys templates want."""
    return bool(getattr(import_module(f"{__name__}.{table.kind}"), "HAS_KEYS", True))


def engine_of(tables: Iterable[SourceTable]) -> SourceTable | None:
    """Return which of *tables* is of the engine that has nginx's container: of Docker's, the first."""
    return next((table for table in tables if table.kind == "docker"), None)


def open_source(table: SourceTable, needs: Sequence[str] = (), *, nginx: str = "") -> Source:
    """Make the source that *table* configures.

    Args:
        table: Its settings.
        needs: The key prefixes that templates want.
        nginx: The container that nginx is in, where it is one of this source's engine.

    Raises:
        UsageError: A key is unknown or its value wrong; the message names file, table and key.
    """
    module = import_module(f"{__name__}.{table.kind}")
    settings = convert(table.values, module.Settings, table.place)
    wanted = tuple(needs) if has_keys(table) else nginx
    source: Source = module.open_source(table.name, settings, wanted)
    return source
