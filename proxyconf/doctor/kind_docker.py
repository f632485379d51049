"""Docker, or podman: its socket and who may use it, its API, its clock, and where we are."""

from __future__ import annotations

import asyncio
import grp
import os
import stat
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from proxyconf.doctor.clock import agreement
from proxyconf.doctor.finding import Finding, Findings, of_message, ok, warning, wrong
from proxyconf.errors import CommandError
from proxyconf.files import user_name
from proxyconf.nginx.container import Inspected, read_inspected
from proxyconf.nginx.engine_api import AbsentError, EngineApi, ForbiddenError
from proxyconf.nginx.in_container import Finder
from proxyconf.sources._docker_place import read_own_ids
from proxyconf.sources.docker import address_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from proxyconf.sources.docker import DockerSource

_UNCONFINED = ("", "unconfined")
_AUTO = "auto"


class Who(NamedTuple):
    """Who we are to the kernel.

    Attributes:
        user: Our user's id.
        groups: The ids of all our groups.
        label: What SELinux or AppArmor has us run as; "" where there is neither.
    """

    user: int
    groups: frozenset[int]
    label: str = ""


async def examine(source: DockerSource) -> Findings:
    """Yield what there is to say of the engine."""
    settings = source.policy
    address = address_of(source.name, settings)
    if address.socket:
        path = Path(address.socket)
        denied = await _is_denied(address.socket)
        for finding in socket_findings(source.name, path, ourselves(), denied=denied):
            yield finding
        if denied:
            return
    api = api_of(source)
    try:
        yield await _engine(source.name, api)
        if (time_of_it := await _clock(source.name, api)) is not None:
            yield time_of_it
        own = await asyncio.to_thread(read_own_ids)
        if source.nginx:
            yield await its_place(source.name, Finder(api, source.nginx, own), settings.network)
        else:
            yield await our_place(source.name, api, own, settings.network)
    except ForbiddenError as exc:
        yield of_message("warning", source.name, str(exc))
    except CommandError:
        return  # who wants the containers says so, too, and better


def api_of(source: DockerSource) -> EngineApi:
    """Return the engine that *source* follows."""
    version = source.policy.api_version
    return EngineApi(
        address_of(source.name, source.policy),
        version=version if version == _AUTO else f"v{version.removeprefix('v')}",
        timeout_s=float(source.policy.timeout),
    )


async def _is_denied(path: str) -> bool:
    """Tell whether the kernel keeps us from the socket, which is another matter than its mode."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except PermissionError:
        return True
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return False


def ourselves(label: Path = Path("/proc/self/attr/current")) -> Who:
    """Return who we are; blocks for microseconds."""
    text = ""
    with suppress(OSError):
        text = label.read_text().strip("\0\n ")
    return Who(os.geteuid(), frozenset((os.getegid(), *os.getgroups())), text)


def socket_findings(name: str, path: Path, who: Who, *, denied: bool) -> tuple[Finding, ...]:
    """Return who may use a socket; none where there is no socket. Blocks for microseconds.

    Args:
        name: The source's.
        path: The socket.
        who: We.
        denied: It is closed to us.
    """
    try:
        found = path.stat()
    except OSError:
        return ()
    group = _group(found.st_gid)
    mode, owner = stat.S_IMODE(found.st_mode), user_name(found.st_uid)
    whose = f"{path}: mode {mode:04o}, of user {owner} and group {group}"
    ours = f"we are user {user_name(who.user)} with the groups {', '.join(map(_group, sorted(who.groups)))}"
    if not denied:
        return (ok(name, f"{whose}; {ours}"),)
    if not _mode_lets(found, who):
        join = f"usermod -aG {group} {user_name(who.user)}, and start anew"
        mend = f"{join}; a container: group_add, --group-add {found.st_gid}"
        return (wrong(name, f"{whose}; {ours}, so it is closed to us", mend),)
    if who.label in _UNCONFINED:
        return (wrong(name, f"{whose}; {ours}, and yet it is closed to us", "may we enter its folder?"),)
    mend = "give our container --security-opt label=disable, or label=type:container_runtime_t"
    says = f"{whose}; its mode lets us in, but SELinux or AppArmor does not: {who.label}"
    return (wrong(name, says, mend),)


def _group(gid: int) -> str:
    """Return what a group is called; its number where it has no name."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _mode_lets(found: os.stat_result, who: Who) -> bool:
    if who.user == 0:
        return True
    if who.user == found.st_uid:
        return bool(found.st_mode & stat.S_IWUSR)
    if found.st_gid in who.groups:
        return bool(found.st_mode & stat.S_IWGRP)
    return bool(found.st_mode & stat.S_IWOTH)


async def _engine(name: str, api: EngineApi) -> Finding:
    said = await api.version()
    components = said.get("Components") or [{}]
    program = str(components[0].get("Name") or "Docker").removesuffix(" - Community")
    versions = f"API {said.get('ApiVersion')}"
    if least := said.get("MinAPIVersion"):
        versions += f", {least} at least"
    return ok(name, f"{api.address.url}: {program} {said.get('Version')}, {versions}")


async def _clock(name: str, api: EngineApi) -> Finding | None:
    said = await api.info()
    ours = time.time()
    try:
        return agreement(name, datetime.fromisoformat(str(said["SystemTime"])).timestamp(), ours)
    except (KeyError, ValueError):  # podman, or a proxy that cuts answers
        return None


async def our_place(name: str, api: EngineApi, own: Collection[str], network: str) -> Finding:
    """Return in which of the engine's networks we are.

    Args:
        name: The source's.
        api: The engine.
        own: The ids of our own container, which may mean nothing to this engine.
        network: The one that is configured, or "".

    Raises:
        CommandError: The engine can't be asked.
    """
    if not own:
        return ok(name, "we are in no container: the networks of the engine's host are ours")
    for one in own:
        try:
            found = read_inspected(await api.inspect(one))
            return place(name, f"our own container, {found.name},", found, network)
        except AbsentError:
            continue
    return warning(
        name,
        "we are in a container, but in none of this engine's",
        'let containers publish their ports, with [docker] address = "published"; or run proxyconf there',
    )


async def its_place(name: str, finder: Finder, network: str) -> Finding:
    """Return in which of the engine's networks nginx's container is, which *finder* finds.

    Raises:
        CommandError: The engine can't be asked.
    """
    found = await finder.find()
    if found is None or not found.running:
        says = f"nginx's container, {finder.wanted}, does not run: by its networks containers are reached"
        return warning(name, says, f"docker start {finder.wanted}, or docker compose up -d")
    return place(name, f"nginx's container, {found.name},", found, network)


def place(name: str, whose: str, container: Inspected, network: str) -> Finding:
    """Return which networks the proxy's *container* is in.

    Args:
        name: The source's.
        whose: The container, for people.
        container: It.
        network: The one that is configured, or "".
    """
    networks: Mapping[str, Any] = container.networks
    if network and network not in networks:
        says = f"{whose} is not in the network {network}, which is configured"
        return wrong(name, says, f"docker network connect {network} {container.name}")
    if container.mode == "host":
        return ok(name, f"{whose} has the network of the host")
    if not networks:
        says = f"{whose} is in no network ({container.mode})"
        return warning(name, says, "put it into one that it shares with the others")
    return ok(name, f"{whose} is in {', '.join(sorted(networks))}: containers are reached there")
