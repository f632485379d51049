"""The Docker source on a real engine: what happens to containers arrives, in time and in order."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.sources import open_source
from tests.live.docker_engine import NGINX, DockerEngine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from proxyconf.model import Container, Listing

    Test = Callable[[Container], object]


NOBODY = 65534


class Watch:
    """Listings as they come.

    Attributes:
        seen: All so far.
    """

    def __init__(self, listings: AsyncGenerator[Listing, None]) -> None:
        self._listings = listings
        self.seen: list[Listing] = []

    async def next(self) -> Listing:
        self.seen.append(await anext(self._listings))
        return self.seen[-1]

    async def until(self, name: str, test: Test) -> Container:
        """Return the container *name* as soon as it passes *test*."""
        while True:
            for container in (await self.next()).containers:
                if container.name == name and test(container):
                    return container

    async def until_gone(self, name: str) -> None:
        while name in [container.name for container in (await self.next()).containers]:
            pass

    def states(self, name: str) -> list[tuple[str, bool]]:
        """Return the states and drainings of a container that were seen, without repetitions."""
        found = [(c.state, c.draining) for listing in self.seen for c in listing.containers if c.name == name]
        return [state for state, before in zip(found, [None, *found], strict=False) if state != before]


@asynccontextmanager
async def watching(engine: DockerEngine, **values: object) -> AsyncIterator[Watch]:
    source = open_source(SourceTable("docker", "docker", {"url": engine.url, **values}, "test"))
    async with asyncio.timeout(30), aclosing(source.watch()) as listings:
        watch = Watch(listings)
        await watch.next()
        yield watch


def running(container: Container) -> bool:
    return container.state == "running" and bool(container.networks)


async def test_a_container_from_start_to_end(docker_engine: DockerEngine) -> None:
    """Started, told to stop, dead, started, removed: each as soon as the engine knows."""
    async with watching(docker_engine) as watch:
        assert watch.seen[0].containers == ()
        web_id = await docker_engine.run("web", labels={"a": "b"}, networks=["edge"])
        web = await watch.until("web", running)
        assert (web.id, web.labels, web.ports, list(web.networks)) == (web_id, {"a": "b"}, (8080,), ["edge"])
        assert web.networks["edge"].startswith("198.18.")
        await docker_engine.stop("web")
        await watch.until("web", lambda web: web.state == "exited")
        assert watch.seen[-1].urgent
        assert watch.states("web")[-3:] == [("running", False), ("running", True), ("exited", False)]
        await docker_engine.docker("start", "web")
        await watch.until("web", running)
        await docker_engine.remove("web")
        await watch.until_gone("web")
    assert len({listing.cluster for listing in watch.seen}) == 1
    assert watch.seen[0].cluster


async def test_a_restart_keeps_the_container(docker_engine: DockerEngine) -> None:
    """The same id dies and starts within a moment; the list alone may never show it dead."""
    await docker_engine.run("web")
    async with watching(docker_engine) as watch:
        await docker_engine.docker("restart", "-t", "1", "web")
        await watch.until("web", lambda web: web.state == "exited")
        web = await watch.until("web", running)
        assert not web.draining


async def test_killed_containers_stay_dead(docker_engine: DockerEngine) -> None:
    """None comes back in a later listing, although the engine lists them as running for a while."""
    names = [f"web{number}" for number in range(5)]
    for name in names:
        await docker_engine.run(name)
    async with watching(docker_engine, relist="100ms") as watch:
        await docker_engine.kill(*names)
        await docker_engine.run("marker")
        await watch.until("marker", running)
        for name in names:
            assert watch.states(name)[-1] == ("exited", False)
            assert [state for state, _ in watch.states(name)].count("exited") == 1


async def test_pause_and_unpause(docker_engine: DockerEngine) -> None:
    await docker_engine.run("web")
    async with watching(docker_engine) as watch:
        await docker_engine.pause("web")
        await watch.until("web", lambda web: web.state == "paused")
        await docker_engine.unpause("web")
        await watch.until("web", running)


async def test_a_reload_signal_is_no_stop(docker_engine: DockerEngine) -> None:
    """HUP is a kill event, too: nginx is reloaded with it. Its own stop signal, QUIT, does drain."""
    await docker_engine.run("proxy", image=NGINX)
    async with watching(docker_engine) as watch:
        await docker_engine.kill("proxy", signal="HUP")
        await docker_engine.docker("rename", "proxy", "renamed")
        renamed = await watch.until("renamed", running)
        assert not renamed.draining
        await docker_engine.stop("renamed")
        await watch.until("renamed", lambda proxy: proxy.state == "exited")
        assert ("running", True) in watch.states("renamed")


async def test_networks_come_and_go(docker_engine: DockerEngine) -> None:
    """Also two at once, and the host's, which has no address of its own."""
    await docker_engine.network("back")
    await docker_engine.run("web", networks=["edge"])
    await docker_engine.run("bare", "--network", "host")
    async with watching(docker_engine) as watch:
        networks = {container.name: dict(container.networks) for container in watch.seen[0].containers}
        assert networks["bare"] == {"host": ""}
        assert list(networks["web"]) == ["edge"]
        await docker_engine.docker("network", "connect", "back", "web")
        await watch.until("web", lambda web: set(web.networks) == {"edge", "back"})
        await docker_engine.docker("network", "disconnect", "edge", "web")
        await watch.until("web", lambda web: set(web.networks) == {"back"})


async def test_how_a_container_is_to_be_routed(docker_engine: DockerEngine) -> None:
    """Its variables (only those), published ports and network mode, with the first listing that has it."""
    old = await docker_engine.run("old", "-e", "VIRTUAL_HOST=old.test", "-e", "PASSWORD=secret")
    async with watching(docker_engine) as watch:
        assert [container.env for container in watch.seen[0].containers] == [{"VIRTUAL_HOST": "old.test"}]
        options = ("-e", "VIRTUAL_HOST=a.test,b.test", "-p", "127.0.0.1:8096:8080", "-p", "8095:9090")
        await docker_engine.run("web", *options, networks=["edge"])
        published = {8080: "127.0.0.1:8096", 9090: "0.0.0.0:8095"}
        web = await watch.until("web", lambda web: running(web) and web.published == published)
        assert (web.network_mode, web.ports) == ("edge", (8080, 9090))
        seen = [one.env for listing in watch.seen for one in listing.containers if one.name == "web"]
        assert {tuple(env.items()) for env in seen} == {(("VIRTUAL_HOST", "a.test,b.test"),)}
        await docker_engine.run("sidecar", "--network", "container:old")
        # it ends soon, for the other one has its port
        sidecar = await watch.until("sidecar", lambda _: True)
        assert sidecar.network_mode == f"container:{old}"


async def test_health_changes(docker_engine: DockerEngine) -> None:
    async with watching(docker_engine) as watch:
        await docker_engine.run("web", health="test -e /www/healthz")
        await watch.until("web", lambda web: web.health == "starting")
        await watch.until("web", lambda web: web.health == "healthy")
        await docker_engine.docker("exec", "web", "rm", "/www/healthz")
        await watch.until("web", lambda web: web.health == "unhealthy")
        await docker_engine.docker("exec", "web", "touch", "/www/healthz")
        await watch.until("web", lambda web: web.health == "healthy")


async def test_twenty_at_once(docker_engine: DockerEngine) -> None:
    """All arrive, and far fewer listings than events are needed for it."""
    async with watching(docker_engine) as watch:
        starts = [asyncio.create_task(docker_engine.run(f"web{number}")) for number in range(20)]
        while sum(map(running, (await watch.next()).containers)) < 20:
            pass
        await asyncio.gather(*starts)
        addresses = {tuple(container.networks.items()) for container in watch.seen[-1].containers}
    assert len(addresses) == 20


async def test_an_engine_that_crashes_and_returns(docker_engine: DockerEngine) -> None:
    """The watch ends with an error; so does the next one while it is away; then all is listed as it is."""
    await docker_engine.run("web", "--restart", "always")
    await docker_engine.run("job")
    async with watching(docker_engine) as watch:
        cluster = watch.seen[0].cluster
        await docker_engine.crash()
        with pytest.raises(SourceError, match=r"watch .*connection lost"):
            await watch.until_gone("web")
    with pytest.raises(SourceError, match="connection refused"):
        async with watching(docker_engine):
            pass
    await docker_engine.start()
    async with watching(docker_engine) as watch:
        while {c.name: c.state for c in watch.seen[-1].containers} != {"web": "running", "job": "exited"}:
            await watch.next()
        assert watch.seen[0].cluster == cluster


async def test_an_engine_that_stops(docker_engine: DockerEngine) -> None:
    """Its containers die first; the socket is gone afterwards."""
    await docker_engine.run("web")
    async with watching(docker_engine) as watch:
        stopping = asyncio.create_task(docker_engine.halt())
        # whichever ends first: the stream, or a list that was on its way
        with pytest.raises(SourceError, match=r"^(watch|list containers of) "):
            await watch.until_gone("web")
        await stopping
        assert watch.states("web")[-1] == ("exited", False)
    with pytest.raises(SourceError, match=r"no such socket|connection refused"):
        async with watching(docker_engine):
            pass


async def test_an_engine_that_hangs(docker_engine: DockerEngine) -> None:
    """It neither answers nor hangs up; the periodic list notices."""
    pid = int((docker_engine.folder / "dockerd.pid").read_text())
    async with watching(docker_engine, relist="200ms", timeout="500ms") as watch:
        await docker_engine.inside("bash", "-c", f"kill -STOP {pid}")
        try:
            with pytest.raises(SourceError, match="no answer in time"):
                await watch.next()
        finally:
            await docker_engine.inside("bash", "-c", f"kill -CONT {pid}")


async def test_poll_sees_the_same(docker_engine: DockerEngine) -> None:
    """Only later, and without draining."""
    async with watching(docker_engine, poll="100ms") as watch:
        await docker_engine.run("web")
        await watch.until("web", running)
        await docker_engine.stop("web", timeout_s=1)
        await watch.until("web", lambda web: web.state == "exited")
        assert ("running", True) not in watch.states("web")


async def test_a_socket_of_others(docker_engine: DockerEngine) -> None:
    """Without the right to the socket, the message names the group that has it."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(SourceDeniedError, match=r"permission denied .run with the group 0,"):
            async with watching(docker_engine):
                pass
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
