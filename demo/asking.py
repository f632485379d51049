"""Ask over HTTP, each time on a connection of its own: what a visitor sees, and a steady trickle of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATIENCE_S = 20.0  # for what takes milliseconds; a busy machine may take its time
_ANSWER_S = 5.0
_ASK_EVERY_S = 0.001
_AT_ONCE = 4
_FAIR = 0.7  # of an equal share; nginx's workers take turns each for itself
_TRICKLE_EVERY_S = 0.02
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})")
_BACKEND = re.compile(rb"\r\nX-Backend: ([a-z]+)\r\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: 0 without an answer.
        backend: Who answered; "" where it was nginx itself, or nobody.
        error: Why there is no answer.
    """

    status: int
    backend: str = ""
    error: str = ""

    def __str__(self) -> str:
        return self.error or str(self.status)


async def exchange(port: int, request: bytes) -> bytes:
    """Send *request* to a port of the loopback address and return all that comes until the end.

    Raises:
        OSError: The connection is refused or lost.
        TimeoutError: No end within 5 s.
    """
    async with asyncio.timeout(_ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()


def read_answer(raw: bytes) -> Answer:
    """Return what an HTTP answer says."""
    head = _HEAD.match(raw)
    if not head:
        return Answer(0, error="hung up")
    backend = _BACKEND.search(raw.partition(b"\r\n\r\n")[0] + b"\r\n")
    return Answer(int(head[1]), backend[1].decode() if backend else "")


class Visitor:
    """Asks nginx for the demo's site.

    Attributes:
        port: Where nginx listens.
        host: Name of the site.
    """

    def __init__(self, port: int, host: str) -> None:
        self.port = port
        self.host = host
        self._request = f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()

    async def ask(self) -> Answer:
        """Ask once, and never raise."""
        try:
            return read_answer(await exchange(self.port, self._request))
        except TimeoutError:
            return Answer(0, error="no answer in time")
        except OSError as exc:
            return Answer(0, error=(exc.strerror or str(exc)).lower())

    async def until(self, backend: str) -> None:
        """Ask until *backend* answers.

        Raises:
            DemoError: It does not within 20 s.
        """
        answers: list[Answer] = []
        end = time.monotonic() + PATIENCE_S
        while all(answer.backend != backend for answer in answers):
            if time.monotonic() > end:
                last = failures_in_words([str(answer) for answer in answers])
                raise DemoError(f"backend {backend} did not answer within {PATIENCE_S:g} s; last: {last}")
            # several at once, or the one would always be taken by the same old worker while there is one
            answers = await asyncio.gather(*(self.ask() for _ in range(_AT_ONCE)))
            await asyncio.sleep(_ASK_EVERY_S)

    async def without(self, backend: str, *, asks: int) -> float:
        """Ask until *backend* has not answered *asks* times in a row; return when it last did, or began.

        Raises:
            DemoError: It still answers after 20 s.
        """
        last, quiet = time.perf_counter(), 0
        end = time.monotonic() + PATIENCE_S
        while quiet < asks:
            if time.monotonic() > end:
                raise DemoError(f"backend {backend} was still asked after {PATIENCE_S:g} s")
            answer = await self.ask()
            quiet += 1
            if answer.backend == backend:
                last, quiet = time.perf_counter(), 0
            await asyncio.sleep(_ASK_EVERY_S)
        return last

    async def survey(self, asks: int) -> Counter[str]:
        """Ask so many times; return how often each backend, status or error came back."""
        answers = [await self.ask() for _ in range(asks)]
        return Counter(answer.backend or str(answer) for answer in answers)

    async def shared(self, backends: Iterable[str], *, asks: int) -> Counter[str]:
        """Survey until exactly *backends* answer, about equally often.

        Raises:
            DemoError: They do not within 20 s.
        """
        wanted = frozenset(backends)
        end = time.monotonic() + PATIENCE_S
        while True:
            counts = await self.survey(asks)
            if counts.keys() == wanted and min(counts.values()) >= _FAIR * asks / len(wanted):
                return counts
            if time.monotonic() > end:
                raise DemoError(
                    f"{asks} requests were not shared by {listed(sorted(wanted))}: {tally(counts)}"
                )


class Mark(NamedTuple):
    """A moment in a trickle: how many requests there were, and how many of them failed."""

    total: int = 0
    failed: int = 0


class Trickle:
    """A request every 20 ms, one after the other, counted.

    Attributes:
        total: Requests that came to an end.
        failures: What came back instead of 200.
    """

    def __init__(self, visitor: Visitor) -> None:
        self.total = 0
        self.failures: list[str] = []
        self._visitor = visitor
        self._asking: asyncio.Task[NoReturn] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._asking = asyncio.create_task(self._ask(), name="trickle")

    def stop(self) -> None:
        """Ask no more."""
        if self._asking:
            self._asking.cancel()

    def mark(self) -> Mark:
        """Return how far it is."""
        return Mark(self.total, len(self.failures))

    async def _ask(self) -> NoReturn:
        while True:
            answer = await self._visitor.ask()
            self.total += 1
            if answer.status != 200:
                self.failures.append(str(answer))
            await asyncio.sleep(_TRICKLE_EVERY_S)


def tally(counts: Counter[str]) -> str:
    """Return counts for people: ``a 50, b 49, 502 1``."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def failures_in_words(failures: Sequence[str]) -> str:
    """Return what failed for people: ``502 (3 times), connection refused (once)``."""
    return ", ".join(
        f"{what} ({'once' if times == 1 else f'{times} times'})"
        for what, times in Counter(failures).most_common()
    )


def listed(names: Sequence[str]) -> str:
    """Return names for people: ``b, c and d``."""
    return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)
