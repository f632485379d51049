"""A proxyconf with a configuration file of its own: a site, and templates beside it, on an etcd."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from tests.live.running import Keys, Running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.etcd_server import EtcdServer

# by the name of a host, what a template adds to the site
EXTRA = """\
server {{
    listen 127.0.0.1:{{{{ getv("/extra/port", "{port}") }}}};
    server_name extra.test;
    return {{{{ getv("/extra/status") }}}};
}}
"""


class Site:
    """A proxyconf with a configuration file, on an etcd.

    Attributes:
        proxy: The program, its nginx and backends.
        keys: Of routes and services.
        config: The file.
    """

    def __init__(self, folder: Path, etcd: EtcdServer, *flags: str) -> None:
        self.folder = folder
        self.config = folder / "proxyconf.toml"
        self.keys = Keys(etcd, "/site")
        self.proxy = Running("-c", str(self.config), *flags)
        (folder / "templates").mkdir()
        self.dest = self.proxy.root.parent / "http.d" / "extra.conf"
        self.template("extra", EXTRA.format(port=self.proxy.port))

    def template(self, name: str, text: str) -> None:
        (self.folder / "templates" / name).write_text(text)

    def resource(self, name: str = "extra", **keys: object) -> dict[str, object]:
        """Return a resource: by default one whose file is the site's nginx's."""
        usual = {"src": name, "dest": str(self.dest), "keys": ["/extra"]}
        return usual | {"check_cmd": f"nginx -t -c {self.proxy.root}"} | keys

    def configure(self, *resources: dict[str, object], more: str = "") -> None:
        """Write the configuration file."""
        tables = [
            f'[confd]\ndir = "{self.folder}"\n',
            f'[etcd]\nendpoints = ["{self.keys.etcd.url}"]\nprefix = "{self.keys.prefix}"\n',
            more,
        ]
        for resource in resources:
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in resource.items()]
            tables.append("".join(["[[template]]\n", *lines]))
        self.config.write_text("\n".join(tables))

    def until_template(self, state: str, dest: Path | None = None) -> str:
        """Wait until a template is in *state*; return the reason."""
        name = str(dest or self.dest)
        status = self.proxy.until_status(
            lambda status: any((one.dest, one.state) == (name, state) for one in status.templates), state
        )
        return next(one.reason for one in status.templates if one.dest == name)

    def hang_up(self, event: str = "configuration.read_again") -> None:
        """Let the configuration be read again, and wait until it was."""
        count = len(self.proxy.events(event)) + 1
        self.proxy.signal(signal.SIGHUP)
        self.proxy.until_event(event, count=count)
