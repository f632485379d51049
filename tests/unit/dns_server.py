"""A DNS server of our own on a free UDP port of the loopback address; what it answers is given."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class DnsServer(asyncio.DatagramProtocol):
    """Answers questions for SRV records.

    Attributes:
        records: Name, without its final dot, to ``PRIORITY WEIGHT PORT TARGET`` of each; without a name's
            entry, the name does not exist.
        silent: It does not answer.
        asked: The names it was asked for.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.silent = False
        self.asked: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        question = dns.message.from_wire(data)
        asked = question.question[0]
        name = asked.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        answer = dns.message.make_response(question)
        if records := self.records.get(name):
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "SRV", *records))
        elif records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if not self.silent:
            self._transport.sendto(answer.to_wire(), addr)

    def resolver(self) -> dns.asyncresolver.Resolver:
        """Return a resolver that asks it, and nobody else."""
        assert self._transport is not None
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self._transport.get_extra_info("sockname")[1]
        return resolver


@asynccontextmanager
async def dns_server(address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[DnsServer]:
    """Serve until the block ends, on any free port by default."""
    server = DnsServer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=(address, port)
    )
    try:
        yield server
    finally:
        transport.close()
