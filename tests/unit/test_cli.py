"""The command line: exit codes, one line per mistake, and help that teaches by example."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from proxyconf import __version__
from proxyconf.state import State
from tests.unit.calling import call, child, outcome
from tests.unit.installed import Installed

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

COMMANDS = (
    *("run", "once", "render", "check", "plan", "doctor", "status", "confirm"),
    *("explain", "history", "pause", "resume", "recover", "confd"),
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    for name in os.environ:
        if name.startswith("PROXYCONF_"):
            monkeypatch.delenv(name)
    return Installed(tmp_path)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_teaches_by_example(command: str) -> None:
    result = call(*([command] if command else []), "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\n +.*proxyconf {command}", result.output)
    assert max(map(len, result.output.splitlines())) <= 100


@pytest.mark.parametrize("command", ["run", "once", "check", "plan", "doctor", "status"])
def test_help_names_the_exit_codes(command: str) -> None:
    assert re.search(r"Exit codes: 0 .*1 .*2 ", call(command, "-h").output, re.DOTALL)


def test_help_has_the_common_commands_first() -> None:
    listed = re.findall(r"^  (\w+)  ", call("--help").output.partition("Commands:")[2], re.MULTILINE)
    assert tuple(listed) == COMMANDS


def test_help_tells_whole_sentences_of_the_commands() -> None:
    assert "..." not in call("--help").output.partition("Commands:")[2]


def test_what_follows_exec_is_the_command(installed: Installed) -> None:
    """With two dashes before it or without, and its flags are not ours."""
    flags = installed.arguments("exec.on_exit=end", "log.level=error")
    for between in ([], ["--"]):
        process = child("run", *flags, "--exec", *between, "/bin/sh", "-c", "exit 7", "--docker")
        assert outcome(process)[0] == 7


def test_version() -> None:
    assert call("--version").output == f"proxyconf, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["once"], "no source to follow (give --docker, --etcd URL, --consul", id="no source"),
        pytest.param(["run"], "no source to follow", id="run without a source"),
        pytest.param(["render"], "no source to follow", id="render without a source"),
        pytest.param(["check"], "no source to follow", id="check without a source"),
        pytest.param(["check", "-c", "/none"], "read /none: No such file or directory", id="no file"),
        pytest.param(
            ["check", "--docker", "-s", "log.levl=debug"], "unknown key (did you mean 'level'?)", id="setting"
        ),
        pytest.param(
            ["run", "--docker", "--start-after", "5", "--exec"],
            "exec.start_after: '5' is no duration",
            id="start after",
        ),
        pytest.param(
            ["run", "--docker", "-s", "nginx.mode=none", "--exec"], '--exec: [nginx] mode = "none"', id="none"
        ),
        pytest.param(
            ["check", "--etcd", "ftp://x"], "[etcd] endpoints: 'ftp://x': no endpoint of an etcd", id="source"
        ),
        pytest.param(
            ["run", "--etcd", "nonsense"],
            "'nonsense': no endpoint of an etcd (write \"http://127.0.0.1:2379\" or",
            id="no address of an etcd",
        ),
        pytest.param(
            ["run", "--consul", "nonsense"],
            "'nonsense': no endpoint of a Consul (write \"http",
            id="no address of a Consul",
        ),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(r"(proxyconf|error): [^\n]+\n", result.stderr)
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["start"], "No such command 'start'", id="command"),
        pytest.param(["run", "--dokcer"], "No such option", id="flag"),
        pytest.param(["run", "--docker", "nginx"], "(to start nginx: --exec nginx ...)", id="a command"),
        pytest.param(["check", "-s", "level=debug"], "'level=debug' (write TABLE.KEY=VALUE)", id="no table"),
        pytest.param(["check", "-s", "log.level"], "'log.level' (write TABLE.KEY=VALUE)", id="no value"),
        pytest.param(
            ["once", "--docker", "--timeout", "10"], "'10' is no duration (write \"250ms\"", id="time-out"
        ),
        pytest.param(["render", "--docker", "--timeout", "x"], "'x' is no duration", id="time-out of render"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_mistake_in_use(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", ["run", "once", "render", "check", "plan"])
def test_a_file_without_a_source_is_named(tmp_path: Path, command: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text("[nginx]\nuser = 'nobody'\n")
    said = call(command, "-c", str(file), "--state", str(tmp_path / "state")).stderr
    assert said == f"proxyconf: {file} names no source (add [consul], [docker], [etcd] or [file])\n"


def test_once(installed: Installed) -> None:
    result = call("once", *installed.arguments("log.format=json"))
    assert result.exit_code == 0
    assert result.stdout == (
        "installed and checked: 1 route, 0 problems; no nginx runs; start it with:"
        f" {installed.path}/nginx -c {installed.state}/nginx/nginx.conf\n"
    )
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events[0] == "proxyconf.started"
    assert "nginx.not_running" in events


def test_once_shows_problems_as_warnings(installed: Installed) -> None:
    installed.sites.write_text(installed.sites.read_text() + '[routes.bad]\nhost = "a b"\n')
    result = call("once", *installed.arguments("log.level=error"))
    assert result.exit_code == 0
    assert re.fullmatch(r"warning: route .*sites\.toml.*: 'a b' is no host name \(.*\)\n", result.stderr)


def test_once_that_is_refused(installed: Installed) -> None:
    installed.refuses()
    result = call("once", *installed.arguments())
    assert result.exit_code == 1
    assert result.stdout.startswith("not applied: refused: check ")


def test_once_that_takes_too_long(installed: Installed) -> None:
    installed.sites.unlink()
    result = call("once", *installed.arguments(), "--timeout", "200ms")
    assert result.exit_code == 1
    assert result.stdout.startswith("not applied: ")


def test_once_while_another_one_runs(installed: Installed) -> None:
    with State(installed.state).locked():
        result = call("once", *installed.arguments())
    assert result.exit_code == 2
    assert f"proxyconf with pid {os.getpid()} uses it" in result.stderr


@pytest.mark.needs("root")
def test_once_by_root_where_another_user_is_at_home(installed: Installed) -> None:
    call("once", *installed.arguments())
    os.chown(installed.state / "lock", 65_534, 65_534)
    before = sorted(installed.state.rglob("*"))
    result = call("once", *installed.arguments())
    assert result.exit_code == 2
    assert "in use by the user nobody" in result.stderr
    assert "(sudo -u nobody proxyconf ..." in result.stderr
    assert sorted(installed.state.rglob("*")) == before


def test_render_to_standard_output(installed: Installed) -> None:
    result = call("render", *installed.arguments())
    assert result.exit_code == 0
    assert result.stdout.count("# ==> ") == 3
    assert result.stdout.startswith("# ==> nginx.conf\n")
    assert "127.0.0.1:8081" in result.stdout
    assert not installed.state.exists()


def test_render_to_a_folder(installed: Installed) -> None:
    installed.sites.write_text(installed.sites.read_text() + '[routes.bad]\nhost = "a b"\n')
    out = installed.path / "out"
    result = call("render", *installed.arguments(), "--out", str(out))
    assert (result.exit_code, result.stdout) == (0, f"3 files in {out}\n")
    assert result.stderr.startswith("warning: route ")
    assert (out / "nginx.conf").exists()


def test_render_that_gets_no_answer(installed: Installed) -> None:
    installed.sites.unlink()
    result = call("render", *installed.arguments())
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"proxyconf: .*sites\.toml.*\n", result.stderr)


def test_check_looks_at_certificates(installed: Installed) -> None:
    """What is amiss with them keeps nothing from running, so it is no mistake."""
    folder = installed.path / "certs"
    tls = f"nginx.tls.certificates={folder}"
    result = call("check", *installed.arguments(tls))
    why = "can't be listed; all hosts are without one (is it there, and may we read it?)"
    assert (result.exit_code, result.stderr) == (0, f"warning: folder {folder}: {why}\n")
    folder.mkdir()
    (folder / "a.crt").write_text("nonsense")
    (folder / "a.key").write_text("nonsense")
    result = call("check", *installed.arguments(tls))
    why = "is no certificate in PEM (it should begin with -----BEGIN CERTIFICATE-----)"
    assert (result.exit_code, result.stderr) == (0, f"warning: certificate {folder}/a.crt: {why}\n")


def test_check(installed: Installed) -> None:
    result = call("check", *installed.arguments())
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "configuration: well; sources: file",
        "nginx: nginx 1.22.1",
        "site: nginx takes it (without routes)",
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param([], "unknown directive", id="refused"),
        pytest.param(["nginx.binary=/none/nginx"], "run /none/nginx: No such file", id="no nginx"),
    ],
)
def test_check_that_fails(installed: Installed, more: list[str], message: str) -> None:
    installed.refuses()
    result = call("check", *installed.arguments(*more))
    assert result.exit_code == 1
    assert re.fullmatch(rf"proxyconf: [^\n]*{message}[^\n]*\n", result.stderr)


@pytest.mark.parametrize("command", ["status", "confirm", "pause", "resume", "history"])
def test_nobody_to_ask(installed: Installed, command: str) -> None:
    """It needs no source to be named."""
    result = call(command, "--state", str(installed.state))
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"proxyconf: ask [^\n]+does proxyconf run[^\n]+\n", result.stderr)


@pytest.mark.parametrize("command", ["status", "confirm", "pause", "resume", "history"])
def test_who_runs_is_found_whatever_is_wrong_in_the_file(installed: Installed, command: str) -> None:
    """It goes on with what it had, and status is where its mistake is shown."""
    file = installed.path / "p.toml"
    file.write_text(f'[nignx]\n[nginx]\nmode = "x"\n[state]\ndir = "{installed.state}"\n')
    result = call(command, "-c", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"ask {installed.state}/status.sock: " in result.stderr


def test_a_file_that_can_not_be_read_says_nothing_of_who_runs(installed: Installed) -> None:
    file = installed.path / "p.toml"
    file.write_text("[nginx\n")
    result = call("status", "-c", str(file))
    assert result.exit_code == 2
    assert result.stderr.endswith(" (or give the state folder of the one that runs: --state DIR)\n")
    result = call("status", "-c", str(file), "--state", str(installed.state))
    assert result.exit_code == 1
    assert f"ask {installed.state}/status.sock: " in result.stderr
    assert call("status", "--state", str(installed.state), "-s", "nignx.mode=own").exit_code == 2


def test_the_file_of_the_environment(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    (installed.path / "p.toml").write_text("[lgo]\n")
    monkeypatch.setenv("PROXYCONF_CONFIG", str(installed.path / "p.toml"))
    result = call("check")
    assert result.exit_code == 2
    assert "p.toml: lgo: unknown table (did you mean 'log'?)" in result.stderr


def test_a_flag_beats_the_environment_which_beats_the_file(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = installed.path / "p.toml"
    file.write_text('[nginx]\nbinary = "/of/file"\n')
    arguments = ["check", "--file", str(installed.sites), "-c", str(file)]
    assert "run /of/file:" in call(*arguments).stderr
    monkeypatch.setenv("PROXYCONF_NGINX_BINARY", "/of/environment")
    assert "run /of/environment:" in call(*arguments).stderr
    assert "run /of/flag:" in call(*arguments, "-s", "nginx.binary=/of/flag").stderr


def test_flags_for_sources(installed: Installed) -> None:
    arguments = ["--docker", "--etcd", "http://127.0.0.1:1", "--etcd", "http://127.0.0.1:2"]
    result = call("check", *installed.arguments(), *arguments, "-s", "etcd.prefix=/web")
    assert result.stdout.startswith("configuration: well; sources: docker, etcd, file\n")


def running(installed: Installed) -> subprocess.Popen[str]:
    """Start `run`, and wait until it answers."""
    process = child("run", *installed.arguments("log.format=text"))
    deadline = time.monotonic() + 30
    while call("status", "--state", str(installed.state)).exit_code:
        assert process.poll() is None
        assert time.monotonic() < deadline
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_as_a_process(installed: Installed, number: signal.Signals) -> None:
    """It answers while it runs, and a signal ends it with exit code 0."""
    process = running(installed)
    try:
        shown = call("status", "--state", str(installed.state), "--json")
        assert json.loads(shown.stdout)["pid"] == process.pid
        text = call("status", "--state", str(installed.state)).stdout
        assert text.startswith(f"proxyconf {__version__}, pid {process.pid}, up ")
        assert call("confirm", "--state", str(installed.state)).stdout == "nothing is held\n"
        code, out, err = outcome(child("run", *installed.arguments()))
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert f"proxyconf with pid {process.pid} uses it" in err
    finally:
        process.send_signal(number)
        code, out, err = outcome(process)
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert "proxyconf.started" in err.splitlines()[0]
    assert "proxyconf.stopping" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["once", "--timeout", "20s"], 0, id="once"),
        pytest.param(["check", "-s", "nginx.binary=/none"], 1, id="no nginx"),
        pytest.param(["check", "-s", "nginx.binray=/none"], 2, id="a mistake"),
    ],
)
def test_exit_codes_of_a_process(installed: Installed, arguments: list[str], code: int) -> None:
    found, _, err = outcome(child(*arguments[:1], *installed.arguments(), *arguments[1:]))
    assert found == code
    assert "Traceback" not in err
