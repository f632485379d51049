"""What the refusals and failures of a Consul mean, in words that say how to mend them.

An answer has a status and a text, a request that fails has whatever aiohttp, OpenSSL and the kernel raise.
They are told apart here, once, and become `SourceError` or `SourceDeniedError`.
"""

from __future__ import annotations

import errno
import re
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.sources._failures import causes, system_reason, trim
from proxyconf.sources._tls import tls_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.sources._consul_connect import Server

_FOREIGN = (
    aiohttp.ClientError,
    OSError,  # TimeoutError is one
    UsageError,  # a certificate that was readable when we started
    msgspec.MsgspecError,
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an answer means.

    Attributes:
        pattern: Found in "STATUS TEXT".
        kind: What to raise.
        hint: The mend.
    """

    pattern: re.Pattern[str]
    kind: type[SourceError]
    hint: str


def _denied(pattern: str, hint: str) -> _Meaning:
    return _Meaning(re.compile(pattern), SourceDeniedError, hint)


def _lost(pattern: str, hint: str) -> _Meaning:
    return _Meaning(re.compile(pattern), SourceError, hint)


# the first that is found counts
_MEANINGS = (
    _denied("HTTPS server", "write https:// in endpoints, and set ca, cert and key as needed"),
    _denied("^403 .*ACL not found", "no such token: check token or token_file, and datacenter"),
    _denied(
        "^403",
        'let the policy of the token read it: key_prefix "NAME" { policy = "read" }, or "list" where'
        " enable_key_list_policy is set; without a token, set token_file",
    ),
    _denied("^401", "set user, and password or password_file"),
    _lost("No path to datacenter", "check datacenter"),
    _lost("[Nn]ot ready to serve consistent reads", "its leader is a new one, and will be ready soon"),
    _lost("No cluster leader|rpc error", "Consul's servers, or most of them, are down or cut off"),
    _lost("^429", "Consul limits its clients: let fewer connect, or raise its limits"),
    _lost("^(?:404|3..)", "is it Consul's HTTP API? check endpoints"),
    _lost("", "see Consul's log"),
)


def refusal(operation: str, server: Server, status: int, text: str) -> SourceError:
    """Return the error that an answer with *status* and *text* stands for."""
    said = trim(f"{status} {re.sub(r'<[^>]*>', ' ', text)}")  # a proxy answers with a page
    meaning = next(one for one in _MEANINGS if one.pattern.search(said))
    return meaning.kind(f"{operation} at {server.url}: {said} ({meaning.hint})")


@contextmanager
def translated(operation: str, server: Server) -> Iterator[None]:
    """Turn whatever a failed request raises into a `SourceError` that names *operation* and the endpoint."""
    try:
        yield
    except _FOREIGN as exc:
        kind, reason = _explain(exc, server)
        raise kind(f"{operation} at {server.url}: {reason}") from exc


def _explain(exc: Exception, server: Server) -> tuple[type[SourceError], str]:
    if isinstance(exc, UsageError):
        return SourceDeniedError, str(exc)
    if isinstance(exc, msgspec.MsgspecError):
        return SourceError, f"the answer is not Consul's: {trim(str(exc))} (check endpoints)"
    chain = causes(exc)
    if any(isinstance(cause, TimeoutError) for cause in chain):
        return SourceError, "no answer in time (Consul or the network hangs; timeout sets how long we wait)"
    for cause in reversed(chain):  # the innermost says most
        if isinstance(cause, ssl.SSLError):
            return SourceDeniedError, tls_reason(str(cause), who="Consul", at="endpoints")
    for cause in reversed(chain):
        if isinstance(cause, OSError) and cause.errno:
            return _network(cause, server)
    return _cut(trim(str(exc)) or type(exc).__name__, server)


def _network(exc: OSError, server: Server) -> tuple[type[SourceError], str]:
    reason = system_reason(exc)
    if exc.errno in (errno.ECONNRESET, errno.EPIPE):
        return _cut(reason, server)
    return SourceError, f"{reason} (does Consul listen there? check endpoints)"


def _cut(reason: str, server: Server) -> tuple[type[SourceError], str]:
    # TLS 1.3 tells of a refused certificate after the handshake, when a reset may overtake it
    hint = "; or it refuses our certificate: check cert and key" if server.secure else ""
    return SourceError, f"connection lost: {reason} (Consul stopped, or the network cut it{hint})"
