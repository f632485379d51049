"""What the tests of explanations share: a world of two sources, and an nginx that serves it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proxyconf.api import (
    AppliedState,
    CertificateState,
    NginxState,
    Pause,
    SourceState,
    Status,
    TemplateState,
)
from proxyconf.explain.answer import Explanation, Known, Link
from proxyconf.explain.ask import explain
from proxyconf.held import Held
from proxyconf.model import Container, Entry, Listing, Problem
from proxyconf.nginx.part import Part
from proxyconf.nginx.site import Renderer
from proxyconf.routing import Reader
from proxyconf.since import Since
from proxyconf.snapshot import merge
from proxyconf.tables import Nginx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.nginx.site import Dialect

AT = 1_800_000_000.0
WEB = Container(
    id="1" * 64,
    name="web-1",
    labels={"proxyconf.host": "a.test"},
    state="running",
    networks={"front": "172.18.0.2"},
    ports=(8080,),
    created=1700,
)


def other(number: int, **changes: object) -> Container:
    made = replace(WEB, id=str(number) * 64, name=f"web-{number}", networks={"front": f"172.18.0.{number}"})
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """Two sources, and an nginx that serves what they ask for, unless said otherwise.

    Attributes:
        left_out: A service that nginx does not have, though it has endpoints.
        nginx: What the parts are written for; else they are empty.
        settings: What is set for it.
        files: Of each host.
        host_problems: Of each host.
        now: Unix time of the question.
        held: What the sources said last, where it does not count.
        running: Whether nginx does, where somebody has looked.
        served: What nginx serves, where that is something else.
        more: Keys of a third source.
        lost: The second source is.
        forgotten: It was an earlier run that proved it.
        where: The place of the keys, where they are not in a store.
        pairs: What the second source has for templates.
        more_pairs: And the third.
        templates: How it stands with them.
        pause: A person asked for one.
    """

    containers: tuple[Container, ...] = (WEB,)
    removed: tuple[Container, ...] = ()
    keys: dict[str, str] = field(default_factory=dict)
    state: str = "applied"
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    proved: bool = True
    left_out: str = ""
    nginx: Dialect | None = None
    settings: Nginx = field(default_factory=Nginx)
    files: tuple[Part, ...] = (Part("certificate", "own", "c-1.pem", b""),)
    host_problems: tuple[Problem, ...] = ()
    now: float = AT - 1
    held: tuple[Held, ...] = ()
    running: bool | None = None
    served: World | None = None
    more: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    forgotten: bool = False
    where: str = ""
    pairs: dict[str, str] = field(default_factory=dict)
    more_pairs: dict[str, str] = field(default_factory=dict)
    templates: tuple[TemplateState, ...] = ()
    pause: bool = False

    def known(self) -> Known:
        listings = [
            Listing("docker", containers=self.containers, removed=self.removed),
            Listing(
                "etcd",
                keys={key: Entry(text.encode(), where=self.where) for key, text in self.keys.items()},
                pairs={name: Entry(text.encode()) for name, text in self.pairs.items()},
                place="etcd key '/proxyconf/{key}'",
            ),
            Listing(
                "consul",
                keys={key: Entry(text.encode()) for key, text in self.more.items()},
                pairs={name: Entry(text.encode()) for name, text in self.more_pairs.items()},
                place="consul key 'proxyconf/{key}'",
            ),
        ]
        claims = [Reader().read(listing) for listing in listings]
        snapshot = merge(claims)
        since = Since()
        served = self.served.known().snapshot if self.served else snapshot
        is_proved = self.proved and self.running is not False and not self.forgotten
        if is_proved:
            since.note(served, AT)
        mode = self.settings.mode
        status = Status(
            nginx=NginxState(
                mode=mode, root="/state/nginx/nginx.conf", running=self.running, start="nginx -c it"
            ),
            state=self.state,
            reason=self.reason,
            applied=AppliedState(digest="abcdef0123456789", at=AT) if is_proved else None,
            sources=[
                SourceState(name="docker", state="watching", listed_at=AT),
                SourceState(name="etcd", state="lost", listed_at=AT, reason="refused")
                if self.lost
                else SourceState(name="etcd", state="watching", listed_at=AT),
                SourceState(name="consul", state="watching", listed_at=AT),
            ],
            templates=list(self.templates),
            paused=Pause(since=AT) if self.pause else None,
            problems=[*snapshot.problems, *self.problems],
            certificates=[
                CertificateState(name=name, file=f"/certs/{name}.crt", names=("a.test",), not_after=AT)
                for name in ("own", "other")
            ],
        )
        live = [name for name, of in served.services.items() if of and name != self.left_out]
        hosts = [
            Part("host", one.host, "h-1.conf", b"", frozenset(live), self.files, self.host_problems)
            for one in served.routes
        ]
        services = [Part("service", name, "s-1.conf", b"") for name in live]
        made: Sequence[Part] = (*hosts, *services) if self.proved else ()
        if self.nginx:
            made = Renderer(self.nginx).render(snapshot).parts
        parts: dict[tuple[str, str], Part] = {(part.kind, part.name): part for part in made}
        return Known(
            listings,
            claims,
            self.held,
            snapshot,
            status,
            since,
            lambda kind, name: parts.get((kind, name)),
            self.nginx.settings if self.nginx else self.settings,
            self.now,
        )

    def holding(self, keys: dict[str, str], pairs: dict[str, str] | None = None) -> World:
        """Return this world where the second source said last that it has these *keys*, in vain."""
        (before,) = [one for one in self.known().claims if one.source == "etcd"]
        known = replace(self, keys=keys, pairs=pairs or {}).known()
        (listing,) = [one for one in known.listings if one.source == "etcd"]
        (claims,) = [one for one in known.claims if one.source == "etcd"]
        return replace(self, held=(Held(listing, claims, before),))

    def explain(self, question: str) -> Explanation:
        return explain(question, self.known())


def flat(links: tuple[Link, ...]) -> Iterator[Link]:
    for link in links:
        yield link
        yield from flat(link.links)


def said(answer: Explanation, what: str) -> list[str]:
    return [link.says for link in flat(answer.chain) if link.what == what]
