"""The first process of a container: pass signals on, and collect what nobody waits for.

The kernel gives PID 1 every orphan, and drops the signals that it has no handler for. So PID 1 does nothing
else, and the program itself is its child: were it to collect orphans beside its work, it could take the exit
codes of its commands from the threads that wait for them.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def step_aside(also: Collection[signal.Signals] = ()) -> None:
    """Go on as a child of PID 1, where that is us; to be called while there is one thread.

    The parent ends, and with it all that runs in the container, when the child has ended: with its exit code,
    or 128 and the number of the signal that killed it.

    Args:
        also: Signals to pass on besides those that every long run takes: TERM, INT, QUIT and HUP.
    """
    if os.getpid() != 1:
        return
    awaited = {*_PASSED_ON, *also, signal.SIGCHLD}
    # blocked, they wait: none is lost before the child can take it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    sys.exit(_attend(child, awaited))


def _attend(child: int, awaited: Collection[signal.Signals]) -> int:
    """Do PID 1's work until *child* ends; return the exit code."""
    while True:
        number = signal.sigwait(awaited)
        if number != signal.SIGCHLD:
            with suppress(ProcessLookupError):
                os.kill(child, number)
        elif (code := _collect(child)) is not None:
            return code if code >= 0 else 128 - code


def _collect(child: int) -> int | None:
    """Collect all that have ended; return how *child* did, if it has.

    One SIGCHLD may stand for several. There is always somebody to wait for until it was *child*.
    """
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            return None
