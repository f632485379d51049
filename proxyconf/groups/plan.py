"""Which resources belong together: those of one nginx; else those with one reload command; else none."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, UsageError
from proxyconf.groups import commands
from proxyconf.groups.group import Group
from proxyconf.groups.lane import Lane
from proxyconf.groups.output import Manner, Output
from proxyconf.groups.rendering import Rendering
from proxyconf.groups.undo import Undo
from proxyconf.nginx.beside import open_beside
from proxyconf.nginx.check_line import CheckLine, parse
from proxyconf.resources.table import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from proxyconf.api import TemplateState
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
        binary: The site's nginx program.
        note: Is told how it stands with a resource.
    """

    state: State
    templates: Templates
    lookups: Lookups
    confd: Confd
    pace: Pace
    site: Path | None
    binary: str
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
    """Sort *resources* into groups; asks the nginx programs that they name what they are."""
    members: dict[str, _Members] = defaultdict(_Members)
    found: dict[CheckLine, Beside | None] = {}
    for resource in (_with_check(one, around) for one in resources):
        line = _check_line(resource)
        asked = line or _default_line(resource)
        if asked and asked not in found:
            found[asked] = await _open(asked)
        nginx = found[asked] if asked else None
        group = members[_key(resource, nginx, around.site)]
        group.resources.append((resource, nginx is not None and line is not None))
        if group.nginx is None or line:  # what somebody has written down says more than the default
            group.nginx = nginx
    joined = members.pop(_JOINED, None)
    return Plan(
        joined=_group(_JOINED, joined, around) if joined else None,
        lanes=tuple(Lane(_group(key, one, around), pace=around.pace) for key, one in members.items()),
    )


_JOINED = "site"


def _with_check(resource: Resource, around: Around) -> Resource:
    """Return the resource, with a check if it has none and is in a folder that the site's nginx reads."""
    nginx = around.state.nginx
    if (
        around.site is None
        or resource.check
        or resource.dest.parent not in (nginx / "main.d", nginx / "http.d")
    ):
        return resource
    check = Command((around.binary, "-t", "-c", str(around.site)), float(around.confd.check_cmd_timeout))
    return replace(resource, check=check)


def _check_line(resource: Resource) -> CheckLine | None:
    """Return the check where it is just ``nginx -t``, be it on the file itself as the main file."""
    if resource.check is None:
        return None
    found = parse(commands.with_dest_for_src(resource.check, resource.dest))
    if found and commands.names_src(resource.check) and found.conf != resource.dest:
        return None
    return found


def _default_line(resource: Resource) -> CheckLine | None:
    """Return how to know the nginx of this host, where that is what the resource reloads."""
    is_plain = resource.reload is not None and commands.is_plain_reload(resource.reload)
    return parse("nginx -t") if is_plain else None


async def _open(line: CheckLine) -> Beside | None:
    try:
        return await open_beside(line)
    except (CommandError, UsageError):
        return None  # the check itself, run as it is written, will say what is missing


def _key(resource: Resource, nginx: Beside | None, site: Path | None) -> str:
    reload = resource.reload
    if nginx:
        conf = os.path.realpath(nginx.conf)
        is_plain = reload is None or commands.is_plain_reload(reload)
        # the site is reloaded at a pace of its own
        if site and conf == os.path.realpath(site) and is_plain and not resource.min_reload_interval_s:
            return _JOINED
        return f"nginx {conf}"
    if reload:
        return f"command {commands.filled_in(reload, src=resource.dest, dest=resource.dest)}"
    return f"file {resource.dest}"


def _group(key: str, members: _Members, around: Around) -> Group:
    adopts = members.nginx is None
    outputs = [
        _output(resource, around, in_context=in_context, adopts=adopts)
        for resource, in_context in members.resources
    ]
    undo = Undo(around.state.undo, key)
    return Group(outputs, undo=undo, nginx=members.nginx, sync_only=around.confd.sync_only)


def _output(resource: Resource, around: Around, *, in_context: bool, adopts: bool) -> Output:
    return Output(
        resource,
        Rendering(resource, around.templates, around.lookups),
        around.state,
        Manner(in_context=in_context, adopts=adopts, keeps_stage=around.confd.keep_stage_file),
        around.note,
    )
