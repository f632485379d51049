"""An nginx that somebody else configures, starts and reloads: known by the command that checks it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxyconf.nginx.control import CHECK_TIMEOUT_S, Process, ask_nginx, check_shadow, quiet
from proxyconf.nginx.here import ask_build
from proxyconf.nginx.places import TheirPlaces
from proxyconf.nginx.shadow import Shadow
from proxyconf.nginx.workers import has_loaded, is_settled, serving_workers, started_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxyconf.command import Running
    from proxyconf.nginx.build import Build
    from proxyconf.nginx.check_line import CheckLine
    from proxyconf.nginx.workers import Worker


class Beside(Process):
    """It can be asked about candidates, and whether it has loaded what was installed.

    Args:
        line: The command that checks it.
        build: What the program is.

    Attributes:
        conf: The main file.
    """

    def __init__(self, line: CheckLine, build: Build) -> None:
        self.conf = build.prefix / line.conf if line.conf else build.conf_path
        super().__init__(TheirPlaces(self.conf, build, line.directives))
        self._line = line
        self._quiet = () if "-e" in line.options else quiet(build)

    async def check(
        self,
        swaps: Mapping[Path, Path],
        *,
        timeout_s: float = CHECK_TIMEOUT_S,
        running: Running | None = None,
    ) -> frozenset[Path]:
        """Run the command on a shadow of the main file.

        Args:
            swaps: Each file to replace, with what is staged for it.
            timeout_s: How long nginx may take.
            running: Where it is listed meanwhile, so that it can be cut short.

        Returns:
            The files that some include leads to: nginx takes what is staged for them, all together. Of the
            others nothing was said; where there are only others, nginx was not asked.

        Raises:
            RefusedError: nginx refuses them, or something that was there before.
            CommandError: It could not be asked.
            StateError: A candidate can't be read, or a copy not written.
        """
        shadow = await asyncio.to_thread(Shadow, self.conf, swaps)

        async def ask(main: Path) -> str:
            argv = (*self._line.argv(main), *self._quiet)
            return await ask_nginx(argv, main, timeout_s=timeout_s, running=running)

        if shadow.reached or not swaps:
            await check_shadow(shadow, ask)
        return shadow.reached

    async def serving(self) -> frozenset[Worker]:
        """Return the workers that take requests; none where no nginx runs."""
        pid = await self.master()
        return frozenset() if pid is None else serving_workers(pid)

    async def is_settled(self) -> bool:
        """Tell whether no reload is under way: one that begins from now on reads what is installed now."""
        pid = await self.master()
        return pid is None or is_settled(pid)

    async def has_loaded_since(self, since_ticks: int) -> bool:
        """Tell whether it has read its files since then (clock ticks since boot); False in doubt."""
        pid = await self.master()
        return pid is not None and has_loaded(started_at(pid), serving_workers(pid), since_ticks)


async def open_beside(line: CheckLine) -> Beside:
    """Return the nginx that *line* checks.

    Raises:
        CommandError: The program can't be run.
        UsageError: It is no nginx.
    """
    return Beside(line, await ask_build(line.binary, line.prefix.absolute() if line.prefix else None))
