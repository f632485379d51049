"""The first process of a container: pass signals on, and collect what nobody waits for.

The kernel gives PID 1 every orphan, and drops the signals that it has no handler for. So PID 1 does nothing
else, and the program itself is its child: were it to collect orphans beside its work, it could take the exit
codes of its commands from the threads that wait for them.

This file is also a program, ``init.py CHILD SIGNAL...``, of the standard library alone: as a mere copy of us
PID 1 would cost 20 MB of memory more.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def step_aside(also: tuple[signal.Signals, ...] = ()) -> None:
    """Go on as a child of PID 1, where that is us; to be called while there is one thread.

    The parent ends, and with it all that runs in the container, when the child has ended: with its exit code,
    or 128 and the number of the signal that killed it.

    Args:
        also: Signals to pass on besides those that every long run takes: TERM, INT, QUIT and HUP.
    """
    if os.getpid() != 1:
        return
    awaited = {*_PASSED_ON, *also, signal.SIGCHLD}
    # blocked, they wait, also for a program to come: none is lost before the child can take it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    words = [sys.executable, "-I", "-S", __file__, str(child), *(str(int(number)) for number in awaited)]
    os.execv(sys.executable, words)  # noqa: S606 - no shell, and words of ours


def attend(child: int, awaited: set[int]) -> int:
    """Do PID 1's work until *child* ends; return the exit code.

    Args:
        child: Its pid.
        awaited: Signals that are blocked: SIGCHLD, and those to be passed on.
    """
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


if __name__ == "__main__":
    sys.exit(attend(int(sys.argv[1]), {int(number) for number in sys.argv[2:]}))
