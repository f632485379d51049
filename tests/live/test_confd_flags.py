"""confd's command line, however it is written, and what its flags do to real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.confd_lab import ConfdLab
    from tests.live.etcd_server import EtcdServer


def stage(dest: Path) -> Path:
    """Return where the next content of *dest* waits."""
    return dest.with_name(f".{dest.name}.proxyconf-stage")


def test_noop(lab: ConfdLab, etcd: EtcdServer) -> None:
    """A diff of what would change; nothing is written, run, or locked."""
    etcd.put("/name", "new")
    dest = lab.text("name", 'one\n{{ getv("/name") }}\n', reload_cmd=f"touch {lab.folder}/ran")
    dest.write_text("one\nold\n")
    lab.text("same", "same\n").write_text("same\n")
    absent = lab.text("absent")
    before = sorted(lab.folder.rglob("*"))
    done = lab.confd("-noop")
    assert done.returncode == 0, done.stderr
    assert f"--- /dev/null\n+++ {absent}\n@@ -0,0 +1 @@\n+new\n" in done.stdout
    assert f"--- {dest}\n+++ {dest}\n@@ -1,2 +1,2 @@\n one\n-old\n+new\n" in done.stdout
    assert "same.txt" not in done.stdout
    assert done.stdout.endswith("nothing was written\n")
    assert sorted(lab.folder.rglob("*")) == before
    assert dest.read_text() == "one\nold\n"


def test_noop_where_something_is_wrong(lab: ConfdLab, etcd: EtcdServer) -> None:
    """The others are shown all the same."""
    etcd.put("/name", "a")
    lab.text("good")
    lab.text("bad", '{{ getv("/no/such") }}\n')
    done = lab.confd("-onetime", "-noop")
    assert done.returncode == 1
    assert "+a\n" in done.stdout
    assert done.stderr.startswith("error: ")
    assert f"render {lab.confdir}/templates/bad.tmpl:1: getv '/no/such'" in done.stderr


def test_sync_only(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Neither command is run."""
    ran = f"touch {lab.folder}/ran"
    etcd.put("/name", "a")
    dest = lab.text("name", check_cmd=f"{ran}; false", reload_cmd=ran)
    done = lab.once("-sync-only")
    assert (done.returncode, done.stdout, dest.read_text()) == (0, "1 applied\n", "a\n")
    assert not (lab.folder / "ran").exists()


def test_keep_stage_file(lab: ConfdLab, etcd: EtcdServer) -> None:
    """What a check has refused can be looked at."""
    etcd.put("/name", "a")
    dest = lab.text("name", check_cmd="grep -q b {{ .src }}")
    assert lab.once("-keep-stage-file").returncode == 1
    assert stage(dest).read_text() == "a\n"
    assert not dest.exists()


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        pytest.param(("-prefix", "flag"), "flag", id="the flag replaces the resource's, as in the original"),
        pytest.param(("-prefix", "/flag/", "-prefix-rule=join"), "both", id="the flag is put before it"),
    ],
)
def test_prefix(lab: ConfdLab, etcd: EtcdServer, flags: tuple[str, ...], shown: str) -> None:
    """Templates name keys relative to it, in any case."""
    etcd.fill({"/flag/a/name": "flag", "/flag/own/a/name": "both"})
    dest = lab.text("name", '{{ getv("/a/name") }}', prefix="/own/", keys=["a"])
    assert lab.once(*flags).returncode == 0
    assert dest.read_text() == shown


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(
            ["confd", "etcd", "--node", "http://NODE", "--confdir", "CONFDIR", "--onetime"], id="fork"
        ),
        pytest.param(["confd", "-onetime", "-c", "CONFDIR", "-C", "RESOURCE", "-n", "NODE"], id="2014"),
        pytest.param(
            ["proxyconf", "confd", "-onetime", "-confdir", "CONFDIR", "-node", "NODE"], id="no link"
        ),
    ],
)
def test_however_it_is_called(lab: ConfdLab, etcd: EtcdServer, argv: list[str]) -> None:
    """Each does the same."""
    etcd.put("/name", "a")
    dest = lab.text("name")
    words = {
        "CONFDIR": str(lab.confdir),
        "RESOURCE": str(lab.confdir / "conf.d" / "name.toml"),
        "NODE": etcd.url.removeprefix("http://"),
    }
    for word, value in words.items():
        argv = [one.replace(word, value) for one in argv]
    done = lab.run(*argv)
    assert (done.returncode, done.stdout) == (0, "1 applied\n"), done.stderr
    assert dest.read_text() == "a\n"


def test_flag_and_environment_before_file(lab: ConfdLab, etcd: EtcdServer) -> None:
    """The original lets the file win."""
    etcd.fill({"/environment/name": "environment", "/file/name": "file"})
    dest = lab.text("name")
    config = lab.folder / "confd.toml"
    config.write_text("prefix = '/file'\nlog_level = 'debug'\n")
    lab.extra["CONFD_PREFIX"] = "/environment"
    done = lab.once("-config-file", str(config), "-log-level", "error")
    assert (done.returncode, done.stderr) == (0, "")
    assert dest.read_text() == "environment\n"


def test_a_second_one_on_the_same_state_folder(lab: ConfdLab, etcd: EtcdServer) -> None:
    """It ends with 2, and names the pid of the first, which goes on."""
    etcd.put("/name", "a")
    dest = lab.text("name")
    daemon = lab.start()
    lab.until_state("applied")
    second = lab.once()
    assert second.returncode == 2
    assert f"proxyconf with pid {daemon.pid} uses it" in second.stderr
    etcd.put("/name", "b")
    lab.until_text(dest, "b\n")
    assert lab.stop(daemon) == 0
