"""The floor: an nginx with the same files as the program's, told directly.

Write what is new, ``nginx -t``, HUP to the master; nothing is waited for but nginx.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench.errors import BenchError
from bench.product import Tree
from tests.live.nginx_server import NginxServer
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from bench.lab import Lab
    from bench.product import Product

_FOLDERS = ("parts", "main.d", "http.d", "temp")


@dataclass(frozen=True, slots=True)
class Told:
    """nginx was told of a change.

    Attributes:
        start_ns: Before the first byte was written; by CLOCK_MONOTONIC.
        checked_ns: When ``nginx -t`` began.
        signal_ns: When HUP was sent.
    """

    start_ns: int
    check_ns: int
    signal_ns: int


class Floor:
    """The nginx; a context manager that ends it."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.folder = lab.folder / name
        self.port = free_ports(1)[0]
        self._root = self.folder / "nginx.conf"
        self._nginx = NginxServer(self.folder, self._root, port=self.port)
        self._names = (f"s-{number:016x}.conf" for number in itertools.count())
        self._tree = Tree(b"", {})

    def __enter__(self) -> Self:
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nginx.kill()

    def like(self, product: Product) -> Tree:
        """Return the files of *product*'s nginx, changed to our folder and port."""
        tree = product.tree()
        parts = {name: self._translated(text, product) for name, text in tree.parts.items()}
        return Tree(self._translated(tree.root, product), parts)

    def boot(self, tree: Tree) -> None:
        """Start nginx with those files."""
        self._write(tree.parts, tree.root)
        self._root.with_suffix(".next").replace(self._root)
        self._nginx.start()
        self._tree = tree

    def load(self, tree: Tree) -> Told:
        """Exchange all files that differ; as with the program's, a name stands for one content."""
        new = {name: text for name, text in tree.parts.items() if name not in self._tree.parts}
        self._tree = tree
        return self._tell(new, tree.root)

    def change(self, before: str, after: str) -> Told:
        """Exchange one endpoint, which only one service has."""
        name, text = next(
            (name, text) for name, text in self._tree.parts.items() if f"{before};".encode() in text
        )
        new = next(self._names)
        parts = {key: value for key, value in self._tree.parts.items() if key != name}
        parts[new] = text.replace(before.encode(), after.encode())
        self._tree = Tree(self._tree.root.replace(name.encode(), new.encode()), parts)
        return self._tell({new: parts[new]}, self._tree.root)

    def _translated(self, text: bytes, product: Product) -> bytes:
        moved = text.replace(str(product.main.parent).encode(), str(self.folder).encode())
        return moved.replace(f"127.0.0.1:{product.port}".encode(), f"127.0.0.1:{self.port}".encode())

    def _write(self, parts: Mapping[str, bytes], root: bytes) -> Path:
        for name, text in parts.items():
            (self.folder / "parts" / name).write_bytes(text)
        staged = self._root.with_suffix(".next")
        staged.write_bytes(root)
        return staged

    def _tell(self, parts: Mapping[str, bytes], root: bytes) -> Told:
        start = time.monotonic_ns()
        staged = self._write(parts, root)
        check = time.monotonic_ns()
        command = ["nginx", "-e", "stderr", "-t", "-c", str(staged)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - all of it is ours
        if done.returncode:
            raise BenchError(f"nginx refuses the floor's files: {done.stderr.decode(errors='replace')}")
        staged.replace(self._root)
        os.kill(self._nginx.pid, signal.SIGHUP)
        return Told(start, check, time.monotonic_ns())
