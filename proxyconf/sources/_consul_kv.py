"""A connection to a Consul: reads the keys below a prefix, at once or as soon as they change."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import yarl

from proxyconf.errors import SourceError
from proxyconf.sources._consul_connect import open_session
from proxyconf.sources._consul_errors import refusal, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from proxyconf.sources._consul_connect import Secrets, Server

ANSWER_BYTES_MAX = 64 << 20
_FORBIDDEN = 403


class Pair(msgspec.Struct, frozen=True, gc=False):
    """A key as Consul lists it; msgspec takes bytes to be in base64, which they are."""

    name: str = msgspec.field(name="Key")
    value: bytes | None = msgspec.field(name="Value")
    born: int = msgspec.field(name="CreateIndex")


_decode_pairs = msgspec.json.Decoder(list[Pair]).decode


@dataclass(frozen=True, slots=True)
class Answer:
    """All keys below a prefix, as they were at one index.

    Attributes:
        index: Consul's ``X-Consul-Index``. Grows with every change below the prefix, and at times without
            one; becomes less where a snapshot was restored, a store wiped, or the mark of a deleted key
            cleared away.
    """

    index: int
    pairs: Sequence[Pair] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """How questions are asked.

    Attributes:
        wait_s: How long Consul may wait for a change.
        timeout_s: How long an answer may take that waits for nothing.
        user: For HTTP basic authentication; "" for none.
        datacenter: "" for the one of the agent that is asked.
        stale: Any server may answer what waits for a change, not the leader alone.
    """

    wait_s: float
    timeout_s: float
    user: str = ""
    datacenter: str = ""
    stale: bool = False


@asynccontextmanager
async def connect(server: Server, secrets: Secrets, terms: Terms) -> AsyncIterator[Client]:
    """Make a client, which connects with its first question; leaving ends what it has under way."""
    async with open_session(secrets, user=terms.user) as session:
        yield Client(session, server, terms)


class Client:
    """Asks one Consul, over one connection."""

    def __init__(self, session: aiohttp.ClientSession, server: Server, terms: Terms) -> None:
        self._session = session
        self._server = server
        self._terms = terms

    async def read(self, root: str, *, since: int) -> Answer:
        """Return all keys whose names start with *root*.

        Args:
            root: "" for all there are.
            since: Wait until Consul's index is higher than this, at most `Terms.wait_s`. 0 waits for nothing,
                and is answered only by a leader that is sure to be up to date.

        Raises:
            SourceError: No answer, not from Consul, or from one that has lost its leader.
            SourceDeniedError: Consul refuses us, or we do not trust it.
        """
        terms, operation = self._terms, f"read {root or '/'!r}"
        query, patience_s = {"recurse": ""}, terms.timeout_s
        if not since:
            # else one that has just started shows what it has read of its data so far, or nothing
            query["consistent"] = ""
        else:
            query |= {"index": str(since), "wait": f"{max(1, round(terms.wait_s * 1000))}ms"}
            query |= {"stale": ""} if terms.stale else {}
            patience_s += terms.wait_s * 17 / 16  # Consul adds up to a sixteenth, by chance
        status, headers, body = await self._ask(operation, root, query, patience_s)
        index = headers.get("X-Consul-Index", "")
        # without the header, a 404 is another server's that knows no such path
        if status not in (200, 404) or (status == 404 and not index):
            raise refusal(operation, self._server, status, body.decode(errors="replace"))
        if headers.get("X-Consul-KnownLeader") == "false":
            raise refusal(operation, self._server, status, "No cluster leader")
        if not index.isdecimal():
            raise SourceError(
                f"{operation} at {self._server.url}: no X-Consul-Index in the answer"
                " (a proxy in between must let it through)"
            )
        with translated(operation, self._server):
            return Answer(int(index), _decode_pairs(body) if status == 200 else ())

    async def may_read(self, name: str) -> bool:
        """Tell whether Consul lets us read the key *name*, which need not be there."""
        operation = f"read {name!r}"
        status, _, body = await self._ask(operation, name, {}, self._terms.timeout_s)
        if status not in (200, 404, _FORBIDDEN):
            raise refusal(operation, self._server, status, body.decode(errors="replace"))
        return status != _FORBIDDEN

    async def _ask(
        self, operation: str, name: str, query: dict[str, str], patience_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body."""
        terms = self._terms
        query |= {"dc": terms.datacenter} if terms.datacenter else {}
        url = yarl.URL(f"{self._server.base}/v1/kv/{quote(name)}?{urlencode(query)}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=patience_s, sock_connect=terms.timeout_s)
        with translated(operation, self._server):
            # not elsewhere, with our token
            async with self._session.get(url, timeout=timeout, allow_redirects=False) as response:
                return response.status, response.headers, await self._body(operation, response)

    async def _body(self, operation: str, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise SourceError(
                    f"{operation} at {self._server.url}: more than {ANSWER_BYTES_MAX >> 20} MiB"
                    " (all keys below it are read: keep ours apart from others)"
                )
        return bytes(body)
