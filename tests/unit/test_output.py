"""One template on its way: what is to be put in place, what is known of it, also to later runs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import StateError
from proxyconf.groups.output import digest_of
from proxyconf.state import Record
from tests.unit.grouping import NGINX_TEST, Bench, view, without

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.groups.output import Output, Wish
    from proxyconf.groups.rendering import View

TIMED = '{{ getv("/app/a") }} at {{ datetime().timestamp() }}'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def resumed(output: Output, *, begun: bool = False) -> Output:
    await output.resume(begun=begun)
    return output


async def wished(output: Output, seen: View) -> Wish:
    wish = await output.wish(seen)
    assert wish is not None
    return wish


async def put(output: Output, seen: View) -> Wish:
    """Bring it into place and into effect."""
    wish = await wished(output, seen)
    output.dest.stage(wish.form)
    await output.install(wish)
    await output.keep(wish)
    await output.proved("written")
    return wish


async def test_a_first_file(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    wish = await wished(output, view(a="1"))
    assert (wish.form.content, wish.before, wish.is_new, wish.clock) == (b"1", None, True, 0.0)
    assert wish.instead == "there is no file yet"
    await put(output, view(a="1"))
    assert not output.is_pending
    assert await output.wish(view(a="1")) is None
    assert bench.record("a") == output.record


def causes(output: Output) -> list[str]:
    return list(output.state.causes)


async def test_whose_listings_gave_it_its_content(bench: Bench) -> None:
    """Of a new try it is the same, and of an edit nobody."""
    output = await resumed(bench.output(bench.resource("a")))
    etcd, file = frozenset({"etcd"}), frozenset({"file"})
    seen = view(a="1")
    for _ in range(2):
        assert await output.wish(seen, etcd) is not None
        output.note("failed", "full")
        assert causes(output) == ["etcd"]
        assert await output.wish(seen) is not None
    await put(output, seen)
    await output.wish(view(a="1", b="2"), file)
    output.note("applied")
    assert causes(output) == ["etcd"], "it does not show what is new"
    bench.template("a", "edited")
    await output.wish(seen)
    output.note("applied")
    assert causes(output) == []
    bench.template("a", "{{ nonsense")
    await output.wish(view(a="3"), file)
    assert (output.state.state, causes(output)) == ("refused", ["file"])


async def test_installed_is_not_proved(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="1"))
    wish = await wished(output, view(a="2"))
    output.dest.stage(wish.form)
    await output.install(wish)
    await output.keep(wish)
    assert output.is_pending
    later = await resumed(bench.output(bench.resource("a")))
    assert later.is_pending
    await later.proved("command")
    assert (await resumed(bench.output(bench.resource("a")))).is_pending is False
    record = bench.record("a")
    assert record
    assert (record.installed, record.proof) == (digest_of(b"2"), "command")


async def test_what_was_proved_before_does_not_count_for_what_came_between(bench: Bench) -> None:
    """A to B, killed before anybody knew of B, back to A: B may have been loaded."""
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="A"))
    bench.write(a="B")
    wish = await wished(output, view(a="A"))
    output.dest.stage(wish.form)
    await output.install(wish)
    await output.keep(wish)
    assert output.is_pending


async def test_a_file_that_is_as_it_should_be_is_adopted(bench: Bench) -> None:
    """We never wrote it, and nobody wants to check it: it is in effect as far as anybody knows."""
    bench.write(a="1")
    output = await resumed(bench.output(bench.resource("a")))
    assert await output.wish(view(a="1")) is None
    assert not output.is_pending
    assert (await resumed(bench.output(bench.resource("a")))).record == output.record


async def test_what_we_have_begun_is_not_adopted(bench: Bench) -> None:
    """A run that was killed between the rename and the record: nobody has reloaded anything."""
    bench.write(a="1")
    output = await resumed(bench.output(bench.resource("a")), begun=True)
    assert not (await wished(output, view(a="1"))).is_new


async def test_a_file_that_is_to_be_checked_is_not_adopted(bench: Bench) -> None:
    """It may be what confd has left: never accepted by anybody."""
    bench.write(a="1")
    output = await resumed(bench.output(bench.resource("a", check=NGINX_TEST)))
    wish = await wished(output, view(a="1"))
    assert (wish.is_new, wish.instead) == (False, "the same is in place already")
    await output.keep(wish)
    assert output.is_pending


async def test_waits_for_keys_before_the_first_file_only(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a", "text", require=("/app/x", "/app/y"))))
    assert await output.wish(view(x="1")) is None
    assert (output.state.state, output.state.reason) == ("waiting", "for keys below /app/y")
    assert (output.is_troubled, output.is_to_be_tried_again) == (True, False)
    await put(output, view(x="1", y="1"))
    assert await output.wish(view()) is None
    assert not output.is_troubled


async def test_a_template_that_fails(bench: Bench) -> None:
    """It is said with what is in place; nothing is tried again before something has changed."""
    output = await resumed(bench.output(bench.resource("a")))
    assert await output.wish(view()) is None
    assert output.state.state == "refused"
    assert "no such key" in output.state.reason
    assert output.state.reason.endswith("(there is no file yet)")
    assert not output.is_to_be_tried_again
    await put(output, view(a="1"))
    assert await output.wish(view()) is None
    assert output.state.reason.endswith("(its last good file is kept)")
    assert not await output.has_drifted()


async def test_a_destination_that_cannot_be_read(bench: Bench) -> None:
    (bench.etc / "a.conf").mkdir()
    output = await resumed(bench.output(bench.resource("a")))
    assert await output.wish(view(a="1")) is None
    assert (output.state.state, output.is_to_be_tried_again) == ("failed", True)
    assert "name a file as dest" in output.state.reason


async def test_mode_is_mended_without_another_file(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a", mode=0o600)))
    await put(output, view(a="1"))
    path = bench.etc / "a.conf"
    inode = path.stat().st_ino
    path.chmod(0o666)
    assert await output.has_drifted()
    assert await output.wish(view(a="1")) is None
    assert (path.stat().st_mode & 0o777, path.stat().st_ino) == (0o600, inode)
    assert not output.is_pending


async def test_an_edit_is_drift(bench: Bench) -> None:
    """Once it was seen, and refused to be changed for example, it is none any more."""
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="1"))
    assert not await output.has_drifted()
    bench.write(a="edited")
    assert await output.has_drifted()
    assert (await wished(output, view(a="1"))).is_new
    assert not await output.has_drifted()


async def test_an_edit_while_we_look_is_seen_at_the_next_look(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="1"))
    bench.templates.meanwhile = lambda: bench.write(a="edited")
    await output.wish(view(a="2"))
    assert await output.has_drifted()


async def test_a_file_that_was_right_is_not_read_again_before_it_is_touched(bench: Bench) -> None:
    """With many resources that would be most of the work: inode, time, size, mode and owner tell enough."""
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="1"))
    path = bench.etc / "a.conf"
    before = path.stat()
    path.write_bytes(b"2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await output.wish(view(a="1")) is None
    assert (await wished(output, view(a="2"))).form.content == b"2"
    os.utime(path)
    assert (await wished(output, view(a="1"))).is_new


async def test_a_changed_template_is_drift(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="1"))
    bench.template("a", "other")
    assert await output.has_drifted()


async def test_time_alone_is_no_change(bench: Bench) -> None:
    """Neither now nor in a later run; with something else the text shows the new time."""
    output = await resumed(bench.output(bench.resource("a", TIMED)))
    first = await put(output, view(a="1"))
    assert await output.wish(view(a="1")) is None
    output = await resumed(bench.output(bench.resource("a", TIMED)))
    assert await output.wish(view(a="1")) is None
    before = time.time()
    second = await wished(output, view(a="2"))
    assert first.clock < before <= second.clock
    assert second.form.content.startswith(b"2 at ")


async def test_time_alone_makes_no_other_bytes_of_what_was_refused(bench: Bench) -> None:
    """The same wish again and again is the same bytes, until something else has changed."""
    output = await resumed(bench.output(bench.resource("a", TIMED)))
    first = await wished(output, view(a="1"))
    assert (await wished(output, view(a="1"))).form == first.form
    await put(output, view(a="1"))
    refused = await wished(output, view(a="bad"))
    assert (await wished(output, view(a="bad"))).form == refused.form
    assert (await wished(output, view(a="2"))).clock > refused.clock


async def test_an_edit_of_a_file_that_shows_the_time(bench: Bench) -> None:
    """What comes back is what was there."""
    output = await resumed(bench.output(bench.resource("a", TIMED)))
    first = await put(output, view(a="1"))
    bench.write(a="edited")
    assert (await wished(output, view(a="1"))).form == first.form


async def test_a_record_that_cannot_be_saved_counts_and_is_saved_later(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    wish = await wished(output, view(a="1"))
    output.dest.stage(wish.form)
    await output.install(wish)
    with without(bench.path / "state" / "templates"):
        with pytest.raises(StateError, match="write"):
            await output.keep(wish)
        with pytest.raises(StateError, match="write"):
            await output.proved("written")
        assert output.record
        assert output.record.proved == digest_of(b"1")
        assert await output.wish(view(a="1")) is None
        assert (output.state.state, output.is_to_be_tried_again) == ("failed", True)
    assert bench.record("a") is None
    assert await output.wish(view(a="1")) is None
    assert bench.record("a") == output.record


async def test_put_back(bench: Bench) -> None:
    """What is in place again is what was proved."""
    output = await resumed(bench.output(bench.resource("a")))
    await put(output, view(a="1"))
    await put(output, view(a="2"))
    bench.write(a="1")
    await output.put_back()
    record = bench.record("a")
    assert record
    assert record.installed == record.proved == digest_of(b"1")
    (bench.etc / "a.conf").unlink()
    await output.put_back()
    record = bench.record("a")
    assert record
    assert (record.installed, record.proved) == ("", "")


async def test_nothing_is_known_of_what_was_never_kept(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    await output.proved("command")
    await output.put_back()
    assert output.record is None


async def test_when_it_was_put_in_place(bench: Bench) -> None:
    """Our own doing is remembered, whatever the wall clock; else the file's own time tells."""
    output = await resumed(bench.output(bench.resource("a", check=NGINX_TEST)))
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    await put(output, view(a="1"))
    at = output.installed_at
    assert before <= at <= time.clock_gettime(time.CLOCK_BOOTTIME)
    (bench.etc / "a.conf").chmod(0o600)
    assert output.installed_at == at
    bench.write(a="2")
    await output.keep(await wished(output, view(a="2")))
    assert output.installed_at == pytest.approx(output.dest.changed_at(), abs=0.1)
    assert output.installed_at != at


async def test_stage_files(bench: Bench) -> None:
    """Those of a killed run go; unless a person wants to see them."""
    for keeps in (False, True):
        output = bench.output(bench.resource("a"), keeps_stage=keeps)
        output.dest.staged.write_text("half")
        await output.resume(begun=False)
        await output.unstage()
        assert output.dest.staged.exists() == keeps


async def test_what_status_is_told(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a")))
    output.note("failed", "why")
    first = bench.states["a"]
    assert (first.proof, first.applied_at) == ("", None)
    output.note("failed", "why")
    assert bench.states["a"].since == first.since
    output.note("failed", "why else")
    assert bench.states["a"].since > first.since
    await put(output, view(a="1"))
    output.note("applied")
    now = bench.states["a"]
    assert (now.state, now.proof, now.reason) == ("applied", "written", "")
    assert now.applied_at
    wish = await wished(output, view(a="2"))
    output.dest.stage(wish.form)
    await output.install(wish)
    await output.keep(wish)
    output.note("installed", "waits")
    assert bench.states["a"].applied_at == now.applied_at


async def test_a_damaged_record_is_none(bench: Bench) -> None:
    """Nothing is lost by it but a check and a reload."""
    bench.state.save_record(bench.etc / "a.conf", Record(installed="x"))
    (file,) = (bench.path / "state" / "templates").iterdir()
    file.write_bytes(b"{")
    assert (await resumed(bench.output(bench.resource("a")))).record is None


@pytest.mark.needs("root")
async def test_owner_is_mended(bench: Bench) -> None:
    output = await resumed(bench.output(bench.resource("a", uid=12, gid=34)))
    await put(output, view(a="1"))
    os.chown(bench.etc / "a.conf", 0, 0)
    assert await output.wish(view(a="1")) is None
    status = (bench.etc / "a.conf").stat()
    assert (status.st_uid, status.st_gid) == (12, 34)
