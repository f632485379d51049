"""A snapshot to the site: the files that nginx reads. Pure: the same input, the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from proxyconf.answers import passes_on
from proxyconf.errors import BadValueError, UsageError
from proxyconf.model import Problem
from proxyconf.nginx import tls
from proxyconf.nginx.additions import NO_ADDITIONS, Additions
from proxyconf.nginx.certificates import CertificateSet
from proxyconf.nginx.client import client_problems
from proxyconf.nginx.dialect import Dialect, canonical_listen
from proxyconf.nginx.pages import NO_PAGES, Pages, write_pages
from proxyconf.nginx.part import Part
from proxyconf.nginx.parts import Wanted, default_host_problems, host_part, service_part
from proxyconf.nginx.root import Hosts, root_text
from proxyconf.nginx.server import begin_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from proxyconf.model import Route, Snapshot
    from proxyconf.nginx.part import PartKind
    from proxyconf.nginx.writing import Lines
    from proxyconf.options import ServiceOptions

__all__ = ["Dialect", "Part", "Renderer", "SetAside", "Site", "canonical_listen"]

# kind and name of a part to the good one to use in its place, or to None to leave it out
SetAside: TypeAlias = "Mapping[tuple[PartKind, str], Part | None]"
_Without: TypeAlias = "tuple[SetAside, frozenset[str]]"
_Outcome: TypeAlias = "Part | Problem | None"
_NOTHING: SetAside = MappingProxyType({})
_NOBODY: AbstractSet[str] = frozenset()
_NO_OPTIONS: Mapping[str, ServiceOptions] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Site:
    """All files of the site, as bytes.

    Attributes:
        parts: Services sorted by name, hosts sorted by name, then the files that these refer to.
        digest: Of everything but the nonce.
        dialect: It was rendered for.
        page_lines: What a server needs to have error pages.
        problems: What is asked for and this nginx can't do, and parts that could not be written. Values are
            checked where they are read, so there should be none of these; but one bad value must never block
            the others.
    """

    parts: tuple[Part, ...]
    digest: str
    dialect: Dialect
    page_lines: tuple[Lines, ...] = ()
    problems: tuple[Problem, ...] = ()

    def root(self, nonce: str) -> bytes:
        """Return the root file, which names the parts and answers *nonce* as the proof.

        Raises:
            BadValueError: The nonce can't be written.
        """
        return _root(self.dialect, self.parts, self.page_lines, nonce)


class Renderer:
    """Renders snapshots for one nginx; what a snapshot shares with the last one is not written anew.

    Attributes:
        certificates: What hosts may be served with; another set counts from the next rendering on.
    """

    def __init__(self, dialect: Dialect) -> None:
        """Check that the settings can be written.

        Raises:
            UsageError: They can't.
        """
        try:
            begin = begin_lines(dialect)
            _root(dialect, (), (), "")
        except BadValueError as exc:
            raise UsageError(f"[nginx]: {exc}") from exc
        if both := set(dialect.addresses) & set(dialect.https_addresses):
            raise UsageError(f"[nginx.listen]: {min(both)} is in http and in https (take it out of one)")
        self.certificates = CertificateSet()
        self._dialect = dialect
        self._by_host = _ByHost()
        self._services = _Memo("service", partial(service_part, dialect=dialect))
        self._hosts = _Memo("host", partial(host_part, begin=begin, dialect=dialect))
        self._chosen: tuple[object, _Chosen] = ((), _Chosen())
        self._pages: tuple[object, Pages] = ({}, NO_PAGES)

    def render(
        self,
        snapshot: Snapshot,
        *,
        additions: Additions = NO_ADDITIONS,
        set_aside: SetAside = _NOTHING,
        closed: AbstractSet[str] = _NOBODY,
    ) -> Site:
        """Render *snapshot*.

        A service that no host leads to has no part. One without endpoints has none either, and its routes
        answer 503.

        Args:
            snapshot: What nginx should know.
            additions: What operators add.
            set_aside: Parts to use in place of what the snapshot gives, or None to leave one out. A service
                left out counts as one without endpoints; a host answers 503 where its substitute needs a
                service that is not there, or where its authority is left out. Users and pages can't be set
                aside, only their hosts. What the snapshot does not have any more is passed over.
            closed: Hosts that answer 503, so that nobody else gets their requests.
        """
        self._services.turn()
        services: dict[str, Part] = {}
        problems: list[Problem] = []
        for name, endpoints in snapshot.services.items():
            if endpoints:
                aside = ("service", name) in set_aside
                outcome: _Outcome = (
                    set_aside["service", name]
                    if aside
                    else self._services.get(name, endpoints, snapshot.options.get(name))
                )
                _sort_out(outcome, services, problems)
        hosts = self._choose_hosts(snapshot, additions, frozenset(services), (set_aside, frozenset(closed)))
        parts = (*(services[name] for name in hosts.needs), *hosts.parts)
        page_lines = self._write_pages(additions).server
        digest = _digest(self._dialect, parts, page_lines)
        problems += (*hosts.problems, *additions.problems, *client_problems(self._dialect))
        return Site(parts, digest, self._dialect, page_lines, tuple(problems))

    def _write_pages(self, additions: Additions) -> Pages:
        if self._pages[0] != additions.pages:
            self._pages = (additions.pages, write_pages(additions.pages, self._dialect.parts_folder))
        return self._pages[1]

    def _choose_hosts(
        self, snapshot: Snapshot, additions: Additions, live: frozenset[str], without: _Without
    ) -> _Chosen:
        by_host = self._by_host.group(snapshot.routes)
        aside = {key: part for key, part in without[0].items() if key[0] != "service"}, without[1]
        inputs = (by_host, live, aside, snapshot.options, snapshot.hosts, self.certificates, additions)
        # most changes are of endpoints only: then every host stays as it is, and none is looked at
        if self._chosen[0] != inputs:
            self._hosts.turn()
            self._chosen = (inputs, self._write_hosts(by_host, live, aside, snapshot, additions))
        return self._chosen[1]

    def _write_hosts(
        self,
        by_host: Mapping[str, tuple[Route, ...]],
        live: frozenset[str],
        without: _Without,
        snapshot: Snapshot,
        additions: Additions,
    ) -> _Chosen:
        set_aside, closed = without
        certificates = self.certificates.without(
            _of_kind("certificate", set_aside), _of_kind("authority", set_aside)
        )
        additions = additions.without(_of_kind("operator", set_aside))
        pages, default_host = self._write_pages(additions), self._dialect.default_host
        parts: dict[str, Part] = {}
        problems: list[Problem] = []
        for host, routes in by_host.items():
            substitute = set_aside.get(("host", host))
            if substitute and substitute.needs <= live:
                outcome: _Outcome = substitute
            elif ("host", host) in set_aside and not substitute:
                outcome = None
            else:
                of_host = snapshot.hosts.get(host, tls.AS_USUAL)
                found = tls.standing(host, of_host, certificates, self._dialect)
                if substitute or host in closed:
                    found = replace(found, closed=True)
                needs = frozenset([one.service for one in routes if one.service in live and passes_on(one)])
                asked = _of_these(needs, snapshot.options)
                wanted = Wanted(
                    routes, needs, asked, of_host, found, additions.of(host), pages, host == default_host
                )
                outcome = self._hosts.get(host, wanted)
            _sort_out(outcome, parts, problems)
        problems += default_host_problems(parts.get(default_host), self._dialect)
        problems += additions.passed_over(by_host)
        needed = frozenset().union(*[part.needs for part in parts.values()])
        files = {file.file: file for part in parts.values() for file in part.files}
        files |= {page.file: page for page in pages.parts}
        sorted_files = (files[name] for name in sorted(files))
        return _Chosen((*parts.values(), *sorted_files), tuple(sorted(needed)), tuple(problems))


def _of_kind(kind: PartKind, set_aside: SetAside) -> Mapping[str, Part | None]:
    return {name: part for (of, name), part in set_aside.items() if of == kind}


def _of_these(names: frozenset[str], options: Mapping[str, ServiceOptions]) -> Mapping[str, ServiceOptions]:
    return {name: options[name] for name in names if name in options} if options else _NO_OPTIONS


class _Chosen(NamedTuple):
    """The parts of the hosts with the files that these refer to, and the services that they need."""

    parts: tuple[Part, ...] = ()
    needs: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class _ByHost:
    """The routes of each host; grouped anew only when the routes change."""

    def __init__(self) -> None:
        self._routes: Sequence[Route] = ()
        self._hosts: dict[str, tuple[Route, ...]] = {}

    def group(self, routes: Sequence[Route]) -> Mapping[str, tuple[Route, ...]]:
        if self._routes != routes:
            hosts: dict[str, list[Route]] = {}
            for route in routes:
                hosts.setdefault(route.host, []).append(route)
            self._hosts = {host: tuple(hosts[host]) for host in sorted(hosts)}
            self._routes = routes
        return self._hosts


class _Memo:
    """What was written for the last snapshot, and from what; whatever a snapshot does not use is dropped."""

    def __init__(self, kind: Literal["service", "host"], write: Callable[..., Part]) -> None:
        self._kind = kind
        self._write = write
        self._last: dict[str, tuple[object, Part | Problem]] = {}
        self._now: dict[str, tuple[object, Part | Problem]] = {}

    def turn(self) -> None:
        """Begin with another snapshot."""
        self._last, self._now = self._now, {}

    def get(self, name: str, *inputs: object) -> Part | Problem:
        """Return what *inputs* give for *name*."""
        found = self._last.get(name)
        if found is None or found[0] != inputs:
            found = (inputs, self._try(name, inputs))
        self._now[name] = found
        return found[1]

    def _try(self, name: str, inputs: tuple[object, ...]) -> Part | Problem:
        try:
            return self._write(name, *inputs)
        except BadValueError as exc:
            return Problem(self._kind, name, str(exc))


def _sort_out(outcome: _Outcome, parts: dict[str, Part], problems: list[Problem]) -> None:
    if isinstance(outcome, Part):
        parts[outcome.name] = outcome
        problems += outcome.problems
    elif outcome:
        problems.append(outcome)


def _root(dialect: Dialect, parts: Sequence[Part], page_lines: tuple[Lines, ...], nonce: str) -> bytes:
    included = [part.file for part in parts if part.is_included]
    mentioned = [part.file for part in parts if not part.is_included]
    return root_text(dialect, included, mentioned=mentioned, hosts=_hosts(parts, page_lines), nonce=nonce)


def _digest(dialect: Dialect, parts: Sequence[Part], page_lines: tuple[Lines, ...]) -> str:
    """Digest the root file without its parts, and their names, which are digests themselves."""
    root = root_text(dialect, (), mentioned=(), hosts=_hosts(parts, page_lines), nonce="")
    return hashlib.sha256(root + "\n".join([part.file for part in parts]).encode()).hexdigest()


def _hosts(parts: Sequence[Part], page_lines: tuple[Lines, ...]) -> Hosts:
    number = [part.kind for part in parts].count("host")
    return Hosts(number, any(part.answers_unknown for part in parts), page_lines)
