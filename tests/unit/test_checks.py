"""Which candidates may be put in place: all together, else those that nginx takes one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from proxyconf.command import Running
from proxyconf.errors import CommandError
from proxyconf.groups.checks import check_together
from tests.unit.grouping import Bench, FakeBeside, command, view

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxyconf.groups.checks import Verdict
    from proxyconf.groups.output import Wish
    from proxyconf.nginx.beside import Beside


class Asking:
    """Candidates, each of its name and text, and the nginx that is asked about them."""

    def __init__(self, path: Path) -> None:
        self.bench = Bench(path)
        self.nginx = FakeBeside(self.bench.etc)

    async def wishes(self, timeout_s: float = 30.0, **texts: str) -> list[Wish]:
        """Return staged candidates."""
        found = []
        for name in texts:
            output = self.bench.output(self.bench.resource(name, check=command("nginx -t", timeout_s)))
            wish = await output.wish(view(**texts))
            assert wish
            output.dest.stage(wish.form)
            found.append(wish)
        return found

    async def check(self, wishes: list[Wish]) -> Verdict:
        return await check_together(cast("Beside", self.nginx), wishes, Running())


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def names(wishes: list[Wish]) -> list[str]:
    return [wish.output.dest.path.stem for wish in wishes]


def refused(verdict: Verdict) -> dict[str, str]:
    return {wish.output.dest.path.stem: reason.partition(": ")[2] for wish, reason in verdict.refused}


def has_bad(tree: Mapping[str, str]) -> str:
    return ", ".join(f"{name} is bad" for name, text in sorted(tree.items()) if "bad" in text)


async def test_all_together(asking: Asking) -> None:
    verdict = await asking.check(await asking.wishes(a="1", b="2"))
    assert (names(verdict.passed), verdict.refused, verdict.unreached) == (["a", "b"], [], [])
    assert asking.nginx.checks == [("a.conf", "b.conf")]


async def test_the_only_one_is_refused(asking: Asking) -> None:
    """It is not asked about twice."""
    asking.nginx.refuse = has_bad
    verdict = await asking.check(await asking.wishes(a="bad"))
    assert (verdict.passed, refused(verdict)) == ([], {"a": "a.conf is bad"})
    assert asking.nginx.checks == [("a.conf",)]


async def test_one_of_several_is_refused(asking: Asking) -> None:
    """The others pass; the reason is its own."""
    asking.nginx.refuse = has_bad
    verdict = await asking.check(await asking.wishes(a="1", b="bad", c="3", d="bad"))
    assert names(verdict.passed) == ["a", "c"]
    assert refused(verdict) == {"b": "b.conf is bad", "d": "d.conf is bad"}


async def test_one_that_needs_a_later_one(asking: Asking) -> None:
    """It passes in the second round, when that one is in."""

    def needs(tree: Mapping[str, str]) -> str:
        return has_bad(tree) or ("a needs c" if "a.conf" in tree and "c.conf" not in tree else "")

    asking.nginx.refuse = needs
    verdict = await asking.check(await asking.wishes(a="1", b="bad", c="3"))
    assert names(verdict.passed) == ["c", "a"]
    assert refused(verdict) == {"b": "b.conf is bad"}


async def test_two_that_need_each_other_and_one_that_is_bad(asking: Asking) -> None:
    """That can't be told from two bad ones: all wait."""

    def needs(tree: Mapping[str, str]) -> str:
        return has_bad(tree) or ("one lacks" if ("a.conf" in tree) != ("c.conf" in tree) else "")

    asking.nginx.refuse = needs
    verdict = await asking.check(await asking.wishes(a="1", b="bad", c="3"))
    assert verdict.passed == []
    assert sorted(refused(verdict)) == ["a", "b", "c"]


async def test_what_no_include_leads_to(asking: Asking) -> None:
    asking.nginx.reaches = lambda path: path.stem != "b"
    verdict = await asking.check(await asking.wishes(a="1", b="2"))
    assert (names(verdict.passed), names(verdict.unreached)) == (["a"], ["b"])
    asking.nginx.refuse = has_bad
    verdict = await asking.check(await asking.wishes(a="bad", b="bad", c="3"))
    assert (names(verdict.passed), names(verdict.unreached)) == (["c"], ["b"])
    assert refused(verdict) == {"a": "a.conf is bad"}


async def test_something_else_is_broken(asking: Asking) -> None:
    """A file of the operator's: all are refused for it."""
    asking.nginx.refuse = lambda _: "unknown directive in nginx.conf"
    verdict = await asking.check(await asking.wishes(a="1", b="2"))
    assert refused(verdict) == dict.fromkeys("ab", "unknown directive in nginx.conf")


async def test_nobody_could_be_asked(asking: Asking) -> None:
    asking.nginx.error = CommandError("no nginx")
    with pytest.raises(CommandError, match="no nginx"):
        await asking.check(await asking.wishes(a="1"))


async def test_the_check_takes_as_long_as_any_of_them_may(asking: Asking) -> None:
    short, long = await asking.wishes(5, a="1"), await asking.wishes(90, b="2")
    await asking.check([*short, *long])
    assert asking.nginx.timeouts == [90]


async def test_what_was_broken_is_mended_while_we_ask(asking: Asking) -> None:
    """All pass in the end."""
    complaints = ["something else is broken"]
    asking.nginx.refuse = lambda _: complaints.pop() if complaints else ""
    verdict = await asking.check(await asking.wishes(a="1", b="2"))
    assert (names(verdict.passed), verdict.refused) == (["a", "b"], [])
