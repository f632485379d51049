"""What to put back, on the disk before it may be needed: a kill -9 must not leave what nobody has checked.

<state>/undo/<group>.msgpack, two sets of earlier files:

* *unchecked*: there while files are in place that no check has passed yet, or not together. Whoever comes
  next puts them back: the group's next pass, our next start, or ``proxyconf recover``.
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
        self._journal = _Journal()
        self._on_disk = b""

    @property
    def has_unchecked(self) -> bool:
        """Whether something is in place that has not passed its check."""
        return bool(self._journal.unchecked)

    def resume(self, own: Iterable[Path]) -> frozenset[Path]:
        """Take up what is on the disk; return those of the files *own* that are not known to be proved.

        What it says of other files, which belong to other groups by now, is forgotten.
        """
        mine = set(own)
        self._journal = _read(self._file)
        self._on_disk = _encoded(self._journal)
        unproved = self._journal.unproved
        self._journal.unproved = {path: form for path, form in unproved.items() if Path(path) in mine}
        return frozenset(map(Path, self._journal.unproved))

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
        self._journal.unchecked = {}
        self._save()

    def refused(self) -> None:
        """Put back what was there before the latest `begin`, if its successor has not passed."""
        for path, form in self._journal.unchecked.items():
            _put(path, form)
        for path, form in self._journal.unchecked.items():
            if self._journal.unproved.get(path, form) == form:
                self._journal.unproved.pop(path, None)
        self._journal.unchecked = {}
        self._save()

    def unload(self) -> frozenset[Path]:
        """Put back what was proved last, since nginx refuses to load its successors; return the files."""
        paths = frozenset(map(Path, self._journal.unproved))
        self._journal.unchecked = dict(self._journal.unproved)  # nobody has checked some of them with others
        self._save()
        self.refused()
        return paths

    def proved(self, paths: Iterable[Path]) -> None:
        """Forget what was before the files *paths*."""
        proved = set(paths)
        unproved = self._journal.unproved
        self._journal.unproved = {path: form for path, form in unproved.items() if Path(path) not in proved}
        self._save()

    def _save(self) -> None:
        """Bring the journal to the disk, unless it is there."""
        encoded = _encoded(self._journal)
        if encoded != self._on_disk:
            _replace(self._file, encoded)
            self._on_disk = encoded


def is_clean(folder: Path) -> bool:
    """Tell whether no file is in place that no check has passed; blocks."""
    return not any(_read(file).unchecked for file in folder.glob("*.msgpack"))


def recover(folder: Path) -> tuple[Path, ...]:
    """Put back what a killed run has left unchecked in place; return the files. Blocks.

    Raises:
        StateError: One can't be written, or a journal not be read; all others were put back.
    """
    found: list[Path] = []
    failure: StateError | None = None
    for file in sorted(folder.glob("*.msgpack")):
        try:
            found += _recover(file)
        except StateError as exc:
            failure = exc
    if failure:
        raise failure
    return tuple(found)


def _recover(file: Path) -> list[Path]:
    journal = _read(file)
    for path, form in journal.unchecked.items():
        _put(path, form)
    found = [Path(path) for path in journal.unchecked]
    if found:
        # what is unproved stays, and with it the trace that we have written there
        _replace(file, _encoded(_Journal(unproved=journal.unproved)))
    return found


def _put(path: str, form: Form | None) -> None:
    mode, uid, gid = (form.mode, form.uid, form.gid) if form else (None, None, None)
    dest = Dest(Path(path), mode=mode, uid=uid, gid=gid)
    if dest.now() != form:  # it may never have been replaced, or was put back before
        dest.put(form)


def _encoded(journal: _Journal) -> bytes:
    """Return what is in the file; b"" where none is needed."""
    return msgspec.msgpack.encode(journal) if journal.unchecked or journal.unproved else b""


def _replace(file: Path, encoded: bytes) -> None:
    if encoded:
        replace_file(file, encoded)
        return
    try:
        file.unlink(missing_ok=True)
    except OSError as exc:
        raise StateError(f"delete {file}: {exc.strerror} (may we write there?)") from exc


def _read(file: Path) -> _Journal:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=_Journal)
    except FileNotFoundError:
        return _Journal()
    except (OSError, msgspec.DecodeError) as exc:
        raise StateError(
            f"read {file}: {exc} (it says what to put back after a crash: look at it, then delete it)"
        ) from exc
