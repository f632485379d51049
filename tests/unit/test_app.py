"""The parts together, on a file as the source and a script as nginx: nothing runs, so it is installed."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from structlog.testing import capture_logs

from proxyconf import app, config
from proxyconf.errors import CommandError, SourceError, StateError, UsageError
from proxyconf.groups.undo import Undo
from proxyconf.nginx.part import parts_named
from proxyconf.resources.folder import Resources
from proxyconf.sources import kinds
from proxyconf.state import State
from proxyconf.status import ask_confirm, ask_status
from proxyconf.tables import Exec
from tests.unit.fakes import addresses, listing
from tests.unit.installed import Installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxyconf.api import Status


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


@asynccontextmanager
async def running(installed: Installed) -> AsyncIterator[asyncio.Task[int]]:
    """Run it until a signal at the end of the block."""
    async with asyncio.timeout(30):
        task = asyncio.create_task(app.run(installed.settings(), read_again=installed.settings))
        try:
            await state_of(installed, "installed")
            yield task
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await task


async def state_of(installed: Installed, *wanted: str, problems: int | None = None) -> Status:
    """Wait until it answers with such a state."""
    path = app.socket_path(installed.settings())
    while True:
        if path.exists():
            status = await ask_status(path)
            if status.state in wanted and problems in (None, len(status.problems)):
                return status
        await asyncio.sleep(0.02)


async def test_once_installs_what_the_source_says(installed: Installed) -> None:
    outcome = await app.once(installed.settings(), timeout_s=30)
    status = outcome.status
    assert (outcome.settled, status.state) == (True, "installed")
    assert [(route.host, route.endpoints) for route in status.routes] == [("web.test", ("127.0.0.1:8081",))]
    assert [(source.name, source.state) for source in status.sources] == [("file", "watching")]
    root = (installed.state / "nginx" / "nginx.conf").read_bytes()
    assert parts_named(root) == {file.name for file in (installed.state / "nginx" / "parts").iterdir()}
    assert status.nginx.version == "1.22.1"
    assert status.nginx.start == f"{installed.path}/nginx -c {installed.state}/nginx/nginx.conf"
    assert State(installed.state).load_listings()[0].source == "file"


async def test_a_source_that_is_not_in_the_configuration_is_forgotten(installed: Installed) -> None:
    with State(installed.state).locked():
        State(installed.state).save_listings((listing("10.0.0.1:80", source="etcd"),))
    await app.once(installed.settings(), timeout_s=30)
    assert [one.source for one in State(installed.state).load_listings()] == ["file"]


async def test_once_listens_nowhere(installed: Installed) -> None:
    """It takes neither socket nor address from one that runs with another state folder."""
    socket = installed.path / "folder"  # a path at which nobody could listen
    socket.mkdir()
    settings = installed.settings()
    status = msgspec.structs.replace(settings.tables.status, socket=socket)
    tables = msgspec.structs.replace(settings.tables, status=status)
    outcome = await app.once(dataclasses.replace(settings, tables=tables), timeout_s=30)
    assert outcome.status.state == "installed"


async def test_once_may_be_refused(installed: Installed) -> None:
    installed.refuses()
    outcome = await app.once(installed.settings(), timeout_s=30)
    assert (outcome.settled, outcome.status.state) == (True, "refused")
    assert "unknown directive" in outcome.status.reason
    assert not (installed.state / "nginx" / "nginx.conf").exists()


async def test_once_gives_up(installed: Installed) -> None:
    installed.sites.unlink()
    outcome = await app.once(installed.settings(), timeout_s=0.3)
    assert not outcome.settled
    (source,) = outcome.status.sources
    assert (source.state, source.listed_at) == ("lost", None)


async def test_run_ends_at_a_signal(installed: Installed) -> None:
    with capture_logs() as logs:
        async with running(installed) as task:
            assert not task.done()
    assert task.exception() is None
    assert not app.socket_path(installed.settings()).exists()
    events = [line["event"] for line in logs]
    assert events[0] == "proxyconf.started"
    assert events[-1] == "proxyconf.stopping"
    assert "nginx.not_running" in events
    with State(installed.state).locked():
        pass


async def test_run_follows_its_source(installed: Installed) -> None:
    text = installed.sites.read_text().replace("web.test", "new.test").replace("8081", "8082")
    async with running(installed):
        # with a problem, so that it can be waited for
        installed.sites.write_text(text + '[routes.bad]\nhost = "a b"\n')
        (route,) = (await state_of(installed, "installed", problems=1)).routes
    assert (route.host, route.endpoints) == ("new.test", ("127.0.0.1:8082",))


async def test_a_held_listing_can_be_confirmed(installed: Installed) -> None:
    """What counted before is served until then."""
    with State(installed.state).locked():
        State(installed.state).save_listings((listing(*addresses(4), source="file"),))
    async with running(installed):
        status = await state_of(installed, "installed", problems=1)
        assert len(status.routes[0].endpoints) == 4
        path = app.socket_path(installed.settings())
        assert await ask_confirm(path) == ("file",)
        status = await state_of(installed, "installed", problems=0)
        assert status.routes[0].endpoints == ("127.0.0.1:8081",)
        assert await ask_confirm(path) == ()


async def test_a_second_one_is_refused(installed: Installed) -> None:
    with State(installed.state).locked(), pytest.raises(StateError, match=f"pid {os.getpid()} uses it"):
        await app.run(installed.settings(), read_again=installed.settings)


async def test_a_state_folder_that_nginx_could_not_use(installed: Installed) -> None:
    (installed.state / "nginx" / "nginx.conf").mkdir(parents=True)
    with pytest.raises(StateError, match="Is a directory"):
        await app.once(installed.settings(), timeout_s=30)
    assert not app.socket_path(installed.settings()).exists()


@pytest.mark.parametrize(
    ("binary", "error", "message"),
    [
        pytest.param("/none/nginx", CommandError, "run /none/nginx: No such file", id="missing"),
        pytest.param("/bin/true", UsageError, "nginx -V: no version", id="something else"),
    ],
)
async def test_an_nginx_that_is_none(
    installed: Installed, binary: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await app.once(installed.settings(binary=binary), timeout_s=30)


async def test_a_mistake_in_a_source_is_said_before_anything_is_made(installed: Installed) -> None:
    flags = {"etcd": {"endpoint": "x"}, "state": {"dir": str(installed.state)}}
    settings = config.load(None, kinds=kinds(), flags=flags)
    with pytest.raises(UsageError, match=r"\[etcd\]: endpoint: unknown key .did you mean 'endpoints'"):
        await app.run(settings, read_again=installed.settings)
    assert not installed.state.exists()


async def test_what_was_ignored_is_said(installed: Installed) -> None:
    settings = installed.settings()
    warned = config.Settings(
        settings.tables, settings.sources, warnings=("environment PROXYCONF_X: ignored",)
    )
    with capture_logs() as logs:
        await app.once(warned, timeout_s=30)
    assert {
        "event": "setting.ignored",
        "reason": "environment PROXYCONF_X: ignored",
        "log_level": "warning",
    } in logs


async def test_a_hang_up_reads_the_configuration_again(installed: Installed) -> None:
    """Which changes the default server, and ends nothing."""
    root = installed.state / "nginx" / "nginx.conf"
    asked: list[config.Settings] = []

    def read_again() -> config.Settings:
        asked.append(installed.settings(default_status=444))
        return asked[-1]

    async with asyncio.timeout(30):
        task = asyncio.create_task(app.run(installed.settings(), read_again=read_again))
        await state_of(installed, "installed")
        assert b"return 404" in root.read_bytes()
        os.kill(os.getpid(), signal.SIGHUP)
        while True:
            if b"return 444" in root.read_bytes():
                break
            await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    assert len(asked) == 1


def unchecked(installed: Installed) -> tuple[Undo, Path]:
    """Return the journal of a group, and its file, which no check has passed."""
    dest = installed.path / "dest"
    undo = Undo(State(installed.state).undo, "group")
    undo.resume([dest])
    undo.begin({dest: None}, checked=False)
    dest.write_text("unchecked")
    return undo, dest


async def test_what_a_killed_run_has_left_is_put_back(installed: Installed) -> None:
    settings = installed.settings()
    assert await app.recover(settings, timeout_s=1) == ()
    assert not installed.state.exists()
    with State(installed.state).locked():
        _, dest = unchecked(installed)
    assert await app.recover(settings, timeout_s=1) == (dest,)
    assert not dest.exists()
    assert await app.recover(settings, timeout_s=1) == ()


async def test_the_check_of_a_running_one_is_waited_for(installed: Installed) -> None:
    """What is in place meanwhile is its business; but nobody waits for ever."""
    with State(installed.state).locked():
        undo, dest = unchecked(installed)
        asyncio.get_running_loop().call_later(0.15, undo.checked)
        assert await app.recover(installed.settings(), timeout_s=30) == ()
        assert dest.read_text() == "unchecked"
        undo.begin({dest: None}, checked=False)
        with pytest.raises(StateError, match=r"recover: after 0\.2 s a check in place has still not ended"):
            await app.recover(installed.settings(), timeout_s=0.2)


async def test_look_returns_what_all_sources_say(installed: Installed) -> None:
    snapshot = await app.look(installed.settings(), Resources(), timeout_s=30)
    assert [(route.host, route.service) for route in snapshot.routes] == [("web.test", "web")]


async def test_look_waits_no_longer_than_it_may(installed: Installed) -> None:
    """An engine that takes connections and never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    path = installed.path / "docker.sock"
    async with await asyncio.start_unix_server(hang, path):
        settings = config.load(None, kinds=kinds(), flags={"docker": {"url": f"unix://{path}"}})
        with pytest.raises(SourceError, match=r"watch docker: nothing within 0\.2 s"):
            await app.look(settings, Resources(), timeout_s=0.2)


async def test_look_says_why_a_source_does_not_answer(installed: Installed) -> None:
    installed.sites.unlink()
    with pytest.raises(SourceError, match=r"sites\.toml"):
        await app.look(installed.settings(), Resources(), timeout_s=30)


def test_where_things_are(installed: Installed) -> None:
    settings = installed.settings()
    assert app.state_path(settings) == installed.state
    assert app.socket_path(settings) == installed.state / "status.sock"
    elsewhere = config.load(None, kinds=kinds(), flags={"status": {"socket": "/run/p.sock"}})
    assert str(app.socket_path(elsewhere)) == "/run/p.sock"
    relative = config.load(None, kinds=kinds(), flags={"state": {"dir": "here"}})
    assert app.state_path(relative).is_absolute()


@pytest.mark.parametrize("nginx", [{"via": "docker:web"}, {"mode": "none"}], ids=["elsewhere", "none"])
async def test_an_nginx_that_can_be_nobodys_child(installed: Installed, nginx: dict[str, str]) -> None:
    """It is said before anything is made."""
    settings = installed.settings(**nginx)
    with pytest.raises(UsageError, match=r"^--exec: \[nginx\] "):
        await app.run(settings, read_again=installed.settings, command=())
    assert not installed.state.exists()


async def test_nginx_as_our_child(installed: Installed) -> None:
    """By a command of the operator's; it is told to end before we do."""
    script = f"trap 'echo drained > {installed.path}/end; exit 0' QUIT; while :; do sleep 0.02; done"
    settings = installed.settings()
    async with asyncio.timeout(30):
        task = asyncio.create_task(
            app.run(settings, read_again=installed.settings, command=["/bin/sh", "-c", script])
        )
        while not (status := await state_of(installed, "installed")).child or not status.child.pid:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)  # until its trap is set
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
    assert (installed.path / "end").read_text() == "drained\n"


async def test_we_end_as_nginx_does(installed: Installed) -> None:
    """By the command that runs it on our file."""
    installed.nginx(f'[ "$*" = "-c {installed.state}/nginx/nginx.conf -g daemon off;" ] && exit 5; exit 0')
    settings = installed.settings()
    tables = msgspec.structs.replace(settings.tables, exec=Exec(on_exit="end"))
    settings = dataclasses.replace(settings, tables=tables)
    assert await app.run(settings, read_again=installed.settings, command=()) == 5


@pytest.mark.parametrize(
    ("more", "doubted"),
    [
        pytest.param(["-g", "daemon off;"], True, id="its own file"),
        pytest.param(["-c", "/etc/nginx/nginx.conf"], True, id="another file"),
        pytest.param(["-c", "{root}"], False, id="ours"),
        pytest.param(["-c{root}"], False, id="ours in one word"),
    ],
)
async def test_a_child_with_another_main_file(
    installed: Installed, more: list[str], *, doubted: bool
) -> None:
    """It would run, and nothing of ours would come into effect; that is said once."""
    settings = installed.settings()
    tables = msgspec.structs.replace(settings.tables, exec=Exec(on_exit="end"))
    settings = dataclasses.replace(settings, tables=tables)
    root = f"{installed.state}/nginx/nginx.conf"
    words = [word.format(root=root) for word in more]
    installed.nginx(f'[ "$*" = "{" ".join(words)}" ] && exit 5; exit 0')
    command = [f"{installed.path}/nginx", *words]
    with capture_logs() as logs:
        async with asyncio.timeout(30):
            assert await app.run(settings, read_again=installed.settings, command=command) == 5
    said = [line["reason"] for line in logs if line["event"] == "command.doubted"]
    assert (
        said
        == [f"it reads another main file than ours, and what is written has no effect (add -c {root})"]
        * doubted
    )


async def test_a_program_that_is_missing(installed: Installed) -> None:
    with pytest.raises(CommandError, match="run /none: no such program"):
        await app.run(installed.settings(), read_again=installed.settings, command=("/none",))
