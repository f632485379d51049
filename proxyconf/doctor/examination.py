"""All checks, side by side, each with a bound: what does not answer keeps none of the others waiting."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from proxyconf import preview
from proxyconf.app import running, socket_path, state_path
from proxyconf.design import follow_one, no_source
from proxyconf.doctor.finding import Check, Finding, Findings, Level, of_message, ok, warning, wrong
from proxyconf.doctor.folders import certificate_folder, state_folder
from proxyconf.doctor.nginx import nginx_checks
from proxyconf.doctor.sources import source_checks
from proxyconf.errors import ProxyconfError, StateError, UsageError
from proxyconf.resources.folder import Resources, read_resources
from proxyconf.status import ask_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from proxyconf.api import Status
    from proxyconf.config import Settings

_BOUND_S = 5.0
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - read, not listened on


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at everything that *settings* are about; takes some seconds at most, but for nginx's own check."""
    resources = await asyncio.to_thread(read_resources, settings)
    ours = (
        Check("configuration", lambda: _configuration(settings)),
        Check("proxyconf", lambda: _running(socket_path(settings))),
        Check("state", lambda: state_folder(state_path(settings))),
    )
    rest = list(_source_checks(settings, resources))
    if folder := settings.tables.nginx.tls.certificates:
        rest.insert(0, Check("certificates", lambda: certificate_folder(folder, time.time())))
    found = await asyncio.gather(*map(run, ours), _run_nginx(settings), *map(run, rest))
    return tuple(finding for one in found for finding in one)


async def run(check: Check) -> list[Finding]:
    """Return what *check* finds; what it has found by the end of its time stays."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(check.timeout_s), aclosing(check.look()) as findings:
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 - those before a failure count
    except TimeoutError:
        found.append(
            wrong(check.what, f"no answer within {check.timeout_s:g} s", "it hangs, or packets are dropped")
        )
    except ProxyconfError as exc:
        found.append(of_message("wrong", check.what, str(exc)))
    except OSError as exc:  # one that nobody has thought of must not keep the rest from being said
        reason = f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)
        found.append(wrong(check.what, f"look at {reason}", "may we?"))
    return found


async def _run_nginx(settings: Settings) -> list[Finding]:
    """Return what there is to say of nginx: first it has to be found."""
    try:
        async with asyncio.timeout(_BOUND_S):
            checks = await nginx_checks(settings)
    except TimeoutError:
        return [wrong("nginx", f"no answer within {_BOUND_S:g} s", "what does it wait for?")]
    except ProxyconfError as exc:
        return [of_message("wrong", "nginx", str(exc))]
    found = await asyncio.gather(*map(run, checks))
    return [finding for one in found for finding in one]


def _source_checks(settings: Settings, resources: Resources) -> Iterator[Check]:
    for table in settings.sources:
        try:
            followed = follow_one(settings, table, resources)
        except UsageError:
            continue  # it is a mistake of the configuration, and told there
        yield from source_checks(table, followed.source)


async def _configuration(settings: Settings) -> Findings:
    """Yield the mistakes in the configuration, and what was passed over in it."""
    found = await asyncio.to_thread(preview.read, settings)
    for text in found.mistakes:
        yield of_message("wrong", "configuration", text)
    for text in found.warnings:
        yield of_message("warning", "configuration", text)
    if (address := settings.tables.status.address) and address.host in _EVERYWHERE:
        says = f"[status] address = {address!r} is every address of this host: who gets there sees all hosts"
        mend = 'set one of them, as "127.0.0.1:9180", or keep others away from the port'
        yield warning("configuration", f"{says}, endpoints and problems", mend)
    if not found.sources:
        pid = await running(settings)
        level: Level = "wrong" if pid is None else "warning"  # what runs has one, by flags that we lack
        yield of_message(level, "configuration", no_source(settings, pid))
    elif not found.mistakes:
        yield ok("configuration", _in_words(found.sources, found.templates))


def _in_words(sources: Iterable[str], templates: int) -> str:
    beside = f"; {templates} {'template' if templates == 1 else 'templates'}" if templates else ""
    return f"follows {', '.join(sources)}{beside}"


async def _running(socket: Path) -> Findings:
    """Yield how it stands with the proxyconf that runs, if one does."""
    try:
        await asyncio.to_thread(socket.stat)
    except PermissionError:
        mend = "run as the user that proxyconf runs as, or as root"
        yield warning("proxyconf", f"{socket}: we may not look whether one runs", mend)
        return
    except OSError:
        yield ok("proxyconf", "none runs with this state folder")
        return
    try:
        status = await ask_status(socket)
    except StateError as exc:
        yield of_message("warning", "proxyconf", str(exc))
        return
    yield judge_running(status)


def judge_running(status: Status) -> Finding:
    """Return how it stands with a proxyconf that runs."""
    if status.paused:
        reason = f": {status.paused.reason}" if status.paused.reason else ""
        return warning("proxyconf", f"pid {status.pid} runs, and is paused{reason}", "proxyconf resume")
    says = f"pid {status.pid} runs: {status.state}"
    if status.state in ("refused", "failed"):
        return warning("proxyconf", f"{says}: {status.reason}", "see proxyconf status")
    if count := len(status.problems):
        problems = "1 problem is" if count == 1 else f"{count} problems are"
        return warning("proxyconf", f"{says}; {problems} set aside", "proxyconf status names them")
    return ok("proxyconf", says)
