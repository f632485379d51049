"""Where etcd is, and who we are: endpoints, certificates and passwords, read and checked."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxyconf.errors import UsageError
from proxyconf.sources._etcd_rpc import grpc
from proxyconf.sources._servers import join

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFAULT_PORT = 2379
PAGE = 2_000  # keys; 10,000 endpoints take 5 round trips, and no answer blocks the loop for long
ANSWER_BYTES_MAX = 64 << 20
_EXAMPLES = 'write "http://127.0.0.1:2379" or "https://etcd.example.com:2379"'
_KEEPALIVE_MS = 10_000  # etcd hangs up on who pings more often than every 5 s


@dataclass(frozen=True, slots=True)
class Server:
    """What one connection is made to: one endpoint, or several of which gRPC takes the first that answers.

    Attributes:
        target: gRPC's name for it.
        url: The endpoints as a person wrote them, for messages.
        secure: By TLS.
    """

    target: str
    url: str
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """Files that say who we are and whom we trust; read anew for every connection, so that they may change.

    Attributes:
        ca: The authority that signed etcd's certificate, as PEM.
        cert: Our certificate, as PEM.
        key: Its key, as PEM.
        password_file: The user's password.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """What was in the files.

    Attributes:
        password: Without the line's end; "" without a file.
    """

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None
    password: str = ""


def read_servers(endpoints: Sequence[str]) -> tuple[Server, ...]:
    """Return what to connect to, in the order of the attempts.

    gRPC can be given several addresses, but only literal ones of one family. Each attempt gets them in
    another order, since the first that answers may be cut off from its peers.

    Raises:
        UsageError: Starts with the key, endpoints.
    """
    parsed = [_read_endpoint(text) for text in endpoints]
    if len({secure for secure, _, _ in parsed}) > 1:
        raise UsageError("endpoints: both http and https (use one of them for all)")
    family = _common_family([host for _, host, _ in parsed])
    if parsed[0][0] or not family:
        return tuple(
            Server(f"dns:///{join(host, port)}", url, secure)
            for url, (secure, host, port) in zip(endpoints, parsed, strict=True)
        )
    addresses = [join(host, port) for _, host, port in parsed]
    turns = [[*range(first, len(addresses)), *range(first)] for first in range(len(addresses))]
    return tuple(
        Server(
            f"{family}:{','.join(addresses[number] for number in turn)}",
            ", ".join(endpoints[number] for number in turn),
        )
        for turn in turns
    )


def _read_endpoint(text: str) -> tuple[bool, str, int]:
    """Return whether it is by TLS, the host and the port; one word alone may be meant for something else."""
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        port = url.port
    except ValueError as exc:
        raise UsageError(f"endpoints: {text!r}: {exc} ({_EXAMPLES})") from None
    extra = url.path.strip("/") or url.query or url.fragment or "@" in url.netloc
    word = not {".", ":"} & set(text)
    if url.scheme not in ("http", "https") or not url.hostname or extra or word or port == 0:
        raise UsageError(f"endpoints: {text!r}: no endpoint of an etcd ({_EXAMPLES})")
    return url.scheme == "https", url.hostname, port or DEFAULT_PORT


def _common_family(hosts: Sequence[str]) -> str:
    """Return gRPC's name of the address family; "" for names, and for addresses of both families."""
    try:
        versions = {ipaddress.ip_address(host).version for host in hosts}
    except ValueError:
        return ""
    return f"ipv{versions.pop()}" if len(versions) == 1 else ""


def read_member(address: str, *, secure: bool) -> Server:
    """Return the member at *address*, ``HOST:PORT``."""
    return Server(f"dns:///{address}", f"{'https' if secure else 'http'}://{address}", secure)


def read_files(files: Files) -> Secrets:
    """Read and check the files; blocks.

    Raises:
        UsageError: Starts with the key that is wrong: ca, cert, key or password_file.
    """
    if bool(files.cert) != bool(files.key):
        missing, other = ("key", "cert") if files.cert else ("cert", "key")
        raise UsageError(f"{missing}: not set, but {other} is (set both, or neither)")
    read = {
        name: _read("password_file" if name == "password" else name, path)
        for name, path in (
            ("ca", files.ca),
            ("cert", files.cert),
            ("key", files.key),
            ("password", files.password_file),
        )
    }
    _check_pem(files)
    return Secrets(read["ca"], read["cert"], read["key"], _password(read["password"] or b""))


def _read(name: str, path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as exc:
        raise UsageError(
            f"{name}: read {path}: {exc.strerror} (is the path right, and readable for us?)"
        ) from exc


def _password(content: bytes) -> str:
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise UsageError(
            f"password_file: not UTF-8 at byte {exc.start} (write the password as text)"
        ) from None


def _check_pem(files: Files) -> None:
    """Try the certificates: gRPC itself would only say that a handshake failed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    place = f"ca: {files.ca}"
    try:
        if files.ca:
            context.load_verify_locations(files.ca)
        place = f"cert: {files.cert} with key {files.key}"
        if files.cert:
            # without a password function, OpenSSL would ask on the terminal for an encrypted key's
            context.load_cert_chain(files.cert, files.key, password=lambda: "")
    except ssl.SSLError as exc:
        hint = "the key is another one's" if exc.reason == "KEY_VALUES_MISMATCH" else "no PEM, or encrypted"
        raise UsageError(f"{place}: {exc.reason or exc} ({hint})") from exc


def open_channel(server: Server, secrets: Secrets, *, timeout_s: float) -> Any:  # noqa: ANN401 - grpc has no types
    """Return a channel, which connects when it is used; the caller closes it.

    Args:
        server: Where to.
        secrets: With the certificates; without an authority, those that come with gRPC are trusted.
        timeout_s: Without an answer for so long, the connection is given up.
    """
    options = {
        "grpc.keepalive_time_ms": _KEEPALIVE_MS,
        "grpc.http2.ping_timeout_ms": int(timeout_s * 1000),  # grpc.keepalive_timeout_ms has no effect
        "grpc.http2.max_pings_without_data": 0,
        "grpc.max_receive_message_length": ANSWER_BYTES_MAX,
        "grpc.min_reconnect_backoff_ms": 1000,  # bounds an attempt to connect: then the next address
        "grpc.use_local_subchannel_pool": 1,  # not to inherit the back-off of an earlier channel
        "grpc.enable_http_proxy": 0,  # as etcdctl: http_proxy is for the world outside
    }
    if not server.secure:
        return grpc.aio.insecure_channel(server.target, options=list(options.items()))
    credentials = grpc.ssl_channel_credentials(secrets.ca, secrets.key, secrets.cert)
    return grpc.aio.secure_channel(server.target, credentials, options=list(options.items()))
