"""Docker's answers to our values.

Missing fields are tolerated: podman and filtering proxies leave some out.
"""

from __future__ import annotations

import math
import re
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from proxyconf.model import Container

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")
_HOST, _NONE = "host", "none"  # no networks, though engines list them as such
_PODMAN = {"died": "die", "remove": "destroy"}
_ROUTING_VARIABLES = frozenset(
    {
        *("VIRTUAL_HOST", "VIRTUAL_PORT", "VIRTUAL_PROTO", "VIRTUAL_PATH", "VIRTUAL_DEST", "VIRTUAL_ROOT"),
        *("VIRTUAL_HOST_MULTIPORTS", "CERT_NAME", "HTTPS_METHOD", "HSTS", "SSL_POLICY"),
        *("NETWORK_ACCESS", "SERVER_TOKENS", "ENABLE_HTTP_ON_MISSING_CERT"),
    }
)


class Row(Protocol):
    """An entry of a container list: a mapping, as far as we need one."""

    def __contains__(self, key: str) -> bool: ...

    def __getitem__(self, key: str) -> Any: ...  # noqa: ANN401 - it is JSON


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a container.

    Attributes:
        action: ``start``, ``die``, ``kill``, ``health_status``; ``connect`` and ``disconnect`` of a network.
        container: Its id; "" when the event does not name one.
        time_ns: When, by the engine's clock; 0 when it does not say.
        signal: Of a ``kill``: the signal's number; 0 when it is not known.
    """

    action: str
    container: str = ""
    time_ns: int = 0
    signal: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """How a container is asked to stop: its signal's number, and the seconds until it is killed."""

    signal: int = signal.SIGTERM
    timeout_s: float = 10.0


DEFAULT_STOP = Stop()


@dataclass(frozen=True, slots=True)
class Details:
    """What an inspect adds to the list; the life of a container through, it stays as it is.

    Attributes:
        env: Those variables that say how to route; never any other, for it may be a secret.
        ports: The TCP ports that it exposes, ascending: a list has them only while it runs. None of one
            without a network of its own, as in a list.
        refused: Why the engine did not tell; then the rest is the default.
    """

    stop: Stop = DEFAULT_STOP
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    refused: str = ""


def read_container(row: Row) -> Container:
    """Read one entry of the container list.

    Raises:
        LookupError, TypeError, ValueError: It is nothing that an engine would say.
    """
    networks = _networks(row)
    names = [name.removeprefix("/") for name in _get(row, "Names") or ()]
    return Container(
        id=row["Id"],
        # a legacy link adds "other/alias" to the names
        name=min(names, key=lambda name: (name.count("/"), name), default=row["Id"][:12]),
        labels=dict(_get(row, "Labels") or {}),
        state=_get(row, "State") or "",
        health=found[1] if (found := _HEALTH.search(_get(row, "Status") or "")) else "",
        networks={name: address for name, (address, _) in networks.items() if address or name == _HOST},
        ports=tuple(sorted({port["PrivatePort"] for port in _get(row, "Ports") or () if _is_tcp(port)})),
        created=int(_get(row, "Created") or 0),
        published=_published(row),
        network_mode=_network_mode(row),
        attached={name: gateway for name, (_, gateway) in networks.items()},
    )


def read_event(message: Mapping[str, Any]) -> Event:
    """Read one message of the event stream."""
    actor = message.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action = str(message.get("Action") or message.get("status") or "").partition(":")[0]
    container = actor.get("ID") or message.get("id") or ""
    return Event(
        action=_PODMAN.get(action, action),
        container=attributes.get("container", "") if message.get("Type") == "network" else container,
        # never "time": aiodocker makes a naive local datetime of it
        time_ns=int(message.get("timeNano") or 0),
        signal=signal_number(attributes.get("signal")),
    )


def read_details(answer: Mapping[str, Any]) -> Details:
    """Read the answer to an inspect."""
    config = answer.get("Config") or {}
    timeout_s = DEFAULT_STOP.timeout_s if config.get("StopTimeout") is None else float(config["StopTimeout"])
    variables = [text.partition("=") for text in config.get("Env") or ()]
    return Details(
        Stop(
            signal=signal_number(config.get("StopSignal")) or DEFAULT_STOP.signal,
            timeout_s=math.inf if timeout_s < 0 else timeout_s,  # negative: the engine waits for ever
        ),
        {name: value for name, _, value in variables if name in _ROUTING_VARIABLES},
        _exposed(answer),
    )


def is_secluded(info: Mapping[str, Any]) -> bool:
    """Tell whether an engine's networks are out of its host's reach: in a machine, or a user's namespaces."""
    return info.get("OperatingSystem") == "Docker Desktop" or "name=rootless" in (
        info.get("SecurityOptions") or ()
    )


def signal_number(text: str | int | None) -> int:
    """Return the number of ``15``, ``TERM``, ``SIGTERM`` or ``SIGRTMIN+3``; 0 when it is none of these."""
    name = str(text or "").upper().removeprefix("SIG")
    if name.isdecimal():
        return int(name)
    base, sign, offset = name.partition("-" if "-" in name else "+")
    if f"SIG{base}" not in signal.Signals.__members__ or (sign and not offset.isdigit()):
        return 0
    return signal.Signals[f"SIG{base}"] + int(f"{sign}{offset}" if sign else 0)


def _networks(row: Row) -> dict[str, tuple[str, str]]:
    """Return each network's address and gateway; the host's network, which has neither, with two blanks."""
    if _network_mode(row) == _HOST:
        return {_HOST: ("", "")}
    found = (_get(row, "NetworkSettings") or {}).get("Networks") or {}
    return {name: _place(network) for name, network in found.items() if network and name != _NONE}


def _place(network: Mapping[str, str]) -> tuple[str, str]:
    """Return a container's address in a network, by IPv4 if it has one, and the gateway there."""
    if address := network.get("IPAddress"):
        return address, network.get("Gateway") or ""
    return network.get("GlobalIPv6Address") or "", network.get("IPv6Gateway") or ""


def _network_mode(row: Row) -> str:
    mode = (_get(row, "HostConfig") or {}).get("NetworkMode") or ""
    return "bridge" if mode == "default" else mode


def _exposed(answer: Mapping[str, Any]) -> tuple[int, ...]:
    mode = _network_mode(answer)
    if mode == "host" or mode.startswith("container:"):
        return ()
    places = (place.partition("/") for place in (answer.get("Config") or {}).get("ExposedPorts") or ())
    return tuple(sorted(int(port) for port, _, protocol in places if port.isdecimal() and protocol == "tcp"))


def _published(row: Row) -> dict[int, str]:
    """Return the place of each published port; of several, one of IPv4 and of all the host's addresses."""
    found: dict[int, list[tuple[bool, bool, str, int]]] = {}
    for port in _get(row, "Ports") or ():
        if _is_tcp(port) and port.get("PublicPort"):
            ip = port.get("IP") or "0.0.0.0"  # noqa: S104 - nothing listens here; podman leaves it out
            place = (":" in ip, ip not in ("0.0.0.0", "::"), ip, port["PublicPort"])  # noqa: S104 - as above
            found.setdefault(port["PrivatePort"], []).append(place)
    best = {port: min(places) for port, places in sorted(found.items())}
    return {port: f"[{ip}]:{on}" if six else f"{ip}:{on}" for port, (six, _, ip, on) in best.items()}


def _is_tcp(port: Mapping[str, Any]) -> bool:
    return bool(port.get("PrivatePort")) and port.get("Type", "tcp") == "tcp"


def _get(row: Row, key: str) -> Any:  # noqa: ANN401 - it is JSON
    return row[key] if key in row else None  # noqa: SIM401 - aiodocker's container has no get()
