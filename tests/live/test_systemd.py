"""The units in deploy/systemd, as they stand, on a machine that systemd has booted."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.systemd_machine import TIMEOUT_S, UNITS, Machine, skip_without_one

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS, NGINX, INCLUDED = "proxyconf.service", "proxyconf-nginx.service", "proxyconf-include.service"
THEIRS = """
user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {}
http {
    access_log off;
    include /etc/nginx/conf.d/*.conf;
    include /var/lib/proxyconf/nginx/http.con[f];
}
"""
RESOURCE = """
[template]
src = "app.conf.j2"
dest = "/etc/nginx/conf.d/app.conf"
owner = "www-data"
keys = ["/app"]
check_cmd = "nginx -t"
reload_cmd = "systemctl reload nginx"
"""
TEMPLATE = """
server {
    listen 80;
    server_name web.test;
    return 302 https://{{ getv("/app/name") }}.test/;
}
"""
HELD = f"/etc/systemd/system/{NGINX}.d/held.conf"
QUICK = ("WatchdogSec=2s", "RestartSec=100ms")
CONFIG = (UNITS / "proxyconf.toml").read_text()
SITES = """
[routes.web]
host = "web.test"
redirect = "https://{}.test"
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One for all tests here, with the program installed and nothing started."""
    skip_without_one()
    with Machine() as found:
        found.write("/etc/proxyconf/proxyconf.toml", CONFIG)
        found.drop_in(OURS, *QUICK)
        yield found


@pytest.fixture
def theirs(machine: Machine) -> Iterator[Machine]:
    """Let Debian's own nginx run, which includes us, and first asks us to put back what is unchecked."""
    machine.run("rm", "-rf", "/var/lib/proxyconf")
    machine.write("/etc/nginx/nginx.conf", THEIRS)
    recover = (UNITS / "nginx-recover.conf").read_text()
    machine.write("/etc/systemd/system/nginx.service.d/proxyconf.conf", recover)
    machine.drop_in("nginx.service")
    machine.start("nginx")
    yield machine
    machine.run("systemctl", "stop", INCLUDED, "nginx")


@pytest.fixture
def running(machine: Machine) -> Iterator[Machine]:
    """Let it serve web.test, by a redirect, so that no backend is needed."""
    machine.write("/etc/proxyconf/sites.d/web.toml", SITES.format("one"))
    machine.start(OURS)
    until_served(machine, "one")  # ready is also who has proved what an earlier run knew
    yield machine
    machine.run("systemctl", "stop", OURS, NGINX)


def until_served(machine: Machine, name: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while (found := machine.location("web.test")) != f"https://{name}.test/":
        assert time.monotonic() < end, found
        time.sleep(0.05)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    ("unit", "limit"),
    [
        pytest.param(OURS, 20, id="ours"),
        pytest.param(NGINX, 20, id="nginx"),
        pytest.param(INCLUDED, 30, id="root"),
    ],
)
def test_how_exposed_a_unit_is(unit: str, limit: int) -> None:
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={limit}"]
    done = subprocess.run([*command, str(UNITS / unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_systemd_has_nothing_to_say_against_the_units(machine: Machine) -> None:
    units = [f"/etc/systemd/system/{unit}" for unit in (OURS, NGINX, INCLUDED)]
    assert machine.shell(f"systemd-analyze verify {' '.join(units)} 2>&1") == ""


@pytest.fixture
def held(machine: Machine) -> Iterator[Machine]:
    """Keep nginx from starting until there is a file, and let the start take 2 s at most."""
    machine.write("/etc/proxyconf/sites.d/web.toml", SITES.format("one"))
    machine.write(HELD, "[Unit]\nConditionPathExists=/run/may-start\n")
    machine.drop_in(OURS, "TimeoutStartSec=2s", "WatchdogSec=2s")
    yield machine
    machine.run("systemctl", "stop", OURS, NGINX)
    machine.run("rm", HELD)
    machine.drop_in(OURS, *QUICK)


def test_ready_is_who_is_proved(held: Machine) -> None:
    """Without an nginx it waits, however short the start's limit is, and says for what."""
    held.run("systemctl", "start", "--no-block", OURS)
    start = "nginx -c /var/lib/proxyconf/nginx/nginx.conf"
    held.until(OURS, "StatusText", f"1 route installed, but no nginx runs: {start}")
    time.sleep(2.5)
    assert (held.show(OURS, "ActiveState"), held.show(OURS, "NRestarts")) == ("activating", "0")
    held.run("touch", "/run/may-start")
    held.start(NGINX)
    held.until(OURS, "ActiveState", "active")
    assert held.show(OURS, "StatusText") == "nginx serves 1 route"
    assert held.location("web.test") == "https://one.test/"


def test_it_follows_and_logs_with_levels(running: Machine) -> None:
    running.write("/etc/proxyconf/sites.d/web.toml", SITES.format("two") + '[routes.bad]\nhost = "a b"\n')
    until_served(running, "two")
    running.until(OURS, "StatusText", "nginx serves 1 route; 1 problem")
    journal = running.run("journalctl", "-u", OURS, "-o", "json", "--no-pager")
    lines = [line for line in map(json.loads, journal.splitlines()) if line.get("_COMM") == "proxyconf"]
    levels = {line["MESSAGE"].split()[0]: line["PRIORITY"] for line in lines}
    assert (levels["source.listed"], levels["problem.found"]) == ("6", "4")
    assert "state: applied" in running.proxyconf("status")


def test_root_is_told_that_all_is_well(running: Machine) -> None:
    """That the unit has a user of its own is no reason to warn."""
    found = json.loads(running.proxyconf("doctor", "--json"))["findings"]
    assert [one for one in found if one["level"] != "ok"] == []
    assert "/var/lib/proxyconf is of the user proxyconf, and we are root" in str(found)


def test_a_kill_stops_nobody_from_being_served(running: Machine) -> None:
    before, pid = int(running.show(OURS, "NRestarts")), running.show(OURS, "MainPID")
    running.run("kill", "-9", pid)
    assert running.location("web.test") == "https://one.test/"
    running.until(OURS, "NRestarts", str(before + 1))
    running.until(OURS, "ActiveState", "active")


def test_what_hangs_is_started_anew(running: Machine) -> None:
    """And the journal says where it hung."""
    before, pid = int(running.show(OURS, "NRestarts")), running.show(OURS, "MainPID")
    running.run("kill", "-STOP", pid)
    running.until(OURS, "NRestarts", str(before + 1))
    running.until(OURS, "ActiveState", "active")
    log = running.run("journalctl", "-u", OURS, "--no-pager", "-o", "cat")
    assert "Watchdog timeout" in log
    assert "(most recent call first)" in log


def test_a_reload_reads_everything_again(running: Machine) -> None:
    pid = running.show(OURS, "MainPID")
    running.write("/etc/proxyconf/proxyconf.toml", CONFIG.replace("[nginx]", "[nginx]\ndefault_status = 444"))
    running.run("systemctl", "reload", OURS)
    end = time.monotonic() + (0 if running.reload_waits else TIMEOUT_S)
    while running.location("unknown.test") != "000":
        assert time.monotonic() < end
    running.write("/etc/proxyconf/proxyconf.toml", CONFIG)
    running.until(OURS, "SubState", "running")
    assert (running.show(OURS, "MainPID"), running.show(OURS, "StatusText")) == (pid, "nginx serves 1 route")


def test_a_stop(running: Machine) -> None:
    """It is quick, and nginx goes on."""
    start = time.monotonic()
    running.run("systemctl", "stop", OURS)
    assert time.monotonic() - start < 5
    assert running.show(OURS, "Result") == "success"
    assert running.location("web.test") == "https://one.test/"
    running.run("systemctl", "restart", NGINX)
    assert running.location("web.test") == "https://one.test/"


def test_beside_an_nginx_that_root_starts(theirs: Machine) -> None:
    theirs.write("/etc/proxyconf/proxyconf.toml", CONFIG.replace('mode = "own"', 'mode = "include"'))
    theirs.write("/etc/proxyconf/sites.d/web.toml", SITES.format("one"))
    theirs.drop_in(INCLUDED)
    theirs.start(INCLUDED)
    assert theirs.location("web.test") == "https://one.test/"
    theirs.run("systemctl", "restart", "nginx")
    until_served(theirs, "one")
    assert "nothing to put back" in theirs.run("journalctl", "-u", "nginx", "-o", "cat", "--no-pager")


def test_in_the_place_of_confd(theirs: Machine) -> None:
    """With confd's command line and files; the commands of a template may do what they must."""
    theirs.write("/etc/confd/conf.d/app.toml", RESOURCE)
    theirs.write("/etc/confd/templates/app.conf.j2", TEMPLATE)
    theirs.write("/etc/confd/keys.json", '{"app": {"name": "one"}}')
    command = "/opt/proxyconf/bin/proxyconf confd -watch -backend file -file /etc/confd/keys.json"
    theirs.drop_in(INCLUDED, "ExecStart=", f"ExecStart={command}")
    theirs.start(INCLUDED)
    assert theirs.show(INCLUDED, "StatusText") == "templates: 1 applied"
    until_served(theirs, "one")
    theirs.write("/etc/confd/keys.json", '{"app": {"name": "two"}}')
    until_served(theirs, "two")
    assert theirs.run("stat", "-c", "%U", "/etc/nginx/conf.d/app.conf").strip() == "www-data"
