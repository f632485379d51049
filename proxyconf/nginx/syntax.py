"""Read nginx's configuration language far enough to find directives: somebody else's files, never our own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    \s+ | \#[^\n]*
    | (?P<word> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
                | (?:\\.|\$\{|[^\s;{}"'\\])(?:\\.|\$\{|(?<=\$\{)[^}]*\}|[^\s;{}\\])* )
    | (?P<mark> [;{}] )
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A directive.

    Attributes:
        words: Its name and arguments, without quotes.
        context: The names of the blocks around it, outermost first.
        start: Where it starts in the text.
        end: Where it ends: behind its semicolon, or its opening brace.
    """

    words: tuple[str, ...]
    context: tuple[str, ...]
    start: int
    end: int

    @property
    def name(self) -> str:
        """The directive's name."""
        return self.words[0]


def statements(text: str) -> Iterator[Statement]:
    """Yield the directives of *text* in order, a block's opening before its content.

    Text that nginx would refuse gives some statements, never an error: nginx itself is asked about it.
    """
    words: list[str] = []
    context: list[str] = []
    start = 0
    for token in _TOKEN.finditer(text):
        word, mark = token["word"], token["mark"]
        if word is not None:
            start = token.start() if not words else start
            words.append(_plain(word))
        elif mark == "}":
            words = []
            del context[-1:]
        elif mark and words:
            yield Statement(tuple(words), tuple(context), start, token.end())
            if mark == "{":
                context.append(words[0])
            words = []


def _plain(word: str) -> str:
    bare = word[1:-1] if word[0] in "\"'" and word[-1] == word[0] and len(word) > 1 else word
    return re.sub(r"\\(.)", r"\1", bare, flags=re.DOTALL)
