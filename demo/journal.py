"""What proxyconf logs, read as it comes, and told in whole sentences."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.asking import PATIENCE_S
from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log.

    Attributes:
        name: ``site.applied``, ``source.lost``, ...
        fields: What goes with it.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> tuple[str, ...]:
        """What came and went: ``+ hello 10.0.0.1:80``."""
        return tuple(str(self.fields.get("changed", "")).split(", "))


def read_event(line: str) -> Event | None:
    """Read a line of JSON; None where it is something else, such as a traceback."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or "event" not in found:
        return None
    return Event(str(found.pop("event")), found)


class Journal:
    """The log so far.

    Attributes:
        lines: As they came.
        events: Those that could be read.
        closed: The program has ended.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[Event] = []
        self.closed = False
        self._grown = asyncio.Event()

    async def follow(self, reader: asyncio.StreamReader) -> None:
        """Take in what *reader* brings, until its end."""
        async for raw in reader:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            if event := read_event(line):
                self.events.append(event)
                self._grown.set()
        self.closed = True
        self._grown.set()

    async def find(self, what: str, wanted: Callable[[Event], bool], *, since: int = 0) -> Event:
        """Wait for an event from number *since* on.

        Raises:
            DemoError: None such within 20 s, or the program has ended; names *what*.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    event = await self.at(since)
                    since += 1
                    if wanted(event):
                        return event
        except TimeoutError:
            raise DemoError(f"proxyconf did not log {what} within {PATIENCE_S:g} s") from None

    async def at(self, number: int) -> Event:
        """Wait for event *number*.

        Raises:
            DemoError: The program has ended before.
        """
        while number >= len(self.events):
            if self.closed:
                raise DemoError("proxyconf has ended")
            self._grown.clear()
            await self._grown.wait()
        return self.events[number]


def sentences(event: Event, names: Mapping[str, str]) -> Iterator[str]:
    """Tell an event to people.

    Args:
        event: What was logged.
        names: Address to the name of a backend.
    """
    told = event.fields
    if event.name == "nginx.running":
        yield "nginx runs, and serves all of it"
    elif event.name == "site.applied":
        for change in event.changed:
            came = "gone" if change.startswith("-") else "served"
            after = f" after {told['served_ms']} ms" if "served_ms" in told else ""
            yield f"{_change(change, names)}: {came}{after}"
    elif event.name == "problem.found":
        yield f"set aside: {told.get('what')} {told.get('where')}: {told.get('why')}"
    elif event.name == "problem.solved":
        yield f"no longer a problem: {told.get('what')} {told.get('where')}"
    elif event.name == "source.lost":
        yield f"{told.get('source')} is lost, what it last said is still served: {told.get('reason')}"
    elif event.name == "source.listed":
        yield f"{told.get('source')} is there: {told.get('entries')} keys"
    elif event.name == "nginx.not_running":
        yield f"nginx does not run; start it with: {told.get('start')}"
    else:
        yield " ".join((event.name, *(f"{key}={value}" for key, value in told.items() if key not in _STAMPS)))


_STAMPS = ("level", "timestamp")


def _change(text: str, names: Mapping[str, str]) -> str:
    sign, _, thing = text.partition(" ")
    verb = {"+": "joined", "-": "left"}.get(sign)
    if verb is None:
        return text
    service, space, address = thing.partition(" ")
    if not space:
        return f"route {service} {verb}"
    return f"backend {names.get(address, service)} ({address}) {verb}"
