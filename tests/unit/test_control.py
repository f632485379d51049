"""Control of a local nginx, with programs in its place: checks, pid files, signals, what the log says."""

# ruff: noqa: ASYNC240 - small files, and nobody else waits

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import CommandError, NotRunningError, RefusedError, ReloadError
from proxyconf.nginx.build import Build
from proxyconf.nginx.control import Local, LogMark, first_complaint
from proxyconf.nginx.places import OurPlaces
from proxyconf.nginx.workers import Lingering

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW, OLD = Build(version=(1, 22, 1)), Build(version=(1, 18, 0))
TITLE = "nginx: master process /usr/sbin/nginx"
EMERG = "2026/01/02 03:04:05 [emerg] {}#{}: {}\n"


@contextmanager
def process(title: str = TITLE, user: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with this title, which ends at a HUP."""
    with subprocess.Popen([title, "300"], executable="/bin/sleep", user=user) as child:
        try:
            while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
                pass  # for an instant after its start a process has no title
            yield child
        finally:
            child.kill()


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "nginx.pid"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


@pytest.fixture
def local(pid_file: Path, log: Path) -> Local:
    return Local("nginx", NEW, OurPlaces(pid_file, log))


@pytest.fixture
def master(pid_file: Path) -> Iterator[int]:
    """Run what passes for an nginx master; return its pid."""
    with process() as child:
        pid_file.write_text(f"{child.pid}\n")
        yield child.pid


def program(path: Path, script: str) -> str:
    """Make a program in the place of nginx's."""
    file = path / "program"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("build", "arguments"),
    [
        pytest.param(NEW, "-e stderr -t -c /state/nginx.conf.next", id="new"),
        pytest.param(OLD, "-t -c /state/nginx.conf.next", id="without -e"),
        pytest.param(Build(), "-t -c /state/nginx.conf.next", id="unknown"),
    ],
)
async def test_how_nginx_is_asked(tmp_path: Path, build: Build, arguments: str) -> None:
    local = Local(program(tmp_path, 'echo "$@"'), build, OurPlaces(tmp_path, None))
    assert await local.check(Path("/state/nginx.conf.next")) == f"{arguments}\n"


async def test_a_refusal_has_what_nginx_printed(tmp_path: Path) -> None:
    script = "echo 'nginx: [emerg] unknown directive \"x\" in /a:1' >&2; echo failed; exit 1"
    local = Local(program(tmp_path, script), NEW, OurPlaces(tmp_path, None))
    with pytest.raises(RefusedError) as caught:
        await local.check(Path("/a"))
    assert str(caught.value) == 'check /a: unknown directive "x" in /a:1'
    assert caught.value.output == 'nginx: [emerg] unknown directive "x" in /a:1\nfailed\n'


async def test_an_nginx_that_was_killed_has_refused_nothing(tmp_path: Path) -> None:
    local = Local(program(tmp_path, "kill -9 $$"), NEW, OurPlaces(tmp_path, None))
    with pytest.raises(CommandError, match="nginx was ended by signal 9"):
        await local.check(Path("/a"))


async def test_an_nginx_that_is_not_there_is_no_refusal(tmp_path: Path) -> None:
    local = Local(str(tmp_path / "none"), NEW, OurPlaces(tmp_path, None))
    with pytest.raises(CommandError, match="is it installed"):
        await local.check(Path("/a"))


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        pytest.param("nginx: [emerg] bad thing in /a:1\nnginx: failed", "bad thing in /a:1", id="emerg"),
        pytest.param("nginx: [warn] old\nnginx: [emerg] bad", "bad", id="after a warning"),
        pytest.param("2026/01/02 03:04:05 [emerg] 12#34: bad", "bad", id="in the log's form"),
        pytest.param("nginx: [alert] could not open", "could not open", id="alert"),
        pytest.param("Segmentation fault", "Segmentation fault", id="something else"),
        pytest.param("x" * 400, "x" * 300, id="very much else"),
        pytest.param(" \n", "nginx said nothing", id="nothing"),
    ],
)
def test_first_complaint(output: str, complaint: str) -> None:
    assert first_complaint(output) == complaint


async def test_the_master_is_found_by_its_pid_file(local: Local, master: int) -> None:
    assert await local.master() == master
    assert await local.lingering() == Lingering(0, 0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no file"),
        pytest.param(b"", id="empty"),
        pytest.param(b"12 34", id="no number"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"0", id="0"),
        pytest.param(b"-1", id="negative"),
        pytest.param(b"99999999", id="stale"),
        pytest.param(str(os.getpid()).encode(), id="somebody else's pid"),
    ],
)
async def test_a_stale_or_foreign_pid_file_is_none(
    local: Local, pid_file: Path, content: bytes | None
) -> None:
    if content is not None:
        pid_file.write_bytes(content)
    assert await local.master() is None
    assert await local.lingering() == Lingering()
    with pytest.raises(NotRunningError, match="no master with the pid in"):
        await local.reload()


async def test_a_worker_is_no_master(local: Local, pid_file: Path) -> None:
    with process("nginx: worker process") as child:
        pid_file.write_text(str(child.pid))
        assert await local.master() is None


async def test_a_reload_is_a_hup(local: Local, pid_file: Path) -> None:
    with process() as child:
        pid_file.write_text(f"{child.pid}\n")
        await local.reload()
        assert child.wait(10) == -signal.SIGHUP


async def test_a_master_that_has_just_ended(local: Local, pid_file: Path, log: Path) -> None:
    del local

    class Late(Local):
        async def master(self) -> int | None:
            return ended.pid

    with process() as ended:
        pass
    with pytest.raises(NotRunningError, match=f"pid {ended.pid} has just ended"):
        await Late("nginx", NEW, OurPlaces(pid_file, log)).reload()


@pytest.mark.needs("root")
async def test_a_master_that_we_may_not_signal() -> None:
    """Another user's; we are a third one for a moment."""
    with process(user=65533) as child, tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        folder.chmod(0o755)
        (folder / "pid").write_text(str(child.pid))
        (folder / "pid").chmod(0o644)
        os.seteuid(65534)
        try:
            said = f"may not signal pid {child.pid} of user 65533, as user 65534 .run as root"
            with pytest.raises(ReloadError, match=said):
                await Local("nginx", NEW, OurPlaces(folder / "pid", None)).reload()
        finally:
            os.seteuid(0)
        assert child.poll() is None


async def test_only_what_the_master_says_from_now_on_counts(local: Local, log: Path, master: int) -> None:
    log.write_text(EMERG.format(master, master, "of yesterday"))
    mark = await local.mark()
    assert await local.complaints(mark) == ()
    with log.open("a") as file:
        file.write(EMERG.format(master, master, "still could not bind()"))
        file.write(EMERG.format(master + 1, 0, "of another process"))
        file.write(EMERG.format(master, master, "x").replace("[emerg]", "[warn]"))
        file.write(EMERG.format(master, master, 'unknown directive "y" in /a:1'))
    assert await local.complaints(mark) == ("still could not bind()", 'unknown directive "y" in /a:1')


async def test_a_log_that_did_not_exist_is_read_from_its_start(local: Local, log: Path, master: int) -> None:
    mark = await local.mark()
    assert mark == LogMark()
    assert await local.complaints(mark) == ()
    log.write_text(EMERG.format(master, master, "bad"))
    assert await local.complaints(mark) == ("bad",)


async def test_a_rotated_log_is_read_from_its_start(local: Local, log: Path, master: int) -> None:
    log.write_text("a long old line\n" * 100)
    mark = await local.mark()
    log.rename(log.with_suffix(".1"))
    log.write_text(EMERG.format(master, master, "bad") + "a long new line\n" * 200)
    assert await local.complaints(mark) == ("bad",)


async def test_a_truncated_log_is_read_from_its_start(local: Local, log: Path, master: int) -> None:
    log.write_text("a long old line\n" * 100)
    mark = await local.mark()
    log.write_text(EMERG.format(master, master, "bad"))
    assert await local.complaints(mark) == ("bad",)


async def test_of_a_flood_the_end_is_read(local: Local, log: Path, master: int) -> None:
    mark = await local.mark()
    flood = EMERG.format(master, master, "early") + "2026/01/02 03:04:05 [warn] 1#1: noise\n" * 10_000
    log.write_text(flood + EMERG.format(master, master, "late"))
    assert await local.complaints(mark) == ("late",)


async def test_bytes_that_are_no_text_are_no_trouble(local: Local, log: Path, master: int) -> None:
    log.write_bytes(EMERG.format(master, master, "bad ").encode().replace(b"bad ", b"bad \xff"))
    assert await local.complaints(LogMark()) == ("bad \N{REPLACEMENT CHARACTER}",)


async def test_without_a_master_nobody_complains(local: Local, log: Path) -> None:
    log.write_text(EMERG.format(1, 1, "bad"))
    assert await local.complaints(LogMark()) == ()


@pytest.mark.usefixtures("master")
async def test_without_a_log_nobody_complains(pid_file: Path, tmp_path: Path) -> None:
    local = Local("nginx", NEW, OurPlaces(pid_file, None))
    assert (await local.mark(), await local.complaints(LogMark())) == (LogMark(), ())
    folder = Local("nginx", NEW, OurPlaces(pid_file, tmp_path))
    assert await folder.complaints(LogMark()) == ()
