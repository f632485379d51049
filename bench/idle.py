"""1,000 keys and nothing to do: CPU and memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.figures import Report, Row
from bench.lab import say
from bench.pair import paired
from bench.process import memory_of
from bench.site import site_of

if TYPE_CHECKING:
    from bench.lab import Effort, Lab

_KEYS, _SERVICES = 1000, 100
_CHANGES = 10
_PAUSE_S = 0.8
_SETTLE_S = 3.0
_FULL_S = 30  # the length that the target is for
_CPU_S = 0.1
_RSS_MIB = 75


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure silence, after some changes so that everything has been used.

    Raises:
        BenchError: A change was not served.
    """
    say(f"idle: {effort.idle_s} s with {_KEYS} keys")
    site = site_of(keys=_KEYS, services=_SERVICES, addresses=lab.addresses)
    with paired(lab, "idle", site) as pair:
        for _ in range(_CHANGES):
            pair.change()
            pair.pause(_PAUSE_S)
        time.sleep(_SETTLE_S)
        cpu = pair.product.cpu()
        time.sleep(effort.idle_s)
        used = pair.product.cpu().since(cpu)
        memory = memory_of(pair.product.pid)
        pair.verify()
    target = _CPU_S * effort.idle_s / _FULL_S
    rows = (
        Row(f"idle for {effort.idle_s} s, {_KEYS:,} keys: CPU", used.own + used.children, "s", target=target),
        Row(f"memory (RSS), {_KEYS:,} keys", memory.rss, "MiB", target=_RSS_MIB, peers="confd 27, fork 28"),
        Row(f"memory (PSS), {_KEYS:,} keys", memory.pss, "MiB"),
        Row(f"memory (highest RSS), {_KEYS:,} keys", memory.peak, "MiB"),
    )
    return Report(rows)
