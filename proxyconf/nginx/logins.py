"""The file of those who may log in by basic authentication."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError

if TYPE_CHECKING:
    from proxyconf.options import Pairs

# nginx reads lines of name:hash, and passes over those that start with #
_NAME = re.compile(r"[^\s:#\x00-\x1f\x7f-\x9f\ud800-\udfff][^:\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,127}")
# what nginx and crypt() know, but for {PLAIN} and DES: the one is a password, the other looks like one
_HASH = re.compile(r"(?:\$(?:apr1|1|2[abxy]?|5|6|y|gy)\$|\{S?SHA\})[A-Za-z0-9./+=$,]{8,200}")


def logins(users: Pairs) -> bytes:
    """Return the content of a file for ``auth_basic_user_file``.

    Args:
        users: Names and password hashes.

    Raises:
        BadValueError: A name or a hash is none; the hash is not shown.
    """
    for name, digest in users:
        if not _NAME.fullmatch(name):
            raise BadValueError(
                f"user {name!r}: not allowed (no colon, no control character, no # at the start)"
            )
        if not _HASH.fullmatch(digest):
            raise BadValueError(
                f"user {name!r}: no password hash that nginx knows (htpasswd -nB {name} makes one)"
            )
    return "".join([f"{name}:{digest}\n" for name, digest in users]).encode()
