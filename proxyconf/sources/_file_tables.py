"""TOML to the keys that a store would hold: ``services/<service>/<instance>`` and ``routes/<name>``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import tomli

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.model import Entry, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANCE_LIMIT = 100


def read_tables(text: str, path: str, source: str) -> tuple[dict[str, Entry], tuple[Problem, ...]]:
    """Return the keys, and what is wrong with single ones.

    Raises:
        BadValueError: It is no TOML.
    """
    try:
        content = tomli.loads(text)
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits is a mere ValueError
        hint = f" ({found})" if (found := values.toml_hint(exc)) else ""
        raise BadValueError(f"is no TOML: {values.shown(str(exc))[1:-1]}{hint}") from exc
    reading = _Reading(path, f"{source} {path}")
    reading.read(content)
    return reading.keys, tuple(reading.problems)


@dataclass(slots=True)
class _Reading:
    """The keys of one file while they are collected."""

    path: str
    place: str
    keys: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, content: Mapping[str, Any]) -> None:
        """Take what looks like services and routes; whether their values are good, routing knows."""
        for name, table in content.items():
            if name not in ("services", "routes"):
                self._refuse(name, f"unknown table ({values.spelling(name, ('services', 'routes'))})")
            elif not isinstance(table, dict):
                self._refuse(name, f"expected tables (write [{name}.NAME])")
            elif name == "routes":
                for route, value in table.items():
                    self._put(f"routes/{route}", value, f"routes.{route}")
            else:
                for service, value in table.items():
                    self._read_service(service, value)

    def _read_service(self, name: str, table: object) -> None:
        place = f"services.{name}"
        if not isinstance(table, dict):
            self._refuse(place, 'expected a table with endpoints (write endpoints = ["10.0.0.1:80"])')
            return
        if not isinstance(found := table.get("endpoints", []), list):
            one = found if isinstance(found, str) and found.isprintable() else "10.0.0.1:80"
            self._refuse(f"{place}.endpoints", f'expected a list (write endpoints = ["{one}"])')
            return
        for unknown in table.keys() - {"endpoints"}:
            self._refuse(f"{place}.{unknown}", f"unknown key ({values.spelling(unknown, ('endpoints',))})")
        for number, value in enumerate(table.get("endpoints", ()), start=1):
            instance = _instance(value, number)
            self._put(f"services/{name}/{instance}", value, f"{place} {instance}")

    def _put(self, key: str, value: object, place: str) -> None:
        raw = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        if key in self.keys:
            self._refuse(place, "is there twice (delete one)")
        else:
            self.keys[key] = Entry(raw, where=f"{self.place}: {place}")

    def _refuse(self, place: str, why: str) -> None:
        shown = place if place.isprintable() else values.shown(place)
        self.problems.append(Problem("file", f"{self.path}: {shown}", why))


def _instance(value: object, number: int) -> str:
    """Return the address, so that an endpoint stays itself when the list is re-ordered; else its number."""
    text = value.get("address") if isinstance(value, dict) else value
    if (
        not isinstance(text, str)
        or len(text) > _INSTANCE_LIMIT
        or "/" in text
        or not text.strip().isprintable()
    ):
        return f"#{number}"
    return text.strip() or f"#{number}"
