"""confd's way: one template of 10,000 keys, beside the site; and 100 templates, of which one changes.

What is compared with the site: that has two services, the probe's with one endpoint and one with all others.
The template is a ``range`` over all keys, and the first of these is the probe's, too. So nginx has the same
to read. For a change, the site makes only the small part anew, the template every line.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.changes import fastest_quarter
from bench.confd_job import template_site, templates
from bench.figures import Report, Row, median
from bench.lab import say
from bench.pair import paired
from bench.process import memory_of
from bench.site import site_of
from bench.starts import starting
from bench.turns import Turns, renders, step_line, step_table

if TYPE_CHECKING:
    from bench.lab import Effort, Lab
    from bench.process import Memory
    from bench.starts import Starts

_SETTLE_S = 1.0
_TIMES_THE_SITE = 2
_RSS_MIB = 110  # as the site's
_CHANGED = "r0"


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure.

    Raises:
        BenchError: A change was not served, or something else changed with it.
    """
    one, many = _one(lab, effort), _many(lab, effort)
    return Report((*one.rows, *many.rows), (*one.notes, *many.notes), (*one.wrong, *many.wrong))


def _one(lab: Lab, effort: Effort) -> Report:
    """Measure one template of all keys, and the site."""
    keys, new = effort.template_keys, lab.addresses
    site_before, site_after = (site_of(keys=count, services=2, addresses=new) for count in (4, keys + 2))
    before, after = (template_site(resources=1, keys_of_each=count, addresses=new) for count in (1, keys))
    say(f"templates: one of {keys:,} keys, beside the site: {effort.starts} starts, {effort.changes} puts")
    with (
        starting(lab, "tmpl-site", site_before, site_after) as (site_starts, site_pair),
        starting(lab, "tmpl", before, after, templates(1)) as (starts, pair),
    ):
        _start_often(starts, site_starts, effort.starts)
        time.sleep(_SETTLE_S)
        site, turns = Turns(site_pair), Turns(pair)
        end = pair.product.events()[1]
        for _ in range(effort.changes):
            site.take_one()
            turns.take_one()
        lines = (step_line(f"one of {keys:,} keys", turns.served, pair.product.events(end)[0]),)
        memory = memory_of(pair.product.pid)
        site_pair.verify()
        pair.verify()
    rows = (
        *_start_rows(keys, starts, site_starts),
        *_change_rows(keys, turns, site),
        *_memory_rows(f"one template of {keys:,} keys", memory),
    )
    notes = (
        "",
        fastest_quarter(f"one template of {keys:,} keys", turns.served, turns.directly),
        fastest_quarter(f"a site of {keys:,} endpoints", site.served, site.directly),
        *step_table(lines),
    )
    return Report(rows, notes)


def _start_often(starts: Starts, site: Starts, count: int) -> None:
    for number in range(1, count + 1):
        for one in (site, starts):
            one.to_large()
            if number < count:
                one.to_small()


def _start_rows(keys: int, starts: Starts, site: Starts) -> tuple[Row, Row]:
    count, limit = len(starts.ms), _TIMES_THE_SITE * median(site.ms)
    measured, floor = median(starts.ms), median(starts.floor_ms)
    return (
        Row(f"one template of {keys:,} keys: start to served", measured, "ms", floor, limit, count),
        Row(f"  the site of {keys:,}", median(site.ms), "ms", median(site.floor_ms), None, count),
    )


def _change_rows(keys: int, turns: Turns, site: Turns) -> tuple[Row, ...]:
    count, name, beside = len(turns.served), f"one template of {keys:,} keys:", f"  the site of {keys:,}"
    ms, own_ms = _TIMES_THE_SITE * site.ms, _TIMES_THE_SITE * site.own_ms
    return (
        Row(f"{name} put to first answer", turns.ms, "ms", turns.floor_ms, ms, count, "confd 131, fork 93"),
        Row(beside, site.ms, "ms", site.floor_ms, None, count),
        Row(f"{name} own CPU of one change", turns.own_ms, "ms", None, own_ms, count, "confd 63, fork 21"),
        Row(beside, site.own_ms, "ms", samples=count),
    )


def _memory_rows(name: str, memory: Memory) -> tuple[Row, Row]:
    return (
        Row(f"{name}: memory (RSS)", memory.rss, "MiB", target=_RSS_MIB, peers="confd 35, fork 42"),
        Row(f"{name}: memory (highest RSS)", memory.peak, "MiB"),
    )


def _many(lab: Lab, effort: Effort) -> Report:
    """Measure many templates, under whose first one's keys something changes, and that one alone."""
    count, keys = effort.templates, effort.template_keys // effort.templates
    alone = template_site(resources=1, keys_of_each=keys, addresses=lab.addresses)
    site = template_site(resources=count, keys_of_each=keys, addresses=lab.addresses)
    say(f"templates: {count} of {keys} keys each, beside one alone: {effort.changes} puts of each")
    with (
        paired(lab, "tmpl-alone", alone, templates(1)) as alone_pair,
        paired(lab, "tmpl-many", site, templates(count)) as pair,
    ):
        time.sleep(_SETTLE_S)
        beside, turns = Turns(alone_pair), Turns(pair)
        ends = [one.pair.product.events()[1] for one in (beside, turns)]
        for _ in range(effort.changes):
            beside.take_one()
            turns.take_one()
        before, events = (
            one.pair.product.events(end)[0] for one, end in zip((beside, turns), ends, strict=True)
        )
        memory = memory_of(pair.product.pid)
        pair.verify()
    rendered = renders(events)
    others = [name for name in rendered if name != _CHANGED]
    name, changes = f"{count} templates of {keys} keys, one changes:", effort.changes
    rows = (
        Row(f"{name} put to first answer", turns.ms, "ms", turns.floor_ms, None, changes),
        Row("  one alone", beside.ms, "ms", beside.floor_ms, None, changes),
        Row(f"{name} own CPU", turns.own_ms, "ms", None, None, changes),
        Row("  one alone", beside.own_ms, "ms", None, None, changes),
        Row(f"{name} others rendered", len(others), "", target=0, samples=changes),
        *_memory_rows(f"{count} templates of {keys} keys", memory),
    )
    wrong = [f"templates: {len(others)} renders of templates whose keys did not change"] if others else []
    if len(rendered) - len(others) < changes:
        wrong.append(f"templates: {len(rendered) - len(others)} renders, as it says, for {changes} changes")
    lines = (
        step_line(f"one of {count} with {keys} keys", turns.served, events),
        step_line("one alone", beside.served, before),
    )
    return Report(rows, step_table(lines), tuple(wrong))
