"""Show or check what would be written, without changing anything."""

from __future__ import annotations

import asyncio
import difflib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.app import look, state_path
from proxyconf.errors import CommandError, RefusedError, StateError, UsageError
from proxyconf.groups.dest import Dest
from proxyconf.groups.rendering import Rendering, View
from proxyconf.house import follow
from proxyconf.intake import Intake
from proxyconf.nginx.build import Build
from proxyconf.nginx.here import ask_build, open_nginx
from proxyconf.resources.folder import Resources, read_resources
from proxyconf.resources.jinja import TemplateError, Templates
from proxyconf.resources.keyspace import Keyspace
from proxyconf.resources.lookups import Lookups
from proxyconf.snapshot import merge
from proxyconf.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxyconf.config import Settings
    from proxyconf.model import Problem, Snapshot
    from proxyconf.nginx.here import Here
    from proxyconf.nginx.site import Site
    from proxyconf.resources.table import Resource

_NONCE = "preview"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a template would write.

    Attributes:
        before: What is in place; None when there is no file.
        after: None when it can't be rendered.
        problem: Why.
    """

    dest: Path
    before: bytes | None = None
    after: bytes | None = None
    problem: str = ""

    def diff(self) -> Iterator[str]:
        """Yield what would change, line by line, as a unified diff; nothing where nothing would."""
        if self.after is None or self.after == self.before:
            return
        before, after = [
            (content or b"").decode(errors="replace").splitlines() for content in (self.before, self.after)
        ]
        name = "/dev/null" if self.before is None else str(self.dest)
        yield from difflib.unified_diff(before, after, name, str(self.dest), lineterm="")


async def drafts(
    settings: Settings, *, timeout_s: float
) -> tuple[tuple[Draft, ...], tuple[Problem, ...], tuple[Problem, ...]]:
    """Render all templates from what the sources say now; return them, what was set aside, and warnings.

    Raises:
        SourceError: A source did not answer.
        UsageError: The configuration of a source is wrong.
    """
    resources = await asyncio.to_thread(read_resources, settings)
    snapshot = await look(settings, resources, timeout_s=timeout_s)
    made = await _drafts(settings, resources, snapshot)
    return made, (*resources.problems, *snapshot.problems), resources.warnings


async def _drafts(settings: Settings, resources: Resources, snapshot: Snapshot) -> tuple[Draft, ...]:
    view = View(snapshot, Keyspace(snapshot.pairs))
    templates, lookups = Templates(settings.tables.confd.dir / "templates"), Lookups()
    return tuple([await _draft(one, Rendering(one, templates, lookups), view) for one in resources.resources])


async def _draft(resource: Resource, rendering: Rendering, view: View) -> Draft:
    try:
        after, _ = await rendering.render(view, clock=time.time())
        dest = Dest(resource.dest, mode=resource.mode, uid=resource.uid, gid=resource.gid)
        before = await asyncio.to_thread(dest.now)
    except (TemplateError, StateError) as exc:
        return Draft(resource.dest, problem=str(exc))
    return Draft(resource.dest, before.content if before else None, after)


async def render(settings: Settings, *, timeout_s: float) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the files that would be written, and the problems.

    The site's files are named as in the folder nginx reads, those of templates ``files/etc/...``.

    Raises:
        SourceError: A source did not answer.
        UsageError: The configuration of a source is wrong.
    """
    resources = await asyncio.to_thread(read_resources, settings)
    snapshot = await look(settings, resources, timeout_s=timeout_s)
    problems = [str(problem) for problem in (*resources.problems, *resources.warnings, *snapshot.problems)]
    files: dict[str, bytes] = {}
    if settings.tables.nginx.mode != "none":
        files, more = await _site(settings, snapshot)
        problems += more
    for draft in await _drafts(settings, resources, snapshot):
        if draft.after is None:
            problems.append(f"template {draft.dest}: {draft.problem}")
        else:
            files[f"files{draft.dest}"] = draft.after
    return files, tuple(problems)


async def _site(settings: Settings, snapshot: Snapshot) -> tuple[dict[str, bytes], list[str]]:
    problems = []
    try:
        build = await ask_build(settings.tables.nginx.binary)
    except CommandError as exc:
        build = Build()
        problems.append(f"{exc}; rendered for an nginx that supports the least")
    # the real token is a secret of the state folder, which need not exist for this
    nginx = await open_nginx(settings.tables.nginx, build, state_path(settings) / "nginx", "0" * 32)
    site = nginx.renderer().render(snapshot)
    return _files(nginx, site), [*problems, *map(str, site.problems)]


def _files(nginx: Here, site: Site) -> dict[str, bytes]:
    files = {nginx.folder.root.name: site.root(_NONCE)}
    return files | {f"parts/{part.file}": part.text for part in site.parts}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* into *folder*.

    Raises:
        StateError: It can't be written.
    """
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as exc:
        raise StateError(f"write {exc.filename}: {exc.strerror} (name another folder with --out)") from exc


async def check(settings: Settings) -> Sequence[str]:
    """Check the sources' settings, nginx's program and what it says of the site that was saved last.

    Returns:
        What is well, a line each.

    Raises:
        UsageError: A mistake in the configuration.
        CommandError: nginx's program can't be run.
        RefusedError: nginx refuses the site.
    """
    resources = await asyncio.to_thread(read_resources, settings)
    mistakes = [*map(str, resources.problems), *await asyncio.to_thread(_compile, settings, resources)]
    if mistakes:
        raise UsageError("; ".join(mistakes))
    lines = [f"configuration: well; sources: {', '.join(follow(settings, resources))}"]
    if resources.resources:
        lines.append(f"templates: {len(resources.resources)}")
    lines += [f"warning: {warning}" for warning in resources.warnings]
    if settings.tables.nginx.mode != "none":
        lines += await _check_site(settings)
    return lines


def _compile(settings: Settings, resources: Resources) -> list[str]:
    """Return why templates can't be compiled."""
    templates, mistakes = Templates(settings.tables.confd.dir / "templates"), []
    for src in dict.fromkeys(resource.src for resource in resources.resources):
        try:
            templates.compile(src)
        except TemplateError as exc:
            mistakes.append(str(exc))
    return mistakes


async def _check_site(settings: Settings) -> list[str]:
    lines = []
    real = state_path(settings) / "nginx"
    build = await ask_build(settings.tables.nginx.binary)
    lines.append(f"nginx: {build.flavour} {'.'.join(map(str, build.version))}")
    snapshot = _saved(settings)
    with tempfile.TemporaryDirectory(prefix="proxyconf-check-") as path:
        folder = Path(path)
        nginx = await open_nginx(settings.tables.nginx, build, folder, "0" * 32, included_from=real)
        write(folder, _files(nginx, nginx.renderer().render(snapshot)))
        (folder / "temp").mkdir()
        for name in ("main.d", "http.d"):
            if (real / name).is_dir():
                (folder / name).symlink_to(real / name)
        try:
            await nginx.control.check(nginx.folder.root)
        except RefusedError as exc:  # what it names must still be there when it is read
            raise RefusedError(str(exc).replace(str(folder), str(real)), exc.output) from exc
    saved = (
        f"{len(snapshot.routes)} routes, as saved by the last run" if snapshot.routes else "without routes"
    )
    lines.append(f"site: nginx takes it ({saved})")
    return lines


def _saved(settings: Settings) -> Snapshot:
    """Return what the last run knew; nothing where there was none, or it is not ours to read."""
    followed = follow(settings, Resources())
    intake = Intake({name: one.source.policy for name, one in followed.items()})
    for listing in State(state_path(settings)).load_listings():
        intake.restore(listing)
    return merge(intake.claims(), host_rule=settings.tables.routing.host_rule)
