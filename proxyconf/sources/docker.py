"""The containers of a Docker engine (or podman's service), followed by its events and listed again on each.

    [docker]
    url = "unix:///var/run/docker.sock"

Health, names, networks and states come from one list of all containers, variables from one inspect of each;
only a death and a stop signal are taken from the events themselves (see `_docker_events`).
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError, UsageError
from proxyconf.host_rule import check_rule
from proxyconf.model import Listing, Problem
from proxyconf.sources._docker_connect import DEFAULT_URL, Address, read_address
from proxyconf.sources._docker_engine import Engine, Learned, Listed, connect
from proxyconf.sources._docker_events import Mirror
from proxyconf.sources._docker_place import (
    Mode,
    find_nginx,
    find_own,
    find_reach,
    host_of,
    is_live,
    joined,
    read_own_ids,
)
from proxyconf.sources._docker_reading import Event
from proxyconf.sources._docker_selector import Selector, read_selector
from proxyconf.sources._tls import Tls
from proxyconf.tables import Share, SourcePolicy
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from proxyconf.model import Container

# a stream that says nothing for so many periods may be dead without a sign of it, so another one is opened
_SILENT_RELISTS = 5
_JITTER = 0.2
_DENIED = "no variables of containers are read, as a proxy before the engine refuses to inspect"
_MEND = "let it pass GET /containers/*/json, or set env = false"
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
        filter: Which containers count at all, by their labels, in the syntax of Kubernetes' selectors:
            ``env=prod, !internal, tier in (web, api)``. The others are as if they were not there.
        host_rule: Gives those a host that name none, neither by a label nor by a variable:
            ``{container}.example.com``, or with ``{service}`` and ``{project}`` of Docker Compose. "" for
            none.
        env: Whether to read those variables of containers that say how to route (VIRTUAL_HOST and its like),
            for which each is inspected once.
        network: The network in which nginx gets to containers, as ``docker network ls`` prints it. Default:
            those of the container that nginx is in; on the engine's host, every one.
        address: ``container``: their own addresses; ``published``: those of the host at which they publish
            their ports; ``auto``: the latter where not even the host gets to their networks (Docker Desktop,
            a rootless engine) and nginx is in none of its containers.
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
    filter: str = ""
    host_rule: str = ""
    env: bool = True
    network: str = ""
    address: Mode = "auto"
    poll: Seconds | None = None
    relist: Seconds = Seconds(60)
    timeout: Seconds = Seconds(10)


def open_source(name: str, settings: Settings, nginx: str = "") -> DockerSource:
    """Make the source of the table *name*; *nginx* is as in `DockerSource`.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    for key in ("poll", "relist", "timeout"):
        if getattr(settings, key) == 0:
            raise UsageError(f'[{name}] {key}: must be more than 0 (write "5s", or leave it out)')
    if not re.fullmatch(r"auto|v?\d+\.\d+", settings.api_version):
        raise UsageError(
            f'[{name}] api_version: {settings.api_version!r} is no version (write "auto" or "1.41")'
        )
    try:
        selector = read_selector(settings.filter)
    except BadValueError as exc:
        raise UsageError(f"[{name}] filter: {exc}") from exc
    try:
        if settings.host_rule:
            check_rule(settings.host_rule)
    except BadValueError as exc:
        raise UsageError(f"[{name}] host_rule: {exc}") from exc
    return DockerSource(name, settings, address_of(name, settings), selector, nginx)


def address_of(name: str, settings: Settings) -> Address:
    """Return where the engine of the table *name* is.

    Raises:
        UsageError: A value is wrong; names the table and the key.
    """
    url, tls = settings.url, Tls()
    if not url:
        url, tls = _from_environment(os.environ)
    tls = Tls(settings.ca or tls.ca, settings.cert or tls.cert, settings.key or tls.key)
    try:
        return read_address(url, tls)
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
        nginx: The container of this engine that nginx is in, or the service that it is of in our own Compose
            project; "" where that is our own, if any.
    """

    def __init__(
        self, name: str, settings: Settings, address: Address, selector: Selector, nginx: str
    ) -> None:
        self.name = name
        self.policy = settings
        self.nginx = nginx
        self._last_proxy: Container | None = None
        self._address = address
        self._selector = selector
        self._own = read_own_ids()
        version = settings.api_version
        self._api_version = version if version == "auto" else "v" + version.removeprefix("v")

    async def watch(self) -> AsyncGenerator[Listing, None]:
        """Connect, yield all containers at once, and again after every change.

        Raises:
            SourceError: The engine was lost, froze or answered nonsense.
            SourceDeniedError: It, a proxy before it, or its socket refuses us.
        """
        mirror = Mirror(env=self.policy.env)
        said: Listing | None = None
        while True:
            connection = connect(
                self._address, api_version=self._api_version, timeout_s=float(self.policy.timeout)
            )
            async with connection as engine, aclosing(self._follow(engine, mirror)) as listings:
                async for listing in listings:
                    # what happens to containers that the filter leaves out is no news
                    if (content := replace(listing, urgent=False)) != said:
                        said = content
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
                engine.ask_details(container)
            message = await engine.receive(until=min(mirror.wake(), heard + patience_s))
            now = clock()
            match message:
                case Event():
                    heard = now
                    mirror.hear(message, now)
                case Listed():
                    mirror.take(message.containers, now, relist_s=self._pause_s())
                case Learned():
                    mirror.learn(message.container, message.details)
            if news := mirror.news(now):
                containers, urgent = news
                yield self._listing(engine, containers, mirror, urgent=urgent)

    def _listing(
        self, engine: Engine, containers: tuple[Container, ...], mirror: Mirror, *, urgent: bool
    ) -> Listing:
        policy = self.policy
        everything = joined(containers)
        chosen = self._chosen(everything)
        ours = find_own(everything, self._own)
        proxy = self._proxy(everything, ours)
        names = {container.name for container in chosen}
        problems = [
            Problem("container", name, f"its variables are not known: the engine answers {reason}")
            for name, reason in mirror.refused().items()
            if name in names
        ]
        if engine.denied and policy.env:
            problems.append(Problem("source", self.name, f"{_DENIED}: {engine.denied} ({_MEND})"))
        return Listing(
            self.name,
            cluster=engine.id,
            containers=chosen,
            removed=self._chosen(mirror.removed()),
            reach=find_reach(
                proxy,
                host=host_of(self._address),
                secluded=engine.secluded,
                network=policy.network,
                mode=policy.address,
            ),
            host_rule=policy.host_rule,
            proxies=tuple(sorted({one.id for one in (ours, proxy) if one})),
            problems=tuple(problems),
            urgent=urgent,
        )

    def _proxy(self, containers: tuple[Container, ...], ours: Container | None) -> Container | None:
        """Return the container whose networks count.

        Of nginx's, the last one that there was: it is most likely replaced. While it does not run, its
        gateways are not listed, and are as they were.
        """
        found = find_nginx(containers, self.nginx, ours) if self.nginx else ours
        last = self._last_proxy
        if found and (not last or is_live(found) or found.attached.keys() != last.attached.keys()):
            self._last_proxy = last = found
        return last or ours

    def _chosen(self, containers: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(one for one in containers if self._selector.selects(one.labels))

    def _pause_s(self) -> float:
        if self.policy.poll:
            return float(self.policy.poll)
        # apart from those of other watchers of the same engine
        return float(self.policy.relist) * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
