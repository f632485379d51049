"""Which containers count, by their labels: a selector in the syntax of Kubernetes. Pure.

    env=prod, !internal, tier in (web, api)

A container has to meet all requirements. As there, one without the label meets ``!=`` and ``notin``, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf import values
from proxyconf.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMS = "key, !key, key=value, key!=value, key in (a, b), key notin (a, b); commas join them"
_WORD = r"[^\s,()=!]+"  # engines take nearly anything for a key or a value
_REQUIREMENT = re.compile(
    rf"\s*(?P<absent>!)?\s*(?P<key>{_WORD})\s*"
    rf"(?:(?P<sign>==|=|!=)\s*(?P<value>(?:{_WORD})?)|(?<=\s)(?P<word>in|notin)\s*\((?P<words>[^()]*)\))?\s*"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one label must be.

    Attributes:
        label: Its key.
        among: The values that it may have; None for any.
        negated: The opposite: it must be another, or missing.
    """

    label: str
    among: frozenset[str] | None = None
    negated: bool = False

    def is_met(self, labels: Mapping[str, str]) -> bool:
        """Tell whether *labels* meet it."""
        found = labels.get(self.label)
        return (found is not None if self.among is None else found in self.among) != self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements, all of which must be met; without one it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a container with *labels* counts."""
        return all(requirement.is_met(labels) for requirement in self.requirements)


def read_selector(text: str) -> Selector:
    """Read a selector; of nothing but white space, the one that selects everything.

    Raises:
        BadValueError: It is none; says from where on.
    """
    if not text.strip():
        return Selector()
    found, start = [], 0
    while True:
        match = _REQUIREMENT.match(text, start)
        end = match.end() if match else start
        # a comma must be followed by a further requirement
        if match is None or text[end : end + 1] not in ("", ","):
            raise BadValueError(
                f"{values.shown(text)} is no selector from {values.shown(text[start:].strip())} on ({_FORMS})"
            )
        found.append(_requirement(match))
        if end == len(text):
            return Selector(tuple(found))
        start = end + 1


def _requirement(match: re.Match[str]) -> Requirement:
    label, sign = match["key"], match["sign"]
    if match["absent"]:
        if sign or match["word"]:
            raise BadValueError(
                f"{values.shown(match[0].strip())} says two things (write !{label}, or {label}!=value)"
            )
        return Requirement(label, negated=True)
    if sign:
        return Requirement(label, frozenset({match["value"]}), negated=sign == "!=")
    if not match["word"]:
        return Requirement(label)
    among = [word.strip() for word in match["words"].split(",")]
    if not all(re.fullmatch(_WORD, word) for word in among):
        raise BadValueError(
            f"{values.shown(match[0].strip())} names no values (write {label} {match['word']} (a, b))"
        )
    return Requirement(label, frozenset(among), negated=match["word"] == "notin")
