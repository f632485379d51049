"""The lists of an etcd on scripted calls: pages, ranges, revisions and tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import SourceError
from proxyconf.sources._etcd_connect import PAGE
from proxyconf.sources._etcd_mirror import Listed, key_ranges
from proxyconf.sources._etcd_rpc import grpc, rpc
from proxyconf.sources._etcd_stream import Client
from tests.unit.etcd_calls import ANSWER_S, SERVER, ScriptedCall, ScriptedChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

RANGES = key_ranges("/p", ())
SEVERAL = key_ranges("/p", ["/a", "/b"])


def page(*keys: str, revision: int, more: bool = False) -> object:
    header = rpc.ResponseHeader(cluster_id=7, revision=revision)
    return rpc.RangeResponse(header=header, kvs=[rpc.KeyValue(key=key.encode()) for key in keys], more=more)


async def test_pages_are_of_one_revision() -> None:
    """However far the store has got between them."""
    channel = ScriptedChannel(
        {"Range": [page("/p/a", "/p/b", revision=5, more=True), page("/p/c", revision=6)]}
    )
    listed = await Client(channel, SERVER, user="", password="", timeout_s=ANSWER_S).list(RANGES)
    assert listed == Listed("7", 5, tuple(rpc.KeyValue(key=key) for key in (b"/p/a", b"/p/b", b"/p/c")))
    asked = [(r.key, r.range_end, r.revision, r.limit) for _, r, _ in channel.requests]
    assert asked == [(b"/p/", b"/p0", 0, PAGE), (b"/p/b\0", b"/p0", 5, PAGE)]
    assert [metadata for _, _, metadata in channel.requests] == [(("hasleader", "true"),)] * 2


async def test_ranges_are_of_one_revision() -> None:
    """The first answer's, page by page and range by range."""
    channel = ScriptedChannel(
        {
            "Range": [
                page("/a/1", revision=5, more=True),
                page("/a/2", revision=6),
                page(revision=7),
                page("/p/1", revision=8),
            ]
        }
    )
    listed = await Client(channel, SERVER, user="", password="", timeout_s=ANSWER_S).list(SEVERAL)
    assert listed == Listed("7", 5, tuple(rpc.KeyValue(key=key) for key in (b"/a/1", b"/a/2", b"/p/1")))
    asked = [(r.key, r.range_end, r.revision) for _, r, _ in channel.requests]
    assert asked == [
        (b"/a", b"/a0", 0),
        (b"/a/1\0", b"/a0", 5),
        (b"/b", b"/b0", 5),
        (b"/p/", b"/p0", 5),
    ]


async def test_every_list_logs_in_anew() -> None:
    """Since a token does not live as long as a watch."""
    answers = {
        "Authenticate": [rpc.AuthenticateResponse(token="1"), rpc.AuthenticateResponse(token="2")],
        "Range": [page(revision=5), page(revision=5)],
    }
    channel = ScriptedChannel(answers)
    client = Client(channel, SERVER, user="me", password="secret", timeout_s=ANSWER_S)
    await client.list(RANGES)
    await client.list(RANGES)
    methods = [(method, metadata) for method, _, metadata in channel.requests]
    leader = ("hasleader", "true")
    assert methods == [
        ("Authenticate", None),
        ("Range", (leader, ("token", "1"))),
        ("Authenticate", None),
        ("Range", (leader, ("token", "2"))),
    ]
    assert (channel.requests[0][1].name, channel.requests[0][1].password) == ("me", "secret")


@pytest.mark.parametrize(
    ("needs", "text"),
    [
        (["/b"], "watch '/b', '/p/'"),
        (["/a", "/b", "/c", "/d"], "watch '/a', '/b', '/c' and 2 more"),
    ],
)
async def test_messages_name_what_is_watched(needs: Sequence[str], text: str) -> None:
    """But not all of it, where it is much."""
    call = ScriptedCall()
    client = Client(ScriptedChannel({}, call), SERVER, user="", password="", timeout_s=ANSWER_S)
    call.answer(grpc.aio.EOF)
    async with client.watch(key_ranges("/p", needs), since=1, idle_s=15) as watch:
        with pytest.raises(SourceError, match=f"^{text} at http://etcd:2379: etcd ended it"):
            await watch.receive(until=math.inf)
