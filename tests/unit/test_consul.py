"""The Consul source against a scripted Consul on a real socket."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.model import Entry, Listing, Problem
from proxyconf.sources import open_source
from proxyconf.sources._consul_connect import Files, read_member
from proxyconf.sources._consul_kv import ANSWER_BYTES_MAX
from proxyconf.sources._consul_mirror import read_scope
from proxyconf.sources._servers import BySrv
from proxyconf.sources._srv import Members, resolve_srv
from proxyconf.sources.consul import ConsulSource, Settings
from tests.unit.consul_api import ScriptedConsul, answer
from tests.unit.dns_server import dns_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from proxyconf.sources import Source


RECORD = "_consul._tcp.example.com"


@pytest.fixture
async def consul() -> AsyncIterator[ScriptedConsul]:
    async with ScriptedConsul() as scripted:
        await scripted.serve()
        yield scripted


def source_of(consul: ScriptedConsul, needs: Sequence[str] = (), **values: object) -> Source:
    settings = {"endpoints": [consul.url], "min_interval": "1ms", **values}
    return open_source(SourceTable("consul", "consul", settings, "test"), needs)


@asynccontextmanager
async def watching(
    consul: ScriptedConsul, needs: Sequence[str] = (), **values: object
) -> AsyncIterator[AsyncGenerator[Listing, None]]:
    """Watch *consul*; every test has 10 s."""
    async with asyncio.timeout(10), aclosing(source_of(consul, needs, **values).watch()) as listings:
        yield listings


async def first(consul: ScriptedConsul, needs: Sequence[str] = (), **values: object) -> Listing:
    async with watching(consul, needs, **values) as listings:
        return await anext(listings)


def following(listings: AsyncGenerator[Listing, None]) -> asyncio.Future[Listing]:
    """Start to wait for the next listing: a generator does nothing while nobody waits."""
    return asyncio.ensure_future(anext(listings))


def keys(listing: Listing) -> dict[str, bytes]:
    return {name: entry.value for name, entry in listing.keys.items()}


def pairs(listing: Listing) -> dict[str, bytes]:
    return {name: entry.value for name, entry in listing.pairs.items()}


async def test_lists_everything_at_once(consul: ScriptedConsul) -> None:
    """Keys are named from the prefix on, and are as old as Consul says."""
    consul.put("proxyconf/services/web/1", "10.0.0.1:80")
    consul.put("proxyconf/routes/web", '{"host": "a.example"}')
    consul.put("proxyconfx", "another's")
    listing = await first(consul, datacenter="dc2")
    assert listing == Listing(
        "consul",
        revision=13,
        cluster="dc2",
        keys={"routes/web": Entry(b'{"host": "a.example"}', 12), "services/web/1": Entry(b"10.0.0.1:80", 11)},
        place="consul key 'proxyconf/{key}'",
    )
    (request,) = consul.requests
    assert (request.name, request.recurse) == ("proxyconf/", True)
    assert request.query == {"dc": "dc2", "consistent": ""}


async def test_every_change_is_a_whole_listing(consul: ScriptedConsul) -> None:
    """And an entry that stayed the same is the very same object."""
    consul.put("proxyconf/a", "1")
    async with watching(consul) as listings:
        before = await anext(listings)
        consul.put("proxyconf/b", "2")
        after = await anext(listings)
        assert keys(after) == {"a": b"1", "b": b"2"}
        assert after.keys["a"] is before.keys["a"]
        consul.put("proxyconf/b", "3")
        assert keys(await anext(listings)) == {"a": b"1", "b": b"3"}
        consul.drop("proxyconf/a")
        consul.drop("proxyconf/b")
        while keys(listing := await anext(listings)):
            pass
    assert (listing.keys, keys(before)) == ({}, {"a": b"1"})
    assert [request.since for request in consul.requests[:3]] == ["", "11", "12"]


async def test_a_key_that_was_made_anew_is_younger(consul: ScriptedConsul) -> None:
    consul.answers += [answer({"proxyconf/a": "1"}, index=10)]
    async with watching(consul) as listings:
        assert (await anext(listings)).keys["a"].born == 7
        consul.put("proxyconf/a", "1")
        assert (await anext(listings)).keys["a"].born == 11


async def test_an_index_that_moves_alone_is_no_news(consul: ScriptedConsul) -> None:
    """Neither is a wait that ends."""
    consul.put("proxyconf/a", "1")
    async with watching(consul, wait="30ms") as listings:
        await anext(listings)
        news = following(listings)
        consul.put("other", "x")
        await consul.asked(6)
        assert not news.done()
        consul.put("proxyconf/a", "2")
        assert keys(await news) == {"a": b"2"}
    assert consul.requests[-1].query["wait"] == "30ms"
    assert "12" in [request.since for request in consul.requests]


async def test_folders_and_empty_values(consul: ScriptedConsul) -> None:
    """A folder is a key to templates; to routes it is nothing, unless somebody gave it a value."""
    consul.put("proxyconf/", None)
    consul.put("proxyconf/services/", None)
    consul.put("proxyconf/services/web/", "odd")
    consul.put("proxyconf/services/web/1", None)
    listing = await first(consul, ["/proxyconf/services"])
    assert keys(listing) == {"services/web/": b"odd", "services/web/1": b""}
    assert pairs(listing) == {
        "/proxyconf/services/": b"",
        "/proxyconf/services/web/": b"odd",
        "/proxyconf/services/web/1": b"",
    }


async def test_strange_names(consul: ScriptedConsul) -> None:
    """Consul's JSON hides bytes that are no text, so such a key is a problem."""
    consul.put("proxy conf%/{a}/b?ü", "1")
    consul.put("proxy conf%/{a}/\ufffd", "2")
    listing = await first(consul, prefix="/proxy conf%/{a}/")
    assert keys(listing) == {"b?ü": b"1"}
    assert listing.place.format(key="b") == "consul key 'proxy conf%/{a}/b'"
    assert listing.problems == (
        Problem(
            "source", "consul key 'proxy conf%/{a}/\ufffd'", "its name is not UTF-8 (rename or delete it)"
        ),
    )


async def test_templates_get_what_they_need(consul: ScriptedConsul) -> None:
    """Under full names: each key itself and all below it, but nothing beside it."""
    for name in ("app/server", "app/server/1", "app/serverx", "app/db/1", "app/proxyconf/a", "app", "z"):
        consul.put(name, name)
    listing = await first(consul, ["/app/server", "/app/db/"], prefix="app/proxyconf")
    assert keys(listing) == {"a": b"app/proxyconf/a"}
    assert sorted(listing.pairs) == ["/app/db/1", "/app/server", "/app/server/1"]
    assert consul.requests[0].name == "app/"


async def test_a_key_may_be_for_routes_and_templates(consul: ScriptedConsul) -> None:
    consul.put("proxyconf/a", "1")
    consul.put("b", "2")
    listing = await first(consul, ["/"])
    assert (keys(listing), pairs(listing)) == ({"a": b"1"}, {"/b": b"2", "/proxyconf/a": b"1"})
    assert consul.requests[0].name == ""


async def test_the_prefix_may_be_the_whole_store(consul: ScriptedConsul) -> None:
    consul.put("services/web/1", "1")
    listing = await first(consul, prefix="/")
    assert (keys(listing), listing.place) == ({"services/web/1": b"1"}, "consul key '{key}'")


async def test_templates_only(consul: ScriptedConsul) -> None:
    """Without a prefix nothing is read for routes."""
    consul.put("app/a", "1")
    consul.put("proxyconf/a", "1")
    listing = await first(consul, ["/app/a"], prefix="")
    assert (listing.keys, pairs(listing)) == ({}, {"/app/a": b"1"})
    assert consul.requests[0].name == "app/a"


async def test_nothing_is_wanted(consul: ScriptedConsul) -> None:
    """Then Consul is not even asked, and need not be there."""
    async with watching(consul, prefix="") as listings:
        assert await anext(listings) == Listing("consul", place="consul key '{key}'", unasked=True)
        news = following(listings)
        await asyncio.wait({news}, timeout=0.05)
        assert not news.done()
        news.cancel()
        await asyncio.wait({news})
    assert consul.requests == []


async def test_an_index_that_goes_backwards(consul: ScriptedConsul) -> None:
    """It is read again at once, without waiting: the lower answer may be that of a server that lags."""
    consul.answers += [
        answer({"proxyconf/a": "1"}, index=100),
        answer({"proxyconf/a": "lags"}, index=90),
        answer({"proxyconf/a": "2"}, index=101),
        answer({}, index=50),
        answer({"proxyconf/b": "restored"}, index=50),
    ]
    async with watching(consul, min_interval="200ms") as listings:
        seen = [await anext(listings) for _ in range(3)]
    assert [(listing.revision, keys(listing)) for listing in seen] == [
        (100, {"a": b"1"}),
        (101, {"a": b"2"}),
        (50, {"b": b"restored"}),
    ]
    assert [request.since for request in consul.requests] == ["", "100", "", "101", ""]
    assert ["consistent" in request.query for request in consul.requests] == [True, False, True, False, True]
    gaps = [after.at - before.at for before, after in zip(consul.requests, consul.requests[1:], strict=False)]
    assert [gap > 0.19 for gap in gaps] == [True, False, True, False]


async def test_an_index_of_zero_still_waits(consul: ScriptedConsul) -> None:
    """Some versions answer it where there is nothing; asked with it again, they would not wait."""
    consul.answers += [answer(status=404, body="", index=0)]
    consul.index = 1
    async with watching(consul) as listings:
        assert (await anext(listings)).keys == {}
        news = following(listings)
        await consul.asked(3)
        consul.put("proxyconf/a", "1")
        assert keys(await news) == {"a": b"1"}
    assert [request.since for request in consul.requests if request.recurse] == ["", "1"]


async def test_a_storm_is_read_at_an_interval(consul: ScriptedConsul) -> None:
    """The change after a pause goes through at once; what comes then is gathered."""
    async with watching(consul, min_interval="200ms") as listings:
        await anext(listings)
        news = following(listings)
        await consul.asked(3)
        consul.put("proxyconf/a", "0")
        assert keys(await news) == {"a": b"0"}
        news = following(listings)
        for number in range(1, 50):
            consul.put("proxyconf/a", str(number))
            await asyncio.sleep(0.001)
        assert keys(await news) == {"a": b"49"}
    reads = [request.at for request in consul.requests if request.recurse]
    assert len(reads) == 3
    assert reads[2] - reads[1] >= 0.19


async def test_who_asks(consul: ScriptedConsul, tmp_path: Path) -> None:
    """Token, user, datacenter and consistency are in every request."""
    file = tmp_path / "token"
    file.write_text("secret\n")
    async with watching(
        consul, token_file=str(file), user="me", password="ü", datacenter="a b", stale=True
    ) as listings:
        await anext(listings)
        news = following(listings)
        await consul.asked(3)
        consul.put("proxyconf/a")
        await news
    for request in consul.requests:
        assert request.headers["X-Consul-Token"] == "secret"
        assert request.headers["Authorization"] == "Basic bWU6w7w="
        assert request.query["dc"] == "a b"
    modes = [{"stale", "consistent"} & request.query.keys() for request in consul.requests]
    assert (modes, [request.recurse for request in consul.requests]) == (
        [{"consistent"}, set(), {"stale"}],
        [True, False, True],
    )


async def test_a_token_is_taken_from_the_environment(
    consul: ScriptedConsul, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As Consul's own programs do, unless one is set."""
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "theirs")
    file = tmp_path / "token"
    file.write_text("")
    consul.put("proxyconf/a")
    for values in ({}, {"token": "ours"}, {"token_file": str(file)}):
        await first(consul, **values)
    assert [request.headers.get("X-Consul-Token") for request in consul.requests] == ["theirs", "ours", None]


async def test_a_token_file_may_change(consul: ScriptedConsul, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    consul.put("proxyconf/a")
    opened = source_of(consul, token_file=str(file))
    for token in ("old", "new"):
        file.write_text(token)
        async with aclosing(opened.watch()) as listings:
            await anext(listings)
        assert consul.requests[-1].headers["X-Consul-Token"] == token
    file.unlink()
    async with aclosing(opened.watch()) as listings:
        with pytest.raises(SourceDeniedError, match=r"connect to http://.*: token_file: read .*No such file"):
            await anext(listings)


async def test_what_may_not_be_read_is_not_empty(consul: ScriptedConsul) -> None:
    """To a recursive read, Consul says 404 for both."""
    consul.put("proxyconf/a", "1")
    consul.secret = ("proxyconf/",)
    with pytest.raises(SourceDeniedError, match=r"read 'proxyconf/' at .*403 Permission denied .*key_prefix"):
        await first(consul)


async def test_a_right_that_is_lost(consul: ScriptedConsul) -> None:
    """Is no deletion, and the other part's right does not help."""
    consul.put("proxyconf/a", "1")
    consul.put("app/a", "1")
    async with watching(consul, ["/app"]) as listings:
        await anext(listings)
        consul.secret = ("app",)
        consul.touch()
        with pytest.raises(SourceDeniedError, match="read 'app/' at"):
            await anext(listings)


async def test_an_empty_part_is_asked_about_once(consul: ScriptedConsul) -> None:
    """And again when it has been emptied; a template may name many keys that are never there."""
    async with watching(consul, ["/app/a", "/app/b"], prefix="") as listings:
        for step in ({}, {"app/a": b"1"}, {"app/a": b"2"}, {}):
            consul.keys = dict(step)
            consul.touch()
            await anext(listings)
    asked = [request.name for request in consul.requests if not request.recurse]
    assert asked == ["app/a/", "app/b/", "app/a/"]


@pytest.mark.parametrize("secret", ["app/server/", "app/server\0"], ids=["to the key", "to what is below"])
async def test_a_right_to_half_a_need_is_enough(consul: ScriptedConsul, secret: str) -> None:
    """There may be a policy for the key alone, or for what is below it."""
    consul.secret = (secret,)
    assert (await first(consul, ["/app/server"], prefix="")).pairs == {}


@pytest.mark.parametrize(
    ("secret", "denied"),
    [pytest.param(("",), True, id="nothing"), pytest.param(("vault/",), False, id="some")],
)
async def test_a_right_to_the_whole_store(
    consul: ScriptedConsul, secret: tuple[str, ...], *, denied: bool
) -> None:
    """There is no name for it, so any will do."""
    consul.secret = secret
    if denied:
        with pytest.raises(SourceDeniedError, match="read '/' at"):
            await first(consul, ["/"], prefix="")
    else:
        assert (await first(consul, ["/"], prefix="")).pairs == {}


async def test_endpoints_are_asked_in_turn(consul: ScriptedConsul) -> None:
    """One for each attempt."""
    consul.put("proxyconf/a", "1")
    opened = source_of(consul, endpoints=["http://127.0.0.1:1", consul.url])
    for refused in (True, False, True):
        async with aclosing(opened.watch()) as listings:
            if refused:
                with pytest.raises(SourceError, match=r"read 'proxyconf/' at http://127.0.0.1:1: connection"):
                    await anext(listings)
            else:
                assert keys(await anext(listings)) == {"a": b"1"}


async def test_members_are_looked_up_for_every_connection(consul: ScriptedConsul) -> None:
    """By a DNS SRV record; after a connection, the best one comes first again."""
    consul.put("proxyconf/a", "1")
    port = int(consul.url.rpartition(":")[2])
    async with asyncio.timeout(10), dns_server() as dns:
        dns.records[RECORD] = ["1 1 1 localhost.", f"2 1 {port} localhost."]
        members = Members(RECORD, partial(resolve_srv, timeout_s=1, open_resolver=dns.resolver))
        servers = BySrv(members, partial(read_member, secure=False))
        opened = ConsulSource("consul", Settings(), servers, Files(), read_scope("proxyconf", ()))
        for refused in (True, False, True):
            async with aclosing(opened.watch()) as listings:
                if refused:
                    with pytest.raises(SourceError, match="at http://localhost:1: connection refused"):
                        await anext(listings)
                else:
                    assert keys(await anext(listings)) == {"a": b"1"}
        assert dns.asked == [RECORD] * 3


async def test_a_path_before_the_api(consul: ScriptedConsul) -> None:
    with pytest.raises(SourceError, match=r"read 'proxyconf/' at .*/consul/: 404 .*check endpoints"):
        await first(consul, endpoints=[f"{consul.url}/consul/"])


_HERE = {"X-Consul-Index": "10", "X-Consul-KnownLeader": "true"}


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        pytest.param(
            {"status": 404, "body": "not here", "headers": {}},
            SourceError,
            "404 not here .is it Consul's HTTP API. check endpoints",
            id="another server",
        ),
        pytest.param({"headers": {}}, SourceError, "no X-Consul-Index in the answer", id="no index"),
        pytest.param(
            {"headers": {"X-Consul-Index": "one"}}, SourceError, "no X-Consul-Index", id="no number"
        ),
        pytest.param(
            {"headers": _HERE | {"X-Consul-KnownLeader": "false"}},
            SourceError,
            "No cluster leader .Consul's servers",
            id="a stale answer without a leader",
        ),
        pytest.param(
            {"status": 500, "body": "No cluster leader", "headers": {}},
            SourceError,
            "500 No cluster leader .Consul's servers",
            id="no leader",
        ),
        pytest.param(
            {"status": 500, "body": "Not ready to serve consistent reads", "headers": {}},
            SourceError,
            "500 Not ready to serve consistent reads .its leader is a new one",
            id="a new leader",
        ),
        pytest.param(
            {"status": 500, "body": "No path to datacenter", "headers": {}},
            SourceError,
            "500 No path to datacenter .check datacenter",
            id="datacenter",
        ),
        pytest.param(
            {"status": 503, "body": "<html><h1>503</h1> Service\n Unavailable</html>", "headers": {}},
            SourceError,
            "503 503 Service Unavailable .see Consul's log",
            id="a proxy's page",
        ),
        pytest.param(
            {"status": 429, "body": "", "headers": {}},
            SourceError,
            "429 .Consul limits its clients",
            id="too many",
        ),
        pytest.param(
            {"status": 301, "body": "", "headers": {"Location": "/elsewhere"}},
            SourceError,
            "301 .is it Consul's",
            id="elsewhere",
        ),
        pytest.param(
            {"status": 403, "body": "ACL not found", "headers": {}},
            SourceDeniedError,
            "403 ACL not found .no such token: check token",
            id="wrong token",
        ),
        pytest.param(
            {"status": 403, "body": "Permission denied", "headers": {}},
            SourceDeniedError,
            "403 Permission denied .let the policy",
            id="list policy",
        ),
        pytest.param(
            {"status": 401, "body": "Who?", "headers": {}}, SourceDeniedError, "401 Who. .set user", id="user"
        ),
        pytest.param(
            {"status": 400, "body": "Client sent an HTTP request to an HTTPS server.", "headers": {}},
            SourceDeniedError,
            "HTTPS server. .write https:// in endpoints",
            id="plain to TLS",
        ),
        pytest.param(
            {"body": "<html>"}, SourceError, "the answer is not Consul's: JSON is malformed", id="no JSON"
        ),
        pytest.param({"body": "{}"}, SourceError, "the answer is not Consul's: Expected", id="another shape"),
        pytest.param(
            {"body": '[{"Key": "a", "Value": "?", "CreateIndex": 1}]'},
            SourceError,
            "the answer is not Consul's: Invalid base64",
            id="no base64",
        ),
    ],
)
async def test_what_goes_wrong(
    consul: ScriptedConsul, said: dict[str, Any], kind: type[SourceError], text: str
) -> None:
    """Every answer that is no listing is an error that names the endpoint, the reason and the mend."""
    consul.answers.append(answer(**said))
    with pytest.raises(SourceError, match=rf"read 'proxyconf/' at {consul.url}: .*{text}") as caught:
        await first(consul)
    assert caught.type is kind
    assert "<" not in str(caught.value)


async def test_an_answer_to_the_question_of_rights(consul: ScriptedConsul) -> None:
    """That is neither yes nor no."""
    consul.answers += [answer(status=404, body=""), answer(status=500, body="rpc error", headers={})]
    with pytest.raises(SourceError, match=r"read 'proxyconf/' at .*500 rpc error"):
        await first(consul)


async def test_too_much(consul: ScriptedConsul) -> None:
    consul.answers.append(answer(body=b" " * (ANSWER_BYTES_MAX + 1)))
    with pytest.raises(SourceError, match=r"read 'proxyconf/' at .*more than 64 MiB .all keys below it"):
        await first(consul)


async def test_a_lost_leader(consul: ScriptedConsul) -> None:
    async with watching(consul) as listings:
        await anext(listings)
        consul.lose()
        with pytest.raises(SourceError, match="500 No cluster leader"):
            await anext(listings)


async def test_a_slow_first_answer(consul: ScriptedConsul) -> None:
    consul.gate.clear()
    with pytest.raises(SourceError, match=r"read 'proxyconf/' at .*no answer in time .*timeout sets"):
        await first(consul, timeout="50ms")


async def test_a_silent_consul_is_noticed(consul: ScriptedConsul) -> None:
    """After what it may wait, the sixteenth that it may add, and the time for an answer."""
    async with watching(consul, wait="160ms", timeout="100ms") as listings:
        await anext(listings)
        consul.gate.clear()
        clock = asyncio.get_running_loop().time
        asked = clock()
        with pytest.raises(SourceError, match="no answer in time"):
            await anext(listings)
        assert clock() - asked >= 0.27


async def test_a_connection_that_is_cut(consul: ScriptedConsul) -> None:
    async with asyncio.timeout(10):
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            url = "http://{}:{}".format(*server.sockets[0].getsockname())
            with pytest.raises(SourceError, match=r"connection lost: .*Consul stopped, or the network cut"):
                await first(consul, endpoints=[url])


async def test_an_answer_that_is_cut(consul: ScriptedConsul) -> None:
    """Half of the keys are not all of them."""

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nContent-Length: 100\r\n\r\n[]")
        writer.close()
        await writer.wait_closed()

    async with asyncio.timeout(10), await asyncio.start_server(half, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        with pytest.raises(SourceError, match="connection lost"):
            await first(consul, endpoints=[url])
