"""Ask nginx which nonce it serves: the proof that a configuration is live."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxyconf.units import ListenAddress

_ANSWER_MAX = 4096


class Asker(Protocol):
    """Who asks an nginx for proof."""

    async def ask(self) -> str | None:
        """Return the nonce that is served; "" where another answers, or nobody listens; None for silence."""
        ...


class Prober:
    """Asks over TCP, on a listener that is there anyway, for a host name that only we know.

    Args:
        listen: The listener.
        server_name: The host name.
        timeout_s: How long one answer may take.
    """

    def __init__(self, listen: ListenAddress, server_name: str, *, timeout_s: float = 1.0) -> None:
        self._host = asked_at(listen.host)
        self._port = listen.port
        self._family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._timeout_s = timeout_s
        # not by an HTTP client: during a reload it is asked every few milliseconds, each time on a connection
        # of its own, since an old worker keeps those it has; a bare socket costs a third of a client's CPU
        self._request = f"GET / HTTP/1.0\r\nHost: {server_name}\r\n\r\n".encode()

    async def ask(self) -> str | None:
        """Return the nonce that is served; "" where another answers, or nobody listens; None for silence."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return _nonce(await self._exchange())
        except ConnectionRefusedError:
            return ""
        except (OSError, TimeoutError):
            return None

    async def _exchange(self) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            await loop.sock_connect(sock, (self._host, self._port))
            await loop.sock_sendall(sock, self._request)
            answer = b""
            while len(answer) < _ANSWER_MAX and (more := await loop.sock_recv(sock, _ANSWER_MAX)):
                answer += more
            return answer


def asked_at(host: str) -> str:
    """Return where to connect for a listener's address.

    A wildcard is reached through the loopback, but not by 127.0.0.1: beside a ``listen 127.0.0.1:80`` of
    somebody else, a ``listen 80`` does not get what is sent there.
    """
    return {"": "127.0.0.2", "0.0.0.0": "127.0.0.2", "::": "::1"}.get(host, host)  # noqa: S104 - not bound


def _nonce(answer: bytes) -> str | None:
    if not answer:  # so hangs up who has more connections than it can have
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        return ""
    return body.decode("ascii", "replace").strip()
