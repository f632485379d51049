"""The files in deploy/coreos belong together. Their units are started by `make test-coreos`."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import unquote

import pytest
import yaml

from proxyconf import config
from proxyconf.sources import kinds
from tests.docs.ignition import FOLDER, PLACE, ignition_text

MADE = {"core.bu", "core.ign"}


def embedded() -> dict[str, str]:
    """Return the files that the Ignition file makes: path to content."""
    files = json.loads(PLACE.read_text())["storage"]["files"]
    return {one["path"]: unquote(one["contents"]["source"].removeprefix("data:,")) for one in files}


def test_the_ignition_file_is_current() -> None:
    """Else: python -m tests.docs.ignition."""
    assert PLACE.read_text() == ignition_text()


@pytest.mark.needs("ignition-validate")
def test_ignition_takes_it() -> None:
    done = subprocess.run(["ignition-validate", str(PLACE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_file_beside_it_is_in_it_as_it_stands() -> None:
    beside = {path.name: path.read_text() for path in FOLDER.iterdir() if path.name not in MADE}
    inside = {path.rpartition("/")[2]: content for path, content in embedded().items()}
    assert {name: inside[name] for name in beside} == beside
    assert inside.keys() - beside.keys() == {"hostname"}


def test_every_file_says_where_it_belongs() -> None:
    """In its first line, or the second of a script."""
    for path, content in embedded().items():
        if path not in ("/etc/hostname", "/etc/environment"):
            assert any(f"# {path}" in line for line in content.splitlines()[:2]), path


def test_a_unit_that_starts_again_does_so_for_ever() -> None:
    """Else five failures within 10 s, by an etcd that is late at boot, are the end of it."""
    units = {path.rpartition("/")[2]: content for path, content in embedded().items() if "[Unit]" in content}
    assert len(units) == 6
    for name, content in units.items():
        unit = content.partition("[Unit]")[2].partition("\n[")[0]
        assert "StartLimitIntervalSec=0" in unit.splitlines(), name


def test_the_cluster_is_the_same_everywhere() -> None:
    found = embedded()
    settings = config.load(FOLDER / "proxyconf.toml", kinds=kinds())
    endpoints = settings.sources[0].values["endpoints"]
    peers = found["/etc/containers/systemd/etcd.container"].partition("ETCD_INITIAL_CLUSTER=")[2].split()[0]
    assert [peer.partition("=")[2].replace("2380", "2379") for peer in peers.split(",")] == endpoints
    address = found["/etc/environment"].strip().partition("=")[2]
    assert f"{found['/etc/hostname']}=http://{address}:2380" in peers


def test_the_two_of_the_pod_may_signal_each_other_and_read_the_same_folder() -> None:
    """The same user, the same level of SELinux, a label that both may use, one pod."""
    units = [embedded()[f"/etc/containers/systemd/{name}.container"] for name in ("nginx", "proxyconf")]
    for line in ("Pod=proxy.pod", "User=101:101", "SecurityLabelLevel=s0:c101,c102", "DropCapability=all"):
        assert all(line in unit.splitlines() for unit in units), line
    volumes = [line for unit in units for line in unit.splitlines() if line.startswith("Volume=/var")]
    assert [line.rpartition(":")[2] for line in volumes] == ["z", "z"]
    folders = yaml.safe_load((FOLDER / "core.bu").read_text())["storage"]["directories"]
    owners = {one["path"]: one.get("user", {}).get("id") for one in folders}
    assert {owners[line.partition("=")[2].partition(":")[0]] for line in volumes} == {101}
