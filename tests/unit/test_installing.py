"""How files get into their places: after their check, or back again; and what stays on the disk meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import CommandError, NoCopyError, StateError
from proxyconf.groups.undo import recover
from tests.unit.grouping import NGINX_TEST, Bench, FakeBeside, command, view, without

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.looptime  # commands are real, and nothing else waits meanwhile

STAGED = command("! grep bad {{.src}}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def nginx(bench: Bench) -> FakeBeside:
    nginx = FakeBeside(bench.etc)
    nginx.refuse = lambda tree: "bad" if any("bad" in text for text in tree.values()) else ""
    return nginx


def in_place(bench: Bench, name: str = "a") -> str:
    """Return a check of the file in its place; it leaves a line in ``checks`` each time."""
    return f"echo >>{bench.path}/checks; ! grep bad {bench.etc}/{name}.conf"


def checks(bench: Bench) -> int:
    file = bench.path / "checks"
    return file.read_text().count("\n") if file.exists() else 0


async def test_in_context(bench: Bench, nginx: FakeBeside) -> None:
    """What is refused is never in place, and its last good file is; the others go on."""
    group = bench.group(
        *(bench.resource(name, check=NGINX_TEST, reload=bench.reload) for name in "ab"), nginx=nginx
    )
    await group.bring(view(a="1", b="1"))
    assert nginx.loaded == {"a.conf": "1", "b.conf": "1"}
    wait_s = await group.bring(view(a="bad", b="2"))
    assert bench.texts() == {"a": "1", "b": "2"}
    assert bench.is_in("a") == ("refused", "workers")
    assert bench.reason("a") == "check /etc/nginx.conf: bad (its last good file is kept)"
    assert bench.is_in("b") == ("applied", "workers")
    assert wait_s == 1.0  # the reason may lie in another file
    assert bench.left_overs() == []
    await group.bring(view(a="2", b="2"))
    assert bench.texts() == {"a": "2", "b": "2"}
    assert bench.is_in("a") == ("applied", "workers")


async def test_refused_with_no_file_yet(bench: Bench, nginx: FakeBeside) -> None:
    group = bench.group(bench.resource("a", check=NGINX_TEST, reload=bench.reload), nginx=nginx)
    await group.bring(view(a="bad"))
    assert bench.texts() == {}
    assert bench.reason("a").endswith("(there is no file yet)")
    assert bench.reloads() == 0


async def test_equal_and_refused(bench: Bench, nginx: FakeBeside) -> None:
    """What confd has left: on the disk, and never accepted by nginx."""
    bench.write(a="bad")
    group = bench.group(bench.resource("a", check=NGINX_TEST, reload=bench.reload), nginx=nginx)
    await group.bring(view(a="bad"))
    assert bench.is_in("a") == ("refused", "")
    assert bench.reason("a").endswith("bad (the same is in place already)")
    assert (bench.record("a"), bench.reloads()) == (None, 0)
    await group.bring(view(a="good"))
    assert bench.texts() == {"a": "good"}
    assert bench.is_in("a") == ("applied", "workers")


async def test_one_that_needs_another(bench: Bench, nginx: FakeBeside) -> None:
    """They come together, so both are right; and a crash between the two leaves neither."""
    nginx.refuse = lambda tree: "no b" if "b" in tree.get("a.conf", "") and "b.conf" not in tree else ""
    group = bench.group(
        *(bench.resource(name, check=NGINX_TEST, reload=bench.reload) for name in "ab"), nginx=nginx
    )
    await group.bring(view(a="uses b", b="1"))
    assert bench.texts() == {"a": "uses b", "b": "1"}
    assert nginx.checks == [("a.conf", "b.conf")]


async def test_nginx_could_not_be_asked(bench: Bench, nginx: FakeBeside) -> None:
    """Nothing changes, and it is tried again."""
    group = bench.group(bench.resource("a", check=NGINX_TEST, reload=bench.reload), nginx=nginx)
    await group.bring(view(a="1"))
    for error in (CommandError("run nginx: too slow"), StateError("copy: no room")):
        nginx.error = error
        assert await group.bring(view(a="2")) <= 2.0
        assert (bench.is_in("a"), bench.reason("a")) == (("failed", "workers"), str(error))
        assert bench.texts() == {"a": "1"}
        assert bench.left_overs() == []
    nginx.error = None
    await group.bring(view(a="2"))
    assert bench.texts() == {"a": "2"}


async def test_what_nginx_does_not_reach_is_checked_in_place(bench: Bench, nginx: FakeBeside) -> None:
    """By the command as it is written, under the journal; beside others that nginx reaches."""
    nginx.reaches = lambda path: path.stem != "a"
    check = command(in_place(bench))
    group = bench.group(
        *(bench.resource(name, check=check, reload=bench.reload) for name in "ab"), nginx=nginx
    )
    await group.bring(view(a="1", b="1"))
    assert (bench.texts(), checks(bench)) == ({"a": "1", "b": "1"}, 1)
    nginx.refuse = lambda _: ""
    await group.bring(view(a="bad", b="2"))
    assert (bench.texts(), checks(bench)) == ({"a": "1", "b": "2"}, 2)
    assert "exit code 1" in bench.reason("a")


async def test_where_nothing_can_be_copied_it_is_checked_in_place(bench: Bench, nginx: FakeBeside) -> None:
    """As in a container whose nginx.conf is read-only."""
    nginx.error = NoCopyError("copy /etc/nginx/nginx.conf: read-only")
    check = command(in_place(bench))
    group = bench.group(bench.resource("a", check=check, reload=bench.reload), nginx=nginx)
    await group.bring(view(a="1"))
    await group.bring(view(a="bad"))
    assert (bench.texts(), checks(bench)) == ({"a": "1"}, 2)
    assert "exit code 1" in bench.reason("a")


async def test_by_the_staged_file(bench: Bench) -> None:
    """It has the name that ``{{.src}}`` says, mode and all; dest is not touched by what is refused."""
    group = bench.group(bench.resource("a", check=STAGED, mode=0o600))
    await group.bring(view(a="1"))
    assert (bench.etc / "a.conf").stat().st_mode & 0o777 == 0o600
    before = (bench.etc / "a.conf").stat()
    wait_s = await group.bring(view(a="bad"))
    assert (bench.etc / "a.conf").stat() == before
    assert bench.is_in("a") == ("refused", "written")
    assert "run ! grep bad" in bench.reason("a")
    assert bench.reason("a").endswith("exit code 1: bad (its last good file is kept)")
    assert wait_s == 1.0
    assert bench.left_overs() == []


async def test_in_place(bench: Bench) -> None:
    group = bench.group(bench.resource("a", check=command(in_place(bench))))
    await group.bring(view(a="1"))
    assert bench.texts() == {"a": "1"}
    await group.bring(view(a="bad"))
    assert bench.texts() == {"a": "1"}
    assert bench.is_in("a") == ("refused", "written")
    assert bench.left_overs() == []
    await group.bring(view(a="2"))
    assert bench.texts() == {"a": "2"}
    assert bench.is_in("a") == ("applied", "written")


async def test_refused_in_place_with_no_file_before(bench: Bench) -> None:
    group = bench.group(bench.resource("a", check=command(in_place(bench))))
    await group.bring(view(a="bad"))
    assert bench.texts() == {}
    assert bench.reason("a").endswith("(there is no file yet)")


async def test_the_same_bytes_are_not_tried_in_place_again(bench: Bench) -> None:
    """For five minutes: whoever reads the file would see them each time. Others are tried at once."""
    group = bench.group(bench.resource("a", check=command(in_place(bench))))
    await group.bring(view(a="1"))
    wait_s = await group.bring(view(a="bad"))
    reason = bench.reason("a")
    assert (checks(bench), wait_s) == (2, 5.0)
    await asyncio.sleep(100)
    await group.bring(view(a="bad"))
    assert (checks(bench), bench.is_in("a"), bench.reason("a")) == (2, ("refused", "written"), reason)
    await group.bring(view(a="bad, too"))
    assert checks(bench) == 3
    await group.bring(view(a="bad, too"))  # what was put back looks like an edit, once
    await asyncio.sleep(299)
    assert not await group.is_due()
    await asyncio.sleep(1)
    assert await group.is_due()
    await group.bring(view(a="bad, too"))
    assert checks(bench) == 4
    await group.bring(view(a="2"))
    assert bench.texts() == {"a": "2"}


async def test_what_was_refused_in_place_is_forgotten_when_it_is_wanted_no_more(bench: Bench) -> None:
    """And does not keep us busy when its time has come."""
    group = bench.group(bench.resource("a", check=command(in_place(bench))))
    await group.bring(view(a="1"))
    await group.bring(view(a="bad"))
    await group.bring(view(a="1"))
    await asyncio.sleep(400)
    await group.bring(view(a="1"))
    assert await group.bring(view(a="1")) == 5.0
    assert not await group.is_due()
    assert checks(bench) == 2


async def test_a_clock_in_the_text_does_not_make_other_bytes(bench: Bench) -> None:
    text = '{{ getv("/app/a") }} {{ datetime().timestamp() }}'
    group = bench.group(bench.resource("a", text, check=command(in_place(bench))))
    await group.bring(view(a="1"))
    for _ in range(3):
        await group.bring(view(a="bad"))
    assert checks(bench) == 2


async def test_a_check_that_hangs(bench: Bench) -> None:
    """In place: it counts as refused, the predecessor is back."""
    group = bench.group(bench.resource("a", check=command("sleep 60", 0.1)))
    await group.bring(view(a="1"))
    assert bench.texts() == {}
    assert bench.is_in("a") == ("refused", "")
    assert "not done after 0.1 s" in bench.reason("a")


async def test_equal_and_checked_in_place(bench: Bench) -> None:
    """It was there before us: it stays, whatever the check says."""
    bench.write(a="bad", b="good")
    group = bench.group(*(bench.resource(name, check=command(in_place(bench, name))) for name in "ab"))
    await group.bring(view(a="bad", b="good"))
    assert bench.texts() == {"a": "bad", "b": "good"}
    assert (bench.states["a"].state, bench.states["b"].state) == ("refused", "applied")
    assert bench.left_overs() == []


async def test_sync_only(bench: Bench, nginx: FakeBeside) -> None:
    """Neither check nor reload; it is in effect as it is written."""
    one = bench.resource("a", check=NGINX_TEST, reload=bench.reload)
    other = bench.resource("b", check=command("false"))
    group = bench.group(one, other, nginx=nginx, sync_only=True)
    await group.bring(view(a="bad", b="1"))
    assert bench.texts() == {"a": "bad", "b": "1"}
    assert (nginx.checks, bench.reloads()) == ([], 0)
    assert bench.is_in("a") == bench.is_in("b") == ("applied", "written")
    assert bench.left_overs() == []


async def test_several_files_are_all_in_place_or_none(bench: Bench, nginx: FakeBeside) -> None:
    """The second can't be renamed: the first goes back. Then both come."""
    group = bench.group(
        *(bench.resource(name, check=NGINX_TEST, reload=bench.reload) for name in "ab"), nginx=nginx
    )
    await group.bring(view(a="1", b="1"))

    def in_the_way(_: Mapping[str, str]) -> str:
        """While nginx is asked somebody makes a folder of it."""
        (bench.etc / "b.conf").unlink()
        (bench.etc / "b.conf").mkdir()
        return ""

    nginx.refuse = in_the_way
    await group.bring(view(a="2", b="2"))
    assert (bench.etc / "a.conf").read_text() == "1"
    assert bench.states["a"].state == bench.states["b"].state == "failed"
    assert "b.conf" in bench.reason("a")
    (bench.etc / "b.conf").rmdir()
    nginx.refuse = lambda _: ""
    await group.bring(view(a="2", b="2"))
    assert bench.texts() == {"a": "2", "b": "2"}
    assert bench.left_overs() == []
    assert bench.is_in("a") == bench.is_in("b") == ("applied", "workers")


async def test_a_folder_that_is_not_there(bench: Bench) -> None:
    """It is said with the mend, keeps no other of the group from its place, and is tried again."""
    group = bench.group(bench.resource("a"), bench.resource("b"))
    with without(bench.etc):
        assert await group.bring(view(a="1", b="1")) == 1.0
        assert bench.is_in("a") == ("failed", "")
        assert bench.reason("a") == "write /etc/a.conf: No such file or directory (create the folder /etc)"
    await asyncio.sleep(1)
    assert await group.is_due()
    await group.bring(view(a="1", b="1"))
    assert bench.texts() == {"a": "1", "b": "1"}


async def test_a_journal_that_cannot_be_written(bench: Bench) -> None:
    """Without it nothing is put in place: there would be no way back."""
    group = bench.group(bench.resource("a", reload=bench.reload), bench.resource("b", check=command("true")))
    await group.bring(view(a="1", b="1"))
    with without(bench.state.undo):
        await group.bring(view(a="2", b="2"))
        assert bench.texts() == {"a": "1", "b": "1"}
        assert bench.states["a"].state == bench.states["b"].state == "failed"
        assert "write /state/undo/" in bench.reason("a")
    await group.bring(view(a="2", b="2"))
    assert bench.texts() == {"a": "2", "b": "2"}
    assert bench.is_in("a") == ("applied", "command")
    assert bench.left_overs() == []


async def test_a_record_that_cannot_be_saved(bench: Bench) -> None:
    """What is known counts, so that the reload is not put off; and it is said until it is saved."""
    group = bench.group(bench.resource("a", reload=bench.reload))
    with without(bench.path / "state" / "templates"):
        for _ in range(3):
            await group.bring(view(a="1"))
            assert bench.states["a"].state == "failed"
            assert "write /state/templates/" in bench.reason("a")
    assert (bench.texts(), bench.reloads()) == ({"a": "1"}, 1)
    await group.bring(view(a="1"))
    assert bench.is_in("a") == ("applied", "command")
    later = bench.group(bench.resource("a", reload=bench.reload))
    await later.resume()
    await later.bring(view(a="1"))
    assert bench.reloads() == 1


async def test_what_cannot_be_put_back_is_put_back_before_anything_else(bench: Bench) -> None:
    """The check has made the folder vanish: nothing is forgotten, nothing reloaded until it is there."""
    check = f"! grep bad {bench.etc}/a.conf || {{ mv {bench.etc} {bench.etc}-away; false; }}"
    group = bench.group(bench.resource("a", check=command(check), reload=bench.reload))
    await group.bring(view(a="1"))
    await group.bring(view(a="bad"))
    assert bench.is_in("a") == ("failed", "command")
    await group.bring(view(a="3"))
    assert bench.is_in("a") == ("failed", "command")
    (bench.path / "etc-away").rename(bench.etc)
    assert bench.texts() == {"a": "bad"}
    with without(bench.state.undo):
        await group.bring(view(a="2"))
    assert bench.texts() == {"a": "1"}
    assert bench.reloads() == 1
    await group.bring(view(a="2"))
    assert bench.texts() == {"a": "2"}
    assert bench.is_in("a") == ("applied", "command")
    assert recover(bench.state.undo) == ()


async def test_a_staged_file_is_kept_where_a_person_wants_it(bench: Bench) -> None:
    group = bench.group(bench.resource("a", check=STAGED), keeps_stage=True)
    await group.bring(view(a="bad"))
    assert bench.left_overs() == [".a.conf.proxyconf-stage"]


async def test_mode_in_the_same_pass(bench: Bench, nginx: FakeBeside) -> None:
    """A file that was there, is right, and has another mode: checked, mended, loaded."""
    bench.write(a="1")
    (bench.etc / "a.conf").chmod(0o666)
    group = bench.group(bench.resource("a", check=NGINX_TEST, reload=bench.reload, mode=0o640), nginx=nginx)
    await group.bring(view(a="1"))
    assert (bench.etc / "a.conf").stat().st_mode & 0o777 == 0o640
    assert bench.is_in("a") == ("applied", "workers")
