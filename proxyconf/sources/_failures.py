"""What lies below a failed request: aiohttp wraps what OpenSSL and the kernel say, asyncio rewords it."""

from __future__ import annotations

import os

_TEXT_MAX = 200


def causes(exc: BaseException) -> list[BaseException]:
    """Return *exc* and all that it came from, the innermost, which says most, last."""
    found: list[BaseException] = []
    cause: BaseException | None = exc
    while cause and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def system_reason(exc: OSError) -> str:
    """Return the system's words for an error: asyncio puts the address in their place."""
    if exc.errno is None or exc.errno < 0:  # of name resolution
        return trim(str(exc.strerror)).lower()
    return os.strerror(exc.errno).lower()


def trim(text: str) -> str:
    """Return *text* on one line of at most 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_MAX else line[: _TEXT_MAX - 3] + "..."
