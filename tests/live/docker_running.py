"""The program on a real engine: what the live tests of containers share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.live.asking import network_of
from tests.live.running import Running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.live.asking import Place
    from tests.live.docker_engine import DockerEngine


@contextmanager
def serving(
    engine: DockerEngine, *settings: str, url: str = "", place: Place | None = None
) -> Iterator[Running]:
    """Run proxyconf and nginx on the engine's host, where containers are reached, unless at *place*.

    Args:
        engine: Where the containers are.
        settings: ``TABLE.KEY=VALUE``.
        url: What proxyconf is to ask instead of the engine itself.
        place: Where both run.
    """
    settings = (f"docker.url={url or engine.url}", *settings)
    flags = [flag for setting in settings for flag in ("-s", setting)]
    with Running("--docker", *flags, place=place or network_of(engine)) as proxy:
        proxy.serve()
        yield proxy


async def run(
    engine: DockerEngine,
    name: str,
    *options: str,
    networks: Sequence[str] = (),
    health: str = "",
    command: Sequence[str] = (),
    **labels: str,
) -> str:
    """Start a container that answers *name*, and return its id.

    Args:
        engine: Where.
        name: Of the container.
        options: Of ``docker run``.
        networks: As for `DockerEngine.run`, as the following two.
        health: Its check.
        command: Instead of the image's own.
        labels: Those of ours, without ``proxyconf.``; the host is a.test unless they name another.
    """
    named = {f"proxyconf.{label}": value for label, value in {"host": "a.test", **labels}.items()}
    return await engine.run(
        name, "-e", f"APP={name}", *options, labels=named, networks=networks, health=health, command=command
    )
