"""What came, went, and is another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.model import Endpoint, Problem, Route, Snapshot
from proxyconf.news import differences
from proxyconf.options import HostOptions, LocationOptions, Options, Rate, ServiceOptions

A, B, C = (Endpoint(f"10.0.0.{number}:80") for number in (1, 2, 3))


def route(host: str, *, service: str = "web", **options: object) -> Route:
    location = LocationOptions(**options)  # type: ignore[arg-type]
    return Route(host, "/", service, host, f"etcd {host}", "etcd", options=Options(location))


def test_routes_first_then_endpoints() -> None:
    before = Snapshot(
        (route("a.test"), route("b.test"), route("c.test")), {"gone": (C,), "same": (C,), "web": (A, B)}
    )
    after = Snapshot(
        (route("a.test"), route("c.test", service="api"), route("d.test")),
        {"new": (), "same": (C,), "web": (Endpoint(A.address, weight=5), C)},
    )
    assert differences(before, after) == (
        "- b.test/",
        "~ c.test/ (service)",
        "+ d.test/",
        "- gone 10.0.0.3:80",
        "- web 10.0.0.2:80",
        "~ web 10.0.0.1:80 weight 1 -> 5",
        "+ web 10.0.0.3:80",
    )
    assert differences(after, after) == ()
    again = replace(after, routes=tuple(replace(one, born=9, where="elsewhere") for one in after.routes))
    assert differences(after, again) == (), "who asks for it, and since when, is not what is served"


def test_options_are_named() -> None:
    """Not their values, which may be secrets; of what is new, none."""
    before = Snapshot(
        (route("a.test"), route("b.test")),
        {"web": (A,)},
        hosts={"b.test": HostOptions(hsts="max-age=1"), "gone.test": HostOptions(hsts="max-age=1")},
    )
    rate = Rate(1, 2)
    after = Snapshot(
        (route("a.test", rate=rate, users=(("joe", "hash"),)), route("b.test"), route("c.test", rate=rate)),
        {"web": (A,), "new": (B,)},
        options={"web": ServiceOptions(balance="least_conn"), "new": ServiceOptions(balance="ip_hash")},
        hosts={"a.test": HostOptions(https="off"), "c.test": HostOptions(https="off")},
    )
    assert differences(before, after) == (
        "~ a.test (https)",
        "~ a.test/ (auth and rate)",
        "~ b.test (hsts)",
        "+ c.test/",
        "~ web (balance)",
        "+ new 10.0.0.2:80",
    )


@pytest.mark.parametrize(
    "problem",
    [
        Problem("host", "a.test", "answers 503, for no certificate is for it"),
        Problem("host", "a.test", "nginx refuses it: x (it answers 503)"),
        Problem("route", "etcd a.test", "answers 503, for this nginx lacks something"),
    ],
)
def test_a_host_that_lets_nobody_in_comes_closed(problem: Problem) -> None:
    after = Snapshot((route("a.test"), route("b.test")))
    assert differences(Snapshot(), after, [problem]) == ("+ a.test/ (closed: 503)", "+ b.test/")
    assert differences(after, Snapshot(), [problem]) == ("- a.test/", "- b.test/")


def test_endpoints_are_told_as_nginx_has_them() -> None:
    """A draining one that can't be spared is like any other."""
    before, backup = Snapshot((), {"web": (A,)}), Snapshot((), {"web": (replace(A, backup=True),)})
    assert differences(before, Snapshot((), {"web": (replace(A, draining=True),)})) == ()
    assert differences(before, backup) == ("~ web 10.0.0.1:80 backup",)
    both = Snapshot((), {"web": (replace(A, weight=3),)})
    assert differences(backup, both) == ("~ web 10.0.0.1:80 weight 1 -> 3 and no backup",)
