"""Every backend there can be, in one process: each answers with its own address.

Run as ``python -m bench.backends``: prints its port, serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys


def main() -> None:
    """Serve."""
    with _listening() as sock:
        sys.stdout.write(f"{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        asyncio.run(_serve(sock))


def _listening() -> socket.socket:
    """Return a socket that takes connections to all of 127.0.0.0/8, and no others."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    sock.bind(("0.0.0.0", 0))  # noqa: S104 - on the loopback device only
    sock.listen(4096)
    return sock


async def _serve(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(_Backend, sock=sock):
        await loop.run_in_executor(None, sys.stdin.read)


class _Backend(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        host, port = transport.get_extra_info("sockname")
        name = f"{host}:{port}".encode()
        self._transport = transport
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name)
        self._asked = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._asked = (self._asked + data).split(b"\r\n\r\n")
        self._transport.write(self._answer * len(requests))


if __name__ == "__main__":
    main()
