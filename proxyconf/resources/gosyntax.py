"""Finds Go's template syntax in a template that Jinja could not read, and says what Jinja2 has for it. Pure.

It serves a message, no more: what it can't translate, it only names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
_QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
# a dot, a variable or a comment of Go's, or a function with arguments side by side
_GO = re.compile(
    r"""/\* | \$ | :=
        | ^(?:range|if|with|else\ if|template|define|block|include)\s+["`$.(\w]
        | ^(?:end|else|break|continue)$
        | (?:^|[\s(|])\.(?:[A-Za-z_]|\s|$)
        | ^(?!not\b|if\b)[A-Za-z_]\w*\s+["`(\d]""",
    re.VERBOSE,
)
_INFIX = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and": "and", "or": "or"}
_WORDS = {"true": "true", "false": "false", "nil": "none"}
_OF_PAIRS = re.compile(r"(?:reverse\s*\(?|sortKVByLength\s*\(?|\s)*gets\b")
_OF_LISTS = re.compile(
    r"[\s(]*(?:append|gets|getvs|jsonArray|keys|list|lookup\w+|ls|lsdir|pluck|reverse|seq|sort\w+|split|values)\b"
)
_ALIKE = {"end": "{% endfor %} or {% endif %}", "break": "{% break %}", "continue": "{% continue %}"}
_ENDS = {"if": "{% endif %}", "range": "{% endfor %}", "with": "{% endwith %}", "define": "", "block": ""}
_SHOWN = 60
_ACTIONS_MAX = 20


class Action(NamedTuple):
    """An action in Go's syntax.

    Attributes:
        line: Where it starts, from 1.
        last: The line it ends in.
        written: As it is written, in one line, shortened.
        ours: What Jinja2 has for it; "" where that is not obvious.
    """

    line: int
    last: int
    written: str
    ours: str


class Found(NamedTuple):
    """What is in Go's syntax: the first line of it, from 1, and what to say of all."""

    line: int
    message: str


class _Scope(NamedTuple):
    """What an action is within.

    Attributes:
        end: What ends it.
        dot: The name that the dot has with us; "" if that is not known.
        counter: The name of a loop's index; "" if it has none.
    """

    end: str = ""
    dot: str = ""
    counter: str = ""


class _Loop(NamedTuple):
    """A range: the names it sets, what it goes over, and its scope."""

    names: str
    over: str
    scope: _Scope


class _UnknownError(Exception):
    """What is obvious to a person only."""


def find(source: str, line: int) -> Found | None:
    """Return what is in Go's syntax, if the error on *line* is due to that.

    In a source without any tag of Jinja's it is, wherever the error is.
    """
    found = list(actions(source))
    if not found or ("{%" in source and not any(each.line <= line <= each.last for each in found)):
        return None
    return Found(found[0].line, _message(found))


def actions(source: str) -> Iterator[Action]:
    """Yield all actions in Go's syntax."""
    scopes = [_Scope()]
    for action in _ACTION.finditer(source):
        inner = action[1]
        if not _GO.search(_QUOTED.sub('""', inner)):  # a text of ours may well have a $ in it
            continue
        if inner == "end" and len(scopes) > 1:
            ours = scopes.pop().end
        else:
            ours = translated(inner, scopes[-1])
            if (opening := _KEYWORD.fullmatch(inner)) and opening[1] in _ENDS:
                scopes.append(_inside(opening[1], opening[2], scopes[-1]))
        line = source.count("\n", 0, action.start()) + 1
        yield Action(line, line + action[0].count("\n"), _one_line(action[0]), ours)


def translated(action: str, within: _Scope = _Scope()) -> str:  # noqa: B008 - immutable
    """Return what Jinja2 has for the inside of an *action*, or "" where that is not obvious."""
    try:
        return _translated(action, within)
    except _UnknownError:
        return ""


def _message(found: Sequence[Action]) -> str:
    if len(found) == 1:
        hint = f"in Jinja2 write {found[0].ours}; {GUIDE}" if found[0].ours else GUIDE
        return f"{found[0].written} is in Go's template syntax ({hint})"
    lines: dict[str, dict[int, None]] = {}
    for action in found:
        told = f"{action.written} -> {action.ours}" if action.ours else action.written
        lines.setdefault(told, {})[action.line] = None
    each = [f"line{'s' * (len(at) > 1)} {', '.join(map(str, at))}: {told}" for told, at in lines.items()]
    if len(each) > _ACTIONS_MAX:
        each[_ACTIONS_MAX:] = [f"and {len(each) - _ACTIONS_MAX} more"]
    hint = f"Jinja2's is behind each arrow; {GUIDE}"
    return f"{len(found)} actions are in Go's template syntax ({hint}): {'; '.join(each)}"


def _one_line(action: str) -> str:
    written = " ".join(action.split())
    return written if len(written) <= _SHOWN else f"{written[: _SHOWN - 3]}..."


def _inside(keyword: str, rest: str, within: _Scope) -> _Scope:
    """Return the scope that an action opens."""
    end = _ENDS[keyword]
    if keyword == "if":
        return within._replace(end=end)
    if keyword == "range":
        return _loop(rest).scope
    return _Scope(end, _with(rest)[0] if keyword == "with" else "")


def _translated(action: str, within: _Scope) -> str:
    if action.startswith("/*"):
        comment = f"{{# {action[2:].removesuffix('*/').strip()} #}}"
        return comment if len(comment) <= _SHOWN and "\n" not in comment else "{# ... #}"
    if assigned := _ASSIGNED.fullmatch(action):
        return f"{{% set {assigned[1]} = {_expression(assigned[3], within)} %}}"
    keyword = _KEYWORD.fullmatch(action)
    if keyword:
        return _statement(keyword[1], keyword[2], within)
    return f"{{{{ {_expression(action, within)} }}}}"


def _statement(keyword: str, rest: str, within: _Scope) -> str:
    if keyword in _ALIKE:
        return _ALIKE[keyword]
    if keyword == "if":
        return f"{{% if {_expression(rest, within)} %}}"
    if keyword == "else":
        return f"{{% elif {_expression(rest[2:], within)} %}}" if rest.startswith("if") else "{% else %}"
    if keyword == "range":
        loop = _loop(rest)
        items = "" if len(loop.names.split()) == 1 else ".items()"
        return f"{{% for {loop.names} in {_expression(loop.over, within)}{items} %}}"
    if keyword == "with":
        name, value = _with(rest)
        return f"{{% with {name} = {_expression(value, within)} %}}"
    file = _TOKEN.match(rest)
    if keyword in ("define", "block") or not (file and file["text"]):
        raise _UnknownError
    return f"{{% include {file['text']} %}}"


def _with(rest: str) -> tuple[str, str]:
    assigned = _ASSIGNED.fullmatch(rest)
    return (assigned[1], assigned[3]) if assigned else ("pair", rest)


def _loop(rest: str) -> _Loop:
    assigned = _ASSIGNED.fullmatch(rest)
    if not assigned:
        name = "pair" if _OF_PAIRS.match(rest) else "item"
        return _Loop(name, rest, _Scope(_ENDS["range"], name))
    first, second, over = assigned.groups()
    if not second:
        return _Loop(first, over, _Scope(_ENDS["range"], first))
    if _OF_LISTS.match(over.rpartition("|")[2]):
        return _Loop(second, over, _Scope(_ENDS["range"], second, first))
    return _Loop(f"{first}, {second}", over, _Scope(_ENDS["range"], second))  # a dictionary's, nearly always


def _expression(text: str, within: _Scope) -> str:
    """Return a pipeline as an expression."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if not found or found.lastgroup is None:
            raise _UnknownError
        tokens.append(_named(found.lastgroup, found[found.lastgroup], within))
        at = found.end()
    expression = _pipeline(tokens)
    if tokens:
        raise _UnknownError
    return expression


def _named(kind: str, written: str, within: _Scope) -> tuple[str, str]:
    """Return a token; the dot and a counter as the variables that they are with us."""
    if kind == "field":
        return "variable", within.dot or "item" if written == "." else f"{within.dot or 'pair'}{written}"
    if kind == "variable":
        name = written[1:]
        if not name or name.startswith("."):
            raise _UnknownError  # what the template was given, which confd's are not
        return kind, "loop.index0" if name == within.counter else name
    return kind, written


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
