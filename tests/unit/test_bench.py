"""The bench's own arithmetic."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from bench.burst import in_flight
from bench.confd_job import template_site, templates
from bench.figures import Row, delays, median, quantile, reloads_allowed, shown, table
from bench.pair import Served
from bench.poller import Seen
from bench.process import cpu_of, memory_of
from bench.product import Place
from bench.site import PROBE, PROBE_KEY, Addresses, site_of
from bench.store import Put
from bench.templates import judged
from bench.turns import renders, step_line, step_table
from proxyconf.api import Pass
from proxyconf.confd.command import parse
from proxyconf.resources.folder import read_resources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([7.0], 0.99, 7.0, id="one"),
        pytest.param([4.0, 1.0, 3.0, 2.0], 0.5, 2.5, id="between two"),
        pytest.param([5.0, 1.0, 3.0], 0.5, 3.0, id="the middle"),
        pytest.param(range(101), 0.99, 99.0, id="p99"),
        pytest.param([3.0, 9.0], 1.0, 9.0, id="the largest"),
    ],
)
def test_quantiles(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_a_change_is_served_by_a_later_one() -> None:
    assert delays([0.0, 10.0, 20.0, 30.0], {1: 15.0, 3: 42.0}) == [15.0, 5.0, 22.0, 12.0]


def test_an_old_answer_after_a_newer_one_counts_for_nothing() -> None:
    """For some time after a reload, nginx's old worker answers as well."""
    assert delays([0.0, 10.0], {0: 50.0, 1: 20.0}) == [20.0, 10.0]


def test_a_last_change_that_is_not_served_is_no_figure() -> None:
    with pytest.raises(ValueError, match="never served"):
        delays([0.0, 10.0], {0: 5.0})


@pytest.mark.parametrize(
    ("burst_s", "expected"),
    [(0.1, 2), (0.499, 2), (0.5, 3), (1.2, 4)],
    ids=["short", "nearly", "half", "long"],
)
def test_reloads_of_a_burst(burst_s: float, expected: int) -> None:
    assert reloads_allowed(burst_s) == expected


@pytest.mark.parametrize(
    ("sent_at", "expected"),
    [
        pytest.param(99.9, True, id="during the pass before"),
        pytest.param(100.1, True, id="during its hand-over"),
        pytest.param(100.2, False, id="after that"),
    ],
)
def test_a_reload_in_flight(sent_at: float, *, expected: bool) -> None:
    passes = [Pass(at=at, result="applied") for at in (90.0, 100.0, 100.5)]
    assert in_flight(sent_at, passes) is expected


def test_verdicts() -> None:
    assert Row("a", 10.0, "ms", floor=4.0, target=10.0).verdict == "met"
    assert Row("a", 10.1, "ms", floor=4.0, target=10.0).verdict == "MISSED"
    assert Row("a", 10.1, "ms").verdict == ""


def test_the_table_shows_what_there_is() -> None:
    lines = table([Row("put", 30.0, "ms", 20.0, 25.0, 30, "confd"), Row("reloads", 2, "")]).splitlines()
    assert " ".join(lines[1].split()) == "put 30.0 ms 20.0 ms +10.0 ms 1.5 x <= 25.0 ms MISSED 30 confd"
    assert lines[2].split() == ["reloads", "2", "1"]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(3.14159, "ms", "3.1 ms"), (2.0, "s", "2.00 s"), (2.0, "", "2"), (2.5, "", "2.5"), (None, "ms", "")],
    ids=["ms", "s", "count", "share", "nothing"],
)
def test_figures_are_shown_to_a_sensible_precision(value: float | None, unit: str, expected: str) -> None:
    assert shown(value, unit) == expected


@pytest.mark.parametrize(("keys", "services"), [(2, 1), (100, 10), (1000, 100), (10_100, 100)])
def test_a_site_has_as_many_keys_as_asked_for(keys: int, services: int) -> None:
    """The probe has one endpoint, so that the answer of another is unambiguous; no address is there twice."""
    site = site_of(keys=keys, services=services, addresses=Addresses(80))
    addresses = [address for found in site.hosts.values() for address in found]
    assert (len(site.keys), len(site.hosts), len(set(addresses))) == (keys, services, keys - services)
    assert site.hosts[PROBE] == (site.keys[PROBE_KEY],)


def test_keys_for_templates() -> None:
    """The first key is the probe's, too; no address is there twice."""
    site = template_site(resources=3, keys_of_each=4, addresses=Addresses(80))
    assert site.hosts[PROBE] == (site.keys[site.probe_key],) == (site.hosts["r0.bench.test"][0],)
    assert (len(site.keys), len(set(site.keys.values())), len(site.hosts)) == (12, 12, 4)


def test_resources_as_confds_users_have_them(tmp_path: Path) -> None:
    """What is written is understood, and nginx's main file is the floor's but for the files it includes."""
    job = templates(2)(Place(tmp_path, 8080, "http://127.0.0.1:2379", tmp_path / "notice.log"))
    job.prepare()
    asked = parse(job.command("/bench")[1:], {})
    found = read_resources(asked.settings)
    assert (found.problems, found.warnings) == ((), ())
    assert [(one.needs, one.dest.name) for one in found.resources] == [
        (("/bench/r0",), "r0.conf"),
        (("/bench/r1",), "r1.conf"),
    ]
    for one in found.resources:
        one.dest.write_text(f"# {one.src}")
    tree = job.tree()
    assert sorted(tree.parts.values()) == [b"# r0.tmpl", b"# r1.tmpl"]
    assert all(f"include parts/{name};".encode() in tree.root for name in tree.parts)


def test_what_was_rendered_is_judged() -> None:
    assert judged(["r0", "r0"], 2) == (0, ())
    assert judged(["r0", "r1", "r1"], 2) == (
        2,
        (
            "templates: 1 renders for 2 changes, as the program says",
            "templates: rendered without a change of theirs: r1",
        ),
    )


def logged(at: float, event: str, **more: object) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{round(at % 1 * 1e6):06}Z"
    return {"timestamp": stamp, "event": event, "dest": "/etc/r0.conf", **more}


def test_steps_of_a_templates_change() -> None:
    """One that was tried twice tells nothing."""
    served = [Served(60.0, Put(0, 2_000_000, at), Seen(), "") for at in (1000.0, 1010.0)]
    events = [
        logged(1000.02, "template.rendered", duration_ms=5.0),
        logged(1000.045, "template.written"),
        logged(1000.15, "template.applied"),
        *[logged(1010.0 + delay, "template.rendered", duration_ms=90.0) for delay in (0.1, 0.2)],
    ]
    line = step_line("one", served, events)
    assert line == ("one", "2.0", "15.0", "5.0", "25.0", "15.0", "60.0", "150.0")
    assert step_table([line])[-1].splitlines()[1].split() == list(line)
    assert step_line("none", served[1:], events)[1:] == ("",) * 7
    assert renders(events) == ["r0"] * 3


def test_linux_tells_cpu_and_memory() -> None:
    """Of our own process, and of another one."""
    before = cpu_of(os.getpid())
    sum(range(100_000))
    assert 0 < cpu_of(os.getpid()).since(before).own < 10
    with subprocess.Popen(["sleep", "60"]) as other:
        deadline = time.monotonic() + 10
        while not (own := cpu_of(other.pid).own) and time.monotonic() < deadline:
            time.sleep(0.01)  # a busy machine may not have let it run yet
        assert 0 < own < 10
        other.kill()
    memory = memory_of(os.getpid())
    assert 0 < memory.pss <= memory.rss <= memory.peak
