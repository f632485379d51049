"""Apply across our own restarts: what is taken up, and that a kill leaves what nginx would start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import NotRunningError, ProxyconfError, RefusedError, StateError
from proxyconf.nginx.folder import Folder
from proxyconf.state import Applied
from tests.unit.fake_nginx import Bench, FakeNginx, assert_startable, parts_on_disk, serving, site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from proxyconf.apply import Generation
    from proxyconf.nginx.part import Part

pytestmark = pytest.mark.looptime


class KilledError(BaseException):
    """A kill -9 at this point."""


class DyingFolder(Folder):
    """Dies at the given one of its steps; half of a part is written then, where parts are.

    Attributes:
        steps: The names of those that were made.
    """

    def __init__(self, path: Path, *, dies_at: int) -> None:
        super().__init__(path, "nginx.conf")
        self.steps: list[str] = []
        self._dies_at = dies_at

    def _step(self, name: str) -> None:
        if len(self.steps) == self._dies_at:
            raise KilledError(name)
        self.steps.append(name)

    def stage(self, parts: Iterable[Part], root: bytes) -> None:
        parts = tuple(parts)
        for part in parts:
            if part.file not in self._present:
                try:
                    self._step(f"half of {part.file}")
                except KilledError:
                    (self._parts / part.file).write_bytes(part.text[: len(part.text) // 2])
                    raise
        super().stage(parts, root)
        self._step("staged")

    def sync(self) -> None:
        super().sync()
        self._step("synced")

    def install(self) -> None:
        super().install()
        self._step("installed")

    def keep(self, wanted: frozenset[str]) -> None:
        self._step("before tidying")
        super().keep(wanted)
        self._step("tidied")


def applied(proved: Generation | None) -> Applied:
    assert proved is not None
    return Applied(digest=proved.digest, nonce=proved.nonce, at=1.0)


async def restarted(path: Path, old: Bench, saved: Applied | None) -> Bench:
    """Return another one on the same nginx and folder."""
    bench = Bench(path, old.nginx)
    await bench.apply.resume(saved)
    return bench


async def test_what_is_still_served_is_not_reloaded(tmp_path: Path) -> None:
    old = await serving(tmp_path, site("a"))
    bench = await restarted(tmp_path, old, applied(old.apply.proved))
    assert not await bench.apply.serves()  # it is not proved to this run yet
    assert await bench.serve(site("a"))
    assert await bench.apply.serves()
    assert (bench.nginx.checks, bench.nginx.signals) == (1, 1)
    assert bench.nginx.root == bench.nginx.loaded


async def test_what_is_still_served_is_recognised(tmp_path: Path) -> None:
    """Also by a master that was started anew, and by a run that began in a pause; but not what is new."""
    old = await serving(tmp_path, site("a"))
    bench = await restarted(tmp_path, old, applied(old.apply.proved))
    assert bench.apply.proved is None
    assert not await bench.apply.recognises(site("b"))
    assert await bench.apply.recognises(site("a"))
    assert bench.apply.proved is bench.apply.installed
    (tmp_path / "host.d").mkdir(exist_ok=True)
    (tmp_path / "host.d" / "a.test.conf").write_text("aio on;")
    assert not await bench.apply.recognises(site("a"))
    assert await bench.apply.serves(), "it has been read, and is not in place"
    bench.nginx.pid = None
    assert not await bench.apply.recognises(site("a"))


async def test_what_changed_meanwhile_is_applied(tmp_path: Path) -> None:
    old = await serving(tmp_path, site("a"))
    bench = await restarted(tmp_path, old, applied(old.apply.proved))
    assert await bench.serve(site("b"))
    assert bench.nginx.hosts() == ["b.test"]
    assert bench.nginx.signals == 2


async def test_what_a_backup_has_not_is_written_again(tmp_path: Path) -> None:
    """Though nothing changes: nginx would not start from what is there."""
    old = await serving(tmp_path, site("a"))
    names = parts_on_disk(tmp_path)
    (tmp_path / "parts" / min(names)).unlink()
    bench = await restarted(tmp_path, old, applied(old.apply.proved))
    assert await bench.serve(site("a"))
    assert parts_on_disk(tmp_path) == names
    assert_startable(tmp_path)


async def test_a_refused_reload_after_a_restart_goes_back_too(tmp_path: Path) -> None:
    old = await serving(tmp_path, site("a"))
    good = old.nginx.root
    bench = await restarted(tmp_path, old, applied(old.apply.proved))
    bench.nginx.hup = "refuse"
    with pytest.raises(ProxyconfError, match="still could not bind"):
        await bench.serve(site("b"))
    assert bench.nginx.root == good
    assert_startable(tmp_path)


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(None, id="nothing saved"),
        pytest.param(Applied(digest="d", nonce="of another", at=1.0), id="another generation"),
    ],
)
async def test_a_root_file_that_is_not_what_was_applied_is_replaced(
    tmp_path: Path, saved: Applied | None
) -> None:
    old = await serving(tmp_path, site("a"))
    before = old.nginx.root
    bench = await restarted(tmp_path, old, saved)
    assert bench.apply.installed is None
    assert bench.nginx.root == before
    assert await bench.serve(site("a"))
    assert (bench.nginx.checks, bench.nginx.signals) == (2, 2)


async def test_an_unproved_reload_is_proved_by_the_next_run(tmp_path: Path) -> None:
    """What was saved is older than what is installed: it is applied anew."""
    old = await serving(tmp_path, site("a"))
    saved = applied(old.apply.proved)
    old.nginx.hup = "ignore"
    with pytest.raises(ProxyconfError, match="no proof"):
        await old.serve(site("b"))
    old.nginx.hup = "load"
    bench = await restarted(tmp_path, old, saved)
    assert await bench.serve(site("b"))
    assert bench.nginx.hosts() == ["b.test"]


async def test_a_folder_that_can_not_be_used_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").mkdir()
    with pytest.raises(StateError, match=r"nginx\.conf: Is a directory"):
        await Bench(tmp_path).apply.resume(None)


async def change(bench: Bench) -> None:
    """Apply a site with a bad part in it; nginx refuses the first reload."""
    bench.nginx.refuse = lambda text: "mystery" if "bad" in text and "upstream" in text else ""
    bench.nginx.hup = "refuse"
    try:
        await bench.serve(site("a", "b", "bad", endpoint="10.0.0.2:80"))
    except ProxyconfError:
        bench.nginx.hup = "load"
        await bench.serve(site("a", "b", "bad", endpoint="10.0.0.2:80"))


async def count_steps(path: Path) -> int:
    old = await serving(path, site("a", "c"))
    folder = DyingFolder(path, dies_at=-1)
    bench = Bench(path, old.nginx, folder)
    await bench.apply.resume(applied(old.apply.proved))
    await change(bench)
    return len(folder.steps)


async def test_a_kill_at_any_point_leaves_what_nginx_would_start_from(tmp_path: Path) -> None:
    """And the next run gets to where this one wanted to."""
    steps = await count_steps(tmp_path / "whole")
    assert steps > 20
    for number in range(steps):
        path = tmp_path / str(number)
        old = await serving(path, site("a", "c"))
        saved = applied(old.apply.proved)
        dying = Bench(path, old.nginx, DyingFolder(path, dies_at=number))
        with pytest.raises(KilledError):
            await live_and_die(dying, saved)
        assert_startable(path)
        bench = await restarted(path, old, saved)
        assert_startable(path)
        await change(bench)
        assert_startable(path)
        assert bench.nginx.hosts() == ["a.test", "b.test", "bad.test"]
        assert bench.nginx.texts().count("10.0.0.2:80") == 2


async def live_and_die(bench: Bench, saved: Applied) -> None:
    await bench.apply.resume(saved)
    await change(bench)


async def test_half_a_part_of_a_killed_run_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    nginx = FakeNginx(tmp_path)
    old = await serving(tmp_path, site("a"))
    names = parts_on_disk(tmp_path)
    (tmp_path / "nginx.conf").unlink()
    for name in names:
        (tmp_path / "parts" / name).write_text("half")
    bench = Bench(tmp_path, nginx)
    await bench.apply.resume(applied(old.apply.proved))
    assert parts_on_disk(tmp_path) == set()
    assert await bench.serve(site("a"))
    assert parts_on_disk(tmp_path) == names
    assert_startable(tmp_path)


async def test_a_master_that_ends_right_after_the_proof_is_missed(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    assert await bench.apply.serves()
    bench.nginx.pid = None
    assert not await bench.apply.serves()
    assert not await bench.apply.serves(), "no master is not the master we know"


async def test_workers_without_a_master_are_named(tmp_path: Path) -> None:
    """They serve an earlier configuration, and keep a new nginx from starting."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.pid = None
    bench.nginx.orphaned = True
    assert "master is gone, but workers of it still serve" in await why_not_running(bench)
    bench.nginx.held = ":80 is held by workers of an nginx whose master is gone (end them: kill 11 12)"
    assert (await why_not_running(bench)).endswith(f"earlier configuration; {bench.nginx.held}")
    bench.nginx.orphaned, bench.nginx.held = False, ""
    assert await why_not_running(bench) == "checked, and no nginx runs on it"


async def why_not_running(bench: Bench) -> str:
    with pytest.raises(NotRunningError) as caught:
        await bench.serve(site("b"))
    return str(caught.value)


@pytest.mark.parametrize("answer", ["", "It works!"])
async def test_a_stranger_on_the_address_is_not_taken_for_workers_of_ours(
    tmp_path: Path, answer: str
) -> None:
    """Whatever it answers; and whoever it is, that is said anew when it is another one, or gone."""
    bench = Bench(tmp_path)
    bench.nginx.pid, bench.nginx.stranger = None, answer
    bench.nginx.held = ":80 is held by apache2, pid 30 (stop it, or set other addresses in [nginx.listen])"
    await bench.apply.resume(None)
    assert await why_not_running(bench) == f"checked, and no nginx runs on it; {bench.nginx.held}"
    assert await bench.apply.awaits_start()
    bench.nginx.held = ""
    assert not await bench.apply.awaits_start()
    assert await why_not_running(bench) == "checked, and no nginx runs on it"
    assert await bench.apply.awaits_start()


@pytest.mark.parametrize("restart", [False, True])
async def test_what_was_proved_is_not_to_blame(tmp_path: Path, *, restart: bool) -> None:
    """A new file of an operator's clashes with a part that serves: all is refused, and it serves on."""
    bench = await serving(tmp_path, site("a"))
    if restart:
        bench = await restarted(tmp_path, bench, applied(bench.apply.proved))
    good = bench.nginx.root
    bench.nginx.refuse = lambda text: "duplicate upstream PLACE" if "upstream" in text else ""
    bench.apply.look_again()
    for snapshot in (site("a"), site("a", "b")):
        with pytest.raises(ProxyconfError, match="duplicate upstream"):
            await bench.serve(snapshot)
        assert (bench.nginx.root, bench.nginx.hosts()) == (good, ["a.test"])
    bench.nginx.refuse = lambda _: ""
    assert await bench.serve(site("a", "b"))
    assert bench.nginx.hosts() == ["a.test", "b.test"]


async def test_what_an_earlier_run_only_installed_is_kept_until_there_is_something_better(
    tmp_path: Path,
) -> None:
    """Nothing is proved yet, and whatever is refused meanwhile: nginx starts from it."""
    first = Bench(tmp_path)
    first.nginx.pid = None
    await first.apply.resume(None)
    with pytest.raises(NotRunningError):
        await first.serve(site("a"))
    bench = await restarted(tmp_path, first, None)
    bench.nginx.refuse_all = "somebody else's file"
    for name in ("b", "c", "d", "e"):
        with pytest.raises(RefusedError):
            await bench.serve(site(name))
        assert_startable(tmp_path)
