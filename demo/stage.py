"""All parts of the demo in one temporary folder; none of them is left at the end."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo.asking import Trickle, Visitor
from demo.backends import Backend
from demo.etcd import Etcd
from demo.nginx import Nginx
from demo.processes import free_port
from demo.program import Proxyconf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

HOST = "hello.localhost"  # browsers find every name below localhost on this host
SERVICE = "hello"
NAMES = "abcdef"
SPARE = "f"
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts.

    Attributes:
        backends: Name to backend.
    """

    etcd: Etcd
    nginx: Nginx
    proxyconf: Proxyconf
    backends: Mapping[str, Backend]
    visitor: Visitor
    trickle: Trickle

    @property
    def url(self) -> str:
        """What to type into a browser."""
        return f"http://{HOST}:{self.visitor.port}/"

    @property
    def names(self) -> dict[str, str]:
        """Address to the name of a backend."""
        return {backend.address: name for name, backend in self.backends.items()}

    def logs(self) -> dict[str, list[str]]:
        """Return the last lines of what each program said."""
        files = {"nginx": self.nginx.log, "etcd": self.etcd.log}
        journal = self.proxyconf.journal
        said = {"proxyconf, which has ended" if journal.closed else "proxyconf": journal.lines}
        for name, file in files.items():
            with suppress(OSError):  # none was written yet
                said[name] = file.read_text(errors="replace").splitlines()
        return {name: lines[-_LAST_LINES:] for name, lines in said.items() if lines}

    def lines_to_paste(self) -> tuple[tuple[str, str], ...]:
        """Return what a person can do now, and the line for it."""
        ctl = f"{_beside_python('etcdctl')} --endpoints=127.0.0.1:{self.etcd.port}"
        address = self.backends[SPARE].address
        status = f"{_beside_python('proxyconf')} status --state {self.proxyconf.state}"
        return (
            ("ask", f"curl -H 'Host: {HOST}' http://127.0.0.1:{self.visitor.port}/"),
            (f"add backend {SPARE}", f"{ctl} put {key_of(SPARE)} {address}"),
            (f"remove backend {SPARE}", f"{ctl} del {key_of(SPARE)}"),
            ("put a bad value", f"{ctl} put {key_of('x')} 'no address'"),
            ("see what proxyconf does", status),
        )


def key_of(backend: str) -> str:
    """Return the key in etcd that makes a backend part of the service."""
    return f"/proxyconf/services/{SERVICE}/{backend}"


@asynccontextmanager
async def set_up() -> AsyncIterator[Stage]:
    """Make the parts; the backends listen, the programs do not run yet. End and remove everything afterwards.

    Raises:
        DemoError: No free port; or at the end: something could not be ended.
    """
    async with AsyncExitStack() as stack:
        folder = _folder()
        stack.callback(shutil.rmtree, folder)
        backends = {name: await stack.enter_async_context(Backend(name)) for name in NAMES}
        etcd = Etcd(folder)
        stack.push_async_callback(etcd.stop)
        nginx = Nginx(folder / "state" / "nginx")
        stack.push_async_callback(nginx.stop)
        visitor = Visitor(free_port(), HOST)
        proxyconf = Proxyconf(folder, etcd_url=etcd.url, nginx_port=visitor.port)
        stack.push_async_callback(proxyconf.stop)
        trickle = Trickle(visitor)
        stack.callback(trickle.stop)
        yield Stage(etcd, nginx, proxyconf, backends, visitor, trickle)


def _folder() -> Path:
    """Make a new folder."""
    folder = Path(tempfile.mkdtemp(prefix="proxyconf-demo-"))
    folder.chmod(0o755)  # nginx's workers must get to their temporary files
    folder.chmod(0o755)  # root's nginx has workers of another user
    return folder


def _beside_python(name: str) -> Path | str:
    """Return the path of a program of this virtual environment."""
    path = Path(sys.executable).with_name(name)
    return path if path.exists() else name
