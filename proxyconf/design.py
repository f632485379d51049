"""What the settings come to: sources, templates, and the way into nginx."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyconf.api import NginxState
from proxyconf.apply import Apply
from proxyconf.config import DEFAULT_CONFIG
from proxyconf.errors import UsageError
from proxyconf.groups.plan import Around, plan
from proxyconf.model import covers
from proxyconf.nginx.reach import reach_nginx
from proxyconf.outfit import Outfit
from proxyconf.resources.folder import read_resources, with_last_good
from proxyconf.resources.jinja import Templates
from proxyconf.resources.lookups import Lookups
from proxyconf.sources import engine_of, has_keys, kinds, open_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.board import Board
    from proxyconf.config import Settings, SourceTable
    from proxyconf.model import Problem
    from proxyconf.resources.folder import Resources
    from proxyconf.sources import Source
    from proxyconf.state import State
    from proxyconf.tables import Nginx, SourcePolicy

_ALL = ("/",)


@dataclass(frozen=True, slots=True)
class Followed:
    """A source, and what it was made from.

    Attributes:
        needs: The key prefixes it was asked for; all, where there are none to ask for.
        nginx: The container that nginx is in, where it is one of this source's engine.
    """

    source: Source
    values: Mapping[str, Any]
    needs: tuple[str, ...]
    nginx: str

    def is_like(self, other: Followed | None) -> bool:
        """Tell whether the two would say the same."""
        return other is not None and replace(self, source=other.source) == other


@dataclass(frozen=True, slots=True)
class Design:
    """What settings come to.

    Attributes:
        followed: The sources, by name.
        resources: The templates' resources.
        outfit: What the reconciler works with.
        nginx: What is known of it.
    """

    followed: Mapping[str, Followed]
    resources: Resources
    outfit: Outfit
    nginx: NginxState

    @property
    def needs(self) -> tuple[str, ...]:
        """The key prefixes that templates want of every source."""
        return needs_of(self.resources)

    @property
    def policies(self) -> dict[str, SourcePolicy]:
        """What each source may do."""
        return {name: one.source.policy for name, one in self.followed.items()}


def follow(settings: Settings, resources: Resources) -> dict[str, Followed]:
    """Make the configured sources, by name, each told what nginx and the templates need.

    Raises:
        UsageError: A key is unknown or its value wrong.
    """
    return {table.name: follow_one(settings, table, resources) for table in settings.sources}


def follow_one(settings: Settings, table: SourceTable, resources: Resources) -> Followed:
    """Make the source that *table* configures, one of those of *settings*; raise as `follow` does."""
    needs = needs_of(resources)
    nginx = settings.tables.nginx.via.container if table is engine_of(settings.sources) else ""
    source = open_source(table, needs, nginx=nginx)
    return Followed(source, table.values, needs if has_keys(table) else _ALL, nginx)


def no_source(settings: Settings, running: int | None = None) -> str:
    """Return that *settings* name nothing to follow, and the mend.

    Args:
        settings: Those without a source.
        running: The proxyconf that runs with the same state folder, which has been told of one.
    """
    says = f"{settings.file} names no source" if settings.file else "no source to follow"
    give = "give --docker, --etcd URL, --consul URL or --file PATH, or a configuration file with -c"
    if running is not None:
        return f"{says} ({give}, as was given to the one that runs: ps -o args= -p {running})"
    if settings.file:
        tables = [f"[{kind}]" for kind in kinds()]
        return f"{says} (add {', '.join(tables[:-1])} or {tables[-1]})"
    return f"{says} ({give}; {DEFAULT_CONFIG} does not exist)"


def needs_of(resources: Resources) -> tuple[str, ...]:
    """Return the key prefixes that templates want, without those that another one covers."""
    needs: list[str] = []
    for need in sorted({need for one in resources.resources for need in one.needs}):
        if not any(covers(other, need) for other in needs):
            needs.append(need)
    return tuple(needs)


async def make_design(settings: Settings, state: State, board: Board, before: Resources) -> Design:
    """Make the parts of *settings*; *before*: what was read the last time.

    Raises:
        UsageError: The configuration is wrong.
        StateError: The state folder can't be used.
        CommandError: nginx's program can't be run.
    """
    tables = settings.tables
    resources = await asyncio.to_thread(lambda: with_last_good(read_resources(settings), before))
    _refuse_unchecked(tables.nginx, resources, state)
    followed = follow(settings, resources)
    apply, known = await _open_site(settings, state)
    lookups = Lookups()
    around = Around(
        state=state,
        templates=Templates(tables.confd.dir / "templates"),
        lookups=lookups,
        confd=tables.confd,
        pace=tables.pace,
        site=_main_file(tables.nginx, known),
        binary=tables.nginx.binary,
        note=board.template_noted,
    )
    made = await plan(resources.resources, around)

    def problems() -> tuple[Problem, ...]:
        return (*resources.problems, *resources.warnings, *lookups.problems)

    outfit = Outfit(tables, apply, made.joined, made.lanes, problems)
    return Design(followed, resources, outfit, known)


def _refuse_unchecked(nginx: Nginx, resources: Resources, state: State) -> None:
    """Refuse templates for an nginx in another container, which could not be asked about them from here."""
    if nginx.mode == "none" or nginx.via.is_local:
        return
    ours = (state.nginx / "main.d", state.nginx / "http.d")
    main = str(state.nginx / "nginx.conf")
    for resource in resources.resources:
        # a check of our main file would look for its master by the pid file, too
        if resource.dest.parent in ours or (resource.check and main in str(resource.check.line)):
            raise UsageError(
                f"template {resource.dest}: can't be checked in an nginx that is in another container"
                f' ([nginx] via = {nginx.via!r}; set via = "local", or write the file by hand)'
            )


async def _open_site(settings: Settings, state: State) -> tuple[Apply | None, NginxState]:
    nginx = settings.tables.nginx
    if nginx.mode == "none":
        return None, NginxState(mode=nginx.mode, root="")
    here = await reach_nginx(settings, state.nginx, state.token())
    apply = Apply(
        folder=here.folder,
        renderer=here.renderer,
        control=here.control,
        prober=here.prober,
        certificates=here.certificates,
    )
    known = NginxState(
        mode=nginx.mode,
        root=str(here.folder.root),
        version=apply.version,
        start=here.start,
    )
    return apply, known


def _main_file(nginx: Nginx, known: NginxState) -> Path | None:
    """Return the main file of the nginx that has the site; None where its program can't be run from here."""
    if not nginx.via.is_local:
        return None
    return {"none": None, "own": Path(known.root), "include": nginx.conf}[nginx.mode]
