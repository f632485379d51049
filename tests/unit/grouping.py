"""A bench for groups of templates: real files and commands, and an nginx beside that is a few attributes."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from proxyconf.errors import RefusedError
from proxyconf.groups.commands import names_src
from proxyconf.groups.group import Group
from proxyconf.groups.output import Manner, Output
from proxyconf.groups.rendering import Rendering, View
from proxyconf.groups.undo import Undo
from proxyconf.model import Entry, Snapshot
from proxyconf.nginx.control import LogMark
from proxyconf.nginx.workers import Worker
from proxyconf.resources.jinja import Templates
from proxyconf.resources.keyspace import Keyspace
from proxyconf.resources.lookups import Lookups
from proxyconf.resources.table import Command, Resource
from proxyconf.state import Record, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from proxyconf.api import TemplateState
    from proxyconf.command import Running
    from proxyconf.errors import ProxyconfError
    from proxyconf.nginx.beside import Beside
    from proxyconf.resources.jinja import Rendered
    from proxyconf.resources.store import Store
    from proxyconf.resources.world import Lookup, World

TICKS_PER_S = 100
CHECK_S = 30.0


def command(line: str | tuple[str, ...], timeout_s: float = CHECK_S) -> Command:
    return Command(line, timeout_s)


NGINX_TEST = command("nginx -t")


def ticks() -> int:
    """Return now as the kernel counts the start of processes."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def view(snapshot: Snapshot | None = None, /, **values: str) -> View:
    """Return what templates see: the keys ``/app/NAME``."""
    pairs = {
        f"/app/{name}": Entry(value.encode("utf-8", "surrogateescape")) for name, value in values.items()
    }
    return View(snapshot or Snapshot(pairs=pairs), Keyspace(pairs))


class CountedTemplates(Templates):
    """Templates that count their renders.

    Attributes:
        meanwhile: Is done during each render.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.renders = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def render(self, src: str, store: Store, world: World, snapshot: Snapshot) -> Rendered:
        self.renders += 1
        self.meanwhile()
        return super().render(src, store, world, snapshot)


class FakeBeside:
    """An nginx that reads a folder; a line in the file ``hup`` is a signal to it.

    Attributes:
        pid: Of the master; None while none runs.
        loaded: The files that it runs on, by name.
        refuse: Returns what it has against a tree: names of files to their texts.
        reaches: Tells whether an include leads to a file.
        error: Is raised when it is asked for a check.
        hup: What a reload does: load; complain as the master does, then keep what it has; or nothing.
        complaint: What the master says when it refuses.
        busy: How often it will say that a reload is under way.
        checks: The names that each check was about.
        timeouts: How long each of them might have taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "nginx.conf"
        self.signals = folder.parent / "hup"
        self.pid: int | None = 7
        self.loaded: dict[str, str] = {}
        self.refuse: Callable[[Mapping[str, str]], str] = lambda _: ""
        self.reaches: Callable[[Path], bool] = lambda _: True
        self.error: ProxyconfError | None = None
        self.hup: Literal["load", "refuse", "ignore"] = "load"
        self.complaint = ['open() "/cert.pem" failed']
        self.busy = 0
        self.checks: list[tuple[str, ...]] = []
        self.timeouts: list[float] = []
        self.log: list[str] = []
        self._loaded_at = 0
        self._seen = 0
        self._workers = frozenset({Worker(100, 1), Worker(101, 1)})

    def files(self) -> dict[str, str]:
        """Return what it would load if it were started."""
        return {file.name: file.read_text() for file in sorted(self.folder.glob("*.conf"))}

    def start(self) -> None:
        """Be started by somebody."""
        self.pid = 8
        self._load()
        self._loaded_at = ticks() + 1

    def _load(self) -> None:
        self.loaded = self.files()
        first = max((worker.pid for worker in self._workers), default=0) + 1
        self._workers = frozenset({Worker(first, ticks()), Worker(first + 1, ticks())})

    async def check(
        self, swaps: Mapping[Path, Path], *, timeout_s: float, running: Running
    ) -> frozenset[Path]:
        self.checks.append(tuple(sorted(path.name for path in swaps)))
        self.timeouts.append(timeout_s)
        assert not running.ended
        if self.error:
            raise self.error
        reached = frozenset(filter(self.reaches, swaps))
        tree = self.files() | {path.name: swaps[path].read_text() for path in reached}
        if reached and (complaint := self.refuse(tree)):
            raise RefusedError(f"check {self.conf}: {complaint}")
        return reached

    async def master(self) -> int | None:
        return self.pid

    async def serving(self) -> frozenset[Worker]:
        """Obey what has arrived, then answer."""
        if self.pid is None:
            return frozenset()
        arrived = self.signals.read_text().count("\n") if self.signals.exists() else 0
        if arrived > self._seen and self.hup == "load":
            self._load()
        elif arrived > self._seen and self.hup == "refuse":
            self.log += self.complaint
        self._seen = arrived
        return self._workers

    async def is_settled(self) -> bool:
        self.busy -= 1
        return self.busy < 0

    async def has_loaded_since(self, since_ticks: int) -> bool:
        return self.pid is not None and self._loaded_at > since_ticks

    async def mark(self) -> LogMark:
        return LogMark(1, len(self.log))

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        return tuple(self.log[since.size :])


class Bench:
    """Templates, their files in ``etc``, the state folder, and what was noted.

    Attributes:
        etc: Where all destinations are.
        states: How it stands with each, by the name of its file.
        history: Name, state and reason whenever that was another one, but for what passes by itself.
        answers: What look-ups come to.
        reload: A command that is a signal to the fake nginx, and leaves a line in ``hup``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.etc = path / "etc"
        self.etc.mkdir(exist_ok=True)
        (path / "templates").mkdir(exist_ok=True)
        self.templates = CountedTemplates(path / "templates")
        self.state = State(path / "state")
        with self.state.locked():
            pass
        self.answers: dict[str, Sequence[str]] = {}
        self.lookups = Lookups(self._resolve)
        self.states: dict[str, TemplateState] = {}
        self.history: list[tuple[str, str, str]] = []
        self.reload = command(f"echo >>{path}/hup")
        self._age_ns = time.time_ns()

    async def _resolve(self, lookup: Lookup) -> Sequence[str]:
        return self.answers.get(lookup.name, ())

    def template(self, name: str, text: str) -> None:
        """Write a template, with a time of change of its own."""
        file = self.path / "templates" / name
        file.write_text(text)
        self._age_ns += 1_000_000
        os.utime(file, ns=(self._age_ns, self._age_ns))

    def resource(self, name: str, text: str = "", **options: Any) -> Resource:  # noqa: ANN401
        """Return one of the template *text*, or else of the key of the same name, that sees all keys."""
        self.template(name, text or f'{{{{ getv("/app/{name}") }}}}')
        return Resource(dest=self.etc / f"{name}.conf", src=name, keys=("/app",), **options)

    def rendering(self, resource: Resource) -> Rendering:
        return Rendering(resource, self.templates, self.lookups)

    def output(self, resource: Resource, *, nginx: bool = False, keeps_stage: bool = False) -> Output:
        """Return one as a plan makes it; with *nginx* every check but of the staged file is for that."""
        manner = Manner(
            in_context=nginx and resource.check is not None and not names_src(resource.check),
            adopts=not nginx and resource.check is None,
            keeps_stage=keeps_stage,
        )
        return Output(resource, self.rendering(resource), self.state, manner, self._note)

    def group(
        self,
        *resources: Resource,
        nginx: FakeBeside | None = None,
        sync_only: bool = False,
        keeps_stage: bool = False,
    ) -> Group:
        """Return a group as a new run has it."""
        return Group(
            [self.output(one, nginx=nginx is not None, keeps_stage=keeps_stage) for one in resources],
            undo=Undo(self.state.undo, "group"),
            nginx=cast("Beside | None", nginx),
            sync_only=sync_only,
        )

    def _note(self, now: TemplateState) -> None:
        name = Path(now.dest).stem
        self.states[name] = now
        told = (name, now.state, now.reason)
        last = next((one for one in reversed(self.history) if one[0] == name), None)
        if now.state not in ("starting", "reloading") and told != last:
            self.history.append(told)

    def is_in(self, name: str) -> tuple[str, str]:
        """Return the state of a template, and what its last proof was."""
        return self.states[name].state, self.states[name].proof

    def reason(self, name: str) -> str:
        return self.states[name].reason.replace(str(self.path), "")

    def texts(self) -> dict[str, str]:
        """Return what is in place."""
        return {file.stem: file.read_text() for file in sorted(self.etc.glob("*.conf"))}

    def write(self, **texts: str) -> None:
        """Put files in place as somebody else."""
        for name, text in texts.items():
            (self.etc / f"{name}.conf").write_text(text)

    def record(self, name: str) -> Record | None:
        """Return what a later run will know."""
        return self.state.load_record(self.etc / f"{name}.conf")

    def reloads(self) -> int:
        """Return how often the reload command was run."""
        file = self.path / "hup"
        return file.read_text().count("\n") if file.exists() else 0

    def left_overs(self) -> list[str]:
        """Return what there is in ``etc`` besides the destinations, and how many journals."""
        hidden = [file.name for file in self.etc.iterdir() if not file.name.endswith(".conf")]
        return sorted(hidden) + [file.name for file in self.state.undo.glob("*.msgpack")]


@contextmanager
def without(folder: Path) -> Iterator[None]:
    """Take a folder away for a while: nothing can be written there, not by root either."""
    away = folder.with_name(f"{folder.name}-away")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)
