"""All template resources: those of our own configuration, and the files below ``conf.d``, as confd has them.

A file that can't be used is set aside, and the others go on. A file may have keys that nobody knows, for
confd passes over them: a warning, for they may be misspelt.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli

from proxyconf.errors import UsageError
from proxyconf.model import Problem
from proxyconf.resources.table import KEYS, Resource, read_table
from proxyconf.tables import Confd
from proxyconf.values import spelling, toml_hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxyconf.config import Settings, TemplateTable

TABLE, BACKEND = "template", "backend"
_TEMPLATE = "template"
_NOT_HERE = {
    "output_format": "has no effect (let check_cmd look at the rendered text)",
    "debounce": "has no effect (see [pace] for all resources, or min_reload_interval for this one)",
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What was found.

    Attributes:
        resources: Our own tables' first, then those of the files, in lexical order of their paths.
        problems: What was set aside, each with its mend.
        warnings: What was passed over in tables.
    """

    resources: tuple[Resource, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def read_resources(settings: Settings) -> Resources:
    """Read all resources; blocks."""
    confd = settings.tables.confd
    reader = _Reader(confd)
    reader.look_for_folder()
    for table in settings.templates:
        reader.add_table(table)
    for file in (*confd.files, *reader.files_below(confd.dir / "conf.d")):
        reader.add_file(file)
    if settings.tables.nginx.mode == "none" and not (reader.resources or reader.problems):
        why = "there is no resource, so there is nothing to do (a file *.toml with a [template] table)"
        reader.warnings.append(Problem(_TEMPLATE, str(confd.dir / "conf.d"), why))
    return Resources(tuple(reader.resources.values()), tuple(reader.problems), tuple(reader.warnings))


def with_last_good(now: Resources, before: Resources) -> Resources:
    """Return *now*, and of *before* what was read from where something is set aside now; blocks.

    A resource that can't be read any more is no order to forget it.
    """
    resources = {os.path.realpath(one.dest): one for one in now.resources}
    problems = []
    for problem in now.problems:
        about = [one for one in before.resources if _is_about(problem.where, one.place)]
        kept = {real: one for one in about if (real := os.path.realpath(one.dest)) not in resources}
        resources |= kept
        more = "; what was read before still counts" if kept else ""
        problems.append(replace(problem, why=problem.why + more))
    return Resources(tuple(resources.values()), tuple(problems), now.warnings)


def _is_about(where: str, place: str) -> bool:
    """Tell whether a problem is about what was read from *place*: the file, a line of it, its folder."""
    return where == place or where.startswith(f"{place}:") or place.startswith(f"{where}/")


class _Reader:
    def __init__(self, confd: Confd) -> None:
        self.resources: dict[str, Resource] = {}  # by what their dest is in the end, behind links
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._confd = confd
        self._seen: set[str] = set()

    def look_for_folder(self) -> None:
        """Say that the folder is not there, which is well only where nobody has named it."""
        folder = self._confd.dir
        if folder != Confd().dir and not folder.is_dir():
            self._set_aside(str(folder), "no such folder (the one with conf.d and templates in it)")

    def files_below(self, folder: Path) -> Iterator[Path]:
        """Yield every ``*toml`` in the order of confd: hidden ones, too, but not behind links to folders."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._set_aside(str(folder), f"list: {exc.strerror} (may we read it?)")
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                # of a mounted ConfigMap, "..2024_01_31" is what the links beside it lead to
                if not entry.name.startswith(".."):
                    yield from self.files_below(Path(entry.path))
            elif entry.name.endswith("toml") and _can_be_read(entry):
                yield Path(entry.path)

    def add_table(self, table: TemplateTable) -> None:
        """Read a table of our own configuration."""
        try:
            self._add(read_table(table.values, table.place, self._confd))
        except UsageError as exc:
            self._set_aside(table.place, str(exc).removeprefix(f"{table.place}: "))

    def add_file(self, file: Path) -> None:
        """Read a resource file, unless it was read already by another name."""
        real = os.path.realpath(file)
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            text = file.read_text(encoding="utf-8")
            values = {key.lower(): value for key, value in tomli.loads(text).items()}
        except OSError as exc:
            self._set_aside(str(file), f"read: {exc.strerror} (may we read it?)")
        except (tomli.TOMLDecodeError, UnicodeDecodeError) as exc:
            where = re.search(r"at line (\d+)", str(exc))
            line = text.splitlines()[int(where[1]) - 1] if where else ""
            hint = toml_hint(exc) or "is it TOML?"
            if re.match(r"\s*mode\s*=\s*0\d", line):
                hint = 'write mode = "0644", as a text'
            self._set_aside(f"{file}:{where[1]}" if where else str(file), f"{exc} ({hint})")
        else:
            self._add_values(_File(file, text), values)

    def _add_values(self, file: _File, values: Mapping[str, Any]) -> None:
        table = values.get(TABLE)
        if not isinstance(table, dict):
            self._set_aside(str(file.path), "no [template] table (one in a file, its keys below that line)")
            return
        if isinstance(values.get(BACKEND), dict):
            self._set_aside(
                file.at("[backend]"),
                "[backend]: a resource has no store of its own here (make it a source in proxyconf's own"
                " configuration, [etcd] or [consul] for example: templates see the keys of all sources)",
            )
            return
        self._pass_over(file, table)  # also where it can't be used: a key that is missing may be misspelt
        # confd does not tell Src from src
        known = {key.lower(): value for key, value in table.items() if key.lower() in KEYS}
        try:
            resource = read_table(known, str(file.path), self._confd)
        except UsageError as exc:
            why = str(exc).removeprefix(f"{file.path}: ")
            self._set_aside(file.at(re.split(r"\W", why, maxsplit=1)[0]), why)
            return
        self._add(resource, file)

    def _pass_over(self, file: _File, table: Mapping[str, Any]) -> None:
        for key in table:
            if key.lower() not in KEYS:
                why = _NOT_HERE.get(key.lower()) or f"unknown, so it was passed over ({spelling(key, KEYS)})"
                self.warnings.append(Problem(_TEMPLATE, file.at(key), f"{key}: {why}"))

    def _add(self, resource: Resource, file: _File | None = None) -> None:
        real = os.path.realpath(resource.dest)
        if first := self.resources.get(real):
            where = file.at("dest") if file else resource.place
            self._set_aside(where, f"dest: {resource.dest} is written by {first.place} (remove one of them)")
        else:
            self.resources[real] = resource

    def _set_aside(self, where: str, why: str) -> None:
        self.problems.append(Problem(_TEMPLATE, where, why))


def _can_be_read(entry: os.DirEntry[str]) -> bool:
    """Tell whether it is a file, or a link that leads nowhere, of which reading will say so; but no pipe."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str

    def at(self, key: str) -> str:
        """Return where *key* (or a table's head, in brackets) is set: ``file:line``, or only the file."""
        name = re.escape(key) if key.startswith("[") else rf"[\"']?{re.escape(key)}[\"']?\s*="
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.match(rf"\s*{name}", line, re.IGNORECASE):
                return f"{self.path}:{number}"
        return str(self.path)
