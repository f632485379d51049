"""Renders one resource, anew only when something that it used has changed."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from proxyconf.resources.jinja import TemplateError
from proxyconf.resources.keyspace import Keyspace
from proxyconf.resources.store import Stores
from proxyconf.resources.world import Used, World, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxyconf.model import Snapshot
    from proxyconf.resources.jinja import Rendered, Templates
    from proxyconf.resources.keyspace import Share
    from proxyconf.resources.lookups import Lookups
    from proxyconf.resources.table import Resource
    from proxyconf.resources.world import Lookup

log = structlog.get_logger(__name__)

_ROUNDS_MAX = 5  # a look-up may depend on the answer of another one


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What templates may see.

    Attributes:
        snapshot: Everything that is known.
        keyspace: Its keys, sorted.
    """

    snapshot: Snapshot
    keyspace: Keyspace

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of the key prefixes *names* have no key."""
        return tuple(name for name in names if not self.keyspace.below((name,)).names)


class Views:
    """Makes views of snapshots.

    It is another one only where it shows something else, for groups take each one for a reason to act.
    """

    def __init__(self) -> None:
        self._shown: View | None = None

    def of(self, snapshot: Snapshot) -> View:
        """Return what *snapshot* shows."""
        shown = self._shown
        if shown is None or shown.snapshot != snapshot:
            same_keys = shown is not None and shown.snapshot.pairs is snapshot.pairs
            keyspace = shown.keyspace if shown and same_keys else Keyspace(snapshot.pairs)
            shown = self._shown = View(snapshot, keyspace)
        return shown


@dataclass(frozen=True, slots=True)
class _Last:
    """The last render: what it was made of, and what came of it."""

    keys: Share
    parts: tuple[object, ...]
    clock: float
    used: Used
    content: bytes


class Rendering:
    """One resource's renders."""

    def __init__(self, resource: Resource, templates: Templates, lookups: Lookups) -> None:
        self._resource = resource
        self._templates = templates
        self._lookups = lookups
        self._stores = Stores(resource.prefix)
        self._answers: Mapping[Lookup, Sequence[str]] = {}
        self._used = Used()
        self._last: _Last | None = None

    async def render(self, view: View, *, clock: float) -> tuple[bytes, float]:
        """Return the content, and the time that the template was told, in Unix time: 0 where it did not ask.

        Raises:
            TemplateError: Names file, line and reason.
        """
        keys = view.keyspace.below(self._resource.needs)
        last = self._last
        if last is None or not await self._is_still(last, keys, view, clock):
            self._last = None
            last = self._last = await self._render(keys, view, clock)
        return last.content, last.clock if last.used.time else 0.0

    async def has_changed(self) -> bool:
        """Tell whether something besides the keys would make another text, as far as a quick look tells."""
        used = self._used
        if _files_changed(used):
            return True
        return bool(used.lookups) and await self._resolve(used) != self._answers

    async def _is_still(self, last: _Last, keys: Share, view: View, clock: float) -> bool:
        return (
            last.keys == keys
            and last.parts == _parts(last.used, view.snapshot)
            and (last.clock == clock or not last.used.time)
            and not await self.has_changed()
        )

    async def _render(self, keys: Share, view: View, clock: float) -> _Last:
        started = time.perf_counter()
        rendered = await self._try(keys, view, clock)
        for _ in range(_ROUNDS_MAX):
            if not await self._has_learnt(rendered.used):
                break
            rendered = await self._try(keys, view, clock)
        if isinstance(rendered, TemplateError):
            raise rendered
        content = rendered.text.encode("utf-8", "surrogateescape")
        ms = round((time.perf_counter() - started) * 1000, 1)
        log.debug("template.rendered", dest=str(self._resource.dest), keys=len(keys.names), duration_ms=ms)
        return _Last(keys, _parts(rendered.used, view.snapshot), clock, rendered.used, content)

    async def _try(self, keys: Share, view: View, clock: float) -> Rendered | TemplateError:
        """Render once; that it fails may be for want of an answer to a look-up."""
        try:
            return await asyncio.to_thread(self._render_once, keys, view, clock)
        except TemplateError as exc:
            return exc

    def _render_once(self, keys: Share, view: View, clock: float) -> Rendered:
        world = World(
            time=clock, hostname=socket.gethostname(), environment=os.environ, answers=self._answers
        )
        return self._templates.render(self._resource.src, self._stores.of(keys), world, view.snapshot)

    async def _has_learnt(self, used: Used) -> bool:
        """Take the answers to the look-ups that were *used*; tell whether they are others than before."""
        self._used = used
        before, self._answers = self._answers, await self._resolve(used)
        return self._answers != before

    async def _resolve(self, used: Used) -> Mapping[Lookup, Sequence[str]]:
        return await self._lookups.answer(used.lookups) if used.lookups else {}


def _files_changed(used: Used) -> bool:
    """Look at files: some microseconds each, less than a thread would take."""
    return any(stamp(path) != seen for path, seen in used.templates.items()) or any(
        os.path.exists(path) != seen  # noqa: PTH110 - as the function has asked
        for path, seen in used.files.items()
    )


def _parts(used: Used, snapshot: Snapshot) -> tuple[object, ...]:
    return tuple(getattr(snapshot, part) for part in sorted(used.parts))
