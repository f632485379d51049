"""The contract of sources, over every kind whose store can be imitated or needs no server."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from proxyconf.sources import kinds
from proxyconf.tables import SourcePolicy
from tests.unit.consul_api import ScriptedConsul
from tests.unit.docker_api import ScriptedEngine, row
from tests.unit.source_contract import CHECKS, LIVE, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from proxyconf.model import Listing


class FileStore:
    """Things are endpoints in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: set[str] = set()
        self._write()

    def settings(self) -> dict[str, object]:
        return {"path": str(self._path)}

    def put(self, name: str) -> None:
        self._names.add(name)
        self._write()

    def drop(self, name: str) -> None:
        self._names.remove(name)
        self._write()

    def lose(self) -> None:
        self._path.unlink()

    def restore(self) -> None:
        self._write()

    def names(self, listing: Listing) -> set[str]:
        return {key.split("/")[2] for key in listing.keys}

    def _write(self) -> None:
        self._path.write_text(f"[services.web]\nendpoints = {sorted(self._names)}\n")


class DockerStore:
    """Things are containers of a scripted engine."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine

    def settings(self) -> dict[str, object]:
        return {"url": self._engine.url}

    def put(self, name: str) -> None:
        self._engine.containers = [*self._engine.containers, row(name)]
        self._engine.say("start", name)

    def drop(self, name: str) -> None:
        self._engine.containers = [one for one in self._engine.containers if one["Names"] != [f"/{name}"]]
        self._engine.say("destroy", name)

    def lose(self) -> None:
        self._engine.hang_up()

    def restore(self) -> None:
        """It is there: only its streams ended."""

    def names(self, listing: Listing) -> set[str]:
        return {container.name for container in listing.containers}


class ConsulStore:
    """Things are keys of a scripted Consul."""

    def __init__(self, consul: ScriptedConsul) -> None:
        self._consul = consul

    def settings(self) -> dict[str, object]:
        return {"endpoints": [self._consul.url], "min_interval": "1ms"}

    def put(self, name: str) -> None:
        self._consul.put(f"proxyconf/services/web/{name}", "127.0.0.1:80")

    def drop(self, name: str) -> None:
        self._consul.drop(f"proxyconf/services/web/{name}")

    def lose(self) -> None:
        self._consul.lose()

    def restore(self) -> None:
        self._consul.down = False

    def names(self, listing: Listing) -> set[str]:
        return {key.split("/")[2] for key in listing.keys}


@asynccontextmanager
async def file_store(folder: Path) -> AsyncIterator[Store]:
    yield FileStore(folder / "sites.toml")


@asynccontextmanager
async def docker_store(folder: Path) -> AsyncIterator[Store]:
    async with ScriptedEngine() as engine:
        await engine.serve_socket(folder / "docker.sock")
        yield DockerStore(engine)


@asynccontextmanager
async def consul_store(_: Path) -> AsyncIterator[Store]:
    async with ScriptedConsul() as consul:
        await consul.serve()
        yield ConsulStore(consul)


# a kind that is missing here, and not driven by tests/live, fails
DRIVERS: dict[str, Callable[[Path], AbstractAsyncContextManager[Store]]] = {
    "consul": consul_store,
    "docker": docker_store,
    "file": file_store,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", sorted(set(kinds()) - LIVE))
async def test_keeps_the_contract(
    kind: str, check: Callable[[str, Store], Awaitable[None]], tmp_path: Path
) -> None:
    async with DRIVERS[kind](tmp_path) as store:
        await check(kind, store)


@pytest.mark.parametrize("kind", kinds())
def test_has_settings_and_a_docstring(kind: str) -> None:
    """Its settings are those that every source has, and more; its module shows how it is configured."""
    module = import_module(f"proxyconf.sources.{kind}")
    assert issubclass(module.Settings, SourcePolicy)
    assert f"[{kind}]\n" in (module.__doc__ or "")
