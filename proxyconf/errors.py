"""Errors proxyconf raises on purpose, named for what the caller does about them.

Anything else that escapes is a bug: inside a source or a group of templates it is isolated (see `supervisor`
and `groups.lane`), in the core it ends the process.
"""


class ProxyconfError(Exception):
    """Base of every expected failure. Message: ``operation object: reason (hint)``."""


class UsageError(ProxyconfError):
    """A mistake in the configuration or in use; only a person can mend it. Exit code 2."""


class SourceError(ProxyconfError):
    """A source lost its store; the supervisor keeps the last listing and tries again."""


class SourceDeniedError(SourceError):
    """The store refuses us (password, certificate, socket permission): tried again, but slowly."""


class BadValueError(ProxyconfError):
    """A value from a source is not of its type; it becomes a `Problem` where it was read."""


class CommandError(ProxyconfError):
    """A program could not be started, or did not end in time; it says nothing about what was asked."""


class RefusedError(ProxyconfError):
    """``nginx -t`` refuses a candidate; to try the same bytes again is pointless.

    Attributes:
        output: What nginx printed.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class UncheckedError(ProxyconfError):
    """There is no nginx to ask about a candidate. A state, not a failure: what comes up will be asked."""


class ReloadError(ProxyconfError):
    """A checked candidate did not become live; try the reload again, with back-off."""


class ReloadRefusedError(ReloadError):
    """nginx's master said [emerg] to the reload: the last good files must go back first."""


class NotRunningError(ReloadError):
    """No nginx runs on our file. A state, not a failure: its start settles it."""


class StateError(ProxyconfError):
    """Our own folder can't be used (permission, a full disk, another proxyconf)."""


class NoCopyError(StateError):
    """nginx's files can't be copied beside themselves to be checked with a candidate: check it in place."""


class StateInUseError(StateError):
    """Another proxyconf uses the state folder."""


class Shutdown(Exception):  # noqa: N818 - not an error: it ends the task group from inside
    """Raised inside the task group to end it; never seen outside `app`."""
