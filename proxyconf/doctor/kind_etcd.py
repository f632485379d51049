"""etcd: its members, how fast each answers, and its clock."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from proxyconf.doctor.clock import agreement, header_time
from proxyconf.doctor.finding import Findings, of_message, ok, warning, wrong
from proxyconf.errors import ProxyconfError, SourceError
from proxyconf.sources._etcd_connect import open_channel, read_servers
from proxyconf.sources._etcd_errors import translated
from proxyconf.sources._etcd_rpc import rpc
from proxyconf.sources._tls import Tls, read_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxyconf.doctor.finding import Finding
    from proxyconf.sources._etcd_connect import Server
    from proxyconf.sources.etcd import EtcdSource

_MENDS = {
    "NOSPACE": "etcdctl compact, etcdctl defrag, then etcdctl alarm disarm; or raise --quota-backend-bytes",
    "CORRUPT": "restore the member from the others, then etcdctl alarm disarm",
}


@dataclass(frozen=True, slots=True)
class Look:
    """A member, looked at.

    Attributes:
        server: Its endpoint.
        status: What it says of itself; None where it does not answer.
        latency_s: Of that answer, on a connection that stood.
        members: Of its cluster, as it knows them; none where it does not tell us.
        error: Why it does not answer.
    """

    server: Server
    status: Any = None
    latency_s: float = 0.0
    members: Sequence[Any] = ()
    error: SourceError | None = None


async def examine(source: EtcdSource) -> Findings:
    """Yield what there is to say of the members.

    Raises:
        SourceDeniedError: A file with a secret can't be read.
    """
    endpoints = source.policy.endpoints if not source.policy.srv_record else ()
    servers = [read_servers((endpoint,))[0] for endpoint in endpoints] or [await source.servers.next()]
    looks = await asyncio.gather(*(look(server, source) for server in servers))
    for finding in judge(source.name, looks, by_record=not endpoints):
        yield finding
    answering = next((one for one in looks if one.status), None)
    if answering:
        async with aclosing(_clock(answering.server, source)) as found:
            async for finding in found:
                yield finding


async def look(server: Server, source: EtcdSource) -> Look:
    """Ask a member for its status and its peers."""
    settings = source.policy
    timeout_s = float(settings.timeout)
    secrets = await source.read_secrets(server)
    channel = open_channel(server, secrets, timeout_s=timeout_s)
    try:
        with translated("ask status", server):
            metadata: tuple[tuple[str, str], ...] = ()
            if settings.user:
                login = rpc.AuthenticateRequest(name=settings.user, password=secrets.password)
                answer = await rpc.AuthStub(channel).Authenticate(login, timeout=timeout_s)
                metadata = (("token", answer.token),)
            maintenance = rpc.MaintenanceStub(channel)
            await maintenance.Status(rpc.StatusRequest(), timeout=timeout_s, metadata=metadata)
            started = time.perf_counter()
            status = await maintenance.Status(rpc.StatusRequest(), timeout=timeout_s, metadata=metadata)
            latency_s = time.perf_counter() - started
        members = await _members(channel, server, metadata, timeout_s)
    except SourceError as exc:
        return Look(server, error=exc)
    finally:
        await channel.close()
    return Look(server, status, latency_s, members)


async def _members(channel: Any, server: Server, metadata: Any, timeout_s: float) -> Sequence[Any]:  # noqa: ANN401 - grpc has no types
    try:
        with translated("list members", server):
            request = rpc.MemberListRequest()
            answer = await rpc.ClusterStub(channel).MemberList(request, timeout=timeout_s, metadata=metadata)
    except SourceError:  # some versions tell it to root alone, and who has lost the others does not know
        return ()
    return tuple(answer.members)


def judge(name: str, looks: Sequence[Look], *, by_record: bool) -> Iterator[Finding]:
    """Yield what it means.

    Args:
        name: The source's.
        looks: At every endpoint, or at one where a DNS record names them.
        by_record: It does.
    """
    answered = [one for one in looks if one.status]
    for one in looks:
        if one.status:
            yield from _member(name, one)
        elif answered and one.error:  # where none answers, that is said by who wants the keys
            yield of_message("warning", name, str(one.error))
    members = next((one.members for one in answered if one.members), ())
    if members:
        yield from _cluster(name, members, 0 if by_record else len(looks))


def _member(name: str, one: Look) -> Iterator[Finding]:
    status, url = one.status, one.server.url
    if not status.leader:
        yield wrong(name, f"{url}: the cluster has no leader", "most of its members are down or cut off")
        return
    role = "the leader" if status.leader == status.header.member_id else "a follower"
    yield ok(name, f"{url}: etcd {status.version}, {role}, answers in {1000 * one.latency_s:.1f} ms")
    for error in getattr(status, "errors", ()):
        mend = next((mend for word, mend in _MENDS.items() if word in error), "see etcd's log")
        yield wrong(name, f"{url}: says: {error.strip()}", mend)


def _cluster(name: str, members: Sequence[Any], endpoints: int) -> Iterator[Finding]:
    absent = [one for one in members if not one.name]
    known = ", ".join(sorted(one.name or "one that was never started" for one in members))
    if absent:
        places = ", ".join(url for one in absent for url in one.peerURLs)
        yield warning(name, f"a member was added and never started: {places}", "start it, or remove it")
    if len(members) > 1 and endpoints == 1:
        urls = ", ".join(f'"{url}"' for one in members for url in one.clientURLs)
        says = f"only 1 of its {len(members)} members is in endpoints, so that we lose it with that one"
        yield warning(name, says, f"endpoints = [{urls}]")
    else:
        count = "a single member" if len(members) == 1 else f"{len(members)} members"
        yield ok(name, f"{count}: {known}")


async def _clock(server: Server, source: EtcdSource) -> Findings:
    """Yield how our clock and etcd's agree, where it tells the time: over HTTP, beside gRPC."""
    settings = source.policy
    url = server.url if "://" in server.url else f"http://{server.url}"
    try:
        tls = Tls(settings.ca, settings.cert, settings.key)
        context = await asyncio.to_thread(read_certificates, tls) if server.secure else True
        timeout = aiohttp.ClientTimeout(total=float(settings.timeout))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/version", allow_redirects=False) as answer,
        ):
            ours = time.time()
            theirs = header_time(answer.headers.get("Date", ""))
    except (aiohttp.ClientError, OSError, ProxyconfError):
        return  # it need not speak HTTP
    if theirs is not None:
        yield agreement(source.name, theirs, ours)
