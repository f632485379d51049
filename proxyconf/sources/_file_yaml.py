"""YAML to a tree with its values as they are written. Loaded only when there is some, for it needs PyYAML.

It is composed from the parser's events, not loaded as Python objects: those would have lost how a number was
written, and the composer of libyaml's binding recurses as deep as the file is nested, without a limit.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import closing
from typing import TYPE_CHECKING, cast

import yaml

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.sources._file_nodes import DEPTH_LIMIT, too_deep

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from proxyconf.sources._file_nodes import Remark, Tree

# libyaml's is twenty times as fast; a PyYAML that was built without it has only the other one
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BINARY = "tag:yaml.org,2002:binary"
_MERGED_LIMIT = 100_000

# words without quotes that are not themselves: those of YAML 1.1, as confd reads it
_WORDS: dict[str, str | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
for _true, _false in (("true", "false"), ("yes", "no"), ("on", "off")):
    _WORDS |= dict.fromkeys((_true, _true.capitalize(), _true.upper()), "true")
    _WORDS |= dict.fromkeys((_false, _false.capitalize(), _false.upper()), "false")


def compose(text: str) -> tuple[Tree, list[Remark]]:
    """Return the first document, None if there is none, and what is odd in it.

    Raises:
        BadValueError: It is no YAML, or nothing that could be keys.
    """
    with closing(cast("Generator[yaml.Event, None, None]", yaml.parse(text, _LOADER))) as events:
        composer = _Composer(events)
        try:
            return composer.document(), composer.remarks
        except yaml.YAMLError as exc:
            raise BadValueError(f"is no YAML: {_reason(exc, text)}") from exc
        except (ValueError, OverflowError) as exc:  # the parser in Python lets some of these through
            raise BadValueError(f"is no YAML: {values.shown(str(exc))[1:-1]}") from exc


def _reason(exc: yaml.YAMLError, text: str) -> str:
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark:
        mark, lines = exc.problem_mark, len(text.splitlines())
        if mark.line >= lines:
            return f"{exc.problem} (at the end, at line {lines})"
        return f"{exc.problem} (at line {mark.line + 1}, column {mark.column + 1})"
    # of a character that may not be there, the parser knows the byte
    line = text.encode().count(b"\n", 0, getattr(exc, "position", 0)) + 1
    return f"{getattr(exc, 'reason', exc)} (at line {line})"


class _Composer:
    """Makes a tree of events.

    Attributes:
        remarks: What was odd so far.
    """

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self.remarks: list[Remark] = []
        self._events = events
        self._anchors: dict[str, Tree] = {}
        self._merged = 0

    def document(self) -> Tree:
        """Return the first document; a further one is remarked."""
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        tree = self._node(next(self._events), 0)
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._remark(after, "a second document starts here, and only the first counts (use two files)")
        return tree

    def _node(self, event: yaml.Event, depth: int) -> Tree:
        if depth > DEPTH_LIMIT:
            raise too_deep(f" (at line {_line(event)})")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        node: Tree
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(depth)
        else:
            node = self._mapping(depth)
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> Tree:
        # an anchor counts from its end on, so that nothing can hold itself
        if event.anchor not in self._anchors:
            raise _refusal(event, f"*{event.anchor} stands for nothing that ends before it")
        return self._anchors[event.anchor]

    def _sequence(self, depth: int) -> list[Tree]:
        found = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._node(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> dict[str, Tree]:
        found: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _refusal(event, "a name must be a text (write NAME: VALUE)")
            value = self._node(next(self._events), depth + 1)
            if event.value == "<<" and event.implicit[0]:
                self._merge(value, merged, event)
                continue
            if event.value in found:
                shown = values.shown(event.value)
                self._remark(event, f"{shown} is there twice, and the later one counts (delete one)")
            found[event.value] = value
        return {**merged, **found} if merged else found

    def _merge(self, value: Tree, merged: dict[str, Tree], event: yaml.ScalarEvent) -> None:
        """Take what ``<<: *base`` or ``<<: [*first, *second]`` stands for; of two, the first counts."""
        for mapping in value if isinstance(value, list) else [value]:
            if not isinstance(mapping, dict):
                raise _refusal(event, "<< merges mappings only (quote it if it is a name)")
            self._merged += len(mapping)
            if self._merged > _MERGED_LIMIT:
                raise _refusal(event, f"<< has merged more than {_MERGED_LIMIT} names (write fewer)")
            for name, child in mapping.items():
                merged.setdefault(name, child)

    def _remark(self, event: yaml.Event, why: str) -> None:
        self.remarks.append((_line(event), why))


def _scalar(event: yaml.ScalarEvent) -> str | bytes | None:
    text: str = event.value
    if event.tag == _BINARY:
        try:
            return base64.b64decode(text)
        except binascii.Error as exc:
            raise _refusal(event, f"!!binary is no base64: {exc}") from exc
    plain = event.implicit[0] and event.tag is None
    return _WORDS.get(text, text) if plain else text


def _refusal(event: yaml.Event, why: str) -> BadValueError:
    return BadValueError(f"{why} (at line {_line(event)})")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
