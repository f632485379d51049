"""Who holds the addresses that nginx is to listen on, in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from proxyconf.nginx.sockets import Process, holders, in_the_way, is_there, read_sockets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from proxyconf.nginx.sockets import Socket
    from proxyconf.tables import Nginx
    from proxyconf.units import ListenAddress

_NGINX = "nginx: "
_INIT = 1


@dataclass(frozen=True, slots=True)
class Held:
    """An address that somebody else than our nginx holds.

    Attributes:
        says: Who holds it.
        mend: What a person can do about it.
    """

    says: str
    mend: str

    def __str__(self) -> str:
        return f"{self.says} ({self.mend})"


class Holders:
    """Looks who holds *addresses*, while no nginx of ours does; cheap as long as it is the same.

    Args:
        addresses: Where nginx is to listen.
    """

    def __init__(self, addresses: Iterable[ListenAddress]) -> None:
        self._addresses = tuple(dict.fromkeys(addresses))
        self._sockets: dict[ListenAddress, tuple[Socket, ...]] = {}
        self._processes: tuple[Process, ...] = ()
        self._text = ""

    def look(self) -> str:
        """Return who does, and the mend, of the first that is held; "" where all are free; blocks."""
        listening = read_sockets() if self._addresses else ()
        sockets = {one: in_the_way(one, listening) for one in self._addresses}
        if sockets != self._sockets or not all(map(is_there, self._processes)):
            self._sockets = sockets
            self._processes, self._text = _first_held(sockets)
        return self._text


def _first_held(sockets: dict[ListenAddress, tuple[Socket, ...]]) -> tuple[tuple[Process, ...], str]:
    for address, found in sockets.items():
        if found:
            processes = holders(found)
            held = held_by(address, processes) if processes else held_unseen(address, found)
            return processes, str(held)
    return (), ""


def listened_on(nginx: Nginx) -> tuple[ListenAddress, ...]:
    """Return the addresses of *nginx*, plain ones first."""
    return (*nginx.listen.http, *(nginx.listen.https if nginx.tls.certificates else ()))


def held_unseen(address: ListenAddress, sockets: Collection[Socket]) -> Held:
    """Return that *sockets* are in the way at *address*, of processes that we may not look into."""
    users = ", ".join(str(uid) for uid in sorted({one.uid for one in sockets}))
    return Held(
        f"{address} is held by a process of the user {users}",
        "run proxyconf doctor as root to see which one it is",
    )


def held_by(address: ListenAddress, others: Sequence[Process], *, beside: bool = False) -> Held:
    """Return that *others*, none of which is our nginx, hold *address*.

    Args:
        address: Where nginx is to listen.
        others: At least one.
        beside: Our nginx runs.
    """
    one = others[0]
    move = "or set other addresses in [nginx.listen]"
    if not one.title.startswith(_NGINX):
        name = PurePath(one.title.partition(" ")[0]).name or "a process"
        return Held(f"{address} is held by {name}, pid {one.pid}", f"stop it, {move}")
    if one.parent == _INIT and one.title.startswith(f"{_NGINX}worker"):
        pids = " ".join(str(other.pid) for other in others)
        return Held(
            f"{address} is held by workers of an nginx whose master is gone", f"end them: kill {pids}"
        )
    word = "another nginx" if beside else "an nginx that is not started on our file"
    mend = f'stop that one, {move}; or keep it, with [nginx] mode = "include"'
    return Held(f"{address} is held by {word}, pid {one.pid}", mend)
