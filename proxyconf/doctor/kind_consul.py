"""Consul: its servers, how fast each endpoint answers, and its clock."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from proxyconf.doctor.clock import agreement, header_time
from proxyconf.doctor.finding import Findings, of_message, ok, warning, wrong
from proxyconf.errors import SourceError
from proxyconf.sources._consul_connect import open_session, read_servers
from proxyconf.sources._consul_errors import refusal, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.doctor.finding import Finding
    from proxyconf.sources._consul_connect import Server
    from proxyconf.sources.consul import ConsulSource


@dataclass(frozen=True, slots=True)
class Look:
    """An agent or server, looked at.

    Attributes:
        server: Its endpoint.
        leader: The leader's address; "" where there is none.
        peers: The addresses of all servers.
        version: Consul's; "" where our token may not ask.
        latency_s: Of an answer on a connection that stood.
        theirs: Unix time by its clock; None where it does not say.
        ours: Unix time by ours, then.
        error: Why it does not answer.
    """

    server: Server
    leader: str = ""
    peers: Sequence[str] = ()
    version: str = ""
    latency_s: float = 0.0
    theirs: float | None = None
    ours: float = 0.0
    error: SourceError | None = None


async def examine(source: ConsulSource) -> Findings:
    """Yield what there is to say of the servers.

    Raises:
        SourceDeniedError: A file with a secret can't be read.
    """
    endpoints = source.policy.endpoints if not source.policy.srv_record else ()
    servers = read_servers(endpoints) or (await source.servers.next(),)
    looks = await asyncio.gather(*(look(server, source) for server in servers))
    for finding in judge(source.name, looks):
        yield finding


async def look(server: Server, source: ConsulSource) -> Look:
    """Ask an agent or server what it knows of its cluster."""
    settings = source.policy
    timeout = aiohttp.ClientTimeout(total=float(settings.timeout))
    try:
        async with open_session(await source.read_secrets(server), user=settings.user) as session:

            async def ask(path: str) -> tuple[Any, str]:
                """Return an answer and its date."""
                with translated(f"ask {path}", server):
                    async with session.get(
                        f"{server.base}/v1/{path}", timeout=timeout, allow_redirects=False
                    ) as answer:
                        body = await answer.read()
                        if answer.status != 200:
                            raise refusal(f"ask {path}", server, answer.status, body.decode(errors="replace"))
                        return msgspec.json.decode(body), answer.headers.get("Date", "")

            peers, _ = await ask("status/peers")
            started = time.perf_counter()
            leader, date = await ask("status/leader")
            latency_s, ours = time.perf_counter() - started, time.time()
            try:
                version = str((await ask("agent/self"))[0]["Config"]["Version"])
            except (SourceError, LookupError, TypeError):
                version = ""
    except SourceError as exc:
        return Look(server, error=exc)
    return Look(server, str(leader), tuple(peers), version, latency_s, header_time(date), ours)


def judge(name: str, looks: Sequence[Look]) -> Iterator[Finding]:
    """Yield what it means: of every endpoint, or of one where a DNS record names them."""
    answered = [one for one in looks if one.error is None]
    for one in looks:
        if one.error is None:
            yield _server(name, one)
        elif answered:  # where none answers, that is said by who wants the keys
            yield of_message("warning", name, str(one.error))
    for one in answered[:1]:
        if one.theirs is not None:
            yield agreement(name, one.theirs, one.ours)


def _server(name: str, one: Look) -> Finding:
    if not one.leader:
        says = f"{one.server.url}: the cluster has no leader"
        return wrong(name, says, "Consul's servers, or most of them, are down or cut off")
    version = f"Consul {one.version}" if one.version else "Consul"
    servers = "1 server" if len(one.peers) == 1 else f"{len(one.peers)} servers"
    says = f"{one.server.url}: {version} of {servers}, answers in {1000 * one.latency_s:.1f} ms"
    if len(one.peers) == 2:
        return warning(name, f"{says}; the loss of either server stops both", "run three, or one")
    return ok(name, says)
