"""The reference of all settings, from the code: ``python -m tests.docs.settings`` writes it anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import msgspec

from proxyconf import tables
from proxyconf.sources import consul, docker, etcd, file
from proxyconf.tables import SourcePolicy, Table
from proxyconf.units import Duration, ListenAddress, Network, Seconds, Size, Via

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = Path(__file__).parents[2] / "docs/settings.md"
SOURCES: dict[str, type[msgspec.Struct]] = {
    "etcd": etcd.Settings,
    "consul": consul.Settings,
    "docker": docker.Settings,
    "file": file.Settings,
}
# ruff: noqa: E501 - a paragraph of Markdown is a line
_HEAD = """\
# Every setting

Written from the code by `python -m tests.docs.settings`; a test holds it to that. What most people need is in the README; [deploy/proxyconf.toml](../deploy/proxyconf.toml) is a file to begin with.

All of it is optional but for one source. In the file, `[nginx]` and `mode = "include"`; as a flag, `-s nginx.mode=include`; in the environment, `PROXYCONF_NGINX_MODE=include` (`PROXYCONF_NGINX_TLS_POLICY` for what is in `[nginx.tls]`). A flag beats the environment, which beats the file. Unknown keys are errors that name the likely spelling.

A second source of a kind is `[etcd.NAME]`, and so on. `[[template]]` tables are in [from-confd.md](from-confd.md).
"""
_WORDS = {
    Seconds: "a time: `250ms`, `10s`, `5m`, `1h`",
    Duration: "a time: `1m30s`, or a number of seconds",
    Size: "a size: `512M`, `2G`",
    ListenAddress: "an address: `:80`, `127.0.0.1:80`, `[::1]:80`",
    Network: "a network: `10.0.0.0/8`",
    Via: "`local`, `docker:NAME`, `pid`",
    Path: "a path",
    str: "a text",
    bool: "`true` or `false`",
    int: "a number",
    float: "a number",
}


def settings_text() -> str:
    """Return the whole document."""
    pieces = [_HEAD, "\n## Sources\n\nEvery source's table may have these:\n\n", *_table(SourcePolicy)]
    for name, struct in SOURCES.items():
        pieces += [f"\n## `[{name}]`\n\n", *_table(struct, but=SourcePolicy.__struct_fields__)]
    for field in msgspec.structs.fields(tables.Tables):
        pieces += _chapters(field.name, field.type)
    return "".join(pieces)


def _chapters(name: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    """Yield the chapter of a table, and those of the tables in it."""
    inner = [field for field in msgspec.structs.fields(struct) if _is_table(field.type)]
    yield f"\n## `[{name}]`\n\n"
    yield from _table(struct, but=tuple(field.name for field in inner))
    for field in inner:
        yield from _chapters(f"{name}.{field.name}", field.type)


def _table(struct: type[msgspec.Struct], *, but: tuple[str, ...] = ()) -> Iterator[str]:
    says = meanings(struct)
    yield "| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
    for field in msgspec.structs.fields(struct):
        if field.name not in but:
            default = _default(field)
            yield f"| `{field.name}` | {_kind(field.type)} | {default} | {says[field.name]} |\n"


def meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what the docstring says of each key."""
    found: dict[str, str] = {}
    for one in reversed(struct.__mro__):
        text = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2]
        for name, meaning in re.findall(r"(?m)^    (\w+): (.*(?:\n {8}.*)*)", text):
            words = " ".join(meaning.split()).replace("``", "`")
            found[name] = words.replace("|", "\\|")
    return found


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Table)


def _kind(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """Return what values it may have, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        found = _kind(arguments[0])
        limits = [one for one in arguments[1:] if isinstance(one, msgspec.Meta) and one.ge is not None]
        return f"{found}, {limits[0].ge} to {limits[0].le}" if limits else found
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"a list, each {_kind(arguments[0])}"
    if arguments:
        return ", or ".join(_kind(one) for one in arguments if one is not type(None))
    return str(_WORDS[kind])


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if value is msgspec.NODEFAULT:
        return "none: it must be there"
    if value is None or value in ("", ()):
        return "none"
    return f"`{_shown(value)}`"


def _shown(value: object) -> str:
    """Return *value* as the file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Seconds):
        return f'"{_seconds(float(value))}"'
    if isinstance(value, Size):
        return f'"{value >> 30}G"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return (
        f'"{value}"'
        if isinstance(value, str | Path)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _seconds(value: float) -> str:
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if value >= size and value % size == 0:
            return f"{value / size:g}{unit}"
    return f"{value * 1000:g}ms"


if __name__ == "__main__":
    PLACE.write_text(settings_text())
