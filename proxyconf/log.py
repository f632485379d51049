"""How the program speaks: one line per state change, for a terminal, for the journal, or as JSON."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from proxyconf.tables import Log

# what syslog(3) calls them; the journal takes them from a line's beginning
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}


class _Unbreakable:
    """A stream whose lines get lost where it can't take them: a full disk must not end what goes on well."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def set_up(settings: Log) -> None:
    """Send what is logged from now on to standard error, as *settings* say."""
    journal, terminal = leads_to_journal(sys.stderr), sys.stderr.isatty()
    text = settings.format == "text" or (settings.format == "auto" and (terminal or journal))
    console = structlog.dev.ConsoleRenderer(
        colors=terminal,
        pad_event_to=0 if journal else 18,
        sort_keys=False,
        # where the package rich is installed, the default would show variables, and so passwords
        exception_formatter=structlog.dev.plain_traceback,
    )
    form: list[Processor]
    if text and journal:  # which knows the time itself
        form = [_prioritised(console)]
    elif text:
        form = [structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False), console]
    else:
        json = structlog.processors.JSONRenderer()
        form = [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _prioritised(json, keep_level=True) if journal else json,
        ]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *form],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unbreakable(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def leads_to_journal(stream: TextIO) -> bool:
    """Tell whether systemd reads *stream*: JOURNAL_STREAM names what it gave us, by device and inode.

    The variable alone says nothing: whoever was started by us, or by a shell in a unit, has it, too.
    """
    given = os.environ.get("JOURNAL_STREAM", "")
    if not given:
        return False
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # no file at all, as in a test
        return False
    return given == f"{found.st_dev}:{found.st_ino}"


def _prioritised(render: Processor, *, keep_level: bool = False) -> Processor:
    """Return *render* with the level at the beginning of each line, in the form that the journal takes.

    Args:
        render: Makes a text of an event.
        keep_level: The text has it, too.
    """

    def prioritise(logger: WrappedLogger, name: str, event: EventDict) -> str:
        level = event["level"] if keep_level else event.pop("level")
        text = str(render(logger, name, event))
        # a traceback has many lines, and each is an entry of its own there
        return "\n".join(f"<{_PRIORITIES[level]}>{line}" for line in text.splitlines())

    return prioritise
