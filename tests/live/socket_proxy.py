"""A proxy before an engine's socket that lets nothing through but questions, as those that people use do."""

from __future__ import annotations

import re
import shutil
import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_VARIABLE = re.compile(r"^/v[\d.]+|\?.*|(?<=/containers/)[0-9a-f]{64}")
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SocketProxy(socketserver.ThreadingUnixStreamServer):
    """Passes on GET, one to a connection, and refuses the rest.

    Args:
        path: Where it is to listen.
        engine: The engine's socket.
        edit: What becomes of an answer, which has to stay as long as it is; None: nothing.

    Attributes:
        asked: The methods and paths that came, without versions, queries and ids: ``GET /containers//json``.
        url: Where it is, for DOCKER_HOST.
    """

    daemon_threads = True
    block_on_close = False  # a stream of events ends with the program that follows it

    def __init__(self, path: Path, engine: Path, *, edit: Callable[[bytes], bytes] | None = None) -> None:
        super().__init__(str(path), _Handler)
        self.asked: set[str] = set()
        self.url = f"unix://{path}"
        self.engine = engine
        self.edit = edit
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(socketserver.StreamRequestHandler):
    server: SocketProxy

    def handle(self) -> None:
        lines = iter(self.rfile.readline, b"\r\n")
        method, target, _ = next(lines, b"- - -").decode().split()
        headers = [line for line in lines if line and not line.lower().startswith(b"connection:")]
        self.server.asked.add(f"{method} {_VARIABLE.sub('', target)}")
        if method != "GET":
            self.wfile.write(_REFUSAL)
            return
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(self.server.engine))
            head = [f"GET {target} HTTP/1.1\r\n".encode(), b"Connection: close\r\n", *headers, b"\r\n"]
            engine.sendall(b"".join(head))
            # without a buffer, in which an event would wait for more of them
            with engine.makefile("rb", buffering=0) as answer, suppress(ConnectionError):
                if self.server.edit and "/events" not in target:
                    self.wfile.write(self.server.edit(answer.read()))
                else:
                    shutil.copyfileobj(answer, self.wfile)
