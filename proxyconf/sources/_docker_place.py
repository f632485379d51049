"""Where containers are, and the proxy: in one of them, on the engine's host, or elsewhere."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yarl

from proxyconf.model import Reach

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from proxyconf.model import Container
    from proxyconf.sources._docker_connect import Address

Mode = Literal["auto", "container", "published"]

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
"""The labels by which Docker Compose knows its containers."""

_JOINED = "container:"
_LIVE = ("running", "paused")
_LOOPBACK = "127.0.0.1"
# The files that engines mount from a container's own folder. A host name can be set, and a cgroup namespace
# hides the path of the cgroup; these have been there in every version of Docker and podman.
_OWN_FILE = re.compile(
    r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf) /etc/(?:hostname|hosts|resolv\.conf) "
)


def own_ids(mountinfo: str) -> frozenset[str]:
    """Return the ids of containers whose network a process is in, by its ``/proc/PID/mountinfo``.

    A container that joins the network of another one has the files of that other one.
    """
    return frozenset(_OWN_FILE.findall(mountinfo))


def read_own_ids() -> frozenset[str]:
    """Return our own ids; none where we are in no container."""
    path = Path("/proc/self/mountinfo")
    return own_ids(path.read_text(errors="replace")) if path.exists() else frozenset()


def host_of(address: Address) -> str:
    """Return the IP address of the host of an engine that is reached at *address*; "" if it is not known."""
    host = "localhost" if address.socket else yarl.URL(address.base).host or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return ""
    return _LOOPBACK if loopback else host


def joined(containers: Iterable[Container]) -> tuple[Container, ...]:
    """Return *containers*; one that shares the network of another one has all that this one has."""
    by_id = {container.id: container for container in containers}
    return tuple(_joined(container, by_id) for container in by_id.values())


def _joined(container: Container, by_id: Mapping[str, Container]) -> Container:
    other = by_id.get(container.network_mode.removeprefix(_JOINED))
    if other is None or not container.network_mode.startswith(_JOINED):
        return container
    return replace(container, networks=other.networks, published=other.published, attached=other.attached)


def is_live(container: Container) -> bool:
    """Tell whether *container* has its addresses."""
    return container.state in _LIVE


def find_own(containers: Iterable[Container], own: Collection[str]) -> Container | None:
    """Return our own one of *containers*; most of the ids *own* mean nothing to this engine."""
    return next((container for container in containers if container.id in own), None)


def find_nginx(containers: Iterable[Container], wanted: str, ours: Container | None) -> Container | None:
    """Return nginx's one of *containers*, rather one that runs; None where there is none.

    Args:
        containers: All of the engine.
        wanted: Its name, the beginning of its id, or the service that it is of in our own Compose project.
        ours: Our own container.
    """
    found = [one for one in containers if wanted in (one.name, one.id)]
    if not found and len(short := [one for one in containers if one.id.startswith(wanted)]) == 1:
        found = short  # as the engine takes it
    if not found and ours and (project := ours.labels.get(PROJECT)):
        labels = {PROJECT: project, SERVICE: wanted}
        found = [one for one in containers if labels.items() <= one.labels.items()]
    return min(found, key=lambda one: (not is_live(one), one.name), default=None)


def find_reach(proxy: Container | None, *, host: str, secluded: bool, network: str, mode: Mode) -> Reach:
    """Return how the proxy gets to containers.

    Args:
        proxy: The container that nginx is in; None where it is in none of this engine's.
        host: As `host_of` returns it.
        secluded: The engine's networks are out of its host's reach.
        network: The one to use; "" for any that is shared.
        mode: Whose addresses to use.
    """
    named = (network,) if network else None
    published = mode == "published"
    if proxy is None:
        published |= mode == "auto" and secluded and not network
        return Reach(named, host, published)
    if "host" in proxy.attached:
        return Reach(named, _LOOPBACK, published)
    # Docker's default network comes last: nobody chose it
    networks = named or tuple(sorted(proxy.attached, key=lambda name: (name == "bridge", name)))
    gateways = (proxy.attached.get(name) for name in networks)
    return Reach(networks, next(filter(None, gateways), ""), published)
