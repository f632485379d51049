"""Template resources as confd's users have them, for the program started by confd's command line."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING

from bench.product import Tree
from bench.site import PROBE, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.product import Job, Place
    from bench.site import Addresses

_NGINX_CONF = """\
pid {home}/nginx.pid;
error_log {notices} notice;
worker_processes 1;
events {{}}
http {{
    access_log off;
    server_names_hash_bucket_size 128;
    server {{
        listen 127.0.0.1:{port} reuseport;
        return 404;
    }}
    {include}
}}
"""
_UPSTREAM = """\
upstream {name} {{
{{% for server in gets("/{name}/*") %}}
    server {{{{ server.Value }}}};
{{% endfor %}}
}}
server {{
    listen 127.0.0.1:{port};
    server_name {name}.bench.test;
    location / {{ proxy_pass http://{name}; }}
}}
"""
_PROBE = """\
server {{
    listen 127.0.0.1:{port};
    server_name {probe};
    location / {{ proxy_pass http://{{{{ getv("/{name}/1") }}}}; }}
}}
"""


def template_site(*, resources: int, keys_of_each: int, addresses: Addresses) -> Site:
    """Return what the resources ``r0``, ``r1`` ... show; the first one's first key is the probe's, too."""
    found: dict[str, str] = {}
    hosts: dict[str, tuple[str, ...]] = {}
    for resource in range(resources):
        name = f"r{resource}"
        servers = {f"{name}/{number}": addresses.new() for number in range(1, keys_of_each + 1)}
        found |= servers
        hosts[f"{name}.bench.test"] = tuple(servers.values())
    return Site(found, hosts | {PROBE: (found["r0/1"],)}, "r0/1")


def templates(resources: int) -> Callable[[Place], Job]:
    """Return what makes the job of so many resources."""
    return partial(TemplateJob, resources=resources)


class TemplateJob:
    """Resources, each an upstream out of its own keys, which one nginx includes.

    Args:
        place: Where to work.
        resources: How many.
    """

    def __init__(self, place: Place, *, resources: int) -> None:
        self._home = place.folder / "nginx"
        self._place = place
        self._names = [f"r{number}" for number in range(resources)]
        self.main = self._home / "nginx.conf"

    def prepare(self) -> None:
        """Write nginx's main file, the resources and their templates."""
        confdir = self._place.folder / "confd"
        for folder in (self._home / "conf.d", confdir / "conf.d", confdir / "templates"):
            folder.mkdir(parents=True)
        self.main.write_text(self._main_file("include conf.d/*.conf;"))
        for name in self._names:
            text = _UPSTREAM + (_PROBE if name == "r0" else "")
            text = text.format(name=name, port=self._place.port, probe=PROBE)
            (confdir / "templates" / f"{name}.tmpl").write_text(text)
            (confdir / "conf.d" / f"{name}.toml").write_text(self._resource(name))

    def command(self, prefix: str) -> list[str]:
        """Return the arguments of ``confd``; with its debug messages, which say what was rendered."""
        place = self._place
        return [
            *("confd", "-watch", "-node", place.etcd, "-prefix", prefix, "-confdir", f"{place.folder}/confd"),
            *("-state", str(place.state), "-log-format", "json", "-log-level", "debug"),
        ]

    def tree(self) -> Tree:
        """Return the main file, with an include of each of the files that were rendered."""
        parts = {}
        for name in self._names:
            content = (self._home / "conf.d" / f"{name}.conf").read_bytes()
            parts[f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.conf"] = content
        includes = "\n    ".join(f"include parts/{name};" for name in parts)
        return Tree(self._main_file(includes).encode(), parts)

    def _main_file(self, include: str) -> str:
        place = self._place
        return _NGINX_CONF.format(home=self._home, notices=place.notices, port=place.port, include=include)

    def _resource(self, name: str) -> str:
        keys = {
            "src": f"{name}.tmpl",
            "dest": str(self._home / "conf.d" / f"{name}.conf"),
            "keys": [name],
            "check_cmd": f"nginx -t -c {self.main}",
            "reload_cmd": f'kill -HUP "$(cat {self._home}/nginx.pid)"',
        }
        return "[template]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
