"""A template resource: what the ``[template]`` table of a file or our own ``[[template]]`` says, checked."""

from __future__ import annotations

import grp
import posixpath
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from proxyconf.config import convert
from proxyconf.errors import UsageError
from proxyconf.tables import Table
from proxyconf.units import Duration
from proxyconf.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxyconf.tables import Confd

_MODE = re.compile(r"(?:0[oO]?)?([0-7]{3,4})")
_Id = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Line = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """What a resource has run: its check, or its reload.

    Attributes:
        line: A text is for ``/bin/sh -c``, as in confd; a tuple is program and arguments. Both may name
            ``{{.src}}`` and ``{{.dest}}``.
        timeout_s: More than 0.
    """

    line: _Line
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Resource:
    """A file to be rendered from a template.

    Attributes:
        dest: The file; absolute.
        src: The template's name below ``<confd.dir>/templates``, without ``..``.
        prefix: Put before `keys`: "", or ``/prod``.
        keys: Relative to `prefix`, with a leading slash: those keys and all below them. The template names
            keys in the same way.
        require: Full names: until there is a key at or below each of them, `dest` is not written for the
            first time.
        mode: Permission bits; None: as the file has them, else 0644.
        uid: Owner; None: ours.
        gid: Group; None: ours.
        min_reload_interval_s: From the start of one reload to the next, at least. 0: no matter.
        place: File and table, for people.
    """

    dest: Path
    src: str
    prefix: str = ""
    keys: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    check: Command | None = None
    reload: Command | None = None
    min_reload_interval_s: float = 0.0
    place: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The full names of `keys`, as sources are told them; ``/`` is everything."""
        return tuple(full_name(self.prefix, key) for key in self.keys)


class Mode(int):
    """Permission bits, always in octal and as a text: ``"0644"``, ``"644"`` or ``"0o644"``."""

    @classmethod
    def parse(cls, text: object) -> Mode:
        """Read *text*; raise ValueError when it is no mode."""
        found = _MODE.fullmatch(text) if isinstance(text, str) else None
        if not found:
            # a number would be ambiguous: 420 may have been 0o644
            raise ValueError(f'{shown(text)} is no mode (write it in octal, as a text: mode = "0644")')
        return cls(found[1], 8)


class ResourceTable(Table, frozen=True, kw_only=True):
    """The keys of ``[template]``; a text that is "" counts as not there, as it does in confd."""

    src: str = ""
    dest: str = ""
    keys: tuple[str, ...] = ()
    prefix: str = ""
    require: tuple[str, ...] = ()
    mode: Mode | None = None
    owner: str = ""
    group: str = ""
    uid: _Id | None = None
    gid: _Id | None = None
    check_cmd: _Line = ()
    check_cmd_timeout: Duration | None = None
    reload_cmd: _Line = ()
    reload_cmd_timeout: Duration | None = None
    min_reload_interval: Duration = Duration(0)


KEYS = tuple(field.encode_name for field in msgspec.structs.fields(ResourceTable))


def read_table(values: Mapping[str, Any], place: str, confd: Confd) -> Resource:
    """Return the resource of a table; blocks, for it looks up users and groups.

    Raises:
        UsageError: ``place: key: reason (mend)``.
    """
    table = convert({key: value for key, value in values.items() if value != ""}, ResourceTable, place)
    try:
        return _resource(table, place, confd)
    except UsageError as exc:
        raise UsageError(f"{place}: {exc}") from exc


def full_name(prefix: str, key: str) -> str:
    """Return the name in the store of a *key* that is relative to *prefix*."""
    return (prefix + key).rstrip("/") or "/"


def clean_key(text: str) -> str:
    """Return *text* with one leading slash, single slashes, and neither ``.`` nor ``..``."""
    return posixpath.normpath("/" + text.strip("/"))


def _resource(table: ResourceTable, place: str, confd: Confd) -> Resource:
    """Return the resource; errors start with the key."""
    prefix = _prefix(table.prefix, confd)
    keys = tuple(dict.fromkeys(map(clean_key, table.keys)))
    return Resource(
        dest=_dest(table.dest),
        src=_src(table.src, confd.dir / "templates"),
        prefix=prefix,
        keys=keys,
        require=tuple(full_name(prefix, key) for key in _require(table.require, keys)),
        mode=table.mode,
        uid=_id("uid", table.uid, "owner", table.owner, lambda name: pwd.getpwnam(name).pw_uid),
        gid=_id("gid", table.gid, "group", table.group, lambda name: grp.getgrnam(name).gr_gid),
        check=_command("check_cmd", table.check_cmd, table.check_cmd_timeout, confd.check_cmd_timeout),
        reload=_command("reload_cmd", table.reload_cmd, table.reload_cmd_timeout, confd.reload_cmd_timeout),
        min_reload_interval_s=float(table.min_reload_interval),
        place=place,
    )


def _dest(text: str) -> Path:
    if not text:
        raise UsageError('dest: is missing (the file to write: dest = "/etc/nginx/conf.d/app.conf")')
    if text.endswith("/") or "\0" in text:
        raise UsageError(f"dest: {shown(text)} is no file (write its whole path)")
    return Path(posixpath.abspath(text))  # unlike Path.absolute() without ".."


def _src(text: str, templates: Path) -> str:
    folder = posixpath.abspath(templates)
    if not text:
        raise UsageError(f"src: is missing (the template's name below {folder})")
    path = posixpath.normpath(posixpath.join(folder, text))
    if not _is_below(path, folder):
        # confd puts its folder before any src, so that "/nginx.tmpl" works there
        path = posixpath.normpath(f"{folder}/{text}")
        if not (_is_below(path, folder) and Path(path).exists()):
            raise UsageError(f"src: {shown(text)} is not below {folder} (move the template there)")
    return posixpath.relpath(path, folder)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder + "/")


def _prefix(own: str, confd: Confd) -> str:
    if confd.prefix and confd.prefix_rule == "replace":
        own = ""
    return clean_key(clean_key(confd.prefix) + clean_key(own)).rstrip("/")


def _require(require: tuple[str, ...], keys: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(map(clean_key, require))
    for key in wanted:
        if not any(key == known or key.startswith(known.rstrip("/") + "/") for known in keys):
            raise UsageError(f"require: {key!r} is none of the keys, nor below one (add it to keys)")
    return wanted


def _id(
    number_key: str, number: int | None, name_key: str, name: str, find: Callable[[str], int]
) -> int | None:
    """Return the id of a user or group, which may be given as number, name or both."""
    if not name:
        return number
    try:
        found = find(name)
    except (KeyError, ValueError):
        raise UsageError(
            f"{name_key}: there is no {shown(name)} on this host (or give its number: {number_key} = 33)"
        ) from None
    if number not in (None, found):
        raise UsageError(
            f"{name_key}: {shown(name)} is {found} here, but {number_key} = {number} (keep one of them)"
        )
    return found


def _command(key: str, line: _Line, timeout: Duration | None, default: Duration) -> Command | None:
    """Return the command, or None where none is given: ``""`` and ``[]``."""
    if not line:
        return None
    words = (line,) if isinstance(line, str) else line
    if not words[0].strip() or any("\0" in word for word in words):
        raise UsageError(f"{key}: {shown(line)} is no command (write a line for sh, or a list of words)")
    limit = default if timeout is None else timeout
    if not limit:
        raise UsageError(f'{key}_timeout: must be more than 0 (write "10m" for a slow one)')
    return Command(line, float(limit))
