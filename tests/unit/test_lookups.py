"""Answers to look-ups: from memory, bounded, and never lost by a failure."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import TYPE_CHECKING

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from proxyconf.resources.lookups import AT_ONCE, FORGET_S, FRESH_S, LIMIT_S, RETRY_S, Lookups
from proxyconf.resources.resolver import Resolver, UnansweredError, in_table6
from proxyconf.resources.world import Lookup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

DB, WEB = Lookup("ip", "db"), Lookup("srv", "_web._tcp.test")
HANGS = 3600.0


class Script:
    """Answers what it is told to: a list, an error, or seconds to hang."""

    def __init__(self) -> None:
        self.says: dict[Lookup, Iterable[str] | Exception | float] = {}
        self.asked: list[Lookup] = []
        self.running = self.most_running = 0

    async def __call__(self, lookup: Lookup) -> Iterable[str]:
        self.asked.append(lookup)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            said = self.says.get(lookup, ())
            if isinstance(said, float):
                await asyncio.sleep(said)
                return ()
            if isinstance(said, Exception):
                raise said
            return said
        finally:
            self.running -= 1


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.looptime
async def test_answers_are_sorted_and_each_asked_for_once() -> None:
    script = Script()
    script.says = {DB: ["10.0.0.2", "10.0.0.10", "10.0.0.2"], WEB: ()}
    assert await Lookups(script).answer([WEB, DB, DB]) == {DB: ("10.0.0.10", "10.0.0.2"), WEB: ()}
    assert script.asked == [DB, WEB]


@pytest.mark.looptime
async def test_an_answer_is_asked_for_again_when_it_is_old() -> None:
    script = Script()
    lookups = Lookups(script)
    script.says[DB] = ["10.0.0.1"]
    await lookups.answer([DB])
    script.says[DB] = ["10.0.0.2"]
    await asyncio.sleep(FRESH_S - 0.1)
    assert await lookups.answer([DB]) == {DB: ("10.0.0.1",)}
    await asyncio.sleep(0.1)
    assert await lookups.answer([DB]) == {DB: ("10.0.0.2",)}


@pytest.mark.looptime
async def test_a_failure_counts_as_empty_and_is_tried_again_soon() -> None:
    script = Script()
    lookups = Lookups(script)
    script.says[DB] = UnansweredError("Name or service not known")
    assert await lookups.answer([DB]) == {DB: ()}
    assert [str(problem) for problem in lookups.problems] == [
        "look-up lookupIP 'db': Name or service not known; it counts as empty"
    ]
    script.says[DB] = ["10.0.0.1"]
    await asyncio.sleep(RETRY_S)
    assert (await lookups.answer([DB]), lookups.problems) == ({DB: ("10.0.0.1",)}, ())


@pytest.mark.looptime
async def test_a_failure_takes_no_answer_away() -> None:
    script = Script()
    lookups = Lookups(script)
    script.says[DB] = ["10.0.0.1", "10.0.0.2"]
    await lookups.answer([DB])
    script.says[DB] = UnansweredError("Temporary failure in name resolution")
    for wait_s in (FRESH_S, RETRY_S):
        await asyncio.sleep(wait_s)
        assert await lookups.answer([DB]) == {DB: ("10.0.0.1", "10.0.0.2")}
    (problem,) = lookups.problems
    assert problem.why == ("Temporary failure in name resolution; its last answer counts: 10.0.0.1, 10.0.0.2")
    script.says[DB] = ()  # this is known, and not a failure
    await asyncio.sleep(RETRY_S)
    assert (await lookups.answer([DB]), len(script.asked)) == ({DB: ()}, 4)


@pytest.mark.looptime
async def test_a_look_up_that_hangs_is_given_up_and_holds_nobody_else_up() -> None:
    script = Script()
    lookups = Lookups(script)
    script.says = {DB: HANGS, WEB: ["a. 80 1 1"]}
    started = now()
    assert await lookups.answer([DB, WEB]) == {DB: (), WEB: ("a. 80 1 1",)}
    assert now() - started == LIMIT_S
    assert [problem.why for problem in lookups.problems] == [
        "no answer within 2 s (is the name server up?); it counts as empty"
    ]


@pytest.mark.looptime
async def test_no_more_than_some_run_at_once() -> None:
    script = Script()
    many = [Lookup("ip", f"host-{number}") for number in range(AT_ONCE + 1)]
    script.says = dict.fromkeys(many, HANGS)
    started = now()
    await Lookups(script).answer(many)
    assert (script.most_running, now() - started) == (AT_ONCE, 2 * LIMIT_S)


@pytest.mark.looptime
async def test_what_nobody_wants_any_more_is_forgotten() -> None:
    """Names may come out of keys: without this, memory would grow with them for ever."""
    script = Script()
    lookups = Lookups(script)
    script.says = {DB: UnansweredError("no"), WEB: UnansweredError("no")}
    await lookups.answer([DB, WEB])
    await asyncio.sleep(FORGET_S)
    await lookups.answer([WEB])
    assert [problem.where for problem in lookups.problems] == [str(WEB)]


@pytest.mark.looptime
async def test_what_was_answered_before_a_cancellation_is_remembered() -> None:
    script = Script()
    lookups = Lookups(script)
    script.says = {DB: ["10.0.0.1"], WEB: HANGS}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LIMIT_S / 2):
            await lookups.answer([DB, WEB])
    await lookups.answer([DB])
    assert script.asked == [DB, WEB]


async def test_host_names_are_resolved_as_every_program_does() -> None:
    ask = Resolver()
    assert "127.0.0.1" in await ask(Lookup("ip", "localhost"))
    assert set(await ask(Lookup("ipv4", "localhost"))) == {"127.0.0.1"}
    assert set(await ask(Lookup("ipv6", "fe80::1%lo"))) == {"fe80::1"}  # a zone means nothing to others
    assert await ask(Lookup("ipv6", "127.0.0.1")) == []
    assert await Lookups().answer([Lookup("ip", "10.0.0.1")]) == {Lookup("ip", "10.0.0.1"): ("10.0.0.1",)}


@pytest.mark.parametrize(
    ("lookup", "reason"),
    [
        pytest.param(Lookup("ip", "x" * 70), "label too long", id="long name"),
        pytest.param(Lookup("ip", ""), "has no name", id="no name"),
        pytest.param(Lookup("interface4", "no-such"), "No such device", id="interface"),
        pytest.param(Lookup("interface6", "no-such"), "there is no such interface", id="interface, IPv6"),
    ],
)
async def test_what_the_system_does_not_know_is_a_failure(lookup: Lookup, reason: str) -> None:
    with pytest.raises(UnansweredError, match=reason):
        await Resolver()(lookup)


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        pytest.param(socket.EAI_NONAME, None, id="unknown"),
        pytest.param(socket.EAI_AGAIN, None, id="no name server"),
        pytest.param(socket.EAI_NODATA, [], id="known to have none"),
    ],
)
async def test_a_failure_is_told_from_no_addresses(code: int, answer: list[str] | None) -> None:
    def ask_host(name: str, family: int) -> list[str]:
        raise socket.gaierror(code, f"error for {name} {family}")

    if answer is None:
        with pytest.raises(UnansweredError, match=f"error for db {int(socket.AF_INET6)}"):
            await Resolver(ask_host)(Lookup("ipv6", "db"))
    else:
        assert await Resolver(ask_host)(Lookup("ipv6", "db")) == answer


async def test_addresses_of_interfaces_come_from_the_kernel() -> None:
    ipv4, ipv6 = Lookup("interface4", "lo"), Lookup("interface6", "lo")
    found = await Lookups().answer([ipv4, ipv6])
    assert (found[ipv4], found[ipv6] in [("::1",), ()]) == (("127.0.0.1",), True)  # a host may have no IPv6


def test_link_local_addresses_are_for_want_of_better_ones() -> None:
    table = (
        "fe8000000000000000000000000000aa 04 40 20 80     eth0\n"
        "fd0000000000000000000000000000aa 04 40 00 82     eth0\n"
        "fe8000000000000000000000000000bb 05 40 20 80     eth1\n"
    )
    assert [in_table6(table, name) for name in ("eth0", "eth1", "eth")] == [["fd00::aa"], ["fe80::bb"], []]


class Stuck:
    """Resolves a host name only when it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()

    def __call__(self, name: str, family: int) -> list[str]:
        del name, family
        self.calls += 1
        self.go.wait(10)
        return ["10.0.0.1"]


async def test_a_name_that_hangs_is_not_asked_for_twice() -> None:
    """There would be ever more threads, all waiting for a dead name server."""
    stuck = Stuck()
    ask = Resolver(stuck)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ask(DB)
    stuck.go.set()
    assert (await ask(DB), stuck.calls) == (["10.0.0.1"], 1)


def test_the_program_may_end_before_a_name_is_resolved() -> None:
    async def give_up(ask: Resolver) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ask(DB)

    stuck = Stuck()
    asyncio.run(give_up(Resolver(stuck)))
    stuck.go.set()
    for thread in threading.enumerate():
        if thread.name == str(DB):
            thread.join()  # an exception in it would be a warning, and so an error


async def test_without_dnspython_servers_are_not_found_and_it_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "dns", None)
    with pytest.raises(UnansweredError, match=r"needs dnspython \(pip install 'proxyconf\[dns\]'\)"):
        await Resolver()(WEB)


class NameServer(asyncio.DatagramProtocol):
    """A DNS server that answers every question with the same records."""

    def __init__(self) -> None:
        self.records: list[str] = []
        self.rcode = dns.rcode.NOERROR

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.set_rcode(self.rcode)
        if self.records:
            answer.answer.append(
                dns.rrset.from_text(question.question[0].name, 5, "IN", "SRV", *self.records)
            )
        self._transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def name_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    """A name server on a port of its own, which dnspython takes for the system's."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    ours = dns.asyncresolver.Resolver(configure=False)
    ours.nameservers = ["127.0.0.1"]
    ours.port = transport.get_extra_info("sockname")[1]
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", ours)
    yield server
    transport.close()


async def test_servers_are_asked_of_dns(name_server: NameServer) -> None:
    name_server.records = ["1 2 8080 b.test.", "0 5 80 a.test."]
    assert await Lookups().answer([WEB]) == {WEB: ("a.test. 80 0 5", "b.test. 8080 1 2")}


async def test_a_name_without_servers_is_known_to_have_none(name_server: NameServer) -> None:
    name_server.records = []
    lookups = Lookups()
    assert (await lookups.answer([WEB]), lookups.problems) == ({WEB: ()}, ())


async def test_a_failure_of_dns_reads_the_resolvers_configuration_again(name_server: NameServer) -> None:
    name_server.rcode = dns.rcode.NXDOMAIN
    with pytest.raises(UnansweredError, match="does not exist"):
        await Resolver()(WEB)
    assert dns.asyncresolver.default_resolver is None
