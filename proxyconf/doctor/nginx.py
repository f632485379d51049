"""nginx: which it is, what it can do, whether it includes us, and whether it can be told and asked."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.app import state_path
from proxyconf.doctor.finding import Check, Finding, Findings, of_message, ok, warning, wrong
from proxyconf.doctor.limits import open_files
from proxyconf.doctor.listening import listening
from proxyconf.errors import CommandError, UncheckedError
from proxyconf.nginx.client import unknown_client
from proxyconf.nginx.control import CHECK_TIMEOUT_S
from proxyconf.nginx.dialect import Dialect
from proxyconf.nginx.holders import listened_on
from proxyconf.nginx.reach import reach_nginx
from proxyconf.nginx.shared_pid import Master
from proxyconf.nginx.surroundings import read_surroundings
from proxyconf.preview import check_site
from proxyconf.state import State

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from proxyconf.config import Settings
    from proxyconf.nginx.build import Build
    from proxyconf.nginx.here import Here
    from proxyconf.tables import Nginx

_WHAT = "nginx"
_NEEDED = ("http_rewrite_module", "http_proxy_module", "http_map_module", "http_geo_module")
_FOR_OPTIONS = {
    "http_access_module": "allow and deny",
    "http_auth_basic_module": "auth",
    "http_limit_req_module": "rate",
    "http_fastcgi_module": "proto fastcgi",
    "http_uwsgi_module": "proto uwsgi",
    "http_grpc_module": "proto grpc",
    "http_upstream_hash_module": "balance hash",
    "http_upstream_ip_hash_module": "balance ip_hash",
    "http_upstream_least_conn_module": "balance least_conn",
}


async def nginx_checks(settings: Settings) -> Sequence[Check]:
    """Return what there is to look at; nothing where there is no site.

    Raises:
        ProxyconfError: There is no nginx to look at.
    """
    nginx = settings.tables.nginx
    if nginx.mode == "none":
        return ()
    state = State(state_path(settings))
    token = await asyncio.to_thread(state.known_token)
    here = await reach_nginx(settings, state.nginx, token or "0" * 32, uid=state.user())
    if nginx.via.container:
        proof = Check(_WHAT, lambda: _proof(here, state if token else None))
        return (Check(_WHAT, lambda: _in_container(here, nginx)), proof)
    pid = pid_of(await here.control.master())
    return (
        Check(_WHAT, lambda: _program(here, nginx)),
        Check(_WHAT, lambda: _running(here, pid)),
        Check(_WHAT, lambda: _problems(here)),
        Check(_WHAT, lambda: _proof(here, state if token and pid else None)),
        Check("site", lambda: _site(settings, here), timeout_s=CHECK_TIMEOUT_S + 1),
        Check("listen", lambda: listening(listened_on(nginx), pid)),
        *((Check("files", lambda: open_files(nginx, pid)),) if nginx.mode == "own" else ()),
    )


def pid_of(master: Hashable | None) -> int | None:
    """Return the process id of a *master* whose processes we see."""
    if isinstance(master, Master):
        return master.pid
    return master if isinstance(master, int) else None


async def _program(here: Here, nginx: Nginx) -> Findings:
    """Yield which nginx it is, and what it lacks."""
    if build := here.control.build:
        yield ok(_WHAT, f"{named(build)}, {shutil.which(nginx.binary) or nginx.binary}")
        for lack in lacks(build, nginx):
            yield lack


def named(build: Build) -> str:
    """Return a build in words."""
    version = ".".join(map(str, build.version)) or "(an unknown version)"
    able = [word for word, there in (("TLS", build.ssl), ("HTTP/2", build.http2)) if there]
    return f"{build.flavour} {version} with {' and '.join(able) or 'neither TLS nor HTTP/2'}"


def lacks(build: Build, nginx: Nginx) -> Iterator[Finding]:
    """Yield what *build* can't do, of what *nginx* asks for and routes may ask for."""
    mend = "install one that has it"
    needed = (*_NEEDED, *(("http_upstream_keepalive_module",) if nginx.keepalive else ()))
    for module in sorted(build.without.intersection(needed)):
        yield wrong(_WHAT, f"it is built without {module}", mend)
    dialect = Dialect(settings=nginx, build=build, folder=Path(), token="")
    if nginx.tls.certificates:
        if why := dialect.no_https:
            yield of_message("wrong", _WHAT, f"https: {why}")
        elif nginx.tls.http2 and not build.http2:
            says = "it is built without http_v2_module, so https speaks HTTP/1.1 alone"
            yield warning(_WHAT, says, f"{mend}, or set [nginx.tls] http2 = false")
    if why := unknown_client(dialect):
        yield of_message("wrong", _WHAT, why)
    for module in sorted(build.without.intersection(_FOR_OPTIONS)):
        says = f"it is built without {module}, so that no route may have {_FOR_OPTIONS[module]}"
        yield warning(_WHAT, says, mend)


async def _running(here: Here, master: int | None) -> Findings:
    """Yield whether it runs, and whether we may tell it to reload."""
    for problem in await asyncio.to_thread(here.folder.obstacles):
        yield of_message("wrong", "state", f"{problem.where}: {problem.why}")
    if master is None:
        yield warning(_WHAT, f"none runs on {here.folder.root}", f"start it: {here.start}")
        return
    try:
        os.kill(master, 0)
    except PermissionError:
        says = f"its master, pid {master}, may not be signalled by us, so that it can't be reloaded"
        yield wrong(_WHAT, says, "run as root, or as the user that nginx runs as")
    except ProcessLookupError:
        yield warning(_WHAT, f"its master, pid {master}, has just ended", f"start it: {here.start}")
    else:
        yield ok(_WHAT, f"its master, pid {master}, runs, and may be told to reload")


async def _proof(here: Here, state: State | None) -> Findings:
    """Yield whether it answers with what was applied last; *state* is None where that can't be known."""
    applied = await asyncio.to_thread(state.load_applied) if state else None
    if applied is None:
        return
    answer = await here.prober.ask()
    if answer == applied.nonce:
        yield ok(_WHAT, "it serves what was applied last, and proves it")
    elif answer:
        yield warning(_WHAT, "it serves something else than what was applied last", "see proxyconf status")
    else:
        mend = "was nginx started on our file, and does the first [nginx.listen] address lead to it?"
        yield warning(_WHAT, "it does not prove what it serves", mend)


async def _site(settings: Settings, here: Here) -> Findings:
    """Yield whether nginx takes what we write, in the context of everything else it reads."""
    nginx = settings.tables.nginx
    if nginx.mode == "include":
        around = await asyncio.to_thread(read_surroundings, nginx.conf, here.folder.root)
        if not around.includes_us:
            line = f"include {here.folder.path}/http.con[f];"
            yield wrong("site", f"{nginx.conf} does not include us", f"add '{line}' to its http block")
            return
        yield ok("site", f"{nginx.conf} includes us")
        if not os.access(here.folder.path, os.F_OK):
            return  # as long as it is not there, no include leads into it
    found = await check_site(settings)
    for problem in found.problems:
        yield of_message("warning", "site", str(problem))
    yield ok("site", found.site)


async def _problems(here: Here) -> Findings:
    """Yield what keeps us from reaching it as we should."""
    for problem in here.control.problems:
        yield of_message("warning", _WHAT, f"{problem.where}: {problem.why}")


async def _in_container(here: Here, nginx: Nginx) -> Findings:
    """Yield what can be told of an nginx in another container without touching it."""
    try:
        await here.control.meet()
        runs = await here.control.master() is not None
    except (UncheckedError, CommandError) as exc:
        yield of_message("wrong", _WHAT, str(exc))
        return
    if build := here.control.build:
        yield ok(_WHAT, f"{named(build)}, for the container {nginx.via.container}")
        for lack in lacks(build, nginx):
            yield lack
    if runs:
        yield ok(_WHAT, "it runs")
    else:
        yield warning(_WHAT, "it does not run", f"start it: {here.start}")
    async for problem in _problems(here):
        yield problem
