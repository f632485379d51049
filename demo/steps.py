"""The steps: each does something to the parts, and checks that what should follow did."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from demo.asking import Mark, failures_in_words, listed, tally
from demo.errors import DemoError
from demo.stage import HOST, SERVICE, key_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demo.journal import Event
    from demo.screen import Screen
    from demo.stage import Stage

_BAD = "127.0.0.1:80; return 403"
_ASKS = 100
_GONE_ASKS = 60  # a backend that still counted would have its turn long before
_AFTER_S = 0.5
_AWAY_S = 1.0


class Steps:
    """What the demo does, in order.

    Args:
        stage: The parts.
        screen: Where it is shown.

    Attributes:
        all: Title and doing of each step.
    """

    def __init__(self, stage: Stage, screen: Screen) -> None:
        self._stage = stage
        self._screen = screen
        self._etcd = stage.etcd
        self._nginx = stage.nginx
        self._proxyconf = stage.proxyconf
        self._journal = stage.proxyconf.journal
        self._visitor = stage.visitor
        self._trickle = stage.trickle
        self._checked = Mark()
        self._excused = 0
        self.all: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("start etcd, proxyconf and nginx", self._start),
            ("a backend joins", self._first_joins),
            ("a second one joins, and they share the traffic", self._second_joins),
            ("one leaves, and no request fails", self._one_leaves),
            ("a bad value is set aside, and the rest goes live", self._bad_value),
            ("etcd is killed, and comes back with a change", self._etcd_dies),
            ("nginx is killed, something changes, and it is started again", self._nginx_dies),
        )

    async def _start(self) -> None:
        screen, route = self._screen, json.dumps({"host": HOST})
        await self._etcd.start()
        await self._etcd.put_when_up(f"/proxyconf/routes/{SERVICE}", route)
        screen.ok(f"etcd serves at {self._etcd.url}, with one key: /proxyconf/routes/{SERVICE} = {route}")
        screen.did(self._proxyconf.command)
        await self._proxyconf.start()
        event = await self._journal.find("that nginx does not run", _is("nginx.not_running"))
        screen.ok("proxyconf has written and checked a configuration, and says how to start nginx on it")
        await self._start_nginx(event)
        await self._journal.find("that nginx serves it", _is("nginx.running"))
        answer = await self._visitor.ask()
        if answer.status != 503:
            raise DemoError(f"a route without a backend should answer 503, but it answers {answer}")
        screen.ok(f"{self._stage.url} answers 503: there is a route, and no backend yet")

    async def _first_joins(self) -> None:
        await self._join("a")
        self._screen.more(
            "(proxyconf stops its clock when nginx has proved that it runs the new configuration)"
        )
        await self._share("a")
        self._trickle.start()
        self._screen.did("send a visitor every 20 ms, on a new connection each; all that fail are counted")

    async def _second_joins(self) -> None:
        await self._join("b")
        await self._share("ab")
        self._no_failure()

    async def _one_leaves(self) -> None:
        seen = len(self._journal.events)
        self._screen.did(f"delete {key_of('a')}")
        start = time.perf_counter()
        await self._etcd.delete(key_of("a"))
        last = await self._visitor.without("a", asks=_GONE_ASKS)
        event = await self._applied("-", "a", seen)
        self._screen.ok(f"a got its last request {_ms(last - start)} after that ({_says(event)})")
        self._screen.did("end backend a")
        self._stage.backends["a"].close()
        await self._share("b")
        await asyncio.sleep(_AFTER_S)
        self._no_failure()

    async def _bad_value(self) -> None:
        self._screen.did(f"put {key_of('c')} = {_BAD}   (a bad value, and right after it a good one)")
        await self._etcd.put(key_of("c"), _BAD)
        await self._join("d")
        problem = await self._one_problem(key_of("c"))
        self._screen.ok("c is set aside and did not hold up d; `proxyconf status` says:")
        self._screen.more(problem)
        await self._join("c")
        if problems := await self._problems():
            raise DemoError(f"the value was mended, but status still names problems: {problems}")
        self._screen.ok("and status names no problem any more")
        await self._share("bcd")
        self._no_failure()

    async def _etcd_dies(self) -> None:
        seen = len(self._journal.events)
        self._screen.did(f"kill -9 {self._etcd.pid} (etcd)")
        await self._etcd.kill()
        event = await self._journal.find("that etcd is lost", _is("source.lost"), since=seen)
        self._screen.ok(f"proxyconf has noticed, and tries again: {event.fields['reason']}")
        await asyncio.sleep(_AWAY_S)
        await self._share("bcd")
        self._screen.did("start etcd again, and as soon as it takes a change:")
        await self._etcd.start()
        await self._join("e")
        await self._share("bcde")
        self._no_failure()

    async def _nginx_dies(self) -> None:
        self._no_failure(silent=True)
        seen = len(self._journal.events)
        self._screen.did("kill -9 nginx: master and workers")
        self._nginx.kill()
        self._screen.did(f"delete {key_of('e')}")
        await self._etcd.delete(key_of("e"))
        event = await self._journal.find("that nginx does not run", _is("nginx.not_running"), since=seen)
        self._screen.ok("proxyconf has noticed, and says how to start nginx again")
        await self._start_nginx(event)
        counts = await self._visitor.survey(_ASKS)
        if counts.keys() != set("bcd"):
            raise DemoError(f"the first {_ASKS} requests should reach b, c and d, but got: {tally(counts)}")
        self._screen.ok(
            f"right from the first request on: {_ASKS} of them reached {tally(counts)}, and none e"
        )
        await self._applied("-", "e", seen)
        self._excuse()
        await asyncio.sleep(_AFTER_S)
        self._no_failure()

    async def _start_nginx(self, event: Event) -> None:
        command = str(event.fields["start"])
        self._screen.did(command)
        await self._nginx.start(command)

    async def _join(self, name: str) -> None:
        """Put a backend, and measure until nginx answers by it."""
        seen, backend = len(self._journal.events), self._stage.backends[name]
        self._screen.did(f"put {key_of(name)} = {backend.address}")
        start = await self._etcd.put_when_up(key_of(name), backend.address)
        await self._visitor.until(name)
        measured_s = time.perf_counter() - start
        event = await self._applied("+", name, seen)
        self._screen.ok(f"served after {_ms(measured_s)}, from the put to the first answer ({_says(event)})")

    async def _applied(self, sign: str, name: str, since: int) -> Event:
        """Wait until proxyconf has proved that a backend came or went."""
        change = f"{sign} {SERVICE} {self._stage.backends[name].address}"
        return await self._journal.find(
            f"{change!r}",
            lambda event: event.name in ("site.applied", "nginx.running") and change in event.changed,
            since=since,
        )

    async def _share(self, names: str) -> None:
        counts = await self._visitor.shared(names, asks=_ASKS)
        self._screen.ok(f"of {_ASKS} requests {listed([f'{counts[name]} went to {name}' for name in names])}")

    async def _one_problem(self, key: str) -> str:
        """Return the one problem that status names.

        Raises:
            DemoError: There is none, or another one.
        """
        problems = await self._problems()
        if len(problems) != 1 or key not in problems[0]["where"]:
            raise DemoError(f"status should name one problem, with {key}; it names {problems}")
        return "{what} {where}: {why}".format(**problems[0])

    async def _problems(self) -> list[dict[str, str]]:
        """Return what status names, but for a folder that nginx's workers can't enter: not the demo's."""
        found = (await self._proxyconf.status())["problems"]
        return [problem for problem in found if problem["what"] != "folder"]

    def _no_failure(self, *, silent: bool = False) -> None:
        """Check all requests since the last check.

        Raises:
            DemoError: Some failed.
        """
        before, now = self._checked, self._trickle.mark()
        failures = self._trickle.failures[before.failed : now.failed]
        count = now.total - before.total
        if failures:
            raise DemoError(f"{len(failures)} of {count} requests failed: {failures_in_words(failures)}")
        self._checked = now
        if not silent:
            self._screen.ok(f"{count} requests meanwhile, none failed")

    def _excuse(self) -> None:
        """Leave out what failed while there was no nginx."""
        before, self._checked = self._checked, self._trickle.mark()
        self._excused = self._checked.failed - before.failed
        self._screen.more(
            f"While nginx was away {self._excused} requests failed; from now on they count again."
        )

    def summary(self) -> str:
        """Return what the visitor has seen in all steps."""
        return f"{self._checked.total} requests, none failed but the {self._excused} while nginx was killed"


def _is(name: str) -> Callable[[Event], bool]:
    return lambda event: event.name == name


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _says(event: Event) -> str:
    return f"proxyconf says {event.fields.get('served_ms')} ms"
