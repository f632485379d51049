"""The nonces by which nginx proves what it has loaded: one for each attempt."""

from __future__ import annotations

import re
import secrets

_DIGITS = 16
_FORM = re.compile(rf"[0-9a-f]{{{_DIGITS}}}-[0-9a-f]{{8}}")


def new_nonce(digest: str) -> str:
    """Return one for an attempt at the candidate with this *digest*, which is hexadecimal."""
    return f"{digest[:_DIGITS]}-{secrets.token_hex(4)}"


def is_nonce(text: str | None) -> bool:
    """Tell whether an answer is of the form of a nonce: others may answer, too, to whatever host."""
    return text is not None and _FORM.fullmatch(text) is not None
