"""Writes to etcd as fast as one client can: over connections that stay open, without waiting for answers."""

from __future__ import annotations

import base64
import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_CONNECTIONS = 8  # more are not faster
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Put:
    """A write that etcd has acknowledged.

    Attributes:
        sent_ns: By CLOCK_MONOTONIC.
        done_ns: When the acknowledgement came.
        sent_at: Unix time in seconds.
    """

    sent_ns: int
    done_ns: int
    sent_at: float


class Store:
    """A client of etcd's JSON gateway.

    Args:
        port: Of etcd, on 127.0.0.1.
        prefix: Of all keys, without a slash at its end.
    """

    def __init__(self, port: int, prefix: str) -> None:
        self.prefix = prefix
        self._sockets = [
            socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) for _ in range(_CONNECTIONS)
        ]
        for sock in self._sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._sockets:
            sock.close()

    def put(self, key: str, value: str) -> Put:
        """Set one key, and wait for the acknowledgement."""
        request = self._request(key, value)
        sent_at, sent = time.time(), time.monotonic_ns()
        self._sockets[0].sendall(request)
        _await_answers(self._sockets[0], 1)
        return Put(sent, time.monotonic_ns(), sent_at)

    def put_all(self, pairs: Sequence[tuple[str, str]]) -> Put:
        """Set keys as fast as possible, in no particular order, and wait for the acknowledgements."""
        requests = [self._request(*pair) for pair in pairs]
        shares = [requests[number::_CONNECTIONS] for number in range(_CONNECTIONS)]
        sent_at, sent = time.time(), time.monotonic_ns()
        for sock, share in zip(self._sockets, shares, strict=True):
            sock.sendall(b"".join(share))
        for sock, share in zip(self._sockets, shares, strict=True):
            _await_answers(sock, len(share))
        return Put(sent, time.monotonic_ns(), sent_at)

    def _request(self, key: str, value: str) -> bytes:
        body = json.dumps({"key": _encode(f"{self.prefix}/{key}"), "value": _encode(value)}).encode()
        head = f"POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _await_answers(sock: socket.socket, count: int) -> None:
    """Read *count* answers; every success has one revision in it."""
    got = b""
    while got.count(b'"revision"') < count:
        more = sock.recv(1 << 16)
        if not more or b"HTTP/1.1 4" in more or b"HTTP/1.1 5" in more:
            raise BenchError(f"put to etcd: {(got + more)[-300:]!r}")
        got += more


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
