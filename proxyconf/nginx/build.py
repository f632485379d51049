"""What an nginx is and supports, read from the text of ``nginx -V``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from proxyconf.errors import UsageError

_PREFIX = "/usr/local/nginx"  # nginx's own default, as the ones below
_TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Build:
    """An nginx, or one of its kin.

    OpenResty counts as the nginx it is built from, and so does an Angie that names one. freenginx counts up
    its own versions, and an old Angie names no nginx: neither gets a directive newer than the oldest we know.

    Attributes:
        flavour: ``nginx``, ``openresty``, ``freenginx``, ``angie``, ... in lower case.
        version: Of nginx; empty where it can't be told.
        prefix: The folder that relative paths start from.
        conf_path: The main file without ``-c``.
        pid_path: The pid file without a ``pid`` directive.
        error_log_path: The log until the configuration is read; ``stderr`` on Debian.
        user: Whom the workers of a root's nginx run as, without a ``user`` directive.
        without: Modules that were left out, such as ``http_scgi_module``.
        ssl: It speaks TLS.
        http2: It speaks HTTP/2, by TLS.
        realip: It can tell the client behind a proxy.
    """

    flavour: str = "nginx"
    version: tuple[int, ...] = ()
    prefix: Path = Path(_PREFIX)
    conf_path: Path = Path(_PREFIX, "conf/nginx.conf")
    pid_path: Path = Path(_PREFIX, "logs/nginx.pid")
    error_log_path: str = f"{_PREFIX}/logs/error.log"
    user: str = "nobody"
    without: frozenset[str] = frozenset()
    ssl: bool = False
    http2: bool = False
    realip: bool = False

    @property
    def temp_paths(self) -> tuple[str, ...]:
        """What has a ``_temp_path`` directive."""
        return tuple(name for name in _TEMP_PATHS if f"http_{name}_module" not in self.without)

    @property
    def rejects_handshakes(self) -> bool:
        """It can turn away who asks for no host of its (1.19.4); its kin are all younger than that."""
        return self.version >= (1, 19, 4) or not self.version

    @property
    def http2_by_host(self) -> bool:
        """HTTP/2 is a matter of the host (1.25.1), not of the address."""
        return self.version >= (1, 25, 1)

    @property
    def keepalive_min_timeout(self) -> bool:
        """It can wait for keep-alive clients at a reload (1.27.4), and then loses none of their requests."""
        return self.version >= (1, 27, 4)

    @property
    def keeps_by_itself(self) -> bool:
        """It keeps connections to services unless it is told not to (1.29.7)."""
        return self.version >= (1, 29, 7) and "http_upstream_keepalive_module" not in self.without


def parse_build(text: str, prefix: Path | None = None) -> Build:
    """Read what ``nginx -V`` prints, on stderr.

    Args:
        text: That.
        prefix: The folder that relative paths start from instead of the program's own.

    Raises:
        UsageError: It is the output of something else.
    """
    versions = {
        name.lower(): (flavour.lower(), version)
        for name, flavour, version in re.findall(r"(?m)^(\w+) version: (\w+)/([\d.]+)", text)
    }
    arguments = re.search(r"(?m)^configure arguments:(.*)$", text)
    if not versions or not arguments:
        raise UsageError("nginx -V: no version and arguments in its output (set binary in [nginx])")
    given = _options(arguments[1])
    prefix = prefix or Path(given.get("prefix") or _PREFIX)

    def path(option: str, default: str) -> str:
        value = given.get(option) or default
        return value if value == "stderr" else str(prefix / value)

    return Build(
        flavour=next(iter(versions.values()))[0],
        version=_nginx_version(versions),
        prefix=prefix,
        conf_path=Path(path("conf-path", "conf/nginx.conf")),
        pid_path=Path(path("pid-path", "logs/nginx.pid")),
        error_log_path=path("error-log-path", "logs/error.log"),
        user=given.get("user") or "nobody",
        without=frozenset(option.removeprefix("without-") for option in given if option[:8] == "without-"),
        ssl="with-http_ssl_module" in given,
        http2="with-http_v2_module" in given,
        realip="with-http_realip_module" in given,
    )


def _nginx_version(versions: dict[str, tuple[str, str]]) -> tuple[int, ...]:
    flavour, version = versions.get("nginx", ("", ""))
    if flavour not in ("nginx", "openresty"):
        return ()
    # OpenResty's fourth number is its own
    return tuple(int(number) for number in version.split(".") if number)[:3]


def _options(arguments: str) -> dict[str, str]:
    try:
        words = shlex.split(arguments)
    except ValueError:  # a compiler's flags with a stray quote; the options we look for have none
        words = arguments.split()
    pairs = (word[2:].partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in pairs}
