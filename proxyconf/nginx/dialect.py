"""All that a rendering depends on besides the snapshot."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.values import host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxyconf.nginx.build import Build
    from proxyconf.tables import Nginx
    from proxyconf.units import ListenAddress, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How to write for one nginx.

    Attributes:
        settings: The ``[nginx]`` table. An empty ``user`` leaves the choice to nginx's own default.
        build: What this nginx supports.
        folder: ``<state>/nginx``, absolute; the parts are in its folder ``parts``.
        token: 128 secret bits in hexadecimal digits: the proof answers under a name made of them.
        ipv6: ``:80`` listens on IPv6 too.
        root: nginx's master runs as root.
        present: Mode include: directives that the http block has already.
        default_servers: Mode include: addresses, as `canonical_listen` writes them, that have a
            ``default_server`` already.
        authorities: The file of the certificate authorities that the system trusts; None where it has none.
    """

    settings: Nginx
    build: Build
    folder: Path
    token: str
    ipv6: bool = False
    root: bool = False
    present: frozenset[str] = frozenset()
    default_servers: frozenset[str] = frozenset()
    authorities: Path | None = None

    @property
    def own(self) -> bool:
        """The main file is ours."""
        return self.settings.mode == "own"

    @property
    def root_file(self) -> Path:
        """The file that names the parts, and whose rename is the commit."""
        return self.folder / ("nginx.conf" if self.own else "http.conf")

    @property
    def parts_folder(self) -> Path:
        """Where the parts are."""
        return self.folder / "parts"

    @property
    def proof_name(self) -> str:
        """The host name under which nginx answers the nonce."""
        return f"{self.token}.proxyconf.invalid"

    @property
    def default_host(self) -> str:
        """The host whose routes are also those of unknown hosts; "" for none."""
        wanted = self.settings.default_host
        return host(wanted) if wanted else ""

    @property
    def trusted(self) -> tuple[Network, ...]:
        """Peers that are believed, sorted; nobody, if nginx can't tell the client behind one."""
        return tuple(sorted(set(self.settings.trusted_proxies))) if self.build.realip else ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where nginx listens for http, each once: nginx refuses an address that is listened on twice."""
        return self._canonical(self.settings.listen.http)

    @property
    def https_addresses(self) -> tuple[str, ...]:
        """Where nginx listens for https; nowhere if it can't, or has no certificates."""
        return () if self.no_https else self._canonical(self.settings.listen.https)

    @property
    def no_https(self) -> str:
        """Why there is no https, with the mend; "" if there is."""
        if self.settings.tls.certificates is None:
            return "there is no folder of certificates (set [nginx.tls] certificates)"
        if not self.build.ssl:
            return "this nginx is built without http_ssl_module (install one that has it)"
        if not self.build.rejects_handshakes:
            return "this nginx is too old for it (install 1.19.4 or newer)"
        return ""

    def _canonical(self, addresses: Sequence[ListenAddress]) -> tuple[str, ...]:
        wanted = {canonical_listen(address) for address in addresses}
        if self.ipv6:  # 0.0.0.0:80 is canonically 80, too, but whoever writes it wants IPv4 only
            wanted |= {f"[::]:{address.port}" for address in addresses if not address.host}
        return tuple(sorted(wanted))


def canonical_listen(text: str) -> str:
    """Write what ``listen`` takes in one way: ``80``, ``127.0.0.1:80``, ``[::]:80``.

    A host name and a unix socket are returned as they are.
    """
    found = re.fullmatch(r"(?:(\*|[\d.]*|\[[\da-fA-F:.]+\]):)?(\d+)|([\d.]+|\[[\da-fA-F:.]+\]|\*)", text)
    if not found:
        return text
    host, port = found[1] or found[3] or "", int(found[2] or 80)
    if host in ("", "*", "0.0.0.0"):  # noqa: S104 - read, not listened on
        return str(port)
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]:{port}" if host[0] == "[" else f"{host}:{port}"
    except ValueError:
        return text
