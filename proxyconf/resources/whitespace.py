"""White space around tags goes by whole lines. Pure.

A line that has tags or comments (``{% %}``, ``{# #}``), and nothing else but white space, is not in the
output. Every other line keeps its white space and its line break. (Jinja's own ``trim_blocks`` looks at a
tag, not at its line: behind ``# mode {% if x %}on{% endif %}`` the line break goes, and what is on the next
line becomes a comment.)

Signs count as they do in Jinja: on the side of a ``-`` all white space goes, also that of further lines, and
on the side of a ``+`` it stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# In a mask, x stands for text and {{ }}, t for a tag; the end of a tag is an s if there is a sign, that of
# {% raw %} an r.
_TAG_LINE = re.compile(r"^ *[tsr][tsr ]*$\n?", re.MULTILINE)
_GAP = re.compile(r"(?<![s ]) *\n|(?<![s ]) +(?![s ])")  # of such a line, and without a sign beside it
_BREAK = "{#\n#}"  # for a line break: prints nothing, and the lines of errors stay those of the file
_BREAK_OF_RAW = f"{{% endraw %}}{_BREAK}{{% raw %}}"
_OPENING = ("block_begin", "comment_begin", "variable_begin")
_CLOSING = ("block_end", "comment_end", "variable_end")
_WHOLE = ("raw_begin", "raw_end")


class _Tag(NamedTuple):
    start: int
    end: int
    mask: str


def by_lines(source: str, tokens: Iterable[tuple[int, str, str]]) -> str:
    r"""Return a template that renders by lines, as above, where Jinja trims nothing by itself.

    Args:
        source: The template as it is written, its lines ended by ``\n``.
        tokens: Those of `jinja2.Environment.lex` for it.
    """
    mask = _mask(source, _tags(source, tokens))
    parts, at = [], 0
    for line in _TAG_LINE.finditer(mask):
        for gap in _GAP.finditer(mask, *line.span()):
            parts.append(source[at : gap.start()])
            if gap[0].endswith("\n"):
                parts.append(_BREAK_OF_RAW if mask[gap.start() - 1] == "r" else _BREAK)
            at = gap.end()
    return "".join([*parts, source[at:]])


def _mask(source: str, tags: Iterable[_Tag]) -> str:
    """Return what is where in the source, of the same length."""
    parts, at = [], 0
    for tag in tags:
        parts += [_mask_of_text(source[at : tag.start]), tag.mask]
        at = tag.end
    return "".join([*parts, _mask_of_text(source[at:])])


def _mask_of_text(text: str) -> str:
    return re.sub(r"[^\S\n]", " ", re.sub(r"\S", "x", text))


def _tags(source: str, tokens: Iterable[tuple[int, str, str]]) -> Iterator[_Tag]:
    at = start = 0
    opening = ""
    for _, kind, token in tokens:
        found = source.index(token, at)  # between tokens is what a "-" has stripped
        at = found + len(token)
        if kind in _OPENING or kind in _WHOLE:
            start, opening = found, token
        if kind in _CLOSING or kind in _WHOLE:
            closing = token.rstrip()  # of what a "-" has stripped behind the tag
            end = found + len(closing)
            yield _Tag(start, end, _mask_of_tag(kind, opening, closing, end - start))


def _mask_of_tag(kind: str, opening: str, closing: str, length: int) -> str:
    if kind == "variable_end":
        return "x" * length
    first, last = (sign in ("-", "+") for sign in (opening[2:3], closing[-3:-2]))
    end = "s" if last else "r" if kind == "raw_begin" else "t"
    return ("s" if first else "t") + "t" * (length - 2) + end
