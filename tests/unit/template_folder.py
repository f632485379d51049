"""A folder of templates, and a few keys and a snapshot to render them with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.model import Container, Endpoint, Route, Snapshot
from proxyconf.resources.jinja import TemplateError, Templates
from proxyconf.resources.store import Store
from proxyconf.resources.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.resources.jinja import Rendered

KEYS = [
    ("/app/name", "shop"),
    ("/app/server/1", "10.0.0.1:80"),
    ("/app/server/2", "10.0.0.2:80"),
    ("/app/json", '{"port": 8080, "ratio": 1.10, "items": ["a"], "nothing": null, "half": "\\ud800"}'),
    ("/app/bytes", "a\udcff"),
]
SNAPSHOT = Snapshot(
    services={"web": (Endpoint("10.0.0.1:80"), Endpoint("[fd00::1]:81", 2, backup=True)), "api": ()},
    routes=(Route("a.test", "/x", "web", key="k", where="w", source="s"),),
    containers=(Container("0" * 64, "web-1", {"proxyconf.host": "a.test"}, "running", ports=(80,)),),
)


class Folder:
    """A folder of templates, and its rendering."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.templates = Templates(path)
        self.world = World(time=0, hostname="edge-1")
        self._age = 0

    def write(self, name: str, text: str | bytes) -> None:
        """Write a template, with a time of change of its own."""
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self._age += 1
        os.utime(file, ns=(self._age, self._age))

    def render(self, name: str = "main") -> Rendered:
        return self.templates.render(name, Store(KEYS, "/prod"), self.world, SNAPSHOT)

    def text(self, source: str) -> str:
        self.write("main", source)
        return self.render().text

    def error(self, source: str | bytes | None = None, name: str = "main") -> str:
        """Return what is said of a template, with ``/t`` for the folder."""
        if source is not None:
            self.write("main", source)
        with pytest.raises(TemplateError) as caught:
            self.render(name)
        return str(caught.value).replace(str(self.path), "/t")
