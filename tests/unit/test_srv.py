"""Members by DNS SRV: what is asked of a real (scripted) DNS server, in which order members are tried."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxyconf.errors import SourceError
from proxyconf.sources._etcd_connect import Server, read_member
from proxyconf.sources._servers import BySrv
from proxyconf.sources._srv import Address, Members, Resolver, resolve_srv
from tests.unit.dns_server import DnsServer, dns_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

RECORD = "_etcd-client._tcp.example.com"
A, B, C = ("a.example.com", 2379), ("b.example.com", 2380), ("c.example.com", 2379)


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with dns_server() as made:
        yield made


async def resolve(server: DnsServer, *, timeout_s: float = 10) -> tuple[Address, ...]:
    return await resolve_srv(RECORD, timeout_s=timeout_s, open_resolver=server.resolver)


async def test_the_least_priority_comes_first(server: DnsServer) -> None:
    server.records[RECORD] = [
        "20 0 2379 c.example.com.",
        "5 0 2379 a.example.com.",
        "10 9 2380 b.example.com.",
    ]
    assert await resolve(server) == (A, B, C)
    assert server.asked == [RECORD]


async def test_among_equals_the_weights_decide_by_chance(server: DnsServer) -> None:
    """Of 400 times: about 300, 100 and (nearly) none."""
    server.records[RECORD] = ["1 3 2379 a.example.com.", "1 1 2380 b.example.com.", "1 0 2379 c.example.com."]
    first = Counter([(await resolve(server))[0] for _ in range(400)])
    assert first[A] in range(250, 350)
    assert first[B] in range(50, 150)
    assert first[C] < 20


@pytest.mark.parametrize(
    ("records", "text"),
    [
        pytest.param(None, f"The DNS query name does not exist: {RECORD} \\(check srv_record", id="no name"),
        pytest.param([], f"The DNS response does not contain an answer.*{RECORD}.*\\(check", id="no records"),
        pytest.param(
            ["0 0 0 ."], r"says that there is no such service \(check srv_record\)", id="no service"
        ),
    ],
)
async def test_a_record_that_names_nobody(server: DnsServer, records: list[str] | None, text: str) -> None:
    if records is not None:
        server.records[RECORD] = records
    with pytest.raises(SourceError, match=f"^resolve '{RECORD}': .*{text}"):
        await resolve(server)


async def test_a_server_that_does_not_answer(server: DnsServer) -> None:
    server.silent = True
    with pytest.raises(SourceError, match=r"lifetime expired .*\(check srv_record, and the resolver\)"):
        await resolve(server, timeout_s=0.1)


async def test_no_resolver() -> None:
    """A host without a usable /etc/resolv.conf."""

    def missing() -> Resolver:
        raise FileNotFoundError(2, "No such file", "/etc/resolv.conf")

    with pytest.raises(SourceError, match=r"No such file.*resolv.conf"):
        await resolve_srv(RECORD, timeout_s=1, open_resolver=missing)


class Script:
    """Answers, or failures, one after the other."""

    def __init__(self, *answers: Sequence[Address] | str) -> None:
        self._answers: Iterator[Sequence[Address] | str] = iter(answers)

    async def __call__(self, record: str) -> tuple[Address, ...]:
        assert record == RECORD
        answer = next(self._answers)
        if isinstance(answer, str):
            raise SourceError(answer)
        return tuple(answer)


async def test_every_member_is_tried_before_one_is_tried_again() -> None:
    """In whatever order they come, and whoever joins."""
    members = Members(RECORD, Script([A, B], [A, B], [C, A, B], [B, C, A], [A, B, C]))
    assert [await members.next() for _ in range(5)] == [A, B, C, B, A]


async def test_after_a_connection_the_best_one_is_tried_first() -> None:
    members = Members(RECORD, Script(*[[A, B]] * 4))
    assert [await members.next(), await members.next()] == [A, B]
    members.served()
    assert [await members.next(), await members.next()] == [A, B]


async def test_the_last_good_answer_counts() -> None:
    """While DNS is away, which is said once each time."""
    members = Members(RECORD, Script("unknown", [A, B], "away", "away", [B], "away"))
    with pytest.raises(SourceError, match="unknown"):
        await members.next()
    with capture_logs() as logs:
        assert [await members.next() for _ in range(5)] == [A, B, A, B, B]
    said = [(entry["event"], entry["reason"], entry["members"], entry["log_level"]) for entry in logs]
    assert said == [
        ("members.kept", "away", 2, "warning"),
        ("members.kept", "away", 2, "debug"),
        ("members.kept", "away", 1, "warning"),
    ]


@pytest.mark.parametrize(
    ("secure", "server"),
    [
        (False, Server("dns:///a.example.com:2379", "http://a.example.com:2379")),
        (True, Server("dns:///a.example.com:2379", "https://a.example.com:2379", secure=True)),
    ],
)
async def test_members_as_servers(secure: bool, server: Server) -> None:  # noqa: FBT001 - a table
    servers = BySrv(Members(RECORD, Script([A, B], [A, B])), partial(read_member, secure=secure))
    assert await servers.next() == server
    servers.served()
    assert await servers.next() == server


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


OPEN = (
    "import sys; from proxyconf.config import SourceTable; from proxyconf.sources import open_source\n"
    "def open(**values): return open_source(SourceTable('etcd', 'etcd', values, 'test'))\n"
)


def test_dnspython_is_loaded_only_where_it_is_needed() -> None:
    code = f"open(); print('dns' in sys.modules); open(srv_record='{RECORD}'); print('dns' in sys.modules)"
    assert run(OPEN + code).split() == ["False", "True"]


def test_a_missing_dnspython_is_a_mistake_in_the_configuration() -> None:
    code = (
        "sys.modules['dns'] = None\n"
        f"try: open(srv_record='{RECORD}')\n"
        "except Exception as exc: print(type(exc).__name__, exc)"
    )
    said = run(OPEN + code)
    assert said.startswith("UsageError [etcd] srv_record: needs dnspython: ")
    assert said.endswith(" (pip install 'proxyconf[dns]')")
