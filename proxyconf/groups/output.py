"""One template resource on its way: what it renders to, its file, and what is known of both."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import structlog

from proxyconf.api import TemplateState
from proxyconf.errors import StateError
from proxyconf.groups.dest import Dest
from proxyconf.resources.jinja import TemplateError
from proxyconf.state import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.groups.dest import Form, Stamp
    from proxyconf.groups.rendering import Rendering, View
    from proxyconf.resources.table import Resource
    from proxyconf.state import State

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """A file that should be put in place.

    Attributes:
        form: What it should be.
        before: What it is; None when there is none.
        clock: The time that the template was told, in Unix time; 0 where it did not ask.
    """

    output: Output
    form: Form
    before: Form | None
    clock: float

    @property
    def is_new(self) -> bool:
        """Whether the content differs from what is in place."""
        return self.before is None or self.before.content != self.form.content

    @property
    def instead(self) -> str:
        """Say what is in place if this is not."""
        if self.before is None:
            return "there is no file yet"
        return "its last good file is kept" if self.is_new else "the same is in place already"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a group treats a resource.

    Attributes:
        in_context: Its check asks the nginx of the group.
        adopts: A file that we never wrote and that has the right content needs no reload.
        keeps_stage: What was staged and is not put in place stays beside it.
    """

    in_context: bool = False
    adopts: bool = False
    keeps_stage: bool = False


class Output:
    """A resource.

    Attributes:
        resource: What was configured.
        in_context: Its check asks the nginx of the group.
        dest: Its file.
        record: What is known of it, also from earlier runs; None when nothing is.
        state: How it stands, for status.
        is_troubled: Since the last `wish` something was said that must be told.
        is_to_be_tried_again: And it may do well the next time.
    """

    def __init__(
        self,
        resource: Resource,
        rendering: Rendering,
        saved: State,
        manner: Manner,
        note: Callable[[TemplateState], None],
    ) -> None:
        """Take a resource; its records are *saved*, and *note* is told how it stands."""
        self.resource = resource
        self.in_context = manner.in_context
        self.dest = Dest(resource.dest, mode=resource.mode, uid=resource.uid, gid=resource.gid)
        self.record: Record | None = None
        self.state = TemplateState(dest=str(resource.dest), src=resource.src, keys=resource.needs)
        self.is_troubled = self.is_to_be_tried_again = False
        self._rendering = rendering
        self._saved = saved
        self._saved_record: Record | None = None
        self._note = note
        self._manner = manner
        self._is_ours = False
        self._causes: frozenset[str] = frozenset()
        self._rendered: tuple[bytes, float] = (b"", 0.0)
        self._installed_at: float | None = None
        self._stamp: Stamp = ()
        self._in_place: tuple[Stamp, bytes] | None = None  # how the file was when it was right, and checked

    @property
    def is_pending(self) -> bool:
        """Whether what is in place may not be in effect yet."""
        return self.record is not None and self.record.installed != self.record.proved

    @property
    def is_in_doubt(self) -> bool:
        """Whether what is in place is what nginx would not load before, and has not loaded since."""
        return self.record is not None and self.record.unloadable == self.record.installed != ""

    @property
    def installed_at(self) -> float:
        """When what is in place was put there, in seconds since boot."""
        return self.dest.changed_at() if self._installed_at is None else self._installed_at

    @property
    def _adopts(self) -> bool:
        return self._manner.adopts and not self._is_ours

    async def resume(self, *, begun: bool) -> None:
        """Take up what an earlier run has left, which may have *begun* to put a file in place."""
        self.record = self._saved_record = await asyncio.to_thread(
            self._saved.load_record, self.resource.dest
        )
        self._is_ours = begun or self.record is not None
        self._stamp = self.dest.stamp()
        self.note(self.state.state)
        await self.unstage()

    async def unstage(self) -> None:
        """Delete the staged file."""
        if not self._manner.keeps_stage:
            await asyncio.to_thread(self.dest.unstage)

    async def wish(self, view: View, causes: frozenset[str] = frozenset()) -> Wish | None:
        """Render; return what is to be put in place, None where nothing is.

        Args:
            view: What is known.
            causes: Whose listings, or what else, made it another one; empty where it is the same.
        """
        self.is_troubled = self.is_to_be_tried_again = False
        self._stamp = self.dest.stamp()  # before it is read: an edit meanwhile is seen at the next look
        if self.record is None and (missing := view.missing(self.resource.require)):
            self.note("waiting", f"for keys below {', '.join(missing)}")
            return None
        try:
            return await self._wish(view, causes)
        except TemplateError as exc:
            self._causes = causes or self._causes
            kept = "its last good file is kept" if self._stamp else "there is no file yet"
            self.note("refused", f"{exc} ({kept})")
        except StateError as exc:
            self.note("failed", str(exc))
        return None

    async def _wish(self, view: View, causes: frozenset[str]) -> Wish | None:
        shown = self._rendered[1] or (self.record.clock if self.record else 0.0)
        content, clock = await self._rendering.render(view, clock=shown or time.time())
        if self._in_place == (self._stamp, content) and self.record == self._saved_record:
            self._rendered = content, clock
            return None  # as nearly always, where there are many resources: told without reading the file
        before = await asyncio.to_thread(self.dest.now)
        known = (self._rendered[0], before.content if before else None)
        if shown and clock and content not in known:
            # it shows the time; with that of last time it differs, so something else has changed, too
            content, clock = await self._rendering.render(view, clock=time.time())
        if content != self._rendered[0]:  # else it is a new try, or none of its business
            self._causes = causes
        self._rendered = content, clock
        wish = Wish(self, self.dest.wanted(content, before), before, clock)
        if wish.is_new:
            return wish
        digest = digest_of(content)
        if self._adopts and self.resource.check is None:
            await self.save(Record(installed=digest, proved=digest, proof="written", at=time.time()))
        if self.record is None or self.record.installed != digest:
            return wish
        await self.save(self.record)
        await self.mend(wish)
        if wish.form == wish.before:
            self._in_place = self._stamp, content
        return None

    async def mend(self, wish: Wish) -> None:
        """Give the file mode and owner as they should be; that is no reason to reload."""
        if wish.form != wish.before:
            await asyncio.to_thread(self.dest.mend, wish.form)
            log.info("template.mode_mended", dest=str(self.dest.path))

    async def has_drifted(self) -> bool:
        """Tell whether somebody has touched the file, or what is read besides keys has changed."""
        return self.dest.stamp() != self._stamp or await self._rendering.has_changed()

    async def install(self, wish: Wish) -> None:
        """Put *wish* in place of what is there.

        Raises:
            StateError: It can't be; what was there still is, but for a file that is mounted.
        """
        self._stamp = await asyncio.to_thread(self.dest.install, wish.form)
        self._installed_at = time.clock_gettime(time.CLOCK_BOOTTIME)

    async def keep(self, wish: Wish) -> None:
        """Note that *wish* is in place, and checked.

        Raises:
            StateError: That can't be saved.
        """
        if not wish.is_new:
            self._installed_at = None  # somebody else has put it there
            await self.mend(wish)
        before, digest = self.record or Record(installed=""), digest_of(wish.form.content)
        # a reload that the same content had before was for what somebody else then put in its place
        after = msgspec.structs.replace(
            before, installed=digest, proved="" if wish.is_new else before.proved, clock=wish.clock
        )
        if wish.is_new:
            self._in_place = self._stamp, wish.form.content
            was_edited = before.installed == digest  # so it was there, and is not any more
            event = "template.edit_undone" if was_edited else "template.written"
            log.info(event, dest=str(self.dest.path), bytes=len(wish.form.content))
        elif self._adopts:
            after = msgspec.structs.replace(after, proved=digest, proof="written", at=time.time())
        await self.save(after)

    async def proved(self, proof: str) -> None:
        """Note that what is in place is in effect."""
        if (record := self.record) is not None:
            now, proved = time.time(), record.installed
            unloadable = "" if record.unloadable == proved else record.unloadable
            await self.save(
                msgspec.structs.replace(record, proved=proved, proof=proof, at=now, unloadable=unloadable)
            )

    async def put_back(self) -> None:
        """Note that the file which was proved last is in place again."""
        now = await asyncio.to_thread(self.dest.now)
        digest = digest_of(now.content) if now else ""
        log.info("template.put_back", dest=str(self.dest.path))
        if (record := self.record) is not None:
            await self.save(
                msgspec.structs.replace(record, installed=digest, proved=digest, unloadable=record.installed)
            )

    def is_unloadable(self, wish: Wish) -> bool:
        """Tell whether nginx would not load the content of *wish* the last time that it was told to."""
        return self.record is not None and self.record.unloadable == digest_of(wish.form.content)

    async def save(self, record: Record) -> None:
        """Remember *record*, also for later runs.

        Raises:
            StateError: It can't be saved. It counts all the same: what a later run does not know costs it a
                check and a reload.
        """
        self.record, self._is_ours = record, True
        if record != self._saved_record:
            await asyncio.to_thread(self._saved.save_record, self.resource.dest, record)
            self._saved_record = record

    def note(self, state: str, reason: str = "") -> None:
        """Say how it stands."""
        self.is_troubled |= state in ("waiting", "refused", "failed")
        self.is_to_be_tried_again |= state == "failed"
        record, before = self.record, self.state
        same = (before.state, before.reason) == (state, reason)
        self.state = TemplateState(
            dest=before.dest,
            src=before.src,
            state=state,
            since=before.since if same else time.time(),
            reason=reason,
            proof=record.proof if record else "",
            applied_at=(record.at or None) if record else None,
            keys=before.keys,
            causes=tuple(sorted(self._causes)),
        )
        self._note(self.state)


def digest_of(content: bytes) -> str:
    """Return what stands for *content* in a record."""
    return hashlib.sha256(content).hexdigest()
