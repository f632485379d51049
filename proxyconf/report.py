"""The state of the running program as text for people, and as JSON."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.api import (
        CertificateState,
        ChildState,
        Pass,
        Pause,
        RouteState,
        SourceState,
        Status,
        TemplateState,
    )
    from proxyconf.explain.answer import Explanation, Link

_PASSES = 5
_CHANGES = 10
_ENDPOINTS = 4
_PROOFS = {"nonce": "proved by nonce: nginx answered with it"}
_TEMPLATE_PROOFS = {
    "nonce": "proved by nonce: its nginx answered with it",
    "workers": "proved by workers: all of them are younger",
    "command": "unproved: reload_cmd only exited with 0",
    "written": "written: there is nothing to reload",
}
_GOOD, _BAD, _WAIT = "green", "red", "yellow"


def as_json(found: Status | Explanation | Sequence[Pass]) -> str:
    """Return all of it, indented."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def history_as_text(history: Sequence[Pass]) -> str:
    """Return what was attempted, in the order given: cause, changes, steps."""
    return "\n".join(line for done in history for line in _attempt(done)) or "nothing yet"


def _attempt(done: Pass) -> Iterator[str]:
    colour = {"applied": _GOOD, "refused": _BAD, "failed": _BAD}.get(done.result, _WAIT)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(done.at))
    # a template without a cause was another one itself, or what it looks up was
    causes = ", ".join((*done.sources, *done.asked)) or ("nginx" if done.steps_ms else "")
    cause = f", by {causes}" if causes else ""
    yield f"{when} {click.style(done.result, fg=colour)}{cause}{_served(done, ', ')}"
    if done.reason:
        yield f"    {done.reason}"
    yield from (f"    {change}" for change in done.changed[:_CHANGES])
    if more := len(done.changed[_CHANGES:]) + done.more:
        yield f"    and {more} more"
    if done.steps_ms:
        yield f"    {', '.join(f'{name} {ms:g}' for name, ms in done.steps_ms.items())} ms"


def is_well(status: Status) -> bool:
    """Tell whether everything is in effect, or in place and checked until an nginx starts."""
    states = {status.state, *(template.state for template in status.templates)}
    return states <= {"applied", "installed"}


def outcome_line(status: Status, *, settled: bool) -> str:
    """Return how `once` ended, in one line."""
    if status.nginx.mode == "none":
        return _templates_outcome(status, settled=settled)
    routes = f"{_count(len(status.routes), 'route')}, {_count(len(status.problems), 'problem')}"
    if settled and status.state == "applied":
        return f"applied: nginx serves {routes}{_templates_beside(status)}"
    if settled and status.state == "installed":
        return (
            f"installed and checked: {routes}{_templates_beside(status)}; no nginx runs; start it with:"
            f" {status.nginx.start}"
        )
    return _not_applied(status)


def _not_applied(status: Status) -> str:
    lost = [
        f"{source.name}: {source.reason or 'no word yet'}"
        for source in status.sources
        if source.listed_at is None
    ]
    if lost:  # what an earlier run saved may be applied, but that is not what was asked for
        return f"not applied: {'; '.join(lost)}"
    return f"not applied: {status.state}: {status.reason or 'no outcome in time'}"


def _templates_outcome(status: Status, *, settled: bool) -> str:
    if not settled:
        return _not_applied(status)
    if not status.templates:
        return "nothing to do: there is no template resource"
    return _templates_in_words(status.templates)


def _templates_beside(status: Status) -> str:
    return f"; templates: {_templates_in_words(status.templates)}" if status.templates else ""


def _templates_in_words(templates: Sequence[TemplateState]) -> str:
    """Return ``3 applied, 1 refused (/etc/x.conf: reason)``, the well ones first."""
    words = []
    for state, found in sorted(Counter(template.state for template in templates).items()):
        reasons = [f"{one.dest}: {one.reason}" for one in templates if one.state == state and one.reason]
        words.append(f"{found} {state}" + (f" ({'; '.join(reasons)})" if reasons else ""))
    return ", ".join(words)


class Section(NamedTuple):
    """A part of the state, for people.

    Attributes:
        title: Its title.
        lines: The most important, or newest, first.
    """

    title: str
    lines: Sequence[str]


def as_text(status: Status) -> str:
    """Return what a person wants to know first."""
    now = time.time()
    lines = list(head(status, now))
    for section in sections(status, now):
        lines += ["", click.style(section.title, bold=True), *(f"  {line}" for line in section.lines)]
    return "\n".join(lines)


def head(status: Status, now: float) -> Iterator[str]:
    """Yield what is first, at the Unix time *now*: who runs, and whether all is in effect."""
    yield f"proxyconf {status.version}, pid {status.pid}, up {age(now - status.started)}"
    yield from _nginx_lines(status, now)


def sections(status: Status, now: float) -> Iterator[Section]:
    """Yield the rest, at the Unix time *now*; what is amiss comes first in each."""
    sources = sorted(status.sources, key=lambda one: one.state == "watching" and not one.held)
    yield Section("sources", [_source_line(source, now) for source in sources])
    if status.nginx.mode != "none":
        wish = "" if status.state == "applied" else ", as asked for; nginx may not serve all of them yet"
        routes = [_route_line(route) for route in sorted(status.routes, key=_is_well_routed)]
        yield Section(f"routes ({len(routes)}{wish})", routes)
    by_end = sorted(status.certificates, key=lambda one: one.not_after)
    certificates = [_certificate_line(one, now) for one in by_end]
    by_state = sorted(status.templates, key=lambda one: one.state not in ("refused", "failed"))
    templates = [_template_line(template, now) for template in by_state]
    problems = [f"{click.style(one.what, fg=_BAD)} {one.where}: {one.why}" for one in status.problems]
    idle = [f"{one.container}: {one.why}" for one in status.idle]
    for title, lines in (
        ("certificates", certificates),
        ("templates", templates),
        ("problems", problems),
        ("containers that get no requests", idle),
    ):
        if lines:
            yield Section(f"{title} ({len(lines)})", lines)
    if status.history:
        passes = reversed(status.history[-_PASSES:])
        yield Section("last changes", [_pass_line(done, now) for done in passes])


def explanation_as_text(answer: Explanation) -> str:
    """Return the verdict, and below it the chain."""
    verdict = click.style(answer.verdict, fg=_GOOD if answer.is_served else _BAD, bold=True)
    return "\n".join((verdict, *_link_lines(answer.chain, "  ")))


def _link_lines(links: Sequence[Link], indent: str) -> Iterator[str]:
    for link in links:
        what = click.style(link.what, fg=_BAD) if link.is_bad else click.style(link.what, bold=True)
        yield f"{indent}{what}: {link.says}"
        yield from _link_lines(link.links, f"{indent}  ")


def _nginx_lines(status: Status, now: float) -> Iterator[str]:
    colour = {"applied": _GOOD, "refused": _BAD, "failed": _BAD}.get(status.state, _WAIT)
    reason = f": {status.reason}" if status.reason else ""
    bad = sum(template.state in ("refused", "failed") for template in status.templates)
    beside = f" but for {_count(bad, 'template')}" if bad and status.state == "applied" else ""
    yield f"state: {click.style(status.state, fg=colour)}{beside}{reason}"
    if status.paused:
        yield pause_line(status.paused, now)
    nginx = status.nginx
    if nginx.mode == "none":
        return
    yield f"nginx: {nginx.version}, mode {nginx.mode}, {nginx.root}"
    if status.child:
        yield f"       {_child_line(status.child, now)}"
    elif nginx.running is False:
        yield f"       does not run; start it with: {click.style(nginx.start, bold=True)}"
    if nginx.old_workers:
        held = f"{nginx.old_workers_bytes >> 20} MiB"
        yield f"       {nginx.old_workers} old workers finish what they have and hold {held}"
    if status.applied:
        applied = status.applied
        yield f"applied: {applied.digest[:12]}, {_PROOFS[applied.proof]}, {age(now - applied.at)} ago"


def _child_line(child: ChildState, now: float) -> str:
    span = age(now - child.since)
    text = {
        "waiting": "is started when the first configuration is in place",
        "running": f"started by us {span} ago, pid {child.pid}",
        "adopted": f"pid {child.pid} ran before we did, and is left running at our end",
        "down": click.style(child.reason, fg=_BAD),
        "stopping": f"pid {child.pid} finishes the requests that it has, for {span} now",
    }[child.state]
    return f"{text}, {_count(child.restarts, 'restart')}" if child.restarts else text


def pause_line(pause: Pause, now: float) -> str:
    """Return how long it is paused, and why, at the Unix time *now*."""
    said = f" ({pause.reason})" if pause.reason else ""
    return f"paused: for {age(now - pause.since)}{said}; nothing is applied until proxyconf resume"


def _source_line(source: SourceState, now: float) -> str:
    colour = {"watching": _GOOD, "lost": _BAD}.get(source.state, _WAIT)
    text = f"{source.name}: {click.style(source.state, fg=colour)} for {age(now - source.since)}"
    if source.listed_at is not None:
        text += (
            f", {_count(source.entries, 'entry', 'entries')}, last change {age(now - source.listed_at)} ago"
        )
    if source.revision:
        text += f", revision {source.revision}"
    text = f"{text}: {source.reason}" if source.reason else text
    return f"{text}; {click.style('held', fg=_WAIT)}: {source.held}" if source.held else text


def _is_well_routed(route: RouteState) -> bool:
    return not route.held and not route.answers.startswith("503")


def _route_line(route: RouteState) -> str:
    path = "" if route.path == "/" else route.path
    shown = ", ".join(route.endpoints[:_ENDPOINTS])
    if more := len(route.endpoints) - _ENDPOINTS:
        shown += f" and {more} more" if more > 0 else ""
    if route.answers:
        shown = click.style(route.answers, fg=_WAIT if route.answers.startswith("503") else None)
    held = f", {click.style('held as it was', fg=_WAIT)}" if route.held else ""
    return f"{route.host}{path} -> {route.service} ({shown}) from {route.source}{held}"


def _certificate_line(certificate: CertificateState, now: float) -> str:
    left_s = certificate.not_after - now
    day = time.strftime("%Y-%m-%d", time.gmtime(certificate.not_after))
    end = f"until {day}, {age(left_s)} from now" if left_s > 0 else click.style(f"expired on {day}", fg=_BAD)
    return f"{certificate.name}: {', '.join(certificate.names)} {end}"


def _template_line(template: TemplateState, now: float) -> str:
    colour = {"applied": _GOOD, "refused": _BAD, "failed": _BAD}.get(template.state, _WAIT)
    text = f"{template.dest} <- {template.src}: {click.style(template.state, fg=colour)}"
    if template.state == "applied" and template.applied_at is not None:
        return f"{text} {age(now - template.applied_at)} ago, {_TEMPLATE_PROOFS[template.proof]}"
    return f"{text} for {age(now - template.since)}: {template.reason}" if template.reason else text


def _pass_line(done: Pass, now: float) -> str:
    steps = ", ".join(f"{name} {ms:g}" for name, ms in done.steps_ms.items())
    changed = ", ".join(done.changed[:3]) + (" ..." if len(done.changed) > 3 else "")
    what = f"{age(now - done.at)} ago {done.result}: {changed or 'nothing new'}"
    if done.result == "applied" and steps:
        return f"{what}{_served(done, '; ')} ({steps} ms)"
    return f"{what}; {done.reason}" if done.reason else what


def _served(done: Pass, separator: str) -> str:
    is_served = done.result == "applied" and done.served_ms is not None
    return f"{separator}served after {done.served_ms:.0f} ms" if is_served else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def age(seconds: float) -> str:
    """Return a span of time in words, roughly."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
