"""The arithmetic of the bench, and how its figures are shown. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        name: What was measured.
        measured: In `unit`.
        unit: ms, s, MiB, or "" for a count.
        floor: What nginx told directly takes; None where there is no such thing.
        target: What it may be at most; None where nothing was promised.
        samples: How many it is the median of.
        peers: What others have shown at the same, measured elsewhere.
    """

    name: str
    measured: float
    unit: str
    floor: float | None = None
    target: float | None = None
    samples: int = 1
    peers: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or "" where nothing was promised."""
        if self.target is None:
            return ""
        return "met" if self.measured <= self.target else "MISSED"

    @property
    def over_floor(self) -> float | None:
        """The difference to the floor."""
        return None if self.floor is None else self.measured - self.floor


@dataclass(frozen=True, slots=True)
class Report:
    """What a measurement found.

    Attributes:
        rows: The figures.
        notes: Further lines for people, after the table.
        wrong: What is not merely slow.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def median(values: Iterable[float]) -> float:
    """Return the middle one of *values*, or the mean of the two in the middle."""
    return quantile(values, 0.5)


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value that *share* (0 to 1) of *values* do not exceed, interpolated.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def delays(sent: Sequence[float], seen: Mapping[int, float]) -> list[float]:
    """Return for each change how long it, or a later one, took to be served.

    Args:
        sent: When each change was made.
        seen: Index of a change to when it was served first; most are never, since a later one replaced them.

    Raises:
        ValueError: The last change was not served.
    """
    if len(sent) - 1 not in seen:
        raise ValueError("the last change was never served")
    served, found = math.inf, []
    for index in reversed(range(len(sent))):
        served = min(served, seen.get(index, math.inf))
        found.append(served - sent[index])
    return found[::-1]


def reloads_allowed(burst_s: float) -> int:
    """Return how many reloads a burst may cost: two, and one for every full half second."""
    return 2 + math.floor(burst_s / 0.5)


def table(rows: Sequence[Row]) -> str:
    """Return *rows* as text in columns."""
    head = ("", "measured", "floor", "over it", "ratio", "target", "", "of", "peers")
    return columns([head, *(_cells(row) for row in rows)], right=(1, 2, 3, 4, 5, 7))


def columns(lines: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return lines of cells as text; the columns *right* are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_json(row: Row) -> dict[str, object]:
    """Return *row* for machines."""
    return {
        "name": row.name,
        "measured": round(row.measured, 3),
        "unit": row.unit,
        "floor": None if row.floor is None else round(row.floor, 3),
        "target": None if row.target is None else round(row.target, 3),
        "verdict": row.verdict or None,
        "samples": row.samples,
        "peers": row.peers or None,
    }


def shown(value: float | None, unit: str) -> str:
    """Return a figure with its unit, to the precision that makes sense; "" for None."""
    if value is None:
        return ""
    digits = {"ms": 1, "s": 2, "MiB": 1}.get(unit, 0 if value == int(value) else 1)
    return f"{value:.{digits}f} {unit}".rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    ratio = f"{row.measured / row.floor:.1f} x" if row.floor else ""
    target = f"<= {shown(row.target, row.unit)}" if row.target is not None else ""
    over = shown(row.over_floor, row.unit)
    return (
        row.name,
        shown(row.measured, row.unit),
        shown(row.floor, row.unit),
        over if over.startswith("-") or not over else f"+{over}",
        ratio,
        target,
        row.verdict,
        str(row.samples),
        row.peers,
    )
