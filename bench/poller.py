"""Sees when an answer changes: asks again and again, each time on a new connection, in a process of its own.

Run as ``python -m bench.poller``: takes one task a line, as JSON, from its standard input; says ``ready``
after the first answer, and what it saw at the end. Times are of CLOCK_MONOTONIC, in nanoseconds, which all
processes share.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from bench.errors import BenchError

if TYPE_CHECKING:
    from types import TracebackType

_TIMEOUT_S = 5.0
# so that neither side keeps the connection in TIME_WAIT: thousands a second would use up all ports
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Task:
    """What to look for.

    Attributes:
        port: Of nginx, on 127.0.0.1.
        host: Whom to ask for.
        until: The answer that ends it.
        every_us: How often to ask.
        patience_s: When to give up.
    """

    port: int
    host: str
    until: str
    every_us: int = 1000
    patience_s: float = 15.0


@dataclass(slots=True)
class Seen:
    """What was seen.

    Attributes:
        first_ns: Answer to when it came first.
        gaps_us: The times between two asks.
        failed: How many asks had no answer, or one that was no success.
    """

    first_ns: dict[str, int] = field(default_factory=dict)
    gaps_us: list[int] = field(default_factory=list)
    failed: int = 0


class Poller:
    """The process."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.poller"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, task: Task) -> None:
        """Return when it asks."""
        if self._process.stdin:
            self._process.stdin.write(json.dumps(asdict(task)) + "\n")
            self._process.stdin.flush()
        self._line()

    def seen(self, task: Task) -> Seen:
        """Wait for the end of the task.

        Raises:
            BenchError: The answer never came.
        """
        seen = Seen(**json.loads(self._line()))
        if task.until not in seen.first_ns:
            raise BenchError(
                f"{task.host} never answered {task.until} in {task.patience_s} s, but {seen.first_ns}"
            )
        return seen

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise BenchError("the poller has ended")
        return line


def main() -> None:
    """Do one task after the other, until there are no more."""
    for line in sys.stdin:
        seen = _poll(Task(**json.loads(line)))
        sys.stdout.write(json.dumps(asdict(seen)) + "\n")
        sys.stdout.flush()


def _poll(task: Task) -> Seen:
    request = f"GET / HTTP/1.1\r\nHost: {task.host}\r\n\r\n".encode()
    seen, ready = Seen(), False
    start = due = asked = time.monotonic_ns()
    while task.until not in seen.first_ns and asked - start < task.patience_s * 1e9:
        answer = ask(task.port, request)
        if answer is None:
            seen.failed += 1
        else:
            seen.first_ns.setdefault(answer, time.monotonic_ns())
        if not ready:
            ready = True
            sys.stdout.write("ready\n")
            sys.stdout.flush()
        due = max(due + task.every_us * 1000, time.monotonic_ns())
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        before, asked = asked, time.monotonic_ns()
        seen.gaps_us.append((asked - before) // 1000)
    return seen


def ask(port: int, request: bytes) -> str | None:
    """Return the body of the answer; None without a success."""
    try:
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.sendall(request)
            return body_of(sock)
    except OSError:
        return None


def body_of(sock: socket.socket) -> str | None:
    """Read one answer; return its body, None when it is no success."""
    answer = b""
    while more := sock.recv(8192):
        answer += more
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            return body.decode() if head.startswith(b"HTTP/1.1 200 ") else None
    return None


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0] or b"0")


if __name__ == "__main__":
    main()
