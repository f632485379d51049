"""Clients that keep their connections, as browsers do, and what a reload costs them."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.live.asking import TIMEOUT_S, until

if TYPE_CHECKING:
    from types import TracebackType

    from tests.live.asking import Place

_LENGTH = re.compile(rb"(?i)^content-length: (\d+)", re.MULTILINE)
_PAUSE_S = 0.002


class KeptAlive:
    """Clients that ask one host all the time, each on one connection for as long as it lasts.

    Attributes:
        answers: How often each status came; ``cut`` where it broke off.
        lost: Requests on a connection that nginx closed at the same time, without a word. Nobody but nginx
            can help that; browsers ask again.
    """

    def __init__(self, place: Place, port: int, host: str, *, clients: int = 4) -> None:
        self.answers: Counter[str] = Counter()
        self.lost = 0
        self._place = place
        self._port = port
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._clients = clients
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.answers.total() > self._clients, "they all ask")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        self._place.enter()
        asyncio.run(self._ask_all())

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._keep_asking() for _ in range(self._clients)))

    async def _keep_asking(self) -> None:
        while not self._ended.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                # one that sees the end before it asks has lost nothing
                while not self._ended.is_set() and not reader.at_eof():
                    async with asyncio.timeout(TIMEOUT_S):
                        await self._ask(reader, writer)
                    await asyncio.sleep(_PAUSE_S)
            except asyncio.IncompleteReadError as exc:
                self._note_end(exc.partial)
            except ConnectionError:
                self.lost += 1
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        await reader.readexactly(int(found[1]) if found else 0)
        self.answers[head.split()[1].decode()] += 1

    def _note_end(self, received: bytes) -> None:
        if received:
            self.answers["cut"] += 1
        else:
            self.lost += 1
