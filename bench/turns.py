"""Single changes of a program started by confd's command line, or of another one to compare it with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import columns, median

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.pair import Direct, Pair, Served

_STEPS = ("template.rendered", "template.written", "template.applied")
_HEAD = ("ms, medians", "put acked", "event", "render", "check, install", "reload", "first answer", "proof")


@dataclass(slots=True)
class Turns:
    """Changes of a program, and of its floor, in turn.

    Attributes:
        pause_s: After each, long enough for the proof; with whatever else is between two puts to the program,
            also for a new token.
        own_s: CPU time of the program for all of them, its children apart.
    """

    pair: Pair
    pause_s: float
    served: list[Served] = field(default_factory=list)
    directly: list[Direct] = field(default_factory=list)
    own_s: float = 0.0
    _logged: int = field(init=False)

    def __post_init__(self) -> None:
        self._logged = self.pair.product.events()[1]

    def take_one(self) -> None:
        """Make one change of both."""
        cpu = self.pair.product.cpu()
        self.served.append(self.pair.change())
        self.pair.pause(self.pause_s)
        self.own_s += self.pair.product.cpu().since(cpu).own
        self.directly.append(self.pair.change_directly())
        self.pair.pause(self.pause_s)

    def events(self) -> list[dict[str, Any]]:
        """Return what the program has logged meanwhile."""
        return self.pair.product.events(self._logged)[0]

    @property
    def ms(self) -> float:
        """From a put to the first answer, the median."""
        return median(one.ms for one in self.served)

    @property
    def floor_ms(self) -> float:
        """The same of the floor."""
        return median(one.ms for one in self.directly)

    @property
    def own_ms(self) -> float:
        """CPU time of one."""
        return self.own_s / len(self.served) * 1e3


def renders(events: Iterable[dict[str, Any]]) -> list[str]:
    """Return which destinations were rendered, in that order, by what the program has logged."""
    return [Path(event["dest"]).stem for event in events if event["event"] == _STEPS[0]]


def step_line(name: str, served: Sequence[Served], events: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return the medians of the steps of changes, by what the program has logged, as a line of `step_table`.

    Changes in which a step came twice, or never, are left out.
    """
    ends = [one.put.sent_at for one in served[1:]] + [float("inf")]
    found = []
    for one, end in zip(served, ends, strict=True):
        start = one.put.sent_at
        steps = [event for event in events if event["event"] in _STEPS and start <= _time(event) < end]
        if tuple(event["event"] for event in steps) == _STEPS:
            found.append(_steps(one, steps))
    if not found:
        return (name, *[""] * (len(_HEAD) - 1))
    return (name, *(f"{median(values):.1f}" for values in zip(*found, strict=True)))


def _steps(one: Served, steps: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    rendered, written, proved = [(_time(event) - one.put.sent_at) * 1e3 for event in steps]
    render = steps[0]["duration_ms"]
    acked = (one.put.done_ns - one.put.sent_ns) / 1e6
    return acked, rendered - render, render, written - rendered, one.ms - written, one.ms, proved


def _time(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def step_table(lines: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return *lines* under their names."""
    return (
        "",
        "What the steps of a template's change cost. Event: from sending the put to the render's start.",
        "Reload: from the file in its place to the first answer. Proof: from the put until it is proved.",
        columns([_HEAD, *lines], right=range(1, len(_HEAD))),
    )
