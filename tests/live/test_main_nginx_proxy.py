"""Containers as they are run for nginx-proxy, on a real engine: nginx serves what their variables say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.asking import network_of
from tests.live.running import Running

if TYPE_CHECKING:
    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")


async def run(engine: DockerEngine, name: str, **variables: str) -> None:
    options = [part for item in variables.items() for part in ("-e", "=".join(item))]
    await engine.run(name, "-e", f"APP={name}", *options)


async def test_a_change_over_from_nginx_proxy(docker_engine: DockerEngine) -> None:
    """Those that run already and those that come later; one of ours shares a site with one of theirs."""
    several = '{"ports.test": {"/": {"port": 8080}}, "b.test": {"/x": {"port": 8080}}}'
    await run(docker_engine, "one", VIRTUAL_HOST="a.test,b.test", VIRTUAL_PORT="8080")
    with Running(
        "--docker", "-s", f"docker.url={docker_engine.url}", place=network_of(docker_engine)
    ) as proxy:
        proxy.serve()
        proxy.until_serves("a.test", "one")
        proxy.until_serves("b.test", "one")
        await docker_engine.run(
            "two", "-e", "APP=two", labels={"proxyconf.host": "a.test", "proxyconf.port": "8080"}
        )
        proxy.until_serves("a.test", "one", "two")
        assert proxy.status().problems == []
        await run(docker_engine, "many", VIRTUAL_HOST_MULTIPORTS=several, HTTPS_METHOD="noredirect")
        proxy.until_serves("ports.test", "many")
        assert {(route.host, route.path) for route in proxy.status().routes} == {
            ("a.test", "/"),
            ("b.test", "/"),
            ("b.test", "/x"),
            ("ports.test", "/"),
        }
        (problem,) = proxy.status().problems
        assert problem.where == "many variable HTTPS_METHOD"
        await docker_engine.remove("one")
        proxy.until_serves("a.test", "two")
        proxy.until_serves("b.test", "503")


async def test_nginx_takes_what_settings_come_to(docker_engine: DockerEngine) -> None:
    """Each by itself, for one that it refuses would be set aside and named."""
    labels = {
        "keepalive": ("auto", "disabled", "8"),
        "loadbalance": ("ip_hash;", "least_conn;", "hash $http_x_user;", "hash $cookie_id consistent;"),
    }
    variables = [{"VIRTUAL_PROTO": proto} for proto in ("https", "fastcgi", "uwsgi")]
    variables += [{"NETWORK_ACCESS": "internal"}, {"VIRTUAL_PATH": "/x/", "VIRTUAL_DEST": "/y/"}]
    pairs = [(name, text) for name, texts in labels.items() for text in texts]
    hosts = [f"h{number}.test" for number in range(len(variables) + len(pairs))]
    for host, more in zip(hosts, variables, strict=False):
        await run(docker_engine, host.removesuffix(".test"), VIRTUAL_HOST=host, VIRTUAL_PORT="8080", **more)
    for host, (name, text) in zip(hosts[len(variables) :], pairs, strict=True):
        label = f"com.github.nginx-proxy.nginx-proxy.{name}"
        await docker_engine.run(
            host, "-e", f"VIRTUAL_HOST={host}", "-e", "VIRTUAL_PORT=8080", labels={label: text}
        )
    with Running(
        "--docker", "-s", f"docker.url={docker_engine.url}", place=network_of(docker_engine)
    ) as proxy:
        proxy.serve()
        proxy.until_serves(hosts[-1], "app")
        assert sorted(route.host for route in proxy.status().routes) == sorted(hosts)
        assert proxy.status().problems == []
        proxy.until_serves("h3.test", "h3")  # asked from 127.0.0.1
