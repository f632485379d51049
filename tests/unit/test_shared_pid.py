"""An nginx whose processes we see, with other programs under its title: chosen, signalled, looked into."""

# ruff: noqa: ASYNC220, ASYNC222, ASYNC240 - small files and programs, and nobody else waits

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf import config
from proxyconf.doctor.examination import examine
from proxyconf.errors import CommandError, NotRunningError, RefusedError, ReloadError, UsageError
from proxyconf.house import House
from proxyconf.model import Snapshot
from proxyconf.nginx.build import Build
from proxyconf.nginx.own_program import OwnProgram
from proxyconf.nginx.reach import reach_nginx
from proxyconf.nginx.shared_pid import Master, SharedPid, choose, masters
from proxyconf.nginx.workers import Lingering, started_at
from proxyconf.sources import kinds
from proxyconf.state import State
from proxyconf.units import ListenAddress
from tests.unit.nginx_engine import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.config import Settings

MAIN = Path("/state/nginx.conf")
OURS = f"nginx: master process nginx -c {MAIN} -g daemon off;"
EMERG = "2026/01/02 03:04:05 [emerg] 1#1: {}\n"


@contextmanager
def process(title: str, program: str = "/bin/cat", user: int | None = None) -> Iterator[int]:
    """Run *program*, which waits for its input, under this title."""
    with subprocess.Popen([title], executable=program, stdin=subprocess.PIPE, user=user) as child:
        try:
            while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
                pass  # for an instant after its start a process has no title
            yield child.pid
        finally:
            child.kill()


@contextmanager
def master(main: Path, program: str = "/bin/cat", user: int | None = None) -> Iterator[int]:
    """Run what passes for a master that runs on *main*."""
    with process(f"nginx: master process nginx -c {main}", program, user) as pid:
        yield pid


def control(path: Path, *, listen: str = ":80", version: tuple[int, ...] = (1, 27, 4)) -> SharedPid:
    return SharedPid(
        path / "nginx.conf",
        ListenAddress(listen),
        path / "error.log",
        OwnProgram(own_nginx(path)),
        Build(version=version),
    )


def own_nginx(folder: Path, script: str = "exit 0") -> str:
    """Make a program in the place of our own nginx; ``$5`` is the file that it is to check."""
    file = folder / "own-nginx"
    text = VERSION.replace("\n", "\\n")
    file.write_text(f'#!/bin/sh\n[ "$1" = -V ] && printf "{text}" && exit 0\n{script}\n')
    file.chmod(0o755)
    return str(file)


def whys(control: SharedPid) -> list[str]:
    return [problem.why for problem in control.problems]


# --- which is it ---


@pytest.mark.parametrize(
    "title",
    [
        pytest.param(OURS, id="and more"),
        pytest.param(f"nginx: master process /usr/sbin/nginx -c {MAIN}", id="at the end"),
        pytest.param(f"nginx: master process nginx -g daemon off; -c{MAIN}", id="attached"),
    ],
)
def test_the_one_on_our_file(title: str) -> None:
    other = "nginx: master process nginx -c /state/nginx.conf.old"
    assert choose({7: other, 8: title}, MAIN, alone=True) == (8, "")


@pytest.mark.parametrize(
    ("titles", "alone", "why"),
    [
        pytest.param({}, False, "", id="none is there yet"),
        pytest.param({}, True, "our PID namespace is of our own", id="not shared"),
        pytest.param(
            {9: "nginx: master process nginx", 7: "nginx: master process nginx -g daemon off;"},
            True,
            "pid 7 runs 'nginx -g daemon off;', and no master runs on /state/nginx.conf (start it with -c",
            id="on another file",
        ),
        pytest.param({8: OURS, 7: OURS}, False, "2 masters run on /state/nginx.conf: pids 7, 8", id="two"),
    ],
)
def test_none(titles: dict[int, str], why: str, *, alone: bool) -> None:
    pid, said = choose(titles, MAIN, alone=alone)
    assert pid is None
    assert why in said
    assert bool(why) == bool(said)


def test_a_master_is_told_by_its_title(tmp_path: Path) -> None:
    """What it has just forked has the same."""
    forking = "import os, sys; print(os.fork(), flush=True); sys.stdin.read()"
    title = [f"nginx: master process nginx -c {tmp_path}", "-c", forking]
    with (
        subprocess.Popen(
            title, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent,
        process("nginx: worker process") as worker,
    ):
        assert parent.stdout
        child = next(int(line) for line in parent.stdout if line.strip() != "0")
        found = masters()
        assert found[parent.pid].startswith(f"nginx: master process nginx -c {tmp_path}")
        assert not found.keys() & {child, worker}
        parent.communicate()


async def test_it_is_known_as_long_as_it_runs(tmp_path: Path) -> None:
    nginx = control(tmp_path)
    assert await nginx.master() is None
    assert await nginx.lingering() == Lingering()
    with pytest.raises(NotRunningError, match=f"no master that was started with -c {tmp_path}/nginx.conf"):
        await nginx.reload()
    with master(tmp_path / "nginx.conf") as pid:
        await nginx.meet()
        assert await nginx.master() == Master(pid, started_at(pid) or 0)
        assert await nginx.lingering() == Lingering()
        assert whys(nginx) == []
    assert await nginx.master() is None
    with master(tmp_path / "nginx.conf") as later:
        assert await nginx.master() == Master(later, started_at(later) or 0)


async def test_who_has_ended_is_not_taken_for_it(tmp_path: Path) -> None:
    """Even before anybody has collected it."""
    nginx = control(tmp_path)
    with master(tmp_path / "nginx.conf") as pid:
        assert await nginx.master()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert started_at(pid)
        assert await nginx.master() is None


async def test_of_two_neither_is_signalled(tmp_path: Path) -> None:
    nginx = control(tmp_path)
    with master(tmp_path / "nginx.conf"), master(tmp_path / "nginx.conf"):
        with pytest.raises(NotRunningError):
            await nginx.reload()
        assert "2 masters run on" in whys(nginx)[0]
    await nginx.master()
    assert not any("2 masters" in why for why in whys(nginx))


# --- signals, the log, checks ---


async def test_a_reload_is_a_hup(tmp_path: Path) -> None:
    nginx = control(tmp_path)
    with master(tmp_path / "nginx.conf") as pid:
        await nginx.reload()
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == signal.SIGHUP  # type: ignore[union-attr]


@pytest.mark.needs("root")
async def test_a_master_that_we_may_not_signal(tmp_path: Path) -> None:
    """Another user's; we are a third one for a moment."""
    nginx = control(tmp_path)
    with master(tmp_path / "nginx.conf", user=65533) as pid:
        await nginx.meet()
        assert not nginx.root
        os.seteuid(65534)
        try:
            with pytest.raises(ReloadError, match=f"signal pid {pid} of user 65533, as user 65534 .run as"):
                await nginx.reload()
        finally:
            os.seteuid(0)


async def test_what_its_master_says(tmp_path: Path) -> None:
    """Whatever number it has where it runs."""
    nginx = control(tmp_path)
    log = tmp_path / "error.log"
    log.write_text(EMERG.format("of yesterday"))
    mark = await nginx.mark()
    with log.open("a") as file:
        file.write(EMERG.format("still could not bind()"))
    assert await nginx.complaints(mark) == ("still could not bind()",)


async def test_our_own_nginx_checks(tmp_path: Path) -> None:
    nginx = control(tmp_path)
    main = tmp_path / "nginx.conf.next"
    main.write_text("user www;\n")
    assert await nginx.check(main) == ""
    own_nginx(tmp_path, 'echo "nginx: [emerg] bad in $5:1" >&2; exit 1')
    with pytest.raises(RefusedError, match=f"bad in {main}:1"):
        await nginx.check(main)


# --- what is amiss ---


@pytest.mark.parametrize(
    ("inside", "own", "other"),
    [
        pytest.param("nginx/1.27.4", (1, 27, 4), False, id="the same"),
        pytest.param("nginx/1.22.1", (1, 27, 4), True, id="older"),
        pytest.param("openresty/1.27.4.1", (1, 27, 4), True, id="a kin"),
        pytest.param("nginx/1.22.1", (), False, id="ours is not known"),
        pytest.param("", (1, 27, 4), False, id="nothing in it"),
    ],
)
async def test_the_version_that_checks_is_the_one_that_serves(
    tmp_path: Path, inside: str, own: tuple[int, ...], *, other: bool
) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/cat").read_bytes() + f"nginx version: {inside}\n".encode())
    program.chmod(0o755)
    nginx = control(tmp_path, version=own)
    with master(tmp_path / "nginx.conf", str(program)):
        await nginx.meet()
    named = inside.replace("/", " ")
    said = f"our own nginx 1.27.4 checks for a {named}, which may take other directives"
    assert whys(nginx) == [f"{said} (run both from one image)"] * other


@pytest.mark.needs("root", "unshare")
@pytest.mark.parametrize(("listen", "far"), [(":80", True), ("[::1]:80", True), ("192.0.2.1:80", False)])
async def test_a_network_that_is_not_ours(tmp_path: Path, listen: str, *, far: bool) -> None:
    """Its loopback is out of reach; another address may lead there."""
    nginx = control(tmp_path, listen=listen)
    title = f"nginx: master process nginx -c {tmp_path}/nginx.conf"
    command = ["unshare", "--net", "bash", "-c", f'exec -a "{title}" cat']
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(b"nginx"):
            pass
        await nginx.meet()
        child.communicate()
    assert [why.partition(",")[0] for why in whys(nginx)] == ["nginx's network is not ours"] * far


@pytest.mark.needs("root")
async def test_what_may_not_be_looked_into_is_not_complained_of(tmp_path: Path) -> None:
    nginx = control(tmp_path)
    with master(tmp_path / "nginx.conf") as pid:
        os.seteuid(65534)
        try:
            assert (await nginx.master()) == Master(pid, started_at(pid) or 0)
        finally:
            os.seteuid(0)
    assert whys(nginx) == []


# --- by settings ---


def settings(path: Path, **nginx: object) -> Settings:
    flags = {
        "nginx": {"via": "pid", "binary": own_nginx(path)} | nginx,
        "state": {"dir": str(path / "state")},
    }
    return config.load(None, kinds=kinds(), flags=flags)


async def test_it_is_written_for_who_it_runs_as(tmp_path: Path) -> None:
    """What our own nginx supports, and its master's user as soon as there is one."""
    here = await reach_nginx(settings(tmp_path), tmp_path, "0" * 32)
    assert here.start == f"nginx -c {tmp_path}/nginx.conf, in its container; start or create that"
    limits = "worker_rlimit_nofile" in here.renderer().render(Snapshot()).root("n").decode()
    assert limits == (os.geteuid() == 0)
    with master(tmp_path / "nginx.conf", user=65533 if os.geteuid() == 0 else None):
        await here.control.meet()
    text = here.renderer().render(Snapshot()).root("n").decode()
    assert "keepalive_min_timeout" in text
    assert "worker_rlimit_nofile" not in text


async def test_there_has_to_be_one_that_checks(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r'via = "pid": no no-such-nginx here, .* Dockerfile.all-in-one'):
        await reach_nginx(settings(tmp_path, binary="no-such-nginx"), tmp_path, "0" * 32)


async def test_the_house_has_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    house = await House.build(settings(tmp_path), State(tmp_path / "state"))
    assert house.board.nginx.version == "1.27.4"
    assert await house.master() is None


def test_somebody_elses_main_file_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"via: 'pid' is for mode = \"own\""):
        settings(tmp_path, mode="include")


async def test_the_doctor_looks_at_it(tmp_path: Path) -> None:
    wanted = settings(tmp_path, listen={"http": ["127.0.0.1:1"]})
    (tmp_path / "state" / "nginx").mkdir(parents=True)
    main = tmp_path / "state" / "nginx" / "nginx.conf"
    with master(main) as pid, process(f"nginx: master process nginx -c {main}.old"):
        found = [f"{one.level}: {one}" for one in await examine(wanted) if one.what == "nginx"]
        assert found[1:] == [f"ok: its master, pid {pid}, runs, and may be told to reload"]
        with master(main):
            found = [f"{one.level}: {one}" for one in await examine(wanted) if one.what == "nginx"]
    assert (
        found[1]
        == f"warning: none runs on {main} (start it: nginx -c {main}, in its container; start or create that)"
    )
    assert found[2].startswith(f"warning: shared PID namespace: 2 masters run on {main}: pids ")
