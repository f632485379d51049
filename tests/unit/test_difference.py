"""What would change: paired by what files are of, without nonce and token, secrets named and not shown."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner

from proxyconf import app
from proxyconf.cli import main
from proxyconf.config import TemplateTable
from proxyconf.difference import difference
from proxyconf.errors import SourceError, StateError
from proxyconf.nginx.part import parts_named
from proxyconf.state import Applied, State
from proxyconf.tables import Confd
from tests.unit.calling import call
from tests.unit.installed import ONE_BACKEND, Installed
from tests.unit.made_certificates import DAY_S, make_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from proxyconf.config import Settings

BACKUP = 34  # with a group of its name, and nobody whom root would choose for workers
# a check that refuses each part that has a line like that
REFUSES = """
cd "${{5%/*}}"
for host in $(grep -o "parts/h-[0-9a-f]*.conf" nginx.conf); do
    for part in $host $(grep -o "parts/o-[0-9a-f]*.conf" $host); do
        if grep -q "{}" $part; then echo "nginx: [emerg] odd in $PWD/$part:2" >&2; exit 1; fi
    done
done
"""
BAD_ROUTE = '[routes.bad]\nhost = "a b"\n'
LOGIN = 'auth = "joe:$apr1$abcdefgh$1234567890123456789012"\n'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    for name in os.environ:
        if name.startswith("PROXYCONF_"):
            monkeypatch.delenv(name)
    return Installed(tmp_path)


@pytest.fixture
async def applied(installed: Installed) -> Installed:
    """A site that is in place."""
    await put(installed.settings())
    return installed


async def put(settings: Settings) -> None:
    """Bring it in place."""
    outcome = await app.once(settings, timeout_s=30)
    assert outcome.settled


async def lines(settings: Settings) -> list[str]:
    found = await difference(settings, timeout_s=30)
    made = list(found.lines())
    assert bool(made) == bool(found.changes)
    return made


def sites(installed: Installed, old: str, new: str) -> None:
    text = installed.sites.read_text()
    assert old in text
    installed.sites.write_text(text.replace(old, new))


async def test_nothing_would_change(applied: Installed) -> None:
    """Although every attempt has a nonce of its own."""
    before = sorted(applied.path.rglob("*"))
    assert await lines(applied.settings()) == []
    assert sorted(applied.path.rglob("*")) == before


async def test_all_would_be_new(installed: Installed) -> None:
    """The token that makes the proof's name is nobody's business."""
    made = await lines(installed.settings())
    titles = [line for line in made if line.startswith("+++")]
    assert titles == ["+++ main file", "+++ host web.test", "+++ service web"]
    assert made[0] == "--- /dev/null"
    assert any("TOKEN.proxyconf.invalid" in line for line in made)
    assert not any("parts/" in line for line in made)


async def test_a_service_would_change(applied: Installed) -> None:
    sites(applied, "8081", "8082")
    assert (await lines(applied.settings()))[:2] == ["--- service web", "+++ service web"]
    changed = [line for line in await lines(applied.settings()) if line[0] in "+-"][2:]
    assert changed == ["-    server 127.0.0.1:8081;", "+    server 127.0.0.1:8082;"]


async def test_a_host_would_come_and_another_go(applied: Installed) -> None:
    sites(applied, "web.test", "other.test")
    made = await lines(applied.settings())
    headers = [line for line in made if line.startswith(("---", "+++"))]
    assert headers == ["--- /dev/null", "+++ host other.test", "--- host web.test", "+++ /dev/null"]


async def test_the_main_file_would_change(applied: Installed) -> None:
    made = await lines(applied.settings(worker_connections=7))
    assert made[:2] == ["--- main file", "+++ main file"]
    assert "+    worker_connections 7;" in made


async def test_a_bad_value_keeps_its_last_good_form(applied: Installed) -> None:
    """As it does for the program that runs; that it is bad is said."""
    sites(applied, "web.test", "a b")
    found = await difference(applied.settings(), timeout_s=30)
    assert found.changes == 0
    assert any("'a b' is no host name" in warning for warning in found.warnings)


async def test_a_loss_that_would_be_held(installed: Installed) -> None:
    sites(installed, '"127.0.0.1:8081"', '"127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"')
    await put(installed.settings())
    installed.sites.write_text(ONE_BACKEND)
    found = await difference(installed.settings(), timeout_s=30)
    assert found.changes == 0
    assert any("came back with 1 of 3 endpoints" in warning for warning in found.warnings)


async def test_what_nginx_would_refuse(applied: Installed) -> None:
    """It is shown as it would be served, without that."""
    sites(applied, "web.test", "other.test")
    applied.nginx(REFUSES.format("proxy_pass"))
    found = await difference(applied.settings(), timeout_s=30)
    assert [one.name or two.name for one, two in found.texts] == [
        "host other.test",
        "host web.test",
        "service web",
    ]
    assert any(line.startswith("+") and "return 503;" in line for line in found.lines())
    (warning,) = found.warnings
    assert warning.startswith("host other.test: nginx refuses it: odd in ")
    assert warning.endswith(" (it answers 503)")
    applied.nginx("echo 'nginx: [emerg] odd' >&2; exit 1")
    found = await difference(applied.settings(), timeout_s=30)
    assert found.warnings == [f"nginx would refuse this: check {applied.state}/nginx/nginx.conf: odd"]
    applied.nginx("kill -9 $$")
    found = await difference(applied.settings(), timeout_s=30)
    assert found.warnings[0].startswith("nginx can't be asked about it: check ")


async def test_what_nginx_refuses_keeps_its_last_good_form(applied: Installed) -> None:
    """As in the one that runs, so that nothing would change, however often one asks."""
    piece = applied.state / "nginx" / "host.d" / "web.test.conf"
    piece.write_text("add_header X-A 1;\n")
    await put(applied.settings())
    prove(applied)
    piece.write_text("odd;\n")
    applied.nginx(REFUSES.format("^odd;"))
    found = await difference(applied.settings(), timeout_s=30)
    assert found.changes == 0
    (warning,) = found.warnings
    assert warning.startswith(f"file {piece}: nginx refuses it: odd in ")
    assert warning.endswith(" (its last good form serves)")
    piece.write_text("add_header X-A 2;\n")
    assert f"+++ file {piece}" in await lines(applied.settings())


async def test_secrets_are_named_and_not_shown(installed: Installed, tmp_path: Path) -> None:
    folder, now = tmp_path / "certificates", time.time()
    folder.mkdir()
    make_pair("web.test", begin=now - DAY_S, end=now + 90 * DAY_S).put(folder, "web")
    settings = installed.settings(tls={"certificates": str(folder)}, listen={"https": ["127.0.0.1:2"]})
    installed.sites.write_text(f"{ONE_BACKEND}{LOGIN}")
    await put(settings)
    assert await lines(settings) == []
    make_pair("web.test", begin=now - DAY_S, end=now + 90 * DAY_S).put(folder, "web")
    sites(installed, "joe", "jim")
    made = await lines(settings)
    hidden = [line for line in made if line.endswith("(not shown)")]
    assert hidden == [
        "- certificate of host web.test (not shown)",
        "- users of host web.test (not shown)",
        "+ certificate web (not shown)",
        "+ users of host web.test (not shown)",
    ]
    assert not any("PRIVATE KEY" in line or "apr1" in line for line in made)


async def test_operators_pieces_are_named_by_their_files(applied: Installed) -> None:
    piece = applied.state / "nginx" / "host.d" / "web.test.conf"
    piece.write_text("add_header X-A 1;\n")
    made = await lines(applied.settings())
    assert f"+++ file {piece}" in made
    await put(applied.settings())
    assert await lines(applied.settings()) == []
    piece.write_text("add_header X-A 2;\n")
    assert f"--- file {piece}" in await lines(applied.settings())


async def test_parts_that_are_gone_or_odd(applied: Installed) -> None:
    """They would be written again."""
    root = (applied.state / "nginx" / "nginx.conf").read_bytes()
    service, host = sorted(parts_named(root), reverse=True)
    (applied.state / "nginx" / "parts" / service).unlink()
    (applied.state / "nginx" / "parts" / host).write_text("odd\n")
    made = await lines(applied.settings())
    assert [line for line in made if line.startswith("+++")] == ["+++ host web.test", "+++ service web"]


def with_template(installed: Installed, text: str) -> Settings:
    (installed.path / "templates").mkdir(exist_ok=True)
    (installed.path / "templates" / "a").write_text(text)
    settings = installed.settings(mode="none")
    confd = Confd(dir=installed.path)
    table = TemplateTable({"src": "a", "dest": f"{installed.path}/a.conf"}, "p.toml")
    return replace(settings, tables=msgspec.structs.replace(settings.tables, confd=confd), templates=(table,))


async def test_templates(installed: Installed) -> None:
    """Their content, mode and owner; without a site."""
    dest = installed.path / "a.conf"
    made = await lines(with_template(installed, "{{ routes[0].host }}\n"))
    assert made[:4] == ["--- /dev/null", f"+++ {dest}", "@@ -0,0 +1 @@", "+web.test"]
    assert made[4].startswith(f"{dest}: new, mode 0")
    await put(with_template(installed, "{{ routes[0].host }}\n"))
    assert await lines(with_template(installed, "{{ routes[0].host }}\n")) == []


async def test_a_template_that_can_not_be_rendered(installed: Installed) -> None:
    found = await difference(with_template(installed, "{{ nonsense }}"), timeout_s=30)
    assert len(found.preview.errors) == 1
    assert found.changes == 0


async def test_a_source_that_does_not_answer(installed: Installed) -> None:
    installed.sites.unlink()
    with pytest.raises(SourceError):
        await difference(installed.settings(), timeout_s=30)


async def test_what_is_in_place_can_not_be_read(applied: Installed) -> None:
    root = applied.state / "nginx" / "nginx.conf"
    root.unlink()
    root.mkdir()
    with pytest.raises(StateError, match=r"read .*nginx\.conf: Is a directory \(run as root"):
        await difference(applied.settings(), timeout_s=30)


@contextmanager
def being(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
async def of_another_user(applied: Installed) -> AsyncIterator[Installed]:
    """A site that another user's proxyconf has put in place, and we are root again."""
    del applied  # all is imported by now: that user may not be able to read it
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)  # noqa: PTH101 - at once
        os.chown(path, BACKUP, BACKUP)
        with being(BACKUP):
            made = Installed(Path(path))
            await put(made.settings())
        yield made


@pytest.mark.needs("root")
async def test_as_root_beside_another_user(of_another_user: Installed) -> None:
    """It is what that one would write, and nginx's check gives nothing to anybody else."""
    settings = of_another_user.settings(user="")
    assert await lines(settings) == []
    assert not (await difference(settings, timeout_s=30)).warnings
    sites(of_another_user, "8081", "8082")
    before = {path: path.stat().st_uid for path in of_another_user.path.rglob("*")}
    of_another_user.nginx('grep -q "^user backup;" "$5" || { echo "nginx: [emerg] no user" >&2; exit 1; }')
    found = await difference(settings, timeout_s=30)
    assert (found.changes, found.warnings) == (1, [])
    assert {path: path.stat().st_uid for path in of_another_user.path.rglob("*")} == before


@pytest.mark.needs("root")
async def test_as_root_beside_a_user_without_a_name(of_another_user: Installed) -> None:
    """Whom nginx can't be told."""
    os.chown(of_another_user.state / "lock", 4_242, 4_242)
    sites(of_another_user, "8081", "8082")
    found = await difference(of_another_user.settings(user=""), timeout_s=30)
    assert found.changes == 1
    (warning,) = found.warnings
    assert warning.startswith("nginx can't be asked about it: open state folder")
    assert "(sudo -u '#4242' proxyconf ..." in warning


@pytest.mark.needs("root")
async def test_as_somebody_else(of_another_user: Installed) -> None:
    with being(65_534):
        found = await difference(of_another_user.settings(user=""), timeout_s=30)
    assert found.warnings[0].startswith(
        f"{of_another_user.state} is of the user backup, and we are nobody, so"
    )


async def test_a_certificate_that_is_half_there_keeps_its_last_good_form(
    installed: Installed, tmp_path: Path
) -> None:
    """As it does for the program that runs, also after a new start of it."""
    folder, now = tmp_path / "certificates", time.time()
    folder.mkdir()
    make_pair("web.test", begin=now - DAY_S, end=now + 90 * DAY_S).put(folder, "web")
    settings = installed.settings(tls={"certificates": str(folder)}, listen={"https": ["127.0.0.1:2"]})
    await put(settings)
    prove(installed)
    (folder / "web.key").write_text("half a")
    found = await difference(settings, timeout_s=30)
    assert found.changes == 0
    (warning,) = found.warnings
    assert "the one before is still used" in warning


def prove(installed: Installed) -> None:
    """Note that nginx has proved what is in place."""
    root = (installed.state / "nginx" / "nginx.conf").read_text()
    (nonce,) = re.findall(r'return 200 "?([0-9a-f-]+)', root)
    State(installed.state).save_applied(Applied(digest="", nonce=nonce, at=1.0))


# --- the command ---


def test_exit_codes(installed: Installed) -> None:
    """2 is for a change, and nothing else."""
    assert call("once", *installed.arguments()).exit_code == 0
    result = call("plan", *installed.arguments())
    assert (result.exit_code, result.stdout, result.stderr) == (0, "no files would change\n", "")
    sites(installed, "8081", "8082")
    result = call("plan", *installed.arguments())
    assert result.exit_code == 2
    assert result.stdout.endswith("\n1 file would change\n")
    installed.sites.write_text(f"{ONE_BACKEND}{BAD_ROUTE}")
    result = call("plan", *installed.arguments())
    assert (result.exit_code, result.stdout) == (0, "no files would change\n")
    assert result.stderr.startswith("warning: route ")
    installed.sites.unlink()
    result = call("plan", *installed.arguments())
    assert result.exit_code == 1
    assert result.stderr.startswith("proxyconf: read ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--nonsense"], "No such option", id="flag"),
        pytest.param(["--timeout", "x"], "'x' is no duration", id="time-out"),
        pytest.param(["-s", "x"], "write TABLE.KEY=VALUE", id="setting"),
        pytest.param(["-s", "log.levl=x"], "unknown key", id="key"),
        pytest.param(["-c", "/none"], "read /none: No such file", id="no configuration"),
    ],
)
def test_a_mistake_is_no_change(installed: Installed, arguments: list[str], message: str) -> None:
    result = call("plan", *installed.arguments(), *arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def test_no_source(installed: Installed) -> None:
    result = call("plan", "--state", str(installed.state))
    assert result.exit_code == 1
    assert "no source to follow" in result.stderr


def test_an_error_counts_more_than_a_change(installed: Installed) -> None:
    (installed.path / "templates").mkdir()
    (installed.path / "templates" / "a").write_text("{{ nonsense }}")
    (installed.path / "p.toml").write_text(
        f'[confd]\ndir = "{installed.path}"\n[[template]]\nsrc = "a"\ndest = "{installed.path}/a.conf"\n'
    )
    result = call("plan", "-c", f"{installed.path}/p.toml", *installed.arguments())
    assert result.exit_code == 1
    assert result.stderr.startswith("error: template ")
    assert "3 files would change" in result.stdout


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        pytest.param({}, True, id="terminal"),
        pytest.param({"NO_COLOR": ""}, True, id="NO_COLOR empty"),
        pytest.param({"NO_COLOR": "1"}, False, id="NO_COLOR"),
    ],
)
def test_colours(installed: Installed, environment: dict[str, str], *, coloured: bool) -> None:
    arguments = ["plan", *installed.arguments()]
    result = CliRunner(env=environment).invoke(main, arguments, color=True)
    assert ("\x1b[32m+++ main file" in result.stdout) == coloured
    assert "\x1b" not in call(*arguments).stdout
