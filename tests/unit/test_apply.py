"""Apply on a fake nginx and a real folder: what is served, what is set aside, what is left alone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import NotRunningError, RefusedError, ReloadError, StateError
from proxyconf.model import Problem
from proxyconf.nginx.site import Renderer
from proxyconf.nginx.workers import Lingering
from tests.golden.cases import dialect
from tests.unit.fake_nginx import Bench, assert_startable, parts_on_disk, serving, site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.looptime


async def test_a_snapshot_is_checked_installed_reloaded_and_proved(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a", "b"))
    nginx, apply = bench.nginx, bench.apply
    assert nginx.hosts() == ["a.test", "b.test"]
    assert (nginx.checks, nginx.signals, apply.reloads, bench.saved) == (1, 1, 1, 1)
    assert apply.installed is apply.proved is not None
    assert apply.proved.root == nginx.loaded == nginx.root
    assert apply.proved.nonce == await nginx.ask()
    assert await apply.serves()
    assert apply.lingering == Lingering(2, 4096)
    assert list(bench.steps) == ["render", "write", "check", "install", "signal", "proof", "tidy"]


async def test_an_equal_snapshot_does_nothing(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    assert not await bench.serve(site("a"))
    assert (bench.nginx.checks, bench.nginx.signals) == (1, 1)
    assert list(bench.steps) == ["render"]


async def test_every_attempt_has_a_nonce_of_its_own(tmp_path: Path) -> None:
    """The digest alone would not tell the second reload of the same site from the first."""
    bench = await serving(tmp_path, site("a"))
    first = bench.apply.proved
    await bench.serve(site("b"))
    await bench.serve(site("a"))
    assert first is not None
    assert bench.apply.proved is not None
    assert bench.apply.proved.digest == first.digest
    assert bench.apply.proved.nonce != first.nonce
    assert bench.apply.proved.nonce.startswith(first.digest[:16])


async def test_silence_is_no_reload_of_somebodys(tmp_path: Path) -> None:
    """An nginx with all connections taken answers nobody, and a reload would make it worse."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.silent = True
    assert await bench.apply.serves()
    assert not await bench.serve(site("a"))
    bench.nginx.silent = False
    bench.nginx.loaded = b"another"
    assert not await bench.apply.serves()
    assert await bench.serve(site("a"))
    assert bench.nginx.signals == 2


async def test_nothing_is_served_before_the_first_apply(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.apply.resume(None)
    assert not await bench.apply.serves()


def by_place(text: str) -> str:
    return 'invalid parameter "x" PLACE' if "bad" in text and "upstream" in text else ""


def by_name(text: str) -> str:
    return 'something with "bad.test" somewhere' if "server_name" in text and "bad.test" in text else ""


def without_a_trace(text: str) -> str:
    return "it will not do" if "bad" in text and "upstream" in text else ""


def host_by_place(text: str) -> str:
    return "no good PLACE" if "server_name" in text and "bad.test" in text else ""


@pytest.mark.parametrize(
    ("refuse", "kind", "reason", "closed"),
    [
        pytest.param(by_place, "service bad", "invalid parameter", True, id="place"),
        pytest.param(host_by_place, "host bad.test", "no good", False, id="place of a host"),
        pytest.param(by_name, "host bad.test", "something with", False, id="name"),
        pytest.param(without_a_trace, "service bad", "it will not do", True, id="halving"),
    ],
)
async def test_a_bad_part_does_not_block_the_others(
    tmp_path: Path, refuse: Callable[[str], str], kind: str, reason: str, *, closed: bool
) -> None:
    """A service that is left out counts as one without endpoints; a host goes only if nginx takes none."""
    bench = Bench(tmp_path)
    bench.nginx.refuse = refuse
    await bench.apply.resume(None)
    assert await bench.serve(site("a", "b", "bad"))
    assert bench.nginx.hosts() == ["a.test", "b.test", *(["bad.test"] if closed else [])]
    assert bench.nginx.closed() == (["bad.test"] if closed else [])
    (problem,) = bench.apply.problems
    assert f"{problem.what} {problem.where}" == kind
    assert problem.why.startswith(f"nginx refuses it: {reason}")
    assert problem.why.endswith("(it is left out)")
    assert_startable(tmp_path)


async def test_a_verdict_is_remembered(tmp_path: Path) -> None:
    """What was refused is not tried again with every change."""
    bench = Bench(tmp_path)
    bench.nginx.refuse = by_place
    await bench.apply.resume(None)
    await bench.serve(site("a", "bad"))
    checks = bench.nginx.checks
    assert not await bench.serve(site("a", "bad"))
    assert bench.nginx.checks == checks
    assert await bench.serve(site("a", "b", "bad"))
    assert bench.nginx.checks == checks + 1
    assert len(bench.apply.problems) == 1


async def test_a_refused_part_keeps_its_last_good_form(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a", "bad"))
    bench.nginx.refuse = lambda text: "no PLACE" if "10.9.9.9" in text and "bad" in text else ""
    assert await bench.serve(site("a", "bad", endpoint="10.9.9.9:80"))
    assert bench.nginx.texts().count("10.9.9.9:80") == 1
    assert bench.nginx.texts().count("10.0.0.1:80") == 1
    (problem,) = bench.apply.problems
    assert problem.why.endswith("(its last good form serves)")
    assert await bench.serve(site("a", "bad", endpoint="10.2.2.2:80"))
    assert bench.nginx.texts().count("10.2.2.2:80") == 2
    assert bench.apply.problems == ()


async def test_what_is_left_may_be_what_is_served_already(tmp_path: Path) -> None:
    """Then nothing is reloaded."""
    bench = await serving(tmp_path, site("a"))
    bench.nginx.refuse = lambda text: by_place(text) or host_by_place(text)
    assert not await bench.serve(site("a", "bad"))
    assert bench.nginx.signals == 1
    assert {problem.what for problem in bench.apply.problems} == {"service", "host"}


async def test_a_bad_host_of_a_bad_service_is_found_in_the_form_it_has_then(tmp_path: Path) -> None:
    """Without its service it is another part; to judge only the first would go round for ever."""
    bench = Bench(tmp_path)
    bench.nginx.refuse = lambda text: by_place(text) or host_by_place(text)
    await bench.apply.resume(None)
    assert await bench.serve(site("a", "bad"))
    assert bench.nginx.hosts() == ["a.test"]
    assert bench.nginx.checks == 4


async def test_refused_as_a_whole_changes_nothing(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    before, parts = bench.nginx.root, parts_on_disk(tmp_path)
    bench.nginx.refuse_all = "unknown directive in /main.d/x.conf:1"
    with pytest.raises(RefusedError, match="unknown directive"):
        await bench.serve(site("a", "b"))
    assert bench.nginx.root == bench.nginx.loaded == before
    assert parts <= parts_on_disk(tmp_path)
    assert bench.nginx.signals == 1
    assert await bench.apply.serves()
    assert bench.apply.problems == ()
    bench.nginx.refuse_all = ""
    assert await bench.serve(site("a", "b"))


async def test_a_host_that_another_server_block_has_is_a_problem(tmp_path: Path) -> None:
    """For nginx it is a mere warning."""
    bench = Bench(tmp_path)
    warning = 'nginx: [warn] conflicting server name "%s" on 0.0.0.0:80, ignored\n'
    bench.nginx.warning = (warning % "a.test") * 2 + warning % "not-ours.test"
    await bench.apply.resume(None)
    await bench.serve(site("a"))
    (problem,) = bench.apply.problems
    assert (problem.what, problem.where) == ("host", "a.test")
    assert "0.0.0.0:80" in problem.why
    bench.nginx.warning = ""
    await bench.serve(site("a", "b"))
    assert bench.apply.problems == ()


async def test_a_part_that_can_not_be_written_is_a_problem(tmp_path: Path) -> None:
    """Values are checked where they are read; but should one slip through, the rest is served."""
    bench = await serving(tmp_path, site("a", "b;c"))
    assert bench.nginx.hosts() == ["a.test"]
    assert [problem.where for problem in bench.apply.problems] == ["b;c.test"]
    assert all(isinstance(problem, Problem) for problem in bench.apply.problems)


async def test_a_root_file_that_somebody_edited_is_put_right(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    (tmp_path / "nginx.conf").write_text("mine")
    assert not await bench.apply.serves()
    assert await bench.serve(site("a"))
    assert bench.nginx.hosts() == ["a.test"]
    assert bench.nginx.root == bench.nginx.loaded


async def test_a_root_file_that_is_gone_is_put_back(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    (tmp_path / "nginx.conf").unlink()
    assert not await bench.apply.serves()
    assert await bench.serve(site("a"))
    assert_startable(tmp_path)
    assert bench.nginx.root == bench.nginx.loaded


async def test_a_root_file_that_somebody_edited_while_no_nginx_ran_is_put_right(tmp_path: Path) -> None:
    """Or it would be reloaded for ever without a proof."""
    bench = Bench(tmp_path)
    bench.nginx.pid = None
    await bench.apply.resume(None)
    with pytest.raises(NotRunningError):
        await bench.serve(site("a"))
    (tmp_path / "nginx.conf").write_text("mine")
    bench.nginx.start(8)
    assert await bench.serve(site("a"))
    assert bench.nginx.hosts() == ["a.test"]


async def test_parts_that_somebody_deleted_are_written_again(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    for file in (tmp_path / "parts").iterdir():
        file.unlink()
    assert await bench.serve(site("a", "b"))
    assert bench.nginx.hosts() == ["a.test", "b.test"]
    assert bench.apply.problems == ()
    assert_startable(tmp_path)


async def test_many_bad_parts_are_found_in_several_passes(tmp_path: Path) -> None:
    """Each pass is bounded, and the next goes on where it stopped."""
    bench = Bench(tmp_path)
    bench.nginx.refuse = by_place
    await bench.apply.resume(None)
    snapshot = site("a", *(f"bad{number}" for number in range(25)))
    with pytest.raises(RefusedError, match="over 20 refusals in a row"):
        await bench.serve(snapshot)
    assert bench.nginx.checks == 20
    assert await bench.serve(snapshot)
    assert bench.nginx.checks == 26
    assert len(bench.apply.problems) == 25
    assert bench.nginx.texts().count("upstream") == 1


async def test_what_was_refused_is_never_installed_for_what_somebody_edited(tmp_path: Path) -> None:
    """The root file changes while nginx refuses a candidate that comes down to what is installed."""
    bench = await serving(tmp_path, site("a"))

    def refuse(text: str) -> str:
        (tmp_path / "nginx.conf").write_text("mine")
        return by_place(text) or host_by_place(text)

    bench.nginx.refuse = refuse
    with pytest.raises(ReloadError, match="somebody else has just changed"):
        await bench.serve(site("a", "bad"))
    assert bench.nginx.root == b"mine"
    bench.nginx.refuse = lambda _: ""
    assert await bench.serve(site("a"))
    assert bench.nginx.hosts() == ["a.test"]


async def test_two_generations_are_kept(tmp_path: Path) -> None:
    """Their workers may still be opening files; older ones go."""
    bench = await serving(tmp_path, site("a"))
    names = [parts_on_disk(tmp_path)]
    for name in "bcde":
        await bench.serve(site(name))
        names.append(parts_on_disk(tmp_path))
    assert [len(found) for found in names] == [2, 4, 6, 6, 6]
    assert not names[0] & names[-1]
    assert_startable(tmp_path)


async def test_while_no_nginx_runs_old_generations_go_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.nginx.pid = None
    await bench.apply.resume(None)
    for name in "abcdef":
        with pytest.raises(NotRunningError):
            await bench.serve(site(name))
    assert len(parts_on_disk(tmp_path)) == 6
    assert_startable(tmp_path)


async def test_a_disk_that_fails_changes_nothing(tmp_path: Path) -> None:
    bench = await serving(tmp_path, site("a"))
    (tmp_path / "nginx.conf.next").unlink(missing_ok=True)
    (tmp_path / "nginx.conf.next").mkdir()
    with pytest.raises(StateError, match=r"nginx\.conf\.next: Is a directory \(may we write"):
        await bench.serve(site("a", "b"))
    assert await bench.apply.serves()
    (tmp_path / "nginx.conf.next").rmdir()
    assert await bench.serve(site("a", "b"))


async def test_to_look_again_is_to_check_and_reload_all(tmp_path: Path) -> None:
    """And to try what was refused: what was wrong may be mended."""
    bench = Bench(tmp_path)
    await bench.apply.resume(None)
    bench.nginx.refuse = lambda text: "mystery" if "b.test" in text else ""
    await bench.serve(site("a", "b"))
    assert bench.nginx.hosts() == ["a.test"]
    bench.nginx.refuse = lambda _: ""
    assert not await bench.serve(site("a", "b"))
    signals = bench.nginx.signals
    bench.apply.look_again()
    assert await bench.serve(site("a", "b"))
    assert (bench.nginx.hosts(), bench.nginx.signals) == (["a.test", "b.test"], signals + 1)


async def test_parts_that_somebody_deleted_are_missed_without_a_change(tmp_path: Path) -> None:
    """nginx serves on, and would not start again."""
    bench = await serving(tmp_path, site("a"))
    assert await bench.apply.serves()
    shutil.rmtree(tmp_path / "parts")
    assert not await bench.apply.serves()
    assert await bench.serve(site("a"))
    assert_startable(tmp_path)
    assert await bench.apply.serves()


async def test_another_way_to_write_is_noticed_without_a_change(tmp_path: Path) -> None:
    """Somebody else's nginx has got a default server, say: with ours it would not start again."""
    bench = await serving(tmp_path, site("a"))
    assert await bench.apply.serves()
    bench.renderer = Renderer(dialect(tmp_path))
    assert not await bench.apply.serves()
    assert not await bench.serve(site("a")), "it writes the same"
    assert await bench.apply.serves()
    bench.unreadable = True
    assert not await bench.apply.serves(), "which the next attempt tells"


async def test_while_nginx_does_not_run_only_its_start_is_awaited(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.apply.resume(None)
    assert not await bench.apply.awaits_start()
    bench.nginx.pid = None
    with pytest.raises(NotRunningError):
        await bench.serve(site("a"))
    assert await bench.apply.awaits_start()
    bench.renderer = Renderer(dialect(tmp_path))
    assert not await bench.apply.awaits_start()
    with pytest.raises(NotRunningError):
        await bench.serve(site("a"))
    assert await bench.apply.awaits_start()
    (tmp_path / "http.d" / "x.conf").write_text("aio on;")
    assert not await bench.apply.awaits_start()
    with pytest.raises(NotRunningError):
        await bench.serve(site("a"))
    bench.nginx.pid = 8
    assert not await bench.apply.awaits_start()
