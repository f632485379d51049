"""The immutable values that cross module borders.

A `Listing` comes from a source; `routing` reads it into `Claims`; `snapshot.merge` turns the claims of all
sources into one `Snapshot`, from which nginx's configuration is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - listings are saved, and read again by their annotations
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from proxyconf.options import NONE as NO_OPTIONS
from proxyconf.options import HostOptions, Options, ServiceOptions


class Entry(NamedTuple):
    """A key's value in a listing.

    Attributes:
        value: The raw bytes, as the store holds them.
        born: Orders keys of one source by age (etcd: create revision); smaller is older.
        where: Its place, for people, where the listing's `place` does not say it.
    """

    value: bytes
    born: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something skipped or set aside.

    Attributes:
        what: The kind of thing: endpoint, route, service, host, container, file, source, template, look-up,
            certificate, authority (of clients' certificates), users (of basic authentication), page, folder,
            setting, nginx.
        where: Its place: an etcd key, a container, file and key.
        why: The reason and, in parentheses, the mend.
    """

    what: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} {self.where}: {self.why}"


@dataclass(frozen=True, slots=True)
class Idle:
    """A container that gets no requests, as is to be expected: no problem.

    Attributes:
        container: Its name.
        why: The reason and, where there is one, in parentheses what to do about it.
    """

    container: str
    why: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container as an engine lists it.

    Attributes:
        id: The engine's 64 hexadecimal digits.
        name: Without the leading slash.
        labels: As set at creation; they can't change later.
        state: created, running, paused, restarting, exited or dead.
        health: starting, healthy, unhealthy, or "" without a health check; flapping: healthy again and again,
            each time for a moment: until it lasts, only where nothing else serves.
        networks: Network name to IP address; networks without an address are left out.
        ports: The TCP ports it exposes, ascending.
        created: Unix time in seconds.
        draining: It was told to stop and has not died yet: no new requests for it.
        env: Those of its variables that say how it is to be routed; no others, for they may be secrets.
        published: Port of the container to ``ip:port`` of the host where it is published.
        network_mode: ``host``, ``container:ID``, or a network's name.
        attached: Its networks, also while it does not run and has no address there: name to gateway, which in
            a bridge is the engine's host; "" where there is none, or none is known.
        probation_s: It ended again and again, each time within so many seconds of its start: no requests for
            it until it has run for that long. 0: it gets them.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: str
    health: str = ""
    networks: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    created: int = 0
    draining: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[int, str] = field(default_factory=dict)
    network_mode: str = ""
    attached: Mapping[str, str] = field(default_factory=dict)
    probation_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How the proxy gets to the containers of an engine.

    Attributes:
        networks: Those that it shares with containers, the preferred one first. None: it runs on the engine's
            host, from which every network is reached.
        host: The address at which it finds that host; "" for none.
        published: By the ports that containers publish on the host, not by their own addresses.
    """

    networks: tuple[str, ...] | None = None
    host: str = "127.0.0.1"
    published: bool = False


UNASKED = "no route or template wants a key of it, so it is not asked"
"""What is to be said of the source of a listing that is `unasked`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The COMPLETE content of one source at one revision: keys, or containers.

    An empty listing means "known to be none". "Unknown" is the absence of a listing.

    Attributes:
        source: The source's name in the configuration: ``etcd``, ``etcd.NAME``, ``docker``.
        revision: How far the store had got; grows within one `cluster`. 0 where a store counts nothing.
        cluster: Identity of the store. Another one, or a lower revision, arms the loss guard.
        keys: Key below the source's prefix (``services/web/1``) to entry: what routes and services are read
            from.
        pairs: Full name in the store, with a leading slash (``/app/server/1``), to entry: what templates
            need.
        containers: In any order.
        removed: Containers that are gone since a moment ago: until they are replaced, their hosts stay known.
        reach: How to get to them.
        host_rule: Gives those a host that name none; "" for no rule.
        proxies: The ids of the containers that the proxy is: our own, or the one whose network it shares, and
            nginx's.
        problems: What the source itself had to skip (an unreadable file).
        unread: Places that can't be read, as `Entry.where` begins: what was known of them before counts.
        place: How to name a key to a person: a format with ``{key}``.
        urgent: A death is among the changes: apply without waiting for quiet.
        last_good: Key to the entry that counts in place of a bad one. No source knows it: it is noted for the
            next run when the listing is saved.
        needs: The key prefixes that the source was asked for; noted when it arrives.
        unasked: Nobody wants anything of it, so that the store was not asked, and may not even be there.
    """

    source: str
    revision: int = 0
    cluster: str = ""
    keys: Mapping[str, Entry] = field(default_factory=dict)
    pairs: Mapping[str, Entry] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    removed: tuple[Container, ...] = ()
    reach: Reach = Reach()
    host_rule: str = ""
    proxies: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()
    place: str = "{key}"
    urgent: bool = False
    last_good: Mapping[str, Entry] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    unasked: bool = False

    def was_asked_for(self, need: str) -> bool:
        """Tell whether all is in it that the source has of the key prefix *need*."""
        # nearly always by this very name, which is asked before every change: for hundreds, of hundreds
        return need in self.needs or any(covers(asked, need) for asked in self.needs)


def covers(prefix: str, other: str) -> bool:
    """Tell whether a key prefix stands for all that *other* stands for; ``/`` is everything."""
    return other == prefix or other.startswith(f"{prefix.rstrip('/')}/")


@dataclass(frozen=True, slots=True)
class Change:
    """A listing that arrived.

    Attributes:
        fresh: It is the first of its connection: after a start or an outage, so the loss guard looks at it.
    """

    listing: Listing
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port that serves.

    Attributes:
        address: ``ip:port`` or ``[ip]:port``, canonical.
        weight: 1 to 1000.
        backup: Used only while every other one is down.
        draining: Finishes what it has and gets nothing new, unless it is the service's last.
    """

    address: str
    weight: int = 1
    backup: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """An endpoint's claim to belong to a service.

    Attributes:
        key: Identity: of two sources that hold the same one, the first in file order wins.
        where: The place it was read from, for people.
        born: Age within its source; smaller is older.
        why: How its address was found, where it was not written down.
    """

    service: str
    endpoint: Endpoint
    key: str
    where: str
    born: int = 0
    why: str = ""


class Named(NamedTuple):
    """A service that is asked for by what may have no endpoint at the moment, such as a stopped container."""

    service: str
    where: str
    born: int


@dataclass(frozen=True, slots=True)
class Route:
    """A host and path that lead to a service.

    Attributes:
        host: Lower-case ASCII (IDNA), optionally with a leading ``*.``.
        path: Starts with a slash and ends without one, but for the root, ``/``.
        service: Name of the service.
        key: Identity: of two sources that hold the same one, the first in file order wins.
        where: The place it was read from, for people.
        source: Name of the source.
        born: Age within that source; smaller is older.
        options: What else it asks for.
        implied: A rule made it, so that it yields to every other.
    """

    host: str
    path: str
    service: str
    key: str
    where: str
    source: str
    born: int = 0
    options: Options = NO_OPTIONS
    implied: bool = False

    @property
    def claim(self) -> str:
        """Host and path as one text: what can belong to one route only."""
        return self.host + self.path


@dataclass(frozen=True, slots=True)
class Claims:
    """What one listing asks for, its bad values already set aside as problems.

    Attributes:
        pairs: As in the listing; templates are given them as they are.
        containers: As in the listing.
        idle: Containers that are known and get no requests.
        last_good: Key of a bad value to the entry that its member or route is kept from.
    """

    source: str
    members: tuple[Member, ...] = ()
    routes: tuple[Route, ...] = ()
    named: tuple[Named, ...] = ()
    pairs: Mapping[str, Entry] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    idle: tuple[Idle, ...] = ()
    problems: tuple[Problem, ...] = ()
    last_good: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything nginx and the templates should know; equal claims give an equal snapshot.

    Attributes:
        routes: Sorted by host and path, each claim once.
        services: Name to its endpoints, sorted by address, without draining ones that can be spared.
        options: Name of a service to what its routes ask for, where that is anything.
        hosts: A host to what its routes ask for, where that is anything.
        pairs: Full name, with a leading slash and without a final one, to entry; in any order.
        containers: Sorted by name.
        idle: Sorted.
        problems: Sorted.
    """

    routes: tuple[Route, ...] = ()
    services: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    options: Mapping[str, ServiceOptions] = field(default_factory=dict)
    hosts: Mapping[str, HostOptions] = field(default_factory=dict)
    pairs: Mapping[str, Entry] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    idle: tuple[Idle, ...] = ()
    problems: tuple[Problem, ...] = ()

    def is_like(self, other: Snapshot) -> bool:
        """Tell whether the two come to the same for nginx and the templates."""
        return replace(self, idle=(), problems=()) == replace(other, idle=(), problems=())
