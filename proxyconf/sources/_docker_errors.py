"""What the refusals and failures of an engine mean, in words that say how to mend them.

aiohttp, aiodocker, OpenSSL and the kernel each have their own exceptions for these, and aiodocker hides some
in the text of others. They are told apart here, once, and become `SourceError` or `SourceDeniedError`.
"""

from __future__ import annotations

import errno
import re
import ssl
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiodocker.exceptions import DockerError

from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.sources._failures import causes, system_reason, trim
from proxyconf.sources._tls import tls_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.sources._docker_connect import Address

_FOREIGN = (
    aiohttp.ClientError,
    DockerError,
    OSError,  # TimeoutError is one
    UsageError,  # a certificate that was readable when we started
    # aiodocker, and our reading, of an answer that is not what an engine says
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


@contextmanager
def translated(operation: str, address: Address) -> Iterator[None]:
    """Turn whatever a failed request raises into a `SourceError` that names *operation* and the engine."""
    try:
        yield
    except _FOREIGN as exc:
        kind, reason = _explain(exc, operation, address)
        raise kind(f"{operation} {address.url}: {reason}") from exc


def status_text(exc: DockerError) -> str:
    """Return what an engine, or a proxy before it, answers instead."""
    return f"{exc.status} {trim(re.sub(r'<[^>]*>', ' ', str(exc.message)))}"  # a proxy's page is HTML


def _explain(exc: Exception, operation: str, address: Address) -> tuple[type[SourceError], str]:
    if isinstance(exc, DockerError) and exc.status < 900:  # 900 is aiodocker's own, for "no connection"
        return _status(exc, operation)
    if isinstance(exc, UsageError):
        return SourceDeniedError, str(exc)
    if isinstance(exc, (aiohttp.ClientError, DockerError, OSError)):
        return _connection(exc, address)
    what = "an error without a message" if exc.args == ("message",) else repr(exc)
    return SourceError, f"the answer is not an engine's: {trim(what)} (is it Docker's API? check url)"


def _connection(exc: Exception, address: Address) -> tuple[type[SourceError], str]:
    chain = causes(exc)
    if any(isinstance(cause, TimeoutError) for cause in chain):
        return (
            SourceError,
            "no answer in time (the engine or the network hangs; timeout sets how long we wait)",
        )
    for cause in reversed(chain):  # the innermost says most
        if isinstance(cause, ssl.SSLError):
            return SourceDeniedError, tls_reason(str(cause), who="the engine", at="url")
    for cause in reversed(chain):
        if isinstance(cause, OSError) and cause.errno:
            return _socket(cause, address) if address.socket else _network(cause, address)
    return _lost(trim(str(exc)) or type(exc).__name__, address)


def _lost(reason: str, address: Address) -> tuple[type[SourceError], str]:
    # TLS 1.3 tells of a refused certificate after the handshake, when a reset may overtake it
    hint = "; or it refuses our certificate: check cert and key" if address.tls is not None else ""
    return SourceError, f"connection lost: {reason} (the engine stops, or a proxy cut it{hint})"


def _status(exc: DockerError, operation: str) -> tuple[type[SourceError], str]:
    text = status_text(exc)
    if "client version" in text:
        return SourceDeniedError, f"{text} (remove api_version, or set one that the engine takes)"
    if "HTTPS server" in text:
        return SourceDeniedError, f"{text} (write https:// in url, and set ca, cert and key)"
    if exc.status in (401, 403):
        hints = {
            "ask version of": 'GET /version, or set api_version = "1.41"',
            "watch": 'GET /events, or set poll = "5s"',
        }
        hint = hints.get(operation, "GET /containers/json and /containers/*/json")
        return SourceDeniedError, f"{text} (let the proxy in front of the engine pass {hint})"
    if exc.status == 404:
        return SourceError, f"{text} (is it Docker's API? check url and api_version)"
    return SourceError, text


def _network(exc: OSError, address: Address) -> tuple[type[SourceError], str]:
    reason = system_reason(exc)
    if exc.errno in (errno.ECONNRESET, errno.EPIPE):
        return _lost(reason, address)
    return SourceError, f"{reason} (does the engine listen there? check url)"


def _socket(exc: OSError, address: Address) -> tuple[type[SourceError], str]:
    path = Path(address.socket)
    if exc.errno in (errno.EACCES, errno.EPERM):
        return SourceDeniedError, f"permission denied ({_way_in(path)})"
    if exc.errno == errno.ENOENT:
        return SourceError, (
            "no such socket (is the engine running? in a container, mount the folder that holds its socket)"
        )
    if exc.errno != errno.ECONNREFUSED:
        return _lost(system_reason(exc), address)
    if path.is_dir():
        return SourceDeniedError, (
            "a folder, not a socket (an engine makes one where it shall mount what does not exist:"
            " remove it, and mount the folder that holds the socket)"
        )
    return SourceError, (
        "connection refused (the engine is down; if it runs, then what is mounted here is the socket file"
        " that it had before a restart: mount the folder that holds the socket instead)"
    )


def _way_in(path: Path) -> str:
    """Name the group that may use the socket."""
    try:
        status = path.stat()
    except OSError:
        return "we may not enter the socket's folder"
    if status.st_mode & stat.S_IWGRP:
        return f"run with the group {status.st_gid}, which may use the socket; a container: group_add"
    return "run as the socket's owner"
