"""An nginx that is known by its check command, with programs in its place: what is asked, and where it is."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.command import Running
from proxyconf.errors import CommandError, RefusedError, StateError, UsageError
from proxyconf.nginx.beside import open_beside
from proxyconf.nginx.check_line import parse
from proxyconf.nginx.control import LogMark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.nginx.beside import Beside

PROGRAM = """\
#!/bin/sh
if [ "$*" = -V ]; then
    echo 'nginx version: nginx/{version}'
    echo 'configure arguments: --prefix={folder} --conf-path=etc/nginx.conf --pid-path=pid {more}'
    exit
fi
echo "$@" > {folder}/asked
while [ "$1" != -c ]; do shift; done
conf=$2
{script}
"""
COPY = ".nginx.conf.proxyconf-check"


class Place:
    """A folder with a program and a main file, which includes ``etc/a.conf``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "etc" / "nginx.conf"
        self.conf.parent.mkdir()
        self.conf.write_text("include a.conf;\n")
        self.program()

    def program(self, script: str = "", *, version: str = "1.22.1", more: str = "") -> None:
        """Make what passes for nginx run *script* when it is asked about the file ``$conf``."""
        file = self.folder / "nginx"
        file.write_text(PROGRAM.format(version=version, folder=self.folder, more=more, script=script))
        file.chmod(0o755)

    def asked(self) -> str | None:
        """Return what nginx was asked last, with short names; None if it was not."""
        file = self.folder / "asked"
        return file.read_text().strip().replace(f"{self.folder}/", "") if file.exists() else None

    async def open(self, options: str = "-t") -> Beside:
        line = parse(f"{self.folder / 'nginx'} {options}")
        assert line
        return await open_beside(line)

    def stage(self, name: str) -> dict[Path, Path]:
        staged = self.folder / f"{name}.staged"
        staged.write_text("new;\n")
        return {self.folder / "etc" / name: staged}

    def files(self) -> list[str]:
        return sorted(file.name for file in self.conf.parent.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def process(title: str) -> Iterator[int]:
    """Run a process with this title."""
    with subprocess.Popen([title], executable="/bin/cat", stdin=subprocess.PIPE) as child:
        try:
            while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
                pass  # for an instant after its start a process has no title
            yield child.pid
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("options", "conf"),
    [
        pytest.param("-t", "etc/nginx.conf", id="the program's own"),
        pytest.param("-t -c other.conf", "other.conf", id="relative"),
        pytest.param("-t -c /x/nginx.conf", "/x/nginx.conf", id="absolute"),
        pytest.param("-t -p /srv", "/srv/etc/nginx.conf", id="with a prefix"),
        pytest.param("-t -p /srv -c n.conf", "/srv/n.conf", id="relative to a prefix"),
    ],
)
async def test_the_main_file(place: Place, options: str, conf: str) -> None:
    assert (await place.open(options)).conf == place.folder / conf


async def test_a_relative_prefix(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts where the command runs, as for any program."""
    monkeypatch.chdir(place.folder)
    assert (await place.open("-t -p sub")).conf == place.folder / "sub/etc/nginx.conf"


async def test_a_program_that_is_no_nginx(place: Place) -> None:
    (place.folder / "nginx").write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match="no version"):
        await place.open()
    (place.folder / "nginx").unlink()
    with pytest.raises(CommandError, match="is it installed"):
        await place.open()


@pytest.mark.parametrize(
    ("options", "version", "asked"),
    [
        pytest.param("-t", "1.22.1", f"-t -c etc/{COPY} -e stderr", id="plain"),
        pytest.param("-t", "1.18.0", f"-t -c etc/{COPY}", id="without -e"),
        pytest.param(
            "-T -q -g 'user a;' -e /log", "1.22.1", f"-t -q -g user a; -e /log -c etc/{COPY}", id="options"
        ),
    ],
)
async def test_the_same_is_asked_about_the_shadow(
    place: Place, options: str, version: str, asked: str
) -> None:
    place.program("grep -q a.conf.staged $conf", version=version)
    beside = await place.open(options)
    swaps = place.stage("a.conf")
    assert await beside.check(swaps) == swaps.keys()
    assert place.asked() == asked
    assert place.files() == ["nginx.conf"]


async def test_a_refusal_has_the_real_names(place: Place) -> None:
    swaps = place.stage("a.conf")
    (staged,) = swaps.values()
    place.program(f"echo 'nginx: [emerg] bad in {staged}:1'; echo \"$conf test failed\"; exit 1")
    beside = await place.open()
    with pytest.raises(RefusedError) as caught:
        await beside.check(swaps)
    real = place.conf.with_name("a.conf")
    assert str(caught.value) == f"check {place.conf}: bad in {real}:1"
    assert caught.value.output == f"nginx: [emerg] bad in {real}:1\n{place.conf} test failed\n"
    assert place.files() == ["nginx.conf"]


async def test_of_what_no_include_leads_to_nothing_is_said(place: Place) -> None:
    """nginx is asked about the others only, and not at all when there are none."""
    beside = await place.open()
    script, conf = place.stage("x.js"), place.stage("a.conf")
    assert await beside.check(script) == frozenset()
    assert place.asked() is None
    assert await beside.check(script | conf) == conf.keys()
    assert place.asked() == f"-t -c etc/{COPY} -e stderr"


async def test_without_candidates_the_tree_is_checked_as_it_is(place: Place) -> None:
    assert await (await place.open()).check({}) == frozenset()
    assert place.asked() == "-t -c etc/nginx.conf -e stderr"


async def test_an_answer_that_does_not_come_is_no_refusal(place: Place) -> None:
    place.program("exec sleep 60")
    with pytest.raises(CommandError, match=r"not done after 0\.2 s"):
        await (await place.open()).check(place.stage("a.conf"), timeout_s=0.2)
    assert place.files() == ["nginx.conf"]


async def test_a_check_can_be_cut_short(place: Place) -> None:
    """Our own end does not wait for it."""
    place.program("exec sleep 60")
    beside, running = await place.open(), Running()
    asyncio.get_running_loop().call_later(0.1, running.end)
    with pytest.raises(CommandError, match="nginx was ended by signal 9"):
        await beside.check(place.stage("a.conf"), running=running)
    assert place.files() == ["nginx.conf"]


async def test_two_checks_at_the_same_time(place: Place) -> None:
    """Each is of its own candidate; of two groups, say, or of a person who checks while we do."""
    place.conf.write_text("include a.conf; include b.conf;\n")
    place.program(f"sleep 0.1; grep -o '[ab].conf.staged' $conf >>{place.folder}/checked")
    beside = await place.open()
    one, other = place.stage("a.conf"), place.stage("b.conf")
    first, second = await asyncio.gather(beside.check(one), beside.check(other))
    assert first == one.keys()
    assert second == other.keys()
    assert sorted((place.folder / "checked").read_text().split()) == ["a.conf.staged", "b.conf.staged"]
    assert place.files() == ["nginx.conf"]


async def test_a_folder_that_can_not_be_opened(place: Place) -> None:
    place.conf.unlink()
    beside = await place.open()
    place.conf.parent.rmdir()
    with pytest.raises(StateError, match=r"open .*/etc to check what is in it: No such file"):
        await beside.check(place.stage("nginx.conf"))


async def test_what_can_not_be_copied_is_named(place: Place) -> None:
    (place.conf.parent / COPY).mkdir()
    with pytest.raises(StateError, match=r"copy .*nginx\.conf to check it"):
        await (await place.open()).check(place.stage("a.conf"))


async def test_the_main_file_need_not_be_there_yet(place: Place) -> None:
    """It may be a candidate itself."""
    place.conf.unlink()
    beside = await place.open()
    assert await beside.master() is None
    swaps = place.stage("nginx.conf")
    assert await beside.check(swaps) == swaps.keys()
    with pytest.raises(CommandError, match=r"read .* to check it"):
        await beside.check({})


async def test_the_master_is_where_the_main_file_says(place: Place) -> None:
    """As soon as it says so; a file that is gone for a moment changes nothing."""
    with process("nginx: master process x") as pid:
        beside = await place.open()
        (place.folder / "pid").write_text(str(pid))
        assert await beside.master() == pid
        (place.folder / "pid").rename(place.folder / "other.pid")
        assert await beside.master() is None
        place.conf.write_text("pid other.pid;")
        assert await beside.master() == pid
        place.conf.unlink()
        assert await beside.master() == pid


async def test_directives_of_the_command_count(place: Place) -> None:
    """nginx would refuse to have them in the main file, too."""
    log = place.folder / "my.log"
    place.conf.write_text("pid other.pid; error_log other.log;")
    with process("nginx: master process x") as pid:
        beside = await place.open("-t -g 'pid my.pid; error_log my.log warn;;'")
        (place.folder / "my.pid").write_text(str(pid))
        assert await beside.master() == pid
        log.write_text(f"2026/01/02 03:04:05 [emerg] {pid}#{pid}: bad\n")
        assert await beside.complaints(LogMark()) == ("bad",)


@pytest.mark.parametrize(
    ("more", "text", "log"),
    [
        pytest.param("", "", "logs/error.log", id="nginx's default"),
        pytest.param("--error-log-path=e.log", "", "e.log", id="the program's"),
        pytest.param("", "error_log a.log; error_log b.log;", "a.log", id="the first one"),
        pytest.param("--error-log-path=stderr", "", None, id="stderr"),
        pytest.param("", "error_log stderr;", None, id="stderr by the file"),
        pytest.param("", "error_log off;", None, id="off"),
        pytest.param("", "error_log syslog:server=[::1];", None, id="syslog"),
    ],
)
async def test_the_log(place: Place, more: str, text: str, log: str | None) -> None:
    place.program(more=more)
    place.conf.write_text(text)
    beside = await place.open()
    with process("nginx: master process x") as pid:
        (place.folder / "pid").write_text(str(pid))
        (place.folder / "logs").mkdir()
        for name in ("logs/error.log", "e.log", "a.log", "b.log", "off", "stderr"):
            (place.folder / name).write_text(f"2026/01/02 03:04:05 [emerg] {pid}#{pid}: in {name}\n")
        assert await beside.complaints(LogMark()) == ((f"in {log}",) if log else ())
        mark = await beside.mark()
        assert (mark == LogMark()) is (log is None)
        assert await beside.complaints(mark) == ()


async def test_where_none_runs_nobody_serves(place: Place) -> None:
    beside = await place.open()
    assert await beside.serving() == frozenset()
    assert await beside.is_settled()
    assert not await beside.has_loaded_since(0)


async def test_a_master_without_workers(place: Place) -> None:
    with process("nginx: master process x") as pid:
        (place.folder / "pid").write_text(str(pid))
        beside = await place.open()
        assert await beside.serving() == frozenset()
        assert await beside.is_settled()
        assert not await beside.has_loaded_since(0)
