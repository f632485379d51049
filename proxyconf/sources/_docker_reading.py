"""Docker's answers to our values.

Missing fields are tolerated: podman and filtering proxies leave some out.
"""

from __future__ import annotations

import math
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from proxyconf.model import Container

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")
_PODMAN = {"died": "die", "remove": "destroy"}


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


def read_container(row: Row) -> Container:
    """Read one entry of the container list.

    Raises:
        LookupError, TypeError, ValueError: It is nothing that an engine would say.
    """
    names = [name.removeprefix("/") for name in _get(row, "Names") or ()]
    return Container(
        id=row["Id"],
        # a legacy link adds "other/alias" to the names
        name=min(names, key=lambda name: (name.count("/"), name), default=row["Id"][:12]),
        labels=dict(_get(row, "Labels") or {}),
        state=_get(row, "State") or "",
        health=found[1] if (found := _HEALTH.search(_get(row, "Status") or "")) else "",
        networks=_networks(row),
        ports=tuple(sorted({port["PrivatePort"] for port in _get(row, "Ports") or () if _is_tcp(port)})),
        created=int(_get(row, "Created") or 0),
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


def read_stop(details: Mapping[str, Any]) -> Stop:
    """Read the answer to an inspect."""
    config = details.get("Config") or {}
    timeout_s = DEFAULT_STOP.timeout_s if config.get("StopTimeout") is None else float(config["StopTimeout"])
    return Stop(
        signal=signal_number(config.get("StopSignal")) or DEFAULT_STOP.signal,
        timeout_s=math.inf if timeout_s < 0 else timeout_s,  # negative: the engine waits for ever
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


def _networks(row: Row) -> dict[str, str]:
    """Return each network's address; the host's network, which has none of its own, as ``{"host": ""}``."""
    if (_get(row, "HostConfig") or {}).get("NetworkMode") == "host":
        return {"host": ""}
    found = (_get(row, "NetworkSettings") or {}).get("Networks") or {}
    addresses = {
        name: network.get("IPAddress") or network.get("GlobalIPv6Address") or ""
        for name, network in found.items()
        if network
    }
    return {name: address for name, address in addresses.items() if address}


def _is_tcp(port: Mapping[str, Any]) -> bool:
    return bool(port.get("PrivatePort")) and port.get("Type", "tcp") == "tcp"


def _get(row: Row, key: str) -> Any:  # noqa: ANN401 - it is JSON
    return row[key] if key in row else None  # noqa: SIM401 - aiodocker's container has no get()
