"""Whether the program is alive, and whether what is served is what it should be: for probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.api import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.api import SourceState, Status
    from proxyconf.progress import Progress


def liveness(progress: Progress) -> Health:
    """Tell whether the loop that applies changes moves on; where it does not, only a new start may help."""
    late_s = progress.late_s
    reasons = (f"no sign of life from the loop that applies changes, {late_s:.0f} s overdue",)
    return Health(ok=False, reasons=reasons) if late_s else Health(ok=True)


def readiness(status: Status, *, stale_after_s: float, now: float) -> Health:
    """Tell whether what is served is what it should be, as far as that can be known.

    Args:
        status: What is so.
        stale_after_s: For so long a required source may be lost: what it said last is good for a while.
        now: Unix time.
    """
    reasons = tuple(_not_ready(status, stale_after_s, now))
    return Health(ok=not reasons, reasons=reasons)


def _not_ready(status: Status, stale_after_s: float, now: float) -> Iterator[str]:
    if status.state != "applied":
        yield f"{status.state}: {status.reason}" if status.reason else status.state
    elif status.nginx.running is False:  # the next look says so in its state
        yield "no nginx runs"
    for source in status.sources:
        if source.required and (reason := _unsure(source, stale_after_s, now)):
            yield f"source {source.name}: {reason}"


def _unsure(source: SourceState, stale_after_s: float, now: float) -> str:
    if source.listed_at is None:
        return source.reason or "has not said yet what it has"
    lost_s = 0.0 if source.state == "watching" else now - source.since
    return f"lost for {lost_s:.0f} s: {source.reason}" if lost_s > stale_after_s else ""
