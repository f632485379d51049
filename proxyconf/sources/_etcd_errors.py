"""What the refusals and failures of an etcd mean, in words that say how to mend them.

gRPC has one code, UNAVAILABLE, for everything from a refused connection to a wrong certificate, and etcd
wraps some refusals into an answer; only the text tells. It is read here, once, and becomes a `SourceError`
or a `SourceDeniedError`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.sources._etcd_connect import ANSWER_BYTES_MAX, PAGE
from proxyconf.sources._etcd_rpc import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.sources._etcd_connect import Server

_TEXT_MAX = 200
_FOREIGN = (
    grpc.aio.AioRpcError,
    grpc.aio.InternalError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a text means.

    Attributes:
        pattern: Found in the text, or in gRPC's status before it.
        kind: What to raise.
        reason: What to say instead; ``{}`` is the pattern's group.
        hint: The mend.
    """

    pattern: re.Pattern[str]
    kind: type[SourceError]
    reason: str
    hint: str


def _denied(pattern: str, reason: str, hint: str) -> _Meaning:
    return _Meaning(re.compile(pattern), SourceDeniedError, reason, hint)


def _lost(pattern: str, reason: str, hint: str) -> _Meaning:
    return _Meaning(re.compile(pattern), SourceError, reason, hint)


_CLIENT_CERTIFICATE = "set cert and key to ones of an authority that etcd trusts, see its --trusted-ca-file"
# the first that is found counts
_MEANINGS = (
    _denied("invalid user ID or password", "wrong user or password", "check user, and password or its file"),
    _denied("user name is empty", "etcd asks for a user", "set user, and password or password_file"),
    _denied(
        "authentication is not enabled",
        "etcd's authentication is off",
        "leave user and password out, or run: etcdctl auth enable",
    ),
    _denied(
        "permission denied",
        "permission denied",
        "let a role of the user read it: etcdctl role grant-permission ROLE --prefix=true read PREFIX",
    ),
    _denied(
        "CERTIFICATE_VERIFY_FAILED: (.*(?:expired|not yet valid)[^:]*)",
        "TLS: {}",
        "renew etcd's certificate, or set the clock",
    ),
    _denied(
        "CERTIFICATE_VERIFY_FAILED(?:: )?([^:]*)",
        "TLS: etcd's certificate is of no authority that we trust: {}",
        "set ca to the authority that signed it",
    ),
    _denied(
        "Hostname Verification|Peer name .* is not in peer certificate",
        "TLS: etcd's certificate is for another name",
        "use a name or address in endpoints that it has",
    ),
    _denied(
        r"(\w*_ALERT_(?:\w*CERT\w*|UNKNOWN_CA|ACCESS_DENIED))",
        "TLS: etcd refuses our certificate, or that we show none: {}",
        _CLIENT_CERTIFICATE,
    ),
    # TLS 1.3 refuses a client's certificate after the handshake, and gRPC then cannot read the alert
    _denied(
        r"(TSI_DATA_CORRUPTED)",
        "TLS: etcd seems to refuse our certificate, or that we show none: {}",
        _CLIENT_CERTIFICATE,
    ),
    _denied(
        "Failed to create security handshaker", "TLS: gRPC cannot use our certificate", "check cert and key"
    ),
    _denied(
        r"TSI_.*OPENSSL_internal:([^:]+)|(TSI_\w+)", "TLS: {}", "check that endpoints, ca, cert and key fit"
    ),
    _lost("[Cc]onnection refused", "connection refused", "is etcd running there? check endpoints"),
    _lost(
        "(?:errors resolving|DNS resolution failed for) ([^ :]*)",
        "no address for the name {}",
        "check endpoints, and the resolver",
    ),
    _lost("http1.x|UNIMPLEMENTED", "what answers is no etcd v3", "check endpoints"),
    _lost(
        "failed to connect.*(Socket closed|reset by peer)",
        "hung up on us: {}",
        "etcd stops; or only one of us speaks TLS: write https:// or http:// in endpoints",
    ),
    _lost("failed to connect.*last error: (.*)", "cannot connect: {}", "check endpoints"),
    _lost("no leader", "the cluster has no leader", "most of its members are down or cut off"),
    _lost("required revision has been compacted", "the history was compacted meanwhile", "it is listed anew"),
    _lost(
        "DEADLINE_EXCEEDED|TimeoutError|request timed out",
        "no answer in time",
        "etcd hangs or has no leader, or the network drops packets; timeout sets how long we wait",
    ),
    _lost(
        "larger than max",
        f"{PAGE} keys are more than {ANSWER_BYTES_MAX >> 20} MiB",
        "are all these keys meant for proxyconf?",
    ),
    _lost(
        r"UNAVAILABLE: (?:Stream removed \()?([^()]*)",
        "connection lost: {}",
        "etcd stopped, or the network cut it",
    ),
)


@contextmanager
def translated(operation: str, server: Server) -> Iterator[None]:
    """Turn whatever a failed call raises into a `SourceError` that names *operation* and the endpoint."""
    try:
        yield
    except _FOREIGN as exc:
        raise explain(_text(exc), operation, server) from exc


def explain(text: str, operation: str, server: Server) -> SourceError:
    """Return the error that *text* stands for: a status of gRPC, or etcd's reason to cancel a watch."""
    line = " ".join(text.split())
    for meaning in _MEANINGS:
        if found := meaning.pattern.search(line):
            detail = next((group for group in found.groups() if group), "")
            reason = _trim(meaning.reason.format(detail)).rstrip(": ")
            return meaning.kind(f"{operation} at {server.url}: {reason} ({meaning.hint})")
    return SourceError(f"{operation} at {server.url}: {_trim(line)}")


def _text(exc: Any) -> str:  # noqa: ANN401 - grpc has no types
    if isinstance(exc, grpc.aio.AioRpcError):
        return f"{exc.code().name}: {exc.details()}"
    return f"{type(exc).__name__}: {exc}"


def _trim(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 3] + "..."
