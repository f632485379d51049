"""Which address of a container is used, and when: networks, the host, published ports, health."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from proxyconf.sources._docker_place import own_ids
from tests.live.asking import container_of
from tests.live.docker_running import run, serving
from tests.live.socket_proxy import SocketProxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.docker_engine import DockerEngine
    from tests.live.running import Running

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

ADDRESS = "{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}} {{end}}"


async def addresses(engine: DockerEngine, name: str) -> dict[str, str]:
    """Return a container's address in each network."""
    found = await engine.docker("inspect", "--format", ADDRESS, name)
    return dict(part.split("=") for part in found.split())


def endpoint(proxy: Running) -> str:
    (route,) = proxy.status().routes
    (found,) = route.endpoints
    return found


def why(proxy: Running, container: str) -> str:
    """Wait until there is a problem with *container*, and return it."""
    status = proxy.until_status(
        lambda status: any(problem.where == container for problem in status.problems), f"problem {container}"
    )
    return next(problem.why for problem in status.problems if problem.where == container)


async def test_the_network_that_is_set(docker_engine: DockerEngine) -> None:
    """Of two, that one; one that is not in it is a problem until it is."""
    with serving(docker_engine, "docker.network=edge") as proxy:
        await run(docker_engine, "one", networks=("edge", "back"))
        proxy.until_serves("a.test", "one")
        assert endpoint(proxy) == (await addresses(docker_engine, "one"))["edge"] + ":8080"
        await docker_engine.remove("one")
        await run(docker_engine, "two", networks=("back",))
        assert why(proxy, "two").startswith(
            "it is in no network of the proxy, which is in edge; its networks: back"
        )
        await docker_engine.docker("network", "connect", "edge", "two")
        proxy.until_serves("a.test", "two")
        assert proxy.status().problems == []


async def test_the_networks_of_our_own_container(docker_engine: DockerEngine) -> None:
    """They are found without being named, also one that we join later; what is out of reach is said."""
    proxy_id = await docker_engine.run("proxy", networks=["edge"])
    mountinfo = await docker_engine.docker("exec", "proxy", "cat", "/proc/self/mountinfo")
    assert own_ids(mountinfo) == {proxy_id}
    with serving(docker_engine, place=container_of(docker_engine, proxy_id)) as proxy:
        await run(docker_engine, "one", networks=("back", "edge"))
        proxy.until_serves("a.test", "one")
        assert endpoint(proxy) == (await addresses(docker_engine, "one"))["edge"] + ":8080"
        await docker_engine.remove("one")
        await run(docker_engine, "two", networks=("back",))
        assert why(proxy, "two").startswith("it is in no network of the proxy, which is in edge; ")
        await run(docker_engine, "bare", "--network", "host", port="8080")
        proxy.until_serves("a.test", "bare")
        gateway = await docker_engine.docker(
            "network", "inspect", "edge", "--format", "{{json .IPAM.Config}}"
        )
        assert endpoint(proxy) == json.loads(gateway)[0]["Gateway"] + ":8080"
        await docker_engine.remove("bare")
        await docker_engine.docker("network", "connect", "back", "proxy")
        proxy.until_serves("a.test", "two")
        assert endpoint(proxy) == (await addresses(docker_engine, "two"))["back"] + ":8080"
        assert proxy.status().problems == []


async def test_the_hosts_network(docker_engine: DockerEngine) -> None:
    with serving(docker_engine) as proxy:
        await run(docker_engine, "bare", "--network", "host", "-e", "PORT=8099", port="8099")
        proxy.until_serves("a.test", "bare")
        assert endpoint(proxy) == "127.0.0.1:8099"


async def test_the_network_of_another_container(docker_engine: DockerEngine) -> None:
    """It has that one's address, and none when that one is gone."""
    owner = await docker_engine.run("owner", networks=["edge"])
    mine = ("--network", "container:owner", "-e", "PORT=8081")
    with serving(docker_engine) as proxy:
        sidecar = await run(docker_engine, "sidecar", *mine, port="8081")
        proxy.until_serves("a.test", "sidecar")
        assert endpoint(proxy) == (await addresses(docker_engine, "owner"))["edge"] + ":8081"
        mountinfo = await docker_engine.docker("exec", "sidecar", "cat", "/proc/self/mountinfo")
        assert own_ids(mountinfo) == {owner} != {sidecar}
        await docker_engine.kill("owner")
        assert why(proxy, "sidecar").startswith(
            f"it shares the network of the container {owner[:12]}, which has no address"
        )


async def test_published_ports(docker_engine: DockerEngine) -> None:
    """Where they are asked for; one that is not published is a problem."""
    with serving(docker_engine, "docker.address=published") as proxy:
        await run(docker_engine, "one", "-p", "127.0.0.1:8098:8080")
        proxy.until_serves("a.test", "one")
        assert endpoint(proxy) == "127.0.0.1:8098"
        await docker_engine.remove("one")
        await run(docker_engine, "two", "-p", "8097:8080")
        proxy.until_serves("a.test", "two")
        assert endpoint(proxy) == "127.0.0.1:8097"
        await run(docker_engine, "three")
        assert why(proxy, "three").startswith(
            "its port 8080 is not published on the host; its networks: bridge"
        )


async def test_a_port_that_is_published_by_ipv6(docker_engine: DockerEngine) -> None:
    with serving(docker_engine, "docker.address=published") as proxy:
        await run(docker_engine, "one", "-p", "[::1]:8096:8080")
        proxy.until_serves("a.test", "one")
        assert endpoint(proxy) == "[::1]:8096"


def without_ipv4(answer: bytes) -> bytes:
    """Blank the addresses by IPv4, as of a network without them, which Docker has from 27 on."""
    return re.sub(rb'"(IPAddress|Gateway)":("[^"]+")', _blank, answer)


def _blank(found: re.Match[bytes]) -> bytes:
    return b'"%s":%s' % (found[1], b'""'.ljust(len(found[2])))


async def test_a_network_of_ipv6(docker_engine: DockerEngine, tmp_path: Path) -> None:
    """Replicas have addresses of their own; a proxy that is in it gets to the host by its gateway."""
    await docker_engine.docker("network", "create", "--ipv6", "--subnet", "fd00:7::/64", "six")
    proxy_id = await docker_engine.run("proxy", networks=["six"])
    with SocketProxy(tmp_path / "docker.sock", docker_engine.socket, edit=without_ipv4) as filtered:
        with serving(docker_engine, url=filtered.url) as proxy:
            for name in ("one", "two"):
                await run(docker_engine, name, networks=["six"])
            proxy.until_serves("a.test", "one", "two")
            (route,) = proxy.status().routes
            assert [found.rpartition(":")[0] for found in route.endpoints] == ["[fd00:7::3]", "[fd00:7::4]"]
            assert proxy.status().problems == []
        with serving(docker_engine, url=filtered.url, place=container_of(docker_engine, proxy_id)) as proxy:
            await docker_engine.remove("one", "two")
            await run(docker_engine, "bare", "--network", "host", port="8080")
            proxy.until_serves("a.test", "bare")
            assert endpoint(proxy) == "[fd00:7::1]:8080"


async def test_an_unhealthy_one_is_better_than_none(docker_engine: DockerEngine) -> None:
    """With prefer: from its start, until another one is healthy, and again when that one is gone."""
    check = "test -e /www/good"
    with serving(docker_engine) as proxy:
        labels = {"proxyconf.host": "a.test", "proxyconf.health": "prefer"}
        await docker_engine.run("one", "-e", "APP=one", labels=labels, health=check)
        proxy.until_serves("a.test", "one")
        assert why(proxy, "one").startswith(
            "gets requests only where no other endpoint serves: it is unhealthy"
        )
        await docker_engine.run("two", "-e", "APP=two", labels=labels, health=check)
        await docker_engine.docker("exec", "two", "touch", "/www/good")
        proxy.until_serves("a.test", "two")
        await docker_engine.kill("two")
        proxy.until_serves("a.test", "one")


async def test_health_that_is_ignored(docker_engine: DockerEngine) -> None:
    with serving(docker_engine) as proxy:
        labels = {"proxyconf.host": "a.test", "proxyconf.health": "ignore"}
        await docker_engine.run("one", "-e", "APP=one", labels=labels, health="false")
        await run(docker_engine, "two")
        proxy.until_serves("a.test", "one", "two")
        assert proxy.status().problems == []


async def test_variables_that_are_not_to_be_read(docker_engine: DockerEngine) -> None:
    await docker_engine.run("one", "-e", "VIRTUAL_HOST=a.test")
    with serving(docker_engine, "docker.env=false") as proxy:
        await docker_engine.run("two", "-e", "APP=two", labels={"proxyconf.host": "b.test"})
        proxy.until_serves("b.test", "two")
        assert proxy.ask("a.test") == "404"
