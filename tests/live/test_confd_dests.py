"""Destinations as hosts have them: owners, modes, links, mounts, and what a killed run has left."""

from __future__ import annotations

import grp
import pwd
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.confd_lab import ConfdLab
    from tests.live.etcd_server import EtcdServer


@pytest.mark.needs("root")
def test_owner_and_group(lab: ConfdLab, etcd: EtcdServer) -> None:
    """By name or number, the mode always in octal; a name that is not here is said."""
    etcd.put("/name", "a")
    named = lab.text("named", owner="nobody", group="daemon", mode="0640")
    numbered = lab.text("numbered", uid=1234, gid=4321, mode="4755")
    plain = lab.text("plain")
    unknown = lab.text("unknown", owner="nobody-of-this-name")
    done = lab.once()
    assert done.returncode == 1
    assert "owner: there is no 'nobody-of-this-name' on this host" in done.stderr
    assert not unknown.exists()
    nobody, daemon = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid
    assert form(named) == (nobody, daemon, 0o640)
    assert form(numbered) == (1234, 4321, 0o4755)
    assert form(plain) == (0, 0, 0o644)


def form(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o7777


def test_a_link_stays(lab: ConfdLab, etcd: EtcdServer) -> None:
    """What it leads to is written, and nothing but it."""
    etcd.put("/name", "a")
    dest = lab.text("name")
    real = lab.folder / "elsewhere" / "real.txt"
    real.parent.mkdir()
    real.write_text("old\n")
    dest.symlink_to(real)
    assert lab.once().returncode == 0
    assert dest.readlink() == real
    assert real.read_text() == "a\n"
    assert [path.name for path in real.parent.iterdir()] == ["real.txt"]


@pytest.mark.needs("root", "mount")
def test_a_mount_is_written_in_place(lab: ConfdLab, etcd: EtcdServer) -> None:
    """As a container has its files: they can't be replaced. It is reloaded once, and stays one file."""
    etcd.put("/name", "a")
    dest = lab.text("name", mode="0600", reload_cmd=f"echo >> {lab.folder}/reloads")
    outside = lab.folder / "outside"
    for path in (dest, outside):
        path.write_text("old\n")
    subprocess.run(["mount", "--bind", outside, dest], check=True)
    try:
        for _ in range(2):
            done = lab.once()
            assert done.returncode == 0, done.stdout
        assert outside.read_text() == "a\n"
        assert dest.stat().st_ino == outside.stat().st_ino
        assert form(outside)[2] == 0o600
        assert lab.calls("reloads") == 1
    finally:
        subprocess.run(["umount", dest], check=True)
    assert [path.name for path in lab.folder.glob(".*")] == []


def test_what_a_killed_run_has_left(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Killed during a check: dest is untouched, and the staged file goes at the next start."""
    etcd.put("/name", "a")
    dest = lab.text("name", check_cmd="slow {{.src}}")
    staged = dest.with_name(f".{dest.name}.proxyconf-stage")
    lab.script("slow", f"touch {lab.folder}/started; sleep 1000")
    daemon = lab.start()
    lab.until((lab.folder / "started").exists, "the check runs")
    lab.kill(daemon)
    lab.end_left_overs()
    assert staged.read_text() == "a\n"
    assert not dest.exists()
    lab.script("slow", "exit 1")
    assert lab.once().returncode == 1
    assert not staged.exists()
    assert not dest.exists()
