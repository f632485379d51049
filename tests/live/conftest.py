"""Real services, shared by the live tests."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.confd_lab import ConfdLab
from tests.live.docker_engine import LAB, DockerEngine
from tests.live.etcd_server import EtcdServer, available

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


# podman with Quadlet is in no Debian 12: `make test-coreos` takes a newer one, which is a large download
collect_ignore = [] if os.environ.get("SYSTEMDLAB_SUITE") == "trixie" else ["test_coreos.py"]


@pytest.fixture(scope="session")
def docker_lab() -> Iterator[DockerEngine]:
    """One engine for the whole run, without containers of its own."""
    if os.geteuid() != 0:
        pytest.skip("a real Docker engine needs root (sudo make test)")
    if missing := missing_packages():
        pytest.skip(f"a real Docker engine needs {missing} (make setup, or: apt-get install {missing})")
    if not may_unshare():
        pytest.skip("a real Docker engine needs namespaces (on a host, or in a container with --privileged)")
    with DockerEngine() as engine:
        yield engine


@pytest.fixture
async def docker_engine(docker_lab: DockerEngine) -> AsyncIterator[DockerEngine]:
    """The engine for one test: what the test makes is removed after it."""
    yield docker_lab
    await docker_lab.clean()


@pytest.fixture(scope="session")
def shared_etcd() -> Iterator[EtcdServer]:
    """One etcd for the whole run; see `etcd`."""
    if not available():
        pytest.skip("needs etcd (make setup)")
    with tempfile.TemporaryDirectory(prefix="proxyconf-etcd-") as path, EtcdServer(Path(path)) as server:
        yield server


@pytest.fixture
def etcd(shared_etcd: EtcdServer) -> EtcdServer:
    """An etcd without keys, which is not to be stopped."""
    everything = {"key": "AA==", "range_end": "AA=="}
    shared_etcd.call("kv/deleterange", everything)
    return shared_etcd


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for a module's servers, whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="proxyconf-servers-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def module_etcd(folder: Path) -> Iterator[EtcdServer]:
    """One etcd for a module's tests; see `own_etcd`."""
    with EtcdServer(folder / "shared") as server:
        yield server


@pytest.fixture
def own_etcd(module_etcd: EtcdServer) -> EtcdServer:
    """An etcd that runs, and may be stopped, with whatever earlier tests of the module have put into it."""
    module_etcd.start()
    return module_etcd


@pytest.fixture
def lab(etcd: EtcdServer) -> Iterator[ConfdLab]:
    """A host that is set up for confd with this etcd."""
    with ConfdLab("-node", etcd.url) as lab:
        yield lab


def missing_packages() -> str:
    """Return the names of the packages that the lab lacks; "" without any."""
    done = subprocess.run([str(LAB), "missing"], check=True, capture_output=True, text=True)
    return " ".join(done.stdout.split())


def may_unshare() -> bool:
    """Tell whether namespaces may be made: root in an ordinary container may not."""
    probe = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0
