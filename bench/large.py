"""10,000 endpoints in 100 services: the start, single changes, and memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.changes import change_often, fastest_quarter, step_lines, step_table
from bench.figures import Report, Row, median
from bench.lab import say
from bench.process import memory_of
from bench.site import site_of
from bench.starts import starting

if TYPE_CHECKING:
    from bench.lab import Effort, Lab
    from bench.pair import Pair
    from bench.starts import Starts

_ENDPOINTS, _SERVICES = 10_000, 100
_PAUSE_S = 1.0  # twice between two puts: a token costs four times as long as a reload
_START_OVER_FLOOR_MS = 1500
_CPU_MS = 40
_RSS_MIB = 110


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure.

    Raises:
        BenchError: Something is not right.
    """
    if not effort.is_large:
        return Report(())
    small = site_of(keys=2, services=1, addresses=lab.addresses)
    large = site_of(keys=_ENDPOINTS + _SERVICES, services=_SERVICES, addresses=lab.addresses)
    with starting(lab, "large", small, large) as (starts, pair):
        say(f"large: {effort.starts} starts with {_ENDPOINTS:,} endpoints")
        start = _starts(starts, effort.starts)
        say(f"large: {effort.changes} puts, each beside one of the floor")
        return _changes(pair, start, effort.changes)


def _starts(starts: Starts, count: int) -> Row:
    """Go from the small site to the large one, again and again; the large one is left."""
    for number in range(1, count + 1):
        starts.to_large()
        if number < count:
            starts.to_small()
    floor = median(starts.floor_ms)
    name, target = f"{_ENDPOINTS:,} endpoints: start to served", floor + _START_OVER_FLOOR_MS
    return Row(name, median(starts.ms), "ms", floor, target, count)


def _changes(pair: Pair, start: Row, count: int) -> Report:
    time.sleep(_PAUSE_S)
    cpu = pair.product.cpu()
    served, directly, passes = change_often(pair, count, pause_s=_PAUSE_S)
    used = pair.product.cpu().since(cpu)
    memory = memory_of(pair.product.pid)
    pair.verify()
    name = f"{_ENDPOINTS:,} endpoints:"
    own_ms = used.own / count * 1e3
    first = median(one.ms for one in served)
    rows = (
        start,
        Row(f"{name} own CPU of one change", own_ms, "ms", None, _CPU_MS, count, "confd 63, fork 21"),
        Row(f"{name} put to first answer", first, "ms", median(one.ms for one in directly), None, count),
        Row(f"{name} memory (RSS)", memory.rss, "MiB", target=_RSS_MIB, peers="confd 35, fork 42"),
        Row(f"{name} memory (PSS)", memory.pss, "MiB"),
        Row(f"{name} memory (highest RSS)", memory.peak, "MiB"),
    )
    notes = (fastest_quarter(f"{_ENDPOINTS:,} endpoints", served, directly),)
    return Report(
        rows, (*notes, *step_table(step_lines(f"{_ENDPOINTS:,} endpoints", served, directly, passes)))
    )
