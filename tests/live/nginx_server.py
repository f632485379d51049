"""A private nginx in the foreground, on a free loopback port; and how to ask it something.

Nothing here needs root, pytest or asyncio; every call blocks. Only what was started here is ended.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.server import Server, ServerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_TAIL = 3_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP server answered; names of headers are in lower case.

    Attributes:
        status: 0 where it hung up without an answer.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class NginxServer(Server):
    """An nginx on a main file that the caller writes, before the start, with `port` as one it listens on.

    Attributes:
        conf: The main file; without a ``daemon`` directive.
        port: A free port of 127.0.0.1.
    """

    def __init__(self, folder: Path, conf: Path, *, port: int | None = None) -> None:
        super().__init__(folder, "nginx")
        self.conf = conf
        self.port = port or free_ports(1)[0]

    def command(self) -> list[str]:
        """Return the program and its flags."""
        return ["nginx", "-c", str(self.conf), "-g", "daemon off;"]

    def healthy(self) -> bool:
        """Tell whether its port takes connections, and a worker takes them from there."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and bool(self.workers())

    def reload(self, *, timeout_s: float = 10) -> None:
        """Have it read its configuration again, and wait until no worker from before takes a request.

        Raises:
            ServerError: It kept the old workers, as it does with a configuration that it refuses.
        """
        before = set(self.workers())
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + timeout_s
        while before & set(self.workers()) or not self.workers():
            if time.monotonic() > deadline:
                raise ServerError(f"nginx did not reload\n{self.log()}")
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """Return the process ids of the workers that take requests; needs Linux's /proc."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if _title(pid) == "nginx: worker process"]

    def stop(self, number: signal.Signals = signal.SIGQUIT, *, timeout_s: float = 10) -> None:
        """End it in order: it finishes the requests that it has."""
        super().stop(number, timeout_s=timeout_s)

    def log(self) -> str:
        """Return the end of what it printed and logged."""
        logged = self.conf.parent / "error.log"
        return super().log() + (logged.read_text(errors="replace")[-_LOG_TAIL:] if logged.exists() else "")

    def get(
        self,
        host: str,
        path: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
        timeout_s: float = 10,
    ) -> Answer:
        """Ask it for *path* of *host*, from the loopback address *source*."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=timeout_s, source_address=(source, 0)
        )
        try:
            connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": host, **(headers or {})}.items():
                connection.putheader(name, value.encode())
            connection.endheaders()
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        except http.client.RemoteDisconnected:
            return Answer(0, {}, b"")
        finally:
            connection.close()


def nginx_version() -> str:
    """Return the text of ``nginx -V``."""
    done = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True)
    return done.stderr


def check(conf: Path) -> str:
    """Return what ``nginx -t`` says about *conf*; "" if it is content and has no warning."""
    done = subprocess.run(
        ["nginx", "-t", "-c", conf], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    lines = done.stderr.decode(errors="replace").splitlines()
    # not about the text: that worker_connections exceed this shell's limit of open files
    bad = [line for line in lines if "[" in line and "open file resource limit" not in line]
    return "\n".join(bad or ([] if done.returncode == 0 else lines))


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:  # it ended meanwhile
        return ""
