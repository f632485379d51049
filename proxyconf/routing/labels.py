"""The labels of containers.

    proxyconf.host = app.example.com            several: "app.example.com, www.example.com"
    proxyconf.path = /api                       default: /
    proxyconf.port = 8080                       default: the only one that the container exposes
    proxyconf.service = web                     default: host and path, so that equal claims share a service
    proxyconf.network, .weight, .backup         of the endpoint
    proxyconf.health = prefer                   with a health check: require (default: no requests until it is
                                                healthy), prefer (none while another endpoint serves), ignore
    proxyconf.enable = false                    the container is passed over, whatever else it says
    proxyconf.OPTION = value                    what is in `offered.OPTIONS`
    proxyconf.request_header.X-Name = value     and one of several
    proxyconf.NAME.host, proxyconf.NAME.port    a further route of the same container; what it does not say of
                                                the endpoint and its service, the labels without a NAME say

Without `proxyconf.host` and `proxyconf.service`, labels without a NAME complete what variables ask for
(`beside.beside`).

Labels never change, so there is no last good form to keep: a route with a bad label is left out; so are all
with a NAME where what would protect a route is bad, or without a host, and one at a shorter path. A route
counts as long as its container exists, the endpoint while it runs and, unless it says otherwise, is healthy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.model import Problem
from proxyconf.options import NONE, Options
from proxyconf.routing import forms
from proxyconf.routing.asked import OptionError, options_of
from proxyconf.routing.offered import OF_THE_SERVICE, OPTIONS, PROTECTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

PREFIX = "proxyconf."
ENABLE = "proxyconf.enable"
Health = Literal["require", "prefer", "ignore"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_COST = "; its route is left out"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the labels of one name ask for.

    Attributes:
        name: The name; "" for the labels without one.
        hosts: Sorted, each once; none for a mere member of a service.
        path: For all of them.
        service: "" for the default.
        port: 0 for the only exposed one.
        fallback_port: For a container that exposes none, or several; 0: then `port` has to say it.
        network: "" for the default.
        weight: Of the endpoint.
        backup: Of the endpoint.
        health: What the container's health check, if there is one, means to the endpoint.
        options: What else the routes ask for.
        by_rule: The host rule named the host, for nothing else did.
    """

    name: str
    hosts: tuple[str, ...] = ()
    path: str = "/"
    service: str = ""
    port: int = 0
    network: str = ""
    weight: int = 1
    backup: bool = False
    health: Health = "require"
    options: Options = NONE
    fallback_port: int = 0
    by_rule: bool = False

    def service_of(self, host: str) -> str:
        """Return the service that *host* leads to: the default has a slash, so no named one is like it.

        A container that did not ask for a host shares no load with those that did.
        """
        return self.service or ("rule:" if self.by_rule else "") + host + self.path

    def label(self, option: str) -> str:
        """Return the label that sets *option*."""
        return f"{PREFIX}{self.name}.{option}" if self.name else PREFIX + option

    def setting(self, option: str) -> str:
        """Return what sets *option*, for people: a label, unless this was not read from labels."""
        return "host rule" if self.by_rule and option == "host" else f"label {self.label(option)}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What all labels of a container ask for, by name.

    Attributes:
        enabled: Otherwise nothing counts that the container says, not here and not elsewhere.
        faulty: Our labels that are bad, as people are shown them: nobody knows what they were to protect.
        completing: What labels with neither a NAME nor a host say of the hosts that variables name: option to
            value, as it was read.
    """

    wishes: tuple[Wish, ...] = ()
    problems: tuple[Problem, ...] = ()
    enabled: bool = True
    faulty: tuple[str, ...] = ()
    completing: Mapping[str, Any] = field(default_factory=dict)


def names_host(labels: Mapping[str, str]) -> bool:
    """Tell whether *labels* name a host, be it a bad one."""
    return any(label.startswith(PREFIX) and _parts(label)[1] == "host" for label in labels)


def read_labels(
    container: str, labels: Mapping[str, str], *, ruled: str = "", completing: bool = False
) -> Wishes:
    """Read the labels of the container that is called *container*.

    Args:
        container: Its name.
        labels: They.
        ruled: The host that the host rule gives it, as they name none; "" for none.
        completing: Variables name hosts, which labels without a NAME and a host are for.
    """
    groups: dict[str, _Group] = {"": _Group()}
    faults: list[tuple[str, BadValueError]] = []
    for label in sorted(label for label in labels if label.startswith(PREFIX)):
        try:
            _take(label, labels[label].strip(), groups)
        except BadValueError as exc:
            faults.append((label, exc))
    unnamed = groups[""]
    if not unnamed.good.pop("enable", True):
        return Wishes(enabled=False)
    if "enable" in unnamed.bad:
        return Wishes(problems=_problems(container, faults, groups), enabled=False)
    if ruled:
        unnamed.good["host"] = (ruled,)
    completing = completing and unnamed.good.keys().isdisjoint(_LEADING)
    wishes: list[Wish] = []
    for name in sorted(groups):
        try:
            wish = None if completing and not name else _wish(name, groups)
            if wish and (wish := _without_claimed(wish, wishes)):
                wishes.append(replace(wish, by_rule=True) if ruled and wish.hosts else wish)
        except LabelError as exc:
            faults.append((exc.label, exc))
    problems = _problems(container, faults, groups)
    wishes, left_out = _without_doubtful(wishes, [label for label, _ in faults], groups)
    problems += tuple(Problem("container", f"{container} {one}", f"{why} (mend it)") for one, why in left_out)
    return Wishes(
        tuple(wishes),
        problems,
        faulty=tuple(_shown(label) for label, _ in faults),
        completing=unnamed.good if completing else {},
    )


@dataclass(slots=True)
class _Group:
    """The labels of one name.

    Attributes:
        good: What could be read, by option.
        bad: Those that could not: an option, or ``request_header.X-Name``.
        pairs: Of an option that a label has one pair of: all of them, as they stand there.
    """

    good: dict[str, Any] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    pairs: dict[str, dict[str, str]] = field(default_factory=dict)


class LabelError(BadValueError):
    """A label says what can't be, together with the others."""

    def __init__(self, label: str, why: str) -> None:
        super().__init__(why)
        self.label = label


def _take(label: str, text: str, groups: dict[str, _Group]) -> None:
    """Read one label into the group of its name.

    Raises:
        BadValueError: It is unknown, or its value bad.
    """
    name, option, key = _parts(label)
    if name in _OF_LABELS or (name and not _NAME.fullmatch(name)):
        raise BadValueError(
            f"no such label (write {PREFIX}NAME.host, with a NAME of letters, digits, _ and -)"
        )
    group = groups.setdefault(name, _Group())
    said = f"{option}.{key}" if key else option
    group.bad.add(said)
    if name and option == "enable":
        raise BadValueError(f"no such label (write {ENABLE}, which is of the whole container)")
    if option in _KEYED:
        group.good[option] = _with_pair(group.pairs.setdefault(option, {}), option, key, text)
    elif option in _READERS:
        group.good[option] = _READERS[option](text)
    else:
        raise BadValueError(f"no such label ({values.spelling(option, _READERS)})")
    group.bad.discard(said)


def _parts(label: str) -> tuple[str, str, str]:
    """Return the label's NAME, its option, and the key of one that has several: a header's name has dots."""
    rest = label.removeprefix(PREFIX)
    first, _, after = rest.partition(".")
    if first in _KEYED:
        return "", first, after
    second, _, key = after.partition(".")
    if second in _KEYED:
        return first, second, key
    name, _, option = rest.rpartition(".")
    return name, option, ""


def _with_pair(pairs: dict[str, str], option: str, key: str, text: str) -> object:
    """Add a pair to those that are good, and return what they come to."""
    if not key:
        raise BadValueError(f"no such label (write {PREFIX}{option}.X-Name = value)")
    found = OPTIONS[option].read({**pairs, key: text})
    pairs[key] = text
    return found


def _wish(name: str, groups: Mapping[str, _Group]) -> Wish | None:
    """Return what a group asks for; None if it is nothing, or not clear because of a bad label.

    Raises:
        LabelError: It lacks what gives its labels an effect, or they contradict each other.
    """
    own, common = groups[name].good, groups[""]
    if groups[name].bad or (common.bad & _SHARED) - own.keys():
        return None
    is_shared = not name and len(groups) > 1
    if not name and own.keys() <= (_SHARED if is_shared else set()):
        return None  # at most what the named ones share
    asked = {option: value for option, value in common.good.items() if option in _SHARED} | own
    wish = Wish(
        name, **{_FIELDS.get(option, option): asked[option] for option in asked.keys() & _OF_LABELS.keys()}
    )
    if not wish.hosts:
        _refuse_idle(wish, own.keys(), _SHARED if is_shared else OF_THE_ENDPOINT)
        return wish
    options = {option: asked[option] for option in asked.keys() & OPTIONS.keys()}
    try:
        wish = replace(wish, options=options_of(options, wish.path, own=own.keys(), spell=wish.label))
    except OptionError as exc:
        raise LabelError(wish.label(exc.option), str(exc)) from exc
    refuse_backup(wish)
    return wish


def _refuse_idle(wish: Wish, own: AbstractSet[str], ours: AbstractSet[str]) -> None:
    """Refuse labels that need a host, in a group without one; *ours* are those that do not."""
    idle = own - ours - {"service"}
    if idle or not wish.service:
        option = min(idle or own)
        raise LabelError(wish.label(option), f"has no effect without a host (set {wish.label('host')})")


def refuse_backup(wish: Wish) -> None:
    """Refuse what nginx does: its whole configuration would fail.

    Raises:
        LabelError: The wish has a backup, and a balance that knows none.
    """
    balance = wish.options.service.balance
    if wish.backup and balance.startswith(("ip_hash", "hash:")):
        raise LabelError(
            wish.label("backup"),
            f"contradicts {wish.label('balance')}: nginx has no backup with {balance} (delete one of them)",
        )


def _without_claimed(wish: Wish, earlier: Iterable[Wish]) -> Wish | None:
    """Leave out the hosts for which the same container has asked already; None if none is left.

    Raises:
        LabelError: It has asked for something else there.
    """
    left = wish.hosts
    for other in earlier:
        for host in set(wish.hosts) & set(other.hosts) if other.path == wish.path else ():
            if _target(wish, host) != _target(other, host) or wish.options != other.options:
                differs = "leads elsewhere" if wish.options == other.options else "has other options"
                raise LabelError(
                    wish.label("host"),
                    f"contradicts {other.label('host')}: {host}{wish.path} {differs} there"
                    " (delete one of them)",
                )
            left = tuple(one for one in left if one != host)
    return replace(wish, hosts=left) if left or not wish.hosts else None


def _target(wish: Wish, host: str) -> tuple[object, ...]:
    return wish.service_of(host), wish.port, wish.network, wish.weight, wish.backup, wish.health


def _without_doubtful(
    wishes: Sequence[Wish], bad: Sequence[str], groups: Mapping[str, _Group]
) -> tuple[list[Wish], list[tuple[str, str]]]:
    """Leave out routes that a *bad* label may be about; return the others, and where and why for those."""
    doubts = {
        wish.name: [_shown(one) for one in bad if _may_protect(one, groups) or _opens(wish, one, groups)]
        for wish in wishes
        if wish.hosts
    }
    kept = [wish for wish in wishes if not doubts.get(wish.name)]
    return kept, [(one.setting("host"), not_routed(doubts[one.name])) for one in wishes if one not in kept]


def _may_protect(label: str, groups: Mapping[str, _Group]) -> bool:
    """Tell whether a bad or idle label may have been meant for other routes than its own.

    So may be one without a NAME, also one that is misspelled, and one whose NAME has no host.
    """
    name, option, _ = _parts(label)
    if not name:
        return option in PROTECTING or option not in _READERS
    group = groups.get(name, _Group())
    return (option in PROTECTING or name in PROTECTING) and "host" not in group.good.keys() | group.bad


def _opens(wish: Wish, label: str, groups: Mapping[str, _Group]) -> bool:
    """Tell whether *wish* gets the requests of a route that is left out because of *label*, unprotected."""
    name = _parts(label)[0]
    group = groups.get(name, _Group())
    said = group.good.keys() | group.bad
    if name == wish.name or not any(option in PROTECTING or option not in _READERS for option in said):
        return False
    path = wish.path if "path" in group.bad else group.good.get("path", "/")
    hosts = wish.hosts if "host" in group.bad else group.good.get("host", ())
    return path.startswith(wish.path) and any(
        host == other or (other.startswith("*.") and host.endswith(other[1:]))
        for host in hosts
        for other in wish.hosts
    )


def not_routed(labels: Iterable[str]) -> str:
    """Say that a route is left out because of bad *labels* that it may not be without."""
    return f"is not routed, for what would protect it may be in a bad label: {', '.join(labels)}"


def _problems(
    container: str, faults: Iterable[tuple[str, BadValueError]], groups: Mapping[str, _Group]
) -> tuple[Problem, ...]:
    cost = {name: _COST for name, group in groups.items() if "host" in group.good.keys() | group.bad}
    return tuple(
        Problem("container", f"{container} label {_shown(label)}", f"{why}{cost.get(_parts(label)[0], '')}")
        for label, why in faults
    )


def _shown(label: str) -> str:
    return label if label.isprintable() else values.shown(label)


def _hosts(text: str) -> tuple[str, ...]:
    hosts = {values.host(one) for one in forms.words(text)}
    if not hosts:
        raise BadValueError("no host is named (write app.example.com)")
    return tuple(sorted(hosts))


def _health(text: str) -> str:
    if text not in get_args(Health):
        raise BadValueError(f'{values.shown(text)} is not "require", "prefer" or "ignore"')
    return text


_OF_LABELS: dict[str, Callable[[str], object]] = {
    "host": _hosts,
    "path": values.path,
    "service": values.service_name,
    "port": values.port,
    "network": forms.network,
    "weight": values.weight,
    "backup": forms.switch,
    "health": _health,
    "enable": forms.switch,
}
_FIELDS = {"host": "hosts"}
_LEADING = {"host", "service"}  # with one of them, labels are of a route or a service of their own
OF_THE_ENDPOINT = {"port", "network", "weight", "backup", "health"}
_SHARED = OF_THE_ENDPOINT | OF_THE_SERVICE
_KEYED = {name for name, option in OPTIONS.items() if option.is_keyed}
_READERS = _OF_LABELS | {name: option.read for name, option in OPTIONS.items()}
