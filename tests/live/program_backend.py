"""A program behind FastCGI or uwsgi that says, as JSON, which parameters and which body it was given."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_END_REQUEST, _PARAMS, _STDIN, _STDOUT = 3, 4, 5, 6


class ProgramBackend:
    """Answers one request per connection.

    Attributes:
        address: ``ip:port``.
    """

    def __init__(self, protocol: str) -> None:
        handler = {"fastcgi": _FastCgi, "uwsgi": _Uwsgi}[protocol]
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
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


def _text(parameters: dict[str, str], body: bytes) -> bytes:
    return json.dumps({"parameters": parameters, "body": body.decode()}).encode()


class _FastCgi(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        streams = {_PARAMS: b"", _STDIN: b""}
        while True:
            _, kind, number, length, padding, _ = struct.unpack(">BBHHBB", self.rfile.read(8))
            content = self.rfile.read(length + padding)[:length]
            if kind == _STDIN and not content:
                break
            if kind in streams:
                streams[kind] += content
        answer = b"Content-Type: application/json\r\n\r\n" + _text(
            dict(_fastcgi_pairs(streams[_PARAMS])), streams[_STDIN]
        )
        for kind, content in ((_STDOUT, answer), (_STDOUT, b""), (_END_REQUEST, bytes(8))):
            self.wfile.write(struct.pack(">BBHHBB", 1, kind, number, len(content), 0, 0) + content)


def _fastcgi_pairs(data: bytes) -> list[tuple[str, str]]:
    pairs, at = [], 0

    def length() -> int:
        nonlocal at
        if data[at] < 128:
            at += 1
            return data[at - 1]
        at += 4
        return int(struct.unpack(">I", data[at - 4 : at])[0]) & 0x7FFFFFFF

    def text(size: int) -> str:
        nonlocal at
        at += size
        return data[at - size : at].decode()

    while at < len(data):
        name_size, value_size = length(), length()
        pairs.append((text(name_size), text(value_size)))
    return pairs


class _Uwsgi(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        _, size, _ = struct.unpack("<BHB", self.rfile.read(4))
        data, parameters = self.rfile.read(size), {}
        while data:
            name, data = _uwsgi_text(data)
            parameters[name], data = _uwsgi_text(data)
        body = self.rfile.read(int(parameters["CONTENT_LENGTH"] or 0))
        self.wfile.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + _text(parameters, body)
        )


def _uwsgi_text(data: bytes) -> tuple[str, bytes]:
    (size,) = struct.unpack("<H", data[:2])
    return data[2 : 2 + size].decode(), data[2 + size :]
