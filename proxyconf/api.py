"""The shapes of what the running program says of itself, as JSON: what ``/api/v1`` answers.

Fields are added, never renamed: scripts read them.
"""

from __future__ import annotations

import os
import time

import msgspec

from proxyconf import __version__
from proxyconf.model import Idle, Problem  # noqa: TC001 - msgspec reads the annotations


class SourceState(msgspec.Struct, kw_only=True):
    """A source.

    Attributes:
        name: As its table in the configuration is called.
        required: The first configuration waits for it, and ``/readyz`` wants it.
        state: ``starting``; ``watching``; ``lost``: its last listing counts.
        since: Unix time of that state.
        listed_at: Unix time of the newest listing; None before the first of this run.
        revision: Of that listing.
        entries: Keys or containers in it.
        reason: Why it is lost, or why it is not asked for anything.
        held: Why its newest listing does not count; the one before it does, until ``proxyconf confirm``.
    """

    name: str
    required: bool = True
    state: str = "starting"
    since: float = 0.0
    listed_at: float | None = None
    revision: int = 0
    entries: int = 0
    reason: str = ""
    held: str = ""


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """A route as it should be, with the addresses it leads to.

    Attributes:
        host: The host name.
        path: Requests at or below it.
        service: Where it leads.
        source: Who asks for it: a key, a container, a file.
        endpoints: The service's addresses.
        answers: What is answered in place of the service, in words: a redirect; 503 for maintenance, for want
            of an endpoint, or as the host is closed. Empty where the service is asked.
        held: A listing that is held says something else of it.
    """

    host: str
    path: str
    service: str
    source: str
    endpoints: tuple[str, ...]
    answers: str = ""
    held: bool = False


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
        proof: Of what was applied last: ``nonce``: nginx has answered with it; ``workers``: all of them are
            younger; ``command``: reload_cmd has only exited with 0; ``written``: there is nothing to reload.
        applied_at: Its Unix time; None when nothing ever was.
        keys: The full names of what it is given: all keys at or below them.
        causes: Whose listings, or what else, gave it the content that it has, or should have, as ``sources``
            and ``asked`` of an attempt; empty where that was the template itself, or a look-up.
    """

    dest: str
    src: str
    state: str = "starting"
    since: float = 0.0
    reason: str = ""
    proof: str = ""
    applied_at: float | None = None
    keys: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


class CertificateState(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate.

    Attributes:
        name: As its files are called.
        file: Where it was read.
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
        sources: Whose listings caused it.
        asked: What else did: ``start`` (of ours), ``configuration`` (read again), ``look`` (SIGHUP, with a
            mistake in it), ``certificates`` (their folder's), ``confirm``, ``resume``. With no source either
            it was nginx, or one of its files.
        changed: What came, went and is another, the first hundred: ``+ a.test/``, ``- web 10.0.0.1:80``,
            ``~ a.test (hsts)`` for an option, ``~ a.test (certificate NAME)`` for another certificate, or a
            renewed one, ``~ web 10.0.0.1:80 weight 1 -> 5``.
        more: How many changes there were besides.
        served_ms: From the arrival of the oldest change to the proof, in milliseconds; None where none
            waited, or nothing of it was for nginx.
        steps_ms: What each step took, in milliseconds.
        reason: Why it failed.
    """

    at: float
    result: str
    sources: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    more: int = 0
    served_ms: float | None = None
    steps_ms: dict[str, float] = {}
    reason: str = ""


class NginxState(msgspec.Struct, kw_only=True):
    """The nginx we keep in step.

    Attributes:
        mode: ``own``, ``include`` or ``none``.
        root: The file of ours that it reads.
        version: Its version.
        running: Whether it was last seen to run; None where nobody has looked.
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


class ChildState(msgspec.Struct, frozen=True, kw_only=True):
    """nginx, where it is ours to start and to end.

    Attributes:
        command: What starts it, as a shell has it.
        state: ``waiting`` for the first configuration; ``running``; ``adopted``: it ran before we did, and
            is left running at our end; ``down``: it has ended, and is soon started again; ``stopping``.
        since: Unix time of that state.
        pid: While it runs; else 0.
        restarts: How often it had to be started again.
        reason: Why it is down.
    """

    command: str
    state: str
    since: float
    pid: int = 0
    restarts: int = 0
    reason: str = ""


class AppliedState(msgspec.Struct, frozen=True, kw_only=True):
    """What nginx serves, and how it proved that.

    Attributes:
        digest: Of the configuration.
        at: Unix time of the proof.
        proof: ``nonce``: it has answered with that of this very configuration.
    """

    digest: str
    at: float
    proof: str = "nonce"


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that nothing is to be applied.

    Attributes:
        since: Unix time.
        reason: What was said with it.
    """

    since: float
    reason: str = ""


class Status(msgspec.Struct, kw_only=True):
    """Everything there is to say.

    Attributes:
        nginx: The nginx we keep in step.
        version: Ours.
        pid: Ours.
        started: Unix time of our start.
        state: ``starting``; ``waiting`` (for a required source); ``applied``; ``installed`` (no nginx runs);
            ``refused`` (by nginx's check); ``failed`` (it is tried again); ``paused``: what waits for
            ``proxyconf resume`` differs from what is served. It is the site's, or in mode none the worst of
            the templates', which may be ``reloading``, too.
        reason: Why it is not ``applied``.
        paused: Since when, and why, nothing is applied; None where that is not so.
        behind_since: Unix time since when what is served has not been what it should be; None while it is.
        applied: What is served; None where that is not known, and while no nginx runs.
        sources: In the order of the configuration.
        routes: As they should be.
        templates: The template resources.
        certificates: What hosts may be served with.
        problems: What was skipped or set aside.
        idle: Containers that get no requests, as is to be expected.
        history: The last hundred attempts that changed something, the newest last.
        child: nginx, by ``run --exec``; else None.
    """

    nginx: NginxState
    child: ChildState | None = None
    version: str = __version__
    pid: int = msgspec.field(default_factory=os.getpid)
    started: float = msgspec.field(default_factory=time.time)
    state: str = "starting"
    reason: str = ""
    paused: Pause | None = None
    behind_since: float | None = None
    applied: AppliedState | None = None
    sources: list[SourceState] = []
    routes: list[RouteState] = []
    templates: list[TemplateState] = []
    certificates: list[CertificateState] = []
    problems: list[Problem] = []
    idle: list[Idle] = []
    history: list[Pass] = []


class Routes(msgspec.Struct, frozen=True):
    """The routes as they should be.

    Attributes:
        routes: Sorted by host and path.
    """

    routes: list[RouteState]


class Problems(msgspec.Struct, frozen=True):
    """What was skipped or set aside.

    Attributes:
        problems: Each with its reason, and what to do about it.
    """

    problems: list[Problem]


class History(msgspec.Struct, frozen=True):
    """What was attempted.

    Attributes:
        history: The last hundred attempts that changed something, the newest last.
    """

    history: list[Pass]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a probe, with 200 where all is well, else 503.

    Attributes:
        ok: All is well.
        reasons: Why not.
    """

    ok: bool
    reasons: tuple[str, ...] = ()


class Confirmed(msgspec.Struct, frozen=True):
    """What was confirmed.

    Attributes:
        sources: Those whose held listing counts now.
    """

    sources: tuple[str, ...]


class Because(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be sent along with a wish to pause.

    Attributes:
        reason: For those who see that it is paused.
    """

    reason: str = ""


class Resumed(msgspec.Struct, frozen=True):
    """What was ended.

    Attributes:
        paused: The pause; None where there was none.
    """

    paused: Pause | None
