"""The snapshots behind the golden files; ``python -m tests.golden.cases`` writes the files anew.

A golden file has all files of one site, each after a line ``==> name <==``. Review what changes in them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from proxyconf.model import Endpoint, Route, Snapshot
from proxyconf.nginx.additions import Additions, piece
from proxyconf.nginx.build import Build, parse_build
from proxyconf.nginx.certificates import Certificate, CertificateSet
from proxyconf.nginx.pages import by_status
from proxyconf.nginx.part import Part, make_part
from proxyconf.nginx.site import Dialect, Renderer
from proxyconf.options import HostOptions, LocationOptions, Options, Rate, ServiceOptions
from proxyconf.tables import Listen, Nginx, Tls
from proxyconf.units import ListenAddress, Network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.nginx.part import PartKind
    from proxyconf.nginx.site import Site

HERE = Path(__file__).parent
FOLDER = Path("/var/lib/proxyconf/nginx")
TOKEN = "0123456789abcdef" * 2
NONCE = "nonce-1"


def build(name: str) -> Build:
    """Return what *name* in this folder prints for ``nginx -V``."""
    return parse_build((HERE / f"{name}.txt").read_text())


def route(
    host: str, path: str, service: str, asked: ServiceOptions | None = None, **options: object
) -> Route:
    """Return a route; its claim is its identity. *options* are those of its location."""
    found = Route(host, path, service, key=host + path, where=f"etcd routes/{host}", source="etcd")
    if not (asked or options):
        return found
    location = replace(LocationOptions(), **options)  # type: ignore[arg-type]
    return replace(found, options=Options(location, asked or ServiceOptions()))


def snapshot(*routes: Route, **endpoints: str | tuple[Endpoint, ...]) -> Snapshot:
    """Return a snapshot of *routes*, with what they ask for each service; an address is one endpoint."""
    services = {
        name: (Endpoint(found),) if isinstance(found, str) else found for name, found in endpoints.items()
    }
    options = {one.service: one.options.service for one in routes if one.options.service != ServiceOptions()}
    hosts = {one.host: one.options.host for one in routes if one.options.host != HostOptions()}
    return Snapshot(tuple(sorted(routes, key=lambda one: one.claim)), services, options, hosts)


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


_BACKED = (Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80", weight=2), Endpoint("10.0.0.3:80", backup=True))
LOCATIONS = snapshot(
    route("a.test", "/", "web", body_size=0, buffering=False, request_buffering=False),
    route("a.test", "/api", "web", replace="/", read_timeout=90.0, send_timeout=0.5),
    route("a.test", "/deep/er", "web", replace="/new"),
    route("a.test", "/inside", "web", allow=("10.0.0.0/8", "fd00::/8"), deny=("10.9.0.0/16",)),
    route("a.test", "/not-you", "web", deny=("192.0.2.7",)),
    route("a.test", "/often", "web", rate=Rate(per_minute=600)),
    route("a.test", "/seldom", "web", rate=Rate(per_minute=6, burst=5), body_size=10_000_000),
    route("a.test", "/secret", "web", users=(("ann", "$2y$05$" + "a" * 53), ("bob", "{SHA}" + "b" * 28))),
    route(
        "headers.test",
        "/",
        "web",
        request_headers=(("host", "in.test"), ("X-Price", "5 $"), ("X-Real-IP", ""), ("Connection", "x")),
        response_headers=(("X-Frame-Options", "DENY"), ("X-Quoted", 'a "b"; c')),
    ),
    route("off.test", "/", "web", maintenance=True, users=(("ann", "{SHA}" + "b" * 28),)),
    route("old.test", "/", "gone", redirect="https://new.test:8443", redirect_status=308),
    web="10.0.0.1:80",
    gone=(),
)
SERVICES = snapshot(
    route("a.test", "/client", "client", ServiceOptions(balance="hash:client", keepalive=0)),
    route("a.test", "/cookie", "cookie", ServiceOptions(balance="hash:cookie:id")),
    route("a.test", "/header", "header", ServiceOptions(balance="hash:header:X-User")),
    route("a.test", "/ip", "ip", ServiceOptions(balance="ip_hash", max_fails=0)),
    route("a.test", "/least", "least", ServiceOptions(balance="least_conn", max_fails=2, fail_timeout=1.5)),
    route("a.test", "/uri", "uri", ServiceOptions(balance="hash:uri", keepalive=8)),
    route("grpc.test", "/", "grpc", ServiceOptions("grpc")),
    route("php.test", "/", "php", ServiceOptions("fastcgi", root="/var/www/html/"), body_size=1 << 20),
    route("php.test", "/app", "php", ServiceOptions("fastcgi", root="/var/www/html/"), replace="/"),
    route("tls.test", "/", "tls", ServiceOptions("https")),
    route("tls.test", "/both", "tls"),
    route("tls.test", "/known", "known", ServiceOptions("https", verify=True, name="in.test"), replace="/"),
    route("wsgi.test", "/", "wsgi", ServiceOptions("uwsgi"), request_headers=(("X-User", "$me"),)),
    client=_BACKED,
    cookie=_BACKED[:2],
    grpc="10.0.0.5:50051",
    header=_BACKED,
    ip=_BACKED,
    known="10.0.0.4:443",
    least=_BACKED,
    php="10.0.0.6:9000",
    tls="10.0.0.4:443",
    uri=_BACKED[2:],
    wsgi="10.0.0.7:3031",
)
# what Debian's nginx is not built without, so that it takes what is left
BARE = frozenset(
    f"http_{name}_module"
    for name in (
        "access",
        "auth_basic",
        "fastcgi",
        "limit_req",
        "upstream_hash",
        "upstream_ip_hash",
        "upstream_least_conn",
        "uwsgi",
    )
)


def on_https(host: str, **asked: object) -> Route:
    """Return a route to the service web whose host asks for what is *asked*."""
    options = replace(HostOptions(), **asked)  # type: ignore[arg-type]
    return replace(route(host, "/", "web"), options=Options(host=options))


HTTPS = snapshot(
    on_https("a.test"),
    replace(
        route("a.test", "/quiet", "web", response_headers=(("X-Robots-Tag", "none"),), maintenance=True),
        options=Options(LocationOptions(maintenance=True), host=HostOptions()),
    ),
    on_https("both.a.test", https="both", hsts="max-age=1", http2=False),
    on_https("closed.test", verify_client="on", certificate="other"),
    on_https("default.test", https="redirect", missing="default", server_tokens=True),
    on_https("known.a.test", https="only", verify_client="optional"),
    on_https("none.test", https="only"),
    on_https("off.a.test", https="off"),
    on_https("plain.test"),
    on_https("posts.a.test", other_redirect_status=308, certificate="unheard-of"),
    route("a.test", "/.well-known/acme-challenge", "web"),
    route("grpc.a.test", "/", "grpc", ServiceOptions("grpc"), read_timeout=9.0, buffering=False),
    route("grpcs.a.test", "/", "grpcs", ServiceOptions("grpcs", verify=True, name="in.test"), replace="/v1"),
    route("grpcs.a.test", "/x", "grpcs", request_headers=(("X-User", "me"),)),
    grpc="10.0.0.5:50051",
    grpcs="10.0.0.6:50051",
    web="10.0.0.1:80",
)


def certificates() -> CertificateSet:
    """Return a certificate for a.test and all below it, others without its names, and an authority."""
    pem = (HERE / "a.test.pem").read_bytes()

    def part(kind: PartKind, name: str) -> Part:
        return make_part(kind, name, pem)

    names = {"a.test": ("*.a.test", "a.test"), "default": (), "other": ("other.test",)}
    found = [
        Certificate(name, f"/certs/{name}.crt", of, 0.0, 1e11, part("certificate", name))
        for name, of in names.items()
    ]
    return CertificateSet(found, {"a.test": part("authority", "a.test")})


def additions(of: Dialect) -> Additions:
    """Return pieces for a.test and for all hosts, and error pages."""

    def copy(name: str, text: str) -> Part:
        return piece(f"{of.folder}/{name}", text.encode())

    pages = {name: f"<h1>{name}</h1>\n".encode() for name in ("404.html", "50x.html", "503.html")}
    return Additions(
        servers={"a.test.conf": copy("host.d/a.test.conf", "location /own {\n    return 204;\n}\n")},
        locations={
            "_.b.test.conf": copy("location.d/_.b.test.conf", "proxy_read_timeout 5m;\n"),
            "default.conf": copy("location.d/default.conf", "client_body_timeout 2m;\n"),
        },
        pages=by_status(make_part("page", name, text) for name, text in pages.items()),
    )


def _added(of: Dialect, snapshot: Snapshot = TWO_SERVICES) -> Site:
    renderer = Renderer(of)
    renderer.certificates = certificates()
    return renderer.render(snapshot, additions=additions(of))


def _secured(of: Dialect) -> Site:
    renderer = Renderer(of)
    renderer.certificates = certificates()
    return renderer.render(HTTPS)


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
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    https = Listen(http=(ListenAddress("127.0.0.1:8080"),), https=(ListenAddress("127.0.0.1:8443"),))
    tls = Tls(certificates=Path("/certs"), hsts="max-age=31536000; preload", challenge="/var/acme")
    bothers = Tls(certificates=Path("/certs"), policy="modern", challenge="http://127.0.0.1:8402")
    own = replace(dialect(listen=https, tls=tls), authorities=authorities)
    included = replace(
        include, settings=Nginx(mode="include", listen=https, tls=bothers), build=build("nginx_org")
    )
    log = f"{FOLDER}/access.log"
    added = dialect(default_host="a.test", access_log=log, access_log_format="json", trusted_proxies=proxies)
    added_include = replace(
        include, settings=msgspec.structs.replace(include.settings, default_host="a.test")
    )
    bare_build = replace(build("debian"), ssl=False, realip=False, without=BARE)
    bare = dialect(nginx=bare_build, keepalive=0, trusted_proxies=proxies)
    return {
        "empty": Renderer(dialect()).render(Snapshot()),
        "own": Renderer(dialect()).render(TWO_SERVICES),
        "include": Renderer(include).render(TWO_SERVICES),
        "ipv6_trusted": Renderer(with_ipv6(ipv6)).render(_IPV6),
        "locations": Renderer(dialect()).render(LOCATIONS),
        "additions": _added(added),
        "additions_https": _added(own, HTTPS),
        "additions_include": _added(added_include),
        "https": _secured(own),
        "https_include": _secured(replace(included, default_servers=frozenset({"127.0.0.1:8443"}))),
        "https_missing": _secured(replace(own, build=replace(own.build, ssl=False))),
        "services": Renderer(replace(dialect(), authorities=authorities)).render(SERVICES),
        "bare_locations": Renderer(bare).render(LOCATIONS),
        "bare_services": Renderer(bare).render(SERVICES),
    }


def with_ipv6(of: Dialect) -> Dialect:
    """Return *of* on a host that has IPv6."""
    return Dialect(settings=of.settings, build=of.build, folder=of.folder, token=of.token, ipv6=True)


def golden_text(site: Site) -> str:
    """Return all files of *site* as one text, and its problems."""
    files = {site.dialect.root_file.name: site.root(NONCE)}
    files |= {f"parts/{part.file}": part.text for part in site.parts}
    if site.problems:
        files["problems"] = "".join(f"{problem}\n" for problem in site.problems).encode()
    return "".join(f"==> {name} <==\n{text.decode()}" for name, text in files.items())


def write_golden(text: str, folder: Path) -> None:
    """Write the files of a golden file to *folder*, as they would be there."""
    for name in ("parts", "main.d", "http.d", "host.d", "location.d", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pieces = re.split(r"(?m)^==> (\S+) <==\n", text)[1:]
    for name, content in zip(pieces[::2], pieces[1::2], strict=True):
        (folder / name).write_text(content.replace(str(FOLDER), str(folder)))


def write_site(site: Site, nonce: str = NONCE) -> Path:
    """Write *site* to its folder; return the root file."""
    folder = site.dialect.folder
    for name in ("parts", "main.d", "http.d", "host.d", "location.d", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for part in site.parts:
        (folder / "parts" / part.file).write_bytes(part.text)
    site.dialect.root_file.write_bytes(site.root(nonce))
    return site.dialect.root_file


CASES = _cases()

if __name__ == "__main__":
    for name, site in CASES.items():
        (HERE / f"{name}.golden").write_text(golden_text(site))
