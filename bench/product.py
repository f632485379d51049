"""The real program as a child process, with an nginx of its own."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Self

from bench.errors import BenchError
from bench.process import Cpu, cpu_of
from proxyconf.errors import StateError
from proxyconf.status import ask_status
from tests.live.etcd_server import free_ports
from tests.live.nginx_server import NginxServer

if TYPE_CHECKING:
    from types import TracebackType

    from bench.lab import Lab
    from proxyconf.board import Status

_PATIENCE_S = 30.0
_RELOADED = re.compile(rb"#\d+: reconfiguring$", re.MULTILINE)
_SETTINGS = (
    "nginx.listen.reuseport=true",
    "nginx.worker_processes=1",  # so that a service's endpoints take turns, and every one is seen
    "etcd.max_loss=1",  # sites are exchanged at will here
    "log.format=json",
)


class Product:
    """One proxyconf and its nginx; a context manager that ends both.

    Attributes:
        folder: Has the state folder and the logs.
        port: nginx listens there.
        nginx: Started by `boot`.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self.folder = lab.folder / name
        self.state = self.folder / "state"
        self.port = free_ports(1)[0]
        self.nginx = NginxServer(self.folder, self.state / "nginx" / "nginx.conf", port=self.port)
        self._etcd = lab.etcd.url
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.nginx.kill()

    @property
    def pid(self) -> int:
        """The process id of proxyconf.

        Raises:
            BenchError: It does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise BenchError(f"proxyconf has ended\n{self.log()}")
        return self._process.pid

    def boot(self, prefix: str) -> None:
        """Start proxyconf on the keys below *prefix*, then nginx, and wait until all is applied."""
        watched = self.state / "nginx" / "main.d" / "notice.conf"
        watched.parent.mkdir(parents=True, exist_ok=True)
        watched.write_text(f"error_log {self._notices} notice;\n")
        self.start(prefix)
        self.wait_until("installed")
        self.nginx.start()
        self.wait_until("applied")

    def start(self, prefix: str) -> None:
        """Start proxyconf; return at once."""
        settings = (f"etcd.prefix={prefix}", f"nginx.listen.http=127.0.0.1:{self.port}", *_SETTINGS)
        command = [sys.executable, "-m", "proxyconf", "run", "--etcd", self._etcd, "--state", str(self.state)]
        command += [part for setting in settings for part in ("-s", setting)]
        with self._output.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - all of it is ours
                command,
                env={key: value for key, value in os.environ.items() if not key.startswith("PROXYCONF_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        """Tell proxyconf to end, and wait until it has."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def status(self) -> Status:
        """Return what proxyconf says of itself."""
        return asyncio.run(ask_status(self.state / "status.sock"))

    def wait_until(self, state: str) -> None:
        """Wait for a state that the status shows.

        Raises:
            BenchError: It did not come.
        """
        deadline, found = time.monotonic() + _PATIENCE_S, ""
        while found != state:
            if time.monotonic() > deadline:
                raise BenchError(f"proxyconf is {found or 'silent'} instead of {state}\n{self.log()}")
            time.sleep(0.05)
            try:
                found = self.status().state if self.pid else ""
            except StateError:
                continue

    def reloads(self) -> int:
        """Return how often nginx has read its configuration again, as nginx itself says."""
        return len(_RELOADED.findall(self._notices.read_bytes()))

    def cpu(self) -> Cpu:
        """Return the CPU time of proxyconf."""
        return cpu_of(self.pid)

    def log(self) -> str:
        """Return the end of what proxyconf said."""
        return self._output.read_text(errors="replace")[-2000:] if self._output.exists() else ""

    @property
    def _output(self) -> Path:
        return self.folder / "proxyconf.log"

    @property
    def _notices(self) -> Path:
        return self.folder / "notice.log"
