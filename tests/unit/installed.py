"""Settings of a whole program: a file as its source, and a script in the place of nginx's program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf import config
from proxyconf.sources import kinds
from tests.golden.cases import HERE

if TYPE_CHECKING:
    from pathlib import Path

AS_ROOT = ("nginx.user=root",)  # only root may enter a test's folder
ONE_BACKEND = """
[services.web]
endpoints = ["127.0.0.1:8081"]
[routes.web]
host = "web.test"
"""


class Installed:
    """A folder with all that the program needs; the script that stands for nginx takes what it is given.

    Attributes:
        state: The state folder.
        sites: The file that is followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "state"
        self.sites = path / "sites.toml"
        self.sites.write_text(ONE_BACKEND)
        self.nginx("exit 0")

    def nginx(self, check: str) -> None:
        """Let *check* be what the script does but for ``-V``."""
        program = self.path / "nginx"
        program.write_text(
            f'#!/bin/sh\nif [ "$1" = -V ]; then cat {HERE}/debian.txt >&2; exit; fi\n{check}\n'
        )
        program.chmod(0o755)

    def refuses(self) -> None:
        """Let the script refuse everything."""
        self.nginx("echo 'nginx: [emerg] unknown directive \"x\" in /main.d/a.conf:1' >&2; exit 1")

    def arguments(self, *more: str) -> list[str]:
        """Return the command line's flags."""
        settings = [f"nginx.binary={self.path}/nginx", "nginx.listen.http=127.0.0.1:1", *AS_ROOT, *more]
        flags = [word for setting in settings for word in ("-s", setting)]
        return ["--file", str(self.sites), "--state", str(self.state), *flags]

    def settings(self, **nginx: object) -> config.Settings:
        """Return what they come to; *nginx* is of ``[nginx]``."""
        flags = {
            "file": {"path": str(self.sites)},
            "state": {"dir": str(self.state)},
            "nginx": {"binary": f"{self.path}/nginx", "listen": {"http": ["127.0.0.1:1"]}, "user": "root"}
            | nginx,
        }
        return config.load(None, kinds=kinds(), flags=flags)
