"""The state folder and the folder of certificates: may we, is there room, what is in it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.api import CertificateState
from proxyconf.doctor.folders import _in_words, certificate_folder, room, state_folder
from proxyconf.groups.undo import Undo
from proxyconf.nginx.certificates import Certificate, CertificateSet
from proxyconf.nginx.part import make_part
from proxyconf.report import _certificate_line
from proxyconf.state import State
from tests.unit.made_certificates import DAY_S, NOW, make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.doctor.finding import Finding

_MIB = 1 << 20


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder to which nobody but root may write."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        folder = Path(path) / "closed"
        folder.mkdir(mode=0o100)
        yield folder


@pytest.fixture
def _as_somebody(closed: Path) -> Iterator[None]:
    """Be no root, whom nothing keeps out, once the folder is made."""
    del closed
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    yield
    os.seteuid(was)


async def state(path: Path) -> list[Finding]:
    return [one async for one in state_folder(path) if "MiB" not in one.says]


async def certificates(path: Path) -> list[tuple[str, str]]:
    return [(one.level, str(one)) async for one in certificate_folder(path, NOW)]


async def test_a_state_folder_that_is_there(tmp_path: Path) -> None:
    (found,) = await state(tmp_path)
    assert (found.level, found.says) == ("ok", f"{tmp_path} can be written to")


async def test_a_state_folder_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    (found,) = await state(path)
    assert (found.level, found.says) == ("ok", f"{path} is not there yet, and can be made")
    assert not path.exists()


async def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (found,) = await state(tmp_path / "a" / "b")
    assert (found.level, found.says) == ("wrong", f"{tmp_path}/a is no folder")


@pytest.mark.usefixtures("_as_somebody")
async def test_a_state_folder_of_somebody_else(closed: Path) -> None:
    (found,) = await state(closed)
    assert (found.level, found.says) == ("wrong", f"{closed}: we may not write to it")
    assert f"or: chown -R {os.geteuid()} {closed};" in found.mend
    (found,) = await state(closed / "a")
    assert found.says == f"{closed}/a: we may not make it in {closed}"
    assert f"or: install -d -o {os.geteuid()} {closed}/a;" in found.mend


@pytest.mark.needs("root")
async def test_root_in_the_place_of_another_user(tmp_path: Path) -> None:
    """Nothing is amiss: that is how a unit with a user of its own is looked at."""
    with State(tmp_path).locked():
        pass
    os.chown(tmp_path / "lock", 65_534, 65_534)
    found, _ = await state(tmp_path)
    says = f"{tmp_path} is of the user nobody, and we are root, who may more"
    mend = "for that one's own view: sudo -u nobody proxyconf doctor, with the same flags"
    assert (found.level, found.says, found.mend) == ("ok", says, mend)


async def test_what_a_killed_run_has_left(tmp_path: Path) -> None:
    """Said without being put back."""
    with State(tmp_path).locked():
        pass
    assert len(await state(tmp_path)) == 1
    Undo(tmp_path / "undo", "x").begin({tmp_path / "file": None}, checked=False)
    _, found = await state(tmp_path)
    assert (found.level, found.says) == (
        "warning", f"{tmp_path}/undo has files that a killed run has left unchecked"
    )  # fmt: skip


def statvfs(free: int, *, inodes: int = 100_000, flag: int = 0) -> os.statvfs_result:
    return os.statvfs_result((4096, 1, 10**9, 10**9, free, 10**6, inodes, inodes, flag, 255))


@pytest.mark.parametrize(
    ("found", "level", "says"),
    [
        pytest.param(statvfs(100 * _MIB), "ok", "100 MiB are free on the file system of /s", id="enough"),
        pytest.param(
            statvfs(20 * _MIB), "warning", "only 20 MiB are free on the file system of /s", id="little"
        ),
        pytest.param(statvfs(1 * _MIB), "wrong", "only 1 MiB are free on the file system of /s", id="full"),
        pytest.param(
            statvfs(100 * _MIB, inodes=7),
            "warning",
            "only 7 more files fit on the file system of /s",
            id="inodes",
        ),
        pytest.param(
            statvfs(100 * _MIB, flag=os.ST_RDONLY),
            "wrong",
            "the file system of /s is read-only",
            id="read-only",
        ),
    ],
)
def test_room(found: os.statvfs_result, level: str, says: str) -> None:
    made = room(Path("/s"), found)
    assert (made.level, made.says) == (level, says)
    assert bool(made.mend) == (level != "ok")


async def test_good_certificates(tmp_path: Path) -> None:
    begin = time.time()
    make_pair("a.test", begin=begin - DAY_S, end=NOW + 400 * DAY_S).put(tmp_path, "a")
    assert await certificates(tmp_path) == [
        ("ok", f"{tmp_path}: 1 is good; the first to end is a, 400 d from now")
    ]
    make_pair("b.test", begin=begin - DAY_S, end=NOW + 300 * DAY_S).put(tmp_path, "b")
    (tmp_path / "c.crt").write_text("nonsense")
    missing = f"{tmp_path}/c.key: No such file or directory"
    assert await certificates(tmp_path) == [
        ("warning", f"{tmp_path}/c.crt: can't be read: {missing} (is it there, and may we?)"),
        ("ok", f"{tmp_path}: 2 are good; the first to end is b, 300 d from now"),
    ]


async def test_no_certificates(tmp_path: Path) -> None:
    none = f"{tmp_path} has none that is good"
    assert await certificates(tmp_path) == [
        ("warning", f"{none} (put NAME.crt and NAME.key into it for each; until then all is http)")
    ]
    (tmp_path / "a.crt").write_text("nonsense")
    *_, found = await certificates(tmp_path)
    mend = "(mend those; until then hosts go on with what they had before, or with http)"
    assert found == ("warning", f"{none} {mend}")


async def test_only_certificates_that_have_expired(tmp_path: Path) -> None:
    """They are served with, nevertheless."""
    make_pair("a.test", begin=0, end=DAY_S).put(tmp_path, "a")
    mend = "renew them; until then their hosts go on with these, and http is sent to https"
    assert await certificates(tmp_path) == [
        ("warning", f"{tmp_path}/a.crt: has expired on 1970-01-02 00:00 UTC (renew it)"),
        ("warning", f"{tmp_path} has none that is good ({mend})"),
    ]


@pytest.mark.parametrize(
    ("left_s", "says"),
    [
        pytest.param(29.9 * DAY_S, "30 d", id="days"),
        pytest.param(DAY_S / 2 + 60, "12 h", id="hours"),
    ],
)
def test_what_is_left_is_told_as_in_status(left_s: float, says: str) -> None:
    good = Certificate("a", "/c/a.crt", ("a.test",), NOW, NOW + left_s, make_part("certificate", "a", b""))
    one = CertificateState(name="a", file=good.where, names=good.names, not_after=good.not_after)
    assert _certificate_line(one, NOW).endswith(f", {says} from now")
    assert _in_words(Path("/c"), CertificateSet([good]), NOW).says.endswith(f" is a, {says} from now")


async def test_no_folder_of_certificates(tmp_path: Path) -> None:
    assert await certificates(tmp_path / "a") == [
        (
            "wrong",
            (
                f"{tmp_path}/a is not there, or in a folder that we may not enter"
                " (make it, or set [nginx.tls] certificates)"
            ),
        )
    ]


@pytest.mark.usefixtures("_as_somebody")
async def test_a_folder_of_certificates_that_is_closed(closed: Path) -> None:
    (found,) = await certificates(closed)
    assert found[0] == "wrong"
    assert found[1].startswith(f"{closed}: we may not read it (run as its owner, or as root; or: setfacl")
