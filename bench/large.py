"""10,000 endpoints in 100 services: the start, single changes, and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.changes import change_often, fastest_quarter, step_lines, step_table
from bench.figures import Report, Row, median
from bench.floor import Floor
from bench.lab import say
from bench.pair import Pair
from bench.poller import Task
from bench.process import memory_of
from bench.product import Product
from bench.site import PROBE, site_of

if TYPE_CHECKING:
    from bench.floor import Tree
    from bench.lab import Effort, Lab
    from bench.site import Site

_ENDPOINTS, _SERVICES = 10_000, 100
_PAUSE_S = 1.0  # twice between two puts: a token costs four times as long as a reload
_START_OVER_FLOOR_MS = 1500
_CPU_MS = 40
_RSS_MIB = 110
_SMALL, _LARGE = "/large-before", "/large"


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure.

    Raises:
        BenchError: Something is not right.
    """
    if not effort.is_large:
        return Report(())
    small = site_of(keys=2, services=1, addresses=lab.addresses)
    large = site_of(keys=_ENDPOINTS + _SERVICES, services=_SERVICES, addresses=lab.addresses)
    with (
        lab.store(_SMALL, small.keys),
        lab.store(_LARGE, large.keys) as store,
        Product(lab, "large") as product,
        Floor(lab, "large-floor") as floor,
    ):
        say(f"large: {effort.starts} starts with {_ENDPOINTS:,} endpoints")
        product.boot(_SMALL)
        floor.boot(floor.like(product))
        starts = _starts(_Both(lab, product, floor), small, large, effort.starts)
        say(f"large: {effort.changes} puts, each beside one of the floor")
        return _changes(Pair(lab, product, floor, store, large), starts, effort.changes)


@dataclass(frozen=True, slots=True)
class _Both:
    lab: Lab
    product: Product
    floor: Floor

    def start_ms(self, prefix: str, site: Site) -> float:
        """Start the program on another site; return the time until nginx serves it."""
        task = _served(self.product.port, site)
        self.lab.poller.start(task)
        start = time.monotonic_ns()
        self.product.start(prefix)
        return (self.lab.poller.seen(task).first_ns[task.until] - start) / 1e6

    def load_ms(self, tree: Tree, site: Site) -> float:
        """Give the floor another site; return the time until it serves that."""
        task = _served(self.floor.port, site)
        self.lab.poller.start(task)
        told = self.floor.load(tree)
        return (self.lab.poller.seen(task).first_ns[task.until] - told.start_ns) / 1e6


def _served(port: int, site: Site) -> Task:
    return Task(port, PROBE, site.hosts[PROBE][0], every_us=5000, patience_s=30)


def _starts(both: _Both, small: Site, large: Site, count: int) -> Row:
    """Go from the small site to the large one, again and again; the large one is left."""
    small_tree = both.floor.like(both.product)
    starts, loads = [], []
    for number in range(1, count + 1):
        both.product.stop()
        starts.append(both.start_ms(_LARGE, large))
        both.product.wait_until("applied")
        loads.append(both.load_ms(both.floor.like(both.product), large))
        if number < count:
            both.product.stop()
            both.start_ms(_SMALL, small)
            both.load_ms(small_tree, small)
    floor = median(loads)
    name, target = f"{_ENDPOINTS:,} endpoints: start to served", floor + _START_OVER_FLOOR_MS
    return Row(name, median(starts), "ms", floor, target, count)


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
