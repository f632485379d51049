"""Merging claims: who wins, what is left out, and that order plays no part."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.model import Claims, Container, Endpoint, Entry, Member, Named, Problem, Route, Snapshot
from proxyconf.options import HostOptions, LocationOptions, Options, ServiceOptions
from proxyconf.routing.offered import SPELLED
from proxyconf.snapshot import lost_share, merge, owners_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.snapshot import Owner

A, B, C = (Endpoint(f"10.0.0.{number}:80") for number in (1, 2, 3))
BAD = Problem("endpoint", "etcd x", "bad")
MAINTENANCE = Options(LocationOptions(maintenance=True))


def member(
    endpoint: Endpoint, *, service: str = "web", key: str = "", born: int = 0, source: str = "etcd"
) -> Member:
    key = key or f"services/{service}/{endpoint.address}"
    return Member(service, endpoint, key, f"{source} {key}", born)


def route(
    host: str = "a.test", *, path: str = "/", service: str = "web", name: str = "", source: str = "etcd",
    born: int = 0,
) -> Route:  # fmt: skip
    key = f"routes/{name or service}"
    return Route(host, path, service, key, f"{source} {key}", source, born)


def claims(*found: Member | Route | Problem, source: str = "etcd") -> Claims:
    return Claims(
        source,
        members=tuple(one for one in found if isinstance(one, Member)),
        routes=tuple(one for one in found if isinstance(one, Route)),
        problems=tuple(one for one in found if isinstance(one, Problem)),
    )


def winner(*by_source: Claims, owners: Mapping[str, Owner] | None = None) -> str:
    """Return whose the host a.test is, as source and service."""
    (found,) = merge(by_source, owners).routes
    return f"{found.source} {found.service}"


def test_of_nothing_comes_nothing() -> None:
    assert merge([]) == merge([claims(), claims(source="docker")]) == Snapshot()


def test_everything_is_sorted() -> None:
    snapshot = merge(
        [
            claims(member(C), route("b.test", name="1"), member(A, service="api"), BAD),
            claims(
                member(B, source="docker"),
                route("a.test", path="/x", name="2"),
                route("a.test", name="3"),
                Problem("container", "x", "bad"),
                source="docker",
            ),
        ]
    )
    assert [found.claim for found in snapshot.routes] == ["a.test/", "a.test/x", "b.test/"]
    assert list(snapshot.services.items()) == [("api", (A,)), ("web", (B, C))]
    assert [str(problem) for problem in snapshot.problems] == ["container x: bad", "endpoint etcd x: bad"]


def test_a_problem_is_told_once() -> None:
    assert merge([claims(BAD, BAD), claims(BAD)]).problems == (BAD,)


def test_a_key_that_two_sources_hold_is_the_first_ones() -> None:
    first = claims(member(A, key="services/web/1"), route(name="r"))
    second = claims(
        member(B, key="services/web/1", source="docker"),
        route("b.test", name="r", source="docker"),
        source="docker",
    )
    snapshot = merge([first, second])
    assert (snapshot.services, snapshot.routes) == ({"web": (A,)}, (route(name="r"),))
    assert snapshot.problems == (
        Problem(
            "endpoint",
            "docker services/web/1",
            "the same key counts at etcd services/web/1 (delete one, or give it another name)",
        ),
        Problem(
            "route",
            "docker routes/r",
            "the same key counts at etcd routes/r (delete one, or give it another name)",
        ),
    )
    assert merge([second, first]).services == {"web": (B,)}


ETCD = route(service="old", born=5)
DOCKER = route(service="new", source="docker", born=1)


def test_a_host_belongs_to_its_owner_before_all() -> None:
    owners = {"a.test/": ("docker", "routes/new")}
    assert winner(claims(ETCD), claims(DOCKER, source="docker"), owners=owners) == "docker new"
    assert winner(claims(route(service="x", born=1), ETCD), owners={"a.test/": ("etcd", "routes/old")}) == (
        "etcd old"
    )


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param(("docker", "routes/other"), id="another key"),
        pytest.param(("file", "routes/new"), id="another source"),
    ],
)
def test_an_owner_that_is_gone_has_no_say(owner: Owner) -> None:
    assert winner(claims(ETCD), claims(DOCKER, source="docker"), owners={"a.test/": owner}) == "etcd old"


def test_else_to_the_first_source() -> None:
    """Ages of two sources can't be compared."""
    assert winner(claims(ETCD), claims(DOCKER, source="docker")) == "etcd old"
    assert winner(claims(DOCKER, source="docker"), claims(ETCD)) == "docker new"


def test_else_to_the_older() -> None:
    assert winner(claims(route(service="a", born=9), route(service="z", born=3))) == "etcd z"


def test_else_to_the_lesser_key() -> None:
    assert winner(claims(route(service="z", born=3), route(service="a", born=3))) == "etcd a"


def test_the_loser_is_a_problem() -> None:
    snapshot = merge([claims(ETCD), claims(DOCKER, source="docker")])
    why = (
        "a.test/ leads to service 'old' already, by etcd routes/old"
        " (choose another host or path, or delete one)"
    )
    assert snapshot.problems == (Problem("route", "docker routes/new", why),)


def test_two_that_lead_to_the_same_service_are_no_problem() -> None:
    """Every container of a service claims its host."""
    snapshot = merge([claims(route(name="1"), route(name="2"), route(name="3"))])
    assert (len(snapshot.routes), snapshot.problems) == (1, ())


GUARDED = Options(
    LocationOptions(users=(("joe", "x"),), deny=("10.0.0.0/8",)),
    ServiceOptions(balance="ip_hash"),
    HostOptions(verify_client="on", https="both"),
)


@pytest.mark.parametrize("first", ["plain", "asking"])
def test_what_one_replica_asks_for_counts_for_all(first: str) -> None:
    """It must not depend on who was there first, or strangers come in by the other."""
    plain, asking = (
        replace(route(name="1", born=int(first != "plain"))),
        replace(route(name="2", born=int(first != "asking")), options=GUARDED),
    )
    snapshot = merge([claims(plain, asking)])
    (found,) = snapshot.routes
    assert (found.key, found.options) == (f"routes/{1 if first == 'plain' else 2}", GUARDED)
    assert (snapshot.hosts, snapshot.options) == ({"a.test": GUARDED.host}, {"web": GUARDED.service})
    assert snapshot.problems == ()


def test_each_option_counts_by_itself() -> None:
    """What the one that comes first asks for, then what the others do; another wish is a problem."""
    optional = HostOptions(verify_client="optional", https="both", hsts="off")
    one, two, three = (
        replace(route(name=str(number), born=number), options=options)
        for number, options in enumerate(
            (
                Options(LocationOptions(deny=("192.0.2.0/24",), body_size=5), host=optional),
                GUARDED,
                Options(LocationOptions(body_size=9), ServiceOptions(keepalive=2)),
            ),
            start=1,
        )
    )
    snapshot = merge([claims(one, two, three)])
    (found,) = snapshot.routes
    assert found.options == Options(
        LocationOptions(users=(("joe", "x"),), deny=("192.0.2.0/24",), body_size=5),
        ServiceOptions(balance="ip_hash", keepalive=2),
        HostOptions(verify_client="on", https="both", hsts="off"),
    )
    assert [str(problem) for problem in snapshot.problems] == [
        f"route etcd routes/{loser}: a.test/: {name} is as etcd routes/{holder} asks"
        " (ask for the same, or for nothing)"
        for loser, name, holder in ((1, "verify_client", 2), (2, "deny", 1), (3, "body_size", 1))
    ]
    assert merge([claims(three, two, one)]) == snapshot, "in any order"


def test_what_leads_elsewhere_has_no_say() -> None:
    asking = replace(route(name="2", service="other", born=9), options=GUARDED)
    snapshot = merge([claims(route(name="1"), asking)])
    assert snapshot.routes == (route(name="1"),)
    assert [problem.where for problem in snapshot.problems] == ["etcd routes/2"]


def test_another_path_is_another_place() -> None:
    snapshot = merge([claims(route(service="a"), route(path="/x", service="b"))])
    assert (len(snapshot.routes), snapshot.problems) == (2, ())


def test_owners_are_those_who_won() -> None:
    snapshot = merge([claims(ETCD), claims(DOCKER, route("b.test", source="docker"), source="docker")])
    assert owners_of(snapshot) == {"a.test/": ("etcd", "routes/old"), "b.test/": ("docker", "routes/web")}
    assert merge([claims(DOCKER, source="docker"), claims(ETCD)], owners_of(snapshot)).routes == (ETCD,)


def by_rule(
    *found: Member | Route, rule: str = "{service}.test", owners: Mapping[str, Owner] | None = None
) -> Snapshot:
    return merge([claims(*found)], owners, host_rule=rule)


def test_the_host_rule_gives_a_route_to_a_service_without_one() -> None:
    snapshot = by_rule(member(B, born=7), member(A, born=9), member(A, service="api"), route(service="api"))
    assert snapshot.routes == (
        route(service="api"),
        Route(
            "web.test",
            "/",
            "web",
            key="services/web",
            where="etcd services/web/10.0.0.2:80 (host rule)",
            source="",
            born=7,
            implied=True,
        ),
    )
    assert snapshot.problems == ()


def test_a_route_of_the_rule_yields_to_every_other() -> None:
    """Even when it had the host before."""
    owners = {"web.test/": ("", "services/web")}
    real = route("web.test", service="api", born=99)
    snapshot = by_rule(member(A), real, owners=owners)
    assert snapshot.routes == (real,)
    assert [problem.where for problem in snapshot.problems] == ["etcd services/web/10.0.0.1:80 (host rule)"]


def test_a_rule_that_gives_all_the_same_host_serves_the_oldest() -> None:
    members = (member(A, service="a", born=2), member(B, service="b", born=1), member(C, service="c", born=3))
    snapshot = by_rule(*members, rule="all.test")
    assert [found.service for found in snapshot.routes] == ["b"]
    assert len(snapshot.problems) == 2
    owned = by_rule(*members, rule="all.test", owners={"all.test/": ("", "services/c")})
    assert [found.service for found in owned.routes] == ["c"]


def test_a_host_that_the_rule_can_not_make_is_a_problem() -> None:
    snapshot = by_rule(member(A, service="-" * 70), member(B))
    assert [found.service for found in snapshot.routes] == ["web"]
    (problem,) = snapshot.problems
    assert problem.where == f"etcd services/{'-' * 70}/10.0.0.1:80"
    assert problem.why.startswith("the host rule makes '-----")


def drained(endpoint: Endpoint) -> Endpoint:
    return Endpoint(endpoint.address, draining=True)


@pytest.mark.parametrize(
    ("endpoints", "left"),
    [
        pytest.param([A, drained(B)], (A,), id="one can be spared"),
        pytest.param([drained(A), drained(B)], (drained(A), drained(B)), id="the last ones stay"),
        pytest.param([drained(A)], (drained(A),), id="the last one stays"),
    ],
)
def test_a_draining_endpoint_gets_nothing_new(endpoints: list[Endpoint], left: tuple[Endpoint, ...]) -> None:
    assert merge([claims(*map(member, endpoints))]).services == {"web": left}


def test_an_address_counts_once() -> None:
    """Equal ones are no problem: two sources may know the same container."""
    snapshot = merge([claims(member(A, key="1"), member(A, key="2")), claims(member(A, key="3"))])
    assert (snapshot.services, snapshot.problems) == ({"web": (A,)}, ())


def test_of_two_that_differ_the_older_counts() -> None:
    heavy = Endpoint(A.address, weight=5)
    snapshot = merge([claims(member(A, key="1", born=2), member(heavy, key="2", born=1))])
    assert snapshot.services == {"web": (heavy,)}
    why = "10.0.0.1:80 is in service 'web' already, by etcd 2 (delete one)"
    assert snapshot.problems == (Problem("endpoint", "etcd 1", why),)


def test_one_that_serves_counts_before_one_that_drains() -> None:
    """A container was replaced at its address: no problem."""
    snapshot = merge([claims(member(drained(A), key="1", born=1), member(A, key="2", born=2))])
    assert (snapshot.services, snapshot.problems) == ({"web": (A,)}, ())


def test_the_same_address_in_two_services_is_fine() -> None:
    snapshot = merge([claims(member(A), member(A, service="api"))])
    assert (snapshot.services, snapshot.problems) == ({"api": (A,), "web": (A,)}, ())


ENDPOINTS = st.builds(
    Endpoint,
    address=st.sampled_from(["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"]),
    weight=st.integers(1, 3),
    draining=st.booleans(),
)
MEMBERS = st.lists(st.tuples(ENDPOINTS, st.sampled_from(["web", "api"]), st.integers(0, 3)), max_size=8)
PLACES = st.tuples(st.sampled_from(["a.test", "b.test"]), st.sampled_from(["/", "/x"]))
ROUTES = st.lists(st.tuples(PLACES, st.sampled_from(["web", "api", "gone"]), st.integers(0, 3)), max_size=8)


@given(members=MEMBERS, routes=ROUTES, rule=st.sampled_from(["", "{service}.test", "a.test"]), data=st.data())
def test_order_plays_no_part(
    members: list[tuple[Endpoint, str, int]],
    routes: list[tuple[tuple[str, str], str, int]],
    rule: str,
    data: st.DataObject,
) -> None:
    """A listing in another order gives the same snapshot, its problems included."""
    found: list[Member | Route] = [
        member(endpoint, service=service, key=f"services/{service}/{number}", born=born)
        for number, (endpoint, service, born) in enumerate(members)
    ]
    found += [
        route(host, path=path, service=service, name=str(number), born=born)
        for number, ((host, path), service, born) in enumerate(routes)
    ]
    shuffled = data.draw(st.permutations(found))
    assert merge([claims(*shuffled)], host_rule=rule) == merge([claims(*found)], host_rule=rule)
    both = [claims(*found), claims(member(A, key="other"), source="docker")]
    again = [claims(*shuffled), claims(member(A, key="other"), source="docker")]
    assert merge(again, host_rule=rule) == merge(both, host_rule=rule)


@given(members=MEMBERS, routes=ROUTES)
def test_what_is_merged_is_lawful(
    members: list[tuple[Endpoint, str, int]], routes: list[tuple[tuple[str, str], str, int]]
) -> None:
    """Each place and each address once, and nothing that nobody claimed."""
    snapshot = merge(
        [
            claims(
                *(
                    member(endpoint, service=name, key=str(number))
                    for number, (endpoint, name, _) in enumerate(members)
                ),
                *(
                    route(host, path=path, service=name, name=str(number))
                    for number, ((host, path), name, _) in enumerate(routes)
                ),
            )
        ]
    )
    assert sorted({place for place, _, _ in routes}) == [(one.host, one.path) for one in snapshot.routes]
    assert set(snapshot.services) == {name for _, name, _ in members}
    for name, endpoints in snapshot.services.items():
        claimed = [endpoint for endpoint, service, _ in members if service == name]
        assert set(endpoints) <= set(claimed)
        assert len({endpoint.address for endpoint in endpoints}) == len(endpoints)
        assert {endpoint.draining for endpoint in endpoints} == {all(one.draining for one in claimed)}


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        pytest.param(None, 0, 0.0, id="nothing known before"),
        pytest.param(0, 0, 0.0, id="none before"),
        pytest.param(4, 1, 0.75, id="three of four"),
        pytest.param(4, 0, 1.0, id="all"),
        pytest.param(4, 5, 0.0, id="gained"),
    ],
)
def test_the_share_that_is_lost(before: int | None, after: int, share: float) -> None:
    old = None if before is None else claims(*(member(A, key=str(number)) for number in range(before)))
    assert lost_share(old, claims(*(member(B, key=f"x{number}") for number in range(after)))) == share


def test_a_service_that_can_serve_takes_the_host_from_one_that_can_not() -> None:
    """A container that has ended, or is about to, must not keep a host from its successor."""
    blue, green = route(service="blue"), route(service="green")
    owners = {"a.test/": (blue.source, blue.key)}
    stopping = member(Endpoint("10.0.0.1:80", draining=True), service="blue")
    serving = member(Endpoint("10.0.0.2:80"), service="green")
    assert winner(claims(blue, green), owners=owners) == "etcd blue", "neither can: the owner stays"
    assert winner(claims(blue, green, stopping), owners=owners) == "etcd blue"
    assert winner(claims(blue, green, stopping, serving), owners=owners) == "etcd green"


def pairs(source: str = "etcd", **values: str) -> Claims:
    """Return the claims that are only keys for templates; ``__`` stands for a slash."""
    entries = {"/" + name.replace("__", "/"): Entry(value.encode()) for name, value in values.items()}
    return Claims(source, pairs=entries)


def test_keys_of_one_source_are_passed_on_as_they_are() -> None:
    """Thousands of them are not copied for every change."""
    one = pairs(app__a="1")
    assert merge([one]).pairs is one.pairs


def test_a_key_of_two_sources_is_that_of_the_first() -> None:
    made = merge([pairs(app__a="1", app__b="2"), pairs("consul", app__b="3", app__c="4")])
    assert {name: entry.value for name, entry in made.pairs.items()} == {
        "/app/a": b"1", "/app/b": b"2", "/app/c": b"4"
    }  # fmt: skip
    (problem,) = made.problems
    assert str(problem) == (
        "key consul '/app/b': the same key counts at etcd '/app/b' (delete one, or give it another name)"
    )


def test_a_key_with_a_final_slash_yields_to_the_one_without() -> None:
    both = pairs(app__a__="folder", app__a="leaf", app__b__="alone")
    made = merge([both])
    assert {name: entry.value for name, entry in made.pairs.items()} == {
        "/app/a": b"leaf",
        "/app/b": b"alone",
    }
    assert [problem.where for problem in made.problems] == ["etcd '/app/a/'"]


def test_containers_are_sorted_by_name() -> None:
    first, second = (Container(name, name, {}, "running") for name in ("b", "a"))
    assert merge([Claims("docker", containers=(first, second))]).containers == (second, first)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        pytest.param(pairs(a="", b=""), pairs(a=""), 0.5, id="half"),
        pytest.param(pairs(a="", b=""), pairs(c="", d=""), 0.0, id="others"),
        pytest.param(pairs(), pairs(a=""), 0.0, id="there were none"),
        pytest.param(claims(member(A)), pairs(a=""), 1.0, id="endpoints and keys count apart"),
    ],
)
def test_the_share_of_keys_that_is_lost(before: Claims, after: Claims, share: float) -> None:
    assert lost_share(before, after) == share


def asking(found: Route, **host: Any) -> Route:  # noqa: ANN401 - of any type
    return replace(found, options=Options(host=HostOptions(**host)))


def test_a_host_is_as_its_first_route_asks() -> None:
    """That a route asks for nothing is no contradiction."""
    first, same, other = (
        asking(route(path=path, name=path[1:]), https=https)
        for path, https in (("/a", "both"), ("/b", "both"), ("/c", "off"))
    )
    snapshot = merge([claims(route(), first, same, other)])
    assert snapshot.hosts == {"a.test": HostOptions(https="both")}
    why = "host a.test: https is as etcd routes/a asks (ask for the same, or for nothing)"
    assert snapshot.problems == (Problem("route", "etcd routes/c", why),)


def test_a_service_is_as_its_first_route_asks() -> None:
    """That is, each option by itself."""
    first, same, other = (
        replace(route(path=path, name=path[1:]), options=Options(service=ServiceOptions(balance=balance)))
        for path, balance in (("/a", "ip_hash"), ("/b", "ip_hash"), ("/c", "least_conn"))
    )
    snapshot = merge([claims(asking(route(), https="both"), first, same, other)])
    assert snapshot.options == {"web": ServiceOptions(balance="ip_hash")}
    why = "service 'web': balance is as etcd routes/a asks (ask for the same, or for nothing)"
    assert snapshot.problems == (Problem("route", "etcd routes/c", why),)


def test_the_options_of_a_host_are_those_of_all_its_routes() -> None:
    """Of each one the first that asks for it: none is lost because a route before asks for something else."""
    root = asking(route(name="root"), hsts="max-age=1", www=True)
    first = asking(route(path="/a", name="a"), certificate="own", hsts="", other_redirect_status=308)
    second = asking(route(path="/b", name="b"), missing="default", other_redirect_status=307)
    snapshot = merge([claims(second, first, root)])
    assert snapshot.hosts["a.test"] == HostOptions(
        hsts="max-age=1", www=True, certificate="own", other_redirect_status=308, missing="default"
    )
    assert [(problem.where, problem.why.partition(" (")[0]) for problem in snapshot.problems] == [
        ("etcd routes/a", "host a.test: hsts is as etcd routes/root asks"),
        ("etcd routes/b", "host a.test: https_redirect_status is as etcd routes/a asks"),
    ]


@pytest.mark.parametrize(
    ("root", "admin", "counts", "loser"),
    [
        pytest.param({"hsts": "max-age=1"}, "on", "on", "", id="beside something else"),
        pytest.param({"verify_client": "on"}, "on", "on", "", id="the same"),
        pytest.param({"verify_client": ""}, "on", "on", "root", id="off before on"),
        pytest.param({"verify_client": "on"}, "", "on", "admin", id="off after on"),
        pytest.param({"verify_client": "optional"}, "on", "on", "root", id="optional before on"),
        pytest.param({"verify_client": "optional_no_ca"}, "optional", "optional", "root", id="not no_ca"),
        pytest.param({"verify_client": "optional_no_ca"}, "", "optional_no_ca", "admin", id="not off"),
        pytest.param({"https": "both"}, "", "", "", id="off alone"),
    ],
)
def test_a_host_asks_its_clients_for_certificates_as_strictly_as_any_of_its_routes(
    root: dict[str, str], admin: str, counts: str, loser: str
) -> None:
    """Whoever asked for less in so many words is told."""
    found = (
        asking(route(name="root"), **root),
        asking(route(path="/admin", name="admin"), verify_client=admin),
    )
    snapshot = merge([claims(*found)])
    assert snapshot.hosts["a.test"].verify_client == counts
    assert [problem.where for problem in snapshot.problems] == ([f"etcd routes/{loser}"] if loser else [])
    assert all("a.test: verify_client is as etcd" in problem.why for problem in snapshot.problems)


def test_every_option_has_a_name() -> None:
    """By which a route is told that another's counts."""
    kinds = {"location": LocationOptions, "host": HostOptions, "service": ServiceOptions}
    for of, kind in kinds.items():
        assert {field.name for field in fields(kind)} <= {field for whose, field in SPELLED if whose == of}


@pytest.mark.parametrize(("host", "twin"), [("a.test", "www.a.test"), ("www.a.test", "a.test")])
def test_a_host_can_have_a_twin_that_leads_to_it(host: str, twin: str) -> None:
    asked = HostOptions(www=True, https="both", certificate="own")
    snapshot = merge([claims(replace(route(host), options=Options(host=asked)))])
    redirect = next(found for found in snapshot.routes if found.host == twin)
    assert (redirect.path, redirect.options.location.redirect) == ("/", f"//{host}")
    assert snapshot.hosts[twin] == HostOptions(https="both")
    assert snapshot.problems == ()


def test_a_twin_yields_to_a_route_of_that_name() -> None:
    own = route("www.a.test", service="other", born=9)
    snapshot = merge([claims(asking(route(), www=True), own)])
    assert own in snapshot.routes
    assert [problem.where for problem in snapshot.problems] == ["etcd routes/web"]


def test_of_two_that_are_each_others_twin_none_is_redirected() -> None:
    """For it is not known which: one problem says so."""
    found = [asking(route(host, name=host), www=True) for host in ("a.test", "www.a.test")]
    snapshot = merge([claims(*found)])
    assert [one.options.location.redirect for one in snapshot.routes] == ["", ""]
    (problem,) = snapshot.problems
    assert problem.why == (
        "www has no effect: www.a.test is named as well as a.test, by etcd routes/www.a.test"
        " (name only the one that the other is to be redirected to, or delete www)"
    )


def test_a_wildcard_has_no_twin() -> None:
    (problem,) = merge([claims(asking(route("*.a.test"), www=True))]).problems
    assert "stands for many" in problem.why


def test_a_host_rule_knows_services_whose_endpoints_are_all_down() -> None:
    down = replace(claims(), named=(Named("web", "container web-1", 5),))
    snapshot = merge([down, claims(member(A, service="api"))], host_rule="{service}.test")
    assert [(route.host, route.where) for route in snapshot.routes] == [
        ("api.test", "etcd services/api/10.0.0.1:80 (host rule)"),
        ("web.test", "container web-1 (host rule)"),
    ]
    assert "web" not in snapshot.services
