"""The container that nginx is in, by a scripted engine: found, and the way to it; what can be wrong there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.errors import CommandError
from proxyconf.nginx.engine_api import EngineApi
from proxyconf.nginx.in_container import ContainerProber, Finder, InContainer
from proxyconf.sources._docker_connect import Address, read_address
from proxyconf.sources._tls import Tls
from tests.unit.nginx_engine import NginxEngine, api_of, control_of, inspected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[NginxEngine]:
    async with NginxEngine() as engine:
        await engine.serve(tmp_path / "docker.sock")
        engine.containers["web"] = inspected("web")
        yield engine


@pytest.fixture
def control(engine: NginxEngine, tmp_path: Path) -> InContainer:
    return control_of(engine, tmp_path)


async def test_as_a_service_of_our_own_project(engine: NginxEngine) -> None:
    """The one that runs; of two that run, neither."""
    engine.containers = {
        "shop-web-1": inspected("shop-web-1", Config={"Labels": LABELS}, State={"Running": False}),
        "shop-web-2": inspected("shop-web-2", Config={"Labels": LABELS}),
        "us": inspected("us", Config={"Labels": LABELS | {"com.docker.compose.service": "proxyconf"}}),
    }
    api = api_of(engine)
    finder = Finder(api, "web", ["unknown", "us".ljust(64, "-")])
    found = await finder.find()
    assert found is not None
    assert found.name == "shop-web-2"
    engine.containers["shop-web-1"]["State"]["Running"] = True
    with pytest.raises(CommandError, match=r"there are 2: shop-web-1, shop-web-2 .*docker:NAME"):
        await finder.find()
    engine.containers["us"]["Config"]["Labels"] = {}
    assert await finder.find() is None


async def test_an_answer_that_is_none(engine: NginxEngine) -> None:
    engine.containers["web"]["NetworkSettings"] = {"Networks": 7}
    with pytest.raises(CommandError, match=r"inspect container web of .*: not an engine's answer: Attribute"):
        await Finder(api_of(engine), "web", []).find()
    engine.refusals["/json"] = 200, "<html>welcome</html>"
    with pytest.raises(CommandError, match=r"the answer is not an engine's"):
        await Finder(api_of(engine), "web", []).find()


@pytest.mark.parametrize(
    ("path", "answer", "why"),
    [
        pytest.param("/containers/json", "<html>", "list containers of .*JSONDecodeError", id="list HTML"),
        pytest.param("/containers/json", "null", "list containers of .*TypeError", id="list null"),
        pytest.param("/containers/json", '{"message": "x"}', "list containers of .*TypeError", id="no list"),
        pytest.param("/containers/json", "[{}]", "list containers of .*KeyError", id="list without Id"),
        pytest.param("/containers/json", '[{"Id": 7}]', "list containers of .*int for an Id", id="list 7"),
        pytest.param("/top", "[]", "list processes of .*list for an object", id="top list"),
        pytest.param("/top", '{"Processes": 7}', "list processes of .*TypeError", id="top 7"),
        pytest.param("/top", '{"Processes": [7]}', "list processes of .*TypeError", id="top of 7"),
        pytest.param("/exec", "[" * 100_000, "run a program by .*RecursionError", id="exec deep"),
        pytest.param("/exec", "{}", "run a program by .*KeyError", id="exec without Id"),
        pytest.param("/exec", '{"Id": null}', "run a program by .*NoneType for an Id", id="exec null"),
        pytest.param("/0/json", "null", "run a program by .*NoneType for an object", id="exit null"),
        pytest.param("/0/json", '{"ExitCode": "x"}', "run a program by .*ValueError", id="exit x"),
        pytest.param("/version", "[]", "ask version of .*TypeError", id="version"),
        pytest.param("/info", "null", "ask info of .*NoneType for an object", id="info"),
    ],
)
async def test_nonsense_names_the_call_and_the_engine(
    engine: NginxEngine, path: str, answer: str, why: str
) -> None:
    """Nothing else comes out, for that would end whoever asks."""
    engine.refusals[path] = 200, answer
    api = api_of(engine)

    async def ask_everything() -> None:
        await api.find({})
        await api.titles("web")
        await api.run("web", ["nginx", "-V"], timeout_s=5)
        await api.info()

    with pytest.raises(CommandError, match=f"{why}.*check url") as caught:
        await ask_everything()
    assert f"{engine.url}: the answer is not an engine's: " in str(caught.value)


async def test_no_way_to_it_is_a_problem_until_there_is_one(engine: NginxEngine, tmp_path: Path) -> None:
    engine.containers["us"] = inspected(
        "us", NetworkSettings={"Networks": {"apps": {"IPAddress": "10.0.0.9"}}}
    )
    control = control_of(engine, tmp_path, own_ids=["us".ljust(64, "-")])
    prober = ContainerProber(control, "x.invalid")
    await control.meet()
    assert await prober.ask() is None
    (problem,) = control.problems
    assert problem.why == (
        "nothing leads from here to its :80: it is in the network bridge, we are in apps"
        " (put both into one network)"
    )
    networks: dict[str, Any] = engine.containers["us"]["NetworkSettings"]["Networks"]
    networks["bridge"] = {"IPAddress": "127.0.0.9"}
    await control.meet()
    assert control.problems == ()
    assert control.place == "127.0.0.1:80"


async def test_on_the_host_of_a_secluded_engine_only_published_ports_lead_there(
    engine: NginxEngine, tmp_path: Path
) -> None:
    engine.info = {"OperatingSystem": "Docker Desktop"}
    control = control_of(engine, tmp_path)
    await control.meet()
    (problem,) = control.problems
    assert problem.why == "its port 80 is not published on the engine's host (publish it)"
    ports = {"80/tcp": [{"HostIp": "::", "HostPort": "8080"}, {"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    engine.containers["web"]["NetworkSettings"]["Ports"] = ports
    await control.master()
    assert control.place == "127.0.0.1:8080"


async def test_where_little_may_be_asked_we_are_taken_for_the_host(
    engine: NginxEngine, tmp_path: Path
) -> None:
    engine.refusals = {"/info": (403, "no"), "/containers/us/json": (403, "no")}
    control = control_of(engine, tmp_path, own_ids=["us"])
    await control.meet()
    assert control.place == "127.0.0.1:80"


async def test_a_way_that_leads_there_is_kept(engine: NginxEngine, tmp_path: Path) -> None:
    """It is looked for again only where nobody answers, or the container is another one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nabc-1\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        control = control_of(engine, tmp_path, listen=f":{port}")
        prober = ContainerProber(control, "x.invalid")
        assert await prober.ask() is None
        await control.master()
        assert await prober.ask() == "abc-1"
        asked = engine.requests.count("GET /info")
        await control.master()
        assert engine.requests.count("GET /info") == asked
        engine.containers["web"]["Id"] = "another"
        await control.master()
        assert engine.requests.count("GET /info") == asked + 1


async def test_a_version_that_is_hidden(engine: NginxEngine, control: InContainer) -> None:
    engine.refusals["/version"] = 403, "no"
    with pytest.raises(CommandError, match=r"ask version of .*: 403 no .*api_version"):
        await control.meet()


async def test_no_engine(tmp_path: Path) -> None:
    api = EngineApi(read_address(f"unix://{tmp_path}/none.sock", Tls()))
    with pytest.raises(CommandError, match="no such socket"):
        await api.inspect("web")


async def test_a_certificate_that_is_gone(tmp_path: Path) -> None:
    address = Address("tcp://x", "https://127.0.0.1:1", tls=Tls(ca=tmp_path / "ca.pem"))
    with pytest.raises(CommandError, match=r"ca.pem: No such file"):
        await EngineApi(address).inspect("web")


async def test_a_program_that_does_not_end(engine: NginxEngine) -> None:
    engine.programs = lambda _: (None, "")
    with pytest.raises(CommandError, match=r"run nginx -t in container web: not done after 0.05 s"):
        await api_of(engine).run("web", ["nginx", "-t"], timeout_s=0.05)
