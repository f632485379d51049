"""The reconciler and templates: what groups are given to see, and those that are part of the site's nginx."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from proxyconf.errors import (
    NotRunningError,
    RefusedError,
    ReloadError,
    ReloadRefusedError,
)
from proxyconf.model import Change, Entry, Listing
from proxyconf.outfit import Outfit
from proxyconf.resources.table import Command
from proxyconf.tables import SourcePolicy, Tables
from tests.unit.reconciling import House, ScriptedApply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxyconf.apply import Apply
    from proxyconf.groups.group import Group
    from proxyconf.groups.lane import Lane
    from proxyconf.groups.rendering import View
    from proxyconf.model import Snapshot
    from proxyconf.steps import Steps

pytestmark = pytest.mark.looptime


class Recorder:
    """Stands for a lane.

    Attributes:
        views: What it was given, each once.
        causes: Of each.
    """

    def __init__(self) -> None:
        self.views: list[View] = []
        self.causes: list[list[str]] = []

    def want(self, view: View, causes: frozenset[str]) -> None:
        if view not in self.views:
            self.views.append(view)
            self.causes.append(sorted(causes))

    def seen(self) -> list[dict[str, bytes]]:
        return [{name: entry.value for name, entry in view.snapshot.pairs.items()} for view in self.views]


@pytest.fixture
def lane() -> Recorder:
    return Recorder()


def without_site(path: Path, lane: Recorder, *sources: str, needs: tuple[str, ...] = ("/",)) -> House:
    """Return a house without a site, whose only lane is *lane*."""
    house = House(path, sources or ("etcd",))
    house.intake.follow(dict.fromkeys(sources or ("etcd",), SourcePolicy()), needs)
    house.reconciler.wear(Outfit(Tables(), None, lanes=(cast("Lane", lane),)))
    return house


def keys(source: str = "etcd", needs: tuple[str, ...] = ("/",), **values: str) -> Change:
    pairs = {f"/{name}": Entry(value.encode()) for name, value in values.items()}
    return Change(Listing(source, pairs=pairs, needs=needs))


async def test_a_view_for_every_change_and_only_then(tmp_path: Path, lane: Recorder) -> None:
    """The same keys again, and a person's wish, are none: a failed reload would be repeated for them."""
    house = without_site(tmp_path, lane)
    house.put(keys(a="1"), at=1)
    house.put(keys(a="1"), at=2)
    asyncio.get_running_loop().call_at(3, house.reconciler.look_again)
    house.put(keys(a="2"), at=4)
    await house.until(20)
    assert lane.seen() == [{"/a": b"1"}, {"/a": b"2"}]
    assert house.reconciler.settled.is_set()


async def test_unknown_is_not_empty(tmp_path: Path, lane: Recorder) -> None:
    """Nothing is shown before all required sources have said all that was asked for."""
    house = without_site(tmp_path, lane, "etcd", "consul")
    house.put(keys(a="1"), at=1)
    house.put(keys("consul", needs=("/b",), b="2"), at=12)
    house.put(keys("consul", b="3"), at=14)
    async with house.running():
        await asyncio.sleep(13)
        assert lane.seen() == []
        assert house.board.status().state == "waiting"
        await asyncio.sleep(2)
        assert lane.seen() == [{"/a": b"1", "/b": b"3"}]
        assert house.board.status().state == "applied"


async def test_each_view_has_its_causes(tmp_path: Path, lane: Recorder) -> None:
    house = without_site(tmp_path, lane, "etcd", "consul")
    house.put(keys(a="1"), at=1)
    house.put(keys("consul", b="2"), at=2)
    house.put(keys("consul", b="3"), at=6)
    await house.until(20)
    assert lane.causes == [["configuration", "consul", "etcd", "start"], ["consul"]]


async def test_keys_that_stay_are_sorted_once(tmp_path: Path, lane: Recorder) -> None:
    """Where only services have changed: with many keys that costs milliseconds."""
    house = without_site(tmp_path, lane)
    first = keys(a="1")
    second = Listing(
        "etcd",
        pairs=first.listing.pairs,
        needs=("/",),
        keys={"services/web/1": Entry(b"10.0.0.1:80")},
        place="etcd {key}",
    )
    house.put(first, at=1)
    house.put(Change(second), at=2)
    await house.until(3)
    before, after = lane.views
    assert after.snapshot.services.keys() == {"web"}
    assert after.keyspace is before.keyspace


class Joined:
    """Stands for the templates of the site's nginx.

    Attributes:
        calls: What was asked of it, in order.
        due: There is something to do without a change.
        outputs: It itself is its only one.
        is_new: What it installs is not what is in place.
        is_pending: What is in place is not in effect.
        takes_s: How long its checks take.
        resource: What was configured.
    """

    def __init__(self, calls: list[str]) -> None:
        self.takes_s = 0.0
        self.resource = SimpleNamespace(check=None)
        self.calls = calls
        self.due = False
        self.is_new = True
        self.is_pending = False
        self.outputs = (self,)

    async def resume(self) -> None:
        self.calls.append("resume")

    async def install(self, view: View, causes: frozenset[str]) -> None:
        del causes
        self.calls.append("install " + "".join(view.snapshot.pairs))
        await asyncio.sleep(self.takes_s)
        self.is_pending = self.is_new

    async def settle(self, proof: str) -> None:
        self.calls.append(proof)
        self.is_pending = False

    async def unload(self, reason: str) -> None:
        self.calls.append(f"unload: {reason}")
        self.is_pending = False

    async def wait_for_nginx(self) -> None:
        self.calls.append("wait for nginx")

    def tell(self) -> float:
        return 3.0

    def digest(self) -> str:
        return "templates"

    async def is_due(self) -> bool:
        return self.due


class Site(ScriptedApply):
    """An apply that can be first, and can be told to reload alone; *calls* are shared with `Joined`.

    Attributes:
        reloaded: What becomes of the next reloads alone.
    """

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.is_first = False
        self.also = ""
        self.reloaded: list[Exception | None] = []
        self._shared = calls

    async def apply(self, snapshot: Snapshot, steps: Steps, *, beside: Callable[[], None]) -> bool:
        self._shared.append(f"apply with {self.also}" if self.also else "apply")
        self.is_first = False
        return await super().apply(snapshot, steps, beside=beside)

    async def reload(self, steps: Steps) -> None:
        del steps
        self._shared.append("reload")
        if self.reloaded and (outcome := self.reloaded.pop(0)):
            raise outcome

    def look_again(self) -> None:
        self._shared.append("look again")


class Both:
    """A house with a site and a template of its nginx.

    Attributes:
        calls: What was asked of either.
    """

    def __init__(self, path: Path, needs: tuple[str, ...] = ("/",)) -> None:
        """Let its source, asked for *needs*, list a key after a second."""
        self.calls: list[str] = []
        self.house = House(path)
        self.apply, self.joined = Site(self.calls), Joined(self.calls)
        self.house.intake.follow({"etcd": SourcePolicy()}, ("/",))
        outfit = Outfit(Tables(), cast("Apply", self.apply), joined=cast("Group", self.joined))
        self.house.reconciler.wear(outfit)
        self.house.put(keys(needs=needs, a="1"), at=1)

    async def until(self, end: float) -> list[str]:
        """Run until then; return what was asked without the start."""
        await self.house.until(end)
        assert self.calls[:2] == ["resume", "look again"]
        return self.calls[2:]


async def test_both_are_proved_by_one_nonce(tmp_path: Path) -> None:
    both = Both(tmp_path)
    assert await both.until(2) == ["install /a", "apply with templates", "nonce"]
    assert both.house.board.status().state == "applied"


async def test_the_first_site_comes_before_its_templates(tmp_path: Path) -> None:
    """There is nothing yet in whose context they could be checked; no nginx is no matter."""
    both = Both(tmp_path)
    both.apply.is_first = True
    both.apply.outcomes = [NotRunningError("none"), NotRunningError("none")]
    assert await both.until(1.1) == ["apply", "install /a", "apply with templates", "wait for nginx"]
    assert both.house.board.status().state == "installed"


@pytest.mark.parametrize(
    ("outcome", "calls"),
    [
        pytest.param(None, ["reload", "nonce"], id="proved"),
        pytest.param(NotRunningError("none"), ["reload", "wait for nginx"], id="no nginx"),
        pytest.param(ReloadRefusedError("no port"), ["reload", "unload: no port"], id="refused"),
        pytest.param(ReloadError("no proof"), ["reload"], id="not proved"),
    ],
)
async def test_a_site_that_is_refused_keeps_no_template_from_being_loaded(
    tmp_path: Path, outcome: Exception | None, calls: list[str]
) -> None:
    """It has passed with the site that is in place."""
    both = Both(tmp_path)
    both.apply.outcomes = [RefusedError("nonsense")]
    both.apply.reloaded = [outcome]
    assert await both.until(1.5) == ["install /a", "apply with templates", *calls]
    assert both.house.board.status().state == "refused"


async def test_a_site_that_is_refused_reloads_nothing_for_nobody(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.apply.outcomes = [None, RefusedError("nonsense")]
    both.house.put(keys(a="2"), at=2)
    both.joined.is_new = False
    assert "reload" not in await both.until(2.5)


async def test_a_reload_that_is_refused_puts_both_back(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.apply.outcomes = [ReloadRefusedError("no port")]
    assert await both.until(1.5) == ["install /a", "apply with templates", "unload: no port"]


async def test_a_reload_without_proof_leaves_them_in_place(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.apply.outcomes = [ReloadError("no proof")]
    assert await both.until(1.5) == ["install /a", "apply with templates"]
    assert both.house.board.status().state == "failed"


async def test_a_template_that_is_due_is_a_reason_to_look(tmp_path: Path) -> None:
    both = Both(tmp_path)
    async with both.house.running():
        await asyncio.sleep(2)
        count = len(both.calls)
        await asyncio.sleep(6)
        assert len(both.calls) == count
        both.joined.due = True
        await asyncio.sleep(5)
    assert len(both.calls) > count


async def test_a_person_looks_again_at_a_site(tmp_path: Path) -> None:
    both = Both(tmp_path)
    async with both.house.running():
        await asyncio.sleep(2)
        both.house.reconciler.look_again()
        await asyncio.sleep(1)
    assert both.calls.count("look again") == 2


async def test_nothing_is_installed_before_all_is_known(tmp_path: Path) -> None:
    """The site may go on with what was asked for it; templates wait for the rest of their keys."""
    both = Both(tmp_path, needs=("/b",))
    assert await both.until(1.4) == ["apply with templates", "nonce"]


async def test_slow_checks_are_no_hang(tmp_path: Path) -> None:
    """They may take what was configured for them."""
    both = Both(tmp_path)
    both.joined.resource.check = Command("true", 60.0)
    both.joined.takes_s = 245
    async with both.house.running():
        await asyncio.sleep(240)
        assert both.house.reconciler.progress.late_s == 0
        await asyncio.sleep(5)
        assert both.house.reconciler.progress.late_s == pytest.approx(245 - 241.002)
        await asyncio.sleep(5)
