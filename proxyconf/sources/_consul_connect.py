"""Where Consul is, and who we are: endpoints, certificates, tokens and passwords, read and checked."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from proxyconf.errors import UsageError
from proxyconf.sources._servers import join
from proxyconf.sources._tls import Tls, read_certificates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFAULT_PORTS = {"http": 8500, "https": 8501}
_EXAMPLES = 'write "http://127.0.0.1:8500" or "https://consul.example.com:8501"'


@dataclass(frozen=True, slots=True)
class Server:
    """An agent, or a server, of Consul.

    Attributes:
        url: As a person wrote it, for messages.
        base: What requests are made to; without a final slash.
        secure: By TLS.
    """

    url: str
    base: str
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """Files that say who we are and whom we trust; read anew for every connection, so that they may change.

    Attributes:
        tls: Certificates.
        token_file: The ACL token.
        password_file: The user's password, for HTTP basic authentication.
        insecure: Believe whatever certificate the server shows.
    """

    tls: Tls = field(default_factory=Tls)
    token_file: Path | None = None
    password_file: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Secrets:
    """What was in the files.

    Attributes:
        context: For TLS; None for plain HTTP.
        token: "" without one.
        password: "" without one.
    """

    context: ssl.SSLContext | None = None
    token: str = ""
    password: str = ""


def read_servers(endpoints: Sequence[str]) -> tuple[Server, ...]:
    """Return what to connect to, in the order of the attempts.

    Raises:
        UsageError: Starts with the key, endpoints.
    """
    servers = tuple(map(_read_endpoint, endpoints))
    if len({server.secure for server in servers}) > 1:
        raise UsageError("endpoints: both http and https (use one of them for all)")
    return servers


def read_member(address: str, *, secure: bool) -> Server:
    """Return the server at *address*, ``HOST:PORT``."""
    url = f"{'https' if secure else 'http'}://{address}"
    return Server(url, url, secure)


def _read_endpoint(text: str) -> Server:
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        port = url.port
    except ValueError as exc:
        raise UsageError(f"endpoints: {text!r}: {exc} ({_EXAMPLES})") from None
    extra = url.query or url.fragment or "@" in url.netloc
    word = not {".", ":"} & set(text)  # which may be meant for something else
    if url.scheme not in DEFAULT_PORTS or not url.hostname or extra or word or port == 0:
        raise UsageError(f"endpoints: {text!r}: no endpoint of a Consul ({_EXAMPLES})")
    address = join(url.hostname, port or DEFAULT_PORTS[url.scheme])
    base = f"{url.scheme}://{address}{url.path.rstrip('/')}"
    return Server(text, base, url.scheme == "https")


def read_files(files: Files, *, secure: bool) -> Secrets:
    """Read and check the files; blocks.

    Args:
        files: What to read.
        secure: The connection is by TLS.

    Raises:
        UsageError: Starts with the key that is wrong: ca, cert, key, token_file or password_file.
    """
    context = read_certificates(files.tls) if secure else None
    if context and files.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return Secrets(
        context, _read_text("token_file", files.token_file), _read_text("password_file", files.password_file)
    )


def _read_text(name: str, path: Path | None) -> str:
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n") if path else ""
    except OSError as exc:
        raise UsageError(
            f"{name}: read {path}: {exc.strerror} (is the path right, and readable for us?)"
        ) from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{name}: not UTF-8 at byte {exc.start} (write it as text)") from None
    check_secret(name, text)
    return text


def check_secret(name: str, text: str) -> None:
    """Refuse what would end, or garble, the header that it is sent in.

    Raises:
        UsageError: Starts with *name*, and does not show the secret.
    """
    if not text.isprintable():
        raise UsageError(f"{name}: has a character that can't be printed (is it one line of text?)")


def open_session(secrets: Secrets, *, user: str) -> aiohttp.ClientSession:
    """Return a session for requests to a Consul; the caller closes it."""
    # packed answers would cost both of us more than the loopback or a local network does
    headers = {"Accept-Encoding": "identity"}
    if secrets.token:
        headers["X-Consul-Token"] = secrets.token
    if user:
        headers["Authorization"] = f"Basic {b64encode(f'{user}:{secrets.password}'.encode()).decode()}"
    connector = aiohttp.TCPConnector(ssl=secrets.context or True)
    return aiohttp.ClientSession(connector=connector, headers=headers)
