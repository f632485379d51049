"""Where an engine is, and how to reach it.

aiodocker reads DOCKER_HOST and the certificates' variables in its own way, and speaks plain HTTP to a
``tcp://`` address even with certificates, so all of this is settled here and handed to it ready-made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import yarl

from proxyconf.errors import UsageError
from proxyconf.sources._tls import Tls, read_certificates

if TYPE_CHECKING:
    import ssl

DEFAULT_URL = "unix:///var/run/docker.sock"
_EXAMPLES = 'write "unix:///var/run/docker.sock" or "https://engine.example.com:2376"'
_SOCKET_PATH_MAX = 107  # bytes that fit into the kernel's sockaddr_un
# an event carries all labels of its container in one line, and aiohttp refuses lines of twice this size
_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine is.

    Attributes:
        url: As a person wrote it, for messages.
        base: What requests are made to.
        socket: The unix socket; "" when it is reached over TCP.
        tls: None for plain HTTP.
    """

    url: str
    base: str
    socket: str = ""
    tls: Tls | None = None


def read_address(url: str, tls: Tls) -> Address:
    """Read the URL of an engine; ``tcp://`` means https when there are certificates.

    Raises:
        UsageError: Starts with the key that is wrong: url, ca, cert or key.
    """
    try:
        parsed = yarl.URL(url)
        port = parsed.explicit_port
    except ValueError as exc:
        raise UsageError(f"url: {url!r}: {exc} ({_EXAMPLES})") from None
    if parsed.scheme == "unix":
        return _socket_address(url, tls)
    if parsed.scheme not in ("tcp", "http", "https") or not parsed.host or parsed.query or parsed.user:
        raise UsageError(f"url: {url!r}: no address of an engine ({_EXAMPLES})")
    secure = parsed.scheme == "https" or (parsed.scheme == "tcp" and bool(tls))
    if tls and not secure:
        raise UsageError(
            f"url: {url!r}: plain HTTP takes no ca, cert or key (write https://, or leave them out)"
        )
    if secure:
        read_certificates(tls)
    if parsed.scheme == "tcp":
        parsed = parsed.with_port(port or (2376 if secure else 2375))
    base = str(parsed.with_scheme("https" if secure else "http")).rstrip("/")
    return Address(url, base, tls=tls if secure else None)


def _socket_address(url: str, tls: Tls) -> Address:
    path = url.removeprefix("unix://")
    if not path.startswith("/") or path == "/":
        raise UsageError(f"url: {url!r}: the socket's path must be absolute ({_EXAMPLES})")
    if len(path.encode()) > _SOCKET_PATH_MAX:
        raise UsageError(
            f"url: {url!r}: the path has over {_SOCKET_PATH_MAX} bytes (link it to a shorter one)"
        )
    if tls:
        raise UsageError(f"url: {url!r}: a unix socket takes no ca, cert or key (leave them out)")
    return Address(url, "http://docker", socket=path)


def open_session(
    address: Address, context: ssl.SSLContext | None, trace: aiohttp.TraceConfig
) -> aiohttp.ClientSession:
    """Return a session for requests to an engine; the caller closes it."""
    connector: aiohttp.BaseConnector
    if address.socket:
        connector = aiohttp.UnixConnector(address.socket)
    else:
        connector = aiohttp.TCPConnector(ssl=context or True)
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], read_bufsize=_LINE_BYTES)
