"""1,000 puts as fast as one client can: how many reloads, and how soon after the last one all is right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.figures import Report, Row, median, reloads_allowed
from bench.lab import say
from bench.pair import paired
from bench.poller import Task
from bench.site import PROBE, PROBE_KEY, site_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.lab import Effort, Lab
    from bench.pair import Direct, Pair
    from proxyconf.api import Pass

_PUTS = 1000
_SERVICES = 100
_PAUSE_S = 2.2  # until the bucket is full again: three tokens at two a second, or a little slower
_HAND_OVER_S = 0.11  # nginx takes no other HUP so long
_OVER_FLOOR_MS = 60
_OVER_FLOOR_IN_FLIGHT_MS = 120
_PEERS = "confd 140, fork 128"


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst.

    Attributes:
        length_s: From the first put to the last acknowledgement.
        reloads: As nginx counts them.
        right_ms: From the last put to the first answer that shows it.
        in_flight: When the last put was sent, nginx was not done with the reload before.
        last: The pass that brought the last put.
    """

    length_s: float
    reloads: int
    right_ms: float
    in_flight: bool
    last: Pass


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure bursts.

    Raises:
        BenchError: Something was not right at the end of one.
    """
    say(f"burst: {effort.bursts} bursts of {_PUTS} puts")
    site = site_of(keys=_PUTS + _SERVICES, services=_SERVICES, addresses=lab.addresses)
    bursts, floors = [], []
    with paired(lab, "burst", site) as pair:
        instances = _instances(site.hosts)
        for _ in range(effort.bursts):
            pair.pause(_PAUSE_S)
            bursts.append(_burst(pair, instances))
            floors.append(pair.load_directly())
    return _report(bursts, floors)


def _instances(hosts: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return host and key of every endpoint but the probe's."""
    return [
        (host, f"services/{host.partition('.')[0]}/{number}")
        for host, addresses in hosts.items()
        if host != PROBE
        for number in range(1, len(addresses) + 1)
    ]


def _burst(pair: Pair, instances: Sequence[tuple[str, str]]) -> Burst:
    new = pair.lab.addresses.new
    puts = [(host, key, new()) for host, key in instances]
    last = new()
    task = Task(pair.product.port, PROBE, last)
    reloads = pair.product.reloads()
    pair.lab.poller.start(task)
    first_put = pair.store.put_all([(key, address) for _, key, address in puts])
    last_put = pair.store.put(PROBE_KEY, last)
    first_ns = pair.lab.poller.seen(task).first_ns[last]
    pair.hosts = _grouped(puts) | {PROBE: (last,)}
    pair.verify()
    passes = pair.passes()
    return Burst(
        (last_put.done_ns - first_put.sent_ns) / 1e9,
        pair.product.reloads() - reloads,
        (first_ns - last_put.sent_ns) / 1e6,
        in_flight(last_put.sent_at, passes),
        passes[-1],
    )


def _grouped(puts: Sequence[tuple[str, str, str]]) -> dict[str, tuple[str, ...]]:
    hosts: dict[str, tuple[str, ...]] = {}
    for host, _, address in puts:
        hosts[host] = (*hosts.get(host, ()), address)
    return hosts


def in_flight(sent_at: float, passes: Sequence[Pass]) -> bool:
    """Tell whether a change sent at that time, which the last pass brought, had to wait for the one before.

    For that pass itself, or for nginx, which takes no other HUP during the hand-over.
    """
    return any(done.at + _HAND_OVER_S >= sent_at for done in passes[:-1])


def _report(bursts: Sequence[Burst], floors: Sequence[Direct]) -> Report:
    floor_ms = median(one.ms for one in floors)
    allowed = [reloads_allowed(one.length_s) for one in bursts]
    over = [one.reloads - limit for one, limit in zip(bursts, allowed, strict=True)]
    worst = over.index(max(over))
    name, count = "1,000 puts: reloads, worst burst", len(bursts)
    rows = (
        Row(name, bursts[worst].reloads, "", target=allowed[worst], samples=count, peers="confd 9, fork 9"),
        *_rows("", [one for one in bursts if not one.in_flight], floor_ms, _OVER_FLOOR_MS),
        *_rows(
            ", a reload in flight",
            [one for one in bursts if one.in_flight],
            floor_ms,
            _OVER_FLOOR_IN_FLIGHT_MS,
        ),
    )
    wrong = [
        f"burst: {one.reloads} reloads, where {limit} would do"
        for one, limit in zip(bursts, allowed, strict=True)
        if one.reloads > 2 * limit
    ]
    return Report(rows, (_last_passes(bursts), _floor_steps(floors)), tuple(wrong))


def _rows(when: str, bursts: Sequence[Burst], floor_ms: float, over_ms: float) -> list[Row]:
    if not bursts:
        return []
    right = median(one.right_ms for one in bursts)
    name = f"1,000 puts: last put to right{when}"
    return [Row(name, right, "ms", floor_ms, floor_ms + over_ms, len(bursts), _PEERS)]


def _last_passes(bursts: Sequence[Burst]) -> str:
    """Say what the pass after the last put cost, step by step."""
    steps = ", ".join(
        f"{step} {median(one.last.steps_ms.get(step, 0.0) for one in bursts):.1f}"
        for step in bursts[0].last.steps_ms
    )
    length_ms = median(one.length_s for one in bursts) * 1e3
    counted = sorted(Counter(one.reloads for one in bursts).items())
    reloads = ", ".join(f"{number} in {count}" for number, count in counted)
    return f"A burst took {length_ms:.0f} ms (median). Reloads: {reloads}. The last pass, in ms: {steps}."


def _floor_steps(floors: Sequence[Direct]) -> str:
    write, check = median(one.write_ms for one in floors), median(one.check_ms for one in floors)
    reload = median(one.reload_ms for one in floors)
    return f"The floor writes as much, in ms: write {write:.1f}, check {check:.1f}, reload {reload:.1f}."
