"""The Docker source against a scripted engine on a real socket."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError, UsageError
from proxyconf.model import Container, Listing, Problem, Reach
from proxyconf.sources import open_source
from tests.unit.docker_api import ScriptedEngine, container_id, row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from proxyconf.sources import Source


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ScriptedEngine]:
    async with ScriptedEngine() as scripted:
        await scripted.serve_socket(tmp_path / "docker.sock")
        yield scripted


def source_of(engine: ScriptedEngine, **values: object) -> Source:
    """Return a source that inspects only what it must, as most tests say nothing of variables."""
    return open_source(SourceTable("docker", "docker", {"url": engine.url, "env": False, **values}, "test"))


@asynccontextmanager
async def watching(engine: ScriptedEngine, **values: object) -> AsyncIterator[AsyncGenerator[Listing, None]]:
    """Watch *engine*; every test has 10 s."""
    async with asyncio.timeout(10), aclosing(source_of(engine, **values).watch()) as listings:
        yield listings
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("docker")]
    assert left == []


async def only(listings: AsyncGenerator[Listing, None]) -> Container:
    """Return the one container of the next listing."""
    (container,) = (await anext(listings)).containers
    return container


def following(listings: AsyncGenerator[Listing, None]) -> asyncio.Future[Listing]:
    """Start to wait for the next listing: a generator does nothing while nobody waits."""
    return asyncio.ensure_future(anext(listings))


async def drain(engine: ScriptedEngine) -> None:
    """Watch *engine* for ever."""
    async with watching(engine) as listings:
        async for _ in listings:
            pass


async def test_lists_everything_at_once(engine: ScriptedEngine) -> None:
    """The first listing is whole, and names the engine."""
    engine.containers = [row("web", Labels={"a": "b"}, Status="Up 2 seconds (healthy)"), row("api")]
    async with watching(engine) as listings:
        listing = await anext(listings)
    network = {"bridge": "198.18.0.2"}
    api = Container(
        *(container_id("api"), "api", {}, "running", "", network, (8080,), 1700000000),
        network_mode="bridge",
        attached={"bridge": ""},
    )
    web = replace(api, id=container_id("web"), name="web", labels={"a": "b"}, health="healthy")
    assert listing == Listing("docker", cluster="HNI3:VX4A", containers=(api, web))


async def test_subscribes_before_it_lists(engine: ScriptedEngine) -> None:
    """So nothing can happen unseen in between."""
    async with watching(engine) as listings:
        await anext(listings)
    assert engine.requests.index("/events") < engine.requests.index("/containers/json")


async def test_no_container_is_a_listing(engine: ScriptedEngine) -> None:
    async with watching(engine) as listings:
        assert (await anext(listings)).containers == ()


async def test_an_event_makes_a_list(engine: ScriptedEngine) -> None:
    async with watching(engine) as listings:
        await anext(listings)
        engine.containers = [row("web")]
        engine.say("start", "web")
        assert (await only(listings)).name == "web"
        engine.containers = [row("web", NetworkSettings={"Networks": {"edge": {"IPAddress": "198.18.4.2"}}})]
        engine.say("connect", "web", kind="network")
        assert (await only(listings)).networks == {"edge": "198.18.4.2"}


async def test_a_late_list_is_caught_up_with(engine: ScriptedEngine) -> None:
    """For 71 ms after an event the list may be the old one; a later one is asked for unbidden."""
    engine.containers = [row("web")]
    async with watching(engine) as listings:
        await anext(listings)
        engine.say("pause", "web")
        paused = [row("web", State="paused")]
        asyncio.get_running_loop().call_later(0.071, setattr, engine, "containers", paused)
        assert (await anext(listings)).containers[0].state == "paused"


async def test_a_death_needs_no_list(engine: ScriptedEngine) -> None:
    """It is published while the list hangs, urgently, and stays while the engine lists it as running."""
    engine.containers = [row("web")]
    async with watching(engine) as listings:
        await anext(listings)
        engine.gate.clear()
        engine.say("die", "web")
        listing = await anext(listings)
        assert (listing.urgent, listing.containers[0].state) == (True, "exited")
        engine.containers = [row("web", Names=["/renamed"])]
        engine.say("rename", "web")
        engine.gate.set()
        web = await only(listings)
        assert (web.name, web.state) == ("renamed", "exited")
        engine.say("start", "web")
        assert (await only(listings)).state == "running"


async def test_a_new_connection_trusts_the_list(engine: ScriptedEngine) -> None:
    engine.containers = [row("web")]
    async with watching(engine) as listings:
        await anext(listings)
        engine.say("die", "web")
        assert (await only(listings)).state == "exited"
    async with watching(engine) as listings:
        assert (await only(listings)).state == "running"


@pytest.mark.parametrize(
    ("signals", "stop_signal", "inspects"),
    [
        pytest.param(["15"], None, 0, id="TERM"),
        pytest.param(["9"], "SIGQUIT", 0, id="KILL"),
        pytest.param(["1", "10", "3"], "SIGQUIT", 1, id="own stop signal"),
    ],
)
async def test_a_stop_signal_drains(
    engine: ScriptedEngine, signals: list[str], stop_signal: str | None, inspects: int
) -> None:
    """At once for TERM and KILL, after one inspect for any other that turns out to be the container's own."""
    engine.containers = [row("web")]
    engine.details = {container_id("web"): {"Config": {"StopSignal": stop_signal}}}
    async with watching(engine) as listings:
        assert not (await only(listings)).draining
        for number in signals:
            engine.say("kill", "web", signal=number)
        web = await only(listings)
        assert (web.draining, web.state) == (True, "running")
    assert engine.requests.count(f"/containers/{container_id('web')}/json") == inspects


@pytest.mark.parametrize("details", [{"Config": {"StopSignal": "SIGTERM"}}, None], ids=["TERM", "gone"])
async def test_other_signals_change_nothing(engine: ScriptedEngine, details: dict[str, Any] | None) -> None:
    """HUP and USR1 ask for one inspect; the next news is that of something else."""
    engine.containers = [row("web")]
    engine.details = {container_id("web"): details} if details else {}
    inspect = f"/containers/{container_id('web')}/json"
    async with watching(engine) as listings:
        await anext(listings)
        news = following(listings)
        engine.say("kill", "web", signal="1")
        engine.say("kill", "web", signal="10")
        await engine.asked(inspect, 1)
        engine.containers = [row("web", Names=["/renamed"])]
        engine.say("rename", "web")
        (web,) = (await news).containers
    assert (web.name, web.draining) == ("renamed", False)
    assert engine.requests.count(inspect) == 1


async def test_a_burst_costs_few_lists(engine: ScriptedEngine) -> None:
    """What comes while a list is on its way is answered by one more."""
    async with watching(engine) as listings:
        await anext(listings)
        news = following(listings)
        await engine.asked("/containers/json", 3)
        engine.gate.clear()
        before = engine.requests.count("/containers/json")
        for number in range(50):
            engine.say("start", f"c{number}")
        await engine.asked("/containers/json", before + 1)
        engine.containers = [row(f"c{number}") for number in range(50)]
        engine.gate.set()
        assert len((await news).containers) == 50
    assert engine.requests.count("/containers/json") <= before + 3


async def test_lists_again_without_events(engine: ScriptedEngine) -> None:
    """What no event told is seen by the periodic list; equal lists are not published."""
    engine.containers = [row("web")]
    async with watching(engine, relist="20ms") as listings:
        await anext(listings)
        news = following(listings)
        await engine.asked("/containers/json", 5)
        assert not news.done()
        engine.containers = []
        assert (await news).containers == ()


async def test_a_silent_stream_is_replaced(engine: ScriptedEngine) -> None:
    """It may be dead without a sign; nothing is published, and the next stream works."""
    engine.containers = [row("web")]
    async with watching(engine, relist="100ms") as listings:
        await anext(listings)
        news = following(listings)
        await engine.asked("/events", 3)
        assert not news.done()
        await engine.asked("/containers/json", 1 + engine.requests.count("/containers/json"))
        engine.gate.clear()
        await engine.watched()
        engine.say("die", "web")
        assert (await news).urgent
        engine.gate.set()


async def test_poll_takes_no_events(engine: ScriptedEngine) -> None:
    """Lists every so often; one that equals the last is not published."""
    engine.containers = [row("web")]
    engine.refusals["/events"] = (403, "Forbidden")
    async with watching(engine, poll="10ms") as listings:
        await anext(listings)
        news = following(listings)
        await engine.asked("/containers/json", 4)
        assert not news.done()
        engine.containers = []
        assert (await news).containers == ()
    assert "/events" not in engine.requests


async def test_large_labels_pass(engine: ScriptedEngine) -> None:
    """An event carries all labels in one line; a container with many must not end the stream."""
    async with watching(engine) as listings:
        await anext(listings)
        engine.containers = [row("web")]
        engine.say("start", "web", label="x" * 500_000)
        assert (await only(listings)).name == "web"


async def test_a_proxy_may_hide_the_engines_id(engine: ScriptedEngine) -> None:
    engine.refusals["/info"] = (403, "<html><h1>403 Forbidden</h1></html>")
    async with watching(engine) as listings:
        assert (await anext(listings)).cluster == ""


async def test_podman_has_no_id(engine: ScriptedEngine) -> None:
    """It makes up another one for every answer."""
    engine.info = {"ID": "bfdfe0bf-7485-488c-a5b5-fbf39a9e460e", "BuildahVersion": "1.28.2"}
    async with watching(engine) as listings:
        assert (await anext(listings)).cluster == ""


async def test_a_pinned_version_asks_for_none(engine: ScriptedEngine) -> None:
    engine.refusals["/version"] = (403, "<html><h1>403 Forbidden</h1></html>")
    async with watching(engine, api_version="1.41") as listings:
        await anext(listings)
    assert "/version" not in engine.requests


async def test_the_end_of_the_stream_is_an_error(engine: ScriptedEngine) -> None:
    async with watching(engine) as listings:
        await anext(listings)
        engine.hang_up()
        with pytest.raises(SourceError, match="the stream ended"):
            await anext(listings)


async def test_a_frozen_engine_is_an_error(engine: ScriptedEngine) -> None:
    """The periodic list is the probe."""
    async with watching(engine, timeout="500ms", relist="200ms") as listings:
        await anext(listings)
        engine.gate.clear()
        with pytest.raises(SourceError, match="no answer in time"):
            await anext(listings)


async def test_several_failures_at_once_are_one_error(engine: ScriptedEngine) -> None:
    """The other one is not left behind as a task whose error nobody looked at."""
    engine.refusals["/containers/json"] = (500, {"message": "on fire"})
    engine.gate.clear()
    async with watching(engine) as listings:
        news = following(listings)
        await engine.asked("/containers/json", 1)
        engine.hang_up()
        engine.gate.set()
        with pytest.raises(SourceError, match=r"on fire|the stream ended"):
            await news


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param((200, "<html>no JSON</html>"), "the answer is not an engine's", id="nonsense"),
        pytest.param((0, None), "connection lost: ", id="hung up"),
    ],
)
async def test_an_inspect_without_an_answer_is_an_error(
    engine: ScriptedEngine, answer: tuple[int, object], text: str
) -> None:
    """One that is refused is not."""
    engine.containers = [row("web")]
    engine.refusals[f"/containers/{container_id('web')}/json"] = answer
    async with watching(engine, env=True) as listings:
        with pytest.raises(SourceError, match=f"inspect container of .*: {text}"):
            await anext(listings)


def inspects(engine: ScriptedEngine, name: str) -> int:
    return engine.requests.count(f"/containers/{container_id(name)}/json")


def variables(*lines: str) -> dict[str, Any]:
    return {"Config": {"Env": list(lines)}}


async def test_variables_are_read_once(engine: ScriptedEngine) -> None:
    """Those that say how to route, from the first listing on; a kill asks for nothing more."""
    engine.containers = [row("web")]
    engine.details = {
        container_id("web"): variables("VIRTUAL_HOST=a.test", "TOKEN=secret"),
        container_id("api"): variables("VIRTUAL_PORT=81"),
    }
    async with watching(engine, env=True) as listings:
        assert (await only(listings)).env == {"VIRTUAL_HOST": "a.test"}
        engine.containers.append(row("api"))
        engine.say("start", "api")
        api, web = (await anext(listings)).containers
        assert (api.env, web.env) == ({"VIRTUAL_PORT": "81"}, {"VIRTUAL_HOST": "a.test"})
        news = following(listings)
        engine.say("kill", "web", signal="1")
        engine.containers.pop()
        engine.say("destroy", "api")
        assert len((await news).containers) == 1
    assert (inspects(engine, "web"), inspects(engine, "api")) == (1, 1)


async def test_the_rule_for_hosts_goes_with_the_containers(engine: ScriptedEngine) -> None:
    async with watching(engine, host_rule="{container}.test") as listings:
        listing = await anext(listings)
    assert (listing.host_rule, listing.proxies) == ("{container}.test", ())


async def test_a_removed_container_is_told_with_what_it_asked_for(engine: ScriptedEngine) -> None:
    """Unless the filter leaves it out."""
    engine.containers = [row("web", Labels={"env": "prod"}), row("other")]
    engine.details = {container_id("web"): variables("VIRTUAL_HOST=a.test")}
    async with watching(engine, env=True, filter="env=prod") as listings:
        assert (await anext(listings)).removed == ()
        engine.containers = []
        engine.say("destroy", "web")
        listing = await anext(listings)
    assert listing.containers == ()
    assert [(one.name, one.env, one.networks) for one in listing.removed] == [
        ("web", {"VIRTUAL_HOST": "a.test"}, {})
    ]


async def test_no_variables_no_inspects(engine: ScriptedEngine) -> None:
    engine.containers = [row("web")]
    engine.details = {container_id("web"): variables("VIRTUAL_HOST=a.test")}
    async with watching(engine, env=False) as listings:
        assert (await only(listings)).env == {}
    assert inspects(engine, "web") == 0


async def test_few_inspects_at_once(engine: ScriptedEngine) -> None:
    """The rest waits here and not in the engine, without being late for it."""
    engine.containers = [row(f"c{number}") for number in range(30)]
    engine.inspect_gate.clear()
    async with watching(engine, env=True) as listings:
        news = following(listings)
        eighth = f"/containers/{container_id('c15')}/json"
        await engine.asked(eighth, 1)
        assert sum("/containers/c" in path and "---" in path for path in engine.requests) == 8
        engine.inspect_gate.set()
        assert len((await news).containers) == 30
    assert engine.most_inspecting <= 8


async def test_a_container_that_vanished_meanwhile(engine: ScriptedEngine) -> None:
    """It has no variables, and is gone from the next list."""
    engine.containers = [row("web")]
    async with watching(engine, env=True) as listings:
        listing = await anext(listings)
        assert (listing.containers[0].env, listing.problems) == ({}, ())


async def test_a_container_that_cannot_be_inspected(engine: ScriptedEngine) -> None:
    """One that is half removed is a problem of its own: the others are served."""
    engine.containers = [row("web"), row("half")]
    engine.details = {container_id("web"): variables("VIRTUAL_HOST=a.test")}
    engine.refusals[f"/containers/{container_id('half')}/json"] = (500, {"message": "layer is nil"})
    async with watching(engine, env=True) as listings:
        listing = await anext(listings)
        assert [container.name for container in listing.containers] == ["half", "web"]
        why = "its variables are not known: the engine answers 500 layer is nil"
        assert listing.problems == (Problem("container", "half", why),)
        engine.refusals.clear()
        engine.say("rename", "web")
        assert (await anext(listings)).problems == ()


async def test_a_proxy_that_hides_inspects(engine: ScriptedEngine) -> None:
    """It is asked no more than a few times, and the mend is said once."""
    engine.containers = [row(f"c{number}") for number in range(30)]
    for number in range(30):
        engine.refusals[f"/containers/{container_id(f'c{number}')}/json"] = (403, "<html>Forbidden</html>")
    async with watching(engine, env=True) as listings:
        listing = await anext(listings)
    assert len(listing.containers) == 30
    (problem,) = listing.problems
    assert (problem.what, problem.where) == ("source", "docker")
    assert problem.why.endswith(
        "refuses to inspect: 403 Forbidden (let it pass GET /containers/*/json, or set env = false)"
    )
    assert sum(inspects(engine, f"c{number}") for number in range(30)) <= 8


@pytest.mark.parametrize(
    ("values", "info", "reach"),
    [
        pytest.param({}, {}, Reach(), id="on its host"),
        pytest.param({"network": "edge"}, {}, Reach(("edge",)), id="a network"),
        pytest.param({"address": "published"}, {}, Reach(published=True), id="published"),
        pytest.param({}, {"OperatingSystem": "Docker Desktop"}, Reach(published=True), id="Docker Desktop"),
        pytest.param(
            {"address": "container"},
            {"OperatingSystem": "Docker Desktop"},
            Reach(),
            id="Docker Desktop, asked",
        ),
    ],
)
async def test_how_containers_are_reached(
    engine: ScriptedEngine, values: dict[str, Any], info: dict[str, Any], reach: Reach
) -> None:
    engine.info |= info
    async with watching(engine, **values) as listings:
        assert (await anext(listings)).reach == reach


async def test_the_networks_of_nginx_count(engine: ScriptedEngine) -> None:
    """Not our own; before its start, too, and once it is made anew in others; where it is gone, the last."""

    def in_network(name: str, number: str = "198.18.0") -> dict[str, Any]:
        place = {"IPAddress": f"{number}.3", "Gateway": f"{number}.1"} if number else {"IPAddress": ""}
        return {"NetworkSettings": {"Networks": {name: place}}}

    engine.containers = [row("web"), row("nginx", State="exited", **in_network("front", ""))]
    table = SourceTable("docker", "docker", {"url": engine.url, "env": False}, "test")
    async with asyncio.timeout(10), aclosing(open_source(table, nginx="nginx").watch()) as listings:
        listing = await anext(listings)
        assert (listing.reach, listing.proxies) == (Reach(("front",), ""), (container_id("nginx"),))

        async def reach(action: str, name: str, *nginx: dict[str, Any]) -> Reach:
            news = following(listings)
            engine.containers = [row("web"), *nginx]
            engine.say(action, name)
            return (await news).reach

        front = Reach(("front",), "198.18.0.1")
        assert await reach("start", "nginx", row("nginx", **in_network("front"))) == front
        assert await reach("die", "nginx", row("nginx", State="exited", **in_network("front", ""))) == front
        assert await reach("destroy", "nginx") == front
        new = {"Names": ["/nginx"], "State": "created"} | in_network("back", "")
        assert await reach("rename", "new", row("new", **new)) == Reach(("back",), "")
        new |= {"State": "running"} | in_network("back")
        assert await reach("start", "new", row("new", **new)) == Reach(("back",), "198.18.0.1")


async def test_the_filter_leaves_out_containers(engine: ScriptedEngine) -> None:
    """Nothing is told of them, not even what goes wrong; but who shares the network of one has it."""
    engine.containers = [
        row("web", Labels={"env": "prod"}, HostConfig={"NetworkMode": "container:" + container_id("vpn")}),
        row("vpn"),
        row("old", Labels={"env": "prod", "internal": ""}),
    ]
    engine.refusals[f"/containers/{container_id('old')}/json"] = (500, {"message": "layer is nil"})
    async with watching(engine, env=True, filter="env in (prod), !internal") as listings:
        listing = await anext(listings)
        assert [(one.name, one.networks) for one in listing.containers] == [("web", {"bridge": "198.18.0.2"})]
        assert listing.problems == ()
        news = following(listings)
        engine.say("die", "old")
        engine.containers[0] |= {"Names": ["/renamed"]}
        engine.say("rename", "web")
        listing = await news
    assert [(one.name, listing.urgent) for one in listing.containers] == [("renamed", False)]


@pytest.mark.parametrize(
    ("path", "answer", "kind", "text"),
    [
        pytest.param(
            "/version",
            (403, "<html><h1>403 Forbidden</h1></html>"),
            SourceDeniedError,
            'ask version of .*: 403 403 Forbidden .*api_version = "1.41"',
            id="a proxy hides the version",
        ),
        pytest.param(
            "/events",
            (403, "<html>\n<body>Forbidden\n</body></html>"),
            SourceDeniedError,
            'watch .*: 403 Forbidden .let the proxy .* pass GET /events, or set poll = "5s"',
            id="a proxy hides the events",
        ),
        pytest.param(
            "/containers/json",
            (401, {"message": "who are you"}),
            SourceDeniedError,
            "list containers of .*: 401 who are you .*GET /containers/json",
            id="a proxy hides the containers",
        ),
        pytest.param(
            "/containers/json",
            (500, {"error": "x"}),
            SourceError,
            "an error without a message",
            id="an error without a message",
        ),
        pytest.param(
            "/containers/json", (500, "x " * 500), SourceError, r"500 (x )+\.*x*\.\.\.", id="a long one"
        ),
        pytest.param(
            "/containers/json", (404, {"message": "page not found"}), SourceError, "check url", id="404"
        ),
        pytest.param("/containers/json", (200, [{"State": "running"}]), SourceError, "check url", id="no id"),
        pytest.param("/containers/json", (200, "<html>hello</html>"), SourceError, "check url", id="no JSON"),
        pytest.param(
            "/containers/json", (200, [row("a", Ports=[1])]), SourceError, "check url", id="odd ports"
        ),
        pytest.param("/version", (200, {}), SourceError, "check url", id="no version"),
        pytest.param(
            "/info",
            (400, {"message": "client version 1.24 is too old. Minimum supported API version is 1.44"}),
            SourceDeniedError,
            "remove api_version",
            id="version too old",
        ),
    ],
)
async def test_refusals_say_how_to_mend_them(
    engine: ScriptedEngine, path: str, answer: tuple[int, object], kind: type[SourceError], text: str
) -> None:
    engine.refusals[path] = answer
    with pytest.raises(SourceError, match=text) as caught:
        await drain(engine)
    assert type(caught.value) is kind
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "line", [b"no json\n", b'{"timeNano": "x"}\n', b"[]\n"], ids=["no json", "no time", "list"]
)
async def test_an_event_that_is_none_is_an_error(engine: ScriptedEngine, line: bytes) -> None:
    async with watching(engine) as listings:
        await anext(listings)
        engine.send(line)
        with pytest.raises(SourceError, match="not an engine's"):
            await anext(listings)


async def test_what_arrives_while_the_consumer_is_busy_is_kept(engine: ScriptedEngine) -> None:
    """Nobody waits for the next listing while these happen; the state of the end is told."""
    engine.containers = [row("web")]
    async with watching(engine) as listings:
        await anext(listings)
        engine.say("kill", "web", signal="15")
        engine.say("die", "web")
        engine.send(json.dumps({"status": "died", "id": container_id("web")}).encode() + b"\n")
        states = [(await only(listings)) for _ in range(2)]
    assert [(web.state, web.draining) for web in states] == [("running", True), ("exited", False)]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param({"url": "ssh://host"}, r"\[docker\] url: 'ssh://host': no address", id="scheme"),
        pytest.param({"url": "/run/docker.sock"}, 'write "unix:///', id="path"),
        pytest.param({"url": "unix://docker.sock"}, "must be absolute", id="relative"),
        pytest.param({"url": "unix:///" + "x" * 120}, "over 107 bytes", id="long"),
        pytest.param({"url": "tcp://host:99999"}, "Port out of range", id="port"),
        pytest.param({"url": "https://user@host"}, "no address", id="user"),
        pytest.param({"url": "http://host", "ca": "/ca.pem"}, "plain HTTP takes no ca", id="ca without TLS"),
        pytest.param({"url": "unix:///x", "ca": "/ca.pem"}, "socket takes no ca", id="ca for a socket"),
        pytest.param({"url": "tcp://host", "cert": "/c.pem"}, r"\[docker\] key: not set", id="cert, no key"),
        pytest.param({"url": "tcp://host", "key": "/k.pem"}, r"\[docker\] cert: not set", id="key, no cert"),
        pytest.param({"url": "tcp://host", "ca": "/no.pem"}, "ca: read /no.pem: No such file", id="no file"),
        pytest.param({"api_version": "latest"}, "api_version: 'latest' is no version", id="version"),
        pytest.param({"address": "host"}, "address: ", id="address"),
        pytest.param({"filter": "env prod"}, r"\[docker\] filter: 'env prod' is no selector", id="filter"),
        pytest.param(
            {"host_rule": "{name}.test"},
            r"\[docker\] host_rule: there is no {name} \(known: ",
            id="host rule",
        ),
        pytest.param({"poll": "0s"}, "poll: must be more than 0", id="poll"),
        pytest.param({"relist": "0s"}, "relist: must be more than 0", id="relist"),
        pytest.param({"timeout": "0s"}, "timeout: must be more than 0", id="timeout"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_source(SourceTable("docker", "docker", values, "test"))


def test_nothing_is_held_by_default() -> None:
    """The engine knows its containers."""
    source = open_source(SourceTable("docker", "docker.second", {"url": "unix:///x"}, "test"))
    assert (source.name, source.policy.max_loss, source.policy.required) == ("docker.second", 1.0, True)
