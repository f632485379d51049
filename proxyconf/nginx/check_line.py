"""Recognise a check command that is just ``nginx -t``: it can be asked about files that are not in place."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PROGRAMS = frozenset({"nginx", "openresty", "angie", "freenginx"})
_PLACEHOLDER = "{{"  # of confd: the staged file, or the destination
# What a shell takes as it stands, and output that is thrown away; all else is for a shell to run. `&>` is for
# bash: a plain sh puts nginx into the background, and passes whatever it says.
_TOKEN = re.compile(
    r"""[ \t]*+(?:
      (?: (?:[12]|&)?>{1,2}[ \t]*/dev/null | <[ \t]*/dev/null | [12]?>&[12] ) (?![^ \t<>&])
    | (?P<word> (?>(?: '[^']*' | "[^"$`\\]*" | \\[^\n] | [^\s'"\\$`;&|<>(){}*?\[\]~!#] )+) )
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class CheckLine:
    """A call of ``nginx -t``.

    Attributes:
        binary: The program.
        options: All but ``-c``, one by one; ``-T`` is ``-t`` here, which prints no secrets.
        conf: The main file, as given with ``-c``.
        prefix: The folder given with ``-p``.
        directives: Those given with ``-g``.
    """

    binary: str
    options: tuple[str, ...] = ("-t",)
    conf: Path | None = None
    prefix: Path | None = None
    directives: str = ""

    def argv(self, conf: Path) -> tuple[str, ...]:
        """Return the same call with *conf* as its main file."""
        return (self.binary, *self.options, "-c", str(conf))


def parse(command: str | Sequence[str]) -> CheckLine | None:
    """Return what *command* asks nginx; None where it does anything else, or names ``{{.src}}``.

    Args:
        command: A shell's line, or program and arguments.
    """
    if isinstance(command, str):
        words = _words(command.strip())
        words = words[1:] if words[:1] == ["exec"] else words
    else:
        words = list(command)
    if not words or Path(words[0]).name not in _PROGRAMS or any(_PLACEHOLDER in word for word in words):
        return None
    options = _options(words[1:])
    if "t" not in options:
        return None
    given = [(f"-{flag}", value) for flag, value in options.items() if value and flag in "pge"]
    return CheckLine(
        binary=words[0],
        options=("-t", *(["-q"] if "q" in options else []), *(word for pair in given for word in pair)),
        conf=_path(options.get("c", "")),
        prefix=_path(options.get("p", "")),
        directives=options.get("g", ""),
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _words(line: str) -> list[str]:
    """Return the words of a shell's line; none where a shell would do more than start a program."""
    words, end = [], 0
    while end < len(line):
        token = _TOKEN.match(line, end)
        if not token:
            return []
        if token["word"] is not None:
            words += shlex.split(token["word"])
        end = token.end()
    return words


def _options(words: Iterable[str]) -> dict[str, str]:
    """Read options as nginx does, the last of a kind wins; empty where nginx would not check anything."""
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return {}
        for place, flag in enumerate(word[1:], start=2):
            if flag in "cpge":
                value = word[place:] or next(rest, None)
                if value is None:
                    return {}
                options[flag] = value
                break
            if flag not in "tTq":
                return {}
            options[flag.lower()] = ""
    return options
