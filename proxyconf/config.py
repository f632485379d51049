"""TOML, environment and flags to frozen settings, with errors that name file, table and key.

Precedence: flag > environment (``PROXYCONF_NGINX_MODE``) > file > default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
import tomli

from proxyconf.errors import UsageError
from proxyconf.tables import Table, Tables
from proxyconf.values import spelling, toml_hint, type_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEFAULT_CONFIG = Path("/etc/proxyconf/proxyconf.toml")
ENV_PREFIX = "PROXYCONF_"
TEMPLATE = "template"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A source's table, not read yet: only the source's own module knows its keys.

    Attributes:
        kind: Module below `proxyconf.sources`.
        name: ``etcd``, or ``etcd.NAME`` for a further one.
        values: As TOML gave them.
        place: File (or "command line") and table, for messages.
    """

    kind: str
    name: str
    values: Mapping[str, Any]
    place: str


@dataclass(frozen=True, slots=True)
class TemplateTable:
    """A ``[[template]]`` table, not read yet: only `proxyconf.resources` knows its keys.

    Attributes:
        values: As TOML gave them.
        place: File and table, for messages.
    """

    values: Mapping[str, Any]
    place: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration.

    Attributes:
        sources: In file order, which decides who wins a key that two of them hold.
        templates: In file order.
        warnings: What was ignored, for the log.
        file: What was read; None where the flags and the environment say all.
    """

    tables: Tables
    sources: tuple[SourceTable, ...]
    templates: tuple[TemplateTable, ...] = ()
    warnings: tuple[str, ...] = ()
    file: Path | None = None


def load(
    path: Path | None,
    *,
    kinds: Sequence[str],
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
) -> Settings:
    """Read the configuration.

    Args:
        path: The file; None for none.
        kinds: The kinds of source there are; each is the name of a table.
        environment: Variables; those without our prefix are passed over.
        flags: Tables of keys given on the command line.
        only: The tables of the file that count, whatever is wrong in the others. None: all do.

    Raises:
        UsageError: Unreadable, not TOML, an unknown key, a wrong value.
    """
    place = str(path) if path else "command line"
    values = _read(path) if path else {}
    if only is not None:
        values = {key: value for key, value in values.items() if key in only}
    known = (*msgspec.structs.asdict(Tables()), *kinds)
    overlay, warnings = _from_environment(environment or {}, known)
    for origin, more in ((f"environment {ENV_PREFIX}*", overlay), ("command line", flags or {})):
        _refuse_unknown(more, known, origin, "table")
        convert(_without(more, kinds), Tables, origin)  # so that a mistake is found where it was made
        lay_over(values, more)
    templates = _template_tables(values.pop(TEMPLATE, []), place)
    _refuse_mistakes(values, (*known, TEMPLATE), place)
    sources = tuple(
        table
        for kind, found in values.items()
        if kind in kinds
        for table in _source_tables(kind, found, place)
    )
    return Settings(convert(_without(values, kinds), Tables, place), sources, templates, warnings, path)


def _refuse_mistakes(values: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    """Refuse unknown tables, and the first mistake in each other one: who mends one sees the rest, too."""
    told: list[str] = []
    for table, found in values.items():
        try:
            _refuse_unknown((table,), known, place, "table")
            if table in Tables.__struct_fields__:
                convert({table: found}, Tables, place)
        except UsageError as exc:
            told.append(str(exc))
    if told:
        raise UsageError("; ".join(told))


def _without(values: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in kinds}


def convert(values: Mapping[str, Any], into: type[T], place: str) -> T:
    """Make a *into* of *values*.

    Raises:
        UsageError: Names *place*, table and key.
    """
    ready = _prepare(values, into, place, "")
    try:
        return msgspec.convert(ready, into, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        reason, _, at = str(exc).partition(" - at ")
        key = at.strip("`").removeprefix("$").removeprefix(".")
        if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
            key, reason = f"{key}.{missing[1]}".lstrip("."), "is missing"
        elif "enum value" in reason and (choices := _choices(into, key)):
            reason += f" (one of: {', '.join(map(str, choices))})"
        raise UsageError(f"{place}: {key or 'value'}: {type_reason(reason)}") from exc


def _choices(into: Any, key: str) -> tuple[object, ...]:  # noqa: ANN401 - any annotation
    """Return what the key may be, where that is a matter of choice."""
    for part in key.split("."):
        fields = msgspec.structs.fields(into) if isinstance(into, type) and issubclass(into, Table) else ()
        into = next((field.type for field in fields if field.encode_name == part), None)
    return get_args(into) if get_origin(into) is Literal else ()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"read {path}: {exc.strerror} (name the file with --config)") from exc
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"read {path}: {exc} ({toml_hint(exc) or 'is it TOML?'})") from exc


def _from_environment(
    environment: Mapping[str, str], known: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    overlay: dict[str, Any] = {}
    warnings: list[str] = []
    for name, text in sorted(environment.items()):
        if not name.startswith(ENV_PREFIX) or name == ENV_PREFIX + "CONFIG":
            continue
        table, _, key = name.removeprefix(ENV_PREFIX).lower().partition("_")
        if table not in known or not key:
            # not an error: Docker links and Kubernetes put variables of such names into our environment
            warnings.append(f"environment {name}: no table {table!r} has it, so it was ignored")
            continue
        inner, _, rest = key.partition("_")
        parts = [inner, rest] if table == "nginx" and inner in ("listen", "tls") and rest else [key]
        lay_over(overlay, nested([table, *parts], scalar(text)))
    return overlay, tuple(warnings)


def nested(path: Sequence[str], value: object) -> dict[str, Any]:
    """Return ``{a: {b: value}}`` for the path ``[a, b]``."""
    result: Any = value
    for key in reversed(path):
        result = {key: result}
    return dict(result)


def scalar(text: str) -> object:
    """Read a value from a flag or a variable: a quoted text, list or table of TOML, else the text itself.

    What is a number, or yes or no, only its key knows: a password may be ``12345``.
    """
    try:
        value: object = tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        return text
    return value if isinstance(value, str | list | dict) else text


def lay_over(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Change *values*: what is in *more* counts, table by table and key by key."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            lay_over(values[key], value)
        else:
            values[key] = value


def _source_tables(kind: str, found: object, place: str) -> list[SourceTable]:
    if not isinstance(found, dict):
        raise UsageError(f"{place}: {kind}: expected a table (write [{kind}])")
    named = {key: value for key, value in found.items() if isinstance(value, dict)}
    main = {key: value for key, value in found.items() if key not in named}
    tables = [SourceTable(kind, kind, main, f"{place}: [{kind}]")] if main or not named else []
    for key, value in named.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
            raise UsageError(f"{place}: [{kind}.{key}]: not a name (use letters, digits, - and _)")
        tables.append(SourceTable(kind, f"{kind}.{key}", value, f"{place}: [{kind}.{key}]"))
    return tables


def _template_tables(found: object, place: str) -> tuple[TemplateTable, ...]:
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise UsageError(f"{place}: {TEMPLATE}: expected tables (write [[{TEMPLATE}]], each)")
    return tuple(
        TemplateTable(table, f"{place}: [[{TEMPLATE}]] {table.get('dest', number)}")
        for number, table in enumerate(found, start=1)
    )


def _prepare(values: object, into: type, place: str, path: str) -> object:
    """Refuse unknown keys, with the likely spelling, and split a text where a list is wanted."""
    if not isinstance(values, dict) or not issubclass(into, msgspec.Struct):
        return values
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(into)}
    _refuse_unknown(values, tuple(fields), f"{place}: {path}" if path else place, "key")
    ready = {}
    for key, value in values.items():
        kind = fields[key]
        if isinstance(kind, type) and get_origin(kind) is None:
            ready[key] = _prepare(value, kind, place, f"[{path.strip('[]')}.{key}]" if path else f"[{key}]")
        elif isinstance(value, str) and _is_tuple(kind):
            ready[key] = [item.strip() for item in value.split(",")]
        else:
            ready[key] = value
    return ready


def _is_tuple(kind: object) -> bool:
    inner = getattr(kind, "__origin__", None) if get_origin(kind) is Annotated else kind
    return get_origin(inner) is tuple


def _refuse_unknown(keys: Iterable[str], known: Sequence[str], place: str, what: str) -> None:
    for key in keys:
        if key not in known:
            raise UsageError(f"{place}: {key}: unknown {what} ({spelling(key, known)})")


def _decode(into: type, value: object) -> object:
    if issubclass(into, Path):
        if not isinstance(value, str) or not value:
            raise ValueError("expected a path")
        return Path(value)
    if parse := getattr(into, "parse", None):
        return parse(value)
    raise NotImplementedError(into)
