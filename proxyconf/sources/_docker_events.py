"""What holds between two container lists: deaths, stop signals, and what to ask when. Pure: time comes in.

An engine says what happened before its list shows it: a dead container is listed as running for up to 71 ms
more, a paused or newly connected one in its old state for 3 to 9 ms. So a death counts by itself, and every
other event asks for lists: one at once and two a little later. A container's variables are in no list, but
stay as they are, so that each is inspected once, and shown from then on. One that is removed is remembered
for a while, as it may be replaced. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from proxyconf.sources._docker_lives import LIFE_S, Lives
from proxyconf.sources._docker_reading import DEFAULT_STOP, Details, Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxyconf.model import Container

ACTIONS = (
    *("start", "die", "kill", "pause", "unpause", "health_status", "rename", "destroy"),
    *("connect", "disconnect"),  # of networks
    *("died", "remove"),  # podman's own words for die and destroy
)
"""What matters; the engine need not send other events."""

_LOOKS_S = (0.0, 0.02, 0.25)
_LIVE = ("running", "paused")
_LAST_WORDS = (signal.SIGTERM, signal.SIGKILL)
_GRACE_S = 5.0
# a container may be given all the time there is to end, and one that only ignores the signal never does
_STOP_MAX_S = 3600.0
_REST_MAX_S = 1.0
# whoever replaces a container may remove it first (docker compose does), and start the new one when what it
# depends on is healthy
_REMOVED_S = 60.0
# far above the 71 ms that an engine was seen to need: what it still lists as running by then does run, and it
# was the event of its new start that got lost
_DOUBT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Death:
    """A container died.

    Attributes:
        time_ns: When, by the engine's clock.
        heard: When we learned it.
        until: Lists asked for before this do not bring it back to life.
    """

    time_ns: int
    heard: float
    until: float


@dataclass(slots=True)
class _Told:
    """What a container was told.

    Attributes:
        stopping: When it was last told to stop; None: it was not.
        maybe: Signal to the time it was sent, while we do not know the container's stop signal.
    """

    stopping: float | None = None
    maybe: dict[int, float] = field(default_factory=dict)


class Mirror:
    """An engine's last list, corrected by what was heard since.

    With *env*, every container is inspected. One that is not inspected yet is not shown: without its
    variables, it would be another one.
    """

    def __init__(self, *, env: bool) -> None:
        self._env = env
        self._rows: dict[str, Container] = {}  # in the order of their ids
        self._deaths: dict[str, _Death] = {}
        self._told: dict[str, _Told] = {}
        self._lives = Lives()
        self._healthy = Lives()
        self._removed: dict[str, tuple[Container, float]] = {}  # with the time to forget it
        self._details: dict[str, Details] = {}
        self._wanted: set[str] = set()
        self._pending: set[str] = set()
        self._shown: tuple[object, ...] | None = None
        self._listed = self._urgent = False
        self._asked: float | None = None
        self._looks: list[float] = []
        self._relist = self._rest = -math.inf

    def look(self, now: float) -> None:
        """List at once, and again a little later: an engine's list lags behind its events."""
        self._looks = [now + delay_s for delay_s in _LOOKS_S]

    def forget_question(self) -> None:
        """Expect no answers any more: the connection is a new one. What was heard stays."""
        self._asked = None
        self._pending.clear()

    def ask(self, now: float) -> bool:
        """Say whether to ask for a list now; if so, `take` must follow before it says so again."""
        if self._asked is not None or now < self._due():
            return False
        self._asked = now
        self._looks = [time for time in self._looks if time > now]
        return True

    def questions(self, now: float) -> list[str]:
        """Return the containers that must be inspected, each once; `learn` is to follow."""
        told = [container for container in self._told if now >= self._question_due(container)]
        wanted = sorted(self._wanted.union(told) - self._pending)
        self._wanted.clear()
        self._pending.update(wanted)
        return wanted

    def wake(self) -> float:
        """Return when something is due without anything being heard; infinite for never."""
        times = [math.inf if self._asked is not None else self._due()]
        times += self._lives.wake(), self._healthy.wake()
        times += (until for _, until in self._removed.values())
        for container in self._told:
            times += self._question_due(container), self._lapse(container)
        return min(times)

    def hear(self, event: Event, now: float) -> None:
        """Take in an event."""
        match event.action:
            case "kill":
                self._kill(event, now)
                return
            case "die":
                self._die(event, now)
            case "start":
                self._start(event, now)
        if event.action in ACTIONS:
            self.look(now)

    def learn(self, container: str, details: Details) -> None:
        """Take in what an inspect told."""
        self._details[container] = details
        self._pending.discard(container)
        stop = details.stop
        if told := self._told.pop(container, None):
            stopping = told.maybe.get(stop.signal, told.stopping)
            if stopping is not None:
                self._told[container] = _Told(stopping)

    def take(self, containers: Iterable[Container], now: float, *, relist_s: float) -> None:
        """Take in the list that was asked for; the next is due *relist_s* seconds from now at the latest."""
        asked = now if self._asked is None else self._asked
        rows = {container.id: container for container in sorted(containers, key=attrgetter("id"))}
        for dead in [key for key, death in self._deaths.items() if _is_over(death, rows.get(key), asked)]:
            del self._deaths[dead]
        self._removed = {key: one for key, one in self._removed.items() if key not in rows}
        for key in sorted(self._rows.keys() - rows.keys()):
            self._remove(self._rows[key], now)
        before = self._rows
        self._rows = {key: _dead(row) if key in self._deaths else row for key, row in rows.items()}
        for key in before.keys() & rows.keys():
            self._note_health(before[key], self._rows[key], asked)
        self._details = {key: details for key, details in self._details.items() if key in rows}
        self._lives.keep(rows, asked=asked)
        self._healthy.keep(rows, asked=asked)
        for key in (key for key, row in self._rows.items() if row.state == "running"):
            self._lives.see(key, asked=asked)
        if self._env:
            # what was refused (a container that is half removed, an engine out of breath) is asked for again
            self._wanted = {key for key in rows if (known := self._details.get(key)) is None or known.refused}
        self._listed, self._asked = True, None
        self._relist = now + relist_s
        # an engine in a storm of events spends at most half of its time on our lists
        self._rest = now + min(now - asked, _REST_MAX_S)

    def news(self, now: float) -> tuple[tuple[Container, ...], bool] | None:
        """Return all containers, by id, and whether one died, if anything differs from what was told last."""
        for container in [container for container in self._told if now >= self._lapse(container)]:
            del self._told[container]
        self._lives.pardon(now)
        self._healthy.pardon(now)
        self._removed = {key: one for key, one in self._removed.items() if now < one[1]}
        rows = [row for row in self._rows.values() if not self._env or row.id in self._details]
        if not self._listed or (self._shown is None and len(rows) < len(self._rows)):
            return None  # unknown is not empty: the first time, all must be known
        shown = tuple(map(self._corrected, rows))
        if (news := (shown, self.removed(), self.refused())) == self._shown:
            return None
        self._shown, urgent, self._urgent = news, self._urgent, False
        return shown, urgent

    def removed(self) -> tuple[Container, ...]:
        """Return the containers that are gone since a moment ago."""
        return tuple(container for container, _ in self._removed.values())

    def refused(self) -> Mapping[str, str]:
        """Return the names of the containers that can't be inspected, and why."""
        found = {
            row.name: self._details[key].refused for key, row in self._rows.items() if key in self._details
        }
        return {name: reason for name, reason in found.items() if reason}

    def _remove(self, row: Container, now: float) -> None:
        """Remember a container that is gone, unless it was never started or never shown."""
        if row.state != "created" and (row.id in self._details or not self._env):
            last = replace(self._corrected(row), draining=False, probation_s=0.0)
            self._removed[row.id] = (_dead(last), now + _REMOVED_S)

    def _note_health(self, before: Container, row: Container, asked: float) -> None:
        """Take in whether a health check has begun to pass or to fail; only what lists show costs reloads."""
        if row.state not in _LIVE:
            self._healthy.forget(row.id)
        elif row.health == "healthy" != before.health:
            self._healthy.start(row.id, int(asked * 1e9), asked)
        elif row.health == "unhealthy" != before.health:
            self._healthy.end(row.id, int(asked * 1e9))

    def _due(self) -> float:
        return max(min([self._relist, *self._looks]), self._rest)

    def _kill(self, event: Event, now: float) -> None:
        """A stop only when the signal means one: HUP and USR1 are kill events, too, and it runs on."""
        key, details = event.container, self._details.get(event.container)
        ends = event.signal in _LAST_WORDS or (details and event.signal == details.stop.signal)
        if key in self._deaths:  # the engine may tell of the signal after it told of the death
            if ends:
                self._lives.forget(key)
        elif ends:
            self._told.setdefault(key, _Told()).stopping = now
        elif details is None and event.signal:
            self._told.setdefault(key, _Told()).maybe[event.signal] = now

    def _die(self, event: Event, now: float) -> None:
        key = event.container
        self._healthy.forget(key)
        self._deaths[key] = _Death(event.time_ns, heard=now, until=now + _DOUBT_S)
        row = self._rows.get(key)
        if row and row.state in _LIVE:
            # into the row itself, so that only a list can bring back an address, never a mere start
            self._rows[key] = _dead(row)
            self._urgent |= not self._lives.flaps(key)  # else it got no requests anyway
        if self._told.pop(key, None):
            self._lives.forget(key)
        else:
            self._lives.end(key, event.time_ns)

    def _start(self, event: Event, now: float) -> None:
        self._told.pop(event.container, None)
        self._lives.start(event.container, event.time_ns, now)
        if self._env and event.container not in self._details:
            self._wanted.add(event.container)  # beside the list, not after it
        death = self._deaths.get(event.container)
        if death and event.time_ns >= death.time_ns:
            self._deaths[event.container] = replace(death, until=now)

    def _question_due(self, container: str) -> float:
        """When to ask how a container stops: only if its default time runs out, or the signal may mean it."""
        told = self._told[container]
        if container in self._details or container in self._pending:
            return math.inf
        if told.maybe:
            return -math.inf
        return math.inf if told.stopping is None else told.stopping + DEFAULT_STOP.timeout_s

    def _lapse(self, container: str) -> float:
        """When a container that was told to stop and did not die counts as serving again."""
        stopping = self._told[container].stopping
        details = self._details.get(container)
        stop = details.stop if details else DEFAULT_STOP
        return math.inf if stopping is None else stopping + min(stop.timeout_s, _STOP_MAX_S) + _GRACE_S

    def _corrected(self, row: Container) -> Container:
        told = self._told.get(row.id)
        draining = told is not None and told.stopping is not None and row.state in _LIVE
        details = self._details.get(row.id)
        env = details.env if details and self._env else {}
        ports = row.ports or (details.ports if details and row.state not in _LIVE else ())
        probation_s = LIFE_S if self._lives.flaps(row.id) else 0.0
        health = "flapping" if row.health and self._healthy.flaps(row.id) else row.health
        if not (draining or env or probation_s) and (ports, health) == (row.ports, row.health):
            return row
        return replace(row, draining=draining, env=env, ports=ports, health=health, probation_s=probation_s)


def _is_over(death: _Death, row: Container | None, asked: float) -> bool:
    """Say whether a list asked for at *asked* already knows of the death."""
    return asked >= death.heard and (row is None or row.state not in _LIVE or asked >= death.until)


def _dead(row: Container) -> Container:
    attached = dict.fromkeys(row.attached, "")
    return replace(row, state="exited", health="", networks={}, ports=(), published={}, attached=attached)
