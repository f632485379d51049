"""The doctor as a whole: all checks side by side, each with a bound, and nginx in all its states."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from proxyconf import config, tables
from proxyconf.api import NginxState, Pause, Status
from proxyconf.config import TemplateTable
from proxyconf.doctor.examination import examine, judge_running, run
from proxyconf.doctor.finding import Check, ok
from proxyconf.doctor.nginx import lacks, named, pid_of
from proxyconf.errors import CommandError
from proxyconf.model import Problem
from proxyconf.nginx.build import Build
from proxyconf.nginx.shared_pid import Master
from proxyconf.sources import kinds
from proxyconf.state import Applied, State
from proxyconf.status import serving
from proxyconf.tables import Confd, Nginx
from proxyconf.units import ListenAddress
from tests.unit.calling import call
from tests.unit.installed import Installed
from tests.unit.nginx_engine import VERSION, NginxEngine, inspected
from tests.unit.test_status import Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable
    from pathlib import Path

    from proxyconf.config import Settings
    from proxyconf.doctor.finding import Findings


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


async def lines(settings: Settings, *what: str) -> list[str]:
    return [f"{one.level}: {one}" for one in await examine(settings) if one.what in what]


# --- bounds ---


async def found_by(look: object, timeout_s: float = 5.0) -> list[str]:
    return [f"{one.level}: {one}" for one in await run(Check("x", look, timeout_s))]  # type: ignore[arg-type]


@pytest.mark.looptime
async def test_a_check_that_hangs() -> None:
    async def look() -> Findings:
        yield ok("x", "one")
        await asyncio.Event().wait()

    assert await found_by(look) == [
        "ok: one", "wrong: no answer within 5 s (it hangs, or packets are dropped)"
    ]  # fmt: skip
    assert asyncio.get_running_loop().time() == 5


async def test_a_check_that_fails() -> None:
    async def look() -> Findings:
        yield ok("x", "one")
        raise CommandError("run nginx: no such file (install it)")

    assert await found_by(look) == ["ok: one", "wrong: run nginx: no such file (install it)"]


async def test_a_check_that_may_not_look() -> None:
    async def look() -> Findings:
        yield ok("x", "one")
        raise PermissionError(13, "Permission denied", "/x")

    async def look_elsewhere() -> Findings:
        yield ok("x", "one")
        raise OSError("odd")

    assert await found_by(look) == ["ok: one", "wrong: look at /x: Permission denied (may we?)"]
    assert await found_by(look_elsewhere) == ["ok: one", "wrong: look at odd (may we?)"]


# --- configuration ---


async def test_the_configuration(installed: Installed) -> None:
    assert await lines(installed.settings(), "configuration") == ["ok: follows file"]


@pytest.mark.parametrize("address", [":9180", "0.0.0.0:9180", "[::]:9180"])
async def test_a_status_for_everybody(installed: Installed, address: str) -> None:
    settings = installed.settings()
    for wanted, level in ((address, "warning"), ("127.0.0.1:9180", "ok")):
        status = tables.Status(address=ListenAddress(wanted))
        changed = msgspec.structs.replace(settings.tables, status=status)
        found = await lines(replace(settings, tables=changed), "configuration")
        assert found[0].startswith(f"{level}: ")
        assert ("is every address of this host: who gets there sees" in found[0]) == (wanted == address)


async def test_templates_are_counted(installed: Installed) -> None:
    (installed.path / "templates").mkdir()
    (installed.path / "templates" / "a").write_text("x")
    table = TemplateTable({"src": "a", "dest": f"{installed.path}/x"}, "p.toml")
    settings = installed.settings()
    tables = msgspec.structs.replace(settings.tables, confd=Confd(dir=installed.path))
    found = await lines(replace(settings, tables=tables, templates=(table,)), "configuration")
    assert found[-1] == "ok: follows file; 1 template"


async def test_certificates_are_looked_at(installed: Installed) -> None:
    settings = installed.settings(tls={"certificates": f"{installed.path}/none"})
    (found,) = await lines(settings, "certificates")
    assert found.startswith(f"wrong: {installed.path}/none is not there")


def test_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PROXYCONF_"):
            monkeypatch.delenv(name)
    result = call("doctor", "--state", str(tmp_path), "-s", "nginx.mode=none", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["well"] is False
    assert "no source to follow" in [one["says"] for one in report["findings"]]


async def test_mistakes_in_the_configuration(installed: Installed) -> None:
    """A source with one is looked at no further."""
    settings = installed.settings()
    (table,) = settings.sources
    table = replace(table, values={**table.values, "relist": "0s"})
    settings = replace(settings, sources=(table,), warnings=("[x]: ignored (remove it)",))
    assert await lines(settings, "configuration", "file") == [
        'wrong: [file] relist: must be more than 0 (write "5s", or leave it out)',
        "warning: [x]: ignored (remove it)",
    ]


# --- a running one ---


async def test_beside_a_running_one(installed: Installed) -> None:
    settings = installed.settings(mode="none")
    assert await lines(settings, "proxyconf") == ["ok: none runs with this state folder"]
    installed.state.mkdir()
    socket = installed.state / "status.sock"
    socket.touch()
    (found,) = await lines(settings, "proxyconf")
    assert found.startswith(f"warning: ask {socket}: ")


async def test_without_the_flags_of_the_running_one(installed: Installed) -> None:
    """It has a source, so that to lack one here is no mistake of the set-up."""
    settings = replace(installed.settings(mode="none"), sources=())
    *_, alone = await lines(settings, "configuration")
    assert alone.startswith("wrong: no source to follow (give --docker")
    installed.state.mkdir()
    async with serving(installed.state / "status.sock", Scripted(), tables.Status()):
        *_, beside = await lines(settings, "configuration")
    assert beside.startswith("warning: no source to follow (give --docker")
    assert beside.endswith(f"as was given to the one that runs: ps -o args= -p {os.getpid()})")


@pytest.mark.needs("root")
async def test_a_folder_that_is_closed_to_us(installed: Installed) -> None:
    """Nothing of what is in it is known, and nothing breaks."""
    closed = installed.path / "closed"
    closed.mkdir(mode=0o700)
    for path in (installed.path, *installed.path.parents[:-2]):
        path.chmod(0o755)
    flags = {
        "file": {"path": str(installed.sites)},
        "state": {"dir": f"{closed}/state"},
        "confd": {"dir": "/none"},
    }
    settings = config.load(
        None, kinds=kinds(), flags={**flags, "nginx": {"binary": f"{installed.path}/nginx"}}
    )
    os.seteuid(65_534)
    try:
        found = await examine(settings)
    finally:
        os.seteuid(0)
    said = [f"{one.level}: {one}" for one in found]
    assert any(
        one.startswith(f"warning: {closed}/state/status.sock: we may not look whether") for one in said
    )
    assert any(one.startswith(f"wrong: {closed}/state: we may not make it in {closed}") for one in said)
    assert "ok: nginx takes it (without routes)" in said


@pytest.mark.needs("root")
async def test_beside_one_of_another_user(installed: Installed) -> None:
    settings = installed.settings(mode="none")
    socket = installed.state / "status.sock"
    installed.state.mkdir()
    async with serving(socket, Scripted(), tables.Status()):
        assert len(await lines(settings, "proxyconf")) == 1
        os.chown(socket, 4_242, 4_242)
        assert len(await lines(settings, "proxyconf")) == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "ok: pid 7 runs: applied", id="well"),
        pytest.param(
            {"state": "failed", "reason": "no proof"},
            "warning: pid 7 runs: failed: no proof (see proxyconf status)",
            id="failed",
        ),
        pytest.param(
            {"problems": [Problem("route", "a", "b")]},
            "warning: pid 7 runs: applied; 1 problem is set aside (proxyconf status names them)",
            id="a problem",
        ),
        pytest.param(
            {"paused": Pause(since=1.0, reason="until noon"), "state": "paused"},
            "warning: pid 7 runs, and is paused: until noon (proxyconf resume)",
            id="paused",
        ),
    ],
)
def test_a_running_one_in_words(fields: dict[str, Any], expected: str) -> None:
    status = Status(nginx=NginxState(mode="own", root="/n"), pid=7, state="applied")
    found = judge_running(msgspec.structs.replace(status, **fields))
    assert f"{found.level}: {found}" == expected


# --- nginx ---


async def test_no_nginx(installed: Installed) -> None:
    settings = installed.settings(binary="/none/nginx")
    assert await lines(settings, "nginx", "site", "listen", "files") == [
        "wrong: run /none/nginx: No such file or directory (is it installed, and may we run it?)"
    ]


async def test_an_nginx_that_does_not_run(installed: Installed) -> None:
    found = await lines(installed.settings(), "nginx", "site", "listen", "files")
    root = f"{installed.state}/nginx/nginx.conf"
    assert found[0] == f"ok: nginx 1.22.1 with TLS and HTTP/2, {installed.path}/nginx"
    assert found[1] == f"warning: none runs on {root} (start it: {installed.path}/nginx -c {root})"
    assert found[2:4] == ["ok: nginx takes it (without routes)", "ok: 127.0.0.1:1 is free"]
    assert len(found) == 5


async def test_a_site_that_nginx_refuses(installed: Installed) -> None:
    installed.refuses()
    (found,) = await lines(installed.settings(), "site")
    assert found.startswith("wrong: check ")
    assert found.endswith('unknown directive "x" in /main.d/a.conf:1')


async def test_an_nginx_of_somebody_else(installed: Installed) -> None:
    """Whether it includes us, and what it needs to."""
    conf = installed.path / "theirs.conf"
    settings = installed.settings(mode="include", conf=str(conf))
    assert await lines(settings, "nginx", "site") == [
        f"wrong: read {conf}: No such file or directory (set [nginx] conf to the main file)"
    ]
    conf.write_text("events {}\nhttp {\n}\n")
    line = f"include {installed.state}/nginx/http.con[f];"
    assert await lines(settings, "site") == [
        f"wrong: {conf} does not include us (add '{line}' to its http block)"
    ]
    conf.write_text(f"events {{}}\nhttp {{\n{line}\n}}\n")
    assert await lines(settings, "site") == [f"ok: {conf} includes us"]
    (installed.state / "nginx").mkdir(parents=True)
    assert await lines(settings, "site") == [
        f"ok: {conf} includes us", "ok: nginx takes it (without routes)"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "name"),
    [
        pytest.param(Build(version=(1, 25, 1), ssl=True), "nginx 1.25.1 with TLS", id="TLS"),
        pytest.param(
            Build("angie", http2=True, ssl=True), "angie (an unknown version) with TLS and HTTP/2", id="kin"
        ),
        pytest.param(Build(version=(1, 9)), "nginx 1.9 with neither TLS nor HTTP/2", id="neither"),
    ],
)
def test_the_name_of_an_nginx(build: Build, name: str) -> None:
    assert named(build) == name


def lacking(*without: str, **more: object) -> list[str]:
    nginx = config.convert({"tls": {"certificates": "/c"}} | more, Nginx, "test")
    build = Build(
        version=(1, 25, 1), without=frozenset(without), ssl="ssl" in without, http2="http2" in without
    )
    return [f"{one.level}: {one}" for one in lacks(build, nginx)]


def test_what_an_nginx_lacks() -> None:
    assert lacking("ssl", "http2") == []
    assert lacking("ssl") == [
        (
            "warning: it is built without http_v2_module, so https speaks HTTP/1.1 alone"
            " (install one that has it, or set [nginx.tls] http2 = false)"
        )
    ]
    assert lacking() == [
        "wrong: https: this nginx is built without http_ssl_module (install one that has it)"
    ]
    assert lacking(trusted_proxies=["10.0.0.0/8"], tls={}) == [
        (
            "wrong: this nginx is built without http_realip_module,"
            " which tells the clients of trusted_proxies apart (install one that has it)"
        )
    ]
    assert lacking("http_map_module", "http_upstream_keepalive_module", tls={}) == [
        "wrong: it is built without http_map_module (install one that has it)",
        "wrong: it is built without http_upstream_keepalive_module (install one that has it)",
    ]
    assert lacking("http_upstream_keepalive_module", "http_limit_req_module", tls={}, keepalive=0) == [
        (
            "warning: it is built without http_limit_req_module, so that no route may have rate"
            " (install one that has it)"
        )
    ]


# --- a running nginx, as far as a script is one ---


@pytest.fixture
async def running(installed: Installed) -> AsyncIterator[Installed]:
    """An nginx whose master is a process of that name, and no more."""
    process = await asyncio.create_subprocess_exec(
        "nginx: master process", "60", executable="/bin/sleep", stdin=asyncio.subprocess.DEVNULL
    )
    state = State(installed.state)
    with state.locked():
        state.token()
    (installed.state / "nginx").mkdir()
    (installed.state / "nginx" / "nginx.pid").write_text(f"{process.pid}\n")
    yield installed
    process.kill()
    await process.wait()


async def test_what_it_serves(running: Installed) -> None:
    """What is proved, something else, or nothing."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nn1")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = running.settings(listen={"http": [address]})
    pid = int((running.state / "nginx" / "nginx.pid").read_text())
    assert (await lines(settings, "nginx"))[1:] == [
        f"ok: its master, pid {pid}, runs, and may be told to reload"
    ]
    for nonce, expected in (
        ("n1", "ok: it serves what was applied last, and proves it"),
        ("n2", "warning: it serves something else than what was applied last (see proxyconf status)"),
    ):
        State(running.state).save_applied(Applied(digest="d", nonce=nonce, at=1.0))
        assert (await lines(settings, "nginx"))[2] == expected
    server.close()
    await server.wait_closed()
    assert (await lines(settings, "nginx"))[2].startswith("warning: it does not prove what it serves (was")


@pytest.mark.needs("root")
async def test_one_that_may_not_be_told(running: Installed) -> None:
    for path in (running.path, *running.path.parents[:-2]):
        path.chmod(0o755)
    os.setresuid(65_534, 65_534, 0)
    try:
        found = await lines(running.settings(), "nginx")
    finally:
        os.setresuid(0, 0, 0)
    pid = (running.state / "nginx" / "nginx.pid").read_text().strip()
    assert found[1:] == [
        (
            f"wrong: its master, pid {pid}, may not be signalled by us, so that it can't be reloaded"
            " (run as root, or as the user that nginx runs as)"
        )
    ]


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(7, 7, id="of a pid file"),
        pytest.param(Master(8, 1), 8, id="of a shared PID namespace"),
        pytest.param(("id", "start"), None, id="of an engine"),
    ],
)
def test_the_pid_of_a_master(master: Hashable | None, expected: int | None) -> None:
    assert pid_of(master) == expected


async def test_an_nginx_in_a_shared_pid_namespace(installed: Installed) -> None:
    found = await lines(installed.settings(via="pid"), "nginx")
    assert found[0] == f"ok: nginx 1.22.1 with TLS and HTTP/2, {installed.path}/nginx"
    assert found[1].startswith("warning: none runs on ")


# --- nginx in another container ---


def in_container(engine: NginxEngine, path: Path) -> Settings:
    flags = {
        "docker": {"url": engine.url, "api_version": "1.41"},
        "nginx": {"via": "docker:web", "binary": "no-such-nginx"},
        "state": {"dir": str(path / "state")},
        "confd": {"dir": str(path)},
    }
    return config.load(None, kinds=kinds(), flags=flags)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[NginxEngine]:
    async with NginxEngine() as engine:
        await engine.serve(tmp_path / "docker.sock")
        engine.containers["web"] = inspected("web")
        yield engine


async def test_an_nginx_in_a_container(engine: NginxEngine, tmp_path: Path) -> None:
    """It is not told anything: only asked what it is."""
    settings = in_container(engine, tmp_path)
    assert await lines(settings, "nginx", "listen", "files") == [
        "ok: nginx 1.27.4 with TLS, for the container web", "ok: it runs"
    ]  # fmt: skip
    assert engine.signals == []
    assert engine.commands == [["no-such-nginx", "-V"]]


async def test_a_container_in_which_nginx_lacks_something(engine: NginxEngine, tmp_path: Path) -> None:
    """A module, a master, and a way to it."""
    text = VERSION.replace("--prefix", "--without-http_grpc_module --prefix")
    engine.programs, engine.titles = (lambda _: (0, text)), ["sh"]
    engine.containers["web"]["NetworkSettings"]["Networks"] = {}
    found = await lines(in_container(engine, tmp_path), "nginx")
    assert [one.partition(" (")[0] for one in found] == [
        "ok: nginx 1.27.4 with TLS, for the container web",
        "warning: it is built without http_grpc_module, so that no route may have proto grpc",
        "warning: it does not run",
        "warning: web: its port 80 is not published on the engine's host",
    ]


async def test_a_container_that_is_not_there(engine: NginxEngine, tmp_path: Path) -> None:
    del engine.containers["web"]
    (found,) = await lines(in_container(engine, tmp_path), "nginx")
    assert found.startswith(
        "wrong: for nginx: there is no container web (create it, for example by docker compose up -d)"
    )


@pytest.mark.looptime
async def test_an_engine_that_hangs(tmp_path: Path) -> None:
    """Nobody waits longer than the bound: neither for nginx, nor for the containers."""
    engine = NginxEngine()
    engine.url = f"unix://{tmp_path}/silent.sock"

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(accept, tmp_path / "silent.sock")
    found = await lines(in_container(engine, tmp_path), "nginx", "docker")
    assert found[0] == "wrong: no answer within 5 s (what does it wait for?)"
    assert "wrong: no answer within 5 s (it hangs, or packets are dropped)" in found
    assert asyncio.get_running_loop().time() < 6
    server.close()
    await server.wait_closed()
