"""What an engine says of the container that nginx is in, and where nginx listens as seen from here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxyconf.units import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERY = ("", "0.0.0.0", "::")  # noqa: S104 - read, not listened on
_ROOT = ("", "0", "root")


@dataclass(frozen=True, slots=True)
class Inspected:
    """A container.

    Attributes:
        id: Another one of the same name has another id.
        name: Its name.
        started: When its first process was started, as the engine writes it: a restart changes it.
        running: It runs, and is not frozen.
        root: Its programs run as root.
        mode: The network mode: ``bridge``, ``host``, ``container:ID``, or a network's name.
        networks: Its address in each network.
        published: Where on the host its TCP ports are published, each as an address and a port.
        labels: Its labels.
    """

    id: str
    name: str = ""
    started: str = ""
    running: bool = False
    root: bool = True
    mode: str = "bridge"
    networks: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def life(self) -> tuple[str, str]:
        """What tells its first process from any other."""
        return self.id, self.started


def read_inspected(answer: Mapping[str, Any]) -> Inspected:
    """Read the answer to an inspect; what podman or a proxy leaves out is as the default.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: It is nothing that an engine would say.
    """
    state, config = answer.get("State") or {}, answer.get("Config") or {}
    net = answer.get("NetworkSettings") or {}
    mode = (answer.get("HostConfig") or {}).get("NetworkMode") or "bridge"
    return Inspected(
        id=str(answer["Id"]),
        name=str(answer.get("Name") or "").removeprefix("/"),
        started=str(state.get("StartedAt") or ""),
        running=bool(state.get("Running")) and not state.get("Paused") and not state.get("Restarting"),
        root=str(config.get("User") or "").partition(":")[0] in _ROOT,
        mode="bridge" if mode == "default" else str(mode),
        networks=_networks(net.get("Networks") or {}),
        published=_published(net.get("Ports") or {}),
        labels=dict(config.get("Labels") or {}),
    )


def _networks(found: Mapping[str, Any]) -> dict[str, str]:
    addresses = {
        name: network.get("IPAddress") or network.get("GlobalIPv6Address") or ""
        for name, network in found.items()
        if network
    }
    return {name: address for name, address in addresses.items() if address}


def _published(ports: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    found = {}
    for key, places in ports.items():
        port, _, protocol = key.partition("/")
        if places and protocol in ("", "tcp"):
            # IPv4 before IPv6
            first = min(places, key=lambda place: ":" in (place.get("HostIp") or ""))
            found[int(port)] = str(first.get("HostIp") or ""), int(first["HostPort"])
    return found


@dataclass(frozen=True, slots=True)
class Standpoint:
    """From where nginx is looked at.

    Attributes:
        own: Our own container, or the one whose network we share; None where we are in none of the engine's.
        host: The IP address of the engine's host as seen from here; "" if it is not known.
        secluded: The engine's networks are out of its host's reach, or we are on another one.
    """

    own: Inspected | None = None
    host: str = ""
    secluded: bool = False


def place_of(nginx: Inspected, listen: ListenAddress, seen_from: Standpoint) -> ListenAddress | None:
    """Return where to connect for a listener of *nginx*; None where nothing leads there.

    An address of every address is returned as it is where nginx has the network that we have.
    """
    own = seen_from.own
    if _share_network(nginx, seen_from):
        return listen
    if listen.host not in _EVERY:
        # its own, which is seen from outside unless it is a loopback
        return None if ipaddress.ip_address(listen.host).is_loopback else listen
    if own is not None:
        # Docker's default network comes last: nobody chose it
        shared = sorted(
            nginx.networks.keys() & own.networks.keys(), key=lambda name: (name == "bridge", name)
        )
        return _at(nginx.networks[shared[0]], listen.port) if shared else None
    if seen_from.secluded:
        return _on_host(nginx, listen, seen_from.host)
    addresses = [nginx.networks[name] for name in sorted(nginx.networks)]
    return _at(addresses[0], listen.port) if addresses else _on_host(nginx, listen, seen_from.host)


def _share_network(nginx: Inspected, seen_from: Standpoint) -> bool:
    own = seen_from.own
    if own is None:
        return nginx.mode == "host" and not seen_from.secluded
    return (
        own.id == nginx.id
        or (own.mode == "host" and nginx.mode == "host")
        or (nginx.mode in (f"container:{own.id}", f"container:{own.name}"))
        or (own.mode.startswith("container:") and own.mode == nginx.mode)
    )


def _on_host(nginx: Inspected, listen: ListenAddress, host: str) -> ListenAddress | None:
    if nginx.mode == "host":
        return _at(host, listen.port) if host else None
    if listen.port not in nginx.published:
        return None
    ip, port = nginx.published[listen.port]
    ip = host if ip in _EVERY else ip
    return _at(ip, port) if ip else None


def _at(address: str, port: int) -> ListenAddress:
    return ListenAddress(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
