"""Since when nginx serves what it serves."""

from __future__ import annotations

from dataclasses import replace

from proxyconf.model import Endpoint, Route, Snapshot
from proxyconf.options import LocationOptions, Options
from proxyconf.since import Since

A = Route("a.test", "/", "web", "routes/a", "etcd routes/a", "etcd")
ONE, TWO = Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80")


def test_what_stays_keeps_its_time() -> None:
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    since.note(Snapshot((A,), {"web": (ONE, TWO)}), 2.0)
    assert since.route("a.test/") == (A, 1.0)
    assert since.endpoint("web", ONE.address) == 1.0
    assert since.endpoint("web", TWO.address) == 2.0


def test_what_goes_and_comes_again_is_new() -> None:
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    since.note(Snapshot((), {}), 2.0)
    assert since.route("a.test/") is None
    assert since.endpoint("web", ONE.address) is None
    since.note(Snapshot((A,), {"web": (ONE,)}), 3.0)
    assert since.route("a.test/") == (A, 3.0)
    assert since.endpoint("web", ONE.address) == 3.0


def test_a_route_that_leads_elsewhere_is_new() -> None:
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    elsewhere = replace(A, service="other")
    since.note(Snapshot((elsewhere,), {"web": (ONE,)}), 2.0)
    assert since.route("a.test/") == (elsewhere, 2.0)


def test_a_route_with_other_options_is_not() -> None:
    """But it is told as it is served."""
    since = Since()
    since.note(Snapshot((A,), {"web": (ONE,)}), 1.0)
    closed = replace(A, options=Options(LocationOptions(maintenance=True)))
    since.note(Snapshot((closed,), {"web": (ONE,)}), 2.0)
    assert since.route("a.test/") == (closed, 1.0)
