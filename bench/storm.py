"""50 changes a second: how many reloads, how stale nginx ever is, and what it costs us."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.figures import Report, Row, delays, median, quantile
from bench.lab import say
from bench.pair import paired
from bench.poller import Task
from bench.site import PROBE, PROBE_KEY, site_of

if TYPE_CHECKING:
    from bench.lab import Effort, Lab
    from bench.pair import Pair
    from bench.process import Cpu

_PER_S = 50
_KEYS, _SERVICES = 1000, 100
_SETTLE_S = 1.0
_FLOORS = 5
_FULL_S = 20  # the length that the targets are for
_RELOADS = 45
_CPU_S = 3.0
_LIMIT_MS = 500  # a token comes this often, and one is left when the oldest change has waited so long ...
_SLACK_MS = 120  # ... then nginx may be in the hand-over, and the pass itself takes its time


@dataclass(frozen=True, slots=True)
class Storm:
    """What was seen.

    Attributes:
        stale_ms: For each change, until it or a later one was served.
        reloads: As nginx counts them.
        cpu: Of proxyconf.
        failed: Requests without an answer.
    """

    stale_ms: list[float]
    reloads: int
    cpu: Cpu
    failed: int


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure a storm.

    Raises:
        BenchError: The last change was not served, or something is not right at the end.
    """
    say(f"storm: {_PER_S} changes a second for {effort.storm_s} s")
    site = site_of(keys=_KEYS, services=_SERVICES, addresses=lab.addresses)
    with paired(lab, "storm", site) as pair:
        pair.pause(_SETTLE_S)
        floor_ms = median(pair.change_directly().ms for _ in range(_FLOORS))
        storm = _storm(pair, effort.storm_s)
        pair.verify()
    return _report(storm, effort.storm_s, floor_ms)


def _storm(pair: Pair, length_s: int) -> Storm:
    addresses = [pair.lab.addresses.new() for _ in range(_PER_S * length_s)]
    task = Task(pair.product.port, PROBE, addresses[-1], every_us=2000, patience_s=length_s + 15)
    reloads, cpu = pair.product.reloads(), pair.product.cpu()
    pair.lab.poller.start(task)
    start, sent_ns = time.monotonic(), []
    for number, address in enumerate(addresses):
        time.sleep(max(0.0, start + number / _PER_S - time.monotonic()))
        sent_ns.append(pair.store.put(PROBE_KEY, address).sent_ns)
    seen = pair.lab.poller.seen(task)
    time.sleep(_SETTLE_S)
    pair.hosts[PROBE] = (addresses[-1],)
    numbers = {address: number for number, address in enumerate(addresses)}
    first = {numbers[name]: ns / 1e6 for name, ns in seen.first_ns.items() if name in numbers}
    stale = delays([ns / 1e6 for ns in sent_ns], first)
    return Storm(stale, pair.product.reloads() - reloads, pair.product.cpu().since(cpu), seen.failed)


def _report(storm: Storm, length_s: int, floor_ms: float) -> Report:
    share, changes = length_s / _FULL_S, len(storm.stale_ms)
    name = f"{_PER_S} changes/s for {length_s} s:"
    limit = 2 + (_RELOADS - 2) * share
    bound_ms = _LIMIT_MS + floor_ms + _SLACK_MS
    p50, p99 = quantile(storm.stale_ms, 0.5), quantile(storm.stale_ms, 0.99)
    cpu = storm.cpu
    rows = (
        Row(f"{name} reloads", storm.reloads, "", target=limit, peers="confd 188, fork 187"),
        Row(f"{name} staleness p50", p50, "ms", samples=changes),
        Row(f"{name} staleness p99", p99, "ms", samples=changes, peers="confd 190, fork 208"),
        Row(f"{name} staleness max", max(storm.stale_ms), "ms", target=bound_ms, samples=changes),
        Row(f"{name} own CPU", cpu.own, "s", target=_CPU_S * share, peers="confd 13.9, fork 14.4"),
        Row(f"{name} CPU of nginx -t", cpu.children, "s"),
    )
    wrong = [f"storm: {storm.reloads} reloads"] if storm.reloads > 2 * limit else []
    if storm.failed:
        wrong.append(f"storm: {storm.failed} requests failed")
    return Report(rows, (), tuple(wrong))
