"""The program from end to end: what happens to containers of a real engine is what a real nginx serves."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.live.docker_running import run, serving

if TYPE_CHECKING:
    from tests.live.docker_engine import DockerEngine
    from tests.live.running import Running

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

LABELS = {"proxyconf.host": "a.test"}


def changes(proxy: Running) -> list[str]:
    """Return what came and went so far."""
    return [change for event in proxy.events("site.applied") for change in event["changed"].split(", ")]


async def test_containers_of_one_host_come_and_go(docker_engine: DockerEngine) -> None:
    """Two share its traffic; one without labels of ours has no part in it."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        proxy.until_serves("a.test", "one")
        await docker_engine.run("mute")
        await run(docker_engine, "two")
        proxy.until_serves("a.test", "one", "two")
        assert [len(route.endpoints) for route in proxy.status().routes] == [2]
        assert proxy.status().problems == []
        await docker_engine.remove("one")
        proxy.until_endpoints("a.test", 1)
        proxy.until_serves("a.test", "two")
        await docker_engine.remove("two")
        proxy.until_serves("a.test", "503")


async def test_a_host_stays_known_while_its_container_is_recreated(docker_engine: DockerEngine) -> None:
    """Between the old one's removal and the new one's start it answers 503, unless that has another host."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        proxy.until_serves("a.test", "one")
        with proxy.trickle("a.test") as trickle:
            await docker_engine.remove("one")
            proxy.until_serves("a.test", "503")
            trickle.until_more(5)
            await run(docker_engine, "one")
            proxy.until_serves("a.test", "one")
            trickle.until_more(5)
        assert "404" not in trickle.answers
        await docker_engine.remove("one")
        await docker_engine.run("one", labels={"proxyconf.host": "b.test"})
        proxy.until_serves("b.test", "app")
        proxy.until_serves("a.test", "404")


async def test_a_stop_loses_no_request(docker_engine: DockerEngine) -> None:
    """It is out before it dies: it takes three seconds to end, as good programs do."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        proxy.until_endpoints("a.test", 1)
        (kept,) = proxy.status().routes[0].endpoints
        await run(docker_engine, "two", "-e", "STOP_DELAY=3")
        proxy.until_serves("a.test", "one", "two")
        with proxy.trickle("a.test") as trickle:
            trickle.until_more(20)
            await docker_engine.stop("two")
            trickle.until_more(20)
        assert set(trickle.answers) == {"one", "two"}
        assert set(trickle.answers[-20:]) == {"one"}
        assert proxy.status().routes[0].endpoints == (kept,)
        out = proxy.events("site.applied")[-1]
        assert out["changed"].startswith("- a.test/ ")
        died = await docker_engine.docker("inspect", "--format", "{{.State.FinishedAt}}", "two")
        assert datetime.fromisoformat(out["timestamp"]) < datetime.fromisoformat(died.strip())


async def test_the_last_one_serves_until_it_dies(docker_engine: DockerEngine) -> None:
    """It is told to stop, and there is no other: it keeps its requests, and nothing is said of a change."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one", "-e", "STOP_DELAY=1")
        proxy.until_serves("a.test", "one")
        with proxy.trickle("a.test") as trickle:
            await docker_engine.stop("one")
            proxy.until_serves("a.test", "503")
        assert (trickle.answers[0], trickle.answers[-1]) == ("one", "503")
        came, gone = (change for change in changes(proxy) if " a.test/ " in change)
        assert (came[0], gone[0], came[1:]) == ("+", "-", gone[1:])


async def test_paused_containers_get_no_requests(docker_engine: DockerEngine) -> None:
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        await run(docker_engine, "two")
        proxy.until_serves("a.test", "one", "two")
        await docker_engine.pause("two")
        proxy.until_endpoints("a.test", 1)
        proxy.until_serves("a.test", "one")
        await docker_engine.unpause("two")
        proxy.until_serves("a.test", "one", "two")


async def test_a_reload_signal_changes_nothing(docker_engine: DockerEngine) -> None:
    """HUP is a kill event too, but no end; its last endpoint's end by KILL is 503, as the route stays."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        await run(docker_engine, "two")
        proxy.until_serves("a.test", "one", "two")
        await docker_engine.kill("one", signal="HUP")
        await docker_engine.run("marker", labels={"proxyconf.host": "b.test"})
        proxy.until_serves("b.test", "app")
        assert set(proxy.answers("a.test")) == {"one", "two"}
        await docker_engine.kill("two")
        proxy.until_endpoints("a.test", 1)
        proxy.until_serves("a.test", "one")


async def test_killed_containers_stay_out(docker_engine: DockerEngine) -> None:
    """The engine's list shows them as running for a moment more, and is asked again and again."""
    with serving(docker_engine) as proxy:
        names = [f"web{number}" for number in range(3)]
        await run(docker_engine, "one")
        for name in names:
            await run(docker_engine, name)
        proxy.until_serves("a.test", "one", *names)
        await docker_engine.kill(*names)
        proxy.until_endpoints("a.test", 1)
        proxy.until_serves("a.test", "one")
        with proxy.trickle("a.test") as trickle:
            await docker_engine.run("marker", labels={"proxyconf.host": "b.test"})
            proxy.until_serves("b.test", "app")
            await docker_engine.remove("marker")
            proxy.until_serves("b.test", "503")
        assert set(trickle.answers) == {"one"}
        came = Counter(change for change in changes(proxy) if change.startswith("+ a.test"))
        assert set(came.values()) == {1}


async def test_a_container_moves_to_another_network(docker_engine: DockerEngine) -> None:
    """It is served at its new address."""
    await docker_engine.network("back")
    with serving(docker_engine) as proxy:
        await docker_engine.run("one", "-e", "APP=one", labels=LABELS, networks=["edge"])
        proxy.until_serves("a.test", "one")
        (before,) = proxy.status().routes[0].endpoints
        await docker_engine.docker("network", "disconnect", "edge", "one")
        proxy.until_endpoints("a.test", 0)
        proxy.until_serves("a.test", "503")
        await docker_engine.docker("network", "connect", "back", "one")
        proxy.until_serves("a.test", "one")
        (after,) = proxy.status().routes[0].endpoints
        assert after != before
        proxy.until_status(lambda status: not status.problems, "nothing is wrong")


async def test_several_ports_and_no_label(docker_engine: DockerEngine) -> None:
    """Which one to use can't be guessed: that is said with the container's name, and the rest is served."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "two-ports", "--expose", "9090")
        await run(docker_engine, "one")
        proxy.until_serves("a.test", "one")
        (problem,) = proxy.status().problems
        assert (problem.what, problem.where) == ("container", "two-ports")
        assert problem.why.startswith("it exposes the ports 8080, 9090")
        assert "label proxyconf.port" in problem.why
        await docker_engine.remove("two-ports")
        await run(docker_engine, "two", "--expose", "9090", port="8080")
        proxy.until_serves("a.test", "one", "two")
        proxy.until_status(lambda status: not status.problems, "nothing is wrong")


async def test_unhealthy_containers_get_no_requests(docker_engine: DockerEngine) -> None:
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one")
        await docker_engine.run("two", "-e", "APP=two", labels=LABELS, health="test -e /www/healthz")
        proxy.until_serves("a.test", "one", "two")
        await docker_engine.docker("exec", "two", "rm", "/www/healthz")
        proxy.until_serves("a.test", "one")
        await docker_engine.docker("exec", "two", "touch", "/www/healthz")
        proxy.until_serves("a.test", "one", "two")


async def test_the_engine_restarts(docker_engine: DockerEngine) -> None:
    """Sites stay while it is away, and are right when it is back, with nobody's help."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one", "--restart", "always")
        await run(docker_engine, "job")
        proxy.until_serves("a.test", "one", "job")
        await docker_engine.crash()
        proxy.until_event("source.lost")
        assert set(proxy.answers("a.test")) == {"one", "job"}
        await docker_engine.start()
        proxy.until_endpoints("a.test", 1)
        proxy.until_serves("a.test", "one")
        await docker_engine.docker("start", "job")
        proxy.until_serves("a.test", "one", "job")
        assert proxy.events("source.crashed") == []


async def test_the_engine_stops_and_starts(docker_engine: DockerEngine) -> None:
    """Its containers die with it, which is known; the hosts stay, and serve when it is back."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "one", "--restart", "always")
        proxy.until_serves("a.test", "one")
        await docker_engine.halt()
        proxy.until_endpoints("a.test", 0)
        proxy.until_serves("a.test", "503")
        await docker_engine.start()
        proxy.until_serves("a.test", "one")


async def test_the_engine_is_not_there_at_the_start(docker_engine: DockerEngine) -> None:
    """It says so and how to mend it; our own restart meanwhile keeps the site by what was saved."""
    await run(docker_engine, "one", "--restart", "always")
    with serving(docker_engine) as proxy:
        proxy.until_serves("a.test", "one")
        proxy.stop()
        await docker_engine.halt()
        proxy.start()
        assert "docker.sock" in proxy.until_event("source.lost")["reason"]
        assert [route.host for route in proxy.until_state("applied").routes] == ["a.test"]
        await docker_engine.start()
        proxy.until_serves("a.test", "one")
