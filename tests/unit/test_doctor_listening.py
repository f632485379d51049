"""Who holds nginx's ports, and whether it may open enough files."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxyconf.doctor import limits
from proxyconf.doctor.limits import open_files
from proxyconf.doctor.listening import judge, listening
from proxyconf.nginx.holders import Holders
from proxyconf.nginx.sockets import Process, Socket, holders, in_the_way, is_there, read_sockets
from proxyconf.nginx.workers import title_of
from proxyconf.tables import Nginx
from proxyconf.units import ListenAddress

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.doctor.finding import Finding

HTTP = ListenAddress(":80")
HELD = (Socket("0.0.0.0", 80, 0, 1),)
MASTER = Process(10, 1, "nginx: master process nginx -c /s/nginx.conf")
WORKER = Process(11, 10, "nginx: worker process")
OTHER = Process(20, 1, "nginx: master process nginx")
KEEP = 'stop that one, or set other addresses in [nginx.listen]; or keep it, with [nginx] mode = "include"'
APACHE = Process(30, 1, "/usr/sbin/apache2 -k start")
TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4242 1 0 100
   1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000 0 4243 1 0 100
   2: odd
"""
TABLE6 = """  sl  local_address                         remote_address                        st ...
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1 0
   1: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 78 1 0
"""


@pytest.mark.parametrize(
    ("sockets", "processes", "master", "level", "says", "mend"),
    [
        pytest.param((), (), None, "ok", ":80 is free", "", id="free"),
        pytest.param(
            (),
            (),
            10,
            "warning",
            "nginx, pid 10, does not listen on :80",
            "see proxyconf status",
            id="not there",
        ),
        pytest.param(HELD, (MASTER, WORKER), 10, "ok", ":80 is held by nginx, pid 10", "", id="by nginx"),
        pytest.param(
            HELD,
            (OTHER,),
            None,
            "wrong",
            ":80 is held by an nginx that is not started on our file, pid 20",
            KEEP,
            id="by the system's nginx",
        ),
        pytest.param(
            HELD,
            (MASTER, OTHER),
            10,
            "wrong",
            ":80 is held by another nginx, pid 20",
            KEEP,
            id="by two",
        ),
        pytest.param(
            HELD,
            (Process(11, 1, "nginx: worker process"), Process(12, 1, "nginx: worker process")),
            None,
            "wrong",
            ":80 is held by workers of an nginx whose master is gone",
            "end them: kill 11 12",
            id="by orphans",
        ),
        pytest.param(
            HELD,
            (APACHE,),
            None,
            "wrong",
            ":80 is held by apache2, pid 30",
            "stop it, or set other addresses in [nginx.listen]",
            id="by somebody else",
        ),
        pytest.param(
            HELD, (Process(31, 1, ""),), None, "wrong", ":80 is held by a process, pid 31", None, id="?"
        ),
        pytest.param(
            HELD,
            (),
            10,
            "ok",
            ":80 is held by a process of the user 0; only root can see whether that is nginx",
            "",
            id="unseen, beside nginx",
        ),
        pytest.param(
            HELD,
            (),
            None,
            "warning",
            ":80 is held by a process of the user 0, and no nginx runs",
            "run proxyconf doctor as root to see which one it is",
            id="unseen",
        ),
    ],
)
def test_who_holds_a_port(
    sockets: tuple[Socket, ...],
    processes: tuple[Process, ...],
    master: int | None,
    level: str,
    says: str,
    mend: str | None,
) -> None:
    found = judge(HTTP, sockets, processes, master)
    assert (found.level, found.what, found.says) == (level, "listen", says)
    assert mend in (None, found.mend)


def test_sockets_as_the_kernel_tells_them(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TABLE)
    assert read_sockets(tmp_path) == (Socket("127.0.0.1", 8080, 1000, 4242),)
    (tmp_path / "net" / "tcp6").write_text(TABLE6)
    assert read_sockets(tmp_path)[1:] == (Socket("::", 80, 0, 77), Socket("127.0.0.1", 81, 0, 78))


@pytest.mark.parametrize(
    ("wanted", "address", "expected"),
    [
        pytest.param(":80", "127.0.0.1", True, id="every address"),
        pytest.param("127.0.0.1:80", "0.0.0.0", True, id="by every address"),
        pytest.param("127.0.0.1:80", "127.0.0.1", True, id="the same"),
        pytest.param("127.0.0.1:80", "127.0.0.2", False, id="another"),
        pytest.param("[::1]:80", "::", True, id="IPv6"),
        pytest.param(":81", "0.0.0.0", False, id="another port"),
    ],
)
def test_what_is_in_the_way(wanted: str, address: str, *, expected: bool) -> None:
    found = in_the_way(ListenAddress(wanted), (Socket(address, 80, 0, 1),))
    assert bool(found) is expected


async def test_a_socket_of_our_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ListenAddress(f"127.0.0.1:{server.getsockname()[1]}")
        (process,) = holders(in_the_way(address, read_sockets()))
        assert process.pid == os.getpid()
        assert process.parent == os.getppid()
        found = [one async for one in listening((address, address), None)]
        assert [one.level for one in found] == ["wrong"]
    found = [one async for one in listening((address,), None)]
    assert [one.says for one in found] == [f"{address} is free"]


def test_processes_that_end_meanwhile(tmp_path: Path) -> None:
    """One without files, one without a title."""
    (tmp_path / "1").mkdir()
    (tmp_path / "2" / "fd").mkdir(parents=True)
    (tmp_path / "2" / "fd" / "3").symlink_to("socket:[1]")
    assert holders(HELD, tmp_path) == ()


@pytest.mark.parametrize(
    ("limit", "running", "level", "says"),
    [
        pytest.param(
            8704,
            True,
            "ok",
            "nginx's workers may open 8704 files; 4096 connections that are passed on need 8704",
            id="enough",
        ),
        pytest.param(
            1024,
            False,
            "warning",
            "an nginx that is started from here could only open 1024 files; 4096 connections that are passed"
            " on need 8704",
            id="too few",
        ),
    ],
)
def test_files(limit: int, level: str, says: str, *, running: bool) -> None:
    found = limits.judge(4096, limit, running=running)
    assert (found.level, found.says) == (level, says)
    assert ("LimitNOFILE=8704" in found.mend) == (level == "warning")


async def _files(master: int | None) -> list[Finding]:
    return [one async for one in open_files(Nginx(worker_connections=1), master)]


async def test_files_of_a_process() -> None:
    (found,) = await _files(os.getpid())
    assert found.says.startswith("nginx's workers may open ")
    (found,) = await _files(None)
    assert found.says.startswith("an nginx that is started from here could open ")
    assert await _files(2**22 + 1) == []


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        pytest.param("000001ffffffffff", True, id="all"),
        pytest.param("00000000a80425fb", False, id="a container's"),
        pytest.param("", False, id="unknown"),
    ],
)
def test_who_may_raise_a_limit(capabilities: str, *, expected: bool) -> None:
    assert limits.may_raise(f"Name:\tx\nCapEff:\t{capabilities}\n") is expected


async def test_who_else_holds_the_addresses_of_an_nginx_that_does_not_run() -> None:
    """It is said anew when it is somebody else, and looked for only then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ListenAddress(f"127.0.0.1:{server.getsockname()[1]}")
        found = Holders([address, address])
        held = found.look()
        assert f"{address} is held by python" in held
        assert f"pid {os.getpid()} (stop it, or set other addresses in [nginx.listen])" in held
        assert found.look() is held
    assert found.look() == ""
    assert Holders(()).look() == ""


def test_a_process_that_calls_itself_otherwise_is_another_one() -> None:
    mine = Process(os.getpid(), os.getppid(), title_of(os.getpid()))
    assert is_there(mine)
    assert not is_there(replace(mine, title="nginx: worker process"))
