"""What happened and what is so: everything that status shows, as values ready for JSON."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import structlog

from proxyconf import __version__
from proxyconf.model import Idle, Problem, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxyconf.model import Change, Route

log = structlog.get_logger(__name__)

_HISTORY = 20
_FROM_WORST = ("failed", "refused", "starting", "waiting", "reloading", "installed", "applied")
_CHANGES_SHOWN = 12


class SourceState(msgspec.Struct, kw_only=True):
    """A source.

    Attributes:
        state: ``starting``; ``watching``; ``lost``: its last listing counts.
        since: Unix time of that state.
        listed_at: Unix time of the newest listing; None before the first of this run.
        revision: Of that listing.
        entries: Keys or containers in it.
        reason: Why it is lost.
    """

    name: str
    state: str = "starting"
    since: float = 0.0
    listed_at: float | None = None
    revision: int = 0
    entries: int = 0
    reason: str = ""


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the newest snapshot, with the addresses it leads to."""

    host: str
    path: str
    service: str
    source: str
    endpoints: tuple[str, ...]


class TemplateState(msgspec.Struct, frozen=True, kw_only=True):
    """A template resource.

    Attributes:
        dest: The file it is written to.
        src: The template.
        state: ``starting``; ``waiting`` for keys; ``applied``; ``reloading``; ``installed``: checked and in
            place, to be loaded at nginx's start or by a reload that is due later; ``refused``: by its check
            or its own text, the last good file is in place; ``failed``: could not be written, or the reload
            is not proved and is tried again.
        since: Unix time of that state.
        reason: Why it is not applied.
        proof: Of what was applied last: nonce, workers, command, written (see `proxyconf.state.Record`).
        applied_at: Its Unix time; None when nothing ever was.
    """

    dest: str
    src: str
    state: str = "starting"
    since: float = 0.0
    reason: str = ""
    proof: str = ""
    applied_at: float | None = None


class CertificateState(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate.

    Attributes:
        names: The host names that it is good for.
        not_after: Unix time of its end.
    """

    name: str
    file: str
    names: tuple[str, ...]
    not_after: float


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to bring a change into nginx.

    Attributes:
        at: Unix time of its outcome: of the proof, where there is one.
        result: ``applied``, ``installed`` (no nginx runs), ``refused``, ``failed``.
        sources: Whose listings caused it; none where nginx or a person did.
        changed: What it changed, as ``+ web 10.0.0.1:80``.
        served_ms: From the arrival of the oldest change to the proof.
        steps_ms: What each step took.
        reason: Why it failed.
    """

    at: float
    result: str
    sources: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    served_ms: float = 0.0
    steps_ms: dict[str, float] = {}
    reason: str = ""


class NginxState(msgspec.Struct, kw_only=True):
    """The nginx we keep in step.

    Attributes:
        start: The command that starts it on our file.
        old_workers: Workers of earlier configurations that still finished what they had, at the last reload.
        old_workers_bytes: What memory they held.
    """

    mode: str
    root: str
    version: str = ""
    running: bool | None = None
    start: str = ""
    old_workers: int = 0
    old_workers_bytes: int = 0


class AppliedState(msgspec.Struct, frozen=True, kw_only=True):
    """What nginx serves, and how it proved that."""

    digest: str
    at: float
    proof: str = "nonce"


class Status(msgspec.Struct, kw_only=True):
    """The answer to ``GET /api/v1/status``.

    Attributes:
        state: ``starting``; ``waiting`` (for a required source); ``applied``; ``installed`` (no nginx runs);
            ``refused`` (by nginx's check); ``failed`` (it is tried again). It is the site's, or in mode none
            the worst of the templates'.
        reason: Why it is not ``applied``.
        idle: Containers that get no requests, as is to be expected.
    """

    nginx: NginxState
    version: str = __version__
    pid: int = msgspec.field(default_factory=os.getpid)
    started: float = msgspec.field(default_factory=time.time)
    state: str = "starting"
    reason: str = ""
    applied: AppliedState | None = None
    sources: list[SourceState] = []
    routes: list[RouteState] = []
    templates: list[TemplateState] = []
    certificates: list[CertificateState] = []
    problems: list[Problem] = []
    idle: list[Idle] = []
    history: list[Pass] = []


class Board:
    """Collects the state, and logs it once where it changes.

    Args:
        sources: Their names, in the order of the configuration.
        nginx: What is known of it from the start.
    """

    def __init__(self, sources: Sequence[str], nginx: NginxState) -> None:
        self.nginx = nginx
        self._status = Status(nginx=nginx)
        self._sources = {name: SourceState(name=name, since=time.time()) for name in sources}
        self._templates: dict[str, TemplateState] = {}
        self._snapshot = Snapshot()
        self._problems: tuple[Problem, ...] = ()
        self._history: deque[Pass] = deque(maxlen=_HISTORY)

    def status(self) -> Status:
        """Return everything there is to say."""
        status = self._status
        status.sources = list(self._sources.values())
        status.routes = [_route(route, self._snapshot) for route in self._snapshot.routes]
        status.templates = list(self._templates.values())
        bad = [one for one in status.templates if one.state in ("refused", "failed")]
        status.problems = [*self._problems, *(Problem("template", one.dest, one.reason) for one in bad)]
        status.idle = list(self._snapshot.idle)
        status.history = list(self._history)
        if self.nginx.mode == "none" and status.state == "applied" and status.templates:
            worst = min(status.templates, key=lambda one: _FROM_WORST.index(one.state))
            reason = f"template {worst.dest}: {worst.reason}" if worst.reason else ""
            return msgspec.structs.replace(status, state=worst.state, reason=reason)
        return status

    def nginx_known(self, nginx: NginxState) -> None:
        """Note which nginx it is; whether it runs is seen at the next pass."""
        nginx.running = self.nginx.running
        self.nginx = self._status.nginx = nginx

    def sources_known(self, names: Iterable[str]) -> None:
        """Note which sources there are; what is known of one of them stays."""
        now = time.time()
        self._sources = {name: self._sources.get(name) or SourceState(name=name, since=now) for name in names}

    @property
    def is_applied(self) -> bool:
        """Whether nginx was last seen to serve what it should."""
        return self._status.state == "applied"

    def source_listed(self, change: Change) -> None:
        """Note a listing."""
        listing, now = change.listing, time.time()
        if (source := self._sources.get(listing.source)) is None:
            return  # it is not among the sources any more
        source.entries = len(listing.keys) + len(listing.pairs) + len(listing.containers)
        source.revision, source.listed_at = listing.revision, now
        if source.state != "watching":
            source.state, source.since, source.reason = "watching", now, ""
            log.info("source.listed", source=source.name, entries=source.entries)

    def source_lost(self, name: str, reason: str) -> None:
        """Note that a source is gone; its last listing counts on."""
        if (source := self._sources.get(name)) is None:
            return  # it is not among the sources any more
        if source.state != "lost":
            source.state, source.since = "lost", time.time()
        source.reason = reason

    def snapshot_made(self, snapshot: Snapshot, problems: Iterable[Problem]) -> None:
        """Note what should be served, and what had to be left out; log the problems that came and went."""
        self._snapshot = snapshot
        before, self._problems = set(self._problems), tuple(problems)
        for problem in self._problems:
            if problem not in before:
                log.warning("problem.found", what=problem.what, where=problem.where, why=problem.why)
        still = {(problem.what, problem.where) for problem in self._problems}  # perhaps for another reason
        gone = {(problem.what, problem.where) for problem in before} - still
        for what, where in sorted(gone):
            log.info("problem.solved", what=what, where=where)

    def passed(self, done: Pass, applied: AppliedState | None) -> None:
        """Note a proved generation; None where there is no site."""
        if applied is None:
            self._enter("applied", "")
            return
        was_installed = self._status.state == "installed"
        self._status.applied = applied
        self.nginx.running = True
        if not (self._enter("applied", "") or done.changed or "proof" in done.steps_ms):
            return
        self._history.append(done)
        shown = done.changed[:_CHANGES_SHOWN]
        if more := len(done.changed) - len(shown):
            shown = (*shown, f"and {more} more")
        told = {
            "sources": ", ".join(done.sources) or "none",
            "changed": ", ".join(shown) or "nothing",
            "routes": len(self._snapshot.routes),
            "digest": applied.digest[:12],
        }
        if was_installed:  # what it waited for was nginx, so its time is not ours
            log.info("nginx.running", **told)
        else:
            log.info("site.applied", served_ms=round(done.served_ms), **told)

    def failed(self, done: Pass) -> None:
        """Note an attempt that must be repeated; logged once per reason."""
        if not self._enter(done.result, done.reason):
            return
        self._history.append(done)
        if "signal" in done.steps_ms:  # else nobody was asked whether it runs
            self.nginx.running = True
        if done.result == "installed":
            self.nginx.running = False
            log.warning("nginx.not_running", start=self.nginx.start)
        else:
            log.error("site.refused" if done.result == "refused" else "site.failed", reason=done.reason)

    def templates_known(self, templates: Iterable[TemplateState]) -> None:
        """Note which templates there are; what is known of one of them stays."""
        self._templates = {one.dest: self._templates.get(one.dest, one) for one in templates}

    def template_noted(self, now: TemplateState) -> None:
        """Note how it stands with a template; logged where that is another state, reason or application."""
        before = self._templates.get(now.dest, TemplateState(dest=now.dest, src=now.src))
        self._templates[now.dest] = now
        if now.state == "applied":
            if before.applied_at == now.applied_at and before.state in ("starting", "reloading", "applied"):
                return
            log.info("template.applied", dest=now.dest, proof=now.proof)
        else:
            if (before.state, before.reason) == (now.state, now.reason):
                return
            if now.state == "reloading":
                return
            tells = {"refused": log.error, "failed": log.error, "installed": log.warning}
            tells.get(now.state, log.info)(f"template.{now.state}", dest=now.dest, reason=now.reason)
        done = Pass(at=time.time(), result=now.state, changed=(f"~ {now.dest}",), reason=now.reason)
        self._history.append(done)

    def certificates_found(self, certificates: Iterable[CertificateState]) -> None:
        """Note what hosts may be served with."""
        self._status.certificates = list(certificates)

    def workers_counted(self, count: int, memory: int) -> None:
        """Note the old workers."""
        self.nginx.old_workers, self.nginx.old_workers_bytes = count, memory

    def waiting(self, reason: str) -> None:
        """Note that nothing can be rendered yet."""
        if self._enter("waiting", reason):
            log.info("reconcile.waiting", reason=reason)

    def _enter(self, state: str, reason: str) -> bool:
        before = (self._status.state, self._status.reason)
        self._status.state, self._status.reason = state, reason
        return before != (state, reason)


def _route(route: Route, snapshot: Snapshot) -> RouteState:
    endpoints = snapshot.services.get(route.service, ())
    return RouteState(
        host=route.host,
        path=route.path,
        service=route.service,
        source=route.where,
        endpoints=tuple(endpoint.address for endpoint in endpoints),
    )
