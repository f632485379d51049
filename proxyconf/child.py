"""nginx as our child, for ``proxyconf run --exec``: started, started again, and drained at the end.

It has a session of its own: a Ctrl-C in our terminal is not for it, and a crash of ours does not end it. The
run after that finds it by its pid file, and goes on with it instead of starting a second one.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from proxyconf.api import ChildState
from proxyconf.errors import CommandError, Shutdown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from proxyconf.tables import Exec

log = structlog.get_logger(__name__)

_BACK_OFF_S = (0.1, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # a crash after days costs nobody a second
_STEADY_S = 60.0  # who has run for so long starts at the first of these again
_LOOK_S = 1.0
_TERMINATE_S = 1.0  # with stop_timeout's 8 s this is less than the 10 s that `docker stop` waits


@dataclass(frozen=True, slots=True)
class _End:
    """How it ended: the exit code that is passed on, and in words."""

    code: int
    why: str


class Child:
    """One nginx that is to run as long as we do.

    Args:
        argv: The command: program and arguments. It must stay in the foreground.
        settings: The ``[exec]`` table.
        ready: Waits until it may be started.
        master: Returns the pid of the master that already runs on our file, if any.
        note: Is told how it stands.

    Attributes:
        exit_code: That of ours, where we end because nginx has.

    Raises:
        CommandError: There is no such program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        settings: Exec,
        *,
        ready: Callable[[], Awaitable[None]],
        master: Callable[[], Awaitable[int | None]],
        note: Callable[[ChildState], None],
    ) -> None:
        if not shutil.which(argv[0]):
            raise CommandError(f"run {argv[0]}: no such program (is it installed, and may we run it?)")
        self.exit_code = 0
        self._argv = list(argv)
        self._settings = settings
        self._ready = ready
        self._master = master
        self._note = note
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = False
        self._restarts = 0
        self._tell("waiting")

    async def run(self) -> None:
        """Start it once it may be, and again whenever it ends by itself; return after `stop`.

        A cancellation leaves it running.

        Raises:
            Shutdown: It has ended, and by the settings so do we.
        """
        await self._ready()
        failures = 0
        while True:
            since = time.monotonic()
            end = await self._follow()
            if self._stopping:
                return
            if self._settings.on_exit == "end":
                log.error("nginx.ended", reason=f"{end.why}; so proxyconf ends, too")
                self.exit_code = end.code
                raise Shutdown
            failures = 0 if time.monotonic() - since >= _STEADY_S else failures
            delay_s = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
            failures += 1
            self._restarts += 1
            why = f"{end.why}; it is started again after {delay_s:g} s"
            log.error("nginx.ended", reason=why)
            self._tell("down", reason=why)
            await asyncio.sleep(delay_s)

    def reopen(self) -> None:
        """Have it open its logs anew (SIGUSR1), after a rotation for example."""
        if pid := self._adopted or (self._process and self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)

    async def stop(self) -> None:
        """End it: it finishes the requests that it has, but not for longer than ``stop_timeout``.

        One that we did not start is left running.
        """
        self._stopping = True
        if self._adopted:
            hint = f"we did not start it (kill -QUIT {self._adopted} ends it in order)"
            log.warning("nginx.left_running", pid=self._adopted, reason=hint)
        if self._process:
            await self._drain(self._process.pid)

    async def _drain(self, pid: int) -> None:
        self._tell("stopping", pid=pid)
        started, patience_s = time.monotonic(), self._settings.stop_timeout
        os.kill(pid, signal.SIGQUIT)
        if not await self._ends_within(patience_s):
            log.warning("nginx.cut_short", reason=f"its requests are not done after {patience_s:g} s")
            os.kill(pid, signal.SIGTERM)
            if not await self._ends_within(_TERMINATE_S):
                os.killpg(pid, signal.SIGKILL)
                await self._ended
        log.info("nginx.stopped", duration_ms=round((time.monotonic() - started) * 1000))

    async def _ends_within(self, patience_s: float) -> bool:
        ended, _ = await asyncio.wait([self._ended], timeout=patience_s)
        return bool(ended)

    async def _follow(self) -> _End:
        """Start it, or find one that runs; return how it ended."""
        if pid := await self._master():
            return await self._adopt(pid)
        try:
            process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: ASYNC220, S603 - 3 ms, in which it must not be half started
        except OSError as exc:
            return _End(127, f"can't be started: {exc.strerror}")
        self._process, self._ended = process, asyncio.get_running_loop().create_future()
        self._tell("running", pid=process.pid)
        log.info("nginx.started", pid=process.pid, command=shlex.join(self._argv))
        since = time.monotonic()
        await _wait_for(process.pid)
        code = _collect(process)
        self._process = None
        self._ended.set_result(None)
        return _End(*_in_words(code, time.monotonic() - since))

    async def _adopt(self, pid: int) -> _End:
        self._adopted = pid
        self._tell("adopted", pid=pid)
        log.warning("nginx.adopted", pid=pid, reason="it runs on our file already, and we did not start it")
        while await self._master() == pid:  # noqa: ASYNC110 - another process
            await asyncio.sleep(_LOOK_S)
        self._adopted = None
        return _End(1, f"pid {pid}, which we did not start, has ended")

    def _tell(self, state: str, *, pid: int = 0, reason: str = "") -> None:
        self._note(
            ChildState(
                command=shlex.join(self._argv),
                state=state,
                since=time.time(),
                pid=pid,
                restarts=self._restarts,
                reason=reason,
            )
        )


async def _wait_for(pid: int) -> None:
    """Wait until our child *pid* has ended; its exit code stays there to be collected.

    In a thread of its own, which keeps nobody from ending: one of the loop's would be waited for.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        with suppress(ChildProcessError, RuntimeError):  # after a crash of ours: nobody waits any more
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, name="nginx", daemon=True).start()
    await ended.wait()


def _collect(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of *process*, which has ended, and end what it left behind.

    The workers of a master that crashed live on, and hold the addresses that the next one needs. Until the
    exit code is collected, the number of the process group is still its own.
    """
    end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if end is None or end.si_code != os.CLD_EXITED or end.si_status != 0:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGQUIT)
    return process.wait()


def _in_words(code: int, ran_s: float) -> tuple[int, str]:
    """Return the exit code for our own end, and what happened."""
    after = f"after {ran_s:.0f} s"
    if code < 0:
        return 128 - code, f"was killed by {signal.Signals(-code).name} {after}"
    if code == 0:
        return 0, f"ended in order {after} (if it went to the background: add -g 'daemon off;')"
    return code, f"ended with exit code {code} {after} (why, it said on standard error, or in its log)"
