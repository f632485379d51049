"""Containers that end again and again, beside others that come and go: a real engine, a real nginx."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.live.docker_running import run, serving

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.api import Status
    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

CRASH = ("sh", "-c", "[ -e /mended/$APP ] || { sleep 0.2; exit 1; }; exec app")
REFILLED_S = 1.6  # after which the bucket is full again, as it is when nothing happens
AT_ONCE_MS = 250  # half of what a token takes


# two seconds of each
TURNS = "test $(( $(date +%s) / 2 % 2 )) = 0"


def flapping(status: Status, why: str = "each time within 10 s") -> set[str]:
    """Return the containers that are said to flap, and so *why*."""
    return {problem.where for problem in status.problems if why in problem.why}


async def field(engine: DockerEngine, name: str, what: str) -> str:
    """Return what an inspect of the container *name* says of *what*."""
    return (await engine.docker("inspect", "--format", f"{{{{.{what}}}}}", name)).strip()


async def test_they_cost_no_reloads_and_nobody_time(docker_engine: DockerEngine, tmp_path: Path) -> None:
    """From the moment that they are known to; one that is mended is served when it has run for 10 s."""
    options = ("--restart", "always", "--volume", f"{tmp_path}:/mended:ro")
    with serving(docker_engine) as proxy:
        for name in ("bad", "mended"):
            await run(docker_engine, name, *options, host=f"{name}.test", command=CRASH)
        proxy.until_status(lambda status: flapping(status) == {"bad", "mended"}, "they are known to flap")
        (tmp_path / "mended").touch()
        ends = int(await field(docker_engine, "bad", "RestartCount"))
        await asyncio.sleep(REFILLED_S)  # their last deaths before that may still be on their way into nginx
        reloads = proxy.reloads()
        for number in range(3):
            await run(docker_engine, f"quiet{number}")
            proxy.until_endpoints("a.test", number + 1)
            (change, *_) = proxy.status().history
            assert change.served_ms is not None
            assert change.served_ms - sum(change.steps_ms.values()) < AT_ONCE_MS
            await asyncio.sleep(REFILLED_S)
        assert proxy.reloads() == reloads + 3, "one for each of the others"
        proxy.until_serves("mended.test", "mended")
        served = datetime.fromisoformat(proxy.events("site.applied")[-1]["timestamp"])
        started = datetime.fromisoformat(await field(docker_engine, "mended", "State.StartedAt"))
        assert served - started > timedelta(seconds=10)
        assert proxy.reloads() == reloads + 4
        assert int(await field(docker_engine, "bad", "RestartCount")) >= ends + 2
        assert proxy.ask("bad.test") == "503"
        assert flapping(proxy.status()) == {"bad"}


async def test_a_health_check_that_flaps_costs_no_reloads(docker_engine: DockerEngine) -> None:
    """From the moment that it is known to; its host is known, and others are served at once."""
    with serving(docker_engine) as proxy:
        await run(docker_engine, "bad", health=TURNS, host="bad.test")
        known = {"bad"}  # after four turns of each kind
        proxy.until_status(
            lambda status: flapping(status, "in quick turns") == known, "it is known to flap", timeout_s=40
        )
        await asyncio.sleep(REFILLED_S)
        reloads = proxy.reloads()
        await run(docker_engine, "quiet")
        proxy.until_serves("a.test", "quiet")
        turns = {await field(docker_engine, "bad", "State.Health.Status")}
        async with asyncio.timeout(10):
            while len(turns) < 2:
                turns.add(await field(docker_engine, "bad", "State.Health.Status"))
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert proxy.reloads() == reloads + 1, "for the other one"
        assert proxy.ask("bad.test") == "bad", "it is better than none"
        assert flapping(proxy.status(), "in quick turns") == {"bad"}
