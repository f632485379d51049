"""Show or check what would be written, without changing anything."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.app import look, state_path
from proxyconf.design import follow, follow_one
from proxyconf.errors import CommandError, RefusedError, StateError, UsageError
from proxyconf.groups.draft import drafts
from proxyconf.intake import Intake
from proxyconf.nginx.addition_folders import AdditionFolders
from proxyconf.nginx.build import Build
from proxyconf.nginx.here import open_nginx
from proxyconf.nginx.part import parts_named
from proxyconf.nginx.reach import reach_nginx, with_certificates
from proxyconf.resources.folder import Resources, read_resources
from proxyconf.resources.jinja import TemplateError, Templates
from proxyconf.snapshot import merge
from proxyconf.state import State
from proxyconf.trial import OPERATORS, Trial
from proxyconf.verdicts import REFUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from proxyconf.config import Settings
    from proxyconf.groups.draft import Draft
    from proxyconf.model import Problem, Snapshot
    from proxyconf.nginx.additions import Additions
    from proxyconf.nginx.certificates import Certificates
    from proxyconf.nginx.folder import Folder
    from proxyconf.nginx.here import Here
    from proxyconf.nginx.part import Part
    from proxyconf.nginx.site import Site

_NONCE = "preview"
_TOKEN = "0" * 32  # the real one is a secret of the state folder, which need not exist for this
_FATES = ("would change", "can't be rendered", "can't be written", "set aside")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a site is made on, besides a snapshot.

    Attributes:
        here: The nginx that it is for.
        additions: What operators add to it.
        good: The parts that nginx proved to an earlier run, where that is known.
    """

    here: Here
    additions: Additions
    good: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Written:
    """A site, and what it is made on."""

    site: Site
    ground: Ground


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be written.

    Attributes:
        written: The site; None where there is none.
        set_aside: The template resources that can't be used.
        warnings: What was passed over, or left out of the site.
    """

    written: Written | None
    drafts: Sequence[Draft]
    set_aside: Sequence[Problem]
    warnings: Sequence[str]

    @property
    def files(self) -> dict[str, bytes]:
        """The site's files, named as in the folder nginx reads, and templates' as ``files/etc/...``."""
        site: dict[str, bytes] = {}
        if self.written:
            # keys are not for everybody's eyes
            shown = [part for part in self.written.site.parts if part.kind != "certificate"]
            site = _files(self.written.ground.here.folder, self.written.site, shown)
        made = {f"files{one.resource.dest}": one.after.content for one in self.drafts if one.after}
        return site | made

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What a template's file is not written for."""
        return (*self.set_aside, *(draft.error for draft in self.drafts if draft.problem))

    def count(self) -> str:
        """Return how many templates there are and what would become of them, in words."""
        found = Counter(one.fate for one in self.drafts)
        found["set aside"] = len(self.set_aside)
        total = found.total()
        words = [f"{found[fate]} {fate}" for fate in _FATES if found[fate] or fate == _FATES[0]]
        return f"{total} {'template' if total == 1 else 'templates'}: {', '.join(words)}"


async def render(settings: Settings, *, timeout_s: float) -> Preview:
    """Render everything from what the sources say now.

    Raises:
        SourceError: A source did not answer.
        UsageError: The configuration of a source is wrong.
    """
    resources = await asyncio.to_thread(read_resources, settings)
    return await preview_of(settings, resources, await look(settings, resources, timeout_s=timeout_s))


async def preview_of(settings: Settings, resources: Resources, snapshot: Snapshot) -> Preview:
    """Render everything from *snapshot*.

    Raises:
        UsageError: What the configuration says of nginx is wrong.
    """
    warnings = [*settings.warnings, *map(str, (*resources.warnings, *snapshot.problems))]
    templates = Templates(settings.tables.confd.dir / "templates")
    state = State(state_path(settings))
    written: Written | None = None
    ours: tuple[Path, ...] = ()
    if settings.tables.nginx.mode != "none":
        written, more = await _site(settings, snapshot)
        warnings += more
        ours = tuple(state.nginx / name for name in OPERATORS)
    clocks = await asyncio.to_thread(_clocks, state, resources)
    made = await drafts(resources.resources, templates, snapshot, ours=ours, clocks=clocks)
    return Preview(written, made, resources.problems, warnings)


def _clocks(state: State, resources: Resources) -> dict[Path, float]:
    """Return the time that was told to each template last, in Unix time, where it is known."""
    records = {one.dest: state.load_record(one.dest) for one in resources.resources}
    return {dest: record.clock for dest, record in records.items() if record and record.clock}


async def _site(settings: Settings, snapshot: Snapshot) -> tuple[Written, list[str]]:
    problems = []
    state = State(state_path(settings))
    uid = state.user()
    try:
        nginx = await reach_nginx(settings, state.nginx, _TOKEN, uid=uid)
    except CommandError as exc:
        nginx = await open_nginx(settings.tables.nginx, Build(), state.nginx, _TOKEN, uid=uid)
        nginx = await with_certificates(nginx, settings.tables.nginx)
        problems.append(f"{exc}; rendered for an nginx that supports the least")
    if nginx.control.build is None:
        problems.append("nginx can't be asked what it is; rendered for one that supports the least")
    ground = await _ground(settings, nginx)
    site = nginx.renderer().render(snapshot, additions=ground.additions)
    problems += map(str, (*site.problems, *nginx.certificates.found.problems))
    return Written(site, ground), problems


async def _ground(settings: Settings, here: Here) -> Ground:
    state = State(state_path(settings))
    good = await asyncio.to_thread(_restore, here.certificates, state, here.folder)
    folders = AdditionFolders(here.folder.path, settings.tables.nginx.error_pages)
    return Ground(here, await asyncio.to_thread(folders.refresh), good)


def _restore(certificates: Certificates, state: State, folder: Folder) -> Sequence[Part]:
    """Let what a certificate was before count where it can't be used now, as in the running one; blocks.

    Returns:
        The parts that nginx proved to an earlier run.
    """
    good = _proved(state, folder)
    certificates.restore(good)
    certificates.refresh()
    return good


def _proved(state: State, folder: Folder) -> tuple[Part, ...]:
    """Return what nginx proved to an earlier run; nothing where that is not ours to read."""
    applied = state.load_applied()
    with suppress(StateError):
        live = folder.live()
        if applied and applied.nonce.encode() in live:
            return folder.parts(parts_named(live))
    return ()


def _files(folder: Folder, site: Site, parts: Iterable[Part]) -> dict[str, bytes]:
    files = {folder.root.name: site.root(_NONCE)}
    return files | {f"parts/{part.file}": part.text for part in parts}


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading the configuration has shown.

    Attributes:
        sources: The names of the sources.
        templates: How many resources can be used.
        mistakes: What is to be mended, each with its place.
        warnings: What was passed over.
    """

    sources: Sequence[str]
    templates: int
    mistakes: Sequence[str]
    warnings: Sequence[str]


def read(settings: Settings) -> Reading:
    """Read resources and templates, and the settings of the sources; blocks, and connects to nothing."""
    resources = read_resources(settings)
    mistakes = []
    for table in settings.sources:
        try:
            follow_one(settings, table, resources)
        except UsageError as exc:
            mistakes.append(str(exc))
    mistakes += [*map(str, resources.problems), *_compile(settings, resources)]
    return Reading(
        sources=[table.name for table in settings.sources],
        templates=len(resources.resources),
        mistakes=mistakes,
        warnings=[*settings.warnings, *map(str, resources.warnings)],
    )


def _compile(settings: Settings, resources: Resources) -> Iterator[str]:
    """Yield why templates can't be compiled."""
    templates = Templates(settings.tables.confd.dir / "templates")
    for src in dict.fromkeys(resource.src for resource in resources.resources):
        try:
            templates.compile(src)
        except TemplateError as exc:
            yield str(exc)


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """What `check_site` has found.

    Attributes:
        nginx: What it is, in words; "" where that is not known.
        site: What it takes, in words.
        problems: What is set aside for that, or asked for and not done.
        certificates: What is amiss with them, and keeps nginx from nothing else.
    """

    nginx: str
    site: str
    problems: Sequence[Problem]
    certificates: Sequence[Problem]


async def check_site(settings: Settings) -> SiteCheck:
    """Ask nginx what it is, and about the site that was saved last.

    Raises:
        CommandError: nginx's program can't be run.
        RefusedError: nginx refuses the site, and not for an operator's file of some host.
        StateError: It can't be asked, by whom we are.
    """
    snapshot, state = await asyncio.to_thread(_saved, settings), State(state_path(settings))
    nginx = await reach_nginx(settings, state.nginx, _TOKEN, uid=state.user())
    await nginx.control.meet()
    _, problems = await settle(settings, await _ground(settings, nginx), snapshot)
    if bad := [str(one) for one in problems if one.what != "file" and one.why.startswith(REFUSES)]:
        raise RefusedError("; ".join(bad))
    build, count = nginx.control.build, len(snapshot.routes)
    routes = f"{count} {'route' if count == 1 else 'routes'}, as saved by the last run"
    return SiteCheck(
        nginx=f"{build.flavour} {'.'.join(map(str, build.version))}" if build else "",
        site=f"nginx takes it ({routes if count else 'without routes'})",
        problems=problems,
        certificates=nginx.certificates.found.problems,
    )


async def settle(settings: Settings, ground: Ground, snapshot: Snapshot) -> tuple[Site, Sequence[Problem]]:
    """Return the site that would come of *snapshot* without what nginx refuses, and what is set aside in it.

    Raises:
        RefusedError: nginx refuses it, and no part of it is to blame.
        CommandError, UncheckedError: It can't be asked.
        StateError: It can't be asked by whom we are, or there is no room for a copy.
    """
    state = State(state_path(settings))
    # in mode include the main file is theirs, and says whom it is for
    user = state.user_beside() if settings.tables.nginx.mode == "own" else ""
    with _folder_to_check_in(settings, state.nginx) as folder:
        return await Trial(ground.here, folder, user).settle(snapshot, ground.additions, ground.good)


@contextmanager
def _folder_to_check_in(settings: Settings, real: Path) -> Iterator[Path]:
    """Make one for a while; below the real folder where nginx, in another container, sees nothing else."""
    shared = real if settings.tables.nginx.via.container else None
    try:
        made = tempfile.TemporaryDirectory(prefix="proxyconf-check-", dir=shared)
    except OSError as exc:
        raise StateError(f"make a folder in {real}: {exc.strerror} (has proxyconf ever run?)") from exc
    with made as path:
        Path(path).chmod(0o755)
        yield Path(path)


def _saved(settings: Settings) -> Snapshot:
    """Return what the last run knew; nothing where there was none, or it is not ours to read."""
    followed = follow(settings, Resources())
    intake = Intake({name: one.source.policy for name, one in followed.items()})
    for listing in State(state_path(settings)).load_listings():
        intake.restore(listing)
    return merge(intake.claims(), host_rule=settings.tables.routing.host_rule)
