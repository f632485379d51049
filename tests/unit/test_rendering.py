"""When a template is rendered anew: when something that it has looked at is another one, and only then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxyconf.groups.rendering import View
from proxyconf.model import Endpoint, Entry, Snapshot
from proxyconf.resources.jinja import TemplateError
from proxyconf.resources.keyspace import Keyspace
from proxyconf.resources.table import Resource
from tests.unit.grouping import Bench, view

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.groups.rendering import Rendering

pytestmark = pytest.mark.looptime  # answers to look-ups age

NOW = 1_000_000_000.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rendering(bench: Bench, text: str, prefix: str = "", key: str = "/app") -> Rendering:
    bench.template("a", text)
    return bench.rendering(Resource(dest=bench.etc / "a", src="a", prefix=prefix, keys=(key,)))


async def text(one: Rendering, seen: View, clock: float = NOW) -> str:
    content, _ = await one.render(seen, clock=clock)
    return content.decode()


async def test_the_same_keys_are_rendered_once(bench: Bench) -> None:
    """A view may be another one, its keys in other objects: what counts is what is in them."""
    one = rendering(bench, '{{ getv("/app/a") }}')
    assert await text(one, view(a="1")) == "1"
    assert await text(one, view(a="1"), NOW + 1) == "1"
    assert bench.templates.renders == 1
    assert await text(one, view(a="2")) == "2"
    assert bench.templates.renders == 2


async def test_a_change_under_other_keys_renders_nothing(bench: Bench) -> None:
    one = rendering(bench, '{{ getv("/app/a") }}', key="/app/a")
    await one.render(view(a="1", b="1"), clock=NOW)
    await one.render(view(a="1", b="2", c="3"), clock=NOW)
    assert bench.templates.renders == 1


async def test_a_changed_template_is_seen(bench: Bench) -> None:
    """Also one that is included, or was not there."""
    one = rendering(bench, '{% include "part" %}')
    with pytest.raises(TemplateError, match="part"):
        await one.render(view(), clock=NOW)
    assert not await one.has_changed()
    bench.template("part", "new")
    assert await one.has_changed()
    assert await text(one, view()) == "new"
    assert not await one.has_changed()
    bench.template("part", "newer")
    assert await one.has_changed()
    assert await text(one, view()) == "newer"


async def test_a_file_that_comes_is_seen(bench: Bench) -> None:
    one = rendering(bench, f'{{{{ fileExists("{bench.etc}/flag") }}}}')
    assert await text(one, view()) == "false"
    (bench.etc / "flag").touch()
    assert await one.has_changed()
    assert await text(one, view()) == "true"


async def test_another_answer_to_a_look_up_is_seen(bench: Bench) -> None:
    """The first render asks; the text comes with the answer. Then it is asked again now and then."""
    one = rendering(bench, '{{ lookupIP("db.test")|join(" ") }}')
    bench.answers["db.test"] = ["10.0.0.1"]
    assert await text(one, view()) == "10.0.0.1"
    assert bench.templates.renders == 2
    bench.answers["db.test"] = ["10.0.0.2"]
    assert not await one.has_changed()  # the answer is fresh
    await asyncio.sleep(60)
    assert await one.has_changed()
    assert await text(one, view()) == "10.0.0.2"


async def test_a_look_up_of_what_another_one_said(bench: Bench) -> None:
    one = rendering(bench, '{% for a in lookupIP("x") %}{{ lookupIP(a)|join }}{% endfor %}')
    bench.answers |= {"x": ["y"], "y": ["z"]}
    assert await text(one, view()) == "z"


async def test_a_failure_for_want_of_an_answer(bench: Bench) -> None:
    """The text that counts is the one with answers; without any the error does."""
    one = rendering(bench, '{{ lookupIP("x")|first }}')
    with pytest.raises(TemplateError, match="without an answer: lookupIP 'x'"):
        await one.render(view(), clock=NOW)
    bench.answers["x"] = ["10.0.0.1"]
    await asyncio.sleep(60)
    assert await one.has_changed()
    assert await text(one, view()) == "10.0.0.1"


async def test_look_ups_without_end(bench: Bench) -> None:
    """Each answer leads to another question: it ends, with what is known then."""
    bench.answers |= {str(number): [str(number + 1)] for number in range(20)}
    ask = "{% set ns.n = (lookupIP(ns.n) or [ns.n])[0] %}"
    chain = f'{{% set ns = namespace(n="0") %}}{{% for _ in range(20) %}}{ask}{{% endfor %}}'
    one = rendering(bench, f"{chain}{{{{ ns.n }}}}")
    assert await text(one, view()) == "5"
    assert bench.templates.renders == 6


async def test_the_clock_is_told_only_to_those_who_ask(bench: Bench) -> None:
    plain = rendering(bench, "text")
    assert await plain.render(view(), clock=NOW) == (b"text", 0.0)
    shown = rendering(bench, "{{ datetime().timestamp()|int }}")
    assert await shown.render(view(), clock=NOW) == (str(int(NOW)).encode(), NOW)
    renders = bench.templates.renders
    await shown.render(view(), clock=NOW)
    assert bench.templates.renders == renders
    assert await shown.render(view(), clock=NOW + 5) == (str(int(NOW) + 5).encode(), NOW + 5)


async def test_parts_of_the_snapshot(bench: Bench) -> None:
    """Those that were used count, and no others."""

    def snapshot(**services: str) -> View:
        made = Snapshot(services={name: (Endpoint(at),) for name, at in services.items()})
        return View(made, Keyspace({}))

    plain = rendering(bench, "text")
    await plain.render(snapshot(web="10.0.0.1:80"), clock=NOW)
    await plain.render(snapshot(web="10.0.0.2:80"), clock=NOW)
    assert bench.templates.renders == 1
    user = rendering(bench, "{{ services.web[0].address }}")
    assert await text(user, snapshot(web="10.0.0.1:80")) == "10.0.0.1:80"
    assert await text(user, snapshot(web="10.0.0.2:80")) == "10.0.0.2:80"


async def test_keys_are_relative_to_the_prefix_and_errors_are_not(bench: Bench) -> None:
    seen = View(Snapshot(), Keyspace({"/prod/app/a": Entry(b"1")}))
    assert await text(rendering(bench, '{{ getv("/app/a") }}', "/prod"), seen) == "1"
    with pytest.raises(TemplateError, match="no such key below the prefix '/prod'"):
        await rendering(bench, '{{ getv("/app/b") }}', "/prod").render(seen, clock=NOW)


async def test_values_come_out_byte_for_byte(bench: Bench) -> None:
    one = rendering(bench, '{{ getv("/app/a") }}')
    seen = View(Snapshot(), Keyspace({"/app/a": Entry(b"\xff\xfe")}))
    assert await one.render(seen, clock=NOW) == (b"\xff\xfe", 0.0)


def test_which_prefixes_are_empty() -> None:
    seen = view(a="1")
    assert seen.missing(("/app", "/app/a", "/app/b", "/other")) == ("/app/b", "/other")
