"""An nginx in another container: ``via = "docker:NAME"``. Only ``<state>/nginx/`` is shared with it.

It is asked and signalled through the engine's API, and never by a pid file: the "1" in that is ourselves
here. What its master says is read from the log in the shared folder. Where nobody may run programs in its
container, or it does not run, an nginx of our own image checks instead, if there is one.

The container may come later than we do, and be another one at any time: it is looked up again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.errors import CommandError, NotRunningError, ReloadError, UncheckedError, UsageError
from proxyconf.model import Problem
from proxyconf.nginx.build import parse_build
from proxyconf.nginx.container import Inspected, Standpoint, place_of, read_inspected
from proxyconf.nginx.control import CHECK_TIMEOUT_S, LogMark, emergencies, end_of, quiet, verdict
from proxyconf.nginx.engine_api import AbsentError, ForbiddenError
from proxyconf.nginx.proof import Prober
from proxyconf.nginx.workers import SHUTTING_DOWN, Lingering
from proxyconf.sources._docker_place import PROJECT, SERVICE, host_of, read_own_ids
from proxyconf.sources._docker_reading import is_secluded

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable
    from pathlib import Path

    from proxyconf.nginx.build import Build
    from proxyconf.nginx.engine_api import EngineApi
    from proxyconf.nginx.own_program import OwnProgram
    from proxyconf.units import ListenAddress

_ASK_TIMEOUT_S = 10.0
_MASTER = "nginx: master process"


class Finder:
    """Finds the container, by its name or as a service of our own Compose project, and the way to it.

    Args:
        api: The engine.
        wanted: The name, or the service.
        own: Our own ids, most of which may mean nothing to the engine.

    Attributes:
        wanted: The name, or the service.
    """

    def __init__(self, api: EngineApi, wanted: str, own: Collection[str] | None = None) -> None:
        self.wanted = wanted
        self._api = api
        self._own = read_own_ids() if own is None else own

    async def find(self) -> Inspected | None:
        """Return the container, running or not; None where there is none.

        Raises:
            CommandError: The engine can't be asked, or there are several.
        """
        if found := await self._inspect(self.wanted):
            return found
        ours = await self._ourselves()
        if ours is None or not (project := ours.labels.get(PROJECT)):
            return None
        ids = await self._api.find({PROJECT: project, SERVICE: self.wanted})
        there = [found for one in ids if (found := await self._inspect(one))]
        running = [one for one in there if one.running]
        if len(running) > 1:
            names = ", ".join(sorted(one.name for one in running))
            raise CommandError(
                f"find the container of the service {self.wanted}: there are {len(running)}: {names}"
                ' (one is kept in step: write via = "docker:NAME" with its name)'
            )
        return next(iter([*running, *there]), None)

    async def locate(self, nginx: Inspected, listen: ListenAddress) -> tuple[ListenAddress | None, str]:
        """Return where to connect for a listener of its; or None, and why.

        Raises:
            CommandError: The engine can't be asked.
        """
        ours = await self._ourselves()
        host, secluded = host_of(self._api.address), False
        if ours is None:
            # the host of another engine is not ours
            secluded = not host.startswith("127.") or await self._is_secluded()
        place = place_of(nginx, listen, Standpoint(ours, host, secluded))
        if place:
            return place, ""
        theirs = ", ".join(sorted(nginx.networks)) or nginx.mode
        if ours is None:
            return None, f"its port {listen.port} is not published on the engine's host (publish it)"
        mine = ", ".join(sorted(ours.networks)) or ours.mode
        return None, (
            f"nothing leads from here to its {listen}: it is in the network {theirs}, we are in {mine}"
            " (put both into one network)"
        )

    async def _inspect(self, container: str) -> Inspected | None:
        try:
            return read_inspected(await self._api.inspect(container))
        except AbsentError:
            return None
        except (AttributeError, LookupError, TypeError, ValueError) as exc:
            raise CommandError(
                f"inspect container {container} of {self._api.address.url}: not an engine's answer: {exc!r}"
            ) from exc

    async def _ourselves(self) -> Inspected | None:
        for one in self._own:
            try:
                if found := await self._inspect(one):
                    return found
            except ForbiddenError:  # then it is as if we were on the host
                pass
        return None

    async def _is_secluded(self) -> bool:
        try:
            return is_secluded(await self._api.info())
        except ForbiddenError:
            return False


class InContainer:
    """The control of an nginx in another container.

    Args:
        api: The engine.
        finder: Finds the container.
        listen: Where nginx listens, in it.
        binary: The program in it.
        error_log: Where its master says what is wrong; a file of the shared folder.
        own: The nginx of our own image, if there is one.

    Attributes:
        build: What it is; None until that is known.
        root: Its master runs as root.
        place: Where its listener is reached; None where that is not known.
    """

    def __init__(
        self,
        api: EngineApi,
        finder: Finder,
        *,
        listen: ListenAddress,
        binary: str,
        error_log: Path,
        own: OwnProgram,
    ) -> None:
        self.build: Build | None = None
        self.root = True
        self.place: ListenAddress | None = None
        self._api = api
        self._finder = finder
        self._listen = listen
        self._binary = binary
        self._error_log = error_log
        self._own = own
        self._found: Inspected | None = None
        self._met = ""
        self._seen: Hashable | None = None  # the life in which a master was seen
        self._lost_way = True
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what an operator should mend, or know."""
        name = self._found.name if self._found else "container"
        return tuple(Problem("nginx", name, why) for why in self._problems.values())

    async def meet(self) -> None:
        """Ask what nginx is, once for each container."""
        found = await self._look()
        if found and found.id != self._met:
            try:
                self.build = await self._ask_build(found)
                self.root, self._met = found.root, found.id
            except ForbiddenError as exc:
                self.root = found.root
                await self._take_own_build(exc)
            except AbsentError as exc:
                if self.build is None:
                    await self._take_own_build(exc)
        elif self.build is None:
            await self._take_own_build(AbsentError(self._absent()))

    async def _ask_build(self, found: Inspected) -> Build:
        self._require_running(found)
        done = await self._api.run(found.name, [self._binary, "-V"], timeout_s=_ASK_TIMEOUT_S)
        self._problems.pop("forbidden", None)
        try:
            return parse_build(done.output)
        except UsageError as exc:
            raise CommandError(f"in container {found.name}: {exc}") from exc

    async def _take_own_build(self, why: CommandError) -> None:
        self._turn_to_own(why)
        self.build = await self._own.build()

    def _turn_to_own(self, why: CommandError) -> None:
        """Note that our own program is asked, or raise that there is none."""
        absent = isinstance(why, AbsentError)
        if self._own.exists:
            self._problems["absent" if absent else "forbidden"] = (
                f"our own nginx checks its configuration: {why}"
            )
        elif absent:
            raise UncheckedError(f"for nginx: {why}, and without it there is none to check by") from why
        else:
            raise CommandError(f"{why}; or install an nginx beside proxyconf, to check by that") from why

    def _absent(self) -> str:
        if self._found is None:
            mend = "create it, for example by docker compose up -d"
            return f"there is no container {self._finder.wanted} ({mend})"
        return f"the container {self._found.name} does not run (docker start {self._found.name})"

    def _require_running(self, found: Inspected | None) -> Inspected:
        if found is None or not found.running:
            raise AbsentError(self._absent())
        return found

    async def check(self, main: Path) -> str:
        """Run ``nginx -t`` in its container, or else our own on a copy."""
        options = quiet(self.build) if self.build else ()
        try:
            name = self._require_running(self._found).name
            argv = [self._binary, *options, "-t", "-c", str(main)]
            done = await self._api.run(name, argv, timeout_s=CHECK_TIMEOUT_S)
        except (AbsentError, ForbiddenError) as exc:
            self._turn_to_own(exc)
            return await self._own.check(main)
        self._problems.pop("forbidden", None)
        if str(main) not in done.output:  # a proxy before the engine may put its own command in place of ours
            raise CommandError(
                f"check {main} in container {name}: nginx spoke of something else:"
                f" {' '.join(done.output.split())[-200:]} (is the folder at the same path there?)"
            )
        return verdict(done, main)

    async def master(self) -> Hashable | None:
        """Return the container and when it was started; what was known, where the engine can't be asked."""
        try:
            found = await self._look()
            if found is None or not found.running:
                self._seen = None
                return None
            if found.life != self._seen and not await self._has_master(found.name):
                return None
        except CommandError:
            return self._seen  # unknown is not gone
        self._seen = found.life
        return found.life

    async def _has_master(self, name: str) -> bool:
        """Tell whether nginx has been started there: it may still be waiting for its first configuration."""
        try:
            return any(title.startswith(_MASTER) for _, title in await self._api.titles(name))
        except AbsentError:
            return False
        except CommandError:
            return True  # a reload and its proof will tell

    async def in_the_way(self) -> str:
        """Return that nobody can tell: it is in another network."""
        return ""

    async def lingering(self) -> Lingering:
        """Look at the titles of its processes; their memory is all that is resident, so a little too much."""
        if self._found is None:
            return Lingering()
        try:
            titles = await self._api.titles(self._found.name)
        except ForbiddenError as exc:
            self._problems["top"] = f"its old workers are not counted: {exc}"
            return Lingering()
        except CommandError:
            return Lingering()
        self._problems.pop("top", None)
        old = [memory for memory, title in titles if title.startswith(SHUTTING_DOWN)]
        return Lingering(len(old), sum(old))

    async def reload(self) -> None:
        """Send HUP to the container's first process, which is the master or hands it on."""
        if self._found is None:
            raise NotRunningError(f"reload nginx: {self._absent()}")
        try:
            await self._api.kill(self._found.name, "HUP")
        except AbsentError as exc:
            raise NotRunningError(f"reload nginx: {exc}") from exc
        except CommandError as exc:
            raise ReloadError(f"reload nginx: {exc}") from exc

    async def mark(self) -> LogMark:
        """Return the log's end."""
        return end_of(self._error_log)

    async def complaints(self, since: LogMark) -> tuple[str, ...]:
        """Read the log from there; which of the processes there is the master is not known here."""
        return tuple(text for _, text in emergencies(self._error_log, since))

    async def ask(self, server_name: str) -> str | None:
        """Ask its listener for the nonce that it serves."""
        answer = await Prober(self.place, server_name).ask() if self.place else None
        self._lost_way = not answer
        return answer

    async def _look(self) -> Inspected | None:
        """Look the container up, and the way to it where that may be another one by now."""
        before, self._found = self._found, await self._finder.find()
        found = self._found
        if found is None or not found.running:
            return found
        self._problems.pop("absent", None)
        if self._lost_way or before is None or before.life != found.life:
            self.place, why = await self._finder.locate(found, self._listen)
            self._problems.pop("place", None)
            if why:
                self._problems["place"] = why
        return found


class ContainerProber:
    """Asks an nginx in a container for proof.

    Args:
        control: Knows where it is.
        server_name: The host name of the proof.
    """

    def __init__(self, control: InContainer, server_name: str) -> None:
        self._control = control
        self._server_name = server_name

    async def ask(self) -> str | None:
        """Return the nonce that is served; None when nothing answers, or something else does."""
        return await self._control.ask(self._server_name)
