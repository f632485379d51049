"""Finds Go's template syntax in a template that Jinja could not read, and says what Jinja2 has for it. Pure.

It serves a message, no more: what it can't translate, it only names.
"""

from __future__ import annotations

import re
from typing import NamedTuple

GUIDE = "see docs/from-confd.md"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_KEYWORD = re.compile(
    r"(range|if|with|else|end|template|define|block|break|continue|include)\b\s*(.*)", re.DOTALL
)
_ASSIGNED = re.compile(r"\$(\w+)(?:\s*,\s*\$(\w+))?\s*:?=\s*(.*)", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:\\.|[^"\\])*"|`[^`]*`) | (?P<number>-?\d+(?:\.\d+)?)
        | (?P<variable>\$[\w.]*) | (?P<member>(?<=\))\.\w[\w.]*) | (?P<field>\.[\w.]*)
        | (?P<name>[A-Za-z_]\w*)(?![\w.]) | (?P<sign>[()|])
    )""",
    re.VERBOSE,
)
# a dot, a variable or a comment of Go's, or a function with arguments side by side
_GO = re.compile(
    r"""/\* | \$\w | :=
        | ^(?:range|if|with|else\ if|template|define|block|include)\s+["`$.(\w]
        | ^(?:end|else|break|continue)$
        | (?:^|[\s(|])\.(?:[A-Za-z_]|\s|$)
        | ^(?!not\b|if\b)[A-Za-z_]\w*\s+["`(\d]""",
    re.VERBOSE,
)
_INFIX = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and": "and", "or": "or"}
_WORDS = {"true": "true", "false": "false", "nil": "none"}
_OF_PAIRS = re.compile(r"(?:reverse\s*\(?|sortKVByLength\s*\(?|\s)*gets\b")
_ALIKE = {"end": "{% endfor %} or {% endif %}", "break": "{% break %}", "continue": "{% continue %}"}
_SHOWN = 60


class Found(NamedTuple):
    """An action in Go's syntax: its line, from 1, and what to say of it."""

    line: int
    message: str


class _UnknownError(Exception):
    """What is obvious to a person only."""


def find(source: str, line: int) -> Found | None:
    """Return what is in Go's syntax on the *line* of an error.

    In a source without any tag of Jinja's, the first such action will do.
    """
    found = [
        (source.count("\n", 0, action.start()) + 1, action[0], action[1])
        for action in _ACTION.finditer(source)
        if _GO.search(action[1])
    ]
    here = [each for each in found if each[0] <= line <= each[0] + each[1].count("\n")]
    if not here and "{%" in source:
        return None
    for at, action, inner in here or found[:1]:
        written = " ".join(action.split())
        shown = written if len(written) <= _SHOWN else f"{written[: _SHOWN - 3]}..."
        ours = translated(inner)
        hint = f"in Jinja2 write {ours}; {GUIDE}" if ours else GUIDE
        return Found(at, f"{shown} is in Go's template syntax ({hint})")
    return None


def translated(action: str) -> str:
    """Return what Jinja2 has for the inside of an *action*, or "" where that is not obvious."""
    try:
        return _translated(action)
    except _UnknownError:
        return ""


def _translated(action: str) -> str:
    if action.startswith("/*"):
        return f"{{# {action[2:].removesuffix('*/').strip()} #}}"
    if assigned := _ASSIGNED.fullmatch(action):
        return f"{{% set {assigned[1]} = {_expression(assigned[3])} %}}"
    keyword = _KEYWORD.fullmatch(action)
    if keyword:
        return _statement(keyword[1], keyword[2])
    return f"{{{{ {_expression(action)} }}}}"


def _statement(keyword: str, rest: str) -> str:
    if keyword in _ALIKE:
        return _ALIKE[keyword]
    if keyword == "if":
        return f"{{% if {_expression(rest)} %}}"
    if keyword == "else":
        return f"{{% elif {_expression(rest[2:])} %}}" if rest.startswith("if") else "{% else %}"
    if keyword == "range":
        return _loop(rest)
    return _block(keyword, rest)


def _block(keyword: str, rest: str) -> str:
    if keyword == "with":
        assigned = _ASSIGNED.fullmatch(rest)
        name, value = (assigned[1], assigned[3]) if assigned else ("pair", rest)
        return f"{{% set {name} = {_expression(value)} %}}"
    file = _TOKEN.match(rest)
    if keyword in ("define", "block") or not (file and file["text"]):
        raise _UnknownError
    return f"{{% include {file['text']} %}}"


def _loop(rest: str) -> str:
    assigned = _ASSIGNED.fullmatch(rest)
    over = assigned[3] if assigned else rest
    name = (assigned[2] or assigned[1]) if assigned else ("pair" if _OF_PAIRS.match(over) else "item")
    return f"{{% for {name} in {_expression(over)} %}}"


def _expression(text: str) -> str:
    """Return a pipeline as an expression."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if not found or found.lastgroup is None:
            raise _UnknownError
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    expression = _pipeline(tokens)
    if tokens:
        raise _UnknownError
    return expression


def _pipeline(tokens: list[tuple[str, str]]) -> str:
    """Take a pipeline from the front of *tokens*; what comes through a pipe is the last argument."""
    value = _command(tokens, ())
    while tokens[:1] == [("sign", "|")]:
        del tokens[0]
        value = _command(tokens, (value,))
    return value


def _command(tokens: list[tuple[str, str]], piped: tuple[str, ...]) -> str:
    is_name = tokens[:1] and tokens[0][0] == "name" and tokens[0][1] not in _WORDS
    name = tokens.pop(0)[1] if is_name else ""
    operands = []
    while tokens and tokens[0] not in (("sign", ")"), ("sign", "|")):
        operands.append(_operand(tokens))
    if name:
        return _call(name, [*operands, *piped])
    if len(operands) != 1 or piped:
        raise _UnknownError
    return operands[0]


def _operand(tokens: list[tuple[str, str]]) -> str:
    kind, written = tokens.pop(0)
    if kind == "sign":
        inner = _pipeline(tokens)
        if tokens[:1] != [("sign", ")")]:
            raise _UnknownError
        del tokens[0]
        return inner + (tokens.pop(0)[1] if tokens[:1] and tokens[0][0] == "member" else "")
    if kind == "field":
        return "item" if written == "." else f"pair{written}"
    if kind == "variable":
        return written[1:]
    if kind == "name":
        return _WORDS.get(written) or f"{written}()"
    return f'"{written[1:-1]}"' if written.startswith("`") else written


def _call(name: str, args: list[str]) -> str:
    grouped = [f"({arg})" if re.search(r" (?:[=!<>]=?|and|or) |^not ", arg) else arg for arg in args]
    if name in _INFIX and len(args) >= 2:
        return f" {_INFIX[name]} ".join(grouped)
    if name == "not" and len(args) == 1:
        return f"not {grouped[0]}"
    if name == "len" and len(args) == 1:
        return f"{grouped[0]}|length"
    if name == "index" and len(args) >= 2:
        return grouped[0] + "".join(f"[{arg}]" for arg in args[1:])
    if name == "printf" and args:
        return f"{args[0]}|format({', '.join(args[1:])})"
    return f"{name}({', '.join(args)})"
