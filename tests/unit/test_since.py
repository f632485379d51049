"""Since when nginx serves what it serves."""

from __future__ import annotations

from proxyconf.model import Endpoint, Route, Snapshot
from proxyconf.since import Since

A = Route("a.test", "/", "web", "routes/a", "etcd routes/a", "etcd")
ONE, TWO = Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80")


def test_what_stays_keeps_its_time() -> None:
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    since.note(Snapshot((A,), {"web": (ONE, TWO)}), 2.0)
    assert since.route("a.test/", "web") == since.endpoint("web", ONE.address) == 1.0
    assert since.endpoint("web", TWO.address) == 2.0


def test_what_goes_and_comes_again_is_new() -> None:
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    since.note(Snapshot((), {}), 2.0)
    assert since.route("a.test/", "web") is since.endpoint("web", ONE.address) is None
    since.note(Snapshot((A,), {"web": (ONE,)}), 3.0)
    assert since.route("a.test/", "web") == since.endpoint("web", ONE.address) == 3.0


def test_a_route_that_leads_elsewhere_is_new() -> None:
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    assert since.route("a.test/", "other") is None
