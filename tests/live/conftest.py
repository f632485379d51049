"""Real services, shared by the live tests."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.docker_engine import DockerEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def docker_lab() -> Iterator[DockerEngine]:
    """One engine for the whole run, without containers of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("NOT TESTED against a real Docker engine: the lab needs root on Linux (sudo pytest ...)")
    with DockerEngine() as engine:
        yield engine


@pytest.fixture
async def docker_engine(docker_lab: DockerEngine) -> AsyncIterator[DockerEngine]:
    """The engine for one test: what the test makes is removed after it."""
    yield docker_lab
    await docker_lab.clean()
