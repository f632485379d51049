"""The real program as a child process, with an nginx of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Any, Protocol, Self

from bench.errors import BenchError
from bench.process import Cpu, cpu_of
from proxyconf.errors import StateError
from proxyconf.status import ask_status
from tests.live.nginx_server import NginxServer
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from bench.lab import Lab
    from proxyconf.api import Status

_PATIENCE_S = 30.0
_RELOADED = re.compile(rb"#\d+: reconfiguring$", re.MULTILINE)
_SETTINGS = (
    "nginx.listen.reuseport=true",
    "nginx.worker_processes=1",  # so that a service's endpoints take turns, and every one is seen
    "log.format=json",
)


@dataclass(frozen=True, slots=True)
class Tree:
    """nginx's files.

    Attributes:
        root: The main file.
        parts: Name to content.
    """

    root: bytes
    parts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program works.

    Attributes:
        folder: For everything that is written.
        port: nginx listens there.
        etcd: Its URL.
        notices: Where nginx is to say what it does.
    """

    folder: Path
    port: int
    etcd: str
    notices: Path

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"


class Job(Protocol):
    """What the program is to do.

    Attributes:
        main: The main file of its nginx.
    """

    main: Path

    def prepare(self) -> None:
        """Write what must be there before the first start."""
        ...

    def command(self, prefix: str) -> list[str]:
        """Return the arguments to start it on the keys below *prefix*."""
        ...

    def tree(self) -> Tree:
        """Return the files that its nginx reads, each part in the folder ``parts`` beside the main file."""
        ...


class SiteJob:
    """Routes and services, from our own layout of keys."""

    def __init__(self, place: Place) -> None:
        self.main = place.state / "nginx" / "nginx.conf"
        self._place = place

    def prepare(self) -> None:
        """Let nginx say what it does."""
        watched = self.main.parent / "main.d" / "notice.conf"
        watched.parent.mkdir(parents=True)
        watched.write_text(f"error_log {self._place.notices} notice;\n")

    def command(self, prefix: str) -> list[str]:
        """Return the arguments of ``run``."""
        place = self._place
        settings = (f"etcd.prefix={prefix}", f"nginx.listen.http=127.0.0.1:{place.port}", *_SETTINGS)
        command = ["run", "--etcd", place.etcd, "--state", str(place.state)]
        return command + [part for setting in settings for part in ("-s", setting)]

    def tree(self) -> Tree:
        """Return the main file, and those parts of ours that it names."""
        root = self.main.read_bytes()
        files = [file for file in (self.main.parent / "parts").iterdir() if file.name.encode() in root]
        return Tree(root, {file.name: file.read_bytes() for file in files})


class Product:
    """One proxyconf and its nginx; a context manager that ends both.

    Attributes:
        folder: Has the state folder and the logs.
        port: nginx listens there.
        main: nginx's main file.
        nginx: Started by `boot`.
    """

    def __init__(self, lab: Lab, name: str, job: Callable[[Place], Job] = SiteJob) -> None:
        self.folder = lab.folder / name
        self._place = Place(self.folder, free_ports(1)[0], lab.etcd.url, self.folder / "notice.log")
        self._job = job(self._place)
        self.port, self.main = self._place.port, self._job.main
        self.nginx = NginxServer(self.folder, self.main, port=self.port)
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
        self._job.prepare()
        self.start(prefix)
        self.wait_until("installed")
        self.nginx.start()
        self.wait_until("applied")

    def start(self, prefix: str) -> None:
        """Start proxyconf; return at once."""
        with self._output.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - all of it is ours
                [sys.executable, "-m", "proxyconf", *self._job.command(prefix)],
                env=_environment(),
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
        return asyncio.run(ask_status(self._place.state / "status.sock"))

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

    def tree(self) -> Tree:
        """Return the files that nginx reads."""
        return self._job.tree()

    def reloads(self) -> int:
        """Return how often nginx has read its configuration again, as nginx itself says."""
        return len(_RELOADED.findall(self._place.notices.read_bytes()))

    def cpu(self) -> Cpu:
        """Return the CPU time of proxyconf."""
        return cpu_of(self.pid)

    def log(self) -> str:
        """Return the end of what proxyconf said."""
        return self._output.read_text(errors="replace")[-2000:] if self._output.exists() else ""

    def events(self, since: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return what it has logged since there, and where that ends."""
        lines = self._output.read_bytes()[since:]
        lines = lines[: lines.rfind(b"\n") + 1]  # the last one may be half written
        return [json.loads(line) for line in lines.splitlines()], since + len(lines)

    @property
    def _output(self) -> Path:
        return self.folder / "proxyconf.log"


def _environment() -> dict[str, str]:
    """Return our environment without variables that would change the settings, but for one."""
    ours = ("PROXYCONF_", "CONFD_")
    found = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return found | {"PROXYCONF_ETCD_MAX_LOSS": "1"}  # sites are exchanged at will here
