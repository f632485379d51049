"""A service of Docker Compose that gets new containers while it is asked, as docs/docker.md has it."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.live.docker_engine import APP
from tests.live.docker_running import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

FILE = f"""
name: lab
services:
  web:
    image: {APP}
    environment:
      APP: $VERSION
    labels:
      proxyconf.host: a.test
    network_mode: bridge
    scale: 2
"""


async def compose(engine: DockerEngine, file: Path, version: str, *args: str) -> None:
    """Bring the service up in a *version* of it."""
    environment = {**engine.env, "DOCKER_CONFIG": engine.lab("compose", "trixie").strip(), "VERSION": version}
    process = await asyncio.create_subprocess_exec(
        *("docker", "compose", "-f", str(file), "up", "-d", *args, "web"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()


async def test_new_ones_beside_the_old_ones_lose_no_request(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    """Compose by itself stops all of a service's containers at once."""
    file = tmp_path / "compose.yaml"
    file.write_text(FILE)
    with serving(docker_engine) as proxy:
        await compose(docker_engine, file, "old")
        proxy.until_endpoints("a.test", 2)
        with proxy.trickle("a.test") as trickle:
            old = (
                await docker_engine.docker("ps", "-q", "-f", "label=com.docker.compose.service=web")
            ).split()
            await compose(docker_engine, file, "new", "--no-recreate", "--scale", "web=4")
            proxy.until_endpoints("a.test", 4)
            await docker_engine.stop(*old)
            await docker_engine.remove(*old)
            proxy.until_endpoints("a.test", 2)
            await compose(docker_engine, file, "new")
            trickle.until_more(20)
        assert set(trickle.answers) == {"old", "new"}
        assert set(proxy.answers("a.test")) == {"new"}
