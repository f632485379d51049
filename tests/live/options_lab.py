"""A site whose routes have options, served by a real nginx; sockets on which a test plays the endpoint."""

from __future__ import annotations

import http.client
import os
import select
import socket
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from proxyconf.nginx.additions import NO_ADDITIONS
from proxyconf.nginx.build import parse_build
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.site import Renderer
from proxyconf.tables import Listen
from proxyconf.units import ListenAddress
from tests.golden.cases import NONCE, dialect, snapshot
from tests.live.nginx_server import Answer, NginxServer, check, nginx_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from proxyconf.model import Endpoint, Route
    from proxyconf.nginx.site import Site

TIMEOUT_S = 10.0
NOT_YET_S = 0.2  # so long a test waits for what must not come


class OptionsProxy:
    """An nginx of our own, whose workers are another user where that can be; the folder is written as always.

    Attributes:
        server: It; started by `serve`.
        folder: What it reads.
        additions: What operators add, from the next serving on.
    """

    def __init__(self, *, authorities: Path | None = None, **settings: object) -> None:
        # where its workers may come; pytest's folders are closed to them
        self._holder = tempfile.TemporaryDirectory(prefix="pc-options-")
        path = Path(self._holder.name)
        path.chmod(0o755)
        self.server = NginxServer(path, path / "nginx.conf")
        root = os.geteuid() == 0
        user = "www-data" if root else ""
        listen = Listen(http=(ListenAddress(f"127.0.0.1:{self.server.port}"),))
        more = {"listen": listen, "user": user, "worker_processes": 1, **settings}
        found = dialect(path, nginx=parse_build(nginx_version()), **more)
        self._renderer = Renderer(replace(found, root=root, authorities=authorities))
        self.folder = Folder(path, "nginx.conf", worker=user)
        self.folder.prepare()
        self.additions = NO_ADDITIONS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.kill()
        self._holder.cleanup()

    def serve(self, *routes: Route, **endpoints: str | tuple[Endpoint, ...]) -> Site:
        """Serve these routes: nginx is started, or reads its files again."""
        site = self._renderer.render(snapshot(*routes, **endpoints), additions=self.additions)
        self.folder.stage(site.parts, site.root(NONCE))
        complaints = check(self.folder.staged)
        assert complaints == ""
        self.folder.sync()
        self.folder.install()
        try:
            self.server.reload()
        except Exception as exc:
            if "does not run" not in str(exc):
                raise
            self.server.start()
        return site

    def ask(
        self,
        host: str,
        path: str = "/",
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        """Ask it for *path* of *host*, from the loopback address *source*, with *body* by POST."""
        if not body:
            return self.server.get(host, path, headers=headers, source=source)
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=TIMEOUT_S, source_address=(source, 0)
        )
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it answers before it has read all
                connection.request("POST", path, body=body, headers={"Host": host, **(headers or {})})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def connect(self, text: str) -> socket.socket:
        """Send *text*, the beginning of a request, on a connection of its own."""
        connection = socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT_S)
        connection.sendall(text.encode())
        return connection


class Played:
    """An endpoint that a test plays itself.

    Attributes:
        address: ``ip:port``.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()

    def accept(self, timeout_s: float = TIMEOUT_S) -> socket.socket:
        """Return the next connection.

        Raises:
            TimeoutError: There is none.
        """
        self.listener.settimeout(timeout_s)
        connection = self.listener.accept()[0]
        connection.settimeout(TIMEOUT_S)
        return connection


def accept_any(*endpoints: Played) -> tuple[Played, socket.socket]:
    """Return the next connection, and whose it is."""
    ready = select.select([one.listener for one in endpoints], [], [], TIMEOUT_S)[0]
    found = next(one for one in endpoints if one.listener in ready)
    return found, found.accept()


def receive(connection: socket.socket, wanted: bytes) -> bytes:
    """Receive until *wanted* has come."""
    found = b""
    while wanted not in found:
        piece = connection.recv(65_536)
        assert piece, found
        found += piece
    return found
