"""The containers of a Docker engine (or podman's service), followed by its events and listed again on each.

    [docker]
    url = "unix:///var/run/docker.sock"

Health, names, networks and states come from one list of all containers; only a death and a stop signal are
taken from the events themselves (see `_docker_events`).
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import UsageError
from proxyconf.model import Listing
from proxyconf.sources._docker_connect import DEFAULT_URL, Address, read_address
from proxyconf.sources._docker_engine import Engine, Learned, Listed, connect
from proxyconf.sources._docker_events import Mirror
from proxyconf.sources._docker_reading import Event
from proxyconf.sources._tls import Tls
from proxyconf.tables import Share, SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

# a stream that says nothing for so many periods may be dead without a sign of it, so another one is opened
_SILENT_RELISTS = 5
_JITTER = 0.2
HAS_KEYS = False  # only containers


class Settings(SourcePolicy, frozen=True, kw_only=True):
    """The keys of ``[docker]``.

    Attributes:
        max_loss: As for every source, but nothing is held by default: an engine knows its containers, and one
            that lists none, runs none.
        url: ``unix:///PATH``, ``tcp://HOST:PORT``, ``http://`` or ``https://``. Default: DOCKER_HOST, with
            the certificates in DOCKER_CERT_PATH, else ``unix:///var/run/docker.sock``.
        ca: The authority that signed the engine's certificate, as PEM. Default: the system's.
        cert: Our certificate, as PEM.
        key: Its key, as PEM.
        api_version: ``auto``, or a version of the API where a proxy hides the engine's: ``1.41``.
        poll: List this often instead of following the events, where a proxy hides them. A change is then seen
            up to this late, and a container that was told to stop gets requests until it is gone.
        relist: List this often even if no event asks for it.
        timeout: How long an answer may take.
    """

    max_loss: Share = 1.0
    url: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    api_version: str = "auto"
    poll: Seconds | None = None
    relist: Seconds = Seconds(60)
    timeout: Seconds = Seconds(10)


def open_source(name: str, settings: Settings, needs: Sequence[str] = ()) -> DockerSource:
    """Make the source of the table *name*.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    del needs  # see HAS_KEYS
    for key in ("poll", "relist", "timeout"):
        if getattr(settings, key) == 0:
            raise UsageError(f'[{name}] {key}: must be more than 0 (write "5s", or leave it out)')
    if not re.fullmatch(r"auto|v?\d+\.\d+", settings.api_version):
        raise UsageError(
            f'[{name}] api_version: {settings.api_version!r} is no version (write "auto" or "1.41")'
        )
    url, tls = settings.url, Tls()
    if not url:
        url, tls = _from_environment(os.environ)
    tls = Tls(settings.ca or tls.ca, settings.cert or tls.cert, settings.key or tls.key)
    try:
        return DockerSource(name, settings, read_address(url, tls))
    except UsageError as exc:
        origin = "" if settings.url else " (from DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH)"
        raise UsageError(f"[{name}] {exc}{origin}") from exc


def _from_environment(environ: Mapping[str, str]) -> tuple[str, Tls]:
    """Read what Docker's own command line reads."""
    url = environ.get("DOCKER_HOST") or DEFAULT_URL
    folder = environ.get("DOCKER_CERT_PATH") or ""
    if url.startswith("unix:") or not (folder or environ.get("DOCKER_TLS_VERIFY")):
        return url, Tls()
    path = Path(folder or "~/.docker").expanduser()
    return url, Tls(path / "ca.pem", path / "cert.pem", path / "key.pem")


class DockerSource:
    """The source; `watch` serves one connection at a time.

    Attributes:
        name: The name of its table.
        policy: Its settings.
    """

    def __init__(self, name: str, settings: Settings, address: Address) -> None:
        self.name = name
        self.policy = settings
        self._address = address
        version = settings.api_version
        self._api_version = version if version == "auto" else "v" + version.removeprefix("v")

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Connect, yield all containers at once, and again after every change.

        Raises:
            SourceError: The engine was lost, froze or answered nonsense.
            SourceDeniedError: It, a proxy before it, or its socket refuses us.
        """
        mirror = Mirror()
        while True:
            connection = connect(
                self._address, api_version=self._api_version, timeout_s=float(self.policy.timeout)
            )
            async with connection as engine, aclosing(self._follow(engine, mirror)) as listings:
                async for listing in listings:
                    yield listing

    async def _follow(self, engine: Engine, mirror: Mirror) -> AsyncGenerator[Listing, None]:
        """Yield listings until the event stream has been silent for so long that it is not to be trusted."""
        clock = asyncio.get_running_loop().time
        patience_s = math.inf
        if self.policy.poll is None:
            patience_s = _SILENT_RELISTS * float(self.policy.relist)
            # the stream comes before the first list, so that nothing falls between them
            await engine.listen(timeout_s=float(self.policy.timeout))
            mirror.look(clock())
        mirror.forget_question()
        heard = clock()
        while clock() < heard + patience_s:
            now = clock()
            if mirror.ask(now):
                engine.ask_list()
            for container in mirror.questions(now):
                engine.ask_stop(container)
            message = await engine.receive(until=min(mirror.wake(), heard + patience_s))
            now = clock()
            match message:
                case Event():
                    heard = now
                    mirror.hear(message, now)
                case Listed():
                    mirror.take(message.containers, now, relist_s=self._pause_s())
                case Learned():
                    mirror.learn(message.container, message.stop)
            if news := mirror.news(now):
                containers, urgent = news
                yield Listing(self.name, cluster=engine.id, containers=containers, urgent=urgent)

    def _pause_s(self) -> float:
        if self.policy.poll:
            return float(self.policy.poll)
        # apart from those of other watchers of the same engine
        return float(self.policy.relist) * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
