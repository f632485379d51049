"""The keys of a Consul's KV store, read again by a query that blocks until they change.

    [consul]
    endpoints = ["http://127.0.0.1:8500"]
    prefix = "proxyconf"

Every answer is complete, so there is nothing to miss and nothing to repair. One read brings all that is
wanted, everything below the longest path that the wanted keys have in common. Consul's KV store has no
identity of its own: a lower index, which comes with a wiped or restored store, is what tells.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec

from proxyconf.errors import SourceDeniedError, UsageError
from proxyconf.sources._consul_connect import (
    Files,
    Secrets,
    check_secret,
    read_files,
    read_member,
    read_servers,
)
from proxyconf.sources._consul_errors import refusal
from proxyconf.sources._consul_kv import Terms, connect
from proxyconf.sources._consul_mirror import Mirror, read_scope
from proxyconf.sources._servers import InTurn, read_record, servers_by_srv
from proxyconf.sources._tls import Tls
from proxyconf.tables import SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from proxyconf.model import Listing
    from proxyconf.sources._consul_connect import Server
    from proxyconf.sources._consul_kv import Client
    from proxyconf.sources._consul_mirror import Scope
    from proxyconf.sources._servers import Servers

_WAIT_MAX_S = 600  # Consul waits no longer, whatever it is asked
_TOKEN_VARIABLE = "CONSUL_HTTP_TOKEN"  # noqa: S105 - the variable's name


class Settings(SourcePolicy, frozen=True, kw_only=True):
    """The keys of ``[consul]``.

    Attributes:
        endpoints: ``http://HOST:PORT`` or ``https://HOST:PORT`` of agents or servers of one cluster; the next
            one is asked after a failure.
        srv_record: A DNS SRV record that names them, instead of `endpoints`; it is resolved for every
            connection. They are reached by TLS if it has ``https://`` before it, or ca or cert is set.
        prefix: Routes and services are read below it: ``proxyconf/services/web/1``. "" reads none (but the
            keys that templates need), "/" takes them from the top.
        token: The ACL token. Default: ``CONSUL_HTTP_TOKEN`` of the environment, unless there is a token_file.
        token_file: A file with the token, instead.
        user: For HTTP basic authentication, where a proxy before Consul asks for it.
        password: The user's.
        password_file: A file with the password, instead.
        ca: The authority that signed Consul's certificate, as PEM. Default: the system's.
        cert: Our certificate, as PEM, where Consul asks for one.
        key: Its key, as PEM.
        insecure: Do not check Consul's certificate.
        datacenter: Default: that of the agent.
        stale: Any server may tell of a change, not the leader alone: less work for that one, and up to some
            50 ms later. A server that knows no leader is not believed.
        wait: How long a query may wait for a change. A Consul that has gone silent is noticed only after it.
        timeout: How long an answer may take that waits for nothing.
        min_interval: The least time from one answer to the next query. A change after a pause goes through at
            once.
    """

    endpoints: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("http://127.0.0.1:8500",)
    srv_record: str = ""
    prefix: str = "proxyconf"
    token: str = ""
    token_file: Path | None = None
    user: str = ""
    password: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False
    datacenter: str = ""
    stale: bool = False
    wait: Seconds = Seconds(30)
    timeout: Seconds = Seconds(4)
    min_interval: Seconds = Seconds(0.1)


def open_source(name: str, settings: Settings, needs: Sequence[str] = ()) -> ConsulSource:
    """Make the source of the table *name*.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    tls = Tls(settings.ca, settings.cert, settings.key)
    files = Files(tls, settings.token_file, settings.password_file, settings.insecure)
    try:
        _check(settings)
        servers, secure = _servers(settings, tls)
        read_files(files, secure=secure)
    except UsageError as exc:
        raise UsageError(f"[{name}] {exc}") from exc
    return ConsulSource(name, settings, servers, files, read_scope(settings.prefix, needs))


def _check(settings: Settings) -> None:
    for key in ("wait", "timeout", "min_interval"):
        if getattr(settings, key) == 0:
            raise UsageError(f'{key}: must be more than 0 (write "5s", or leave it out)')
    if settings.wait > _WAIT_MAX_S:
        raise UsageError('wait: Consul waits for at most "10m" (write that, or less)')
    path = settings.prefix.strip("/")
    if path and {"", ".", ".."} & set(path.split("/")):
        raise UsageError(f"prefix: {path!r}: no path of Consul's API (leave out //, /./ and /../)")
    for key in ("token", "password"):
        if getattr(settings, key) and getattr(settings, f"{key}_file"):
            raise UsageError(f"{key}: there is a {key}_file, too (keep one of them)")
        check_secret(key, getattr(settings, key))
    secret = settings.password or settings.password_file
    if settings.user and not secret:
        raise UsageError("user: no password (set password or password_file)")
    if secret and not settings.user:
        raise UsageError("password: whose? (set user)")
    if ":" in settings.user:
        raise UsageError(f"user: {settings.user!r}: has a colon, where basic authentication ends a name")


def _servers(settings: Settings, tls: Tls) -> tuple[Servers[Server], bool]:
    """Return whom to ask, and whether by TLS."""
    servers: Servers[Server]
    if settings.srv_record:
        key = "srv_record"
        record, secure = read_record(settings.srv_record, certificates=bool(tls))
        member = partial(read_member, secure=secure)
        servers = servers_by_srv(record, member, timeout_s=float(settings.timeout))
    else:
        key, endpoints = "endpoints", read_servers(settings.endpoints)
        secure, servers = endpoints[0].secure, InTurn(endpoints)
    if tls and not secure:
        raise UsageError(f"{key}: plain http takes no ca, cert or key (write https://, or leave them out)")
    return servers, secure


class ConsulSource:
    """The source; `watch` serves one connection at a time.

    Attributes:
        name: The name of its table.
        policy: Its settings.
        servers: Whom the next connection is made to.
    """

    def __init__(
        self, name: str, settings: Settings, servers: Servers[Server], files: Files, scope: Scope
    ) -> None:
        self.name = name
        self.policy = settings
        self.servers = servers
        self._files = files
        self._scope = scope
        self._terms = Terms(
            wait_s=float(settings.wait),
            timeout_s=float(settings.timeout),
            user=settings.user,
            datacenter=settings.datacenter,
            stale=settings.stale,
        )

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Connect to the next endpoint, yield all keys at once, and again after every change.

        Raises:
            SourceError: Consul was lost, is silent or without a leader.
            SourceDeniedError: It refuses us, or we do not trust it.
        """
        mirror = Mirror(self.name, self._scope, self.policy.datacenter)
        if not self._scope.parts:
            yield replace(mirror.listing(), unasked=True)
            await asyncio.Event().wait()  # for ever: nothing is wanted that could change
        server, clock, since = await self.servers.next(), asyncio.get_running_loop().time, 0
        async with connect(server, await self.read_secrets(server), self._terms) as client:
            while True:
                answer = await client.read(self._scope.root, since=since)
                # with 0, which some versions answer where there is nothing, no query would ever wait
                answered_at, index = clock(), max(answer.index, 1)
                if index < since:
                    # restored, wiped, or a server that lags: the leader knows
                    since = 0
                    continue
                if mirror.take(answer):
                    await self._check_rights(client, server, mirror)
                    self.servers.served()
                    yield mirror.listing()
                since = index
                await asyncio.sleep(answered_at + float(self.policy.min_interval) - clock())

    async def _check_rights(self, client: Client, server: Server, mirror: Mirror) -> None:
        """Raise where keys are missing because the token may not read them: Consul leaves out those.

        To have none, and to see none, is the same 404 to a recursive read (Consul's issue 10222).
        """
        for part in mirror.emptied():
            for name in part.samples:
                if await client.may_read(name):
                    break
            else:
                raise refusal(f"read {part.below or '/'!r}", server, 403, "Permission denied")

    async def read_secrets(self, server: Server) -> Secrets:
        """Return who we are to *server*, read anew.

        Raises:
            SourceDeniedError: A file can't be read.
        """
        try:
            secrets = await asyncio.to_thread(read_files, self._files, secure=server.secure)
        except UsageError as exc:
            raise SourceDeniedError(f"connect to {server.url}: {exc}") from exc
        settings = self.policy
        token = secrets.token or settings.token
        if self._files.token_file is None:
            token = token or os.environ.get(_TOKEN_VARIABLE, "")
        return Secrets(secrets.context, token, secrets.password or settings.password)
