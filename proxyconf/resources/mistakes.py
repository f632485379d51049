"""An exception out of a Jinja template to what a person needs to know: where, why, and how to mend it."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from proxyconf.resources.arguments import FunctionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

_SHOWN = 400
_NAME_SHOWN = 100
_UNDEFINED = re.compile(r"'(.+)' is undefined")
_NO_MEMBER = re.compile(r"'(?:[\w.]+\.)?(\w+) object' has no (attribute|element) (.+)", re.DOTALL)
_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_SET = re.compile(r"\{%-?\s*(?:set|for|macro|with)\s+(\w+)(?:\s*,\s*(\w+))?")
_UNKNOWN = re.compile(r"No (filter|test) named '(.+)'\.?")


class Place(NamedTuple):
    """Where a template went wrong; line 0 is the whole file."""

    file: str
    line: int


def place_of(exc: BaseException, files: Iterable[str], src: str) -> Place:
    """Return the innermost place in one of the template *files*, else the file *src*."""
    if isinstance(exc, TemplateSyntaxError):
        return Place(exc.filename or src, exc.lineno)
    known, place, at = set(files), Place(src, 0), exc.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename in known:  # Jinja puts frames of the template's lines there
            place = Place(at.tb_frame.f_code.co_filename, at.tb_lineno)
        at = at.tb_next
    return place


def reason(exc: BaseException, names: Collection[str], filters: Collection[str], folder: Path) -> str:
    """Return why, on one line.

    Args:
        exc: What the template raised.
        names: All names a template may use, for a likely spelling.
        filters: All filters.
        folder: Where templates are.
    """
    said = _cut(" ".join(str(exc).split()), _SHOWN)
    if isinstance(exc, TemplateNotFound):
        return f"there is no such template in {folder}: {said}"
    if isinstance(exc, SecurityError):
        return f"{said.rstrip('.')} (templates can neither change values nor reach into Python)"
    if isinstance(exc, UndefinedError):
        return _undefined(said, names)
    if unknown := _UNKNOWN.fullmatch(said):
        near = _near(unknown[2], filters if unknown[1] == "filter" else ())
        near = near or (f"write {unknown[2]}(...), for it is a function" if unknown[2] in names else "")
        return f"there is no {unknown[1]} {unknown[2]!r}" + (f" ({near})" if near else "")
    return said if isinstance(exc, FunctionError | TemplateSyntaxError) else _python(exc, said)


def names_set_in(source: str) -> set[str]:
    """Return the names that a template's own tags define, as far as that is easily seen."""
    return {name for found in _SET.findall(source) for name in found if name}


def _undefined(said: str, names: Collection[str]) -> str:
    if found := _UNDEFINED.fullmatch(said):
        hint = _near(found[1], names) or "set it first, or write a text in quotes"
        return f"{found[1]!r} is undefined ({hint})"
    if found := _NO_MEMBER.fullmatch(said):
        name = _cut(found[3], _NAME_SHOWN)
        mend = f" (write .get({name}) where it may be missing, or test it: ... is defined)"
        return f"a {found[1]} has no {found[2]} {name}{mend if found[1] == 'dict' else ''}"
    return said


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def _near(word: str, names: Collection[str]) -> str:
    folded = {name.lower(): name for name in sorted(names)}
    near = difflib.get_close_matches(word.lower(), folded, n=1)
    return f"did you mean {folded[near[0]]}?" if near else ""


def _python(exc: BaseException, said: str) -> str:
    if isinstance(exc, RecursionError):
        return "templates include, or macros call, each other without end"
    if isinstance(exc, MemoryError):
        return "it would need more memory than there is"
    if isinstance(exc, UnicodeEncodeError):
        return "half a surrogate pair is printed (a value in JSON has one, such as \\ud800)"
    if isinstance(exc, ValueError):
        said = _QUOTED.sub("'...'", said)  # what it could not read, which may be a secret
    if "builtin_function_or_method" in said:
        said += "; a name in data that is also a dictionary's own, such as items, is written data['items']"
    return f"{said} ({type(exc).__name__})" if said else type(exc).__name__
