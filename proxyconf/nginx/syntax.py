"""Read nginx's configuration language far enough to find directives: somebody else's files, never our own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# As nginx reads it: a quote, a hash or a closing brace is special only where a word may start. What is once
# matched is never given back (`(?>…)`), or nonsense would take for ever. No `)*+` behind a group with
# alternatives: before Python 3.11.5 it does not match what it should (gh-106052), and Debian 12 has 3.11.2.
_WORD = r"""(?:
      "(?>(?:[^"\\]++|\\.)*)" | '(?>(?:[^'\\]++|\\.)*)'
    | (?:[^\ \t\r\n;{}"'\\$\#]|\\.|\$\{?+) (?>(?:[^\ \t\r\n;{\\$]++|\\.|\$\{?+)*)
)"""
_GAP = r"(?:[\ \t\r\n]++|\#[^\n]*+)"
_GAPS = rf"(?>{_GAP}*)"
_TOKEN = re.compile(rf"{_GAP} | (?P<word>{_WORD}) | (?P<mark>[;{{}}]) | .", re.VERBOSE | re.DOTALL)
_INCLUDE = rf"""(?:include|"include"|'include') [\ \t\r\n]{_GAPS} (?P<pattern>{_WORD}) {_GAPS} ;"""
_OTHER = rf"""
    {_GAP} | [;{{}}] | (?!{_INCLUDE.replace("?P<pattern>", "?:")})
    (?: {_WORD} (?>(?:{_GAPS} {_WORD})*) | ["'\\] )
"""
# all up to the next include in one step: ten times faster than word by word, which counts where a template
# writes a thousand servers
_NEXT_INCLUDE = re.compile(rf"(?>(?:{_OTHER})*) (?P<include>{_INCLUDE})?", re.VERBOSE | re.DOTALL)
_ESCAPE = re.compile(r"""\\(["'\\trn])""")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}
_LUA_BLOCK = re.compile(r"_by_lua_block\b[^#;{}]*\{")
_LUA_TOKEN = re.compile(
    r"""
    (?:--)? \[(?P<level>=*)\[ .*? \](?P=level)\] | --[^\n]* | (?P<brace>[{}])
    | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
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


@dataclass(frozen=True, slots=True)
class Include:
    """An ``include``, in whatever block.

    Attributes:
        pattern: What it includes, without quotes.
        start: Where it starts in the text.
        end: Where it ends, behind its semicolon.
    """

    pattern: str
    start: int
    end: int


def statements(text: str) -> Iterator[Statement]:
    """Yield the directives of *text* in order, a block's opening before its content.

    Text that nginx would refuse gives some statements, never an error: nginx itself is asked about it.
    """
    words: list[str] = []
    context: list[str] = []
    start = 0
    for token in _TOKEN.finditer(_without_lua(text)):
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


def includes(text: str) -> Iterator[Include]:
    """Yield the includes among the `statements` of *text*, in order."""
    if "include" in text:
        for found in _NEXT_INCLUDE.finditer(_without_lua(text)):
            if found["include"]:
                yield Include(_plain(found["pattern"]), *found.span("include"))


def _plain(word: str) -> str:
    bare = word[1:-1] if word[0] in "\"'" and word[-1] == word[0] and len(word) > 1 else word
    return _ESCAPE.sub(lambda found: _CONTROLS.get(found[1], found[1]), bare)


def _without_lua(text: str) -> str:
    """Return a text of the same length in which blocks of Lua, another language, are empty."""
    pieces = []
    end = 0
    while block := _LUA_BLOCK.search(text, end):
        pieces.append(text[end : block.end()])
        end = block.end()
        line = text.rfind("\n", 0, block.start()) + 1
        if "#" not in text[line : block.start()]:  # else it is commented out
            end = _end_of_lua(text, end)
            pieces.append(re.sub(r"[^\n]", " ", text[block.end() : end]))
    return "".join([*pieces, text[end:]]) if pieces else text


def _end_of_lua(text: str, start: int) -> int:
    """Return where the brace stands that closes the block whose content starts at *start*."""
    depth = 1
    for token in _LUA_TOKEN.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token["brace"] or "", 0)
        if not depth:
            return token.start()
    return len(text)
