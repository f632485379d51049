"""Wiring: settings to running parts, in one task group."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, NoReturn

import structlog

from proxyconf.child import Child
from proxyconf.design import follow
from proxyconf.errors import (
    ProxyconfError,
    Shutdown,
    SourceError,
    StateError,
    StateInUseError,
    UsageError,
)
from proxyconf.groups import undo
from proxyconf.house import House
from proxyconf.notify import Herald, Notifier
from proxyconf.resources.folder import Resources
from proxyconf.routing import Reader
from proxyconf.snapshot import merge
from proxyconf.state import State
from proxyconf.status import ask_status, serving
from proxyconf.supervisor import stop_on_signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    from proxyconf.api import Status
    from proxyconf.config import Settings
    from proxyconf.design import Followed
    from proxyconf.model import Listing, Problem, Snapshot
    from proxyconf.sources import Source
    from proxyconf.tables import Exec, Nginx


log = structlog.get_logger(__name__)

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How `once` ended.

    Attributes:
        status: Everything there is to say.
        settled: All required sources have spoken, and the outcome is a final one.
        set_aside: The template resources that can't be used, so that nobody has written their files.
    """

    status: Status
    settled: bool
    set_aside: tuple[Problem, ...]


def state_path(settings: Settings) -> Path:
    """Return the state folder."""
    return settings.tables.state.dir.absolute()


def socket_path(settings: Settings) -> Path:
    """Return where the running program answers."""
    return settings.tables.status.socket or state_path(settings) / "status.sock"


async def running(settings: Settings) -> int | None:
    """Return the process id of the proxyconf that runs with the same state folder; None where none does."""
    try:
        return (await ask_status(socket_path(settings))).pid
    except StateError:
        return None


async def run(
    settings: Settings, *, read_again: Callable[[], Settings], command: Sequence[str] | None = None
) -> int:
    """Keep nginx and templates in step until SIGTERM, SIGINT or SIGQUIT; return the exit code.

    Args:
        settings: The configuration.
        read_again: Reads it anew at SIGHUP, when everything is also checked and reloaded.
        command: What starts nginx as our child; empty: what runs it on our file. None: it is no child.

    Raises:
        UsageError: The configuration is wrong.
        StateError: The state folder can't be used, or another proxyconf uses it.
        CommandError: nginx's program can't be run.
        ExceptionGroup: A bug.
    """
    child: Child | None = None

    async def until_signal(house: House, group: asyncio.TaskGroup) -> NoReturn:
        nonlocal child
        herald = Herald(notifier, house.board, house.progress)
        group.create_task(herald.run(), name="herald")

        def hang_up() -> None:
            group.create_task(herald.reload(house.read_again(read_again, group)), name="read again")

        actions = {signal.SIGHUP: hang_up}
        if command is not None:
            child = _child(house, settings.tables.exec, command)
            group.create_task(child.run(), name="nginx")
            actions[signal.SIGUSR1] = child.reopen
        await stop_on_signal(actions, last=partial(_end, house, herald, child))

    notifier = Notifier.from_environment(os.environ, os.getpid())
    if command is not None:
        _refuse_child(settings.tables.nginx, command)
    await _work(settings, until_signal, listens=True)
    return child.exit_code if child else 0


def _refuse_child(nginx: Nginx, command: Sequence[str]) -> None:
    if not nginx.via.is_local:
        raise UsageError(
            f"--exec: [nginx] via = {nginx.via!r} is an nginx in another container, which is started there"
            ' (leave --exec out, or set via = "local")'
        )
    if nginx.mode == "none" and not command:
        raise UsageError(
            '--exec: [nginx] mode = "none" names no nginx that could be started'
            " (write its command: --exec -- nginx -g 'daemon off;')"
        )


def _child(house: House, settings: Exec, command: Sequence[str]) -> Child:
    """Return nginx as our child; raise CommandError where there is no such program."""
    ours = shlex.split(house.board.nginx.start)
    argv = command or [*ours, "-g", "daemon off;"]
    root = house.board.nginx.root
    named = root in argv or f"-c{root}" in argv  # what a script of the operator's does is not known
    if house.board.nginx.mode == "own" and not named and PurePath(argv[0]).name == PurePath(ours[0]).name:
        reason = f"it reads another main file than ours, and what is written has no effect (add -c {root})"
        log.warning("command.doubted", command=shlex.join(argv), reason=reason)
    ready = partial(house.startable, settings.start_after)
    return Child(argv, settings, ready=ready, master=house.master, note=house.board.child_noted)


async def _end(house: House, herald: Herald, child: Child | None) -> None:
    """Let nginx, if it is our child, finish its requests, once nothing more can come in between.

    Status tells how it goes.
    """
    herald.stop()
    if child:
        await house.finish()
        await child.stop()


async def once(settings: Settings, *, timeout_s: float) -> Outcome:
    """Bring what the sources say now into nginx and templates, and end; raises as `run` does."""
    settled = False

    async def until_settled(house: House, _: asyncio.TaskGroup) -> NoReturn:
        nonlocal settled
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await house.settled()
                settled = True
        raise Shutdown

    house = await _work(settings, until_settled, listens=False)  # it has ended before anybody asks
    return Outcome(house.board.status(), settled=settled, set_aside=house.set_aside)


async def _work(
    settings: Settings, end: Callable[[House, asyncio.TaskGroup], Awaitable[NoReturn]], *, listens: bool
) -> House:
    """Run everything until *end* raises Shutdown, and answer questions meanwhile where it *listens*."""
    follow(settings, Resources())  # a mistake is said before anything is made
    state = State(state_path(settings))
    failure: BaseException | None = None
    state.refuse_root()
    with state.locked():
        house = await House.build(settings, state)
        answering = serving(socket_path(settings), house, settings.tables.status)
        async with answering if listens else nullcontext():
            try:
                async with asyncio.TaskGroup() as group:
                    house.start(group)
                    group.create_task(_as_coroutine(end(house, group)), name="end")
            except* Shutdown:
                pass
            except* ProxyconfError as expected:
                failure = expected.exceptions[0]
    if failure:
        raise failure
    return house


async def _as_coroutine(end: Awaitable[NoReturn]) -> NoReturn:
    await end
    raise AssertionError


async def recover(settings: Settings, *, timeout_s: float) -> tuple[Path, ...]:
    """Put back files that a killed run has left unchecked; return them.

    Where a proxyconf runs, its checks in place are waited for instead.

    Raises:
        StateError: A file can't be put back, or the check of a running one takes too long.
    """
    state = State(state_path(settings))
    if not state.undo.is_dir():
        return ()
    try:
        with state.locked():
            return await asyncio.to_thread(undo.recover, state.undo)
    except StateInUseError:
        pass
    try:
        async with asyncio.timeout(timeout_s):
            while not await asyncio.to_thread(undo.is_clean, state.undo):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise StateError(
            f"recover: after {timeout_s:g} s a check in place has still not ended (see proxyconf status)"
        ) from None
    return ()


async def look(settings: Settings, resources: Resources, *, timeout_s: float) -> Snapshot:
    """Ask every source once, and return what nginx and the templates *resources* should know.

    Raises:
        SourceError: One did not answer, or not in time.
        UsageError: The configuration of a source is wrong.
    """
    listings = await ask_all(follow(settings, resources).values(), timeout_s=timeout_s)
    return merge(
        [Reader().read(listing) for listing in listings], host_rule=settings.tables.routing.host_rule
    )


async def ask_all(followed: Collection[Followed], *, timeout_s: float) -> tuple[Listing, ...]:
    """Ask every source once.

    Raises:
        SourceError: One did not answer, or not in time.
    """
    found = await asyncio.gather(*(_first_listing(one.source, timeout_s) for one in followed))
    return tuple(replace(listing, needs=one.needs) for listing, one in zip(found, followed, strict=True))


async def _first_listing(source: Source, timeout_s: float) -> Listing:
    try:
        async with asyncio.timeout(timeout_s), aclosing(source.watch()) as listings:
            return await anext(listings)
    except TimeoutError:
        raise SourceError(f"watch {source.name}: nothing within {timeout_s:g} s") from None
