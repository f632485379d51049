"""Whether our clock and another one agree: certificates are good from one date to another."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from proxyconf.doctor.finding import Finding, ok, warning

_MUCH_S = 5.0
_SECOND_S = 1.0


def agreement(what: str, theirs: float, ours: float) -> Finding:
    """Return how two clocks agree.

    Args:
        what: Whose clock the other one is.
        theirs: Unix time by it, some time in the same second.
        ours: Unix time by our own, when it was asked.
    """
    ahead_s = ours - theirs
    if abs(ahead_s) <= _MUCH_S:
        return ok(what, f"its clock and ours agree within {max(_SECOND_S, abs(ahead_s)):.0f} s")
    word = "ahead of" if ahead_s > 0 else "behind"
    return warning(
        what,
        f"our clock is {abs(ahead_s):.0f} s {word} its own",
        "set the time on both, by chrony or systemd-timesyncd: certificates are good from a date to a date",
    )


def header_time(date: str) -> float | None:
    """Return the Unix time that a ``Date`` header stands for, in the middle of its second; None for none."""
    try:
        return parsedate_to_datetime(date).timestamp() + _SECOND_S / 2
    except (TypeError, ValueError):
        return None
