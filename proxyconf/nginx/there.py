"""An nginx in another container: how to write for it, how to reach it, how it proves itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from proxyconf.config import SourceTable, convert
from proxyconf.errors import CommandError, UncheckedError
from proxyconf.nginx.build import Build
from proxyconf.nginx.dialect import Dialect
from proxyconf.nginx.engine_api import EngineApi
from proxyconf.nginx.folder import Folder
from proxyconf.nginx.here import AUTHORITIES, Elsewhere, Here, has_ipv6
from proxyconf.nginx.in_container import ContainerProber, Finder, InContainer
from proxyconf.nginx.own_program import OwnProgram
from proxyconf.nginx.site import Renderer
from proxyconf.sources import docker, engine_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxyconf.tables import Nginx

_ANY = Build(version=(2,), ssl=True)


async def open_in_container(settings: Nginx, sources: Sequence[SourceTable], path: Path, token: str) -> Here:
    """Return the nginx that *settings* are about.

    Args:
        settings: The ``[nginx]`` table.
        sources: The engine is that of the first ``[docker]`` table, or else the one without any.
        path: The folder that it reads from us, ``<state>/nginx``, which is at the same path there.
        token: Makes the name under which it answers the proof.

    Raises:
        UsageError: What ``[nginx]`` or ``[docker]`` says is wrong.
    """
    dialect = Dialect(
        settings=settings,  # without a user, nginx's own default is right in every image
        build=Build(),
        folder=path,
        token=token,
        ipv6=has_ipv6(),
        authorities=AUTHORITIES[0],  # of the images of Debian and Alpine; nginx's check tells of any other
    )
    Renderer(replace(dialect, build=_ANY, root=True))  # so that a mistake in the settings is said at once
    api = _engine(sources)
    control = InContainer(
        api,
        Finder(api, settings.via.container),
        listen=settings.listen.http[0],
        binary=settings.binary,
        error_log=path / "error.log",
        own=OwnProgram(settings.binary),
    )
    with suppress(CommandError, UncheckedError):  # it is asked again before anything is written
        await control.meet()
    prober = ContainerProber(control, dialect.proof_name)
    folder = Folder(path, dialect.root_file.name, error_pages=settings.error_pages)
    name = settings.via.container  # a container's or a service's, and neither need be there
    start = f"docker start {name}, or docker compose up -d {name} where there is no such container"
    return Here(control, folder, prober, Elsewhere(dialect, control).renderer, start)


def _engine(sources: Sequence[SourceTable]) -> EngineApi:
    table = engine_of(sources) or SourceTable("docker", "docker", {}, "[docker]")
    settings = convert(table.values, docker.Settings, table.place)
    version = settings.api_version
    return EngineApi(
        docker.address_of(table.name, settings),
        version=version if version == "auto" else "v" + version.removeprefix("v"),
        timeout_s=float(settings.timeout),
    )
