"""Open the nginx that the settings are about, wherever it runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from proxyconf.errors import UsageError
from proxyconf.nginx.certificates import NO_CERTIFICATES
from proxyconf.nginx.here import ask_build, open_nginx
from proxyconf.nginx.shared_pid import open_shared_pid

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.config import Settings
    from proxyconf.nginx.certificates import Certificates
    from proxyconf.nginx.here import Here
    from proxyconf.nginx.site import Renderer
    from proxyconf.tables import Nginx


async def reach_nginx(settings: Settings, path: Path, token: str, *, uid: int | None = None) -> Here:
    """Return it, with what belongs to it.

    Args:
        settings: The configuration.
        path: The folder that it reads from us.
        token: Makes the name under which it answers the proof.
        uid: The user that writes for it, and runs it where it is ours; None: as we are.

    Raises:
        CommandError: The program that checks can't be run, or their main file not be read.
        UsageError: It is no nginx, or what ``[docker]`` says is wrong.
    """
    nginx = settings.tables.nginx
    if nginx.via.container:
        # its library is loaded only where it is needed
        there = import_module("proxyconf.nginx.there")
        found: Here = await there.open_in_container(nginx, settings.sources, path, token)
    elif not nginx.via.is_local:
        found = await open_shared_pid(nginx, path, token, uid=uid)
    else:
        build = await ask_build(nginx.binary)
        found = await open_nginx(nginx, build, path, token, uid=uid)
    return await with_certificates(found, nginx)


async def with_certificates(here: Here, settings: Nginx) -> Here:
    """Return *here* with the certificates that its hosts may be served with.

    Raises:
        UsageError: The library that reads them is missing.
    """
    certificates = await asyncio.to_thread(open_certificates, settings.tls.certificates)

    def renderer() -> Renderer:
        made = here.renderer()
        made.certificates = certificates.found
        return made

    return replace(here, renderer=renderer, certificates=certificates)


def open_certificates(folder: Path | None) -> Certificates:
    """Return the certificates of *folder*, read; blocks.

    Raises:
        UsageError: The library that reads them is missing.
    """
    if folder is None:
        return NO_CERTIFICATES
    try:
        module = import_module("proxyconf.nginx.certificate_folder")
    except ImportError as exc:
        raise UsageError(
            "[nginx.tls] certificates: cryptography is missing (pip install 'proxyconf[tls]')"
        ) from exc
    found: Certificates = module.CertificateFolder(folder)
    found.refresh()
    return found
