"""All functions of confd's templates, under their own names. Knows no engine: Jinja is one that may use them.

The original confd's are all here, and those that only its maintained fork has, but for ``include``, which is
the engine's business. Where Go's types would have refused an argument, so does each function here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from os.path import exists
from typing import TYPE_CHECKING, Any, NamedTuple

from proxyconf.resources.arguments import named, text
from proxyconf.resources.functions_data import DATA
from proxyconf.resources.functions_text import TEXT
from proxyconf.resources.store import REQUIRED
from proxyconf.resources.world import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.resources.store import Store
    from proxyconf.resources.world import Used, World

PURE = {name: named(name, function) for name, function in (TEXT | DATA).items()}


class Server(NamedTuple):
    """A server of a service, as an SRV record says; Go's templates say ``.Target`` and so on."""

    target: str
    port: int
    priority: int
    weight: int

    @property
    def Target(self) -> str:  # noqa: N802 - confd's name
        """As `target`: a host name, with its final dot."""
        return self.target

    @property
    def Port(self) -> int:  # noqa: N802 - confd's name
        """As `port`."""
        return self.port

    @property
    def Priority(self) -> int:  # noqa: N802 - confd's name
        """As `priority`."""
        return self.priority

    @property
    def Weight(self) -> int:  # noqa: N802 - confd's name
        """As `weight`."""
        return self.weight


def functions(store: Store, world: World, used: Used) -> dict[str, Callable[..., Any]]:
    """Return all functions by their names; what they look at is noted in *used*.

    Each raises `FunctionError`, which says function and key.
    """
    bound = _of_store(store) | _of_world(world, used) | _of_lookups(world, used)
    return PURE | {name: named(name, function) for name, function in bound.items()}


def _of_store(store: Store) -> dict[str, Callable[..., Any]]:
    def getv(key: object, default: object = REQUIRED) -> object:
        return store.getv(text(key), default)

    return {
        "exists": lambda key: store.exists(text(key)),
        "get": lambda key: store.get(text(key)),
        "gets": lambda pattern: store.gets(text(pattern)),
        "getv": getv,
        "getvs": lambda pattern: store.getvs(text(pattern)),
        "ls": lambda path: store.ls(text(path)),
        "lsdir": lambda path: store.lsdir(text(path)),
    }


def _of_world(world: World, used: Used) -> dict[str, Callable[..., Any]]:
    def now() -> datetime:
        used.time = True
        return datetime.fromtimestamp(world.time, UTC).astimezone()

    def getenv(name: object, default: object = "") -> object:
        return world.environment.get(text(name)) or default

    def file_exists(path: object) -> bool:
        name = text(path)
        return used.files.setdefault(name, exists(name))  # noqa: PTH110 - to a Path, "" is a folder

    return {
        "datetime": now,
        "getenv": getenv,
        "fileExists": file_exists,
        "hostname": lambda: world.hostname,
    }


def _of_lookups(world: World, used: Used) -> dict[str, Callable[..., Any]]:
    def answers(lookup: Lookup) -> list[str]:
        used.lookups.add(lookup)
        return list(world.answers.get(lookup, ()))

    def srv(service: object, proto: object, name: object) -> list[Server]:
        labels = [f"_{text(label)}." for label in (service, proto) if text(label)]
        return [_server(answer) for answer in answers(Lookup("srv", "".join(labels) + text(name)))]

    return {
        "lookupIP": lambda host: answers(Lookup("ip", text(host))),
        "lookupIPV4": lambda host: answers(Lookup("ipv4", text(host))),
        "lookupIPV6": lambda host: answers(Lookup("ipv6", text(host))),
        "lookupSRV": srv,
        "lookupIfaceIPV4": lambda interface: _first(answers(Lookup("interface4", text(interface)))),
        "lookupIfaceIPV6": lambda interface: _first(answers(Lookup("interface6", text(interface)))),
    }


def _server(answer: str) -> Server:
    target, *numbers = answer.split(" ")
    return Server(target, *map(int, numbers))


def _first(answers: list[str]) -> str:
    return answers[0] if answers else ""
