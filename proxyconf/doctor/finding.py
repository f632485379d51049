"""What was found, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import click
import msgspec

Level = Literal["ok", "warning", "wrong"]
_COLOURS: dict[Level, str] = {"ok": "green", "warning": "yellow", "wrong": "red"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        level: ``ok``; ``warning``: it works, but not in every case, or not as well as it could; ``wrong``.
        what: What was looked at: ``nginx``, ``state``, the name of a source.
        says: What was found.
        mend: What a person can do about it; "" where there is nothing to do, or to be known.
    """

    level: Level
    what: str
    says: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.says} ({self.mend})" if self.mend else self.says


Findings: TypeAlias = AsyncGenerator[Finding, None]


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at.

    Attributes:
        what: As of its findings.
        look: Yields them; raises a ProxyconfError for one that is wrong.
        timeout_s: How long that may take.
    """

    what: str
    look: Callable[[], Findings]
    timeout_s: float = 5.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``doctor --json``.

    Attributes:
        well: Nothing is wrong; there may be warnings.
        findings: In the order of the checks.
    """

    well: bool
    findings: tuple[Finding, ...]


def ok(what: str, says: str, mend: str = "") -> Finding:
    """Return that something is well."""
    return Finding(level="ok", what=what, says=says, mend=mend)


def warning(what: str, says: str, mend: str = "") -> Finding:
    """Return that something could be better."""
    return Finding(level="warning", what=what, says=says, mend=mend)


def wrong(what: str, says: str, mend: str = "") -> Finding:
    """Return that something is wrong."""
    return Finding(level="wrong", what=what, says=says, mend=mend)


def of_message(level: Level, what: str, message: str) -> Finding:
    """Return the finding that a message of ours tells; the mend is in parentheses at its end."""
    says, mend = _split(message)
    return Finding(level=level, what=what, says=says, mend=mend)


def _split(message: str) -> tuple[str, str]:
    """Return a message without what is in the parentheses at its end, and that."""
    depth = 0
    for at in range(len(message) - 1, -1, -1) if message.endswith(")") else ():
        depth += {")": 1, "(": -1}.get(message[at], 0)
        if depth == 0:
            return message[:at].rstrip(), message[at + 1 : -1]
    return message, ""


def report(findings: Sequence[Finding]) -> Report:
    """Return them with their sum."""
    return Report(well=all(one.level != "wrong" for one in findings), findings=tuple(findings))


def as_json(made: Report) -> str:
    """Return everything, indented."""
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode()


def as_text(made: Report) -> str:
    """Return a line for each finding, and one for their sum."""
    return "\n".join(_lines(made.findings))


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max((len(one.what) for one in findings), default=0)
    for one in findings:
        level = click.style(f"{one.level:<7}", fg=_COLOURS[one.level])
        yield f"{level}  {one.what:<{width}}  {one}"
    count = Counter(one.level for one in findings)
    warnings = "1 warning" if count["warning"] == 1 else f"{count['warning']} warnings"
    yield ""
    yield f"{count['wrong']} wrong, {warnings}, {count['ok']} ok"
