"""Where a container is reached: at which of its addresses, or at the host's. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxyconf import values
from proxyconf.errors import BadValueError

if TYPE_CHECKING:
    from proxyconf.model import Container, Reach

_JOINED = "container:"
_LOOPBACKS = ("127.0.0.1", "[::1]")


class Located(NamedTuple):
    """Where a port of a container is reached.

    Attributes:
        address: As ``ip:port``.
        why: There and nowhere else, for people.
    """

    address: str
    why: str


def locate(container: Container, *, port: int, network: str, reach: Reach, label: str) -> Located:
    """Return where *port* of *container* is reached.

    The same one every time: in the network that is asked for, else the first that the proxy is in, too. A
    container on the host's network has the host's address: in a network of the proxy's, the gateway's.

    Args:
        container: One that runs.
        port: Its own.
        network: The one to use; "" for the default.
        reach: How the proxy gets to it.
        label: The label that sets *network*, for messages.

    Raises:
        BadValueError: It can't be reached; says what there is instead.
    """
    if network and network not in container.networks:
        raise BadValueError(
            f"it has no address in the network {values.shown(network)}; {_seen(container)}"
            f" (correct the label {label}, or connect it)"
        )
    if "host" in container.networks:
        host = _host(reach)
        found = "" if host in _LOOPBACKS else f", and for the proxy the host is at {host}"
        return Located(values.address(_join(host, port)), f"it is on the host's network{found}")
    if not network and (reach.published or _only_published(container, port, reach)):
        return Located(values.address(_published(container, port, reach)), "the host publishes it there")
    name = network or _shared(container, reach)
    why = f"its address in the network {name}, {_chosen(network, label, reach)}"
    return Located(values.address(_join(container.networks[name], port)), why)


def _chosen(network: str, label: str, reach: Reach) -> str:
    """Return why its network is the one."""
    if network:
        return f"which {label} names"
    return "which the host reaches" if reach.networks is None else "which the proxy is in, too"


def _host(reach: Reach) -> str:
    if not reach.host:
        raise BadValueError(
            "it is on the host's network, to which the proxy knows no address (run the proxy with"
            " network_mode host, or connect the container to a network of the proxy; over TCP, write"
            " the engine's IP address in url)"
        )
    return reach.host


def _only_published(container: Container, port: int, reach: Reach) -> bool:
    """Whether the host is the only way in, as with podman without root."""
    return not container.networks and port in container.published and reach.networks is None


def _published(container: Container, port: int, reach: Reach) -> str:
    place = container.published.get(port)
    if place is None:
        raise BadValueError(
            f"its port {port} is not published on the host; {_seen(container)}"
            f' (publish it: -p {_outside(reach)}::{port}, or set [docker] address = "container")'
        )
    ip, _, on = place.rpartition(":")
    everywhere = ip in ("0.0.0.0", "[::]")  # noqa: S104 - nothing listens here
    is_local = ip in _LOOPBACKS
    if not (everywhere or is_local):
        return place
    if not reach.host:
        raise BadValueError(
            f"its port {port} is published at {place} of the host, to which the proxy knows no address"
            " (run the proxy with network_mode host; over TCP, write the engine's IP address in url)"
        )
    if is_local and reach.host not in _LOOPBACKS:
        raise BadValueError(
            f"its port {port} is published at {place} of the host, to which the proxy does not get"
            f" (publish it at -p {_outside(reach)}::{port}, or run the proxy with network_mode host)"
        )
    if is_local:
        return place
    return _join("::1" if ip == "[::]" and reach.host in _LOOPBACKS else reach.host, int(on))


def _outside(reach: Reach) -> str:
    """Return the address of the host by which the proxy gets there, as ``docker run -p`` takes it."""
    host = reach.host or _LOOPBACKS[0]
    return f"[{host}]" if ":" in host else host


def _shared(container: Container, reach: Reach) -> str:
    """Return the network to use of those it is in."""
    if not container.networks:
        if container.network_mode.startswith(_JOINED):
            other = container.network_mode.removeprefix(_JOINED)[:12]
            raise BadValueError(
                f"it shares the network of the container {other}, which has no address (start that one)"
            )
        raise BadValueError(
            f"it runs without an address in any network; {_seen(container)} (connect it to one)"
        )
    if reach.networks is None:
        # Docker's default network comes last: nobody chose it
        return min(container.networks, key=lambda name: (name == "bridge", name))
    for name in reach.networks:
        if name in container.networks:
            return name
    if not reach.networks:
        raise BadValueError("the proxy's container is in no network (connect that one)")
    raise BadValueError(
        f"it is in no network of the proxy, which is in {', '.join(reach.networks)}; {_seen(container)}"
        f" (docker network connect {reach.networks[0]} {container.name}, or set [docker] network)"
    )


def _seen(container: Container) -> str:
    """Return what there is, for people."""
    networks = [f"{name} ({ip})" for name, ip in sorted(container.networks.items())]
    published = [f"{port} at {place}" for port, place in sorted(container.published.items())]
    text = f"its networks: {', '.join(networks) or 'none'}"
    return f"{text}; published: {', '.join(published)}" if published else text


def _join(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
