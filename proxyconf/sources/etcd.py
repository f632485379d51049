"""The keys below a prefix of an etcd v3, listed once and then followed by a watch.

    [etcd]
    endpoints = ["https://etcd1.example.com:2379", "https://etcd2.example.com:2379"]
    prefix = "/proxyconf"
    ca = "/etc/proxyconf/etcd-ca.pem"

A list and a watch from the next revision on miss nothing. Whatever may be wrong with a watch (it ended, it is
silent, its history was compacted) ends it; the supervisor starts anew, on a new connection to the next
endpoint, with a list. So there is nothing to repair.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec

from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.sources._etcd_connect import Files, Secrets, read_files, read_servers
from proxyconf.sources._etcd_mirror import Mirror, key_range
from proxyconf.sources._etcd_stream import connect
from proxyconf.tables import SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from proxyconf.model import Listing
    from proxyconf.sources._etcd_connect import Server
    from proxyconf.sources._etcd_mirror import Listed


class Settings(SourcePolicy, frozen=True, kw_only=True):
    """The keys of ``[etcd]``.

    Attributes:
        endpoints: ``http://HOST:PORT`` or ``https://HOST:PORT`` of the members of one cluster.
        prefix: Only keys below it are read: ``/proxyconf/services/web/1``, but not ``/proxyconfx``.
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
    del needs  # these files hold services and routes only
    try:
        _check(settings)
        servers = read_servers(settings.endpoints)
        files = Files(settings.ca, settings.cert, settings.key, settings.password_file)
        if not servers[0].secure:
            _check_plain(files)
        read_files(files)
    except UsageError as exc:
        raise UsageError(f"[{name}] {exc}") from exc
    return EtcdSource(name, settings, servers, files)


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


def _check_plain(files: Files) -> None:
    if files.ca or files.cert or files.key:
        raise UsageError("endpoints: plain http takes no ca, cert or key (write https://, or leave them out)")


class EtcdSource:
    """The source; `watch` serves one connection at a time.

    Attributes:
        name: The name of its table.
        policy: Its settings.
    """

    def __init__(self, name: str, settings: Settings, servers: Sequence[Server], files: Files) -> None:
        self.name = name
        self.policy = settings
        self._servers = itertools.cycle(servers)
        self._files = files
        self._keys = key_range(settings.prefix)

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Connect to the next endpoint, yield all keys at once, and again after every change.

        Raises:
            SourceError: etcd was lost, is silent or without a leader, or went back to an earlier state.
            SourceDeniedError: It refuses us, or we do not trust it.
        """
        settings, keys, clock = self.policy, self._keys, asyncio.get_running_loop().time
        server, mirror = next(self._servers), Mirror(self.name, keys)
        connection = connect(
            server,
            await self._read_secrets(server),
            user=settings.user,
            timeout_s=float(settings.timeout),
        )
        async with connection as client:
            mirror.take(await client.list(keys))
            yield mirror.listing()
            relist_at = clock() + self._pause_s()
            async with client.watch(keys, since=mirror.revision + 1, idle_s=float(settings.idle)) as watch:
                while True:
                    changed = mirror.apply(await watch.receive(until=relist_at))
                    if clock() >= relist_at:
                        changed |= _take_again(mirror, await client.list(keys), server)
                        relist_at = clock() + self._pause_s()
                    if changed:
                        yield mirror.listing()

    async def _read_secrets(self, server: Server) -> Secrets:
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
