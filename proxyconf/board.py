"""What happened and what is so: everything that status shows, as values ready for JSON."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import structlog

from proxyconf.answers import answer, closed_by
from proxyconf.api import (
    AppliedState,
    CertificateState,
    ChildState,
    NginxState,
    Pass,
    Pause,
    RouteState,
    SourceState,
    Status,
    TemplateState,
)
from proxyconf.model import UNASKED, Problem, Snapshot
from proxyconf.since import Since

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from proxyconf.held import Held
    from proxyconf.model import Change

log = structlog.get_logger(__name__)

_HISTORY = 100
_CHANGES_KEPT = 100  # of each pass: the first one of a large site brings thousands
_FROM_WORST = ("failed", "refused", "starting", "waiting", "reloading", "paused", "installed", "applied")
_CHANGES_SHOWN = 12


class Board:
    """Collects the state, and logs it once where it changes.

    Args:
        sources: Their names, in the order of the configuration.
        nginx: What is known of it from the start.

    Attributes:
        snapshot: What should be served.
        in_place: Set once this run has put a checked configuration in place, or found that nginx serves it.
        moved: Set when what it says in short has changed: states, and what is served; who waits clears it.
    """

    def __init__(self, sources: Sequence[str], nginx: NginxState) -> None:
        self.nginx = nginx
        self.in_place = asyncio.Event()
        self.moved = asyncio.Event()
        self._status = Status(nginx=nginx)
        self._status.behind_since = self._status.started
        self._applied: AppliedState | None = None
        self._sources = {name: SourceState(name=name, since=time.time()) for name in sources}
        self._templates: dict[str, TemplateState] = {}
        self._mistake = ""
        self.snapshot = Snapshot()
        self._since = Since()
        self._problems: tuple[Problem, ...] = ()
        self._held: Sequence[Held] = ()
        self._touched: frozenset[str] | None = None  # by that, once somebody has asked
        self._history: deque[Pass] = deque(maxlen=_HISTORY)
        self._observers: list[Callable[[Pass], object]] = []

    def observe(self, observer: Callable[[Pass], object]) -> None:
        """Tell *observer* of every attempt that did something, also of those that are not told again."""
        self._observers.append(observer)

    @property
    def since(self) -> Since:
        """Since when what is served is; nothing is while no nginx runs."""
        return Since() if self.nginx.running is False else self._since

    def status(self) -> Status:
        """Return everything there is to say."""
        status = self._status
        status.applied = None if self.nginx.running is False else self._applied
        status.sources = list(self._sources.values())
        status.routes = self._routes()
        status.templates = list(self._templates.values())
        bad = [one for one in status.templates if one.state in ("refused", "failed")]
        status.problems = [*self._problems, *(Problem("template", one.dest, one.reason) for one in bad)]
        if self._mistake:
            why = f"{self._mistake}; the settings before it count (mend it, and send SIGHUP again)"
            status.problems.append(Problem("configuration", "read again", why))
        if status.child and status.child.reason:
            status.problems.append(Problem("nginx", status.child.command, status.child.reason))
        status.idle = list(self.snapshot.idle)
        status.history = list(self._history)
        if self.nginx.mode == "none" and status.state == "applied" and status.templates:
            worst = min(status.templates, key=lambda one: _FROM_WORST.index(one.state))
            reason = f"template {worst.dest}: {worst.reason}" if worst.reason else ""
            return msgspec.structs.replace(status, state=worst.state, reason=reason)
        return status

    def _routes(self) -> list[RouteState]:
        snapshot, closed = self.snapshot, closed_by(self._problems)
        if self._touched is None:
            self._touched = frozenset().union(*[one.touched(snapshot.routes) for one in self._held])
        held = self._touched
        addresses = {name: tuple(one.address for one in ends) for name, ends in snapshot.services.items()}
        return [
            RouteState(
                host=route.host,
                path=route.path,
                service=route.service,
                source=route.where,
                endpoints=addresses.get(route.service, ()),
                answers=answer(route, snapshot, closed),
                held=route.claim in held,
            )
            for route in snapshot.routes
        ]

    def configuration_read(self, mistake: str = "") -> None:
        """Note that the configuration was read again, and the mistake for which it does not count."""
        self._mistake = mistake

    def nginx_known(self, nginx: NginxState) -> None:
        """Note which nginx it is; whether it runs is seen at the next pass."""
        nginx.running = self.nginx.running
        self.nginx = self._status.nginx = nginx

    def nginx_looked_for(self, *, running: bool) -> None:
        """Note whether it runs; what it serves after a start, it serves since then."""
        if running and self.nginx.running is False:
            self._since = Since()
        self.nginx.running = running

    def doubted(self) -> None:
        """Note that nginx does not prove any more what it has proved: what it serves is not known."""
        self._since, self._applied = Since(), None

    def sources_known(self, names: Iterable[str], *, optional: Container[str] = ()) -> None:
        """Note which sources there are, and are not required; what is known of one of them stays."""
        now = time.time()
        self._sources = {name: self._sources.get(name) or SourceState(name=name, since=now) for name in names}
        for name, source in self._sources.items():
            source.required = name not in optional

    @property
    def is_applied(self) -> bool:
        """Whether nginx was last seen to serve what it should."""
        return self._status.state == "applied"

    @property
    def is_installed(self) -> bool:
        """Whether all is done but nginx's start."""
        return self._status.state == "installed"

    def source_listed(self, change: Change) -> None:
        """Note a listing."""
        listing, now = change.listing, time.time()
        if (source := self._sources.get(listing.source)) is None:
            return  # it is not among the sources any more
        source.entries = len(listing.keys) + len(listing.pairs) + len(listing.containers)
        source.revision, source.listed_at = listing.revision, now
        if source.state != "watching":
            source.state, source.since, source.reason = "watching", now, UNASKED if listing.unasked else ""
            self.moved.set()
            if listing.unasked:
                log.info("source.passed_over", source=source.name, reason=UNASKED)
            else:
                log.info("source.listed", source=source.name, entries=source.entries)

    def source_lost(self, name: str, reason: str) -> None:
        """Note that a source is gone; its last listing counts on."""
        if (source := self._sources.get(name)) is None:
            return  # it is not among the sources any more
        if source.state != "lost":
            source.state, source.since = "lost", time.time()
            self.moved.set()
        source.reason = reason

    def snapshot_made(
        self, snapshot: Snapshot, problems: Iterable[Problem], held: Sequence[Held] = ()
    ) -> None:
        """Note what should be served, and what had to be left out; log the problems that came and went.

        Args:
            snapshot: What should be served.
            problems: What had to be left out.
            held: Listings that do not count.
        """
        self.snapshot, self._held, self._touched = snapshot, held, None
        held_for = {one.listing.source: one.problem.why for one in held}
        for name, source in self._sources.items():
            source.held = held_for.get(name, "")
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
        self.in_place.set()
        self._status.behind_since = None
        if applied is None:
            self._enter("applied", "")
            return
        was_installed = self._status.state == "installed"
        self._applied = applied
        self.nginx_looked_for(running=True)
        self._since.note(self.snapshot, done.at)
        if not (self._enter("applied", "") or done.changed or "proof" in done.steps_ms):
            return
        self._observed(done)
        self._keep(done)
        self.moved.set()
        told = {
            "sources": ", ".join(done.sources) or "none",
            "changed": _in_short(done.changed),
            "routes": len(self.snapshot.routes),
            "digest": applied.digest[:12],
        }
        if was_installed:  # what it waited for was nginx, so its time is not ours
            log.info("nginx.running", **told)
        else:
            waited = {} if done.served_ms is None else {"served_ms": round(done.served_ms)}
            log.info("site.applied", **waited, **told)

    def failed(self, done: Pass) -> None:
        """Note an attempt that must be repeated; logged once per reason."""
        if done.result == "installed":
            self.in_place.set()
        self._observed(done)
        if not self._enter(done.result, done.reason):
            return
        self._keep(done)
        if "signal" in done.steps_ms:  # else nobody was asked whether it runs
            self.nginx_looked_for(running=True)
        if done.result == "installed":
            self.nginx_looked_for(running=False)
            if self._status.child is None:  # else nobody has to start it
                log.warning("nginx.not_running", start=self.nginx.start, reason=done.reason)
        else:
            log.error("site.refused" if done.result == "refused" else "site.failed", reason=done.reason)

    def templates_known(self, templates: Iterable[TemplateState]) -> None:
        """Note which templates there are; what is known of one of them stays."""
        self._templates = {one.dest: self._templates.get(one.dest, one) for one in templates}

    def template_noted(self, now: TemplateState) -> None:
        """Note how it stands with a template; logged where that is another state, reason or application."""
        before = self._templates.get(now.dest, TemplateState(dest=now.dest, src=now.src))
        self._templates[now.dest] = now
        if before.state != now.state:
            self.moved.set()
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
        changed = (f"~ {now.dest}",)
        sources = tuple(name for name in now.causes if name in self._sources)
        asked = tuple(name for name in now.causes if name not in self._sources)
        self._keep(
            Pass(
                at=time.time(),
                result=now.state,
                sources=sources,
                asked=asked,
                changed=changed,
                reason=now.reason,
            )
        )

    def certificates_found(self, certificates: Iterable[CertificateState]) -> None:
        """Note what hosts may be served with; log what came, went or is another one."""
        before = {one.name: one for one in self._status.certificates}
        self._status.certificates = list(certificates)
        for one in self._status.certificates:
            known = before.pop(one.name, None)
            if known is None or known.not_after != one.not_after:
                until = time.strftime("%Y-%m-%d", time.gmtime(one.not_after))
                event = "certificate.renewed" if known else "certificate.found"
                log.info(event, name=one.name, names=", ".join(one.names), until=until)
        for name in sorted(before):
            log.warning("certificate.gone", name=name, file=before[name].file)

    def child_noted(self, child: ChildState) -> None:
        """Note how it stands with the nginx that is ours to start."""
        self._status.child = child
        if child.state in ("running", "adopted", "down"):
            self.nginx_looked_for(running=child.state != "down")
        self.moved.set()

    def workers_counted(self, count: int, memory: int) -> None:
        """Note the old workers."""
        self.nginx.old_workers, self.nginx.old_workers_bytes = count, memory

    def waiting(self, reason: str) -> None:
        """Note that nothing can be rendered yet."""
        if self._enter("waiting", reason):
            log.info("reconcile.waiting", reason=reason)

    def behind(self, since: float) -> None:
        """Note that something has not come into effect that has been there since then (Unix time)."""
        if self._status.behind_since is None:
            self._status.behind_since = since

    def paused(self, pause: Pause | None) -> None:
        """Note that nothing is applied any more because a person said so; None: that it is again."""
        self._status.paused = pause
        self.moved.set()

    def held(self, changes: tuple[str, ...]) -> None:
        """Note what waits for the end of the pause, as far as it can be told."""
        waits = {0: "what is new waits", 1: "1 change waits"}.get(
            len(changes), f"{len(changes)} changes wait"
        )
        if self._enter("paused", f"{waits} (to go on: proxyconf resume)"):
            log.info("reconcile.paused", changed=_in_short(changes))

    def in_step(self) -> None:
        """Note that nginx serves what it should, though nothing is applied."""
        self._enter("applied", "")
        self._status.behind_since = None
        self._since.note(self.snapshot, time.time())  # it may have been started anew

    def _observed(self, done: Pass) -> None:
        for observer in self._observers:
            observer(done)

    def _keep(self, done: Pass) -> None:
        if more := max(0, len(done.changed) - _CHANGES_KEPT):
            done = msgspec.structs.replace(done, changed=done.changed[:_CHANGES_KEPT], more=more)
        self._history.append(done)

    def _enter(self, state: str, reason: str) -> bool:
        if state != "applied":
            self.behind(time.time())
        before = (self._status.state, self._status.reason)
        self._status.state, self._status.reason = state, reason
        if before != (state, reason):
            self.moved.set()
            return True
        return False


def _in_short(changes: tuple[str, ...]) -> str:
    shown = changes[:_CHANGES_SHOWN]
    if more := len(changes) - len(shown):
        shown = (*shown, f"and {more} more")
    return ", ".join(shown) or "nothing"
