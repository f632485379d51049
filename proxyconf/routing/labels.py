"""The labels of containers.

    proxyconf.host = app.example.com            several: "app.example.com, www.example.com"
    proxyconf.path = /api                       default: /
    proxyconf.port = 8080                       default: the only one that the container exposes
    proxyconf.service = web                     default: host and path, so that equal claims share a service
    proxyconf.network, .weight, .backup         of the endpoint
    proxyconf.NAME.host, proxyconf.NAME.port    a further route of the same container; what it does not say of
                                                the endpoint, the labels without a NAME say

Labels are set when a container is made and never change, so there is no last good form to keep: a route with
a bad label is left out. A route counts as long as its container exists, the endpoint while the container runs
and is healthy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.model import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PREFIX = "proxyconf."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the labels of one name ask for.

    Attributes:
        name: The name; "" for the labels without one.
        hosts: Sorted, each once; none for a mere member of a service.
        path: For all of them.
        service: "" for the default.
        port: 0 for the only exposed one.
        network: "" for the default.
        weight: Of the endpoint.
        backup: Of the endpoint.
    """

    name: str
    hosts: tuple[str, ...] = ()
    path: str = "/"
    service: str = ""
    port: int = 0
    network: str = ""
    weight: int = 1
    backup: bool = False

    def service_of(self, host: str) -> str:
        """Return the service that *host* leads to: the default has a slash, so no named one is like it."""
        return self.service or host + self.path

    def label(self, option: str) -> str:
        """Return the label that sets *option*."""
        return f"{PREFIX}{self.name}.{option}" if self.name else PREFIX + option


@dataclass(frozen=True, slots=True)
class Wishes:
    """What all labels of a container ask for, by name."""

    wishes: tuple[Wish, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_labels(container: str, labels: Mapping[str, str]) -> Wishes:
    """Read the labels of the container that is called *container*."""
    groups: dict[str, _Group] = {"": _Group()}
    problems = []
    for label in sorted(label for label in labels if label.startswith(PREFIX)):
        try:
            _take(label, labels[label].strip(), groups)
        except BadValueError as exc:
            problems.append(_problem(container, label, exc))
    wishes: list[Wish] = []
    for name in sorted(groups):
        try:
            if (wish := _wish(name, groups)) and (wish := _without_claimed(wish, wishes)):
                wishes.append(wish)
        except _LabelError as exc:
            problems.append(_problem(container, exc.label, exc))
    return Wishes(tuple(wishes), tuple(problems))


@dataclass(slots=True)
class _Group:
    """The labels of one name: options that could be read, and those that could not."""

    good: dict[str, Any] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)


class _LabelError(BadValueError):
    """A label says what can't be, together with the others."""

    def __init__(self, label: str, why: str) -> None:
        super().__init__(why)
        self.label = label


def _take(label: str, text: str, groups: dict[str, _Group]) -> None:
    """Read one label into the group of its name.

    Raises:
        BadValueError: It is unknown, or its value bad.
    """
    name, _, option = label.removeprefix(PREFIX).rpartition(".")
    if name in _OPTIONS or (name and not _NAME.fullmatch(name)):
        raise BadValueError(
            f"no such label (write {PREFIX}NAME.host, with a NAME of letters, digits, _ and -)"
        )
    group = groups.setdefault(name, _Group())
    group.bad.add(option)
    if option not in _OPTIONS:
        raise BadValueError(f"no such label ({values.spelling(option, _OPTIONS)})")
    field_name, read = _OPTIONS[option]
    group.good[field_name] = read(text)
    group.bad.discard(option)


def _wish(name: str, groups: Mapping[str, _Group]) -> Wish | None:
    """Return what a group asks for; None if it is nothing, or not clear because of a bad label.

    Raises:
        _LabelError: It lacks what gives its labels an effect.
    """
    group, common = groups[name], groups[""]
    if group.bad or (common.bad & _OF_THE_ENDPOINT) - group.good.keys():
        return None
    if not name and group.good.keys() <= (_OF_THE_ENDPOINT if len(groups) > 1 else set()):
        return None  # at most what the named ones share
    shared = {option: value for option, value in common.good.items() if option in _OF_THE_ENDPOINT}
    wish = Wish(name, **(shared | group.good))
    if not wish.hosts and not (wish.service and "path" not in group.good):
        option = "path" if "path" in group.good else min(group.good)
        raise _LabelError(wish.label(option), f"has no effect without a host (set {wish.label('host')})")
    return wish


def _without_claimed(wish: Wish, earlier: Iterable[Wish]) -> Wish | None:
    """Leave out the hosts for which the same container has asked already; None if none is left.

    Raises:
        _LabelError: It has asked for something else there.
    """
    left = wish.hosts
    for other in earlier:
        for host in set(wish.hosts) & set(other.hosts) if other.path == wish.path else ():
            if _target(wish, host) != _target(other, host):
                raise _LabelError(
                    wish.label("host"),
                    f"contradicts {other.label('host')}: {host}{wish.path} leads elsewhere there"
                    " (delete one of them)",
                )
            left = tuple(one for one in left if one != host)
    return replace(wish, hosts=left) if left or not wish.hosts else None


def _target(wish: Wish, host: str) -> tuple[object, ...]:
    return wish.service_of(host), wish.port, wish.network, wish.weight, wish.backup


def _problem(container: str, label: str, reason: BadValueError) -> Problem:
    shown = label if label.isprintable() else values.shown(label)
    return Problem("container", f"{container} label {shown}", str(reason))


def _hosts(text: str) -> tuple[str, ...]:
    hosts = {values.host(one) for one in re.split(r"[,\s]+", text) if one}
    if not hosts:
        raise BadValueError("no host is named (write app.example.com)")
    return tuple(sorted(hosts))


def _network(text: str) -> str:
    if not text:
        raise BadValueError("no network is named (write its name, as the engine lists it)")
    return text


def _switch(text: str) -> bool:
    found = _SWITCH.get(text.lower())
    if found is None:
        raise BadValueError(f'{values.shown(text)} is neither "true" nor "false"')
    return found


_OF_THE_ENDPOINT = {"port", "network", "weight", "backup"}
_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "host": ("hosts", _hosts),
    "path": ("path", values.path),
    "service": ("service", values.service_name),
    "port": ("port", values.port),
    "network": ("network", _network),
    "weight": ("weight", values.weight),
    "backup": ("backup", _switch),
}
