"""Whether nginx can listen where it should: who holds its ports."""

from __future__ import annotations

import asyncio
from pathlib import PurePath
from typing import TYPE_CHECKING

from proxyconf.doctor.finding import Finding, Findings, ok, warning, wrong
from proxyconf.doctor.sockets import Process, holders, in_the_way, read_sockets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from proxyconf.doctor.sockets import Socket
    from proxyconf.units import ListenAddress

_WHAT = "listen"
_NGINX = "nginx: "
_INIT = 1


async def listening(addresses: Iterable[ListenAddress], master: int | None) -> Findings:
    """Yield who holds each of *addresses*.

    Args:
        addresses: Where nginx is to listen.
        master: Its process, if it runs.
    """
    for address in dict.fromkeys(addresses):
        sockets, processes = await asyncio.to_thread(_look, address)
        yield judge(address, sockets, processes, master)


def _look(address: ListenAddress) -> tuple[tuple[Socket, ...], tuple[Process, ...]]:
    sockets = in_the_way(address, read_sockets())
    return sockets, holders(sockets) if sockets else ()


def judge(
    address: ListenAddress,
    sockets: Collection[Socket],
    processes: Collection[Process],
    master: int | None,
) -> Finding:
    """Return what it means that *processes* have the *sockets*, which are in nginx's way at *address*."""
    if not sockets:
        if master is None:
            return ok(_WHAT, f"{address} is free")
        return warning(_WHAT, f"nginx, pid {master}, does not listen on {address}", "see proxyconf status")
    if not processes:
        return _unseen(address, sockets, master)
    others = [one for one in processes if master is None or master not in (one.pid, one.parent)]
    if not others:
        return ok(_WHAT, f"{address} is held by nginx, pid {master}")
    return _held_by(address, others, master)


def _unseen(address: ListenAddress, sockets: Collection[Socket], master: int | None) -> Finding:
    users = ", ".join(str(uid) for uid in sorted({one.uid for one in sockets}))
    says = f"{address} is held by a process of the user {users}"
    if master is not None:
        return ok(_WHAT, f"{says}; only root can see whether that is nginx")
    return warning(_WHAT, f"{says}, and no nginx runs", "run proxyconf doctor as root to see which one it is")


def _held_by(address: ListenAddress, others: Collection[Process], master: int | None) -> Finding:
    one = next(iter(others))
    move = "or set other addresses in [nginx.listen]"
    if not one.title.startswith(_NGINX):
        name = PurePath(one.title.partition(" ")[0]).name or "a process"
        return wrong(_WHAT, f"{address} is held by {name}, pid {one.pid}", f"stop it, {move}")
    if one.parent == _INIT and one.title.startswith(f"{_NGINX}worker"):
        pids = " ".join(str(other.pid) for other in others)
        return wrong(
            _WHAT, f"{address} is held by workers of an nginx whose master is gone", f"end them: kill {pids}"
        )
    word = "another nginx" if master is not None else "an nginx that is not started on our file"
    mend = f'stop that one, {move}; or keep it, with [nginx] mode = "include"'
    return wrong(_WHAT, f"{address} is held by {word}, pid {one.pid}", mend)
