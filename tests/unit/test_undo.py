"""The undo journal: what comes back after a crash, and after a reload that nginx refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import StateError
from proxyconf.groups.dest import Form
from proxyconf.groups.undo import Undo, is_clean, recover

if TYPE_CHECKING:
    from pathlib import Path


class Files:
    """Some files, and the journal of their group."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "undo"
        self.folder.mkdir()
        self.undo = Undo(self.folder, "group")

    def form(self, name: str) -> Form | None:
        path = self.path / name
        return Form(path.read_bytes(), 0o640, os.geteuid(), os.getegid()) if path.exists() else None

    def replace(self, *, checked: bool, **contents: str) -> None:
        """Note what is there, and put other files in its place."""
        self.undo.begin({self.path / name: self.form(name) for name in contents}, checked=checked)
        for name, content in contents.items():
            (self.path / name).write_text(content)

    def crash(self) -> None:
        """Let another run take up what is on the disk."""
        self.undo = Undo(self.folder, "group")
        self.undo.resume([self.path / name for name in ("a", "b")])

    def contents(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.path.iterdir()) if path.is_file()}

    def journals(self) -> int:
        return len(list(self.folder.iterdir()))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_crash_before_the_check_has_ended(files: Files) -> None:
    """The earlier file comes back, with its mode; one that was not there vanishes."""
    (files.path / "a").write_text("good")
    files.replace(checked=False, a="bad", b="bad")
    assert recover(files.folder) == (files.path / "a", files.path / "b")
    assert files.contents() == {"a": "good"}
    assert (files.path / "a").stat().st_mode & 0o777 == 0o640
    assert recover(files.folder) == ()


def test_a_crash_after_the_check(files: Files) -> None:
    """What has passed stays: only its reload is missing."""
    files.replace(checked=False, a="checked")
    files.undo.checked()
    assert recover(files.folder) == ()
    assert files.contents() == {"a": "checked"}


def test_a_crash_after_a_single_checked_rename(files: Files) -> None:
    files.replace(checked=True, a="checked")
    assert recover(files.folder) == ()
    assert files.contents() == {"a": "checked"}


def test_refused_in_place_the_one_before_comes_back(files: Files) -> None:
    """Be it proved or not; and nothing is left to undo."""
    (files.path / "a").write_text("good")
    files.replace(checked=False, a="bad")
    files.undo.refused()
    assert files.contents() == {"a": "good"}
    assert files.journals() == 0
    assert files.undo.unload() == frozenset()


def test_a_refused_reload_brings_back_what_was_proved(files: Files) -> None:
    """Not what was merely checked after it; also in a later run."""
    (files.path / "a").write_text("proved")
    files.replace(checked=True, a="checked")
    files.replace(checked=True, a="checked later", b="new")
    files.crash()
    assert files.undo.unload() == {files.path / "a", files.path / "b"}
    assert files.contents() == {"a": "proved"}
    assert files.journals() == 0


def test_refused_in_place_after_something_that_is_not_proved_yet(files: Files) -> None:
    """The latest checked one comes back, and the proved one is not forgotten."""
    (files.path / "a").write_text("proved")
    files.replace(checked=True, a="checked")
    files.replace(checked=False, a="bad")
    files.undo.refused()
    assert files.contents() == {"a": "checked"}
    files.undo.unload()
    assert files.contents() == {"a": "proved"}


def test_what_is_proved_is_not_undone(files: Files) -> None:
    files.replace(checked=True, a="one", b="one")
    files.undo.proved([files.path / "a"])
    files.crash()
    assert files.undo.unload() == {files.path / "b"}
    assert files.contents() == {"a": "one"}
    files.replace(checked=True, a="two")
    files.undo.proved([files.path / "a"])
    assert files.journals() == 0


def test_groups_do_not_know_of_each_other(files: Files) -> None:
    other = Undo(files.folder, "other")
    files.replace(checked=True, a="one")
    other.begin({files.path / "b": None}, checked=True)
    assert other.unload() == {files.path / "b"}
    assert files.contents() == {"a": "one"}


def test_a_damaged_journal_is_for_a_person(files: Files) -> None:
    """It may be all that says what was there."""
    files.replace(checked=True, a="one")
    (journal,) = files.folder.iterdir()
    journal.write_bytes(b"\xff")
    with pytest.raises(StateError, match=r"read .*\.msgpack: .*look at it, then delete it"):
        recover(files.folder)
    with pytest.raises(StateError, match="look at it, then delete it"):
        Undo(files.folder, "group").resume([])


def test_what_an_earlier_run_has_begun_and_not_proved(files: Files) -> None:
    files.replace(checked=True, a="one")
    assert Undo(files.folder, "group").resume([files.path / "a", files.path / "b"]) == {files.path / "a"}


def test_a_file_that_belongs_to_another_group_by_now(files: Files) -> None:
    """Its present group knows better what was proved last."""
    files.replace(checked=True, a="one", b="one")
    later = Undo(files.folder, "group")
    later.resume([files.path / "b"])
    assert later.unload() == {files.path / "b"}
    assert files.contents() == {"a": "one"}


def test_what_was_noted_and_never_replaced_is_not_touched(files: Files) -> None:
    """The disk was full by then: to write the same once more would only look like an edit."""
    (files.path / "a").write_text("good")
    (files.path / "a").chmod(0o640)
    before = (files.path / "a").stat()
    files.undo.begin({files.path / "a": files.form("a"), files.path / "b": None}, checked=False)
    files.undo.refused()
    assert (files.path / "a").stat() == before
    assert files.journals() == 0


def test_a_put_back_that_fails_is_done_later(files: Files) -> None:
    """Nothing of it is forgotten meanwhile; nor by a later run."""
    folder = files.path / "folder"
    folder.mkdir()
    (folder / "a").write_text("good")
    form = Form(b"good", 0o644, os.geteuid(), os.getegid())
    files.undo.begin({folder / "a": form}, checked=False)
    (folder / "a").unlink()
    folder.rmdir()
    with pytest.raises(StateError, match="create the folder"):
        files.undo.refused()
    with pytest.raises(StateError, match="create the folder"):
        recover(files.folder)
    assert files.undo.has_unchecked
    folder.mkdir()
    files.undo.refused()
    assert (folder / "a").read_text() == "good"
    assert not files.undo.has_unchecked


def test_one_that_cannot_be_put_back_keeps_no_other_from_it(files: Files) -> None:
    other = Undo(files.folder, "another")
    files.replace(checked=False, a="bad")
    for undo, name in ((other, "gone"), (Undo(files.folder, "third"), "gone too")):
        undo.begin({files.path / name / "x": Form(b"", 0o644, 0, 0)}, checked=False)
    with pytest.raises(StateError, match="create the folder"):
        recover(files.folder)
    assert files.contents() == {}


def test_a_journal_that_could_not_be_written_is_written_later(files: Files) -> None:
    """What is on the disk is older then; the next call brings it up to date."""
    files.replace(checked=False, a="checked")
    files.folder.rename(files.path / "moved")
    with pytest.raises(StateError, match="write"):
        files.undo.begin({files.path / "b": None}, checked=True)
    (files.path / "moved").rename(files.folder)
    files.undo.checked()
    assert recover(files.folder) == ()
    files.crash()
    assert files.undo.unload() == {files.path / "a", files.path / "b"}


def test_a_journal_that_cannot_be_deleted(files: Files) -> None:
    files.replace(checked=True, a="one")
    (journal,) = files.folder.iterdir()
    journal.unlink()
    journal.mkdir()
    with pytest.raises(StateError, match=r"delete .*: Is a directory"):
        files.undo.proved([files.path / "a"])


def test_whether_anything_unchecked_is_in_place(files: Files) -> None:
    assert is_clean(files.folder)
    files.replace(checked=False, a="bad")
    assert not is_clean(files.folder)
    files.undo.checked()
    assert is_clean(files.folder)
