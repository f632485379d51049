"""The parts made from settings, and made anew when these are read again: on files, and a script as nginx."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from proxyconf import config
from proxyconf.design import follow, needs_of
from proxyconf.errors import Shutdown, StateError, UsageError
from proxyconf.groups.undo import Undo
from proxyconf.house import House
from proxyconf.model import Listing
from proxyconf.resources.folder import Resources
from proxyconf.resources.table import Resource
from proxyconf.sources import kinds
from proxyconf.state import State
from tests.unit.fakes import addresses, listing
from tests.unit.installed import Installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from proxyconf.api import Status


class Home:
    """A folder with a file as the source, templates, and settings for it.

    Attributes:
        tables: Of the configuration: change them, and let the house read again.
        logs: What was said.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.installed = Installed(path)
        self.keys = path / "keys.yaml"
        self.keys.write_text("a: one\nb: two\n")
        (path / "templates").mkdir()
        self.tables: dict[str, Any] = {
            "file": {"path": [str(self.keys)]},
            "nginx": {"mode": "none"},
            "confd": {"dir": str(path)},
            "state": {"dir": str(path / "state")},
            "template": [],
        }
        self.logs: list[dict[str, Any]] = []
        self._group: asyncio.TaskGroup | None = None

    def resource(self, name: str, text: str, *keys: str, **more: object) -> Path:
        """Add a template; return its dest."""
        dest = self.path / f"{name}.out"
        (self.path / "templates" / name).write_text(text)
        self.tables["template"].append({"src": name, "dest": str(dest), "keys": list(keys), **more})
        return dest

    def settings(self) -> config.Settings:
        flags = {name: table for name, table in self.tables.items() if name != "template"}
        file = self.path / "p.toml"
        lines = ["[[template]]\n" + _toml(table) for table in self.tables["template"]]
        file.write_text("".join(lines))
        return config.load(file, kinds=kinds(), flags=flags)

    @asynccontextmanager
    async def house(self) -> AsyncIterator[House]:
        """Run it until the end of the block."""
        settings = self.settings()
        state = State(self.path / "state")
        with capture_logs() as logs, state.locked():
            self.logs = logs  # type: ignore[assignment]
            house = await House.build(settings, state)
            try:
                async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                    self._group = group
                    house.start(group)
                    yield house
                    raise Shutdown  # noqa: TRY301 - ends the group
            except* Shutdown:
                pass

    async def read_again(self, house: House) -> None:
        assert self._group
        await house.read_again(self.settings, self._group)

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.logs if line["event"] == event]


def _toml(table: dict[str, object]) -> str:
    return "".join(f"{key} = {value!r}\n" for key, value in table.items())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def until(house: House, test: Callable[[Status], object]) -> Status:
    """Wait until *test* is true of the status."""
    while True:
        status = house.board.status()
        if test(status):
            return status
        await asyncio.sleep(0.005)


def is_text(dest: Path, text: str) -> bool:
    return dest.exists() and dest.read_text() == text


async def until_text(dest: Path, text: str) -> None:
    while True:
        if is_text(dest, text):
            return
        await asyncio.sleep(0.005)


def states(status: Status) -> list[str]:
    return [template.state for template in status.templates]


def test_needs_are_those_of_all_resources_without_what_is_covered(tmp_path: Path) -> None:
    resources = [
        Resource(tmp_path / "a", "a", keys=("/a/x", "/b")),
        Resource(tmp_path / "b", "b", prefix="/p", keys=("/c",), require=("/p/c/d",)),
        Resource(tmp_path / "c", "c", keys=("/a", "/a-b", "/a/x/y")),
    ]
    assert needs_of(Resources(tuple(resources))) == ("/a", "/a-b", "/b", "/p/c")
    everything = Resource(tmp_path / "d", "d", keys=("/",))
    assert needs_of(Resources((*resources, everything))) == ("/",)
    assert needs_of(Resources()) == ()


def test_a_source_is_like_another_by_its_settings_and_needs(home: Home) -> None:
    """What has no keys is the same whatever templates want."""
    home.tables["docker"] = {}
    some = Resources((Resource(home.path / "a", "a", keys=("/a",)),))
    before, after = follow(home.settings(), Resources()), follow(home.settings(), some)
    assert {name: one.is_like(before.get(name)) for name, one in after.items()} == {
        "docker": True,
        "file": False,
    }
    assert all(one.is_like(follow(home.settings(), some)[name]) for name, one in after.items())
    assert not after["file"].is_like(None)
    home.tables["docker"] = {"relist": "61s"}
    assert not follow(home.settings(), some)["docker"].is_like(after["docker"])


def test_the_engine_of_nginx_is_told_its_container(home: Home) -> None:
    """The first one: an engine beside it has another container of that name, or none."""
    home.tables["docker"] = {"relist": "60s", "other": {}}
    before = follow(home.settings(), Resources())
    home.tables["nginx"] = {"via": "docker:web"}
    after = follow(home.settings(), Resources())
    assert {name: one.nginx for name, one in after.items() if one.nginx} == {"docker": "web"}
    assert not after["docker"].is_like(before["docker"])
    assert after["docker.other"].is_like(before["docker.other"])


async def test_templates_are_settled_once_they_are_in_place(home: Home) -> None:
    first = home.resource("first", "{{ getv('/a') }}", "/a")
    second = home.resource("second", "{{ nonsense }}")
    async with home.house() as house:
        await house.settled()
        assert first.read_text() == "one"
        assert not second.exists()
        assert states(house.board.status()) == ["applied", "refused"]
        assert house.set_aside == ()


async def test_what_has_not_changed_stays(home: Home) -> None:
    """Neither the source nor a template's file is touched, and nothing is said of either."""
    dest = home.resource("first", "{{ getv('/a') }}", "/a", reload_cmd=f"echo >> {home.path}/reloads")
    async with home.house() as house:
        await house.settled()
        stamp = dest.stat().st_mtime_ns
        for _ in range(3):
            await home.read_again(house)
        await house.settled()
        home.keys.write_text("a: three\n")
        await until_text(dest, "three")
    assert dest.stat().st_mtime_ns != stamp
    assert len(home.events("source.listed")) == 1
    assert (home.path / "reloads").read_text() == "\n\n"
    assert len(home.events("configuration.read_again")) == 3


async def test_templates_that_come_and_go(home: Home) -> None:
    """One with keys that nobody has asked for waits for the source's word on them."""
    home.resource("first", "{{ getv('/a') }}", "/a")
    async with home.house() as house:
        await house.settled()
        second = home.resource("second", "{{ gets('/*')|length }}", "/b")
        await home.read_again(house)
        await until_text(second, "1")
        await until(house, lambda status: states(status) == ["applied", "applied"])
        del home.tables["template"][0]
        await home.read_again(house)
        await until(house, lambda status: states(status) == ["applied"])
    assert second.read_text() == "1"
    assert "refused" not in [line.get("state") for line in home.logs]


async def test_a_mistake_changes_nothing(home: Home) -> None:
    dest = home.resource("first", "{{ getv('/a') }}", "/a")
    async with home.house() as house:
        await house.settled()
        home.tables["nginx"] = {"mode": "nonsense"}
        await home.read_again(house)
        home.tables["nginx"] = {"mode": "none"}
        home.tables["file"] = {"pth": "x"}
        await home.read_again(house)
        (problem,) = house.board.status().problems
        assert (problem.what, problem.where) == ("configuration", "read again")
        assert "pth: unknown key (did you mean 'path'?); the settings before it count" in problem.why
        home.keys.write_text("a: three\n")
        await until_text(dest, "three")
        home.tables["file"] = {"path": str(home.keys)}
        await home.read_again(house)
        assert house.board.status().problems == []
    first, second = [event["reason"] for event in home.events("configuration.refused")]
    assert "nginx" in first
    assert "pth: unknown key (did you mean 'path'?)" in second
    assert second.endswith("; going on with the one before")
    assert len(home.events("proxyconf.looking_again")) == 2


async def test_a_resource_that_cannot_be_read_any_more(home: Home) -> None:
    dest = home.resource("first", "{{ getv('/a') }}", "/a")
    async with home.house() as house:
        await house.settled()
        home.tables["template"][0]["kyes"] = []
        await home.read_again(house)
        status = await until(house, lambda status: status.problems)
        assert "what was read before still counts" in status.problems[0].why
        assert len(house.set_aside) == 1
        home.keys.write_text("a: three\n")
        await until_text(dest, "three")


async def test_sources_that_come_and_go(home: Home) -> None:
    """What one said counts until its successor speaks, and no longer than it is configured."""
    dest = home.resource("all", "{% for pair in gets('/*') %}{{ pair.Value }} {% endfor %}", "/")
    more = home.path / "more.yaml"
    more.write_text("c: three\n")
    async with home.house() as house:
        await until_text(dest, "one two ")
        home.tables["file"] = {"path": [str(home.keys), str(more)]}
        await home.read_again(house)
        await until_text(dest, "one two three ")
        home.tables["file"] = {"path": [str(home.path / "none.yaml")]}
        await home.read_again(house)
        status = await until(house, lambda status: status.sources[0].state == "lost")
        assert len(status.sources) == 1
        assert dest.read_text() == "one two three "
        home.tables["file"] = {"path": [str(more)], "max_loss": 1}
        await home.read_again(house)
        await until_text(dest, "three ")


async def test_what_takes_effect_at_the_next_start_only(home: Home) -> None:
    async with home.house() as house:
        home.tables["status"] = {"socket": "/run/other.sock"}
        await home.read_again(house)
        await home.read_again(house)
    assert [event["reason"] for event in home.events("setting.ignored")] == [
        "[status]: takes effect at the next start"
    ]


async def test_a_site_that_comes_and_goes(home: Home) -> None:
    """With a template in its nginx's folder."""
    home.tables["file"] = {"path": [str(home.installed.sites), str(home.keys)]}
    other = home.resource("other", "{{ routes[0].host }}", "/a")
    home.resource("joined", "# {{ getv('/a') }}", "/a")
    joined = home.path / "state" / "nginx" / "http.d" / "joined.conf"
    home.tables["template"][1]["dest"] = str(joined)
    joined.parent.mkdir(parents=True)
    async with home.house() as house:
        await until_text(other, "web.test")
        await until_text(joined, "# one")
        home.tables["nginx"] = _own(home)
        joined.unlink()
        await home.read_again(house)
        status = await until(house, lambda status: status.state == "installed")
        await house.settled()
        assert (status.nginx.mode, status.nginx.version) == ("own", "1.22.1")
        status = await until(house, lambda status: states(status) == ["applied", "installed"])
        assert "no nginx runs" in status.templates[1].reason
        assert joined.read_text() == "# one"
        home.tables["nginx"] = {"mode": "none"}
        await home.read_again(house)
        status = await until(house, lambda status: status.nginx.mode == "none")
        home.keys.write_text("a: three\n")
        await until_text(joined, "# three")


def _own(home: Home) -> dict[str, object]:
    binary = str(home.path / "nginx")
    return {"mode": "own", "binary": binary, "listen": {"http": ["127.0.0.1:1"]}, "user": "root"}


async def test_an_nginx_that_is_none_is_a_mistake(home: Home) -> None:
    async with home.house() as house:
        home.tables["nginx"] = _own(home) | {"binary": "/none/nginx"}
        await home.read_again(house)
        assert house.board.status().nginx.mode == "none"
    (refused,) = home.events("configuration.refused")
    assert "run /none/nginx: No such file" in refused["reason"]


async def test_what_is_held_is_confirmed(home: Home) -> None:
    """Also where nothing else happens; a file is not written from what an earlier run knew."""
    dest = home.resource("all", "{{ gets('/*')|length }}", "/")
    state = State(home.path / "state")
    saved = Listing("file", pairs={f"/{number}": entry for number, entry in _entries(8)}, needs=("/",))
    with state.locked():
        state.save_listings((saved,))
    async with home.house() as house:
        await until(house, lambda status: status.problems)
        assert not dest.exists()
        assert house.confirm() == ("file",)
        assert house.confirm() == ()
        await until_text(dest, "2")


def _entries(count: int) -> list[tuple[int, Any]]:
    return list(enumerate(listing(*addresses(count)).keys.values()))[:count]


async def test_what_a_killed_run_has_left_is_put_back(home: Home) -> None:
    dest = home.resource("first", "{{ getv('/none') }}", "/a")
    state = State(home.path / "state")
    with state.locked():
        undo = Undo(state.undo, "group")
        undo.resume([dest])
        undo.begin({dest: None}, checked=False)
        dest.write_text("unchecked")
    async with home.house() as house:
        assert not dest.exists()
        await house.settled()
    assert [event["dest"] for event in home.events("template.recovered")] == [str(dest)]


async def test_a_state_folder_that_is_full(home: Home) -> None:
    """Where there is no site: it is said, and when there is room again, all is well."""
    dest = home.resource("first", "{{ getv('/a') }}", "/a")
    async with home.house() as house:
        await house.settled()
        folder = home.path / "state" / "listings"
        folder.rename(folder.with_name("away"))
        home.keys.write_text("a: three\n")
        await until_text(dest, "three")
        status = await until(house, lambda status: status.state == "failed")
        assert str(folder) in status.reason
        folder.with_name("away").rename(folder)
        await until(house, lambda status: status.state == "applied")


async def test_a_configuration_that_is_wrong_from_the_start(home: Home) -> None:
    home.tables["file"] = {"pth": "x"}
    with pytest.raises(UsageError, match="pth: unknown key"):
        async with home.house():
            pass


async def test_paused_no_template_is_written(home: Home) -> None:
    """Those that are read anew meanwhile neither; a source is followed, and afterwards all comes at once."""
    first = home.resource("first", "{{ getv('/a') }}", "/a")
    async with home.house() as house:
        await house.settled()
        assert (await house.pause("moving")).reason == "moving"
        home.keys.write_text("a: three\nb: four\n")
        second = home.resource("second", "{{ getv('/b') }}", "/b")
        await home.read_again(house)
        await until(house, lambda status: status.state == "paused")
        assert (first.read_text(), second.exists()) == ("one", False)
        assert (home.path / "state" / "paused").read_text() == "moving"
        ended = await house.resume()
        assert ended is not None
        await until_text(first, "three")
        await until_text(second, "four")
        assert await house.resume() is None
        assert not (home.path / "state" / "paused").exists()
    assert [line["event"] for line in home.logs if line["event"].startswith("proxyconf.")] == [
        "proxyconf.started",
        "proxyconf.paused",
        "proxyconf.resumed",
    ]


async def test_a_pause_outlives_the_program(home: Home) -> None:
    """And nobody waits for an outcome."""
    dest = home.resource("first", "{{ getv('/a') }}", "/a")
    with State(home.path / "state").locked():
        State(home.path / "state").save_pause("")
    async with home.house() as house:
        await house.settled()
        status = house.board.status()
        assert (status.state, dest.exists()) == ("paused", False)
        assert status.paused is not None
    assert home.events("proxyconf.paused")[0]["reason"] == "nobody said why"


async def test_a_pause_that_can_not_be_noted_is_none(home: Home) -> None:
    async with home.house() as house:
        await house.settled()
        (home.path / "state" / "paused.new").mkdir()
        with pytest.raises(StateError, match=r"write .*/paused"):
            await house.pause("")
        assert house.board.status().paused is None


async def test_sources_that_are_not_required_are_known(home: Home) -> None:
    home.tables["file"]["required"] = False
    async with home.house() as house:
        assert [source.required for source in house.board.status().sources] == [False]
