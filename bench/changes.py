"""One change at a time: from a put to the first answer of the new backend, and what each step costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import Report, Row, columns, median, quantile
from bench.lab import say
from bench.pair import paired
from bench.site import site_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.lab import Effort, Lab
    from bench.pair import Direct, Pair, Served
    from proxyconf.api import Pass

_SERVICES = {2: 1, 100: 10, 1000: 100}
_PEERS = {100: "confd +13, fork +13", 1000: "confd +18, fork +15"}  # over their floor, measured elsewhere
_OVER_FLOOR_MS = 10
_PAUSE_S = 0.45  # twice between two puts: long enough for a new token and for nginx's hand-over
_HISTORY = 15  # passes to ask for at once; the program remembers 20
_STEPS = ("snapshot", "render", "write", "check", "install", "signal", "proof", "tidy")


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure sites of several sizes.

    Raises:
        BenchError: A change was not served, or something else changed with it.
    """
    rows: list[Row] = []
    steps: list[tuple[str, ...]] = []
    notes: list[str] = []
    gaps_us: list[int] = []
    for keys in effort.sizes:
        say(f"changes: {keys} keys, {effort.changes} puts, each beside one of the floor")
        site = site_of(keys=keys, services=_SERVICES[keys], addresses=lab.addresses)
        with paired(lab, f"changes-{keys}", site) as pair:
            cpu = pair.product.cpu()
            served, directly, passes = change_often(pair, effort.changes, pause_s=_PAUSE_S)
            used = pair.product.cpu().since(cpu)
            pair.verify()
        own_ms = used.own / len(served) * 1e3
        rows.append(_row(keys, served, directly))
        rows.append(Row(f"own CPU of one change, {keys:,} keys", own_ms, "ms", samples=len(served)))
        notes.append(fastest_quarter(f"{keys:,} keys", served, directly))
        steps += step_lines(f"{keys:,} keys", served, directly, passes)
        gaps_us += [gap for one in served for gap in one.seen.gaps_us]
    poll = f"nginx was asked every {median(gaps_us) / 1e3:.2f} ms (p95 {quantile(gaps_us, 0.95) / 1e3:.2f})"
    notes.append(f"{poll}: that is the resolution of these times.")
    return Report(tuple(rows), (*notes, *step_table(steps)))


def fastest_quarter(name: str, served: Sequence[Served], directly: Sequence[Direct]) -> str:
    """Say what a quieter machine would show: the lower quartiles."""
    measured = quantile((one.ms for one in served), 0.25)
    floor = quantile((one.ms for one in directly), 0.25)
    return (
        f"Put to first answer, {name}, fastest quarter: {measured:.1f} ms,"
        f" floor {floor:.1f} ms, {measured - floor:+.1f} ms."
    )


def change_often(
    pair: Pair, count: int, *, pause_s: float
) -> tuple[list[Served], list[Direct], dict[str, Pass]]:
    """Make *count* changes of both in turn; return them, and the program's passes by new address."""
    served, directly = [], []
    passes: dict[str, Pass] = {}
    for number in range(1, count + 1):
        served.append(pair.change())
        pair.pause(pause_s)
        if number % _HISTORY == 0 or number == count:
            passes |= _by_address(pair.passes())
        directly.append(pair.change_directly())
        pair.pause(pause_s)
    return served, directly, passes


def _by_address(passes: Sequence[Pass]) -> dict[str, Pass]:
    return {
        change.rpartition(" ")[2]: one for one in passes for change in one.changed if change.startswith("+ ")
    }


def _row(keys: int, served: Sequence[Served], directly: Sequence[Direct]) -> Row:
    floor = median(one.ms for one in directly)
    measured = median(one.ms for one in served)
    name, peers = f"put to first answer, {keys:,} keys", _PEERS.get(keys, "")
    return Row(name, measured, "ms", floor, floor + _OVER_FLOOR_MS, len(served), peers)


def step_lines(
    name: str, served: Sequence[Served], directly: Sequence[Direct], passes: Mapping[str, Pass]
) -> list[tuple[str, ...]]:
    """Return the medians of the steps, of the program and of the floor, as lines of `step_table`."""
    pairs = [(one, passes[one.address]) for one in served if one.address in passes]
    of_step = {step: median(done.steps_ms.get(step, 0.0) for _, done in pairs) for step in _STEPS}
    # by the wall clock, since proxyconf says when it was done, and how long after the arrival
    arrival = median((done.at - one.put.sent_at) * 1e3 - (done.served_ms or 0.0) for one, done in pairs)
    between = median(
        (done.served_ms or 0.0) - sum(ms for step, ms in done.steps_ms.items() if step != "tidy")
        for _, done in pairs
    )
    put = median((one.put.done_ns - one.put.sent_ns) / 1e6 for one, _ in pairs)
    own = (put, arrival, between, *of_step.values(), median(one.ms for one in served))
    write, check = median(one.write_ms for one in directly), median(one.check_ms for one in directly)
    reload, total = median(one.reload_ms for one in directly), median(one.ms for one in directly)
    floor = ("", "", "", "", "", f"{write:.2f}", f"{check:.2f}", "", "", f"{reload:.2f}", "", f"{total:.2f}")
    return [(name, *(f"{ms:.2f}" for ms in own)), (f"{name}, floor", *floor)]


def step_table(lines: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return *lines* under their names."""
    head = ("ms, medians", "put acked", "event", "between", *_STEPS, "first answer")
    return (
        "",
        "What the steps of a change cost. Event: from sending the put to its arrival. Between: gathering,",
        "reading, and waking up. Tidy is after the proof, which itself is often after the first answer.",
        columns([head, *lines], right=range(1, len(head))),
    )
