"""The layout of keys, as etcd has them and files imitate them.

    services/<service>/<instance> = 10.0.0.1:8080
                                    {"address": "10.0.0.1:8080", "weight": 2, "backup": false}
    routes/<name>                 = {"host": "app.example.com", "path": "/", "service": "web", OPTION: VALUE}

The plain form is what Registrator and sidekick units write. A route without a service leads to the one that
has its name. Its options are those of `offered.OPTIONS`.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.model import Claims, Endpoint, Entry, Member, Problem, Route
from proxyconf.options import NONE, Options
from proxyconf.routing.asked import OptionError, options_of
from proxyconf.routing.offered import OPTIONS

if TYPE_CHECKING:
    from proxyconf.model import Listing

_FOLDERS = {"services": "endpoint", "routes": "route"}
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)

T = TypeVar("T")


class _EndpointValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``services/<service>/<instance>`` may hold as JSON."""

    address: str
    weight: int = 1
    backup: bool = False
    draining: bool = False


class _RouteValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``routes/<name>`` may hold, but for its options."""

    host: str
    path: str = "/"
    service: str = ""


_WITH_OPTIONS = cast(
    "type[_RouteValue]",
    msgspec.defstruct(
        "_WITH_OPTIONS",
        [(name, option.json | msgspec.UnsetType, msgspec.UNSET) for name, option in OPTIONS.items()],
        bases=(_RouteValue,),
        frozen=True,
        forbid_unknown_fields=True,
    ),
)


class _Seen(NamedTuple):
    """A key as it was read; at most one of member and route is there.

    Attributes:
        good: The key, and the entry that member or route are of where the newest one is bad.
    """

    entry: Entry
    member: Member | None = None
    route: Route | None = None
    problem: Problem | None = None
    good: tuple[str, Entry] | None = None


class Keys:
    """Reads the keys of one source's listings; remembers each with what it came to."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._place = ""

    def read(self, listing: Listing) -> Claims:
        """Return what the keys of *listing* ask for."""
        if listing.place != self._place:  # another prefix: these are other keys
            self._seen, self._place = {}, listing.place
        seen, entries = self._seen, listing.keys
        found = []
        for key in sorted(entries):
            entry, known = entries[key], seen.get(key)
            # most entries are the very same objects as last time, which is tested at a fraction of the cost
            if known is None or (known[0] is not entry and known[0] != entry):
                if known is None and key in listing.last_good:
                    known = _look(key, listing.last_good[key], None, listing)
                known = seen[key] = _look(key, entry, known, listing)
            found.append(known)
        if len(seen) > len(found):
            self._seen = {key: seen[key] for key in entries}
        bad = [one for one in found if one.problem is not None]
        return Claims(
            listing.source,
            members=tuple([one.member for one in found if one.member is not None]),
            routes=tuple([one.route for one in found if one.route is not None]),
            # keys in an unknown folder share one problem
            problems=tuple(dict.fromkeys([one.problem for one in bad if one.problem is not None])),
            last_good=dict([one.good for one in bad if one.good is not None]),
        )


def _look(key: str, entry: Entry, before: _Seen | None, listing: Listing) -> _Seen:
    """Read one key; if it is bad, keep what it was before."""
    folder, _, rest = key.partition("/")
    if folder not in _FOLDERS:
        return _Seen(entry, problem=_stray(folder, listing))
    where = entry.where or listing.place.format(key=key)
    try:
        if folder == "services":
            return _Seen(entry, member=_read_member(rest, key, entry, where))
        return _Seen(entry, route=_read_route(rest, key, entry, where, listing.source))
    except BadValueError as exc:
        kept = before is not None and (before.member or before.route)
        why = f"{exc}; its last good form is kept" if kept else str(exc)
        problem = Problem(_FOLDERS[folder], where if where.isprintable() else values.shown(where), why)
        if before is None or not kept:
            return _Seen(entry, problem=problem)
        return before._replace(entry=entry, problem=problem, good=before.good or (key, before.entry))


def _stray(folder: str, listing: Listing) -> Problem:
    hint = values.spelling(folder, _FOLDERS)
    if hint.startswith("known"):
        hint = "understood are services/<service>/<instance> and routes/<name>"
    shown = folder if folder.isprintable() else values.shown(folder)
    return Problem("source", listing.place.format(key=shown), f"nothing is read from here ({hint})")


def _read_member(rest: str, key: str, entry: Entry, where: str) -> Member:
    service, _, instance = rest.partition("/")
    if not instance or "/" in instance or not instance.isprintable():
        raise BadValueError("is no endpoint's key (write services/<service>/<instance>)")
    # interned: thousands of members share a few names, which are compared all the time
    name = sys.intern(values.service_name(service))
    return Member(name, _read_endpoint(_text(entry.value)), key, where, entry.born)


def _read_endpoint(text: str) -> Endpoint:
    if not text.startswith("{"):
        return Endpoint(values.address(text))
    value = _parse(text, _EndpointValue)
    return Endpoint(values.address(value.address), values.weight(value.weight), value.backup, value.draining)


def _read_route(name: str, key: str, entry: Entry, where: str, source: str) -> Route:
    if not name or "/" in name or not name.isprintable():
        raise BadValueError("is no route's key (write routes/<name>)")
    text = _text(entry.value)
    if not text.startswith("{"):
        raise BadValueError(
            f'{values.shown(text)} is no route (write {{"host": "app.example.com"}}, and in a TOML file'
            ' {host = "app.example.com"})'
        )
    value = _parse(text, _WITH_OPTIONS)
    try:
        service = values.service_name(value.service or name)
    except BadValueError as exc:
        raise BadValueError(f"service: {exc}" if value.service else f"{exc}; set service") from exc
    path = values.path(value.path)
    return Route(
        host=values.host(value.host),
        path=path,
        service=sys.intern(service),
        key=key,
        where=where,
        source=source,
        born=entry.born,
        options=_read_options(value, path),
    )


def _read_options(value: _RouteValue, path: str) -> Options:
    # what is not set is left out
    said: dict[str, Any] = msgspec.to_builtins(value)
    asked = {}
    for name in said.keys() & OPTIONS.keys():
        try:
            asked[name] = OPTIONS[name].read(said[name])
        except BadValueError as exc:
            raise BadValueError(f"{name}: {exc}") from exc
    try:
        return options_of(asked, path) if asked else NONE
    except OptionError as exc:
        raise BadValueError(f"{exc.option}: {exc}") from exc


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8").strip(" \t\r\n")
    except UnicodeDecodeError:
        raise BadValueError(f"{values.shown(raw)} is not UTF-8") from None
    if not text:
        raise BadValueError("the value is empty (delete the key, if that is what it means)")
    return text


def _parse(text: str, into: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=into)
    except msgspec.ValidationError as exc:
        raise BadValueError(_reason(str(exc), into)) from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadValueError(f"{values.shown(text)} is no JSON object ({exc})") from exc


def _reason(message: str, into: type) -> str:
    """Return what msgspec says in our form."""
    if found := _UNKNOWN_FIELD.fullmatch(message):
        known = msgspec.structs.fields(into)
        hint = values.spelling(found[1], [one.encode_name for one in known])
        return f"unknown field {values.shown(found[1])} ({hint})"
    reason, _, at = message.partition(" - at ")
    field = at.strip("`").removeprefix("$.")
    reason = values.type_reason(reason)
    return f"{field}: {reason}" if field else reason
