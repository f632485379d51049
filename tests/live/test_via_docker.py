"""An nginx in a container of a real engine, kept in step from outside of it through the engine's API."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import aiodocker
import aiohttp
import pytest

from tests.live.asking import TIMEOUT_S, network_of, until
from tests.live.docker_engine import NGINX
from tests.live.running import Running
from tests.unit.made_certificates import DAY_S, make_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

FILTER = Path(__file__).parents[2] / "deploy" / "docker" / "socket-proxy.conf"
HTTPS_PORT = 8443
# as in the compose files in deploy/: both are started at once, and nginx has to wait for its configuration
WAITING = 'until [ -s "$0" ]; do sleep 0.1; done; exec nginx -c "$0" -g "daemon off;"'


@pytest.fixture
def without_own_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let proxyconf find no nginx on its own host."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@asynccontextmanager
async def following(engine: DockerEngine) -> AsyncIterator[Running]:
    """Run proxyconf on the engine's host; the end of nginx's container is in ours."""
    with Running("--docker", "-s", f"docker.url={engine.url}", place=network_of(engine)) as proxy:
        proxy.flags = (*proxy.flags, "-s", "nginx.via=docker:nginx", "-s", f"nginx.listen.http=:{proxy.port}")
        (proxy.state / "nginx").mkdir(parents=True)
        try:
            yield proxy
        finally:
            await engine.clean()


async def run_nginx(
    engine: DockerEngine, proxy: Running, *more: str, networks: Sequence[str] = ("bridge",)
) -> None:
    """Start nginx's container, which sees nothing of ours but the folder; *more* are flags of Docker's."""
    folder, port = proxy.state / "nginx", proxy.port
    shared = ("-v", f"{folder}:{folder}", "-p", f"127.0.0.1:{port}:{port}", *more)
    await engine.run(
        "nginx", *shared, image=NGINX, networks=networks, command=("sh", "-c", WAITING, str(proxy.root))
    )


async def run_app(engine: DockerEngine, name: str) -> None:
    await engine.run(name, "-e", f"APP={name}", labels={"proxyconf.host": "a.test"})


async def run_filter(engine: DockerEngine, proxy: Running, *, without: str = "") -> str:
    """Start the filter in deploy/, but for its rules with *without*; return where it listens."""
    conf = proxy.folder / "filter.conf"
    text = FILTER.read_text().replace("/var/lib/proxyconf", str(proxy.state))
    conf.write_text(
        re.sub(rf"location [^\n]*{without}.*?\n        }}\n", "", text, flags=re.DOTALL) if without else text
    )
    mounts = ("-v", f"{engine.socket.parent}:/run/engine:ro", "-v", f"{conf}:/etc/filter.conf:ro")
    command = ("nginx", "-c", "/etc/filter.conf", "-g", "daemon off;")
    await engine.run("filter", *mounts, image=NGINX, command=command)
    address = await engine.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "filter")
    return f"tcp://{address.strip()}:2375"


async def ask_engine(
    engine: DockerEngine, url: str, method: str, path: str, body: Mapping[str, object] | None = None
) -> int:
    """Return the status of an answer; what is asked goes out as it stands."""
    text = json.dumps(body or {})
    script = (
        "import http.client, sys\n"
        "host, method, path, body = sys.argv[1:]\n"
        "connection = http.client.HTTPConnection(host, timeout=10)\n"
        "connection.request(method, path, body, {'Content-Type': 'application/json'})\n"
        "print(connection.getresponse().status)\n"
    )
    host = url.removeprefix("tcp://")
    return int(await engine.inside(sys.executable, "-c", script, host, method, path, text))


def until_answers(proxy: Running, *names: str) -> None:
    """Wait until only these answer for a.test, all of them."""
    until(lambda: set(proxy.answers("a.test")) == set(names), f"{names} answer\n{proxy.log()}")


def whys(proxy: Running) -> list[str]:
    return [problem.why for problem in proxy.status().problems]


@pytest.mark.usefixtures("without_own_nginx")
async def test_it_is_kept_in_step_whatever_becomes_of_it(docker_engine: DockerEngine) -> None:
    """Started after us, restarted, made anew, gone with the engine: it is found again."""
    async with following(docker_engine) as proxy:
        proxy.start()
        assert "there is no container nginx" in proxy.until_state("waiting").reason
        await run_app(docker_engine, "one")
        await run_nginx(docker_engine, proxy)
        assert proxy.until_state("applied").problems == []
        until_answers(proxy, "one")
        assert proxy.status().nginx.version
        await run_app(docker_engine, "two")
        until_answers(proxy, "one", "two")

        await docker_engine.docker("restart", "-t", "3", "nginx")
        until_answers(proxy, "one", "two")
        await docker_engine.remove("nginx")
        await run_nginx(docker_engine, proxy)
        await docker_engine.remove("two")
        until_answers(proxy, "one")

        await docker_engine.halt()
        await docker_engine.start()
        await docker_engine.docker("start", "nginx", "one")
        until_answers(proxy, "one")
        await run_app(docker_engine, "three")
        until_answers(proxy, "one", "three")
        proxy.until_state("applied")
        assert whys(proxy) == []


async def test_containers_are_reached_in_the_networks_of_nginx(docker_engine: DockerEngine) -> None:
    """Not in those that we get to; also once it is made anew in others. The host is at its gateway."""
    async with following(docker_engine) as proxy:
        proxy.start()
        await run_nginx(docker_engine, proxy, networks=["edge"])
        await docker_engine.run(
            "one", "-e", "APP=one", networks=["back", "edge"], labels={"proxyconf.host": "a.test"}
        )
        until_answers(proxy, "one")
        labels = {"proxyconf.host": "a.test", "proxyconf.port": "8099"}
        await docker_engine.run(
            "bare", "--network", "host", "-e", "APP=bare", "-e", "PORT=8099", labels=labels
        )
        until_answers(proxy, "one", "bare")
        await docker_engine.remove("nginx")
        await run_nginx(docker_engine, proxy, networks=["back"])
        until_answers(proxy, "one", "bare")
        assert whys(proxy) == []


async def floor_ms(engine: DockerEngine, proxy: Running, body: str) -> float:
    """Return what it takes to check in the container, to signal it, and to be answered by the new one."""
    (proxy.state / "nginx" / "http.d" / "floor.conf").write_text(
        f"server {{ listen {proxy.port}; server_name floor.test; return {body}; }}\n"
    )
    docker = aiodocker.Docker(url=engine.url)
    try:
        container = await docker.containers.get("nginx")
        begin = time.perf_counter()
        check = await container.exec(cmd=["nginx", "-t", "-c", str(proxy.root)])
        async with check.start() as output:
            while await output.read_out():
                pass
        assert (await check.inspect())["ExitCode"] == 0
        await container.kill(signal="HUP")
        until(lambda: proxy.ask("floor.test") == body, "the floor is answered")
        return (time.perf_counter() - begin) * 1000
    finally:
        await docker.close()


@pytest.mark.usefixtures("without_own_nginx")
async def test_a_change_is_served_within_the_floor_and_a_tenth_of_a_second(
    docker_engine: DockerEngine,
) -> None:
    """The floor: the same check and signal, by whoever knows what changed. Best of three, for both."""
    async with following(docker_engine) as proxy:
        proxy.start()
        await run_nginx(docker_engine, proxy)
        await run_app(docker_engine, "app-0")
        until_answers(proxy, "app-0")
        proxy.until_state("applied")
        assert proxy.cli("pause").returncode == 0
        floor = min([await floor_ms(docker_engine, proxy, body) for body in ("201", "202", "203")])
        (proxy.state / "nginx" / "http.d" / "floor.conf").unlink()
        assert proxy.cli("resume").returncode == 0
        served = []
        for number in (1, 2, 3):
            await run_app(docker_engine, f"app-{number}")
            until_answers(proxy, *(f"app-{one}" for one in range(number + 1)))
            added = [one for one in proxy.status().history if any("+ " in what for what in one.changed)]
            served.append(added[-1].served_ms or 0.0)
        assert min(served) <= floor + 100, (served, floor)


async def shown(engine: DockerEngine, port: int, host: str) -> tuple[str, str]:
    """Return the certificate that *host* is served with, in PEM, and the first line of the answer."""
    script = (
        "import socket, ssl, sys\n"
        "port, host = sys.argv[1:]\n"
        "context = ssl.create_default_context()\n"
        "context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
        "plain = socket.create_connection(('127.0.0.1', port), timeout=10)\n"
        "with context.wrap_socket(plain, server_hostname=host) as tls:\n"
        "    tls.sendall(f'GET / HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n'.encode())\n"
        "    print(ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)) + tls.recv(100).decode())\n"
    )
    said = await engine.inside(sys.executable, "-c", script, str(port), host)
    certificate, mark, rest = said.partition("-----END CERTIFICATE-----\n")
    return certificate + mark, rest.partition("\r")[0]


@pytest.mark.usefixtures("without_own_nginx")
async def test_https(docker_engine: DockerEngine, tmp_path: Path) -> None:
    """nginx's container has no certificates but the copies in the shared folder; a renewed one is served."""
    now = time.time()
    first, renewed = (
        make_pair("a.test", "a.test", begin=now - 60, end=now + days * DAY_S) for days in (30, 90)
    )
    first.put(tmp_path, "a.test")
    async with following(docker_engine) as proxy:
        tls = f"nginx.tls.certificates={tmp_path}", f"nginx.listen.https=:{HTTPS_PORT}"
        proxy.flags = (*proxy.flags, *(word for flag in tls for word in ("-s", flag)))
        await run_nginx(docker_engine, proxy, "-p", f"127.0.0.1:{HTTPS_PORT}:{HTTPS_PORT}")
        await run_app(docker_engine, "one")
        proxy.start()
        until_answers(proxy, "301")
        assert proxy.until_state("applied").problems == []
        served = first.certificate.decode(), "HTTP/1.1 200 OK"
        assert await shown(docker_engine, HTTPS_PORT, "a.test") == served
        reloads = len(proxy.events("site.applied"))
        renewed.put(tmp_path, "a.test")
        proxy.until_event("site.applied", count=reloads + 1)
        proxy.until_state("applied")
        served = renewed.certificate.decode(), "HTTP/1.1 200 OK"
        async with asyncio.timeout(TIMEOUT_S):  # a worker of before may still be there to answer
            while await shown(docker_engine, HTTPS_PORT, "a.test") != served:
                pass


@pytest.mark.usefixtures("without_own_nginx")
async def test_the_filter_in_deploy_lets_through_what_is_needed(docker_engine: DockerEngine) -> None:
    """And nothing else: other containers are out of reach, and so is any other command or signal."""
    async with following(docker_engine) as proxy:
        url = await run_filter(docker_engine, proxy)
        proxy.flags = (*proxy.flags, "-s", f"docker.url={url}")
        proxy.start()
        await run_nginx(docker_engine, proxy)
        await run_app(docker_engine, "one")
        until_answers(proxy, "one")
        assert proxy.until_state("applied").problems == []

        asked = partial(ask_engine, docker_engine, url)
        assert await asked("GET", "/v1.41/containers/one/json") == 200
        assert await asked("GET", "/images/json") == 403
        assert await asked("POST", "/containers/one/kill?signal=HUP") == 403
        assert await asked("POST", "/containers/nginx/stop") == 403
        assert await asked("POST", "/containers/nginx/%2e%2e/one/kill") == 403
        assert await asked("POST", "/containers/one/exec", {"Cmd": ["id"]}) == 403
        assert await asked("DELETE", "/containers/nginx/json") == 403
        # the signal and the command are not the client's
        assert await asked("POST", "/containers/nginx/kill?signal=KILL") == 204
        assert await asked("POST", "/containers/nginx/exec", {"Cmd": ["id"], "Privileged": True}) == 201
        made = (await docker_engine.docker("inspect", "--format", "{{json .ExecIDs}}", "nginx")).strip()
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(docker_engine.socket))) as engine,
            engine.get(f"http://engine/exec/{json.loads(made)[-1]}/json") as answer,
        ):
            command = (await answer.json())["ProcessConfig"]
        assert (command["entrypoint"], command["arguments"][:2]) == ("nginx", ["-V", "-t"])
        assert not command["privileged"]
        until_answers(proxy, "one")


async def test_where_no_command_may_be_run_our_own_nginx_checks(docker_engine: DockerEngine) -> None:
    """And what was there before nginx's container is what that starts with."""
    async with following(docker_engine) as proxy:
        url = await run_filter(docker_engine, proxy, without="/exec")
        proxy.flags = (*proxy.flags, "-s", f"docker.url={url}")
        await run_app(docker_engine, "one")
        proxy.start()
        assert "there is no container nginx" in proxy.until_state("installed").problems[0].why
        await run_nginx(docker_engine, proxy)
        until_answers(proxy, "one")
        (problem,) = proxy.until_state("applied").problems
        assert problem.why.startswith("our own nginx checks its configuration: run a program by tcp://")
        assert "403" in problem.why
        await run_app(docker_engine, "two")
        until_answers(proxy, "one", "two")


async def test_a_reload_that_it_refuses_is_taken_back(docker_engine: DockerEngine) -> None:
    """What its master says is read from the shared folder: here, that a port was taken meanwhile."""
    async with following(docker_engine) as proxy:
        await run_app(docker_engine, "one")
        await run_nginx(docker_engine, proxy)
        proxy.start()
        until_answers(proxy, "one")
        await docker_engine.docker("exec", "-d", "nginx", "nc", "-l", "-p", "8099")
        until(lambda: "8099" not in proxy.root.read_text(), "the first one")
        extra = proxy.state / "nginx" / "http.d" / "extra.conf"
        extra.write_text("server { listen 8099; }\n")
        refused = proxy.until_state("failed")
        assert "bind() to 0.0.0.0:8099 failed" in refused.reason
        extra.unlink()
        proxy.until_state("applied")
        until_answers(proxy, "one")
