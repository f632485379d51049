"""Which containers of a real engine are routed, by rule and by filter, and what is said of the others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import network_of
from tests.live.running import Running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

COMPOSE = {"com.docker.compose.service": "web", "com.docker.compose.project": "blog"}


@contextmanager
def serving(engine: DockerEngine, *settings: str) -> Iterator[Running]:
    flags = [flag for setting in settings for flag in ("-s", setting)]
    with Running("--docker", "-s", f"docker.url={engine.url}", *flags, place=network_of(engine)) as proxy:
        proxy.serve()
        yield proxy


def idle(proxy: Running) -> dict[str, str]:
    return {one.container: one.why for one in proxy.status().idle}


async def test_containers_without_labels_by_the_host_rule(docker_engine: DockerEngine) -> None:
    """One that ends has its host still; those that are passed over are named with the reason."""
    with serving(docker_engine, "docker.host_rule={container}.test") as proxy:
        await docker_engine.run("two-ports", "--expose", "9090")
        await docker_engine.run("off", labels={"proxyconf.enable": "false"})
        await docker_engine.run("one", "-e", "APP=one")
        proxy.until_serves("one.test", "one")
        assert [route.host for route in proxy.status().routes] == ["one.test"]
        assert idle(proxy) == {
            "two-ports": "the host rule passes it over: it exposes the ports 8080, 9090"
            " (name the one to use with the label proxyconf.port)",
            "off": "its label proxyconf.enable is false",
        }
        assert proxy.status().problems == []
        await docker_engine.docker("stop", "-t", "0", "one")
        proxy.until_serves("one.test", "503")
        assert idle(proxy)["one"] == "it has ended (docker start)"
        proxy.stop()
        proxy.start()
        proxy.until_status(
            lambda status: (status.state, status.sources[0].state) == ("applied", "watching"),
            "watching again",
        )
        assert [route.host for route in proxy.status().routes] == ["one.test"]
        assert proxy.ask("one.test") == "503"
        await docker_engine.docker("start", "one")
        proxy.until_serves("one.test", "one")


async def test_a_scaled_service_and_the_containers_of_another_proxy(docker_engine: DockerEngine) -> None:
    """The filter leaves out those of others, as if they were not there."""
    settings = "docker.host_rule={service}.{project}.test", "docker.filter=env in (prod), !internal"
    with serving(docker_engine, *settings) as proxy:
        await docker_engine.run("other", labels=COMPOSE | {"env": "test"})
        await docker_engine.run("inner", labels={"proxyconf.host": "b.test", "env": "prod", "internal": ""})
        for name in ("web-1", "web-2"):
            await docker_engine.run(name, "-e", f"APP={name}", labels=COMPOSE | {"env": "prod"})
        proxy.until_serves("web.blog.test", "web-1", "web-2")
        assert proxy.ask("b.test") == "404"
        status = proxy.status()
        assert [len(route.endpoints) for route in status.routes] == [2]
        assert (status.sources[0].entries, status.idle, status.problems) == (2, [], [])
