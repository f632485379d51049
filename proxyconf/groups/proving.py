"""Wait until the workers of an nginx are those of the latest reload: the proof of somebody else's nginx."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.errors import ReloadError, ReloadRefusedError
from proxyconf.nginx.workers import renewed

if TYPE_CHECKING:
    from proxyconf.command import Running
    from proxyconf.nginx.beside import Beside
    from proxyconf.nginx.control import LogMark
    from proxyconf.nginx.workers import Worker

_HAND_OVER_S = 0.1  # so long after new workers have started, the master sends the old ones away
_ASK_EVERY_S = (0.005, 0.02, 0.1)
_ASKS_AT_EACH = 40
_ASKS_PER_LOOK = 5  # into the log: a refusal is not in such a hurry
_SETTLE_S = 3.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


async def has_loaded(nginx: Beside, installed_at: float) -> bool:
    """Tell whether *nginx* has read its files since then (seconds since boot); False in doubt."""
    return await nginx.has_loaded_since(_ticks(installed_at))


@dataclass(frozen=True, slots=True)
class Before:
    """What an nginx was before it was told to reload.

    Attributes:
        workers: That served.
        mark: The end of its log.
        installed_at: When the files that it is to load were put in place, in seconds since boot.
    """

    workers: frozenset[Worker]
    mark: LogMark
    installed_at: float


async def look_before(nginx: Beside, installed_at: float) -> Before:
    """Look at *nginx* before it is told to reload, once it is not busy with somebody else's."""
    clock = asyncio.get_running_loop().time
    end = clock() + _SETTLE_S
    while clock() < end and not await nginx.is_settled():  # noqa: ASYNC110 - another process
        await asyncio.sleep(_ASK_EVERY_S[0])
    return Before(await nginx.serving(), await nginx.mark(), installed_at)


async def wait_for_workers(nginx: Beside, before: Before, *, patience_s: float, running: Running) -> None:
    """Wait until every serving worker is younger than the reload.

    Args:
        nginx: That was told to reload.
        before: What it was until then.
        patience_s: When to give up.
        running: Is ended when we are to end.

    Raises:
        ReloadRefusedError: nginx says [emerg] to the reload.
        ReloadError: No proof in time.
    """
    ticks, asks = _ticks(before.installed_at), 0
    clock = asyncio.get_running_loop().time
    end = clock() + patience_s
    while not renewed(before.workers, await nginx.serving(), ticks):
        if clock() > end or running.ended:
            raise ReloadError(
                f"reload nginx: its workers are still the old ones after {patience_s:g} s (does reload_cmd"
                " reload the nginx that check_cmd asks?)"
            )
        asks += 1
        if asks % _ASKS_PER_LOOK == 0:
            await _look_for_complaints(nginx, before.mark)
        pause_s = _ASK_EVERY_S[min(asks // _ASKS_AT_EACH, len(_ASK_EVERY_S) - 1)]
        await asyncio.sleep(_HAND_OVER_S if asks == 1 else pause_s)


async def _look_for_complaints(nginx: Beside, mark: LogMark) -> None:
    complaints = await nginx.complaints(mark)
    # it tries five times to get an address; only "still could not bind()" is its last word
    final = [text for text in complaints if not text.startswith("bind() to")]
    if final:
        raise ReloadRefusedError(f"reload nginx: {', '.join(dict.fromkeys(complaints))}")


def _ticks(since_boot_s: float) -> int:
    """Return a moment as the kernel counts the start of processes."""
    return int(since_boot_s * _TICKS_PER_S)
