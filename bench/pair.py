"""The program and the floor side by side, on the same site, and single changes of both."""

from __future__ import annotations

import random
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.floor import Floor
from bench.poller import Task, body_of
from bench.product import Product, SiteJob
from bench.site import PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.floor import Told
    from bench.lab import Lab
    from bench.poller import Seen
    from bench.product import Job, Place
    from bench.site import Site
    from bench.store import Put, Store
    from proxyconf.api import Pass

_HAND_OVER_S = 0.3  # after a reload the old worker answers for another 100 ms
_PATIENCE_S = 10.0
_SHOWN = 5
_ON_ONE_CONNECTION = 500  # nginx ends one after 1,000 requests


@dataclass(frozen=True, slots=True)
class Served:
    """A change of the program.

    Attributes:
        ms: From sending the put to the first answer of the new backend.
        put: The put.
        seen: What the poller saw.
        address: The new backend.
    """

    ms: float
    put: Put
    seen: Seen
    address: str


@dataclass(frozen=True, slots=True)
class Direct:
    """A change of the floor, in milliseconds: all of it, and its steps."""

    ms: float
    write_ms: float
    check_ms: float
    reload_ms: float


class Pair:
    """Both, running, with the same site."""

    def __init__(self, lab: Lab, product: Product, floor: Floor, store: Store, site: Site) -> None:
        self.lab = lab
        self.product = product
        self.floor = floor
        self.store = store
        self.hosts = dict(site.hosts)
        self._probe_key = site.probe_key
        self._floor_address = self.hosts[PROBE][0]
        self._random = random.Random(1)  # noqa: S311 - no secret

    def change(self) -> Served:
        """Replace the probe's endpoint through etcd, and wait for the new one's first answer."""
        address = self.lab.addresses.new()
        task = Task(self.product.port, PROBE, address)
        self.lab.poller.start(task)
        put = self.store.put(self._probe_key, address)
        seen = self.lab.poller.seen(task)
        (before,) = self.hosts[PROBE]
        self.hosts |= {
            host: tuple([address if one == before else one for one in found])
            for host, found in self.hosts.items()
            if before in found
        }
        return Served((seen.first_ns[address] - put.sent_ns) / 1e6, put, seen, address)

    def change_directly(self) -> Direct:
        """Do the same to the floor."""
        address = self.lab.addresses.new()
        return self._tell(address, lambda: self.floor.change(self._floor_address, address))

    def load_directly(self) -> Direct:
        """Give the floor all that the program's nginx has; the probe's endpoint must be another there."""
        tree = self.floor.like(self.product)
        return self._tell(self.hosts[PROBE][0], lambda: self.floor.load(tree))

    def _tell(self, address: str, tell: Callable[[], Told]) -> Direct:
        task = Task(self.floor.port, PROBE, address)
        self.lab.poller.start(task)
        told = tell()
        first_ns = self.lab.poller.seen(task).first_ns[address]
        self._floor_address = address
        return Direct(
            (first_ns - told.start_ns) / 1e6,
            (told.check_ns - told.start_ns) / 1e6,
            (told.signal_ns - told.check_ns) / 1e6,
            (first_ns - told.signal_ns) / 1e6,
        )

    def pause(self, seconds: float) -> None:
        """Sleep for about so long: never in step with anything that is periodic."""
        time.sleep(seconds * self._random.uniform(1.0, 1.25))

    def passes(self) -> list[Pass]:
        """Return the latest passes of the program."""
        return self.product.status().history

    def verify(self) -> None:
        """Ask for every host until each of its endpoints, and nothing else, has answered.

        Raises:
            BenchError: A host leads elsewhere.
        """
        time.sleep(_HAND_OVER_S)
        verify(self.product.port, self.hosts)


def verify(port: int, hosts: Mapping[str, tuple[str, ...]]) -> None:
    """Ask nginx for every host, as often as it has endpoints: they take turns.

    Raises:
        BenchError: A host leads elsewhere, for longer than an old worker can be blamed for.
    """
    deadline = time.monotonic() + _PATIENCE_S
    for host, addresses in hosts.items():
        while sorted(answers := _answers(port, host, len(addresses))) != sorted(addresses):
            if time.monotonic() > deadline:
                raise BenchError(_difference(host, addresses, answers))
            time.sleep(_HAND_OVER_S)


def _difference(host: str, wanted: Sequence[str], answers: Sequence[str]) -> str:
    missing, wrong = set(wanted).difference(answers), set(answers).difference(wanted)
    return f"{host} never leads to {sorted(missing)[:_SHOWN]}, but to {sorted(wrong)[:_SHOWN]}"


def _answers(port: int, host: str, count: int) -> list[str]:
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    answers: list[str] = []
    while len(answers) < count:
        with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as sock:
            for _ in range(min(count - len(answers), _ON_ONE_CONNECTION)):
                sock.sendall(request)
                answers.append(body_of(sock) or "no success")
    return answers


@contextmanager
def paired(lab: Lab, name: str, site: Site, job: Callable[[Place], Job] = SiteJob) -> Iterator[Pair]:
    """Run both while the block runs."""
    prefix = f"/{name}"
    with (
        lab.store(prefix, site.keys) as store,
        Product(lab, name, job) as product,
        Floor(lab, f"{name}-floor") as floor,
    ):
        product.boot(prefix)
        floor.boot(floor.like(product))
        yield Pair(lab, product, floor, store, site)
