"""A real Docker engine for live tests: dockerd in namespaces of its own, by ``tests/lab/dockerlab.sh``.

The API is an ordinary file, so that a source runs outside; what speaks TCP to containers runs `inside`.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

LAB = Path(__file__).parents[1] / "lab" / "dockerlab.sh"
APP = "app:lab"  # answers on 8080 with its name
NGINX = "nginx:lab"  # stopped by SIGQUIT
_SLOTS = 8
_BUILTIN_NETWORKS = {"bridge", "host", "none"}


class LabError(Exception):
    """A command in the lab failed; the message holds what it printed."""


class DockerEngine:
    """One engine, up between enter and exit.

    Its images outlive it, so that only the first run on a host has to make them: it lives in the first of
    a few folders that no other run uses at the moment. Needs root.
    """

    def __init__(self) -> None:
        self._lock: TextIO | None = None
        self._env: dict[str, str] = {}
        self.folder = Path()

    def __enter__(self) -> Self:
        self.folder, self._lock = _claim_folder()
        # without this a test run would install packages on the host
        self._env = {"DOCKERLAB_INSTALL": "0", **os.environ, "DOCKERLAB_DIR": str(self.folder)}
        self._env["DOCKER_HOST"] = self.url
        try:
            self.lab("down")  # what a killed run has left
            self.lab("up")
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.lab("down")
        finally:
            if self._lock:
                self._lock.close()

    @property
    def socket(self) -> Path:
        """The API's socket, in a folder of its own: containers may mount that."""
        return self.folder / "api" / "docker.sock"

    @property
    def url(self) -> str:
        """The API, for DOCKER_HOST."""
        return f"unix://{self.socket}"

    @property
    def env(self) -> Mapping[str, str]:
        """The environment for programs that use the engine."""
        return self._env

    def lab(self, *args: str, timeout_s: float = 120) -> str:
        """Run a command of dockerlab.sh (its opening comment lists them); blocks.

        Raises:
            LabError: It failed.
        """
        done = subprocess.run(
            [str(LAB), *args], env=self._env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return _checked(["dockerlab.sh", *args], done.returncode, done.stdout, done.stderr)

    async def inside(self, *command: str, timeout_s: float = 60) -> str:
        """Run *command* in the lab's namespaces and return what it prints.

        Raises:
            LabError: It failed or took too long.
        """
        return await self._run([str(LAB), "exec", *command], timeout_s=timeout_s)

    async def docker(self, *args: str, timeout_s: float = 60) -> str:
        """Run the docker command line.

        Raises:
            LabError: It failed or took too long.
        """
        return await self._run(["docker", *args], timeout_s=timeout_s)

    async def run(
        self,
        name: str,
        *args: str,
        image: str = APP,
        labels: Mapping[str, str] | None = None,
        networks: Sequence[str] = (),
        health: str = "",
        command: Sequence[str] = (),
    ) -> str:
        """Start a container and return its id.

        Args:
            name: Its name.
            args: Further options of ``docker run``.
            image: `APP` or `NGINX`, or one made since.
            labels: Its labels.
            networks: Networks to start in, by name; made when they are missing. Empty: the default bridge.
            health: A shell command that is run each second; one failure makes it unhealthy.
            command: Instead of the image's own.
        """
        options = [part for item in (labels or {}).items() for part in ("--label", "=".join(item))]
        if health:
            options += ["--health-cmd", health, "--health-interval", "1s", "--health-retries", "1"]
        for network in networks:
            await self.network(network)
        if networks:
            options += ["--network", networks[0]]
        made = await self.docker("create", "--name", name, *options, *args, image, *command)
        for network in networks[1:]:
            await self.docker("network", "connect", network, name)
        await self.docker("start", name)
        return made.strip()

    async def network(self, name: str) -> None:
        """Make a bridge network unless there is one of that name."""
        if name not in _BUILTIN_NETWORKS and name not in await self._networks():
            await self.docker("network", "create", name)

    async def stop(self, *names: str, timeout_s: int = 10) -> None:
        """Ask containers to stop, and kill those that still run after *timeout_s* seconds."""
        await self.docker("stop", "-t", str(timeout_s), *names)

    async def kill(self, *names: str, signal: str = "KILL") -> None:
        """Send a signal to containers."""
        await self.docker("kill", "-s", signal, *names)

    async def pause(self, *names: str) -> None:
        """Freeze containers."""
        await self.docker("pause", *names)

    async def unpause(self, *names: str) -> None:
        """Let frozen containers go on."""
        await self.docker("unpause", *names)

    async def remove(self, *names: str) -> None:
        """Remove containers, running or not."""
        await self.docker("rm", "-f", "-v", *names)

    async def crash(self) -> None:
        """End the engine as a crash does; its containers run on until it is back."""
        await asyncio.to_thread(self.lab, "kill-daemon")

    async def halt(self) -> None:
        """Stop the engine in order, and its containers with it."""
        await asyncio.to_thread(self.lab, "stop-daemon")

    async def start(self) -> None:
        """Start the engine again, if it does not run."""
        await asyncio.to_thread(self.lab, "start-daemon")

    async def clean(self) -> None:
        """Remove what tests have made, but for images; start the engine if one left it stopped."""
        await self.start()
        if ids := (await self.docker("ps", "-aq")).split():
            await self.remove(*ids)
        if networks := await self._networks() - _BUILTIN_NETWORKS:
            await self.docker("network", "rm", *networks)

    async def _networks(self) -> set[str]:
        return set((await self.docker("network", "ls", "--format", "{{.Name}}")).split())

    async def _run(self, command: list[str], *, timeout_s: float) -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate()
        except TimeoutError as exc:
            raise LabError(f"{shlex.join(command)}: not done after {timeout_s} s") from exc
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _checked(command, process.returncode or 0, out.decode(), err.decode())


def _checked(command: Sequence[str], code: int, out: str, err: str) -> str:
    if code:
        raise LabError(f"{shlex.join(command)}: exit code {code}\n{err or out}")
    return out


def _claim_folder() -> tuple[Path, TextIO]:
    """Return the first folder that no other test run uses, and the lock on it."""
    for number in itertools.count():
        if number == _SLOTS:
            raise LabError(f"{_SLOTS} engines run already (end the other test runs)")
        # short: the path of a unix socket may have 107 bytes
        folder = Path(tempfile.gettempdir()) / f"pcl-{number}"
        lock = folder.with_suffix(".claim").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return folder, lock
    raise AssertionError
