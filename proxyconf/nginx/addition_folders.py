"""The folders of what operators add: read again whenever a file in them is another one."""

from __future__ import annotations

import os
from contextlib import suppress
from os import DirEntry, scandir
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError
from proxyconf.files import read_regular
from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.additions import HOST_D, LOCATION_D, PIECE, Additions, piece
from proxyconf.nginx.pages import by_status, statuses_of
from proxyconf.nginx.part import Part, make_part
from proxyconf.nginx.writing import directive

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_MAX = 1 << 20
_PAGE_MAX = 1 << 20
# no directive of nginx: a piece that is refused keeps its last good form, or closes what it may have to guard
_REFUSED = directive("this_is_no_regular_file")
_Stamp = tuple[int, int, int, int]


class AdditionFolders:
    """Reads them; every method blocks.

    Args:
        folder: Where host.d and location.d are.
        pages: The folder of error pages, if there is one.

    Attributes:
        found: What was there when they were read last. A page that can't be read any more stays as it was.
    """

    def __init__(self, folder: Path, pages: Path | None = None) -> None:
        self.found = Additions()
        self._folders = (folder / HOST_D, folder / LOCATION_D)
        self._pages = pages
        self._stamps: dict[Path, _Stamp] | None = None
        self._last_pages: dict[str, Part] = {}

    def is_current(self) -> bool:
        """Tell whether all files are those that were read."""
        return self._look() == self._stamps

    def refresh(self) -> Additions:
        """Read them, unless they are as they were; return what is there."""
        stamps = self._look()
        if stamps == self._stamps:
            return self.found
        problems = [problem for file in stamps if (problem := _badly_named(file))]
        servers, locations = (
            {
                file.name: _read_piece(file, problems)
                for file in stamps
                if file.parent == folder and PIECE.fullmatch(file.name)
            }
            for folder in self._folders
        )
        files = [file for file in stamps if file.parent == self._pages and file.name.isprintable()]
        pages = {page.name: page for file in files if (page := self._read_page(file, problems))}
        if self._pages and not os.path.isdir(self._pages):  # noqa: PTH112 - whatever is wrong with it
            problems.append(Problem("folder", str(self._pages), "is no folder (make it, or set error_pages)"))
        self._stamps, self._last_pages = stamps, pages
        nameless = tuple(file for file in stamps if file.parent in self._folders and file.suffix != ".conf")
        self.found = Additions(servers, locations, by_status(pages.values()), tuple(problems), nameless)
        return self.found

    def _look(self) -> dict[Path, _Stamp]:
        """Return what tells whether a file is another one, or may be read now, sorted."""
        entries = [entry for folder in self._folders for entry in _entries(folder)]
        if self._pages:
            entries += _entries(self._pages, ".html")
        return {Path(entry.path): _stamp(entry) for entry in sorted(entries, key=lambda one: one.path)}

    def _read_page(self, file: Path, problems: list[Problem]) -> Part | None:
        """Return the page in *file*, or what it was before where it can't be read."""
        why = ""
        if not statuses_of(file.name):
            why = "is the page of no status (name it as 404.html, 50x.html or 5xx.html)"
            problems.append(Problem("page", str(file), why))
            return None
        try:
            content = read_regular(file, _PAGE_MAX)
        except OSError as exc:
            why = f"can't be read: {exc.strerror} (may we?)"
        except BadValueError as exc:
            why = str(exc)
        else:
            return make_part("page", file.name, content)
        before = self._last_pages.get(file.name)
        kept = "; the one before is still used" if before else ""
        problems.append(Problem("page", str(file), f"{why}{kept}"))
        return before


def _entries(folder: Path, ending: str = "") -> Iterator[DirEntry[str]]:
    with suppress(OSError), scandir(folder) as entries:
        yield from (entry for entry in entries if entry.name.endswith(ending) and entry.name[0] != ".")


def _stamp(entry: DirEntry[str]) -> _Stamp:
    """Return what another content changes, or another mode; of a link, it is of what that leads to."""
    try:
        status = entry.stat()
    except OSError:
        return (0, 0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def _badly_named(file: Path) -> Problem | None:
    """Return why a *file* can't be for any host, if it looks as if it were for one."""
    if file.suffix not in (".conf", ".html"):
        return None
    if not file.name.isprintable():  # which can't be shown as it is: a byte that is no UTF-8 is in no JSON
        return Problem("file", repr(str(file)), "has a name that can't be read (rename it)")
    if file.suffix == ".html" or PIECE.fullmatch(file.name):
        return None
    why = "is passed over: its name can be no host's (write that in lower case, and _ for a star, as in"
    return Problem("file", str(file), f"{why} _.example.com.conf)")


def _read_piece(file: Path, problems: list[Problem]) -> Part:
    """Return a copy, or what has nginx itself read the file: it may be able to, and else says why not."""
    origin = str(file)
    try:
        return piece(origin, read_regular(file, _PIECE_MAX))
    except OSError:
        pass
    except BadValueError as exc:
        if not os.path.isfile(file):  # noqa: PTH113 - as above; nginx would wait for it, too
            problems.append(Problem("file", origin, str(exc)))
            return piece(origin, _REFUSED.encode())
    return piece(origin, directive("include", quoting.file(file)).encode())
