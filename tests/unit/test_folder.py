"""The folder that nginx reads: what is written, what is deleted, and what a full disk makes of it."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import StateError
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.part import Part, make_part, parts_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def part(number: int) -> Part:
    return Part("host", f"{number}.test", f"h-{number:016x}.conf", f"part {number}\n".encode())


def root(*parts: Part) -> bytes:
    return "".join(f'include "/nginx/parts/{one.file}";\n' for one in parts).encode()


ONE, TWO, THREE = (part(number) for number in (1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "nginx", "nginx.conf")
    made.prepare()
    return made


def install(folder: Folder, *parts: Part) -> None:
    folder.stage(parts, root(*parts))
    folder.sync()
    folder.install()


def names(folder: Folder) -> set[str]:
    return {file.name for file in (folder.path / "parts").iterdir()}


def again(folder: Folder) -> Folder:
    """Return what the next run would have."""
    made = Folder(folder.path, "nginx.conf")
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(root(ONE, TWO), {ONE.file, TWO.file}, id="two"),
        pytest.param(b"", set(), id="nothing"),
        pytest.param(b"include /nginx/parts/x.conf; include h-0000000000000001.conf;", set(), id="no parts"),
        pytest.param(b"parts/s-0123456789abcdef.conf", {"s-0123456789abcdef.conf"}, id="a service"),
        pytest.param(b"# parts/u-0123456789abcdef.users", {"u-0123456789abcdef.users"}, id="users"),
    ],
)
def test_parts_named(text: bytes, found: set[str]) -> None:
    assert parts_named(text) == found


def test_prepare_makes_what_nginx_and_people_need(folder: Folder) -> None:
    for name in ("parts", "main.d", "http.d", "temp"):
        assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o755
    assert (folder.live(), folder.staged.exists()) == (b"", False)


def test_users_are_for_nginx_workers_only(tmp_path: Path) -> None:
    """A file that an interrupted run left there is not trusted to be closed."""
    us = pwd.getpwuid(os.getuid())
    made = Folder(tmp_path / "nginx", "nginx.conf", worker=us.pw_name)
    made.prepare()
    users = Part("users", "u", "u-0123456789abcdef.users", b"ann:hash\n")
    path = made.path / "parts" / users.file
    path.write_text("left")
    made.stage([ONE, users], root(ONE))
    status = path.stat()
    assert (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_gid) == (users.text, 0o640, us.pw_gid)


def test_hosts_are_for_those_of_our_group_at_most(folder: Folder) -> None:
    """A header that they add to requests may be a secret; an operator's file may be closed for a reason."""
    copy = Part("operator", "/host.d/a.conf", "o-0123456789abcdef.conf", b"proxy_set_header Key x;\n")
    (folder.path / "parts" / ONE.file).write_text("left")
    folder.stage([ONE, copy], root(ONE))
    for one in (ONE, copy):
        assert stat.S_IMODE((folder.path / "parts" / one.file).stat().st_mode) == 0o640
    assert (folder.path / "parts" / ONE.file).read_bytes() == ONE.text


def test_prepare_deletes_only_parts_that_nobody_names(folder: Folder) -> None:
    install(folder, ONE, TWO)
    folder.stage([THREE], root(THREE))
    (folder.path / "http.d" / "mine.conf").write_text("mine")
    next_one = again(folder)
    assert names(folder) == {ONE.file, TWO.file}
    assert next_one.live() == root(ONE, TWO)
    assert not folder.staged.exists()
    assert (folder.path / "http.d" / "mine.conf").read_text() == "mine"


def test_what_is_there_is_not_written_again(folder: Folder) -> None:
    install(folder, ONE)
    path = folder.path / "parts" / ONE.file
    before = path.stat().st_mtime_ns, path.stat().st_ino
    install(again(folder), ONE, TWO)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert (folder.path / "parts" / TWO.file).read_bytes() == TWO.text


def test_to_stage_changes_nothing_that_is_live(folder: Folder) -> None:
    install(folder, ONE)
    folder.stage([TWO], root(TWO))
    assert folder.root.read_bytes() == root(ONE)
    assert folder.staged.read_bytes() == root(TWO)
    assert folder.staged.parent == folder.root.parent
    folder.install()
    assert folder.root.read_bytes() == root(TWO)
    assert not folder.staged.exists()


def test_many_parts_are_synced_at_once(folder: Folder) -> None:
    """Their text is there either way; nothing is left to be synced."""
    many = [part(number) for number in range(200)]
    install(folder, *many)
    assert {file.read_bytes() for file in (folder.path / "parts").iterdir()} == {one.text for one in many}
    (folder.path / "parts" / many[7].file).unlink()
    folder.stage([], b"")
    folder.sync()


def test_put_back(folder: Folder) -> None:
    install(folder, ONE)
    install(folder, TWO)
    folder.put_back(root(ONE))
    assert folder.root.read_bytes() == root(ONE)
    assert folder.untouched()


def test_keep_deletes_the_others(folder: Folder) -> None:
    install(folder, ONE, TWO, THREE)
    folder.keep(frozenset({TWO.file, "h-ffffffffffffffff.conf"}))
    assert names(folder) == {TWO.file}
    install(folder, ONE)
    assert names(folder) == {ONE.file, TWO.file}


def test_a_part_that_is_gone_already_is_no_trouble(folder: Folder) -> None:
    install(folder, ONE)
    (folder.path / "parts" / ONE.file).unlink()
    folder.keep(frozenset())


def test_what_somebody_deleted_is_written_again(folder: Folder) -> None:
    install(folder, ONE, TWO)
    assert not folder.has_lost_parts()
    (folder.path / "parts" / ONE.file).unlink()
    assert folder.has_lost_parts()
    assert not folder.has_lost_parts()
    install(folder, ONE, TWO)
    assert names(folder) == {ONE.file, TWO.file}


def test_what_a_backup_has_not_is_passed_over(folder: Folder) -> None:
    """Without its keys, the last good form of a certificate is missing, and nothing else."""
    certificates = [make_part("certificate", name, f"of {name}\n".encode()) for name in "abc"]
    install(folder, *certificates)
    (folder.path / "parts" / certificates[0].file).unlink()
    (folder.path / "parts" / certificates[1].file).unlink()
    (folder.path / "parts" / certificates[1].file).mkdir()
    assert folder.parts(one.file for one in certificates) == (certificates[2],)


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2] + b"x\n")


def replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(rewrite, id="edited"),
        pytest.param(replace, id="replaced by an equal one"),
        pytest.param(lambda path: path.unlink(), id="deleted"),
    ],
)
def test_a_stranger_is_noticed(folder: Folder, meddle: Callable[[Path], object]) -> None:
    install(folder, ONE)
    assert folder.untouched()
    meddle(folder.root)
    assert not folder.untouched()


def test_nothing_is_untouched_before_it_was_read(folder: Folder) -> None:
    install(folder, ONE)
    fresh = Folder(folder.path, "nginx.conf")
    assert not fresh.untouched()
    fresh.live()
    assert fresh.untouched()


def block_root(folder: Folder) -> None:
    folder.root.unlink(missing_ok=True)
    (folder.root / "x").mkdir(parents=True)


def block_staged(folder: Folder) -> None:
    (folder.staged / "x").mkdir(parents=True)


def lose_parts(folder: Folder) -> None:
    (folder.path / "parts").rmdir()


def block_parts(folder: Folder) -> None:
    lose_parts(folder)
    (folder.path / "parts").write_text("")


def lose_staged(folder: Folder) -> None:
    folder.staged.unlink(missing_ok=True)


def block_part(folder: Folder) -> None:
    (folder.path / "parts" / ONE.file).unlink(missing_ok=True)
    (folder.path / "parts" / ONE.file / "x").mkdir(parents=True)


def lose_part(folder: Folder) -> None:
    folder.stage([ONE], root(ONE))
    (folder.path / "parts" / ONE.file).unlink()


def lose_all(folder: Folder) -> None:
    for file in sorted(folder.path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    folder.path.rmdir()


@pytest.mark.parametrize(
    ("meddle", "act", "message"),
    [
        pytest.param(block_staged, lambda f: f.stage([], b""), "nginx.conf.next: Is a directory", id="stage"),
        pytest.param(block_parts, lambda f: f.stage([ONE], b""), "parts: File exists", id="stage parts"),
        pytest.param(lose_staged, lambda f: f.sync(), "nginx.conf.next: No such file", id="sync"),
        pytest.param(lose_part, lambda f: f.sync(), f"{ONE.file}: No such file", id="sync parts"),
        pytest.param(lose_staged, lambda f: f.install(), "nginx.conf.next: No such file", id="install"),
        pytest.param(block_root, lambda f: f.install(), "nginx.conf", id="install on a folder"),
        pytest.param(block_root, lambda f: f.live(), "nginx.conf: Is a directory", id="live"),
        pytest.param(block_root, lambda f: f.prepare(), "nginx.conf: Is a directory", id="prepare"),
        pytest.param(block_staged, lambda f: f.prepare(), "nginx.conf.next", id="prepare: staged"),
        pytest.param(block_part, lambda f: f.keep(frozenset()), ONE.file, id="keep"),
        pytest.param(block_parts, lambda f: f.has_lost_parts(), "parts: File exists", id="parts"),
        pytest.param(lose_all, lambda f: f.sync_folder(), "nginx: No such file", id="sync folder"),
        pytest.param(block_staged, lambda f: f.put_back(b""), "nginx.conf.next: Is a", id="put back"),
    ],
)
def test_trouble_with_the_disk_is_named(
    folder: Folder, meddle: Callable[[Folder], None], act: Callable[[Folder], object], message: str
) -> None:
    if meddle is block_part:
        install(folder, ONE)
    elif meddle in (lose_staged, block_root):
        folder.stage([], root())
    meddle(folder)
    with pytest.raises(StateError) as caught:
        act(folder)
    assert str(caught.value).startswith(f"write {folder.path.parent}")
    assert message in str(caught.value)
    assert str(caught.value).endswith("(may we write there, and is there room?)")


def test_a_part_that_could_not_be_written_is_written_later(folder: Folder) -> None:
    block_parts(folder)
    with pytest.raises(StateError):
        folder.stage([ONE], root(ONE))
    (folder.path / "parts").unlink()
    install(folder, ONE)
    assert (folder.path / "parts" / ONE.file).read_bytes() == ONE.text


def test_parts_that_somebody_deletes_are_missed_and_written_again(folder: Folder) -> None:
    """Also with their folder, and while old ones are deleted by ourselves."""
    install(folder, ONE, TWO, THREE)
    assert folder.untouched()
    (folder.path / "parts" / ONE.file).unlink()
    folder.keep(parts_named(root(ONE, TWO)))
    assert not folder.untouched()
    install(folder, ONE, TWO)
    assert (names(folder), folder.untouched()) == ({ONE.file, TWO.file}, True)
    shutil.rmtree(folder.path / "parts")
    assert not folder.untouched()
    install(folder, ONE)
    assert (names(folder), folder.untouched()) == ({ONE.file}, True)


def test_a_folder_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "nginx").write_text("")
    with pytest.raises(StateError, match=r"(?i)exists|not a directory"):
        Folder(tmp_path / "nginx", "nginx.conf").prepare()


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(lambda path: (path / "http.d" / "b.conf").write_text("aio on;"), id="added"),
        pytest.param(lambda path: (path / "http.d" / "a.conf").write_text("aio on;  "), id="edited"),
        pytest.param(lambda path: (path / "http.d" / "a.conf").unlink(), id="deleted"),
    ],
)
def test_a_change_of_the_operators_files_is_noticed(folder: Folder, meddle: Callable[[Path], object]) -> None:
    """Also one that is made while nginx checks what was staged."""
    (folder.path / "http.d" / "a.conf").write_text("aio on;")
    (folder.path / "http.d" / "notes.txt").write_text("not for nginx")
    install(folder, ONE)
    assert folder.untouched()
    (folder.path / "http.d" / "notes.txt").write_text("still not")
    assert folder.untouched()
    folder.stage((ONE,), root(ONE))
    meddle(folder.path)
    folder.install()
    assert not folder.untouched()


def test_folders_that_workers_can_not_enter_are_problems(tmp_path: Path) -> None:
    """The check, which root makes, does not notice, and large uploads fail."""
    closed = tmp_path / "closed"
    (closed / "state").mkdir(parents=True)
    folder = Folder(closed / "state" / "nginx", "nginx.conf", worker="nobody")
    folder.prepare()
    closed.chmod(0o700)
    assert str(closed) in {problem.where for problem in folder.obstacles()}
    (said,) = [problem.why for problem in folder.obstacles() if problem.where == str(closed)]
    assert f"(chmod o+x {closed}, or set another [state] dir)" in said
    closed.chmod(0o711)
    assert str(closed) not in {problem.where for problem in folder.obstacles()}


@pytest.mark.needs("root")
def test_temporary_folders_of_another_user_are_a_problem(tmp_path: Path) -> None:
    """Root has started nginx once; the check of ours does not notice, and large uploads fail."""
    folder = Folder(tmp_path, "nginx.conf", temp_user=os.geteuid())
    assert folder.obstacles() == ()  # there are none yet
    body = tmp_path / "temp" / "client_body"
    body.mkdir(parents=True)
    assert folder.obstacles() == ()
    os.chown(body, 65_534, 65_534)
    (found,) = folder.obstacles()
    assert found.where == f"{tmp_path}/temp"
    assert found.why.startswith("has what belongs to nobody, and nginx is to run as root, so that large")
    assert f"(sudo chown -R 0 {tmp_path}/temp, and do not start nginx as root)" in found.why
    assert Folder(tmp_path, "nginx.conf").obstacles() == ()


def test_a_folder_of_challenges_that_answers_none(tmp_path: Path) -> None:
    """Whoever gets certificates would say no more than that a 404 came."""
    tmp_path.chmod(0o711)
    webroot = tmp_path / "acme" / "web"
    folder = Folder(tmp_path, "nginx.conf", worker="nobody", challenge=webroot)
    said = {problem.where: problem.why for problem in folder.obstacles()}
    assert said[str(webroot)].startswith("is no folder, so that no challenge of ACME's is answered (make it")
    webroot.mkdir(parents=True)
    webroot.chmod(0o755)
    webroot.parent.chmod(0o700)
    said = {problem.where: problem.why for problem in folder.obstacles()}
    assert f"(chmod o+x {webroot.parent}, or set another [nginx.tls] challenge)" in said[str(webroot.parent)]
    assert str(webroot) not in said
    webroot.parent.chmod(0o711)
    said = {problem.where: problem.why for problem in folder.obstacles()}
    assert not said.keys() & {str(webroot), str(webroot.parent)}


@pytest.mark.parametrize("worker", ["", "root", "no-such-user"])
def test_who_may_enter_has_no_problem(tmp_path: Path, worker: str) -> None:
    """Nor has one that does not exist, of whom nginx itself will tell."""
    tmp_path.chmod(0o700)
    assert Folder(tmp_path, "nginx.conf", worker=worker).obstacles() == ()
