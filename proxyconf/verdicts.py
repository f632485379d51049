"""What nginx refused: found by blame, remembered by content, its last good form used instead, if any."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from proxyconf.answers import CLOSED, LEFT_OUT, REFUSED
from proxyconf.errors import CommandError, RefusedError
from proxyconf.model import Problem
from proxyconf.nginx.additions import NO_ADDITIONS, with_originals
from proxyconf.nginx.blame import accused, guilty
from proxyconf.nginx.control import first_complaint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from proxyconf.model import Snapshot
    from proxyconf.nginx.certificates import CertificateSet
    from proxyconf.nginx.part import Part, PartKind
    from proxyconf.nginx.site import Renderer, Site

log = structlog.get_logger(__name__)

# what made nginx refuse a part may lie outside of it (an operator's file), so it is tried again
_FORGET_S = 300.0
_TOLD_KEPT = 1_000

REFUSES = "nginx refuses it: "
"""So begins a problem of what nginx refuses."""

LAST_GOOD = "(its last good form serves)"
"""So ends a problem of what nginx refuses, and serves as it was."""


def _log(part: Part, reason: str) -> None:
    log.error("part.refused", kind=part.kind, name=part.name, reason=reason)


class Verdicts:
    """Renders snapshots without what nginx refused.

    Args:
        renderer: Returns who renders at the moment.
        clock: Monotonic seconds.
        note: Is told, once for each reason, what is refused and why.

    Attributes:
        problems: What is set aside at present, or could not be written.
        additions: What operators add, from the next rendering on.
        recertified: The hosts that have, or lose, a certificate that they were not proved with, as
            `proxyconf.api.Pass.changed` tells it.
    """

    def __init__(
        self,
        renderer: Callable[[], Renderer],
        clock: Callable[[], float] = time.monotonic,
        note: Callable[[Part, str], None] = _log,
    ) -> None:
        self.problems: tuple[Problem, ...] = ()
        self.additions = NO_ADDITIONS
        self._renderer = renderer
        self._clock = clock
        self._note = note
        self._refused: dict[str, tuple[str, float]] = {}  # part's file: reason, and when to forget it
        self._told: dict[str, str] = {}
        self._good: dict[tuple[str, str], Part] = {}
        self.recertified: tuple[str, ...] = ()
        self._certificates: CertificateSet | None = None
        self._proved_certificates: CertificateSet | None = None
        self._latest: Site | None = None
        self._latest_by: Renderer | None = None

    @property
    def is_due(self) -> bool:
        """Whether something that was refused is to be tried again."""
        return any(until <= self._clock() for _, until in self._refused.values())

    def is_current(self) -> bool:
        """Tell whether another rendering would be made as the last one was; blocks, if nginx is another's."""
        try:
            return self._renderer() is self._latest_by
        except CommandError:  # the next rendering says so
            return False

    def render(self, snapshot: Snapshot) -> Site:
        """Return the candidate; what was refused is in it in its last good form, or not at all.

        Raises:
            RefusedError: Something that was refused can't be left out.
        """
        renderer = self._latest_by = self._renderer()
        now = self._clock()
        self._refused = {file: verdict for file, verdict in self._refused.items() if verdict[1] > now}
        site = renderer.render(snapshot, additions=self.additions)
        aside: dict[tuple[PartKind, str], Part | None] = {}
        closed: set[str] = set()
        refused: dict[tuple[str, str], Problem] = {}  # the last word on each
        # again and again: where a service is left out, its hosts are other parts, which may be refused too
        while self._refused and (bad := [part for part in site.parts if part.file in self._refused]):
            new = [part for part in bad if (part.kind, part.name) not in aside]
            if not new:  # so it would be for ever
                why = "it is needed, and nginx refuses it"
                raise RefusedError(f"leave out {bad[0].kind} {bad[0].name}: {why} (this is our own mistake)")
            for part in new:
                said = self._put_aside(part, site, aside, closed)
                refused.update({(one.what, one.where): one for one in said})
            site = renderer.render(snapshot, additions=self.additions, set_aside=aside, closed=closed)
        self.problems = (*site.problems, *refused.values())
        self._latest = site
        # for most changes it is the very same set, and no host need be looked at
        self._certificates = renderer.certificates
        is_same = self._certificates is self._proved_certificates
        self.recertified = () if is_same else tuple(_recertified(self._good, site.parts))
        return site

    def _put_aside(
        self, part: Part, site: Site, aside: dict[tuple[PartKind, str], Part | None], closed: set[str]
    ) -> Iterator[Problem]:
        """Add to *aside* what is to be instead of *part* of *site*, and yield what there is to say of it.

        A host for which there is nothing is *closed*, so that no wildcard has its requests; and left out only
        if nginx does not even take that.
        """
        stand_in = self._stand_in(part)
        if part.kind == "host" and not stand_in and part.name not in closed:
            closed.add(part.name)
            yield self._problem(part, REFUSED)
            return
        aside[part.kind, part.name] = stand_in
        yield self._problem(part, LAST_GOOD if stand_in else LEFT_OUT)
        if part.kind == "operator" and not stand_in:
            why = f"{CLOSED}nginx refuses {part.name}, and never was it served without"
            for host in self._new_hosts(site):
                if part in host.files:
                    closed.add(host.name)
                    yield Problem(host.kind, host.name, why)

    def _new_hosts(self, site: Site) -> list[Part]:
        """Return the hosts that nginx has not served yet; what is refused may be what keeps strangers out."""
        return [part for part in site.parts if part.kind == "host" and not self._stand_in(part)]

    def trust(self, parts: Iterable[Part]) -> None:
        """Take these parts for good ones until a proof: nginx proved them to an earlier run."""
        self._good = {(part.kind, part.name): part for part in parts}

    def take_over(self, before: Verdicts) -> None:
        """Know as *before* does what is good: the same nginx still serves it."""
        self._good = before._good

    def forget(self) -> None:
        """Try everything again."""
        self._refused = {}

    def proved(self) -> None:
        """Take the parts of the latest candidate for good ones."""
        if self._latest:
            self.trust(self._latest.parts)
            self._proved_certificates = self._certificates

    def part_of(self, kind: str, name: str) -> Part | None:
        """Return a part that was proved last; None where none of that kind and name was."""
        return self._good.get((kind, name))

    async def judge(
        self,
        snapshot: Snapshot,
        site: Site,
        refusal: RefusedError,
        *,
        passes: Callable[[Site], Awaitable[bool]],
    ) -> None:
        """Find the parts of *site* that nginx refuses, and remember them.

        Raises:
            RefusedError: It is none of the parts, or what nobody knows how to serve without.
        """
        good = {part.file for part in self._good.values()}
        changed = [part for part in site.parts if part.file not in good]

        async def passes_with(kept: Sequence[Part]) -> bool:
            files = {part.file for part in kept}
            aside = {
                (part.kind, part.name): self._stand_in(part) for part in changed if part.file not in files
            }
            return await passes(self._renderer().render(snapshot, additions=self.additions, set_aside=aside))

        found = accused(refusal.output, changed) or await guilty(changed, passes_with)
        if not found and self._good:
            # what was good may not go with this root file: other settings, or another version, wrote that
            last, self._good = self._good, {}
            found = await guilty(changed, passes_with)
            self._good = {} if found else last
        if not found:
            raise RefusedError(_with_originals(str(refusal), site), refusal.output)
        reason = _with_originals(first_complaint(refusal.output), site)
        for part in found:
            self._refused[part.file] = (reason, self._clock() + _FORGET_S)
            if self._told.get(part.file) != reason:  # once, though it is tried again and again
                self._note(part, reason)
            self._told = dict([*self._told.items(), (part.file, reason)][-_TOLD_KEPT:])

    def _stand_in(self, part: Part) -> Part | None:
        good = self._good.get((part.kind, part.name))  # which is never refused: see `judge`
        return None if good is None or good.closed else good

    def _problem(self, part: Part, instead: str) -> Problem:
        what = "file" if part.kind == "operator" else part.kind
        where = f"{part.name}.ca.crt".removeprefix(".") if part.kind == "authority" else part.name
        return Problem(what, where, f"{REFUSES}{self._refused[part.file][0]} {instead}")


def _recertified(good: Mapping[tuple[str, str], Part], parts: Iterable[Part]) -> Iterator[str]:
    """Yield the hosts among *parts* with another certificate than in their *good* form."""
    for part in parts:
        before = good.get((part.kind, part.name)) if part.kind == "host" else None
        if before and before.file != part.file and (now := _certificates(part)) != _certificates(before):
            names = " and ".join(sorted(name for name, _ in now))
            yield f"~ {part.name} ({f'certificate {names}' if names else 'no certificate'})"


def _certificates(host: Part) -> set[tuple[str, str]]:
    """Return the certificates that a *host* is served with, each by its name and its content's."""
    return {(file.name, file.file) for file in host.files if file.kind == "certificate"}


def _with_originals(text: str, site: Site) -> str:
    return with_originals(text, site.parts, site.dialect.parts_folder)
