"""Tell systemd how it stands: ready, reloading, stopping, alive, and a line about what is so.

The protocol of sd_notify(3), which is stable and small: a datagram of lines to the socket that NOTIFY_SOCKET
names. So these are our own few lines, as its manual advises: the libraries for it are unmaintained, or need
systemd's headers to be built. Podman speaks it, too, for a container with ``--sdnotify=container``.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, MutableMapping

    from proxyconf.api import Status
    from proxyconf.board import Board
    from proxyconf.progress import Progress

_BEAT_S = 5.0  # as often as the reconciler looks around
_START_BEATS = 4  # so many may get lost before it counts as hung
_LINE_MAX = 300  # systemctl shows one line; the log has all of it
_FINAL = frozenset({"applied", "waiting", "installed", "refused", "failed"})


class Notifier:
    """The way to whoever started us; without one, nothing is said.

    Args:
        address: The socket: a path, or ``@`` and an abstract name. "" for nobody.
        watchdog_s: How long they wait for a sign of life; 0 for ever.

    Attributes:
        watchdog_s: The same.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.watchdog_s = watchdog_s
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """Take what systemd has said in *environment*, so that nobody whom we start takes it for theirs.

        Args:
            environment: Loses the variables.
            pid: Ours: the watchdog may be meant for another process.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        limit_us, meant = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        watched = limit_us.isdecimal() and meant in ("", str(pid))
        return cls(address, int(limit_us) / 1e6 if watched else 0.0)

    def __bool__(self) -> bool:
        """Tell whether somebody listens."""
        return bool(self._address)

    def tell(self, **values: str | int) -> bool:
        """Send *values*, named as in sd_notify(3) but in small letters; tell whether they have got through.

        It does not block, and a manager that can't be reached is no reason to stop working.
        """
        if not self._address:
            return False
        text = "\n".join(f"{name.upper()}={value}" for name, value in values.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sock:
            sock.sendto(text.encode(), self._address)
            return True
        return False


class Herald:
    """Tells systemd what the board shows, for as long as it runs.

    Ready is who has proved a first configuration. Only while the reconciler moves on is the watchdog fed,
    and until then a limit for the start put off.

    Args:
        notifier: The way there.
        board: What is so.
        progress: Whether the reconciler moves on.
    """

    def __init__(self, notifier: Notifier, board: Board, progress: Progress) -> None:
        self._notifier = notifier
        self._board = board
        self._progress = progress
        self._ready = self._stopping = False
        self._beat_s = min(_BEAT_S, notifier.watchdog_s / 3 or _BEAT_S)

    async def run(self) -> None:
        """Speak until `stop`; for nobody it does nothing."""
        while self._notifier and not self._stopping:
            self._board.moved.clear()
            self._tell(self._board.status())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    await self._board.moved.wait()

    def _tell(self, status: Status) -> None:
        values: dict[str, str | int] = {"status": in_short(status)}
        ready = self._ready or is_ready(status)
        if ready and not self._ready:
            values["ready"] = 1
        if not self._progress.late_s:
            values["watchdog"] = 1
            if not ready:
                values["extend_timeout_usec"] = int(self._beat_s * _START_BEATS * 1e6)
        if self._notifier.tell(**values):  # else once more, with the next beat
            self._ready = ready

    async def reload(self, work: Awaitable[None]) -> None:
        """Say that the configuration is read again while *work* is under way, and that it is done."""
        self._notifier.tell(reloading=1, monotonic_usec=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        await work
        if self._ready:  # else nothing has been proved yet
            self._notifier.tell(ready=1, status=in_short(self._board.status()))

    def stop(self) -> None:
        """Say that we end; that is the last word."""
        self._stopping = True
        self._notifier.tell(stopping=1, status="stopping")


def is_ready(status: Status) -> bool:
    """Tell whether a first configuration is proved; where there are only templates, each has had an outcome.

    One template that is refused, or waits for its keys, must not keep those who wait for us from starting.
    Neither must a person's word that nothing is to be applied: what nginx serves was proved before that.
    """
    if status.paused:
        return True
    if status.nginx.mode != "none":
        return status.state == "applied"
    return status.state in _FINAL and all(one.state in _FINAL for one in status.templates)


def in_short(status: Status) -> str:
    """Return how it stands, in one line."""
    lost = [f"{one.name} lost: {one.reason}" for one in status.sources if one.state == "lost"]
    parts = [*_outcome(status), *lost]
    if status.problems:
        parts.append(_count(len(status.problems), "problem"))
    line = "; ".join(parts).replace("\n", " ")
    return line if len(line) <= _LINE_MAX else f"{line[:_LINE_MAX]}…"


def _outcome(status: Status) -> list[str]:
    if status.nginx.mode == "none" and not status.templates:
        return ["nothing to do: there is no template"]
    if status.nginx.mode == "none":
        found = Counter(one.state for one in status.templates)
        return [f"templates: {', '.join(f'{found[state]} {state}' for state in sorted(found))}"]
    routes = _count(len(status.routes), "route")
    said = {
        "applied": f"nginx serves {routes}",
        "installed": f"{routes} installed, but no nginx runs: {status.nginx.start}",
        "waiting": f"waits {status.reason}",
    }
    return [said.get(status.state) or ": ".join(filter(None, (status.state, status.reason)))]


def _count(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
