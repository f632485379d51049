"""Containers that are replaced, and that start in numbers, under load: a real engine, a real nginx."""

from __future__ import annotations

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import aiodocker
import pytest

from proxyconf.nginx.build import parse_build
from tests.live.asking import Trickle, ask, network_of, until
from tests.live.docker_engine import APP
from tests.live.docker_running import run, serving
from tests.live.load import KeptAlive
from tests.live.nginx_server import nginx_version

if TYPE_CHECKING:
    from tests.live.docker_engine import DockerEngine
    from tests.live.running import Running

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

MANY = 40
CHANCE_PER_RELOAD = 2  # what four clients lose at a reload of nginx is 0.6 on average, and 3 at times


def reload_plainly(proxy: Running) -> None:
    """Have nginx read once more what it has already."""
    count = proxy.reloads()
    assert proxy.nginx
    proxy.nginx.send_signal(signal.SIGHUP)
    until(lambda: proxy.reloads() > count, "nginx reloads")
    time.sleep(0.1)  # until then its old workers and its new ones look alike
    proxy.until_settled()


async def test_two_are_recreated_one_after_the_other(docker_engine: DockerEngine) -> None:
    """No request is lost on a fresh connection, nor on a kept one, but for those that nginx itself loses."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        await run(docker_engine, "two")
        proxy.until_serves("a.test", "one", "two")
        with KeptAlive(network_of(docker_engine), proxy.port, "a.test") as clients:
            before = proxy.reloads()
            with proxy.trickle("a.test") as trickle:
                for name in ("one", "two"):
                    await docker_engine.stop(name)
                    await docker_engine.remove(name)
                    await run(docker_engine, name)
                    proxy.until_endpoints("a.test", 2)
            lost, reloads = clients.lost, proxy.reloads() - before
            for _ in range(reloads):
                reload_plainly(proxy)
            floor = clients.lost - lost
        assert set(trickle.answers) == {"one", "two"}
        assert set(clients.answers) == {"200"}
        assert reloads == 4
        waits = parse_build(nginx_version()).keepalive_min_timeout
        assert lost <= (0 if waits else floor + CHANCE_PER_RELOAD * reloads)


async def test_the_successor_takes_over_when_it_is_healthy(docker_engine: DockerEngine) -> None:
    """Told to stop right after the other's start, the last one serves until then, and ends what it has."""
    place = network_of(docker_engine)
    with serving(docker_engine) as proxy, ThreadPoolExecutor(1, initializer=place.enter) as pool:
        await run(docker_engine, "one", "-e", "STOP_DELAY=2")
        proxy.until_serves("a.test", "one")
        with proxy.trickle("a.test") as trickle:
            slow = pool.submit(ask, proxy.port, "a.test", "/cgi-bin/slow?2")
            await run(docker_engine, "two", "--health-interval", "200ms", health="test -e /www/healthz")

            def takes_over() -> None:
                until(lambda: set(proxy.answers("a.test")) == {"two"}, "the other one serves")
                assert not slow.done()

            await asyncio.gather(docker_engine.stop("one"), asyncio.to_thread(takes_over))
            trickle.until_more(5)
        assert slow.result() == "one"
        assert set(trickle.answers) == {"one", "two"}
        came, went = (event["changed"] for event in proxy.events("site.applied")[-2:])
        assert came.startswith("+ a.test/, + a.test/ ")
        assert [change[0] for change in went.split(", ")] == ["-", "+"], "in one step"


async def test_many_start_at_once(docker_engine: DockerEngine) -> None:
    """At most two reloads a second while they come, and two for the beginning; then every host is right."""
    async with aiodocker.Docker(url=docker_engine.url) as docker:
        for number in range(MANY):
            labels, env = {"proxyconf.host": f"{number}.test"}, [f"APP={number}"]
            await docker.containers.create({"Image": APP, "Labels": labels, "Env": env}, name=f"c{number}")
        with serving(docker_engine) as proxy:
            before, began = proxy.reloads(), time.monotonic()
            starts = [docker.containers.container(f"c{number}").start() for number in range(MANY)]
            await asyncio.gather(*starts)
            proxy.until_status(lambda status: status.state == "applied" and len(status.routes) == MANY, "all")
            took_s, reloads = time.monotonic() - began, proxy.reloads() - before
            proxy.until_settled()
            assert [proxy.ask(f"{number}.test") for number in range(MANY)] == list(map(str, range(MANY)))
            assert reloads <= 2 + 2 * took_s


async def test_a_recycled_address_serves_no_other_host(docker_engine: DockerEngine) -> None:
    """Not even the requests that waited for the dead one when its address became another's."""
    await docker_engine.docker("network", "create", "--subnet", "198.18.200.0/24", "fixed")
    here = ("--network", "fixed", "--ip", "198.18.200.77")
    await docker_engine.docker(
        *("create", "--name", "two", "-e", "APP=two", "--label", "proxyconf.host=b.test", *here, APP)
    )
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one", *here)
        proxy.until_serves("a.test", "one")
        trickles = [Trickle(network_of(docker_engine), proxy.port, "a.test") for _ in range(4)]
        with ExitStack() as rest:
            for trickle in trickles:
                rest.enter_context(trickle)
                trickle.until_more(5)
            await docker_engine.kill("one")
            await docker_engine.docker("start", "two")
            proxy.until_serves("b.test", "two")
            for trickle in trickles:
                trickle.until_more(5)
        answers = {answer for trickle in trickles for answer in trickle.answers}
        # beside these: 502, 504 and answers that broke off, of what the dead one had at its death
        assert answers >= {"one", "503"}
        assert "two" not in answers
