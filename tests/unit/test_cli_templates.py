"""The command line where there are templates: what is an error, what a warning, and that all is said."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.unit.calling import call, child, outcome
from tests.unit.installed import Installed

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


class Confdir:
    """A folder as confd has it, with a file as the store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = path / "store.json"
        self.store.write_text('{"name": "new"}')
        for name in ("conf.d", "templates"):
            (path / name).mkdir()

    def resource(
        self, name: str, more: str = "", *, text: str = "{{ getv('/name') }}\n", dest: str = ""
    ) -> Path:
        """Write a resource and its template; return where it goes."""
        path = self.path / (dest or f"{name}.out")
        lines = ["[template]", f"src = '{name}'", f"dest = '{path}'", "keys = ['/']", more]
        (self.path / "conf.d" / f"{name}.toml").write_text("\n".join(lines))
        (self.path / "templates" / name).write_text(text)
        return path

    def arguments(self, *more: str) -> list[str]:
        state = ["-state", str(self.path / "state")]
        return ["confd", "-confdir", str(self.path), "-backend=file", f"-file={self.store}", *state, *more]

    def lines(self, text: str) -> list[str]:
        """Return *text* as lines, without this folder."""
        return text.replace(f"{self.path}/", "").splitlines()

    def starts(self, text: str) -> list[str]:
        """Return them without what is in parentheses at the end, the mend; but for a likely spelling."""
        return [re.sub(r" \((?!did you).*", "", line) for line in self.lines(text)]


@pytest.fixture
def confdir(tmp_path: Path) -> Confdir:
    (tmp_path / "confd").mkdir()
    return Confdir(tmp_path / "confd")


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


UNKNOWN = "mdoe: unknown, so it was passed over (did you mean 'mode'?)"


def test_noop_counts_everything(confdir: Confdir) -> None:
    """What is set aside or can't be done is an error, what is passed over a warning."""
    confdir.resource("a-changes", "mode = '0600'").write_text("old\n")
    confdir.resource("b-mode", "mode = '0600'\nmdoe = 'x'").write_text("new\n")
    confdir.resource("c-bad", text="{{ nonsense }}")
    confdir.resource("d-nowhere", dest="none/x")
    confdir.resource("e-owner", "owner = 'nobody-of-that-name'")
    confdir.resource("f-right").write_text("new\n")
    for name in ("a-changes", "b-mode"):
        (confdir.path / f"{name}.out").chmod(0o644)
    result = call(*confdir.arguments("-onetime", "-noop"))
    assert result.exit_code == 1
    *changes, last = confdir.lines(result.stdout)
    assert changes == [
        *("--- a-changes.out", "+++ a-changes.out", "@@ -1 +1 @@", "-old", "+new"),
        "a-changes.out: mode 0644 -> 0600",
        "b-mode.out: mode 0644 -> 0600",
    ]
    counts = "2 would change, 1 can't be rendered, 1 can't be written, 1 set aside"
    assert last == f"6 templates: {counts}; nothing was written"
    assert confdir.starts(result.stderr) == [
        "error: template conf.d/e-owner.toml:5: owner: there is no 'nobody-of-that-name' on this host",
        "error: template conf.d/c-bad.toml: c-bad.out: render templates/c-bad:1: 'nonsense' is undefined",
        "error: template conf.d/d-nowhere.toml: write none/x: No such file or directory",
        f"warning: template conf.d/b-mode.toml:6: {UNKNOWN}",
    ]


def test_noop_of_nothing(confdir: Confdir) -> None:
    result = call(*confdir.arguments("-noop"))
    assert result.exit_code == 0
    assert result.stdout == "0 templates: 0 would change; nothing was written\n"
    assert confdir.starts(result.stderr) == [
        "warning: template conf.d: there is no resource, so there is nothing to do"
    ]


@pytest.mark.parametrize("flag", ["-noop", "-onetime", "-check-config", "-watch"])
def test_a_folder_that_is_not_there(confdir: Confdir, flag: str) -> None:
    """A mistake in the flags, whatever is to be done."""
    result = call(*confdir.arguments(flag, "-confdir", "/none/x"))
    assert result.exit_code == 2
    assert result.stderr.endswith(
        "-confdir /none/x: no such folder (the one with conf.d and templates in it)\n"
    )


def test_what_onetime_has_set_aside_is_an_error(confdir: Confdir) -> None:
    """What its last line says is not said twice."""
    confdir.resource("a-good", "mdoe = 'x'")
    confdir.resource("b-mode", "mode = 'x'")
    confdir.resource("c-bad", text="{{ nonsense }}")
    result = call(*confdir.arguments("-onetime", "-log-level=fatal"))
    assert result.exit_code == 1
    assert confdir.starts(result.stdout) == ["1 applied, 1 refused"]
    assert [line for line in confdir.starts(result.stderr) if "template.refused" not in line] == [
        "error: template conf.d/b-mode.toml:5: mode: 'x' is no mode",
        f"warning: template conf.d/a-good.toml:5: {UNKNOWN}",
    ]


def test_what_onetime_knows_is_said_where_the_store_is_silent(confdir: Confdir) -> None:
    confdir.resource("b-mode", "mode = 'x'")
    confdir.store.unlink()
    result = call(*confdir.arguments("-onetime", "-log-level=error", "-backend-timeout=100ms"))
    assert result.exit_code == 1
    assert result.stdout.startswith("not applied: file: ")
    assert "error: template conf.d/b-mode.toml:5: mode: 'x' is no mode" in confdir.starts(result.stderr)


def test_without_a_site_nothing_is_said_of_nginx(confdir: Confdir) -> None:
    confdir.resource("a")
    first = call(*confdir.arguments("-onetime")).stderr.splitlines()[0]
    assert "proxyconf.started" in first
    assert "sources=['file'] templates=1" in first
    assert "nginx" not in first


@pytest.mark.parametrize("flag", ["-check-config", "-validate"])
def test_check_config_says_all_that_is_wrong(confdir: Confdir, flag: str) -> None:
    """Each in a line of its own, and warnings beside it."""
    confdir.resource("a-good", "mdoe = 'x'")
    confdir.resource("b-mode", "mode = 'x'")
    confdir.resource("c-go", text='{{ getv "/name" }}')
    result = call(*confdir.arguments(flag, "-color"))
    assert (result.exit_code, result.stdout) == (2, "")
    warnings = [
        "warning: -color: has no effect: a diff has no colours",
        f"warning: template conf.d/a-good.toml:5: {UNKNOWN}",
    ]
    assert confdir.starts(result.stderr) == [
        "error: template conf.d/b-mode.toml:5: mode: 'x' is no mode",
        'error: render templates/c-go:1: {{ getv "/name" }} is in Go\'s template syntax',
        *warnings,
    ]
    for name in ("b-mode", "c-go"):
        confdir.resource(name)
    result = call(*confdir.arguments(flag))
    assert (result.exit_code, result.stdout) == (0, "configuration: well; sources: file\ntemplates: 3\n")
    assert confdir.starts(result.stderr) == warnings[1:]


def test_render_of_templates(installed: Installed, confdir: Confdir) -> None:
    """Beside a site; their modes and owners are told, and what is wrong with one."""
    confdir.resource("a-mode", "mode = '0600'").write_text("new\n")
    (confdir.path / "a-mode.out").chmod(0o644)
    more = installed.arguments(f"confd.dir={confdir.path}")
    arguments = ["render", *more, "--file", str(confdir.store)]
    result = call(*arguments)
    assert (result.exit_code, confdir.lines(result.stderr)) == (0, ["a-mode.out: mode 0644 -> 0600"])
    assert result.stdout.count("# ==> ") == 4
    assert f"# ==> files{confdir.path}/a-mode.out\nnew\n" in result.stdout
    confdir.resource("b-bad", text="{{ nonsense }}")
    result = call(*arguments)
    assert result.exit_code == 1
    assert result.stdout.count("# ==> ") == 4
    assert confdir.lines(result.stderr)[0].startswith("error: template conf.d/b-bad.toml: b-bad.out: render ")


def until_logged(process: subprocess.Popen[str], event: str) -> str:
    """Return the next line with *event*."""
    assert process.stderr
    while event not in (line := process.stderr.readline()):
        assert process.poll() is None
    return line


@pytest.mark.parametrize("as_confd", [True, False])
def test_a_hang_up_changes_the_log_level(confdir: Confdir, *, as_confd: bool) -> None:
    """In confd.toml, and in our own file."""
    confdir.resource("a", "reload_cmd = 'echo  well'")
    file = confdir.path / "p.toml"
    if as_confd:
        texts = [f"log-level = '{level}'" for level in ("info", "debug")]
        arguments = confdir.arguments("-config-file", str(file))
    else:
        table = (
            f"[file]\npath = ['{confdir.store}']\n[nginx]\nmode = 'none'\n[confd]\ndir = '{confdir.path}'\n"
        )
        texts = [f"{table}[log]\nlevel = '{level}'\nformat = 'text'" for level in ("info", "debug")]
        arguments = ["run", "-c", str(file), "--state", str(confdir.path / "state")]
    file.write_text(texts[0])
    process = child(*arguments)
    try:
        until_logged(process, "template.applied")
        file.write_text(texts[1])
        process.send_signal(signal.SIGHUP)
        until_logged(process, "configuration.read_again")
        confdir.store.write_text('{"name": "newer"}')
        line = until_logged(process, "command.ran")
        assert "argv='echo  well' " in line
        assert "code=0 output=well" in line
    finally:
        process.terminate()
        outcome(process)
