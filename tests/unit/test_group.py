"""How a group comes into effect: reloads, their proof, their failures, and what a later run takes up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.unit.grouping import NGINX_TEST, Bench, FakeBeside, command, view, without

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.groups.group import Group

pytestmark = pytest.mark.looptime  # commands are real, and nothing else waits meanwhile

BACK = "(its last good file is in place again)"
TRIED_AGAIN = "(the file is in place; its reload is tried again)"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def nginx(bench: Bench) -> FakeBeside:
    return FakeBeside(bench.etc)


def on_nginx(bench: Bench, nginx: FakeBeside, *names: str) -> Group:
    """Return a group of resources that nginx checks and loads."""
    resources = [bench.resource(name, check=NGINX_TEST, reload=bench.reload) for name in names or ("a",)]
    return bench.group(*resources, nginx=nginx)


async def later_run(group: Group) -> Group:
    await group.resume()
    return group


async def test_the_same_command_of_several_is_run_once(bench: Bench) -> None:
    other = command(f"echo >>{bench.path}/other")
    group = bench.group(
        bench.resource("a", reload=bench.reload),
        bench.resource("b", reload=bench.reload),
        bench.resource("c", reload=other),
    )
    await group.bring(view(a="1", b="1", c="1"))
    assert (bench.reloads(), group.commands) == (1, 2)
    assert bench.is_in("a") == bench.is_in("b") == bench.is_in("c") == ("applied", "command")
    await group.bring(view(a="2", b="2", c="1"))
    assert (bench.reloads(), group.commands) == (2, 3)


async def test_a_command_that_names_the_file(bench: Bench) -> None:
    """Both ways: it is in place by then."""
    line = f"cat {{{{.src}}}} {{{{ .dest }}}} >{bench.path}/seen"
    await bench.group(bench.resource("a", reload=command(line))).bring(view(a="1"))
    assert (bench.path / "seen").read_text() == "11"


async def test_nothing_to_reload(bench: Bench) -> None:
    group = bench.group(bench.resource("a"))
    assert await group.bring(view(a="1")) == 5.0
    assert (bench.is_in("a"), group.commands) == (("applied", "written"), 0)


async def test_a_failed_command_is_tried_again(bench: Bench) -> None:
    """The file stays, and only the reload is repeated, later and later; then at once for what is new."""
    line = f"echo >>{bench.path}/tries; test -e {bench.path}/mended || {{ echo why; exit 3; }}"
    group = bench.group(bench.resource("a", check=command("true"), reload=command(line)))
    waits = []
    for _ in range(7):
        waits.append(await group.bring(view(a="1")))
        assert bench.is_in("a") == ("failed", "")
        assert bench.reason("a") == f"run {line}: exit code 3: why {TRIED_AGAIN}".replace(str(bench.path), "")
        await asyncio.sleep(30)
        assert await group.is_due()
    assert waits == [1, 2, 4, 5, 5, 5, 5]  # to look; to try: 8, 16, 30
    assert bench.texts() == {"a": "1"}
    (bench.path / "mended").touch()
    assert await group.bring(view(a="1")) == 5.0
    assert bench.is_in("a") == ("applied", "command")
    (bench.path / "mended").unlink()
    assert await group.bring(view(a="2")) == 1.0


async def test_the_back_off_lasts(bench: Bench) -> None:
    group = bench.group(bench.resource("a", reload=command("false")))
    for wait_s in (1, 2, 4, 8, 16, 30, 30):
        await group.bring(view(a="1"))
        await asyncio.sleep(wait_s - 0.5)
        assert not await group.is_due()
        await asyncio.sleep(0.5)
        assert await group.is_due()


async def test_a_command_that_hangs(bench: Bench) -> None:
    group = bench.group(bench.resource("a", reload=command("sleep 60", 0.1)))
    await group.bring(view(a="1"))
    assert bench.is_in("a") == ("failed", "")
    assert "not done after 0.1 s" in bench.reason("a")


async def test_a_reload_that_is_due_since_an_earlier_run(bench: Bench) -> None:
    """Nothing has changed since then, and the file is as it should be."""
    await bench.group(bench.resource("a", reload=command("false"))).bring(view(a="1"))
    group = await later_run(bench.group(bench.resource("a", reload=bench.reload)))
    await group.bring(view(a="1"))
    assert (bench.reloads(), bench.is_in("a")) == (1, ("applied", "command"))
    group = await later_run(bench.group(bench.resource("a", reload=bench.reload)))
    await group.bring(view(a="1"))
    assert bench.reloads() == 1


async def test_before_anything_is_known_of_the_keys(bench: Bench) -> None:
    """Only a reload that is due is made up for, at its own pace; of the others nothing is said."""
    await bench.group(bench.resource("a", reload=command("false"))).bring(view(a="1"))
    bench.write(b="not ours")
    resources = [bench.resource(name, reload=command("false")) for name in "ab"]
    group = await later_run(bench.group(*resources))
    assert group.is_pending
    for wait_s in (1, 2, 4, 8):
        await group.bring(None)
        assert (bench.states["a"].state, bench.states["b"].state) == ("failed", "starting")
        await asyncio.sleep(wait_s - 0.5)
        assert not await group.is_due()
        await asyncio.sleep(0.5)
        assert await group.is_due()
    group = await later_run(bench.group(bench.resource("a", reload=bench.reload), resources[1]))
    await group.bring(None)
    assert (bench.is_in("a"), bench.reloads()) == (("applied", "command"), 1)
    assert not group.is_pending


async def test_one_command_fails_and_another_does_not(bench: Bench) -> None:
    group = bench.group(
        bench.resource("a", reload=command("false")), bench.resource("b", reload=bench.reload)
    )
    await group.bring(view(a="1", b="1"))
    assert (bench.is_in("a"), bench.is_in("b")) == (("failed", ""), ("applied", "command"))
    await group.bring(view(a="1", b="1"))
    assert bench.reloads() == 1


async def test_a_change_of_others_is_no_reason_to_repeat_a_failed_reload(bench: Bench) -> None:
    """Twenty a second would come to as many commands; another text of its own is a reason."""
    group = bench.group(bench.resource("a", "{{ getv('/app/a') }}", reload=command("false")))
    for number in range(40):
        await group.bring(view(a="1", b=str(number)))
        await asyncio.sleep(0.05)
    assert group.commands == 2
    assert bench.is_in("a") == ("failed", "")
    await group.bring(view(a="2", b=""))
    assert group.commands == 3


async def test_an_older_file_gets_its_reload_while_a_newer_one_is_refused(bench: Bench) -> None:
    line = f"test -e {bench.path}/mended && echo >>{bench.path}/hup"
    group = bench.group(bench.resource("a", check=command("! grep bad {{.src}}"), reload=command(line)))
    await asyncio.sleep(await group.bring(view(a="1")))
    (bench.path / "mended").touch()
    await group.bring(view(a="bad"))
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, 1)
    assert bench.is_in("a") == ("refused", "command")
    record = bench.record("a")
    assert record
    assert record.installed == record.proved


async def test_an_interval_delays_and_drops_nothing(bench: Bench) -> None:
    """From the start of one reload to that of the next; the files are in place meanwhile."""
    group = bench.group(bench.resource("a", reload=bench.reload, min_reload_interval_s=60))
    await group.bring(view(a="1"))
    await asyncio.sleep(10)
    assert await group.bring(view(a="2")) == 5.0
    assert (bench.reloads(), bench.texts()) == (1, {"a": "2"})
    assert bench.is_in("a") == ("installed", "command")
    assert bench.reason("a") == "checked and in place; its reload waits for min_reload_interval"
    await group.bring(view(a="3"))
    await asyncio.sleep(49)
    assert not await group.is_due()
    await asyncio.sleep(1)
    assert await group.is_due()
    assert await group.bring(view(a="3")) == 5.0
    assert (bench.reloads(), bench.is_in("a")) == (2, ("applied", "command"))


async def test_an_interval_that_ends_soon(bench: Bench) -> None:
    group = bench.group(bench.resource("a", reload=bench.reload, min_reload_interval_s=2))
    await group.bring(view(a="1"))
    assert await group.bring(view(a="2")) == 2.0


async def test_a_delayed_reload_comes_although_something_newer_is_refused(bench: Bench) -> None:
    """Nobody would look again by itself for what is refused."""
    group = bench.group(bench.resource("a", reload=bench.reload, min_reload_interval_s=60))
    await group.bring(view(a="1"))
    await group.bring(view(a="2"))
    await group.bring(view())
    assert bench.is_in("a") == ("refused", "command")
    await asyncio.sleep(60)
    assert await group.is_due()
    await group.bring(view())
    assert bench.reloads() == 2


async def test_a_failed_reload_with_an_interval(bench: Bench) -> None:
    """It stays failed, to be read by a person, until it may be tried again."""
    group = bench.group(bench.resource("a", reload=command("false"), min_reload_interval_s=20))
    await group.bring(view(a="1"))
    await asyncio.sleep(1)
    await group.bring(view(a="1"))
    assert bench.history == [("a", "failed", f"run false: exit code 1: it printed nothing {TRIED_AGAIN}")]
    assert group.commands == 1
    await asyncio.sleep(19)
    await group.bring(view(a="1"))
    assert group.commands == 2


async def test_proved_by_workers(bench: Bench, nginx: FakeBeside) -> None:
    group = on_nginx(bench, nginx, "a", "b")
    await group.bring(view(a="1", b="1"))
    assert nginx.loaded == {"a.conf": "1", "b.conf": "1"}
    assert bench.is_in("a") == bench.is_in("b") == ("applied", "workers")
    assert bench.left_overs() == []


async def test_only_a_reload_and_no_check(bench: Bench, nginx: FakeBeside) -> None:
    group = bench.group(bench.resource("a", reload=bench.reload), bench.resource("b"), nginx=nginx)
    await group.bring(view(a="1", b="1"))
    assert (bench.is_in("a"), bench.is_in("b")) == (("applied", "workers"), ("applied", "written"))
    await group.bring(view(a="1", b="2"))
    assert bench.reloads() == 1


async def test_unproved_is_tried_again(bench: Bench, nginx: FakeBeside) -> None:
    """The command ends well, and the workers are the old ones: nginx was not reached. Patience stays."""
    nginx.hup = "ignore"
    group = on_nginx(bench, nginx)
    loop = asyncio.get_running_loop()
    for _ in range(3):
        started = loop.time()
        wait_s = await group.bring(view(a="1"))
        assert loop.time() - started == pytest.approx(5, abs=0.2)
        await asyncio.sleep(wait_s)
        assert bench.is_in("a") == ("failed", "")
        assert "its workers are still the old ones after 5 s" in bench.reason("a")
    assert bench.texts() == {"a": "1"}
    nginx.hup = "load"
    await group.bring(view(a="1"))
    assert (bench.reloads(), bench.is_in("a")) == (4, ("applied", "workers"))


async def test_nginx_refuses_the_reload(bench: Bench, nginx: FakeBeside) -> None:
    """What it would not start from goes, in the whole group; and is tried again, for it may be mended."""
    group = on_nginx(bench, nginx, "a", "b")
    await group.bring(view(a="1", b="1"))
    nginx.hup = "refuse"
    assert await group.bring(view(a="2", b="2")) == 1.0
    assert bench.texts() == {"a": "1", "b": "1"}
    assert bench.is_in("a") == bench.is_in("b") == ("failed", "workers")
    assert bench.reason("a") == f'reload nginx: open() "/cert.pem" failed {BACK}'
    assert bench.left_overs() == []
    nginx.hup = "load"
    await group.bring(view(a="2", b="2"))
    assert nginx.loaded == bench_files(bench) == {"a.conf": "2", "b.conf": "2"}


def bench_files(bench: Bench) -> dict[str, str]:
    return {f"{name}.conf": text for name, text in bench.texts().items()}


async def test_a_first_file_that_nginx_refuses_to_load_goes(bench: Bench, nginx: FakeBeside) -> None:
    nginx.hup = "refuse"
    group = on_nginx(bench, nginx)
    await group.bring(view(a="1"))
    assert bench.texts() == {}
    assert bench.is_in("a") == ("failed", "")
    nginx.hup = "load"
    await group.bring(view(a="1"))
    assert bench.is_in("a") == ("applied", "workers")


async def test_what_was_proved_comes_back_in_a_later_run(bench: Bench, nginx: FakeBeside) -> None:
    """Not what was merely installed in between, by a run that was killed before its reload."""
    await on_nginx(bench, nginx).bring(view(a="proved"))
    nginx.hup = "ignore"
    killed = await later_run(on_nginx(bench, nginx))
    await killed.bring(view(a="2"))
    await killed.bring(view(a="3"))
    nginx.hup = "refuse"
    group = await later_run(on_nginx(bench, nginx))
    await group.bring(view(a="3"))
    assert bench.texts() == {"a": "proved"}
    assert bench.reason("a").endswith(BACK)


async def test_what_nginx_would_not_load_does_not_keep_it_from_starting(
    bench: Bench, nginx: FakeBeside
) -> None:
    """While none runs, nor in a later run; once one does, it is tried again. Others are put in place."""
    group = on_nginx(bench, nginx, "a", "b")
    await group.bring(view(a="1", b="1"))
    nginx.hup = "refuse"
    await group.bring(view(a="2", b="1"))
    nginx.pid = None
    await group.bring(view(a="2", b="2"))
    assert bench.texts() == {"a": "1", "b": "2"}
    assert bench.is_in("a") == ("failed", "workers")
    assert bench.reason("a").startswith("nginx would not load it, and none runs to be asked again")
    later = await later_run(on_nginx(bench, nginx, "a", "b"))
    await later.bring(view(a="2", b="2"))
    assert bench.texts() == {"a": "1", "b": "2"}
    nginx.hup = "load"
    nginx.start()
    await later.bring(view(a="2", b="2"))
    assert bench.is_in("a") == ("applied", "workers")
    assert bench.texts() == {"a": "2", "b": "2"}
    nginx.pid = None
    bench.write(a="by hand")
    await later.bring(view(a="2", b="2"))
    assert bench.texts() == {"a": "2", "b": "2"}, "it was loaded since"


async def test_nginx_ends_while_it_is_to_load_what_it_would_not(bench: Bench, nginx: FakeBeside) -> None:
    """That goes, be it by the next run: nginx is to start again. What it was not asked about stays."""
    group = on_nginx(bench, nginx)
    await group.bring(view(a="1"))
    nginx.hup = "refuse"
    await group.bring(view(a="2"))
    await group.install(view(a="2"))
    assert bench.texts() == {"a": "2"}
    nginx.pid = None
    later = await later_run(on_nginx(bench, nginx))
    reloads = bench.reloads()
    await later.reload()
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, reloads)
    assert bench.is_in("a") == ("failed", "workers")
    await later.install(view(a="3"))
    await later.wait_for_nginx()
    assert bench.texts() == {"a": "3"}


async def test_refused_and_nothing_to_go_back_to(bench: Bench, nginx: FakeBeside) -> None:
    """The file was there before us, and right by its check: it stays."""
    bench.write(a="1")
    nginx.hup = "refuse"
    await on_nginx(bench, nginx).bring(view(a="1"))
    assert bench.texts() == {"a": "1"}
    assert bench.is_in("a") == ("failed", "")
    assert bench.reason("a") == 'reload nginx: open() "/cert.pem" failed'


async def test_refused_and_it_cannot_be_put_back(bench: Bench, nginx: FakeBeside) -> None:
    """It is said, and done with the next refusal."""
    group = on_nginx(bench, nginx)
    await group.bring(view(a="1"))
    nginx.hup = "refuse"
    nginx.refuse = lambda _: ""
    move = command(
        f"echo >>{bench.path}/hup; test ! -e {bench.path}/block || mv {bench.etc} {bench.etc}-away"
    )
    group = await later_run(bench.group(bench.resource("a", check=NGINX_TEST, reload=move), nginx=nginx))
    (bench.path / "block").touch()
    await group.bring(view(a="2"))
    assert "/cert.pem" in bench.reason("a")
    assert "create the folder" in bench.reason("a")
    (bench.path / "etc-away").rename(bench.etc)
    (bench.path / "block").unlink()
    assert bench.texts() == {"a": "2"}
    await group.bring(view(a="2"))
    assert bench.texts() == {"a": "1"}


async def test_a_proof_that_cannot_be_saved(bench: Bench, nginx: FakeBeside) -> None:
    """It counts: nobody reloads again for it. Once there is room, it is saved."""
    group = on_nginx(bench, nginx)
    nginx.refuse = lambda _: ""
    await group.bring(view(a="1"))
    away = command(f"echo >>{bench.path}/hup; cd {bench.state.undo}; for f in *; do rm $f; mkdir $f; done")
    group = await later_run(bench.group(bench.resource("a", check=NGINX_TEST, reload=away), nginx=nginx))
    await group.bring(view(a="2"))
    assert bench.is_in("a") == ("failed", "workers")
    assert "/state/undo/" in bench.reason("a")
    await group.bring(view(a="2"))
    assert bench.states["a"].state == "failed"
    (journal,) = bench.state.undo.iterdir()
    journal.rmdir()
    await group.bring(view(a="2"))
    assert (bench.is_in("a"), bench.reloads()) == (("applied", "workers"), 2)
    assert bench.left_overs() == []


async def test_no_nginx_is_no_failure(bench: Bench, nginx: FakeBeside) -> None:
    """Its start settles it: it has read what is in place by then."""
    nginx.pid = None
    reload = command(f"test -e {bench.path}/up && echo >>{bench.path}/hup")
    group = bench.group(bench.resource("a", check=NGINX_TEST, reload=reload), nginx=nginx)
    assert await group.bring(view(a="1")) == 0.5
    assert bench.is_in("a") == ("installed", "")
    assert bench.reason("a") == "checked and in place; no nginx runs on it, whose start will load it"
    await asyncio.sleep(100)
    assert not await group.is_due()
    nginx.start()
    assert await group.is_due()
    assert await group.bring(view(a="1")) == 5.0
    assert (bench.is_in("a"), nginx.loaded) == (("applied", "workers"), {"a.conf": "1"})
    assert group.commands == 2  # the check, and the reload that found nobody


async def test_nginx_comes_and_nobody_knows_what_it_has_read(bench: Bench, nginx: FakeBeside) -> None:
    """It is reloaded."""
    nginx.pid = None
    reload = command(f"test -e {bench.path}/up && echo >>{bench.path}/hup")
    group = bench.group(bench.resource("a", check=NGINX_TEST, reload=reload), nginx=nginx)
    await group.bring(view(a="1"))
    nginx.pid = 9
    (bench.path / "up").touch()
    assert await group.is_due()
    await group.bring(view(a="1"))
    assert (bench.is_in("a"), bench.reloads()) == (("applied", "workers"), 1)


async def test_nginx_is_started_after_our_end(bench: Bench, nginx: FakeBeside) -> None:
    """The boot script of 2014: once, until there is something to start with; then nginx; then we again."""
    nginx.pid = None
    resource = bench.resource("a", check=NGINX_TEST, reload=command("false"))
    await bench.group(resource, nginx=nginx).bring(view(a="1"))
    nginx.start()
    group = await later_run(bench.group(resource, nginx=nginx))
    await group.bring(view(a="1"))
    assert (bench.is_in("a"), group.commands) == (("applied", "workers"), 0)


async def test_a_command_that_does_well_without_an_nginx_that_we_see(bench: Bench, nginx: FakeBeside) -> None:
    """It may run in a container: that is as much as there is to know."""
    nginx.pid = None
    group = bench.group(
        bench.resource("a", check=NGINX_TEST, reload=bench.reload),
        bench.resource("b", check=NGINX_TEST, reload=command("false")),
        nginx=nginx,
    )
    assert await group.bring(view(a="1", b="1")) == 0.5
    assert (bench.is_in("a"), bench.is_in("b")) == (("applied", "command"), ("installed", ""))


async def test_some_commands_fail_and_nginx_runs(bench: Bench, nginx: FakeBeside) -> None:
    group = bench.group(
        bench.resource("a", check=NGINX_TEST, reload=command("false")),
        bench.resource("b", check=NGINX_TEST, reload=bench.reload),
        nginx=nginx,
    )
    await group.bring(view(a="1", b="1"))
    assert (bench.is_in("a"), bench.is_in("b")) == (("failed", ""), ("applied", "workers"))
    only = bench.group(bench.resource("c", check=NGINX_TEST, reload=command("false")), nginx=nginx)
    await only.bring(view(c="1"))
    assert bench.is_in("c") == ("failed", "")


async def test_a_file_that_was_there_before_us(bench: Bench, nginx: FakeBeside) -> None:
    """Checked, and then loaded once: or nginx was started since, which proves as much."""
    bench.write(a="1")
    group = on_nginx(bench, nginx)
    await group.bring(view(a="1"))
    assert (nginx.checks, bench.reloads()) == ([("a.conf",)], 1)
    assert bench.is_in("a") == ("applied", "workers")
    await group.bring(view(a="1"))
    assert bench.reloads() == 1
    bench.write(b="1")
    nginx.start()
    await on_nginx(bench, nginx, "b").bring(view(b="1"))
    assert (bench.reloads(), bench.is_in("b")) == (1, ("applied", "workers"))


async def test_a_file_that_was_there_before_us_and_has_nothing_to_do_with_nginx(bench: Bench) -> None:
    bench.write(a="1")
    await bench.group(bench.resource("a", reload=bench.reload)).bring(view(a="1"))
    assert (bench.is_in("a"), bench.reloads()) == (("applied", "written"), 0)


async def test_an_edit_is_undone_and_loaded(bench: Bench, nginx: FakeBeside) -> None:
    """Who has edited it may have reloaded it."""
    group = on_nginx(bench, nginx)
    await group.bring(view(a="1"))
    assert not await group.is_due()
    bench.write(a="edited")
    assert await group.is_due()
    await group.bring(view(a="1"))
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, 2)
    (bench.etc / "a.conf").unlink()
    assert await group.is_due()
    await group.bring(view(a="1"))
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, 3)
    assert not await group.is_due()


async def test_mode_is_mended_without_a_reload(bench: Bench, nginx: FakeBeside) -> None:
    resource = bench.resource("a", check=NGINX_TEST, reload=bench.reload, mode=0o640)
    group = bench.group(resource, nginx=nginx)
    await group.bring(view(a="1"))
    (bench.etc / "a.conf").chmod(0o600)
    assert await group.is_due()
    await group.bring(view(a="1"))
    assert (bench.etc / "a.conf").stat().st_mode & 0o777 == 0o640
    assert (bench.reloads(), len(nginx.checks)) == (1, 1)


async def test_another_template_is_brought_by_the_next_look(bench: Bench) -> None:
    group = bench.group(bench.resource("a", reload=bench.reload))
    await group.bring(view(a="1"))
    bench.template("a", "other")
    assert await group.is_due()
    await group.bring(view(a="1"))
    assert (bench.texts(), bench.reloads()) == ({"a": "other"}, 2)


async def test_time_alone_reloads_nothing(bench: Bench) -> None:
    text = '{{ getv("/app/a") }} {{ datetime().timestamp() }}'
    group = bench.group(bench.resource("a", text, reload=bench.reload))
    await group.bring(view(a="1"))
    first = bench.texts()
    await group.bring(view(a="1", b="new"))
    group = await later_run(bench.group(bench.resource("a", text, reload=bench.reload)))
    await group.bring(view(a="1"))
    assert (bench.texts(), bench.reloads()) == (first, 1)
    await group.bring(view(a="2"))
    assert bench.reloads() == 2


async def test_a_journal_that_cannot_be_read(bench: Bench) -> None:
    """It is said, nothing is touched; once it is gone, all goes on."""
    resource = bench.resource("a", check=NGINX_TEST, reload=bench.reload)
    nginx = FakeBeside(bench.etc)
    nginx.hup = "ignore"
    await bench.group(resource, nginx=nginx).bring(view(a="1"))
    (journal,) = bench.state.undo.iterdir()
    journal.write_bytes(b"\xff")
    group = await later_run(bench.group(resource, nginx=nginx))
    for _ in range(2):
        assert await group.bring(view(a="2")) <= 2.0
        assert bench.is_in("a") == ("failed", "")
        assert "look at it, then delete it" in bench.reason("a")
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, 1)
    journal.unlink()
    nginx.hup = "load"
    await group.bring(view(a="2"))
    assert bench.is_in("a") == ("applied", "workers")


async def test_what_a_killed_run_has_begun_is_loaded(bench: Bench) -> None:
    """Renamed and not recorded: equal files are no proof, although nobody checks them."""
    resource = bench.resource("a", reload=bench.reload)
    killed = bench.group(resource)
    with without(bench.path / "state" / "templates"):
        await killed.resume()
        await killed.install(view(a="1"))
    group = await later_run(bench.group(resource))
    await group.bring(view(a="1"))
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, 1)


async def test_a_way_back_is_not_forgotten_while_something_is_wrong(bench: Bench, nginx: FakeBeside) -> None:
    """A killed run has put a file in place; nginx refuses it now, then takes it, and can't load it."""
    await on_nginx(bench, nginx).bring(view(a="1"))
    killed = await later_run(on_nginx(bench, nginx))
    with without(bench.path / "state" / "templates"):
        await killed.install(view(a="2"))
    group = await later_run(on_nginx(bench, nginx))
    nginx.refuse = lambda _: "bad"
    await group.bring(view(a="2"))
    assert (bench.texts(), bench.states["a"].state) == ({"a": "2"}, "refused")
    nginx.refuse = lambda _: ""
    nginx.hup = "refuse"
    await group.bring(view(a="2"))
    assert bench.texts() == {"a": "1"}


async def test_loaded_with_the_site(bench: Bench, nginx: FakeBeside) -> None:
    """The site's reload and its proof count for all that is in place."""
    group = await later_run(on_nginx(bench, nginx))
    empty = group.digest()
    await group.install(view(a="1"))
    assert group.digest() != empty
    await group.settle("nonce")
    assert group.tell() == 5.0
    assert (bench.is_in("a"), bench.reloads()) == (("applied", "nonce"), 0)


async def test_the_site_could_not_be_loaded(bench: Bench, nginx: FakeBeside) -> None:
    """It is tried again with the site, no sooner."""
    group = await later_run(on_nginx(bench, nginx))
    for wait_s in (1, 2, 4, 5):
        await group.install(view(a="1"))
        assert group.tell() == wait_s
        assert bench.is_in("a") == ("failed", "")
        assert "for nginx could not load the site" in bench.reason("a")


async def test_no_nginx_runs_for_the_site(bench: Bench, nginx: FakeBeside) -> None:
    group = await later_run(on_nginx(bench, nginx))
    await group.install(view(a="1"))
    await group.wait_for_nginx()
    assert group.tell() == 0.5
    assert bench.is_in("a") == ("installed", "")


async def test_nginx_refuses_the_site(bench: Bench, nginx: FakeBeside) -> None:
    group = await later_run(on_nginx(bench, nginx))
    await group.install(view(a="1"))
    await group.settle("nonce")
    await group.install(view(a="2"))
    await group.unload("reload nginx: why")
    assert group.tell() == 1.0
    assert bench.texts() == {"a": "1"}
    assert bench.reason("a") == f"reload nginx: why {BACK}"


async def test_our_end_gives_some_seconds(bench: Bench) -> None:
    """To what is under way: a container's end does not wait for longer than ten."""
    group = bench.group(bench.resource("a"))
    group.end_soon()
    await asyncio.sleep(2)
    assert not group._running.ended
    await asyncio.sleep(7)
    assert group._running.ended


async def test_commands_end_with_us(bench: Bench) -> None:
    """With all their children; what is in place stays, and its reload is due."""
    group = bench.group(bench.resource("a", reload=command("sleep 60; true")))
    asyncio.get_running_loop().call_later(0.2, group._running.end)
    await group.bring(view(a="1"))
    assert bench.states["a"].state == "failed"
    assert bench.texts() == {"a": "1"}
    group = await later_run(bench.group(bench.resource("a", reload=bench.reload)))
    await group.bring(view(a="1"))
    assert (bench.is_in("a"), bench.reloads()) == (("applied", "command"), 1)


async def test_a_check_in_place_ends_with_us(bench: Bench) -> None:
    group = bench.group(bench.resource("a", check=command("sleep 60; true")))
    asyncio.get_running_loop().call_later(0.2, group._running.end)
    await group.bring(view(a="1"))
    assert bench.texts() == {}
    assert bench.left_overs() == []


async def test_nobody_waits_for_proof_at_our_end(bench: Bench, nginx: FakeBeside) -> None:
    nginx.hup = "ignore"
    group = on_nginx(bench, nginx)
    asyncio.get_running_loop().call_later(2, group._running.end)
    await group.bring(view(a="1"))
    assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.2)
    assert bench.is_in("a") == ("failed", "")
