"""A tree of YAML or JSON to the keys that templates see, as in confd's file store.

    app:
      debug: yes
      servers: [10.0.0.1, 10.0.0.2]

is ``/app/debug`` = ``true``, ``/app/servers/0`` = ``10.0.0.1`` and ``/app/servers/1`` = ``10.0.0.2``. Numbers
stay as they are written, where confd would make 1.1 of 1.10 and 420 of 0644. A null is no key.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from proxyconf.errors import BadValueError
from proxyconf.model import Entry, Problem
from proxyconf.sources._file_nodes import DEPTH_LIMIT, too_deep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxyconf.sources._file_nodes import Remark, Tree

_SIZE_LIMIT_MIB = 32
_NODE_SIZE = 100  # what a node costs besides its name and value, roughly


def read_tree(text: str, path: str, source: str) -> tuple[dict[str, Entry], tuple[Problem, ...]]:
    """Return the keys, by their full names, and what is odd about single ones.

    What is not called JSON is taken for YAML.

    Raises:
        BadValueError: It can't be understood, or is too large once its aliases are followed.
    """
    tree, remarks = (_read_json if path.endswith(".json") else _read_yaml)(text)
    if not isinstance(tree, dict | None):
        raise BadValueError("holds no names (write NAME: VALUE)")
    flat = _Flat()
    flat.take("", tree)
    place = f"{source} {path}: "
    entries = {name: Entry(value, where=place + name) for name, value in flat.found.items()}
    return entries, tuple(Problem("file", f"{path}:{line}", why) for line, why in remarks)


def _read_yaml(text: str) -> tuple[Tree, Sequence[Remark]]:
    try:
        module = import_module("proxyconf.sources._file_yaml")
    except ImportError as exc:
        raise BadValueError("is YAML, for which PyYAML is missing (pip install 'proxyconf[yaml]')") from exc
    tree: tuple[Tree, Sequence[Remark]] = module.compose(text)
    return tree


def _read_json(text: str) -> tuple[Tree, Sequence[Remark]]:
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse), ()
    except json.JSONDecodeError as exc:
        raise BadValueError(f"is no JSON: {exc.msg} (at line {exc.lineno}, column {exc.colno})") from exc
    except RecursionError as exc:
        raise too_deep() from exc


def _refuse(constant: str) -> NoReturn:
    raise BadValueError(f"is no JSON: {constant} is no number (write it as a text)")


@dataclass(slots=True)
class _Flat:
    """The keys of one tree while they are collected.

    Attributes:
        found: Full name to value; of two values of one name, the later.
        size: What they take, in bytes. It bounds our work, too: a few lines of YAML can be a tree of billions
            of nodes, for its aliases may be nested.
    """

    found: dict[str, bytes] = field(default_factory=dict)
    size: int = 0

    def take(self, name: str, node: Tree, depth: int = 0) -> None:
        """Take *node* and all below it."""
        if depth > DEPTH_LIMIT:
            raise too_deep()
        self._pay(_NODE_SIZE + len(name))
        if isinstance(node, dict):
            for key, child in node.items():
                self.take(_join(name, key), child, depth + 1)
        elif isinstance(node, list):
            for number, child in enumerate(node):
                self.take(f"{name}/{number}", child, depth + 1)
        elif node is not None:
            value = self.found[name or "/"] = _value(node)
            self._pay(len(value))

    def _pay(self, size: int) -> None:
        self.size += size
        if self.size > _SIZE_LIMIT_MIB << 20:
            raise BadValueError(f"takes more than {_SIZE_LIMIT_MIB} MiB as keys (split it; mind its aliases)")


def _join(name: str, key: str) -> str:
    """Return the full name of *key* below *name*, cleaned as confd cleans it: ``a//b`` is ``a/b``."""
    if not key.isascii():  # JSON may hold half a character, which can be neither saved nor sent
        key = key.encode(errors="replace").decode()
    if key and "/" not in key and key not in (".", ".."):
        return f"{name}/{key}"
    clean = posixpath.normpath(f"{name}/{key}").strip("/")
    return f"/{clean}" if clean else ""


def _value(node: str | bytes | bool) -> bytes:  # noqa: FBT001 - a value, no switch
    if isinstance(node, bytes):
        return node
    return (node if isinstance(node, str) else str(node).lower()).encode(errors="replace")
