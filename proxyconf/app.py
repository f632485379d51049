"""Wiring: settings to running parts, in one task group."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import structlog

from proxyconf.apply import Apply
from proxyconf.board import Board, NginxState
from proxyconf.changes import ChangeQueue
from proxyconf.errors import ProxyconfError, Shutdown, SourceError
from proxyconf.intake import Intake
from proxyconf.nginx.here import ask_build, open_nginx
from proxyconf.reconciler import Reconciler
from proxyconf.routing import Reader
from proxyconf.snapshot import merge
from proxyconf.sources import open_source
from proxyconf.state import State
from proxyconf.status import serving
from proxyconf.supervisor import keep_watching, stop_on_signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from proxyconf.board import Status
    from proxyconf.config import Settings
    from proxyconf.model import Listing, Snapshot
    from proxyconf.sources import Source

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How `once` ended.

    Attributes:
        status: Everything there is to say.
        settled: All required sources have spoken, and the outcome is a final one.
    """

    status: Status
    settled: bool


@dataclass(frozen=True, slots=True)
class _House:
    """The parts that work together."""

    queue: ChangeQueue
    intake: Intake
    apply: Apply
    board: Board
    reconciler: Reconciler

    def look_again(self) -> None:
        """Check and reload even if nothing has changed: a certificate of the operator's may have."""
        log.info("proxyconf.looking_again")
        self.apply.look_again()
        self.queue.poke()

    def confirm(self) -> tuple[str, ...]:
        """Believe the listings that are held."""
        confirmed = self.intake.confirm()
        if confirmed:
            self.queue.poke()
        return confirmed


def state_path(settings: Settings) -> Path:
    """Return the state folder."""
    return settings.tables.state.dir.absolute()


def socket_path(settings: Settings) -> Path:
    """Return where the running program answers."""
    return settings.tables.status.socket or state_path(settings) / "status.sock"


def open_sources(settings: Settings) -> tuple[Source, ...]:
    """Make the configured sources.

    Raises:
        UsageError: A key is unknown or its value wrong.
    """
    return tuple(open_source(table) for table in settings.sources)


async def run(settings: Settings) -> None:
    """Keep nginx in step until SIGTERM or SIGINT; SIGHUP has everything checked and reloaded.

    Raises:
        UsageError: The configuration of a source is wrong.
        StateError: The state folder can't be used, or another proxyconf uses it.
        CommandError: nginx's program can't be run.
        ExceptionGroup: A bug.
    """

    async def until_signal(house: _House) -> NoReturn:
        await stop_on_signal(hang_up=house.look_again)

    await _work(settings, until_signal)


async def once(settings: Settings, *, timeout_s: float) -> Outcome:
    """Bring what the sources say now into nginx, and end; raises as `run` does."""
    reconciler: Reconciler | None = None

    async def until_settled(house: _House) -> NoReturn:
        nonlocal reconciler
        reconciler = house.reconciler
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await house.reconciler.settled.wait()
        raise Shutdown

    board = await _work(settings, until_settled)
    return Outcome(board.status(), settled=reconciler is not None and reconciler.settled.is_set())


async def _work(settings: Settings, end: Callable[[_House], Awaitable[NoReturn]]) -> Board:
    """Run everything until *end* raises Shutdown."""
    sources = open_sources(settings)
    state = State(state_path(settings))
    failure: BaseException | None = None
    with state.locked():
        house = await _build(settings, state, sources)
        async with serving(socket_path(settings), house.board, house.confirm):
            try:
                async with asyncio.TaskGroup() as group:
                    for source in sources:
                        watching = keep_watching(source, house.queue.put, house.board)
                        group.create_task(watching, name=f"source {source.name}")
                    group.create_task(house.reconciler.run(), name="reconciler")
                    group.create_task(_as_coroutine(end(house)), name="end")
            except* Shutdown:
                pass
            except* ProxyconfError as expected:
                failure = expected.exceptions[0]
    if failure:
        raise failure
    return house.board


async def _as_coroutine(end: Awaitable[NoReturn]) -> NoReturn:
    await end
    raise AssertionError


async def _build(settings: Settings, state: State, sources: Sequence[Source]) -> _House:
    """Make the parts; asks nginx what it is."""
    tables = settings.tables
    build = await ask_build(tables.nginx.binary)
    nginx = await open_nginx(tables.nginx, build, state.nginx, state.token())
    known = NginxState(
        mode=tables.nginx.mode,
        root=str(nginx.folder.root),
        version=".".join(map(str, build.version)),
        start=nginx.start,
    )
    board = Board([source.name for source in sources], known)
    queue = ChangeQueue(tables.pace)
    intake = Intake({source.name: source.policy for source in sources})
    apply = Apply(folder=nginx.folder, renderer=nginx.renderer, control=nginx.control, prober=nginx.prober)
    reconciler = Reconciler(
        queue=queue, intake=intake, apply=apply, state=state, board=board, settings=tables
    )
    for name in settings.warnings:
        log.warning("setting.ignored", reason=name)
    log.info(
        "proxyconf.started", sources=[source.name for source in sources], nginx=known.version, root=known.root
    )
    return _House(queue, intake, apply, board, reconciler)


async def look(settings: Settings, *, timeout_s: float) -> Snapshot:
    """Ask every source once, and return what nginx should know.

    Raises:
        SourceError: One did not answer, or not in time.
        UsageError: The configuration of a source is wrong.
    """
    listings = await asyncio.gather(*(_first_listing(source, timeout_s) for source in open_sources(settings)))
    return merge(
        [Reader().read(listing) for listing in listings], host_rule=settings.tables.routing.host_rule
    )


async def _first_listing(source: Source, timeout_s: float) -> Listing:
    try:
        async with asyncio.timeout(timeout_s), aclosing(source.watch()) as listings:
            return await anext(listings)
    except TimeoutError:
        raise SourceError(f"watch {source.name}: nothing within {timeout_s:g} s") from None
