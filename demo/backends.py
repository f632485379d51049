"""Tiny backends: each says who it is."""

from __future__ import annotations

import asyncio
from typing import Self

from demo.processes import free_port


class Backend:
    """Answers every request with its name, in this process, until it is closed.

    Attributes:
        name: A letter.
        address: ``ip:port``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        body = f"hello from backend {name}\n"
        self._answer = (
            f"HTTP/1.1 200 OK\r\nX-Backend: {name}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone at once, with the connections that nginx keeps; does nothing the second time."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await _request(reader):
                writer.write(self._answer)
        finally:
            self._writers.discard(writer)
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bool:
    """Read one request, which has no body; tell whether there was one."""
    try:
        await reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    return True
