"""What would become of each template's file, without touching it."""

from __future__ import annotations

import asyncio
import difflib
import grp
import pwd
import time
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from proxyconf.errors import StateError
from proxyconf.groups.dest import Dest
from proxyconf.groups.rendering import Rendering, View
from proxyconf.model import Problem
from proxyconf.resources.jinja import TemplateError
from proxyconf.resources.keyspace import Keyspace
from proxyconf.resources.lookups import Lookups

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from pathlib import Path

    from proxyconf.groups.dest import Form
    from proxyconf.model import Snapshot
    from proxyconf.resources.jinja import Templates
    from proxyconf.resources.table import Resource


@dataclass(frozen=True, slots=True)
class Draft:
    """What would become of a template's file.

    Attributes:
        before: What is in place; None when there is no file.
        after: What should be; None when it can't be rendered.
        problem: Why it can't be rendered, or not be put in place; "" where it can.
    """

    resource: Resource
    before: Form | None = None
    after: Form | None = None
    problem: str = ""

    @property
    def fate(self) -> str:
        """What would happen to the file, in words; "" where it is as it should be."""
        if self.after is None:
            return "can't be rendered"
        if self.problem:
            return "can't be written"
        return "" if self.after == self.before else "would change"

    @property
    def error(self) -> Problem:
        """The problem, with the resource's place."""
        place, dest = self.resource.place, str(self.resource.dest)
        is_named = place.endswith(f" {dest}") or self.problem.startswith(f"write {dest}:")
        return Problem("template", place, self.problem if is_named else f"{dest}: {self.problem}")

    def diff(self) -> Iterator[str]:
        """Yield what would change in the content, as a unified diff, line by line."""
        if self.after is None or self.problem:
            return
        before, after = [
            StringIO(form.content.decode(errors="replace") if form else "").readlines()
            for form in (self.before, self.after)
        ]
        dest = str(self.resource.dest)
        for line in difflib.unified_diff(before, after, dest if self.before else "/dev/null", dest):
            yield line.removesuffix("\n")
            if not line.endswith("\n"):
                yield "\\ No newline at end of file"

    def attributes(self) -> str:
        """Return ``/etc/x: mode 0644 -> 0600, owner root:root -> app:app``, "" where neither would change.

        Looks up users and groups.
        """
        before, after = self.before, self.after
        if after is None or self.problem:
            return ""
        if before is None:
            return f"{self.resource.dest}: new, mode {after.mode:04o}, owner {_owner(after)}"
        changes = []
        if before.mode != after.mode:
            changes.append(f"mode {before.mode:04o} -> {after.mode:04o}")
        if (before.uid, before.gid) != (after.uid, after.gid):
            changes.append(f"owner {_owner(before)} -> {_owner(after)}")
        return f"{self.resource.dest}: {', '.join(changes)}" if changes else ""


def _owner(form: Form) -> str:
    """Return ``user:group``, as numbers where they have no names."""
    user, group = str(form.uid), str(form.gid)
    with suppress(KeyError):
        user = pwd.getpwuid(form.uid).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(form.gid).gr_name
    return f"{user}:{group}"


async def drafts(
    resources: Iterable[Resource],
    templates: Templates,
    snapshot: Snapshot,
    *,
    ours: Container[Path],
    clocks: Mapping[Path, float],
) -> tuple[Draft, ...]:
    """Render all *resources*, and compare each with what is in place.

    Args:
        resources: What is configured.
        templates: The folder they are rendered from.
        snapshot: What templates see.
        ours: Folders that are made at our start: nothing will be in the way there.
        clocks: Destination to the time that was told to the template last, in Unix time.
    """
    view, lookups = View(snapshot, Keyspace(snapshot.pairs)), Lookups()
    found = []
    for resource in resources:
        rendering = Rendering(resource, templates, lookups)
        draft = await _draft(rendering, resource, view, ours, time.time())
        if draft.fate and (earlier := clocks.get(resource.dest)):
            # that it is later now is no difference
            as_then = await _draft(rendering, resource, view, ours, earlier)
            draft = draft if as_then.fate else as_then
        found.append(draft)
    return tuple(found)


async def _draft(
    rendering: Rendering, resource: Resource, view: View, ours: Container[Path], clock: float
) -> Draft:
    try:
        content, _ = await rendering.render(view, clock=clock)
    except TemplateError as exc:
        return Draft(resource, problem=str(exc))
    return await asyncio.to_thread(_compare, resource, content, ours)


def _compare(resource: Resource, content: bytes, ours: Container[Path]) -> Draft:
    dest = Dest(resource.dest, mode=resource.mode, uid=resource.uid, gid=resource.gid)
    before, problem = None, ""
    try:
        before = dest.now()
        if resource.dest.parent not in ours:
            dest.foresee(before, dest.wanted(content, before))
    except StateError as exc:
        problem = str(exc)
    return Draft(resource, before, dest.wanted(content, before), problem)
