"""What operators add by files of their own: pieces of hosts' configuration, and error pages. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.model import Problem
from proxyconf.nginx.part import Part, make_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

HOST_D, LOCATION_D = "host.d", "location.d"
PIECE = re.compile(r"[a-z0-9_.-]+\.conf")  # what a host's name can lead to
_DEFAULT = "default.conf"


class Pieces(NamedTuple):
    """What is included for a host.

    Attributes:
        server: In its server blocks, where they have its routes.
        location: In the locations of its routes.
    """

    server: Part | None = None
    location: Part | None = None


NO_PIECES = Pieces()


@dataclass(frozen=True, slots=True)
class Additions:
    """All of it, at one time.

    Attributes:
        servers: Pieces for server blocks, by the name of their file.
        locations: Pieces for locations, by the name of their file.
        pages: Error pages, by status.
        problems: What could not be used.
        nameless: Files that may be meant for a host of their whole name, as nginx-proxy has them.
    """

    servers: Mapping[str, Part] = field(default_factory=dict)
    locations: Mapping[str, Part] = field(default_factory=dict)
    pages: Mapping[int, Part] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    nameless: tuple[Path, ...] = ()

    def of(self, host: str) -> Pieces:
        """Return the pieces for *host*: those of its own name, else the default ones."""
        if not (self.servers or self.locations):
            return NO_PIECES
        name = piece_name(host)
        return Pieces(_choose(self.servers, name), _choose(self.locations, name))

    def passed_over(self, hosts: Iterable[str]) -> Iterator[Problem]:
        """Yield which files would be for one of *hosts*, were it not for their names."""
        known = frozenset((*hosts, "default")) if self.nameless else frozenset()
        for file in self.nameless:
            if (host := file.name.removesuffix("_location")) in known:
                why = f"is passed over: a file for {host} is called {piece_name(host)} (rename it)"
                yield Problem("file", str(file), why)

    def without(self, pieces: Mapping[str, Part | None]) -> Additions:
        """Return the same with others in the place of some pieces, or without them."""
        if not pieces:
            return self
        return replace(
            self,
            servers=_replaced(self.servers, pieces),
            locations=_replaced(self.locations, pieces),
        )


NO_ADDITIONS = Additions()


def piece_name(host: str) -> str:
    """Return the name of a host's files; a star would be one of the shell's patterns."""
    return f"{'_' + host[1:] if host[0] == '*' else host}.conf"


def piece(origin: str, content: bytes) -> Part:
    """Return a copy of the operator's file *origin*, which it names in its last line."""
    return make_part("operator", origin, content)


def with_originals(text: str, parts: Iterable[Part], folder: Path) -> str:
    """Return what nginx has said of *parts*, with operators' files in the place of our copies in *folder*."""
    for part in parts:
        if part.kind == "operator":
            text = text.replace(f"{folder}/{part.file}", part.name)
    return text


def _choose(pieces: Mapping[str, Part], name: str) -> Part | None:
    return pieces.get(name) or pieces.get(_DEFAULT)


def _replaced(pieces: Mapping[str, Part], by: Mapping[str, Part | None]) -> Mapping[str, Part]:
    found = ((name, by.get(part.name, part)) for name, part in pieces.items())
    return {name: part for name, part in found if part}
