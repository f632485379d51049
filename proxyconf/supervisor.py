"""The one retry loop of all sources, the one place that defers cancellation, and the end of the program."""

from __future__ import annotations

import asyncio
import math
import random
import signal
from contextlib import aclosing
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

import structlog

from proxyconf.errors import Shutdown, SourceDeniedError, SourceError
from proxyconf.model import Change

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from proxyconf.sources import Source

log = structlog.get_logger(__name__)

_BASE_S = 0.2
_CAP_S = 5.0
_DENIED_BASE_S = 2.0  # a wrong password does not mend itself within a second, and some stores count the tries
_DENIED_CAP_S = 30.0
_CRASHED_S = 5.0
_END = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)  # the last is what nginx's images are stopped by
_STEADY_S = 5.0  # one that lists and is lost at once, again and again, must not be listed ten times a second

T = TypeVar("T")


class Witness(Protocol):
    """Where the state of the sources is kept for status."""

    def source_listed(self, change: Change) -> None:
        """Note that a source is there and what it has."""
        ...

    def source_lost(self, name: str, reason: str) -> None:
        """Note that a source is gone; its last listing counts on."""
        ...


async def keep_watching(source: Source, publish: Callable[[Change], None], witness: Witness) -> NoReturn:
    """Run *source* for ever: whatever ends it, it is started anew, sooner or later by what it was.

    A bug inside a source (any other exception) is logged with its traceback and does not end the others.
    """
    failures, said, clock = 0, "", asyncio.get_running_loop().time
    while True:
        fresh, steady_at = True, math.inf
        try:
            async with aclosing(source.watch()) as listings:
                async for listing in listings:
                    change = Change(listing, fresh=fresh)
                    if fresh:
                        said, fresh, steady_at = "", False, clock() + _STEADY_S
                    witness.source_listed(change)
                    publish(change)
            raise SourceError(f"watch {source.name}: ended without a reason")  # noqa: TRY301 - a broken promise
        except SourceError as exc:
            failures = failures if clock() < steady_at else 0
            reason, delay_s, kind = str(exc), _delay_s(exc, failures), type(exc).__name__
            # once per outage and kind: "connection lost" is followed by "connection refused" at once
            tell = log.debug if kind == said else log.warning
            tell("source.lost", source=source.name, reason=reason, retry_s=round(delay_s, 1))
        except Exception as exc:
            reason, delay_s = f"crashed: {exc!r} (a bug of ours: please report it)", _CRASHED_S
            kind = reason
            if kind != said:
                log.exception("source.crashed", source=source.name, retry_s=delay_s)
        said = kind
        failures += 1
        witness.source_lost(source.name, reason)
        await asyncio.sleep(delay_s)


def _delay_s(exc: SourceError, failures: int) -> float:
    base_s, cap_s = (
        (_DENIED_BASE_S, _DENIED_CAP_S) if isinstance(exc, SourceDeniedError) else (_BASE_S, _CAP_S)
    )
    # by chance, so that many of us do not come back to a store at the same moment
    longest_s = min(cap_s, base_s * float(1 << min(failures, 16)))
    return random.uniform(0.5, 1.0) * longest_s  # noqa: S311 - no secret


async def uninterrupted(
    coro: Coroutine[object, object, T], *, hurry: Callable[[], object] | None = None
) -> T:
    """Await *coro* to its end even if cancelled meanwhile; then the cancellation goes on.

    Args:
        coro: What must not be left half done.
        hurry: Is called at each cancellation, to make it end soon.
    """
    task = asyncio.ensure_future(coro)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            if task.done() and task.cancelled():
                raise
            if hurry is not None:
                hurry()
            cancelled = exc
        except Exception:  # noqa: BLE001 - task.result() below raises it
            break
    if cancelled is not None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("apply.failed_at_shutdown", reason=str(error))
        raise cancelled
    return task.result()


async def stop_on_signal(
    actions: Mapping[signal.Signals, Callable[[], None]],
    *,
    last: Callable[[], Awaitable[None]] | None = None,
) -> NoReturn:
    """End the surrounding task group at SIGTERM, SIGINT or SIGQUIT; a second one changes nothing.

    Args:
        actions: What is called at other signals, which would end the process otherwise.
        last: What is to be done before that, while everything still runs.

    Raises:
        Shutdown: Always.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    handled = {**actions, **dict.fromkeys(_END, asked.set)}
    for number, action in handled.items():
        loop.add_signal_handler(number, action)
    try:
        await asked.wait()
        log.info("proxyconf.stopping")
        if last is not None:
            await last()
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
    raise Shutdown
