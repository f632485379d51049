"""SIGHUP, which kills confd: everything is read again, watches are kept, and a mistake changes nothing."""

from __future__ import annotations

import re
import signal
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from tests.live.confd_lab import ConfdLab
    from tests.live.etcd_server import EtcdServer


def watches(etcd: EtcdServer) -> int:
    """Return how often a watch was opened since the server was started."""
    with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r'(?m)^grpc_server_started_total\{.*grpc_method="Watch".*\} (\d+)', text)
    assert found
    return int(found[1])


def hang_up(lab: ConfdLab, daemon: subprocess.Popen[bytes], event: str = "configuration.read_again") -> None:
    """Send it, and wait until *event* is logged once more."""
    before = lab.log().count(event)
    daemon.send_signal(signal.SIGHUP)
    lab.until(lambda: lab.log().count(event) > before, event)


def test_a_resource_is_taken_up_and_the_watch_kept(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Other commands, modes and destinations, and a resource that comes or goes, need no new watch."""
    etcd.put("/name", "a")
    first = lab.text("first", reload_cmd=f"echo >> {lab.folder}/old-reloads")
    daemon = lab.start()
    lab.until_state("applied")
    opened = watches(etcd)
    lab.text("first", mode="0600", reload_cmd=f"echo >> {lab.folder}/new-reloads")
    second = lab.text("second")
    hang_up(lab, daemon)
    lab.until_text(second, "a\n")
    lab.until(lambda: first.stat().st_mode & 0o777 == 0o600, "it has the new mode")
    etcd.put("/name", "b")
    lab.until_text(first, "b\n")
    lab.until(lambda: lab.calls("new-reloads") == 1, "the new command is run")
    lab.until_all("applied")
    (lab.confdir / "conf.d" / "second.toml").unlink()
    hang_up(lab, daemon)
    lab.until_status(lambda status: len(status.templates) == 1, "the second is gone")
    assert (second.read_text(), lab.calls("old-reloads")) == ("b\n", 1)
    assert watches(etcd) == opened
    assert lab.status().sources[0].state == "watching"
    assert lab.stop(daemon) == 0


def test_keys_that_nobody_has_asked_for(lab: ConfdLab, etcd: EtcdServer) -> None:
    """They need another watch; until it has spoken, nothing is taken for empty."""
    etcd.fill({"/a/1": "x", "/b/1": "y"})
    text = '{{ gets("/a/*")|length }} {{ gets("/b/*")|length }}\n'
    dest = lab.text("name", text, keys=["/a"], reload_cmd=f"cat {{{{.dest}}}} >> {lab.folder}/seen")
    daemon = lab.start()
    lab.until_text(dest, "1 0\n")
    lab.text("name", text, keys=["/a", "/b"], reload_cmd=f"cat {{{{.dest}}}} >> {lab.folder}/seen")
    hang_up(lab, daemon)
    lab.until_text(dest, "1 1\n")
    lab.until(lambda: lab.calls("seen") == 2, "reloaded")
    assert (lab.folder / "seen").read_text() == "1 0\n1 1\n"


def test_a_resource_that_is_broken_now(lab: ConfdLab, etcd: EtcdServer) -> None:
    """It is said, and what it said before goes on; a new one that is broken is set aside."""
    etcd.put("/name", "a")
    dest = lab.text("name", mode="0600")
    daemon = lab.start()
    lab.until_state("applied")
    resource = lab.confdir / "conf.d" / "name.toml"
    good = resource.read_text()
    resource.write_text(good.replace("[template]", "[template"))
    hang_up(lab, daemon)
    (problem,) = lab.until_status(lambda status: status.problems, "it is said").problems
    assert problem.where == f"{resource}:1"
    assert "what was read before still counts" in problem.why
    etcd.put("/name", "b")
    lab.until_text(dest, "b\n")
    resource.write_text(good.replace("0600", "0640"))
    hang_up(lab, daemon)
    lab.until(lambda: dest.stat().st_mode & 0o777 == 0o640, "the mended one counts")
    lab.until_status(lambda status: not status.problems, "no problem is left")


def test_confd_toml(lab: ConfdLab, etcd: EtcdServer) -> None:
    """What has changed in it takes effect; a mistake in it is said, and the one before counts."""
    etcd.fill({"/one/name": "one", "/two/name": "two"})
    dest = lab.text("name")
    config = lab.folder / "confd.toml"
    config.write_text('prefix = "/one"\n')
    daemon = lab.start("confd", *lab.flags, "-config-file", str(config))
    lab.until_text(dest, "one\n")
    config.write_text('prefix = "/two"\nlog-level = "debug"\n')
    hang_up(lab, daemon)
    lab.until_text(dest, "two\n")
    assert "[debug " in lab.log()
    config.write_text('prefix = "/one\n')
    hang_up(lab, daemon, "configuration.refused")
    assert f"read {config}: " in lab.log()
    etcd.put("/two/name", "three")
    lab.until_text(dest, "three\n")


def test_a_reload_that_is_due(lab: ConfdLab, etcd: EtcdServer) -> None:
    """One that hangs holds up a new configuration no longer than its time, and is repeated by it."""
    etcd.put("/name", "a")
    lab.script("hang", f"echo >> {lab.folder}/hangs; tail -f $0 & wait")
    dest = lab.text("name", reload_cmd="hang", reload_cmd_timeout="1s")
    daemon = lab.start()
    lab.until(lambda: lab.calls("hangs") == 1, "the command hangs")
    lab.script("hang", f"echo >> {lab.folder}/hangs")
    hang_up(lab, daemon)
    lab.until_state("applied")
    assert (lab.calls("hangs"), dest.read_text()) == (2, "a\n")
    assert lab.stop(daemon) == 0
    assert lab.processes() == []


def test_many_at_once(lab: ConfdLab, etcd: EtcdServer) -> None:
    """None is lost, none ends it."""
    etcd.put("/name", "a")
    dest = lab.text("name")
    daemon = lab.start()
    lab.until_state("applied")
    for number in range(10):
        lab.text("name", f'{number} {{{{ getv("/name") }}}}\n')
        daemon.send_signal(signal.SIGHUP)
    lab.until_text(dest, "9 a\n")
    lab.until_state("applied")
    assert lab.stop(daemon) == 0
