"""Which resources belong together: those of one nginx; else those with one reload command; else none."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxyconf.command import Running
from proxyconf.errors import CommandError, UsageError
from proxyconf.groups import commands
from proxyconf.groups.group import Group
from proxyconf.groups.installing import Installing
from proxyconf.groups.lane import Lane
from proxyconf.groups.output import Manner, Output
from proxyconf.groups.rendering import Rendering
from proxyconf.groups.undo import Undo
from proxyconf.nginx.beside import open_beside
from proxyconf.nginx.check_line import CheckLine, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from proxyconf.board import TemplateState
    from proxyconf.nginx.beside import Beside
    from proxyconf.resources.jinja import Templates
    from proxyconf.resources.lookups import Lookups
    from proxyconf.resources.table import Resource
    from proxyconf.state import State
    from proxyconf.tables import Confd, Pace


@dataclass(frozen=True, slots=True)
class Around:
    """What every group works with.

    Attributes:
        site: The main file of the site's nginx; None where there is no site.
        note: Is told how it stands with a resource.
    """

    state: State
    templates: Templates
    lookups: Lookups
    confd: Confd
    pace: Pace
    site: Path | None
    note: Callable[[TemplateState], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """The groups.

    Attributes:
        joined: The resources that are part of the site's nginx; None when there are none.
        lanes: All others.
    """

    joined: Group | None = None
    lanes: tuple[Lane, ...] = ()


@dataclass(slots=True)
class _Members:
    """A group to be.

    Attributes:
        resources: Each with whether its check asks the nginx.
        nginx: Whose files they are; None where that is no matter.
    """

    resources: list[tuple[Resource, bool]] = field(default_factory=list)
    nginx: Beside | None = None


async def plan(resources: Iterable[Resource], around: Around) -> Plan:
    """Sort *resources* into groups; asks the nginx programs that they name what they are.

    Raises:
        StateError: A journal of an earlier run can't be read.
    """
    members: dict[str, _Members] = defaultdict(_Members)
    for resource in resources:
        line = _check_line(resource)
        nginx = await _nginx(line, resource)
        key = _key(resource, nginx, around.site)
        members[key].resources.append((resource, nginx is not None and line is not None))
        members[key].nginx = members[key].nginx or nginx
    joined = members.pop(_JOINED, None)
    return Plan(
        joined=_group(_JOINED, joined, Running(), around) if joined else None,
        lanes=tuple(_lane(key, found, around) for key, found in members.items()),
    )


_JOINED = "site"


def _check_line(resource: Resource) -> CheckLine | None:
    """Return the check where it is just ``nginx -t``, be it on the file itself as the main file."""
    if resource.check is None:
        return None
    line = commands.with_dest_for_src(resource.check, resource.dest)
    found = parse(line)
    if found and commands.names_src(resource.check) and found.conf != resource.dest:
        return None
    return found


async def _nginx(line: CheckLine | None, resource: Resource) -> Beside | None:
    if line is None and resource.reload and commands.is_plain_reload(resource.reload):
        line = parse("nginx -t")
    try:
        return await open_beside(line) if line else None
    except (CommandError, UsageError):
        return None  # the check itself, run as it is written, will say what is missing


def _key(resource: Resource, nginx: Beside | None, site: Path | None) -> str:
    reload = resource.reload
    if nginx and nginx.conf == site and (reload is None or commands.is_plain_reload(reload)):
        return _JOINED
    if nginx:
        return f"nginx {nginx.conf}"
    if reload:
        return f"command {commands.filled_in(reload, src=resource.dest, dest=resource.dest)}"
    return f"file {resource.dest}"


def _lane(key: str, members: _Members, around: Around) -> Lane:
    running = Running()
    return Lane(_group(key, members, running, around), pace=around.pace, running=running)


def _group(key: str, members: _Members, running: Running, around: Around) -> Group:
    undo, sync_only = Undo(around.state.undo, key), around.confd.sync_only
    outputs = [
        _output(resource, around, in_context=in_context, adopts=not members.nginx and resource.check is None)
        for resource, in_context in members.resources
    ]
    installing = Installing(undo=undo, nginx=members.nginx, running=running, sync_only=sync_only)
    return Group(
        outputs, installing=installing, undo=undo, nginx=members.nginx, running=running, sync_only=sync_only
    )


def _output(resource: Resource, around: Around, *, in_context: bool, adopts: bool) -> Output:
    return Output(
        resource,
        Rendering(resource, around.templates, around.lookups),
        around.state,
        Manner(in_context=in_context, adopts=adopts, keeps_stage=around.confd.keep_stage_file),
        around.note,
    )
