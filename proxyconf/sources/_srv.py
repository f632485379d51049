"""The members of a cluster, found by DNS SRV. Loaded only where a record is configured, as dnspython is."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

import dns.asyncresolver
import structlog
from dns.exception import DNSException
from dns.rdatatype import SRV

from proxyconf.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dns.rdatatype import RdataType
    from dns.resolver import Answer

log = structlog.get_logger(__name__)

Address = tuple[str, int]
"""A host's name, and the port."""

_REASON_MAX = 200
_WEIGHT_OF_ZERO = 0.01  # RFC 2782: "a very small chance of being selected"


class Resolver(Protocol):
    """What we use of dnspython's."""

    async def resolve(self, qname: str, rdtype: RdataType, *, lifetime: float) -> Answer:
        """Return the answer; raise a DNSException after *lifetime* seconds at the latest."""
        ...


async def resolve_srv(
    record: str, *, timeout_s: float, open_resolver: Callable[[], Resolver] = dns.asyncresolver.Resolver
) -> tuple[Address, ...]:
    """Return the members that an SRV record names, in the order in which to try them.

    Those of the least priority come first; among equals chance decides, by their weights.

    Args:
        record: Its name, for example ``_etcd-client._tcp.example.com``.
        timeout_s: For the answer.
        open_resolver: Makes the one that is asked, for example of /etc/resolv.conf; may block.

    Raises:
        SourceError: There is no answer, or it names nobody.
    """
    try:
        resolver = await asyncio.to_thread(open_resolver)
        answer = await resolver.resolve(record, SRV, lifetime=timeout_s)
    except (DNSException, OSError) as exc:
        reason = " ".join(str(exc).split()).rstrip(".")[:_REASON_MAX]
        raise SourceError(f"resolve {record!r}: {reason} (check srv_record, and the resolver)") from exc
    found = [one for one in answer if one.target.to_text() != "."]
    if not found:
        raise SourceError(f"resolve {record!r}: DNS says that there is no such service (check srv_record)")
    # with such keys, each comes first as often as its share of the weights says
    found.sort(key=lambda one: (one.priority, random.expovariate(one.weight or _WEIGHT_OF_ZERO)))
    return tuple((one.target.to_text(omit_final_dot=True), one.port) for one in found)


class Members:
    """The members that a record names, one for each attempt to connect; the record is asked every time."""

    def __init__(self, record: str, resolve: Callable[[str], Awaitable[tuple[Address, ...]]]) -> None:
        self._record = record
        self._resolve = resolve
        self._known: tuple[Address, ...] = ()
        self._kept = False
        self._tried: set[Address] = set()

    async def next(self) -> Address:
        """Return the first member that was not tried since one served; after all of them, start over.

        Raises:
            SourceError: The record cannot be resolved, and never could be. Otherwise its last answer counts.
        """
        await self._look_up()
        untried = [one for one in self._known if one not in self._tried]
        if not untried:
            self._tried.clear()
            untried = [*self._known]
        self._tried.add(untried[0])
        return untried[0]

    def served(self) -> None:
        """Note that a connection came about: the next one may be made to the best member again."""
        self._tried.clear()

    async def _look_up(self) -> None:
        try:
            self._known = await self._resolve(self._record)
        except SourceError as exc:
            if not self._known:
                raise
            tell = log.debug if self._kept else log.warning  # not with every attempt
            tell("members.kept", record=self._record, reason=str(exc), members=len(self._known))
            self._kept = True
        else:
            self._kept = False
