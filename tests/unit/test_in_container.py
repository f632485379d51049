"""An nginx in another container, by a scripted engine: found, met, checked, reloaded, told from others."""

# ruff: noqa: ASYNC240 - small files, and nobody else waits

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import (
    CommandError,
    NotRunningError,
    RefusedError,
    ReloadError,
    UncheckedError,
)
from proxyconf.nginx.workers import Lingering
from tests.unit.nginx_engine import VERSION, NginxEngine, control_of, inspected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from proxyconf.nginx.in_container import InContainer

PASSES = "nginx: the configuration file {0} syntax is ok\nnginx: configuration file {0} test is successful\n"
FAILS = 'nginx: [emerg] unknown directive "x" in {0}:1\nnginx: configuration file {0} test failed\n'


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[NginxEngine]:
    async with NginxEngine() as engine:
        await engine.serve(tmp_path / "docker.sock")
        engine.containers["web"] = inspected("web")
        yield engine


@pytest.fixture
def control(engine: NginxEngine, tmp_path: Path) -> InContainer:
    return control_of(engine, tmp_path)


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf.next"
    path.write_text("user www;\npid /p;\n")
    return path


def answering(engine: NginxEngine, text: str = PASSES, code: int = 0) -> None:
    """Let ``nginx -t`` say *text*, and end with *code*."""

    def run(argv: Sequence[str]) -> tuple[int, str]:
        return (0, VERSION) if argv[-1] == "-V" else (code, text.format(argv[-1]))

    engine.programs = run


def own_nginx(folder: Path, script: str = "exit 0") -> str:
    """Make a program in the place of our own nginx; ``$C`` is the file it is to check."""
    file = folder / "own-nginx"
    text = VERSION.replace("1.27.4", "1.22.1").replace("\n", "\\n")
    file.write_text(f'#!/bin/sh\n[ "$1" = -V ] && printf "{text}" && exit 0\nC=$5\n{script}\n')
    file.chmod(0o755)
    return str(file)


def version_of(control: InContainer) -> tuple[int, ...]:
    return control.build.version if control.build else ()


# --- which nginx ---


async def test_it_is_asked_what_it_is_once_for_each_container(
    engine: NginxEngine, control: InContainer
) -> None:
    await control.meet()
    await control.meet()
    assert version_of(control) == (1, 27, 4)
    assert control.root
    assert engine.commands == [["nginx", "-V"]]
    engine.containers["web"] = inspected("web", Id="another", Config={"User": "101:101", "Labels": {}})
    engine.programs = lambda _: (0, VERSION.replace("1.27.4", "1.22.1"))
    await control.meet()
    assert (version_of(control), control.root) == ((1, 22, 1), False)
    assert control.problems == ()


async def test_without_the_container_it_is_waited_for(engine: NginxEngine, control: InContainer) -> None:
    del engine.containers["web"]
    with pytest.raises(
        UncheckedError, match=r"for nginx: there is no container web .create it.*., and without"
    ):
        await control.meet()
    engine.containers["web"] = inspected("web", State={"Running": False})
    with pytest.raises(UncheckedError, match=r"the container web does not run .docker start web."):
        await control.meet()


async def test_once_met_it_is_known_while_it_is_away(
    engine: NginxEngine, control: InContainer, main: Path
) -> None:
    """What is written for it stays the same; nobody can check it."""
    await control.meet()
    engine.containers["web"] = inspected("web", Id="another", State={"Running": False})
    await control.meet()
    assert control.build is not None
    with pytest.raises(UncheckedError, match="does not run"):
        await control.check(main)
    del engine.containers["web"]
    await control.meet()
    assert version_of(control) == (1, 27, 4)


async def test_our_own_nginx_stands_in(engine: NginxEngine, tmp_path: Path, main: Path) -> None:
    """For what it is, too, until the container is there."""
    del engine.containers["web"]
    control = control_of(engine, tmp_path, own_program=own_nginx(tmp_path))
    await control.meet()
    assert version_of(control) == (1, 22, 1)
    await control.check(main)
    assert [(one.where, one.why) for one in control.problems] == [
        (
            "container",
            (
                "our own nginx checks its configuration: there is no container web"
                " (create it, for example by docker compose up -d)"
            ),
        )
    ]
    engine.containers["web"] = inspected("web")
    answering(engine)
    await control.meet()
    assert version_of(control) == (1, 27, 4)
    await control.check(main)
    assert control.problems == ()


@pytest.mark.parametrize("status", [401, 403, 405, 501])
async def test_where_nothing_may_be_run_our_own_checks(
    engine: NginxEngine, tmp_path: Path, main: Path, status: int
) -> None:
    """A filtering proxy's answer; each time it is tried again, for its rules may be others by now."""
    engine.refusals["/exec"] = status, "<html>no such call</html>"
    control = control_of(engine, tmp_path, own_program=own_nginx(tmp_path))
    await control.meet()
    assert control.build is not None
    await control.check(main)
    (problem,) = control.problems
    assert problem.why == (
        "our own nginx checks its configuration: run a program by"
        f" {engine.url}: {status} no such call (let the proxy in front of the engine pass POST"
        " /containers/web/exec)"
    )
    engine.refusals.clear()
    answering(engine)
    await control.meet()
    await control.check(main)
    assert control.problems == ()


async def test_where_nobody_can_check_the_mend_is_said(engine: NginxEngine, control: InContainer) -> None:
    engine.refusals["/start"] = 403, "no"
    with pytest.raises(CommandError, match=r"pass POST /exec/\*/start.; or install an nginx beside"):
        await control.meet()


async def test_no_nginx_at_all(engine: NginxEngine, control: InContainer) -> None:
    engine.programs = lambda _: (0, "nonsense")
    with pytest.raises(CommandError, match=r"in container web: nginx -V: no version"):
        await control.meet()
    engine.programs = lambda _: (126, 'exec failed: exec: "nginx":\n executable file not found in $PATH')
    with pytest.raises(CommandError, match=r"run nginx in container web: exec failed.*\[nginx\] binary"):
        await control.meet()


# --- the check ---


async def test_a_check_is_made_where_it_will_be_loaded(
    engine: NginxEngine, control: InContainer, main: Path
) -> None:
    answering(engine)
    engine.late = 2
    await control.meet()
    assert "test is successful" in await control.check(main)
    assert engine.commands[-1] == ["nginx", "-e", "stderr", "-t", "-c", str(main)]


async def test_a_refusal(engine: NginxEngine, control: InContainer, main: Path) -> None:
    answering(engine, FAILS, 1)
    await control.meet()
    with pytest.raises(RefusedError, match=r'unknown directive "x" in ') as caught:
        await control.check(main)
    assert caught.value.output == FAILS.format(main)


async def test_a_check_that_was_killed(engine: NginxEngine, control: InContainer, main: Path) -> None:
    answering(engine, PASSES, 137)
    await control.meet()
    with pytest.raises(CommandError, match="ended by signal 9"):
        await control.check(main)


async def test_a_check_of_something_else_counts_for_nothing(
    engine: NginxEngine, control: InContainer, main: Path
) -> None:
    """A filter's own command, or another folder at that path."""
    answering(engine, PASSES.replace("{0}", "/etc/nginx/nginx.conf"))
    await control.meet()
    with pytest.raises(CommandError, match=r"nginx spoke of something else: .*at the same path there"):
        await control.check(main)


async def test_our_own_checks_a_copy_without_what_only_the_other_can_open(
    engine: NginxEngine, tmp_path: Path
) -> None:
    """Its files would be ours: log, pid and folders; its user may be none of ours."""
    del engine.containers["web"]
    main = tmp_path / "nginx.conf.next"
    main.write_text(
        "user nginx;\nworker_processes 2;\npid /s/nginx.pid;\nerror_log /s/error.log error;\n"
        "http {\n    client_body_temp_path /s/t/client_body;\n    access_log /a.log;\n    server {}\n}\n"
    )
    script = f'cp "$C" {tmp_path}/seen; echo "nginx: [emerg] bad in $C:1"; exit 1'
    control = control_of(engine, tmp_path, own_program=own_nginx(tmp_path, script))
    await control.meet()
    with pytest.raises(RefusedError, match=rf"bad in {main}:1$") as caught:
        await control.check(main)
    assert caught.value.output == f"nginx: [emerg] bad in {main}:1\n"
    lines = (tmp_path / "seen").read_text().splitlines()
    scratch = lines[2].removeprefix("pid ").removesuffix("/pid;")
    assert lines == [
        "",
        "worker_processes 2;",
        f"pid {scratch}/pid;",
        "error_log stderr;",
        "http {",
        f"    client_body_temp_path {scratch}/client_body_temp_path;",
        "    access_log off;",
        "    server {}",
        "}",
    ]
    assert not list(tmp_path.glob("*.own"))


async def test_our_own_can_not_write_its_copy(engine: NginxEngine, tmp_path: Path) -> None:
    del engine.containers["web"]
    control = control_of(engine, tmp_path, own_program=own_nginx(tmp_path))
    await control.meet()
    (tmp_path / "main.own").mkdir()
    (tmp_path / "main").write_text("")
    with pytest.raises(Exception, match=r"write .*main.own: Is a directory"):
        await control.check(tmp_path / "main")


# --- master, reload, log ---


async def test_a_restart_and_another_container_are_other_masters(
    engine: NginxEngine, control: InContainer
) -> None:
    first = await control.master()
    assert first == await control.master() is not None
    assert engine.requests.count("GET /containers/web/top") == 1
    engine.containers["web"]["State"]["StartedAt"] = "2026-01-02T03:04:06Z"
    second = await control.master()
    engine.containers["web"]["Id"] = "another"
    assert len({first, second, await control.master()}) == 3
    engine.containers["web"]["State"]["Paused"] = True
    assert await control.master() is None
    del engine.containers["web"]
    assert await control.master() is None


async def test_one_that_waits_for_its_first_configuration_is_none(
    engine: NginxEngine, control: InContainer
) -> None:
    engine.titles = ["sh -c until ..."]
    assert await control.master() is None
    engine.titles.append("nginx: master process nginx -c /x")
    assert await control.master() is not None


async def test_where_processes_are_hidden_there_may_be_one(engine: NginxEngine, control: InContainer) -> None:
    engine.refusals["/top"] = 403, "no"
    assert await control.master() is not None
    assert await control.lingering() == Lingering()
    (problem,) = control.problems
    assert problem.why.startswith("its old workers are not counted: list processes of ")
    engine.refusals["/top"] = 500, "no"
    assert await control.lingering() == Lingering()
    engine.refusals.clear()
    engine.titles.append("nginx: worker process is shutting down")
    assert await control.lingering() == Lingering(1, 2000 << 10)
    assert control.problems == ()


async def test_one_that_is_just_ending_is_none(engine: NginxEngine, control: InContainer) -> None:
    assert await control.lingering() == Lingering()
    engine.refusals["/top"] = 409, "not running"
    assert await control.master() is None


async def test_an_engine_that_is_away_takes_no_master_with_it(
    engine: NginxEngine, control: InContainer
) -> None:
    master = await control.master()
    engine.refusals["/json"] = 502, "bad gateway"
    assert await control.master() == master
    with pytest.raises(CommandError, match="502 bad gateway"):
        await control.meet()


async def test_a_reload_is_a_hup_to_the_container(engine: NginxEngine, control: InContainer) -> None:
    with pytest.raises(NotRunningError, match="there is no container web"):
        await control.reload()
    await control.master()
    await control.reload()
    assert engine.signals == [("web", "HUP")]
    engine.containers["web"]["State"]["Running"] = False
    with pytest.raises(NotRunningError, match="409 container is not running"):
        await control.reload()
    engine.refusals["/kill"] = 403, "no"
    with pytest.raises(ReloadError, match=r"403 no .let the proxy .* pass POST /containers/web/kill."):
        await control.reload()


async def test_what_the_master_says_is_in_the_shared_folder(control: InContainer, tmp_path: Path) -> None:
    """Under whatever process id it has in its container."""
    log = tmp_path / "error.log"
    log.write_text("2026/01/02 03:04:05 [emerg] 1#1: of yesterday\n")
    mark = await control.mark()
    assert await control.complaints(mark) == ()
    with log.open("a") as file:
        file.write("2026/01/02 03:04:06 [emerg] 7#7: still could not bind()\n")
    assert await control.complaints(mark) == ("still could not bind()",)
