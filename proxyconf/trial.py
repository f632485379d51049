"""What nginx would take of a site that is nowhere yet: it is asked about a copy, and nothing is touched."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from proxyconf.errors import RefusedError
from proxyconf.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from proxyconf.model import Problem, Snapshot
    from proxyconf.nginx.additions import Additions
    from proxyconf.nginx.here import Here
    from proxyconf.nginx.part import Part
    from proxyconf.nginx.site import Site

_BLAMED_MAX = 20
_NONCE = "trial"
OPERATORS = ("main.d", "http.d")
"""The folders of operators' files for nginx as a whole."""


class Trial:
    """A copy of the folder that nginx reads.

    Args:
        here: The nginx.
        folder: For the copy, empty.
        user: As of `State.user_beside`.
    """

    def __init__(self, here: Here, folder: Path, user: str = "") -> None:
        self._here = here
        self._folder = folder
        self._head = f"user {user};\n" if user else ""

    async def settle(
        self, snapshot: Snapshot, additions: Additions, good: Iterable[Part]
    ) -> tuple[Site, tuple[Problem, ...]]:
        """Return the site that would come of *snapshot*, as in the running one, and what is set aside in it.

        Args:
            snapshot: What nginx should know.
            additions: What operators add.
            good: The parts that nginx proved to an earlier run: what it refuses keeps these.

        Raises:
            RefusedError: nginx refuses it, and no part of it is to blame.
            CommandError, UncheckedError: It can't be asked.
        """
        await asyncio.to_thread(self._prepare)
        verdicts = Verdicts(self._here.renderer, note=lambda _part, _reason: None)
        verdicts.additions = additions
        verdicts.trust(good)
        for _ in range(_BLAMED_MAX):
            site = verdicts.render(snapshot)
            try:
                await self._check(site)
            except RefusedError as exc:
                await verdicts.judge(snapshot, site, exc, passes=self._passes)
            else:
                return site, verdicts.problems
        raise RefusedError(f"check {self._here.folder.root}: over {_BLAMED_MAX} refusals in a row")

    async def _passes(self, site: Site) -> bool:
        try:
            await self._check(site)
        except RefusedError:
            return False
        return True

    async def _check(self, site: Site) -> None:
        root = self._folder / self._here.folder.root.name
        await asyncio.to_thread(self._write, root, site)
        try:
            await self._here.control.check(root)
        except RefusedError as exc:
            real, copy = str(self._here.folder.path), str(self._folder)
            raise RefusedError(str(exc).replace(copy, real), exc.output.replace(copy, real)) from exc

    def _prepare(self) -> None:
        for name in ("parts", "temp"):
            (self._folder / name).mkdir()
        for name in OPERATORS:
            if os.access(self._here.folder.path / name, os.R_OK | os.X_OK):
                (self._folder / name).symlink_to(self._here.folder.path / name)

    def _write(self, root: Path, site: Site) -> None:
        """Write the copy: pid file, logs and temporary folders are its own, and so are the parts."""
        # with the slash: what only begins like it is somebody else's
        real, copy = f"{self._here.folder.path}/".encode(), f"{self._folder}/".encode()
        root.write_bytes(self._head.encode() + site.root(_NONCE).replace(real, copy))
        for part in site.parts:
            file = self._folder / "parts" / part.file
            file.write_bytes(part.text.replace(real + b"parts/", copy + b"parts/"))
