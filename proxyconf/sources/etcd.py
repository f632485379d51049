"""The keys of an etcd v3 that routes and templates need, listed once and then followed by watches.

    [etcd]
    endpoints = ["https://etcd1.example.com:2379", "https://etcd2.example.com:2379"]
    prefix = "/proxyconf"
    ca = "/etc/proxyconf/etcd-ca.pem"

Routes are read from the keys below its prefix; templates get those that they need, wherever they are.

A list and watches from the next revision on miss nothing. Whatever may be wrong with a watch (it ended, it is
silent, its history was compacted) ends all; the supervisor starts anew, on a new connection to the next
endpoint, with a list. So there is nothing to repair.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from functools import partial
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec

from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.sources._etcd_connect import Files, Secrets, read_files, read_member, read_servers
from proxyconf.sources._etcd_mirror import Mirror, key_ranges
from proxyconf.sources._etcd_stream import connect
from proxyconf.sources._servers import InTurn, read_record, servers_by_srv
from proxyconf.tables import SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from proxyconf.model import Listing
    from proxyconf.sources._etcd_connect import Server
    from proxyconf.sources._etcd_mirror import Listed
    from proxyconf.sources._servers import Servers


class Settings(SourcePolicy, frozen=True, kw_only=True):
    """The keys of ``[etcd]``.

    Attributes:
        endpoints: ``http://HOST:PORT`` or ``https://HOST:PORT`` of the members of one cluster.
        srv_record: A DNS SRV record that names the members, instead of `endpoints`; it is resolved for every
            connection. They are reached by TLS if the record is one for TLS
            (``_etcd-client-ssl._tcp.example.com``), has ``https://`` before it, or ca or cert is set.
        prefix: Routes are read from the keys below it: ``/proxyconf/services/web/1``, but not
            ``/proxyconfx``. ``/`` is the whole store, "" none of it: then etcd is for templates only.
        user: Where etcd asks for one.
        password: The user's.
        password_file: A file with the password, instead.
        ca: The authority that signed etcd's certificate, as PEM. Default: those that gRPC comes with.
        cert: Our certificate, as PEM, where etcd asks for one.
        key: Its key, as PEM.
        timeout: How long an answer may take.
        idle: After so long without a word from etcd, it is asked whether it is still there.
        relist: List this often (up to twice as long, by chance) even if the watch says nothing, to notice a
            lost permission.
    """

    endpoints: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("http://127.0.0.1:2379",)
    srv_record: str = ""
    prefix: str = "/proxyconf"
    user: str = ""
    password: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    timeout: Seconds = Seconds(4)
    idle: Seconds = Seconds(15)
    relist: Seconds = Seconds(300)


def open_source(name: str, settings: Settings, needs: Sequence[str] = ()) -> EtcdSource:
    """Make the source of the table *name*.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    try:
        _check(settings)
        files = Files(settings.ca, settings.cert, settings.key, settings.password_file)
        servers = _servers(settings, files)
        read_files(files)
    except UsageError as exc:
        raise UsageError(f"[{name}] {exc}") from exc
    return EtcdSource(name, settings, servers, files, needs)


def _check(settings: Settings) -> None:
    for key in ("timeout", "idle", "relist"):
        if getattr(settings, key) == 0:
            raise UsageError(f'{key}: must be more than 0 (write "5s", or leave it out)')
    if settings.password and settings.password_file:
        raise UsageError("password: there is a password_file, too (keep one of them)")
    secret = settings.password or settings.password_file
    if settings.user and not secret:
        raise UsageError("user: no password (set password or password_file)")
    if secret and not settings.user:
        raise UsageError("password: whose? (set user)")


def _servers(settings: Settings, files: Files) -> Servers[Server]:
    if settings.srv_record:
        certificates = bool(files.ca or files.cert or files.key)
        record, secure = read_record(settings.srv_record, certificates=certificates)
        if not secure:
            _check_plain("srv_record", files)
        member = partial(read_member, secure=secure)
        return servers_by_srv(record, member, timeout_s=float(settings.timeout))
    servers = read_servers(settings.endpoints)
    if not servers[0].secure:
        _check_plain("endpoints", files)
    return InTurn(servers)


def _check_plain(key: str, files: Files) -> None:
    if files.ca or files.cert or files.key:
        raise UsageError(f"{key}: plain http takes no ca, cert or key (write https://, or leave them out)")


class EtcdSource:
    """The source; `watch` serves one connection at a time.

    Attributes:
        name: The name of its table.
        policy: Its settings.
        servers: Whom the next connection is made to.
    """

    def __init__(
        self, name: str, settings: Settings, servers: Servers[Server], files: Files, needs: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.policy = settings
        self.servers = servers
        self._files = files
        self._needs = needs
        self._ranges = key_ranges(settings.prefix, needs)

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Connect to the next server, yield all keys at once, and again after every change.

        Where no key is wanted, etcd is not asked at all.

        Raises:
            SourceError: etcd was lost, is silent or without a leader, or went back to an earlier state.
            SourceDeniedError: It refuses us, or we do not trust it.
        """
        settings, ranges, clock = self.policy, self._ranges, asyncio.get_running_loop().time
        mirror = Mirror(self.name, settings.prefix, self._needs)
        if not ranges:
            yield replace(mirror.listing(), unasked=True)
            await asyncio.Event().wait()
        server = await self.servers.next()
        connection = connect(
            server,
            await self.read_secrets(server),
            user=settings.user,
            timeout_s=float(settings.timeout),
        )
        async with connection as client:
            mirror.take(await client.list(ranges))
            self.servers.served()
            yield mirror.listing()
            relist_at = clock() + self._pause_s()
            async with client.watch(ranges, since=mirror.revision + 1, idle_s=float(settings.idle)) as watch:
                while True:
                    changed = mirror.apply(await watch.receive(until=relist_at))
                    if clock() >= relist_at:
                        changed |= _take_again(mirror, await client.list(ranges), server)
                        relist_at = clock() + self._pause_s()
                    if changed:
                        yield mirror.listing()

    async def read_secrets(self, server: Server) -> Secrets:
        """Return who we are to *server*, read anew.

        Raises:
            SourceDeniedError: A file can't be read.
        """
        try:
            secrets = await asyncio.to_thread(read_files, self._files)
        except UsageError as exc:
            raise SourceDeniedError(f"connect to {server.url}: {exc}") from exc
        return Secrets(secrets.ca, secrets.cert, secrets.key, secrets.password or self.policy.password)

    def _pause_s(self) -> float:
        # apart from those of other watchers of the same etcd
        return float(self.policy.relist) * random.uniform(1, 2)  # noqa: S311 - no secret


def _take_again(mirror: Mirror, listed: Listed, server: Server) -> bool:
    """Compare with what the watch has told; on a difference the list is right."""
    if listed.cluster != mirror.cluster or listed.revision < mirror.revision:
        raise SourceError(
            f"list at {server.url}: went back from revision {mirror.revision} of cluster {mirror.cluster}"
            f" to {listed.revision} of {listed.cluster} (was a backup restored, or is it another etcd?)"
        )
    return mirror.take(listed)
