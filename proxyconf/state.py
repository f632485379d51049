"""What outlives the process: the lock, the saved listings, what was applied last.

<state>/lock             held while we run; holds our pid
<state>/token            makes the host name that only we know
<state>/applied.json     the generation that was proved live last
<state>/listings/        one file a source, 0700: the store's values are nobody else's business
<state>/templates/       one file a destination, 0700: what we put there, and whether that was proved
<state>/paused           there while a person wants nothing applied; holds the reason
<state>/undo/            0700: what to put back after a crash (see `groups.undo`)
<state>/nginx/           the only folder that nginx sees (see `nginx.folder`)
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import os
import re
import secrets
import shlex
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from proxyconf.api import Pause
from proxyconf.errors import StateError, StateInUseError
from proxyconf.files import make_folder, remove_file, replace_file, user_name
from proxyconf.model import Listing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that nginx proved it serves.

    Attributes:
        digest: Of the candidate.
        nonce: That it answered.
        at: Unix time, seconds.
        owners: Host and path to the source and key that they belonged to.
    """

    digest: str
    nonce: str
    at: float
    owners: dict[str, tuple[str, str]] = {}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a template's destination.

    Attributes:
        installed: Digest of the content that was put there last, checked.
        proved: Digest of the content that was last seen to be in effect; "" for none.
        proof: How that was seen: nonce, workers, command (exit code 0, no more), written (nothing to reload).
        at: When, in Unix time.
        clock: The time that the template was told, in Unix time: it alone must not make a difference.
        unloadable: Digest of the content that nginx would not load when it was told to, and that was taken
            away again; "" for none.
    """

    installed: str
    proved: str = ""
    proof: str = ""
    at: float = 0.0
    clock: float = 0.0
    unloadable: str = ""


class State:
    """The state folder; every method blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nginx = path / "nginx"
        self.undo = path / "undo"
        self._listings = path / "listings"
        self._templates = path / "templates"
        self._saved: dict[str, Listing] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and be the only one who uses it.

        Raises:
            StateError: It can't be made, or another proxyconf uses it; names its pid.
        """
        try:
            # nginx's workers, which are other users, must get through to <state>/nginx
            make_folder(self.path, 0o755)
            for folder in (self._listings, self._templates, self.undo):
                make_folder(folder, 0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise StateError(
                f"open state folder {self.path}: {exc.strerror} (set [state] dir, or run as its owner)"
            ) from exc
        try:
            self._take(lock)
            yield
        finally:
            os.close(lock)

    def user(self) -> int:
        """Return the id of the user whose proxyconf was here last; ours where that is not known."""
        for name in ("applied.json", "lock"):  # the former is made anew, while a lock stays its first owner's
            with suppress(OSError):
                return (self.path / name).stat().st_uid
        return os.geteuid()

    def refuse_root(self) -> None:
        """Refuse to be root in the place of another user, who could not touch what root writes.

        Raises:
            StateError: So it would be.
        """
        if os.geteuid() == 0 and self.user() != 0:
            name = user_name(self.user())
            raise StateError(
                f"open state folder {self.path}: it is in use by the user {name}, who could not touch what"
                f" root writes (sudo -u {shlex.quote(name)} proxyconf ..., or set another [state] dir; to go"
                f" on as root for good: chown -R root {self.path})"
            )

    def user_beside(self) -> str:
        """Return whom nginx's workers run as, where we are root beside that user's proxyconf; "" elsewhere.

        Raises:
            StateError: nginx can't be told who that is.
        """
        if os.geteuid() != 0 or self.user() == 0:
            return ""
        name = user_name(self.user())
        if name not in {group.gr_name for group in grp.getgrall()}:
            self.refuse_root()  # nginx wants a name that is a group's, too
        return name

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
            raise StateInUseError(
                f"lock {self.path}: proxyconf with pid {holder} uses it"
                " (stop that one, or set another [state] dir)"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def token(self) -> str:
        """Return 128 random bits in hexadecimal, the same ones for this folder's whole life."""
        if found := self.known_token():
            return found
        token = secrets.token_hex(16)
        replace_file(self.path / "token", token.encode())
        return token

    def known_token(self) -> str:
        """Return the token that is there; "" where there is none, or it is not ours to read."""
        try:
            found = (self.path / "token").read_bytes().decode("ascii", "replace")
        except OSError:
            return ""
        return found if re.fullmatch(r"[0-9a-f]{32}", found) else ""

    def load_listings(self) -> tuple[Listing, ...]:
        """Return the listings of an earlier run; one that is damaged, or not ours to read, counts as none."""
        try:
            files = sorted(self._listings.glob("*.msgpack"))
        except OSError:  # in a folder that we may not enter
            files = []
        for file in files:
            try:
                listing = msgspec.msgpack.decode(file.read_bytes(), type=Listing)
            except (OSError, msgspec.DecodeError):
                continue
            self._saved[listing.source] = listing
        return tuple(self._saved.values())

    def save_listings(self, listings: tuple[Listing, ...]) -> None:
        """Save those that differ from what is saved, and delete those of other sources: nobody follows them.

        Raises:
            StateError: Full, or not ours to write.
        """
        for listing in listings:
            if self._saved.get(listing.source) is not listing:
                replace_file(self._listing(listing.source), msgspec.msgpack.encode(listing))
                self._saved[listing.source] = listing
        for source in self._saved.keys() - {listing.source for listing in listings}:
            remove_file(self._listing(source))
            del self._saved[source]

    def _listing(self, source: str) -> Path:
        return self._listings / f"{source}.msgpack"

    def load_applied(self) -> Applied | None:
        """Return what was applied last; None when that is not known."""
        try:
            return msgspec.json.decode((self.path / "applied.json").read_bytes(), type=Applied)
        except (OSError, msgspec.DecodeError):
            return None

    def save_applied(self, applied: Applied) -> None:
        """Save what nginx has just proved.

        Raises:
            StateError: Full, or not ours to write.
        """
        replace_file(self.path / "applied.json", msgspec.json.encode(applied))

    def load_pause(self) -> Pause | None:
        """Return the pause that was not ended yet; None when there is none."""
        file = self.path / "paused"
        try:
            return Pause(since=file.stat().st_mtime, reason=file.read_text(errors="replace").strip())
        except OSError:
            return None

    def save_pause(self, reason: str) -> Pause:
        """Note that nothing is to be applied, also by later runs; return what is noted.

        A pause that lasts already keeps its time, and without another *reason* the one that it has.

        Raises:
            StateError: Full, or not ours to write.
        """
        file, before = self.path / "paused", self.load_pause()
        if before and reason in ("", before.reason):
            return before
        replace_file(file, reason.encode())
        if before:
            os.utime(file, (before.since, before.since))
        return Pause(since=file.stat().st_mtime, reason=reason)

    def end_pause(self) -> None:
        """Note that everything is to be applied again.

        Raises:
            StateError: The note can't be removed.
        """
        remove_file(self.path / "paused")

    def load_record(self, dest: Path) -> Record | None:
        """Return what is known of a destination; None when nothing is."""
        try:
            return msgspec.json.decode(self._record(dest).read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return None

    def save_record(self, dest: Path, record: Record) -> None:
        """Save what is known of a destination.

        Raises:
            StateError: Full, or not ours to write.
        """
        replace_file(self._record(dest), msgspec.json.encode(record))

    def _record(self, dest: Path) -> Path:
        return self._templates / f"{hashlib.sha256(str(dest).encode()).hexdigest()[:16]}.json"
