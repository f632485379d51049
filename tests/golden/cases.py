"""The snapshots behind the golden files; ``python -m tests.golden.cases`` writes the files anew.

A golden file has all files of one site, each after a line ``==> name <==``. Review what changes in them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from proxyconf.model import Endpoint, Route, Snapshot
from proxyconf.nginx.build import Build, parse_build
from proxyconf.nginx.site import Dialect, Renderer
from proxyconf.tables import Listen, Nginx
from proxyconf.units import ListenAddress, Network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.nginx.site import Site

HERE = Path(__file__).parent
FOLDER = Path("/var/lib/proxyconf/nginx")
TOKEN = "0123456789abcdef" * 2
NONCE = "nonce-1"


def build(name: str) -> Build:
    """Return what *name* in this folder prints for ``nginx -V``."""
    return parse_build((HERE / f"{name}.txt").read_text())


def route(host: str, path: str, service: str) -> Route:
    """Return a route; its claim is its identity."""
    return Route(host, path, service, key=host + path, where=f"etcd routes/{host}", source="etcd")


def dialect(folder: Path = FOLDER, *, nginx: Build | None = None, **settings: object) -> Dialect:
    """Return how to write for Debian's nginx; *settings* are those of ``[nginx]``."""
    usual = Nginx(listen=Listen(http=(ListenAddress("127.0.0.1:8080"),)))
    return Dialect(
        settings=msgspec.structs.replace(usual, **settings),
        build=nginx or build("debian"),
        folder=folder,
        token=TOKEN,
    )


TWO_SERVICES = Snapshot(
    routes=(
        route("*.b.test", "/", "api"),
        route("a.test", "/", "web"),
        route("a.test", "/api", "api"),
        route("b.test", "/only", "gone"),
    ),
    services={
        "api": (Endpoint("10.0.0.1:80"),),
        "gone": (),
        "web": (
            Endpoint("10.0.0.2:8080", weight=3),
            Endpoint("10.0.0.3:8080"),
            Endpoint("10.0.0.4:8080", backup=True),
        ),
    },
)
_IPV6 = Snapshot(
    routes=(route("a.test", "/", "web"),),
    services={"web": (Endpoint("[fd00::1]:80", weight=2, backup=True),)},
)


def _cases() -> Mapping[str, Site]:
    every = Listen(http=(ListenAddress(":8080"), ListenAddress("[::1]:8081")), reuseport=True)
    proxies = (Network.parse("10.0.0.0/8"), Network.parse("fd00::/8"))
    ipv6 = dialect(
        nginx=build("nginx_org"),
        listen=every,
        trusted_proxies=proxies,
        keepalive=0,
        default_status=444,
        worker_processes=2,
        access_log=f"{FOLDER}/access.log",
    )
    include = Dialect(
        settings=Nginx(
            mode="include", listen=Listen(http=(ListenAddress("127.0.0.1:8080"), ListenAddress(":8081")))
        ),
        build=build("debian"),
        folder=FOLDER,
        token=TOKEN,
        present=frozenset({"server_names_hash_bucket_size"}),
        default_servers=frozenset({"8081"}),
    )
    return {
        "empty": Renderer(dialect()).render(Snapshot()),
        "own": Renderer(dialect()).render(TWO_SERVICES),
        "include": Renderer(include).render(TWO_SERVICES),
        "ipv6_trusted": Renderer(with_ipv6(ipv6)).render(_IPV6),
    }


def with_ipv6(of: Dialect) -> Dialect:
    """Return *of* on a host that has IPv6."""
    return Dialect(settings=of.settings, build=of.build, folder=of.folder, token=of.token, ipv6=True)


def golden_text(site: Site) -> str:
    """Return all files of *site* as one text."""
    files = {site.dialect.root_file.name: site.root(NONCE)}
    files |= {f"parts/{part.file}": part.text for part in site.parts}
    return "".join(f"==> {name} <==\n{text.decode()}" for name, text in files.items())


def write_golden(text: str, folder: Path) -> None:
    """Write the files of a golden file to *folder*, as they would be there."""
    for name in ("parts", "main.d", "http.d", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pieces = re.split(r"(?m)^==> (\S+) <==\n", text)[1:]
    for name, content in zip(pieces[::2], pieces[1::2], strict=True):
        (folder / name).write_text(content.replace(str(FOLDER), str(folder)))


def write_site(site: Site, nonce: str = NONCE) -> Path:
    """Write *site* to its folder; return the root file."""
    folder = site.dialect.folder
    for name in ("parts", "main.d", "http.d", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for part in site.parts:
        (folder / "parts" / part.file).write_bytes(part.text)
    site.dialect.root_file.write_bytes(site.root(nonce))
    return site.dialect.root_file


CASES = _cases()

if __name__ == "__main__":
    for name, site in CASES.items():
        (HERE / f"{name}.golden").write_text(golden_text(site))
