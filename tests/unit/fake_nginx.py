"""An nginx that is a few attributes: it checks, loads and answers what is really in a folder."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal, cast

from proxyconf.apply import Apply
from proxyconf.errors import CommandError, NotRunningError, RefusedError, UncheckedError
from proxyconf.model import Endpoint, Problem, Route, Snapshot
from proxyconf.nginx.build import Build
from proxyconf.nginx.control import LogMark
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.part import parts_named
from proxyconf.nginx.site import Renderer
from proxyconf.nginx.workers import Lingering
from proxyconf.steps import Steps
from tests.golden.cases import dialect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxyconf.nginx.proof import Prober

_NONCE = re.compile(rb'return 200 "([^"]*)"')


def site(*names: str, endpoint: str = "10.0.0.1:80") -> Snapshot:
    """Return hosts ``NAME.test``, each with a service of its own."""
    routes = tuple(
        Route(f"{name}.test", "/", name, f"routes/{name}", f"etcd {name}", "etcd") for name in sorted(names)
    )
    return Snapshot(routes, {name: (Endpoint(endpoint),) for name in sorted(names)})


class FakeNginx:
    """Both the control and the prober.

    Attributes:
        pid: Of the master; None while none runs.
        orphaned: Its workers run on without a master.
        stranger: What somebody else answers on its address; "" for nobody.
        held: Who else has its address, and the mend; "" for nobody.
        loaded: The root file that it runs on.
        hup: What a reload does: load; complain as the master does, then keep what it has; or nothing.
        refuse: Returns what ``nginx -t`` has against a part's text; ``PLACE`` in it is file and line.
        refuse_all: What it has against every root file.
        signals: How many it got.
        checks: How many root files it was asked about.
        asked: How often it was asked for proof.
        silent: It has too much to do to answer that.
        build: What it is.
        problems: What keeps us from reaching it as we should.
        hidden: Why there is nobody to ask what it is.
        hidden_later: Why there is nobody to check by any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid: int | None = 7
        self.orphaned = False
        self.stranger = self.held = ""
        self.loaded = b""
        self.hup: Literal["load", "refuse", "ignore"] = "load"
        self.refuse: Callable[[str], str] = lambda _: ""
        self.refuse_all = ""
        self.warning = ""
        self.signals = 0
        self.checks = 0
        self.asked = 0
        self.silent = False
        self.build: Build | None = Build(version=(1, 22, 1))
        self.problems: tuple[Problem, ...] = ()
        self.hidden = self.hidden_later = ""
        self.complaint = ["still could not bind()"]
        self.log: list[str] = []

    @property
    def root(self) -> bytes:
        """The root file on disk."""
        return (self.folder / "nginx.conf").read_bytes()

    def start(self, pid: int) -> None:
        self.pid, self.loaded = pid, self.root

    def hosts(self) -> list[str]:
        """Return the host names it serves."""
        texts = [self._part(name) for name in parts_named(self.loaded)]
        return sorted(name for text in texts for name in re.findall(r'server_name "?([^";]+)', text))

    def closed(self) -> list[str]:
        """Return those of the host names whose every request gets 503."""
        texts = [self._part(name) for name in parts_named(self.loaded) if name[0] == "h"]
        shut = [text for text in texts if "return 503" in text and "proxy_pass" not in text]
        return sorted(name for text in shut for name in re.findall(r'server_name "?([^";]+)', text))

    def texts(self) -> str:
        return "".join(self._part(name) for name in sorted(parts_named(self.loaded)))

    def _part(self, name: str) -> str:
        return (self.folder / "parts" / name).read_text()

    async def meet(self) -> None:
        if self.hidden:
            raise UncheckedError(self.hidden)

    async def check(self, main: Path) -> str:
        self.checks += 1
        if self.hidden_later:
            raise UncheckedError(self.hidden_later)
        self._read(main)
        return self.warning

    def _read(self, main: Path) -> None:
        for name in sorted(parts_named(main.read_bytes()), reverse=True):  # services before hosts
            if not (self.folder / "parts" / name).exists():
                self._refuse(f'open() "{name}" failed (2: No such file or directory)')
            if complaint := self.refuse(self._part(name)):
                self._refuse(complaint.replace("PLACE", f"in {self.folder}/parts/{name}:2"))
        if self.refuse_all:
            self._refuse(self.refuse_all)

    def _refuse(self, complaint: str) -> None:
        raise RefusedError(f"check: {complaint}", f"nginx: [emerg] {complaint}\nnginx: test failed\n")

    async def master(self) -> int | None:
        return self.pid

    async def reload(self) -> None:
        if self.pid is None:
            raise NotRunningError("reload nginx: none")
        self.signals += 1
        if self.hup == "load":
            self.loaded = self.root
        elif self.hup == "refuse":
            self.log += self.complaint

    async def mark(self) -> LogMark:
        return LogMark(1, len(self.log))

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        return tuple(self.log[since.size :])

    async def in_the_way(self) -> str:
        return self.held

    async def lingering(self) -> Lingering:
        return Lingering(2, 4096)

    async def ask(self) -> str | None:
        self.asked += 1
        if self.silent:
            return None
        runs = self.pid is not None or self.orphaned
        found = _NONCE.search(self.loaded) if runs else None
        return found[1].decode() if found else self.stranger


class Bench:
    """An apply on a fake nginx and a real folder.

    Attributes:
        renderer: Who renders.
        unreadable: Nobody can tell who does.
    """

    def __init__(self, path: Path, nginx: FakeNginx | None = None, folder: Folder | None = None) -> None:
        self.nginx = nginx or FakeNginx(path)
        self.folder = folder or Folder(path, "nginx.conf")
        self.renderer = Renderer(dialect(path))
        self.unreadable = False
        self.apply = Apply(
            folder=self.folder,
            renderer=self._renderer,
            control=self.nginx,
            prober=cast("Prober", self.nginx),
        )
        self.saved = 0
        self.steps: dict[str, float] = {}

    async def serve(self, snapshot: Snapshot) -> bool:
        steps = Steps()
        try:
            return await self.apply.apply(snapshot, steps, beside=self._save)
        finally:
            self.steps = steps.seconds

    def _renderer(self) -> Renderer:
        if self.unreadable:
            raise CommandError("read nginx.conf: No such file")
        return self.renderer

    def _save(self) -> None:
        self.saved += 1


async def serving(path: Path, snapshot: Snapshot) -> Bench:
    """Return one that serves *snapshot*."""
    bench = Bench(path)
    await bench.apply.resume(None)
    assert await bench.serve(snapshot)
    return bench


def parts_on_disk(path: Path) -> set[str]:
    return {file.name for file in (path / "parts").iterdir()}


def assert_startable(path: Path) -> None:
    """Check that nginx would start: all parts that the root file names are there, and whole."""
    root = path / "nginx.conf"
    for name in parts_named(root.read_bytes()) if root.exists() else ():
        digest = hashlib.sha256((path / "parts" / name).read_bytes()).hexdigest()
        assert name == f"{name[0]}-{digest[:16]}.conf"
