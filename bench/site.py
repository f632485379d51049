"""The keys of sites of several sizes. Pure.

Endpoints are addresses of the loopback network, which one socket answers (see `backends`), so that there can
be as many as one likes. The host `PROBE` leads to a service with one endpoint: when that is replaced, the
first answer of the new one is unambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROBE = "s0.bench.test"
PROBE_KEY = "services/s0/1"


@dataclass(frozen=True, slots=True)
class Site:
    """What the store holds.

    Attributes:
        keys: Key below the prefix to value.
        hosts: Host to the addresses that it leads to.
        probe_key: That of the only endpoint of `PROBE`.
    """

    keys: Mapping[str, str]
    hosts: Mapping[str, tuple[str, ...]]
    probe_key: str = PROBE_KEY


class Addresses:
    """Hands out endpoints, each once.

    Args:
        port: Of all of them.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers: Iterator[int] = iter(range(1 << 16, 1 << 23))  # 127.1.0.0 to 127.127.255.255

    def new(self) -> str:
        """Return an endpoint that was never handed out."""
        number = next(self._numbers)
        return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}:{self._port}"


def site_of(*, keys: int, services: int, addresses: Addresses) -> Site:
    """Return a site of *keys* keys, one of which is a route for each of the *services*."""
    endpoints = keys - services
    counts = [1] + [0] * (services - 1)
    for number in range(endpoints - 1):
        counts[1 + number % (services - 1)] += 1
    found: dict[str, str] = {}
    hosts: dict[str, tuple[str, ...]] = {}
    for number, count in enumerate(counts):
        name = f"s{number}"
        instances = {f"services/{name}/{one}": addresses.new() for one in range(1, count + 1)}
        hosts[f"{name}.bench.test"] = tuple(instances.values())
        found |= instances
        found[f"routes/{name}"] = f'{{"host": "{name}.bench.test"}}'
    return Site(found, hosts)
