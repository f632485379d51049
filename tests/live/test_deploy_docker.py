"""The image and the compose files in deploy/docker, as they stand: built, started, and served by."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.asking import ask as ask_nginx
from tests.live.asking import network_of, until
from tests.live.docker_engine import NGINX
from tests.live.running import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.live.asking import Place
    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

BASE, IMAGE, ALL_IN_ONE = "python:lab", "proxyconf:lab", "proxyconf-nginx:lab"
DEPLOY = REPOSITORY / "deploy" / "docker"
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
    build(
        docker_lab,
        IMAGE,
        DEPLOY / "Dockerfile",
        context,
        f"BASE={BASE}",
        "PIP_ARGS=--no-index --find-links .",
    )
    return IMAGE


@pytest.fixture(scope="module")
def all_in_one(docker_lab: DockerEngine, image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image with nginx; that of the lab takes the place of the distribution's."""
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(f"FROM {image}\nUSER root\nCOPY --from={NGINX} / /\n")
    build(docker_lab, "base:lab", context / "Dockerfile", context)
    build(docker_lab, ALL_IN_ONE, DEPLOY / "Dockerfile.all-in-one", context, "BASE=base:lab")
    return ALL_IN_ONE


def build(engine: DockerEngine, image: str, dockerfile: Path, context: Path, *options: str) -> None:
    """Build an image; *options* are for its ARGs."""
    command = ["docker", "build", "-q", "-t", image, "-f", str(dockerfile)]
    command += [part for option in options for part in ("--build-arg", option)]
    environment = {**engine.env, "DOCKER_BUILDKIT": "0"}  # of BuildKit, Debian 12 has no client
    done = subprocess.run(
        [*command, str(context)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


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

    async def started(self, service: str) -> str:
        """Return when the container of a service was started."""
        return await self.engine.docker("inspect", "--format", "{{.State.StartedAt}}", f"lab-{service}-1")

    async def run_app(self, name: str) -> None:
        labels = {"proxyconf.host": "a.test"}
        await self.engine.run(name, "-e", f"APP={name}", labels=labels, networks=["lab_apps"])

    def until_answers(self, *names: str) -> None:
        """Wait until only these answer for a.test, all of them."""

        def passes() -> bool:
            with self.asking("/", times=8) as answers:
                pass
            return set(answers) == set(names)

        until(passes, f"{names} answer")

    @contextmanager
    def asking(self, path: str, *, times: int = 1) -> Iterator[list[str]]:
        """Ask a.test while the block runs, at the engine; the answers are complete behind it."""
        answers: list[str] = []

        def ask() -> None:
            self.place.enter()
            answers.extend(ask_nginx(PORT, "a.test", path) for _ in range(times))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield answers
        finally:
            thread.join()


@asynccontextmanager
async def composed(engine: DockerEngine, name: str, image: str = IMAGE) -> AsyncIterator[Composed]:
    """Start a compose file, and end it with all it has made."""
    environment = {
        **engine.env,
        "DOCKER_CONFIG": engine.lab("compose", COMPOSE_OF).strip(),
        "NGINX_IMAGE": NGINX,
        "PROXYCONF_IMAGE": image,
        "DOCKER_FOLDER": str(engine.socket.parent),
        "DOCKER_GID": str(engine.socket.stat().st_gid),
        "HTTP_PORT": f"127.0.0.1:{PORT}",
    }
    compose = Composed(engine, DEPLOY / name, network_of(engine), environment)
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


@pytest.mark.usefixtures("all_in_one")
async def test_both_in_one_container(docker_engine: DockerEngine) -> None:
    """Served; a request under way when it is stopped is finished; started again, it is as before."""
    async with composed(docker_engine, "compose.all-in-one.yaml", ALL_IN_ONE) as compose:
        await compose.run_app("one")
        compose.until_answers("one")
        status = await compose.status()
        assert (status["state"], status["child"]["state"], status["problems"]) == ("applied", "running", [])
        with compose.asking("/cgi-bin/slow?2") as answers:
            async with asyncio.timeout(20):
                while "sleep 2" not in await docker_engine.docker("top", "one", "-eo", "pid,args"):
                    pass
            await compose("stop")
        assert answers == ["one"]
        container = "lab-proxyconf-1"
        shown = await docker_engine.docker("inspect", "--format", "{{.State.ExitCode}}", container)
        assert shown.strip() == "0"
        logs = await docker_engine.docker("logs", container)
        assert '"GET /cgi-bin/slow?2 HTTP/1.1" 200' in logs
        await compose("start")
        compose.until_answers("one")


@pytest.mark.usefixtures("all_in_one")
async def test_two_containers_that_share_their_processes(docker_engine: DockerEngine) -> None:
    """Served, and changed; each is restarted, or made anew, and the other one runs on."""
    async with composed(docker_engine, "compose.pid.yaml", ALL_IN_ONE) as compose:
        await compose.run_app("one")
        compose.until_answers("one")
        await compose.run_app("two")
        compose.until_answers("one", "two")
        proxyconf = await compose.started("proxyconf")
        await compose("restart", "-t", "3", "nginx")
        compose.until_answers("one", "two")
        await compose("up", "-d", "--no-build", "--force-recreate", "--no-deps", "nginx")
        await docker_engine.remove("one")
        compose.until_answers("two")
        assert await compose.started("proxyconf") == proxyconf
        nginx = await compose.started("nginx")
        await compose("restart", "-t", "3", "proxyconf")
        await compose.run_app("one")
        compose.until_answers("one", "two")
        assert await compose.started("nginx") == nginx
        status = await compose.status()
        assert (status["state"], status["problems"]) == ("applied", [])


@pytest.mark.usefixtures("all_in_one")
async def test_processes_that_are_not_shared(docker_engine: DockerEngine) -> None:
    """It says so, also as a child of the first process."""
    command = ("run", "--file", "/tmp", "-s", "nginx.via=pid")
    await docker_engine.run("alone", image=ALL_IN_ONE, command=command)
    async with asyncio.timeout(20):
        while "our PID namespace is of our own" not in (
            said := await docker_engine.docker("exec", "alone", "sh", "-c", "proxyconf status 2>&1 || :")
        ):
            pass
    assert "state: installed: checked, and no nginx runs on it" in said
