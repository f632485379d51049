"""confd's way: one template of 10,000 keys, beside the site; and 100 templates, of which one changes.

What is compared with the site: that has two services, the probe's with one endpoint and one with all others.
The template is a ``range`` over all keys, and the first of these is the probe's, too. So nginx has the same
to read. For a change, the site makes only the small part anew, the template every line. Many templates are
compared with one that has as many keys.
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
    from collections.abc import Sequence

    from bench.lab import Effort, Lab
    from bench.starts import Starts

_SETTLE_S = 0.5
_PAUSE_S, _PAUSE_ALONE_S = 0.3, 0.45
_TIMES_THE_SITE = 2
_TIMES_ONE = 1.25  # the files of all others are there to be looked at, too
_RSS_MIB = 110  # as the site's
_CHANGED = "r0"
_THE_SITE = "  the site with as many endpoints"


def measure(lab: Lab, effort: Effort) -> Report:
    """Measure.

    Raises:
        BenchError: A change was not served, or something else changed with it.
    """
    one, turns = _one(lab, effort)
    many, more = _many(lab, effort, turns)
    lines = (
        step_line(f"one of {effort.template_keys:,} keys", turns.served, turns.events()),
        step_line(f"one of {effort.templates} templates", more.served, more.events()),
    )
    return Report((*one.rows, *many.rows), (*one.notes, *step_table(lines)), many.wrong)


def _one(lab: Lab, effort: Effort) -> tuple[Report, Turns]:
    """Measure one template of all keys, and the site."""
    keys, new, count = effort.template_keys, lab.addresses, effort.template_changes
    site_before, site_after = (site_of(keys=one, services=2, addresses=new) for one in (4, keys + 2))
    before, after = (template_site(resources=1, keys_of_each=one, addresses=new) for one in (1, keys))
    say(f"templates: one of {keys:,} keys, beside the site: {effort.starts} starts, {count} puts of each")
    with (
        starting(lab, "tmpl-site", site_before, site_after) as (site_starts, site_pair),
        starting(lab, "tmpl", before, after, templates(1)) as (starts, pair),
    ):
        _start_often(starts, site_starts, effort.starts)
        time.sleep(_SETTLE_S)
        site, turns = Turns(site_pair, _PAUSE_S), Turns(pair, _PAUSE_S)
        for _ in range(count):
            site.take_one()
            turns.take_one()
        memory = memory_of(pair.product.pid)
        site_pair.verify()
        pair.verify()
    name = f"one template of {keys:,} keys"
    rows = (
        *_start_rows(name, starts, site_starts),
        *_change_rows(name, turns, site),
        Row(f"{name}: memory (RSS)", memory.rss, "MiB", target=_RSS_MIB, peers="confd 35, fork 42"),
        Row(f"{name}: memory (highest RSS)", memory.peak, "MiB"),
    )
    notes = (
        fastest_quarter(name, turns.served, turns.directly),
        fastest_quarter("the site beside it", site.served, site.directly),
    )
    return Report(rows, notes), turns


def _start_often(starts: Starts, site: Starts, count: int) -> None:
    for number in range(1, count + 1):
        for one in (site, starts):
            one.to_large()
            if number < count:
                one.to_small()


def _start_rows(name: str, starts: Starts, site: Starts) -> tuple[Row, Row]:
    count, limit = len(starts.ms), _TIMES_THE_SITE * median(site.ms)
    measured, floor = median(starts.ms), median(starts.floor_ms)
    return (
        Row(f"{name}: start to served", measured, "ms", floor, limit, count),
        Row(_THE_SITE, median(site.ms), "ms", median(site.floor_ms), None, count),
    )


def _change_rows(name: str, turns: Turns, site: Turns) -> tuple[Row, ...]:
    count = len(turns.served)
    ms, own_ms = _TIMES_THE_SITE * site.ms, _TIMES_THE_SITE * site.own_ms
    return (
        Row(f"{name}: put to first answer", turns.ms, "ms", turns.floor_ms, ms, count, "confd 131, fork 93"),
        Row(_THE_SITE, site.ms, "ms", site.floor_ms, None, count),
        Row(f"{name}: own CPU of one change", turns.own_ms, "ms", None, own_ms, count, "confd 63, fork 21"),
        Row(_THE_SITE, site.own_ms, "ms", samples=count),
    )


def _many(lab: Lab, effort: Effort, one: Turns) -> tuple[Report, Turns]:
    """Measure many templates with as many keys together as *one* had, of which one changes."""
    count, changes = effort.templates, effort.template_changes
    keys = effort.template_keys // count
    site = template_site(resources=count, keys_of_each=keys, addresses=lab.addresses)
    say(f"templates: {count} of {keys} keys each, {changes} puts under the keys of one")
    with paired(lab, "tmpl-many", site, templates(count)) as pair:
        time.sleep(_SETTLE_S)
        turns = Turns(pair, _PAUSE_ALONE_S)
        for _ in range(changes):
            turns.take_one()
        memory = memory_of(pair.product.pid)
        pair.verify()
    others, wrong = judged(renders(turns.events()), changes)
    name = f"{count} templates of {keys} keys, one changes"
    rows = (
        Row(f"{name}: put to first answer", turns.ms, "ms", turns.floor_ms, None, changes),
        Row(f"{name}: own CPU of one change", turns.own_ms, "ms", None, _TIMES_ONE * one.own_ms, changes),
        Row(f"{name}: renders of others", others, "", target=0, samples=changes),
        Row(f"{name}: memory (RSS)", memory.rss, "MiB", target=_RSS_MIB),
    )
    return Report(rows, wrong=wrong), turns


def judged(rendered: Sequence[str], changes: int) -> tuple[int, tuple[str, ...]]:
    """Return how many renders were not of the template that changed, and what is wrong with all of them."""
    others = [name for name in rendered if name != _CHANGED]
    due = len(rendered) - len(others)
    wrong = [f"templates: {due} renders for {changes} changes, as the program says"] if due != changes else []
    if others:
        wrong.append(f"templates: rendered without a change of theirs: {', '.join(sorted(set(others)))}")
    return len(others), tuple(wrong)
