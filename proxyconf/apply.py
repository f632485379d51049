"""Bring the site into nginx: render, check, install, reload, prove; undo what nginx refuses.

"Applied" is a generation whose nonce nginx has answered, never "the file on disk is equal". Whatever fails is
left so that nginx serves, and would start from, the last good generation.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from proxyconf.errors import (
    CommandError,
    NotRunningError,
    RefusedError,
    ReloadError,
    ReloadRefusedError,
    UncheckedError,
)
from proxyconf.nginx.blame import conflicts
from proxyconf.nginx.certificates import NO_CERTIFICATES
from proxyconf.nginx.control import last_word
from proxyconf.nginx.nonce import is_nonce, new_nonce
from proxyconf.nginx.part import parts_named
from proxyconf.nginx.workers import Lingering
from proxyconf.steps import Steps
from proxyconf.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from proxyconf.api import CertificateState
    from proxyconf.model import Problem, Snapshot
    from proxyconf.nginx.certificates import Certificates
    from proxyconf.nginx.control import Control, LogMark
    from proxyconf.nginx.folder import Folder
    from proxyconf.nginx.part import Part
    from proxyconf.nginx.proof import Asker
    from proxyconf.nginx.site import Renderer, Site
    from proxyconf.state import Applied

# a reload is seldom faster than 15 ms, so to ask more often at first would only take CPU from nginx
_ASK_EVERY_S = (0.002, 0.005, 0.02, 0.1)
_ASKS_AT_EACH = 40
_ASKS_PER_LOOK = 5  # into the log: a refusal is not in such a hurry
_HEAD_START_MAX_S = 0.1
_PATIENCE_S = 5.0
_PATIENCE_COSTS = 10
_BLAMED_MAX = 20
_GENERATIONS_KEPT = 3  # the live one and two before it, whose workers may still be opening files


@dataclass(frozen=True, slots=True)
class Generation:
    """A candidate that was installed.

    Attributes:
        digest: Of the candidate.
        nonce: Of this attempt.
        root: The root file.
    """

    digest: str
    nonce: str
    root: bytes


class Apply:
    """The site's way into one nginx.

    Attributes:
        installed: What is on disk.
        proved: What nginx serves, as far as it proved that; None when it may serve something else.
        proved_at: When, by the loop's clock.
        reloads: How many signals were sent.
        cost_s: Seconds from the latest signal that had the wanted outcome to its proof.
        lingering: Old workers at the latest proof.
        also: Stands for files beside the site that nginx must have loaded, too: another text is a change.
    """

    def __init__(
        self,
        *,
        folder: Folder,
        renderer: Callable[[], Renderer],
        control: Control,
        prober: Asker,
        certificates: Certificates = NO_CERTIFICATES,
    ) -> None:
        self.installed: Generation | None = None
        self.proved: Generation | None = None
        self.proved_at = 0.0
        self.reloads = 0
        self.cost_s = 0.0
        self.lingering = Lingering()
        self.also = ""
        self._folder = folder
        self._control = control
        self._prober = prober
        self._certificates = certificates
        self._verdicts = Verdicts(renderer)
        self._conflicts: tuple[Problem, ...] = ()
        self._good: Generation | None = None
        self._master: Hashable | None = None
        self._kept: list[frozenset[str]] = []
        self._tried: frozenset[str] = frozenset()
        self._in_the_way = ""

    @property
    def is_first(self) -> bool:
        """Whether there is no root file yet."""
        return not self._folder.root.exists()

    @property
    def version(self) -> str:
        """Return nginx's version, as far as it is known."""
        build = self._control.build
        return ".".join(map(str, build.version)) if build else ""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what nginx refused and is set aside, hosts that are not ours alone, what is out of reach."""
        reaching = (*self._folder.obstacles(), *self._control.problems)
        return (
            *self._verdicts.problems,
            *self._conflicts,
            *self._certificates.found.problems,
            *reaching,
        )

    @property
    def certificates(self) -> Sequence[CertificateState]:
        """Return what hosts may be served with; the very same as long as there is nothing new."""
        return self._certificates.found.states

    @property
    def recertified(self) -> tuple[str, ...]:
        """Return the hosts that are to have another certificate than nginx proved."""
        return self._verdicts.recertified

    def part_of(self, kind: str, name: str) -> Part | None:
        """Return a part that nginx serves; None where it serves none of that kind and name."""
        return self._verdicts.part_of(kind, name)

    async def resume(self, applied: Applied | None) -> None:
        """Take up what an earlier run left: if nginx still serves that, it needs no reload.

        Raises:
            StateError: The folder can't be used.
        """
        await asyncio.to_thread(self._folder.prepare)
        live = await asyncio.to_thread(self._folder.live)
        if live:
            self._kept.append(parts_named(live))  # whatever becomes of it: nginx would start from it
        if applied and live and applied.nonce.encode() in live:
            # else nginx would not start from it, as from half a backup
            if self._folder.has(parts_named(live)):
                self.installed = self._good = Generation(applied.digest, applied.nonce, live)
            parts = await asyncio.to_thread(self._folder.parts, parts_named(live))
            self._verdicts.trust(parts)
            await asyncio.to_thread(self._certificates.restore, parts)

    def follow(self, before: Apply) -> None:
        """Take the place of *before*, by other settings, at what may be the same files."""
        if self._folder.root == before._folder.root:
            self._verdicts.take_over(before._verdicts)

    async def master(self) -> Hashable | None:
        """Return what tells the nginx that runs on our file from any other; None where there is none."""
        return await self._control.master()

    def look_again(self) -> None:
        """Try everything again at the next call of `apply`, and have nginx read it all anew."""
        self._verdicts.forget()
        self.installed = self.proved = None

    async def serves(self) -> bool:
        """Tell whether nginx still serves all it should, as far as a cheap look tells."""
        installed = self.installed
        if installed is None or self._verdicts.is_due or not await asyncio.to_thread(self._is_current):
            return False
        if not await self._serves(installed.digest):
            return False
        # another answer: somebody has reloaded it without our files; None tells nothing, for nginx may have
        # too much to do, of which a reload would make more
        if await self._prober.ask() not in (installed.nonce, None):
            self.proved = None
        return self.proved is not None

    async def recognises(self, snapshot: Snapshot) -> bool:
        """Tell whether nginx serves just *snapshot*, also one that was started anew, or that we find so."""
        installed, master = self.installed, await self._control.master()
        if installed is None or installed is not self._good or master is None:
            return False
        if not self.proved and await self._prober.ask() == installed.nonce:
            self._master, self.proved = master, installed
        await asyncio.to_thread(self._refresh)
        try:
            site = self._verdicts.render(snapshot)
        except (CommandError, RefusedError):  # it is for the next attempt to say why
            return False
        return self.proved is installed and installed.digest == self._digest(site)

    async def awaits_start(self) -> bool:
        """Tell whether all that is left to do is what only a start of nginx makes possible."""
        if self.installed is None or self.proved or self._verdicts.is_due or not self._folder.untouched():
            return False
        if not await asyncio.to_thread(self._is_current) or await self._control.master() is not None:
            return False
        return await self._control.in_the_way() == self._in_the_way  # else there is something new to say

    def _is_current(self) -> bool:
        """Tell whether what a rendering reads is as it was; blocks."""
        folders = self._certificates.is_current() and self._folder.additions.is_current()
        return folders and self._verdicts.is_current()

    def _refresh(self) -> None:
        """Read what operators have in folders, where that has changed."""
        self._certificates.refresh()
        self._verdicts.additions = self._folder.additions.refresh()

    async def apply(self, snapshot: Snapshot, steps: Steps, *, beside: Callable[[], None]) -> bool:
        """Make nginx serve *snapshot*; tell whether anything was done.

        Args:
            snapshot: What to serve.
            steps: Gets the duration of each step.
            beside: Blocking work to do meanwhile.

        Raises:
            RefusedError: nginx refuses the candidate, and no part of it is to blame; nothing was changed.
            NotRunningError: Installed and checked, but no nginx runs.
            UncheckedError: There is no nginx to check by; nothing was changed.
            ReloadRefusedError: The last good generation is back.
            ReloadError: Installed and checked, but not proved; call again.
            StateError, CommandError: Our folder, or nginx's program, can't be used.
        """
        await self._control.meet()
        with steps.timed("render"):
            await asyncio.to_thread(self._refresh)
            site = self._verdicts.render(snapshot)
        if await self._serves(self._digest(site)):
            return False
        if self.installed and self.installed.digest == self._digest(site):
            await self._make_live(steps, ask_first=True)
            return True
        # what it does is not on the way to the signal: a slow disk may take longer than nginx's check
        working = asyncio.ensure_future(asyncio.to_thread(beside))
        try:
            checked = await self._checked(snapshot, site, steps)
            if checked is not self.installed:
                self._install(checked, steps)
            elif await self._serves(checked.digest):
                return False
            await self._make_live(steps, ask_first=False)
        except (RefusedError, ReloadError, UncheckedError):
            await asyncio.to_thread(self._tidy)  # else what comes to nothing would pile up until a proof
            raise
        finally:
            await working
        return True

    async def reload(self, steps: Steps) -> None:
        """Have nginx read anew what is installed, for something beside the site; raises as `apply`."""
        await self._make_live(steps, ask_first=False)

    def _digest(self, site: Site) -> str:
        return f"{site.digest}+{self.also}" if self.also else site.digest

    async def _serves(self, digest: str) -> bool:
        """Tell whether that is proved, still by the same master and from the same file."""
        if self.installed and not self._folder.untouched():
            self.installed = self.proved = None
        if self.proved is None or self.proved.digest != digest:
            return False
        master = await self._control.master()
        if master is None or master != self._master:
            self.proved = None
        return self.proved is not None

    async def _checked(self, snapshot: Snapshot, site: Site, steps: Steps) -> Generation:
        """Return what is left of the candidate without its bad parts, checked, or already installed."""
        for _ in range(_BLAMED_MAX):
            nonce = new_nonce(site.digest)
            generation = Generation(self._digest(site), nonce, site.root(nonce))
            self._tried = parts_named(generation.root)
            try:
                await self._check(site, generation.root, steps)
            except RefusedError as exc:
                if await asyncio.to_thread(self._folder.has_lost_parts):
                    continue  # somebody else deleted them; they are written again
                with steps.timed("blame"):
                    passes = partial(self._passes, begun=steps.begun)
                    await self._verdicts.judge(snapshot, site, exc, passes=passes)
                site = self._verdicts.render(snapshot)
                if self.installed and self.installed.digest == self._digest(site):
                    return self.installed
            else:
                return generation
        # what was learned stays, so the next attempt gets further; other changes need not wait for all of it
        raise RefusedError(f"check {self._folder.root}: over {_BLAMED_MAX} refusals in a row")

    async def _check(self, site: Site, root: bytes, steps: Steps) -> None:
        with steps.timed("write"):
            await asyncio.to_thread(self._folder.stage, site.parts, root)
        with steps.timed("check"):
            # nginx reads what is in memory, so the disk can be waited for meanwhile
            syncing = asyncio.ensure_future(asyncio.to_thread(self._folder.sync))
            try:
                output = await self._control.check(self._folder.staged)
            finally:
                await syncing
        self._conflicts = conflicts(output, site.parts)

    async def _passes(self, site: Site, begun: Callable[[], object]) -> bool:
        try:
            await self._check(site, site.root("blame"), Steps(begun=begun))
        except RefusedError:
            return False
        return True

    def _install(self, generation: Generation, steps: Steps) -> None:
        with steps.timed("install"):
            self._folder.install()
        self.installed, self.proved = generation, None
        self._kept.append(parts_named(generation.root))

    async def _make_live(self, steps: Steps, *, ask_first: bool) -> None:
        """Reload, unless nginx serves it already (it may have been started meanwhile), and wait for proof."""
        installed = self.installed
        if installed is None:
            raise ReloadError(f"reload nginx: somebody else has just changed {self._folder.root}")
        master = await self._control.master()
        if master is None:
            raise await self._not_running()
        if not (ask_first and await self._prober.ask() == installed.nonce):
            await self._reload(installed, steps)
        self._master = master  # if it has ended since, the next look will tell
        self.proved, self.proved_at = installed, asyncio.get_running_loop().time()
        self._good = installed
        self._verdicts.proved()
        with steps.timed("tidy"):
            self.lingering = await self._control.lingering()
            await asyncio.to_thread(self._tidy)

    async def _not_running(self) -> NotRunningError:
        self._in_the_way = await self._control.in_the_way()
        why, held = "no nginx runs on it", self._in_the_way
        if is_nonce(await self._prober.ask()):
            why = "nginx's master is gone, but workers of it still serve an earlier configuration"
            held = held or "they hold its addresses (end them, then start nginx)"
        return NotRunningError("; ".join(filter(None, (f"checked, and {why}", held))))

    async def _reload(self, installed: Generation, steps: Steps) -> None:
        patience_s = max(_PATIENCE_S, _PATIENCE_COSTS * self.cost_s)
        start = time.perf_counter()
        mark = await self._control.mark()
        with steps.timed("signal"):
            await self._control.reload()
        self.reloads += 1
        try:
            with steps.timed("proof"):
                async with asyncio.timeout(patience_s):
                    await self._wait_for(installed.nonce, mark)
        except TimeoutError:
            raise ReloadError(
                f"reload nginx: no proof within {patience_s:g} s (is the first [nginx.listen] address"
                " reachable from here, and nginx's error log clean?)"
            ) from None
        except ReloadRefusedError:
            await self._undo()
            raise
        self.cost_s = time.perf_counter() - start

    async def _wait_for(self, nonce: str, mark: LogMark) -> None:
        # not before it can have happened: what we take of the CPU meanwhile, nginx lacks
        await asyncio.sleep(min(self.cost_s / 2, _HEAD_START_MAX_S))
        asks = 0
        while await self._prober.ask() != nonce:
            asks += 1
            if asks % _ASKS_PER_LOOK == 0 and (why := last_word(await self._control.complaints(mark))):
                raise ReloadRefusedError(f"reload nginx: {why}")
            await asyncio.sleep(_ASK_EVERY_S[min(asks // _ASKS_AT_EACH, len(_ASK_EVERY_S) - 1)])

    async def _undo(self) -> None:
        """Put the last good generation back on disk; nginx itself has kept it."""
        if self._good is None:
            return
        await asyncio.to_thread(self._folder.put_back, self._good.root)
        self.installed = self._good

    def _tidy(self) -> None:
        self._folder.sync_folder()
        self._kept = self._kept[-_GENERATIONS_KEPT:]
        # after refusals the good one is not among the latest; what was tried last may be tried again soon
        needed = [parts_named(one.root) for one in (self.installed, self._good) if one]
        self._folder.keep(self._tried.union(*self._kept, *needed))
