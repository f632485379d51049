"""Whether nginx can listen where it should: who holds its ports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxyconf.doctor.finding import Finding, Findings, ok, warning, wrong
from proxyconf.nginx.holders import held_by, held_unseen
from proxyconf.nginx.sockets import Process, holders, in_the_way, read_sockets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from proxyconf.nginx.sockets import Socket
    from proxyconf.units import ListenAddress

_WHAT = "listen"


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
    held = held_by(address, others, beside=master is not None)
    return wrong(_WHAT, held.says, held.mend)


def _unseen(address: ListenAddress, sockets: Collection[Socket], master: int | None) -> Finding:
    held = held_unseen(address, sockets)
    if master is not None:
        return ok(_WHAT, f"{held.says}; only root can see whether that is nginx")
    return warning(_WHAT, f"{held.says}, and no nginx runs", held.mend)
