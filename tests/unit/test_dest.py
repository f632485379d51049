"""Destination files, on a real file system: one step, mode and owner, links, mounts, what is in the way."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import StateError
from proxyconf.groups.dest import Dest, Form

if TYPE_CHECKING:
    from collections.abc import Iterator

US = (os.geteuid(), os.getegid())


def dest(path: Path, *, mode: int | None = None, uid: int | None = None, gid: int | None = None) -> Dest:
    return Dest(path, mode=mode, uid=uid, gid=gid)


def put(one: Dest, content: bytes) -> Form:
    form = one.wanted(content, one.now())
    one.stage(form)
    one.install(form)
    return form


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_is_ours_and_0644(tmp_path: Path) -> None:
    one = dest(tmp_path / "a.conf")
    assert one.now() is None
    form = put(one, b"text")
    assert form == Form(b"text", 0o644, *US) == one.now()
    assert [path.name for path in tmp_path.iterdir()] == ["a.conf"]


def test_what_is_not_asked_for_stays(tmp_path: Path) -> None:
    """A mode that somebody gave the file."""
    path = tmp_path / "a.conf"
    path.write_bytes(b"old")
    path.chmod(0o600)
    put(dest(path), b"new")
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o600)


def test_the_mode_is_exact_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        put(dest(tmp_path / "a.conf", mode=0o4755), b"")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a.conf") == 0o4755


@pytest.mark.needs("root")
def test_owner_and_group(tmp_path: Path) -> None:
    one = dest(tmp_path / "a.conf", mode=0o640, uid=12, gid=34)
    assert put(one, b"text") == Form(b"text", 0o640, 12, 34) == one.now()


def test_a_stage_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    """In a folder of everybody's, somebody else may have put one there."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs")
    one = dest(tmp_path / "a.conf")
    one.staged.symlink_to(victim)
    put(one, b"text")
    assert victim.read_bytes() == b"theirs"
    assert not (tmp_path / "a.conf").is_symlink()


def test_a_link_stays_and_its_target_changes(tmp_path: Path) -> None:
    (tmp_path / "available").mkdir()
    (tmp_path / "available" / "a").write_bytes(b"old")
    (tmp_path / "enabled").symlink_to("available/a")
    one = dest(tmp_path / "enabled")
    put(one, b"new")
    assert (tmp_path / "enabled").readlink() == Path("available/a")
    assert (tmp_path / "available" / "a").read_bytes() == b"new"
    assert one.staged.parent == tmp_path / "available"


def test_a_link_that_leads_nowhere_yet(tmp_path: Path) -> None:
    (tmp_path / "a.conf").symlink_to("b.conf")
    put(dest(tmp_path / "a.conf"), b"text")
    assert (tmp_path / "b.conf").read_bytes() == b"text"


@pytest.mark.needs("root", "mount", "umount")
def test_a_file_that_is_mounted_is_written_in_place(tmp_path: Path) -> None:
    """As single files are mounted into containers: nothing can be renamed onto it."""
    source, path = tmp_path / "source file", tmp_path / "mounted file"
    source.write_bytes(b"old and long")
    path.touch()
    one = dest(path, mode=0o640)
    assert not one.is_mounted()
    mount(source, path, "--bind")
    try:
        assert one.is_mounted()
        put(one, b"new")
        assert (source.read_bytes(), mode_of(source), one.staged.exists()) == (b"new", 0o640, False)
        form = one.wanted(b"newer", one.now())
        one.stage(form)
        assert one.install(form) == one.stamp()
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.needs("root", "mount", "umount")
def test_a_mounted_file_on_a_full_disk_can_be_put_back(tmp_path: Path) -> None:
    """What it took is not given away before the new content is written."""
    disk, path = tmp_path / "disk", tmp_path / "a.conf"
    disk.mkdir()
    path.touch()
    mount("tmpfs", disk, "-t", "tmpfs", "-o", "size=64k")
    try:
        source = disk / "source"
        source.write_bytes(b"old" * 4096)
        mount(source, path, "--bind")
        one = dest(path)
        before = one.now()
        try:
            form = one.wanted(b"new" * 65536, before)
            one.stage(form)
            with pytest.raises(StateError, match="No space left on device"):
                one.install(form)
            one.put(before)
            assert one.now() == before
        finally:
            subprocess.run(["umount", path], check=True)
    finally:
        subprocess.run(["umount", disk], check=True)


def mount(source: Path | str, path: Path, *options: str) -> None:
    done = subprocess.run(["mount", *options, source, path], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


def test_mode_and_owner_are_mended_without_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    one = dest(path, mode=0o640)
    form = put(one, b"text")
    inode, stamp = path.stat().st_ino, one.stamp()
    path.chmod(0o666)
    assert one.stamp() != stamp
    one.mend(form)
    assert (mode_of(path), path.stat().st_ino) == (0o640, inode)


def test_what_cannot_be_mended(tmp_path: Path) -> None:
    """It was deleted meanwhile."""
    with pytest.raises(StateError, match=r"write .*a\.conf: No such file"):
        dest(tmp_path / "a.conf").mend(Form(b"", 0o644, *US))


def test_what_was_there_comes_back(tmp_path: Path) -> None:
    one = dest(tmp_path / "a.conf")
    first = put(one, b"first")
    put(one, b"second")
    one.put(first)
    assert one.now() == first
    one.put(None)
    assert one.now() is None
    assert one.stamp() == ()
    one.put(None)
    assert one.now() is None


def test_what_cannot_vanish(tmp_path: Path) -> None:
    (tmp_path / "a.conf").mkdir()
    with pytest.raises(StateError, match=r"write .*a\.conf: Is a directory"):
        dest(tmp_path / "a.conf").put(None)


def test_when_it_was_changed(tmp_path: Path) -> None:
    """In seconds since boot; what is not there yet has been read by nobody."""
    one = dest(tmp_path / "a.conf")
    coarse_s = 0.02  # a file's times are those of the kernel's last tick
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= one.changed_at()
    put(one, b"text")
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before - coarse_s <= one.changed_at() <= after + coarse_s
    os.utime(tmp_path / "a.conf", (0, 0))
    assert before - coarse_s <= one.changed_at()


def test_the_stamp_of_what_was_installed(tmp_path: Path) -> None:
    """It is not that of an edit that comes right behind."""
    one = dest(tmp_path / "a.conf")
    form = one.wanted(b"text", None)
    one.stage(form)
    stamp = one.install(form)
    assert stamp == one.stamp() != ()
    (tmp_path / "a.conf").write_bytes(b"edited")
    assert stamp != one.stamp()


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    one = dest(tmp_path / "missing" / "a.conf")
    with pytest.raises(StateError, match=r"write .*a\.conf: No such file.*create the folder .*/missing"):
        one.stage(Form(b"", 0o644, *US))
    assert not (tmp_path / "missing").exists()


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.conf").mkdir()
    with pytest.raises(StateError, match=r"Is a directory.*name a file as dest"):
        dest(tmp_path / "a.conf").now()


def do(one: Dest, form: Form) -> None:
    """Do what a pass does to bring it there."""
    now = one.now()
    if now and now.content == form.content:
        one.mend(form)
    else:
        one.stage(form)
        one.install(form)


@contextmanager
def as_somebody() -> Iterator[Path]:
    """Be the user 65534 for the block, with a folder for everybody."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o777)
        os.seteuid(65534)
        try:
            yield Path(path)
        finally:
            os.seteuid(0)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("place", "content", "ids"),
    [
        pytest.param("theirs/new", b"text", (None, None), id="no right to the folder"),
        pytest.param("missing/new", b"text", (None, None), id="no folder"),
        pytest.param("new", b"text", (0, None), id="no right to give it away"),
        pytest.param("new", b"text", (None, 12345), id="nor to a group that is not ours"),
        pytest.param("root", b"old", (None, None), id="nor to change the owner of what is there"),
        pytest.param("root", b"old", (0, None), id="nor its mode"),
    ],
)
def test_what_is_in_the_way_is_foreseen(
    place: str, content: bytes, ids: tuple[int | None, int | None]
) -> None:
    """In the words of the attempt."""
    with as_somebody() as folder:
        os.seteuid(0)
        (folder / "theirs").mkdir(mode=0o755)
        (folder / "root").write_bytes(b"old")
        os.seteuid(65534)
        one = dest(folder / place, mode=0o640, uid=ids[0], gid=ids[1])
        form = one.wanted(content, one.now())
        with pytest.raises(StateError) as foreseen:
            one.foresee(one.now(), form)
        with pytest.raises(StateError) as caught:
            do(one, form)
    assert str(foreseen.value) == str(caught.value)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("place", "content"),
    [
        pytest.param("new", b"text", id="new"),
        pytest.param("root", b"text", id="another in the place of a file of root's"),
        pytest.param("mine", b"old", id="another mode"),
    ],
)
def test_what_is_not_in_the_way_is_not_foreseen(place: str, content: bytes) -> None:
    with as_somebody() as folder:
        (folder / "mine").write_bytes(b"old")
        (folder / "mine").chmod(0o444)
        os.seteuid(0)
        (folder / "root").write_bytes(b"old")
        os.seteuid(65534)
        one = dest(folder / place, mode=0o640)
        form = one.wanted(content, one.now())
        one.foresee(one.now(), form)
        do(one, form)
        one.foresee(one.now(), form)
        assert one.now() == form


@pytest.mark.needs("root", "mount", "umount")
def test_a_disk_for_reading_only_is_foreseen(tmp_path: Path) -> None:
    """It may be the folder's, or that of a file which is mounted alone."""
    disk, path = tmp_path / "disk", tmp_path / "a.conf"
    disk.mkdir()
    path.touch()
    mount("tmpfs", disk, "-t", "tmpfs", "-o", "size=64k")
    try:
        (disk / "source").write_bytes(b"old")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        mount(disk / "source", path, "--bind")
        try:
            for one in (dest(path, mode=0o640), dest(disk / "source", mode=0o640), dest(disk / "new")):
                for content in (b"old", b"new"):
                    form = one.wanted(content, one.now())
                    with pytest.raises(StateError, match="it is mounted read-only"):
                        one.foresee(one.now(), form)
                    with pytest.raises(StateError, match="it is mounted read-only"):
                        do(one, form)
        finally:
            subprocess.run(["umount", path], check=True)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_unstage_forgives(tmp_path: Path) -> None:
    one = dest(tmp_path / "a.conf")
    one.unstage()
    one.stage(Form(b"", 0o644, *US))
    assert one.staged.exists()
    one.unstage()
    assert not one.staged.exists()


def test_a_pipe_in_its_place(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(tmp_path / "a.conf")
    with pytest.raises(StateError, match=r"write .*a\.conf: it is a pipe"):
        dest(tmp_path / "a.conf").now()
