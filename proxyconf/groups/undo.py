"""What to put back, on the disk before it may be needed: a kill -9 must not leave what nobody has checked.

<state>/undo/<group>.msgpack, two sets of earlier files:

* *unchecked*: there while files are in place that no check has passed yet. Whoever comes next puts them
  back: our next start, or ``proxyconf recover``.
* *unproved*: there until a reload is proved; put back when nginx refuses the reload.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from proxyconf.errors import StateError
from proxyconf.files import replace_file
from proxyconf.groups.dest import Dest, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _Journal(msgspec.Struct):
    unchecked: dict[str, Form | None] = {}
    unproved: dict[str, Form | None] = {}


class Undo:
    """The journal of one group; every method blocks, and raises StateError where it can't be written."""

    def __init__(self, folder: Path, group: str) -> None:
        self._file = folder / f"{hashlib.sha256(group.encode()).hexdigest()[:16]}.msgpack"
        self._journal = _read(self._file)

    def begin(self, before: Mapping[Path, Form | None], *, checked: bool) -> None:
        """Note what is in place, before other files take its place.

        Args:
            before: What each file is at present.
            checked: The new ones have passed their check and come in one step, so that a crash needs no undo.
        """
        noted = {str(path): form for path, form in before.items()}
        self._journal.unchecked = {} if checked else noted
        self._journal.unproved = noted | self._journal.unproved  # the oldest of them is the proved one
        self._save()

    def checked(self) -> None:
        """Note that what is in place has passed."""
        if self._journal.unchecked:
            self._journal.unchecked = {}
            self._save()

    def refused(self) -> None:
        """Put back what was there before the latest `begin`: its successor has not passed."""
        for path, form in self._journal.unchecked.items():
            _put(path, form)
            if self._journal.unproved.get(path) == form:
                del self._journal.unproved[path]
        self._journal.unchecked = {}
        self._save()

    def unload(self) -> tuple[Path, ...]:
        """Put back what was proved last, since nginx refuses to load its successors; return the files."""
        paths = tuple(map(Path, self._journal.unproved))
        for path, form in self._journal.unproved.items():
            _put(path, form)
        self._journal = _Journal()
        self._save()
        return paths

    def proved(self, paths: Iterable[Path]) -> None:
        """Forget what was before the files *paths*."""
        left = {path: form for path, form in self._journal.unproved.items() if Path(path) not in set(paths)}
        if left != self._journal.unproved:
            self._journal.unproved = left
            self._save()

    def _save(self) -> None:
        if self._journal == _Journal():
            self._file.unlink(missing_ok=True)
        else:
            replace_file(self._file, msgspec.msgpack.encode(self._journal))


def is_clean(folder: Path) -> bool:
    """Tell whether no file is in place that no check has passed; blocks."""
    return not any(_read(file).unchecked for file in folder.glob("*.msgpack"))


def recover(folder: Path) -> tuple[Path, ...]:
    """Put back what a killed run has left unchecked in place; return the files. Blocks.

    Raises:
        StateError: One can't be written.
    """
    found: list[Path] = []
    for file in sorted(folder.glob("*.msgpack")):
        journal = _read(file)
        for path, form in journal.unchecked.items():
            _put(path, form)
            found.append(Path(path))
        if journal.unchecked:
            journal.unchecked = {}
            replace_file(file, msgspec.msgpack.encode(journal))
    return tuple(found)


def _put(path: str, form: Form | None) -> None:
    if form is None:
        Dest(Path(path), mode=None, uid=None, gid=None).put(None)
    else:
        Dest(Path(path), mode=form.mode, uid=form.uid, gid=form.gid).put(form)


def _read(file: Path) -> _Journal:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=_Journal)
    except FileNotFoundError:
        return _Journal()
    except (OSError, msgspec.DecodeError) as exc:
        raise StateError(
            f"read {file}: {exc} (it says what to put back after a crash: look at it, then delete it)"
        ) from exc
