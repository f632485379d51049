"""A socket proxy between the program and a real engine: one that lets nothing through but questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.docker_running import run, serving
from tests.live.socket_proxy import SocketProxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.docker_engine import DockerEngine

pytestmark = pytest.mark.needs("root", "nginx", "nsenter")

CALLS = {"/version", "/info", "/events", "/containers/json", "/containers//json"}


async def test_questions_are_all_that_is_asked(docker_engine: DockerEngine, tmp_path: Path) -> None:
    """Variables, a stop and a restart of the engine are seen through it."""
    with (
        SocketProxy(tmp_path / "docker.sock", docker_engine.socket) as filtered,
        serving(docker_engine, url=filtered.url) as proxy,
    ):
        await run(docker_engine, "one", "--restart", "always")
        await docker_engine.run("two", "-e", "APP=two", "-e", "VIRTUAL_HOST=b.test", "-e", "STOP_DELAY=1")
        proxy.until_serves("a.test", "one")
        proxy.until_serves("b.test", "two")
        await docker_engine.stop("two")
        proxy.until_serves("b.test", "503")
        await docker_engine.crash()
        proxy.until_event("source.lost")
        await docker_engine.start()
        await docker_engine.docker("start", "two")
        proxy.until_serves("b.test", "two")
        proxy.until_serves("a.test", "one")
        assert filtered.asked == {f"GET {call}" for call in CALLS}
