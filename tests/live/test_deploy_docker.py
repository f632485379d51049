"""The image and the compose files in deploy/docker, as they stand: built, started, and served by."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.asking import ask as ask_nginx
from tests.live.asking import network_of, until
from tests.live.docker_engine import NGINX
from tests.live.running import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.live.asking import Place
    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

BASE, IMAGE = "python:lab", "proxyconf:lab"
COMPOSE_OF = "trixie"  # Debian 12 has no Compose v2
OURS_MAX = 56 << 20  # beside python:slim's 120 MB, so that both are less than 180
PORT = 8095


@pytest.fixture(scope="module")
def image(docker_lab: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image as its Dockerfile says, but for the base, and for the registry of packages."""
    docker_lab.lab("python", BASE, sys.executable)
    context = tmp_path_factory.mktemp("context")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, context)
    shutil.copytree(
        REPOSITORY / "proxyconf", context / "proxyconf", ignore=shutil.ignore_patterns("__pycache__")
    )
    wanted = ["setuptools>=77", f"{context}[dns,tls,yaml]"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(context / "wheels"), *wanted]
    subprocess.run(pip, check=True, capture_output=True)
    options = [f"BASE={BASE}", "PIP_ARGS=--no-index --find-links ."]
    dockerfile = str(REPOSITORY / "deploy" / "docker" / "Dockerfile")
    build = ["docker", "build", "-q", "-t", IMAGE, "-f", dockerfile]
    build += [part for option in options for part in ("--build-arg", option)]
    environment = {**docker_lab.env, "DOCKER_BUILDKIT": "0"}  # of BuildKit, Debian 12 has no client
    done = subprocess.run(
        [*build, str(context)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return IMAGE


@dataclass
class Composed:
    """A compose file that is up."""

    engine: DockerEngine
    file: Path
    place: Place
    environment: dict[str, str]

    async def __call__(self, *args: str) -> str:
        """Run a command of Compose."""
        command = ["docker", "compose", "-p", "lab", "-f", str(self.file), *args]
        process = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            await self("exec", "-T", "proxyconf", "proxyconf", "status", "--json")
        )
        return found

    async def run_app(self, name: str) -> None:
        labels = {"proxyconf.host": "a.test"}
        await self.engine.run(name, "-e", f"APP={name}", labels=labels, networks=["lab_apps"])

    def until_answers(self, *names: str) -> None:
        """Wait until only these answer for a.test, all of them."""
        seen: set[str] = set()

        def answers() -> None:
            self.place.enter()
            seen.clear()
            seen.update(ask_nginx(PORT, "a.test") for _ in range(8))

        def passes() -> bool:
            thread = threading.Thread(target=answers)
            thread.start()
            thread.join()
            return seen == set(names)

        until(passes, f"{names} answer")


@asynccontextmanager
async def composed(engine: DockerEngine, name: str) -> AsyncIterator[Composed]:
    """Start a compose file, and end it with all it has made."""
    environment = {
        **engine.env,
        "DOCKER_CONFIG": engine.lab("compose", COMPOSE_OF).strip(),
        "NGINX_IMAGE": NGINX,
        "PROXYCONF_IMAGE": IMAGE,
        "DOCKER_FOLDER": str(engine.socket.parent),
        "DOCKER_GID": str(engine.socket.stat().st_gid),
        "HTTP_PORT": f"127.0.0.1:{PORT}",
    }
    file = REPOSITORY / "deploy" / "docker" / name
    compose = Composed(engine, file, network_of(engine), environment)
    try:
        await compose("up", "-d", "--no-build")
        yield compose
    finally:
        await engine.clean()
        await compose("down", "-v", "-t", "1")


@pytest.mark.usefixtures("image")
async def test_the_image(docker_engine: DockerEngine) -> None:
    """Small, without tools, and nobody's root."""
    found, base = json.loads(await docker_engine.docker("inspect", IMAGE, BASE))
    assert found["Size"] - base["Size"] < OURS_MAX
    assert found["Config"]["User"] == "101:101"
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "proxyconf", "status"]
    assert found["Config"]["Labels"]["org.opencontainers.image.title"] == "proxyconf"
    tools = await docker_engine.docker(
        "run",
        "--rm",
        "--entrypoint",
        "sh",
        IMAGE,
        "-c",
        "ls /opt/proxyconf/bin; ls /src 2>&1; which pip gcc || :",
    )
    assert "pip" not in tools.replace("No such file", "")
    assert "gcc" not in tools
    version = await docker_engine.docker(
        "run", "--rm", "--read-only", "--network", "none", IMAGE, "--version"
    )
    assert version.startswith("proxyconf, version ")


@pytest.mark.usefixtures("image")
async def test_nginx_in_public_and_proxyconf_beside_it(docker_engine: DockerEngine) -> None:
    """Served, scaled; nginx restarted, and made anew."""
    async with composed(docker_engine, "compose.split.yaml") as compose:
        await compose.run_app("one")
        compose.until_answers("one")
        await compose.run_app("two")
        compose.until_answers("one", "two")
        await compose("restart", "-t", "3", "nginx")
        compose.until_answers("one", "two")
        await compose("up", "-d", "--no-build", "--force-recreate", "--no-deps", "nginx")
        await docker_engine.remove("one")
        compose.until_answers("two")
        status = await compose.status()
        assert (status["state"], status["problems"]) == ("applied", [])
        shown = await docker_engine.docker(
            "inspect",
            "--format",
            "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.PortBindings}}",
            "lab-proxyconf-1",
        )
        assert shown.strip() == "true map[]"


@pytest.mark.usefixtures("image")
async def test_behind_a_filter(docker_engine: DockerEngine) -> None:
    """The calls that it lets through are all that are needed, and proxyconf has no socket."""
    async with composed(docker_engine, "compose.socket-proxy.yaml") as compose:
        await compose.run_app("one")
        compose.until_answers("one")
        await compose.run_app("two")
        compose.until_answers("one", "two")
        status = await compose.status()
        assert (status["state"], status["problems"]) == ("applied", [])
        mounts = await docker_engine.docker(
            "inspect", "--format", "{{range .Mounts}}{{.Destination}} {{end}}", "lab-proxyconf-1"
        )
        assert sorted(mounts.split()) == ["/var/lib/proxyconf", "/var/lib/proxyconf/nginx"]
