"""A user's own commands: what they may name, how they fail, and which of them are plain reloads."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxyconf.command import Running
from proxyconf.errors import CommandError
from proxyconf.groups import commands
from proxyconf.resources.table import Command

SRC, DEST = Path("/etc/nginx/.a.conf.stage"), Path("/etc/nginx/a.conf")


def command(*line: str) -> Command:
    return Command(line[0] if len(line) == 1 else line, 30)


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        pytest.param(command("nginx -t"), ("/bin/sh", "-c", "nginx -t"), id="text"),
        pytest.param(command("x {{.src}}"), ("/bin/sh", "-c", f"x {SRC}"), id="src"),
        pytest.param(
            command("x {{ .dest }} {{- .src -}}"), ("/bin/sh", "-c", f"x {DEST} {SRC}"), id="spaces"
        ),
        pytest.param(command("x", "{{.src}}"), ("x", str(SRC)), id="list"),
        pytest.param(command("x {{.other}}"), ("/bin/sh", "-c", "x {{.other}}"), id="unknown"),
    ],
)
def test_what_is_run(given: Command, argv: tuple[str, ...]) -> None:
    assert commands.filled_in(given, src=SRC, dest=DEST) == argv


def test_a_name_that_the_shell_would_take_apart() -> None:
    odd = Path("/tmp/a b;c")
    assert commands.filled_in(command("cat {{.src}}"), src=odd, dest=DEST)[2] == "cat '/tmp/a b;c'"
    assert commands.filled_in(command("cat", "{{.src}}"), src=odd, dest=DEST) == ("cat", "/tmp/a b;c")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        pytest.param(command("nginx -t -c {{.src}}"), True, id="text"),
        pytest.param(command("nginx", "-c", "{{ .src }}"), True, id="list"),
        pytest.param(command("nginx -t"), False, id="none"),
        pytest.param(command("x {{.dest}}"), False, id="dest"),
    ],
)
def test_whether_it_asks_for_the_staged_file(given: Command, named: bool) -> None:  # noqa: FBT001
    assert commands.names_src(given) == named


@pytest.mark.parametrize(
    "line",
    [
        "nginx -s reload",
        "/usr/sbin/nginx -s reload",
        "service nginx reload",
        "/usr/sbin/service nginx  reload >/dev/null 2>&1",
        "exec systemctl reload nginx.service",
        "/etc/init.d/nginx force-reload",
    ],
)
def test_a_plain_reload(line: str) -> None:
    assert commands.is_plain_reload(command(line))
    assert commands.is_plain_reload(Command(tuple(line.partition(" >")[0].removeprefix("exec ").split()), 30))


@pytest.mark.parametrize(
    "line",
    [
        "service nginx restart",
        "service haproxy reload",
        "nginx -s reload; echo done",
        "nginx -t && nginx -s reload",
        "docker kill -s HUP nginx",
        "nginx -s reload || true",
        "nginx -s stop",
        "mynginx -s reload",
    ],
)
def test_what_does_more_or_else(line: str) -> None:
    assert not commands.is_plain_reload(command(line))


async def test_a_command_that_does_well_says_nothing() -> None:
    await commands.run(("/bin/sh", "-c", "echo fine; exit 0"), timeout_s=20, running=Running())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(
            ("/bin/sh", "-c", "echo no such upstream >&2; exit 3"),
            "run echo no such upstream >&2; exit 3: exit code 3: no such upstream",
            id="text",
        ),
        pytest.param(("false",), "run false: exit code 1: it printed nothing", id="list"),
        pytest.param(
            ("/bin/sh", "-c", "kill -9 $$"),
            "run kill -9 $$: ended by signal 9: it printed nothing",
            id="signal",
        ),
    ],
)
async def test_why_a_command_failed(argv: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError) as caught:
        await commands.run(argv, timeout_s=20, running=Running())
    assert str(caught.value) == message


async def test_what_we_ended_ourselves() -> None:
    """It is no fault of the command's, unlike what it came to by itself meanwhile."""
    running = Running()
    running.end()
    with pytest.raises(CommandError) as caught:
        await commands.run(("sleep", "60"), timeout_s=20, running=running)
    assert str(caught.value) == "run sleep 60: ended, because proxyconf is to end: it printed nothing"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        pytest.param(
            ("/bin/sh", "-c", "echo  fine"),
            {"argv": "echo  fine", "code": 0, "output": "fine"},
            id="as it was written",
        ),
        pytest.param(
            ("/bin/sh", "-c", "seq 1000; false"),
            {"argv": "seq 1000; false", "code": 1, "output": " ".join(map(str, range(1, 1001)))[-300:]},
            id="its last words",
        ),
        pytest.param(
            ("/none/x", "a b"),
            {"argv": "/none/x 'a b'", "reason": "run /none/x: No such file or directory (is it installed, and"
             " may we run it?)"},
            id="not run",
        ),
    ],
)  # fmt: skip
async def test_at_level_debug_each_is_told(argv: tuple[str, ...], told: dict[str, object]) -> None:
    with capture_logs() as logs, suppress(CommandError):
        await commands.run(argv, timeout_s=20, running=Running())
    (line,) = logs
    assert isinstance(line.pop("duration_ms"), float)
    assert line == {"event": "command.ran", "log_level": "debug"} | told


async def test_only_the_end_of_long_output_is_told() -> None:
    with pytest.raises(CommandError) as caught:
        await commands.run(("/bin/sh", "-c", "seq 1000; false"), timeout_s=20, running=Running())
    assert str(caught.value).endswith(" 999 1000")
    assert len(str(caught.value)) < 400
