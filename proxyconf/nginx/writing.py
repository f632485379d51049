"""Tokens to directives: a writer that takes nothing but tokens, and literals of our own code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from proxyconf.nginx.quoting import Token, file, literal, matching, printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_INDENT = "    "
_PART = re.compile(r"[a-z]-[0-9a-f]{16}\.conf")
_MENTIONED = re.compile(r"[acopu]-[0-9a-f]{16}\.(?:conf|html|pem|users)")

T = TypeVar("T")


class Lines(str):
    """Whole directives, each with its line end. Made in this module only."""

    __slots__ = ()


def directive(name: str, *values: Token) -> Lines:
    """Return a directive.

    Args:
        name: A literal of our own code, or a token; several words are several tokens.
        values: What follows it.
    """
    return Lines(f"{_head(name, values)};\n")


def block(name: str, *values: Token, body: Iterable[Lines]) -> Lines:
    """Return a directive with a block; *name* as for `directive`."""
    inner = joined(body)
    # a line end can't be inside a token, so every one of them ends a line
    indented = f"{_INDENT}{inner[:-1].replace(chr(10), chr(10) + _INDENT)}\n" if inner else ""
    return Lines(f"{_head(name, values)} {{\n{indented}}}\n")


def comment(text: str) -> Lines:
    """Return a comment: a literal of our own code."""
    return Lines(f"# {printable(text)}\n")


def joined(lines: Iterable[Lines]) -> Lines:
    """Return all *lines* as one."""
    return Lines("".join(_each(lines, Lines)))


def includes(folder: Path, names: Iterable[str]) -> Lines:
    """Return an ``include`` for each part; *names* are their files within *folder*."""
    start = f"include {file(folder)[:-1]}/"
    return Lines("".join([f'{start}{_part(name)}";\n' for name in names]))


def mentions(names: Iterable[str]) -> Lines:
    """Name files that other parts refer to in comments, so that the root file tells all that must be kept."""
    names = (matching(_MENTIONED, name, "part", "this is our own mistake") for name in names)
    return Lines("".join([f"# parts/{name}\n" for name in names]))


def _head(name: str, values: tuple[Token, ...]) -> str:
    first = name if type(name) is Token else literal(name)
    return " ".join((first, *_each(values, Token))) if values else first


def _part(name: str) -> str:
    return matching(_PART, name, "part", "this is our own mistake")


def _each(values: Iterable[T], kind: type[T]) -> list[T]:
    """Refuse what mypy would have refused: the last line of defence is worth 50 ns."""
    checked = list(values)
    for value in checked:
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}: quote it")
    return checked
