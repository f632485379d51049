"""confd as a daemon: changes, commands that hang, and what the keys of a resource promise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.live.confd_lab import ConfdLab
    from tests.live.etcd_server import EtcdServer

pytestmark = pytest.mark.needs("nginx")


def test_changes_are_served(lab: ConfdLab, etcd: EtcdServer) -> None:
    """A lone one at once, a burst with few reloads; and what never changes causes none."""
    lab.app()
    etcd.put("/app/server/1", lab.backend("one"))
    daemon = lab.start()
    lab.until_state("installed")
    lab.start_nginx()
    lab.until_state("applied")
    assert lab.reloads() == 0
    etcd.put("/app/server/1", lab.backend("two"))
    lab.until_serves("two")
    lab.until_state("applied")
    assert lab.reloads() == 1
    for _ in range(30):
        etcd.put("/app/server/1", lab.backend("one"))
        etcd.put("/app/server/1", lab.backend("two"))
        etcd.put("/app/other", "is not ours")
    etcd.put("/app/server/2", lab.backend("three"))
    lab.until_serves("two", "three")
    lab.until_state("applied")
    assert lab.reloads() <= 8
    assert lab.stop(daemon) == 0
    assert lab.ask() in ("two", "three")


def test_a_reload_that_hangs_holds_up_nobody_else(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Nor does it keep us from ending, and nothing of it is left; the next start tries it again."""
    etcd.fill({"/hangs/name": "a", "/name": "a", "/app/server/1": lab.backend("one")})
    lab.script("hang", f"echo >> {lab.folder}/hangs; tail -f $0 & wait")
    hanging = lab.text("hanging", '{{ getv("/hangs/name") }}\n', keys=["/hangs"], reload_cmd="hang")
    good = lab.text("good", keys=["/name"], reload_cmd=f"echo >> {lab.folder}/good-reloads")
    lab.app()
    lab.start_nginx()
    daemon = lab.start()
    lab.until_text(hanging, "a\n")
    lab.until(lambda: lab.calls("hangs") == 1, "the command hangs")
    etcd.put("/name", "b")
    lab.until_text(good, "b\n")
    lab.until(lambda: lab.calls("good-reloads") == 2, "the other one is reloaded")
    etcd.put("/app/server/1", lab.backend("two"))
    lab.until_serves("two")
    start = time.monotonic()
    assert lab.stop(daemon) == 0
    assert time.monotonic() - start < 10
    assert lab.processes() == []
    lab.script("hang", f"echo >> {lab.folder}/hangs")
    lab.start()
    lab.until(lambda: lab.calls("hangs") == 2, "the reload is made up for")
    lab.until_all("applied")
    assert lab.calls("good-reloads") == 2


def test_one_command_for_three_resources(lab: ConfdLab, etcd: EtcdServer) -> None:
    """It is run once for what changes together."""
    etcd.put("/name", "a")
    dests = [lab.text(name, reload_cmd=f"echo >> {lab.folder}/reloads") for name in ("a", "b", "c")]
    lab.start()
    lab.until_all("applied")
    assert lab.calls("reloads") == 1
    etcd.put("/name", "b")
    for dest in dests:
        lab.until_text(dest, "b\n")
    lab.until(lambda: lab.calls("reloads") == 2, "reloaded")
    lab.until_all("applied")
    assert lab.calls("reloads") == 2


def test_min_reload_interval_delays_and_never_drops(lab: ConfdLab, etcd: EtcdServer) -> None:
    """The file is right at once, its reload comes later, and once."""
    etcd.put("/name", "a")
    reload = f"date +%s.%N >> {lab.folder}/reloads; cp {{{{.dest}}}} {lab.folder}/seen"
    dest = lab.text("name", reload_cmd=reload, min_reload_interval="1s")
    lab.start()
    lab.until_state("applied")
    for value in ("b", "c"):
        etcd.put("/name", value)
        lab.until_text(dest, f"{value}\n")
    assert "its reload waits for min_reload_interval" in lab.until_state("installed").reason
    lab.until_state("applied")
    assert (lab.folder / "seen").read_text() == "c\n"
    first, second = map(float, (lab.folder / "reloads").read_text().split())
    assert second - first > 0.9  # a shell does not always take as long to start


def test_require(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Before the first write there must be something below each; after it, no more."""
    etcd.put("/a/1", "x")
    dest = lab.text("name", '{{ getvs("/a/*")|join(" ") }}\n', require=["/a", "/b"])
    lab.start()
    assert lab.until_state("waiting").reason == "for keys below /b"
    assert not dest.exists()
    etcd.put("/b/1", "y")
    lab.until_text(dest, "x\n")
    etcd.delete("/b/1")
    etcd.put("/a/1", "z")
    lab.until_text(dest, "z\n")


def test_what_somebody_else_changes(lab: ConfdLab, etcd: EtcdServer) -> None:
    """A mode is mended without a reload, an edited file comes back with one, a new template counts."""
    etcd.put("/name", "a")
    count = f"echo >> {lab.folder}/"
    mode = lab.text("mode", mode="640", reload_cmd=f"{count}mode-reloads")
    edited = lab.text("edited", reload_cmd=f"{count}edited-reloads")
    template = lab.text("template", reload_cmd=f"{count}template-reloads")
    lab.start()
    lab.until_all("applied")
    assert mode.stat().st_mode & 0o7777 == 0o640
    assert edited.stat().st_mode & 0o7777 == 0o644
    mode.chmod(0o600)
    edited.write_text("by hand\n")
    lab.template("template", 'new: {{ getv("/name") }}\n')
    lab.until_text(edited, "a\n")
    lab.until_text(template, "new: a\n")
    lab.until(lambda: mode.stat().st_mode & 0o7777 == 0o640, "the mode is mended")
    lab.until(lambda: lab.calls("edited-reloads") == 2, "the edited one is reloaded")
    lab.until(lambda: lab.calls("template-reloads") == 2, "the one with the new template is reloaded")
    lab.until_all("applied")
    assert lab.calls("mode-reloads") == 1


def test_a_go_template_is_recognised(lab: ConfdLab, etcd: EtcdServer) -> None:
    """It says what to write instead, and what confd has written last stays in place."""
    etcd.put("/name", "a")
    dest = lab.text("name", '{{getv "/name"}}\n')
    dest.write_text("by confd\n")
    good = lab.text("other")
    lab.start()
    lab.until_text(good, "a\n")
    refused = lab.until_status(lambda status: status.state == "refused", "refused").templates
    reason = next(one.reason for one in refused if one.dest == str(dest))
    assert f"{lab.confdir}/templates/name.tmpl:1: " in reason
    assert '{{ getv("/name") }}' in reason
    assert dest.read_text() == "by confd\n"
