"""A backend that says what it was asked; it upgrades to a websocket's protocol and echoes bytes then."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from types import TracebackType


class EchoBackend:
    """Answers GET and POST with JSON: its name, the path, the peer's port, the headers as pairs, the body.

    Attributes:
        name: What it calls itself.
        address: ``ip:port``.
    """

    def __init__(self, name: str, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self._server = _Server(("127.0.0.1", 0), _Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.backend_name = name
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # nginx keeps idle connections
    backend_name = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body is sent after its head, and would wait 40 ms for its receipt
    server: _Server

    def do_GET(self) -> None:
        if self.headers["Upgrade"]:
            self._upgrade()
            return
        body_sent = self.rfile.read(int(self.headers["Content-Length"] or 0))
        says = {
            "name": self.server.backend_name,
            "path": self.path,
            "peer": self.client_address[1],
            "headers": self.headers.items(),
            "body": body_sent.decode(),
        }
        body = json.dumps(says).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - as it must be called

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""

    def _upgrade(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", "upgrade")
        self.end_headers()
        while line := self.rfile.readline():
            self.wfile.write(line)
        self.close_connection = True
