"""What would change if all that the sources say were applied now, against what is in place.

A site's files are named by their content, so they are paired by what they are of. What is another at every
attempt, the nonce, is no difference, and neither are the names of files in the main file. Certificates and
users are named, but never shown.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import shlex
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from proxyconf.app import ask_all, state_path
from proxyconf.design import follow, needs_of
from proxyconf.errors import CommandError, RefusedError, StateError, UncheckedError
from proxyconf.files import user_name
from proxyconf.intake import Intake
from proxyconf.model import Change
from proxyconf.nginx.part import parts_named, read_part, unlabelled
from proxyconf.preview import preview_of, settle
from proxyconf.resources.folder import read_resources
from proxyconf.snapshot import merge
from proxyconf.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from proxyconf.config import Settings
    from proxyconf.model import Problem, Snapshot
    from proxyconf.nginx.folder import Folder
    from proxyconf.nginx.part import Part
    from proxyconf.nginx.site import Site
    from proxyconf.preview import Preview, Written
    from proxyconf.resources.folder import Resources

_MAIN = "main file"
_PART_LINE = re.compile(r"^.*\bparts/[a-z]-[0-9a-f]{16}\..*\n", re.MULTILINE)
_TOKEN = re.compile(r"\b[0-9a-f]{32}(?=\.proxyconf\.invalid)")
_NONCE = re.compile(r"(default_type text/plain;\s+return 200 )[^;]*;")
_HIDDEN = {"c": "certificate", "a": "authority", "u": "users", "p": "page"}


@dataclass(frozen=True, slots=True)
class Text:
    """A file whose content may be seen.

    Attributes:
        name: What it is of, so that two texts with the same name are two versions of one file.
        content: Without its label.
    """

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a site.

    Attributes:
        texts: Those that may be seen, by their names.
        hidden: Those that may not, by their names as files: what each is, for people.
    """

    texts: Mapping[str, Text]
    hidden: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """What would change.

    Attributes:
        texts: What is in place and what should be, of each file that would change; empty for no file.
        hidden: What would change and is not shown, in words.
        preview: What would be written.
        warnings: What was passed over, or left out.
    """

    texts: Sequence[tuple[Text, Text]]
    hidden: Sequence[str]
    preview: Preview
    warnings: Sequence[str]

    @property
    def changes(self) -> int:
        """How many files would change."""
        templates = sum(draft.fate == "would change" for draft in self.preview.drafts)
        return len(self.texts) + len(self.hidden) + templates

    def lines(self) -> Iterator[str]:
        """Yield everything as a unified diff."""
        for before, after in self.texts:
            yield from _diff(before, after)
        yield from self.hidden
        for draft in self.preview.drafts:
            yield from draft.diff()
            if attributes := draft.attributes():
                yield attributes


async def difference(settings: Settings, *, timeout_s: float) -> Difference:
    """Compare what should be with what is in place.

    Raises:
        SourceError: A source did not answer.
        UsageError: The configuration is wrong.
        StateError: What is in place can't be read.
    """
    resources = await asyncio.to_thread(read_resources, settings)
    snapshot, problems = await _wanted(settings, resources, timeout_s)
    preview = await preview_of(settings, resources, snapshot)
    warnings = [*_doubts(state_path(settings)), *preview.warnings, *map(str, problems)]
    if preview.written is None:
        return Difference((), (), preview, warnings)
    before = await asyncio.to_thread(_in_place, preview.written.ground.here.folder)
    texts, hidden = _compared(before, preview.written.site)
    if texts or hidden:
        site, refusals = await _settled(settings, preview.written, snapshot)
        texts, hidden = _compared(before, site)
        warnings += (text for text in refusals if text not in warnings)
    return Difference(texts, hidden, preview, warnings)


def _compared(before: Files, site: Site) -> tuple[Sequence[tuple[Text, Text]], Sequence[str]]:
    """Return what would change from *before* to *site*: what may be seen, and what may not."""
    after = _of_site(site)
    return tuple(_changed(before.texts, after.texts)), tuple(_unlike(before.hidden, after.hidden))


async def _settled(settings: Settings, written: Written, snapshot: Snapshot) -> tuple[Site, Sequence[str]]:
    """Return the site without what nginx would refuse, and what it has against it.

    Where it can't be asked without touching the folder that it reads, that is nothing.
    """
    if settings.tables.nginx.via.container:
        return written.site, ()
    try:
        site, problems = await settle(settings, written.ground, snapshot)
    except RefusedError as exc:
        return written.site, (f"nginx would refuse this: {exc}",)
    except (CommandError, StateError, UncheckedError) as exc:
        return written.site, (f"nginx can't be asked about it: {exc}",)
    return site, tuple(map(str, problems))


async def _wanted(
    settings: Settings, resources: Resources, timeout_s: float
) -> tuple[Snapshot, Sequence[Problem]]:
    """Return what should be served, by what an earlier run knows: last good values, owners, losses."""
    state = State(state_path(settings))
    followed = follow(settings, resources)
    intake = Intake({name: one.source.policy for name, one in followed.items()}, needs_of(resources))
    for listing in await asyncio.to_thread(state.load_listings):
        intake.restore(listing)
    for listing in await ask_all(followed.values(), timeout_s=timeout_s):
        intake.take(Change(listing, fresh=True))
    applied = await asyncio.to_thread(state.load_applied)
    owners = applied.owners if applied else {}
    snapshot = merge(intake.claims(), owners, host_rule=settings.tables.routing.host_rule)
    return snapshot, intake.problems()


def _doubts(state: Path) -> Iterator[str]:
    """Yield why the difference may be another one for the program that runs."""
    user = State(state).user()
    if os.geteuid() not in (0, user):
        name = user_name(user)
        yield (
            f"{state} is of the user {name}, and we are {user_name(os.geteuid())}, so that last good values"
            f" are not known (run as root, or: sudo -u {shlex.quote(name)} proxyconf plan)"
        )


def _in_place(folder: Folder) -> Files:
    """Read what is in the folder; blocks."""
    try:
        root = folder.root.read_bytes()
        contents = {name: _read(folder.path / "parts" / name) for name in sorted(parts_named(root))}
    except FileNotFoundError:
        return Files({}, {})
    except OSError as exc:
        raise StateError(f"read {exc.filename}: {exc.strerror} (run as root, or as its owner)") from exc
    parts = [part for name, one in contents.items() if (part := read_part(name, one))]
    texts = [_main(root), *(_text(part) for part in parts if part.file[0] not in _HIDDEN)]
    hidden = {name: _of_hosts(name, texts) for name in contents if name[0] in _HIDDEN}
    return Files({text.name: text for text in texts}, hidden)


def _read(file: Path) -> bytes:
    if file.name[0] in _HIDDEN:
        return b""
    try:
        return file.read_bytes()
    except FileNotFoundError:  # somebody has deleted it; it would be written again
        return b""


def _main(root: bytes) -> Text:
    """Return the root file without what is another at every attempt, and secret."""
    content = _PART_LINE.sub("", root.decode(errors="replace"))
    return Text(_MAIN, _NONCE.sub(r'\1"NONCE";', _TOKEN.sub("TOKEN", content)))


def _text(part: Part) -> Text:
    return Text(_named(part), unlabelled(part.text.decode(errors="replace")))


def _of_hosts(name: str, texts: Iterable[Text]) -> str:
    """Return what a hidden file is where only who refers to it is known."""
    users = [text.name for text in texts if text.name.startswith("host ") and name in text.content]
    return f"{_HIDDEN[name[0]]} of {', '.join(users) or 'no host'}"


def _of_site(site: Site) -> Files:
    shown = [part for part in site.parts if part.file[0] not in _HIDDEN]
    texts = [_main(site.root("x")), *map(_text, shown)]
    hidden = {part.file: _named_hidden(part, texts) for part in site.parts if part.file[0] in _HIDDEN}
    return Files({text.name: text for text in texts}, hidden)


def _named(part: Part) -> str:
    return f"{'file' if part.kind == 'operator' else part.kind} {part.name}"


def _named_hidden(part: Part, texts: Iterable[Text]) -> str:
    """Return what a hidden file is; users have no name but that of their file."""
    return _of_hosts(part.file, texts) if part.name == part.file else _named(part)


def _changed(before: Mapping[str, Text], after: Mapping[str, Text]) -> Iterator[tuple[Text, Text]]:
    """Yield both versions of each text that would change, the main file first."""
    nothing = Text("", "")
    for key in sorted(before.keys() | after.keys(), key=lambda key: (key != _MAIN, key)):
        old, new = before.get(key, nothing), after.get(key, nothing)
        if old.content != new.content:
            yield old, new


def _unlike(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield which hidden files would come and go, in words."""
    for file in sorted(before.keys() - after.keys()):
        yield f"- {before[file]} (not shown)"
    for file in sorted(after.keys() - before.keys()):
        yield f"+ {after[file]} (not shown)"


def _diff(before: Text, after: Text) -> Iterator[str]:
    old_name, new_name = [one.name if one.content else "/dev/null" for one in (before, after)]
    old, new = [StringIO(one.content).readlines() for one in (before, after)]
    for line in difflib.unified_diff(old, new, old_name, new_name):
        yield line.removesuffix("\n")
