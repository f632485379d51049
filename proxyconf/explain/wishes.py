"""What a route asks for, spelled as in a label."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from proxyconf.options import Rate
from proxyconf.routing.offered import SPELLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.explain.answer import Known
    from proxyconf.model import Route
    from proxyconf.options import HostOptions, LocationOptions, ServiceOptions

_PAIRS = ("users", "request_headers", "response_headers")


def wishes(route: Route, known: Known) -> str:
    """Return what *route*, its host and its service have that is not the default."""
    said = [
        *_asked("location", route.options.location),
        *_asked("host", known.snapshot.hosts.get(route.host)),
        *_asked("service", known.snapshot.options.get(route.service)),
    ]
    return "; ".join(said)


def _asked(of: str, options: LocationOptions | HostOptions | ServiceOptions | None) -> Iterator[str]:
    for field in fields(options) if options else ():
        value = getattr(options, field.name)
        if value == field.default:
            continue
        if field.name == "replace" and value == "/":  # nobody writes it like this
            yield "strip true"
        elif isinstance(value, Rate):
            yield f"rate {value.per_minute}r/m"
            if value.burst:
                yield f"rate_burst {value.burst}"
        else:
            yield f"{SPELLED[of, field.name]} {_spelled(field.name, value)}"


def _spelled(field: str, value: Any) -> str:  # noqa: ANN401 - of any option
    """Return an option's value as a label has it; of pairs only the names, for values may be secrets."""
    if field in _PAIRS:
        return ", ".join(name for name, _ in value)
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}s" if value >= 1 else f"{value * 1000:g}ms"
        case tuple():
            return ", ".join(value)
        case _:
            return str(value) or "off"
