"""Containers to claims, and the reader of a whole listing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.model import Claims, Container, Endpoint, Entry, Listing, Member, Named, Problem, Reach, Route
from proxyconf.routing import Reader

LABELS = {"proxyconf.host": "a.test"}
WEB = Container(
    "1" * 64, "web-1", LABELS, "running", networks={"bridge": "172.17.0.2"}, ports=(8080,), created=1700
)

WHY = "its address in the network bridge, which the host reaches; the only port that it exposes"


def read(*containers: Container) -> Claims:
    return Reader().read(Listing("docker", containers=containers))


def labelled(**labels: str) -> Container:
    """Return the container with other labels; ``api__host`` stands for ``proxyconf.api.host``."""
    spelled_out = {"proxyconf." + name.replace("__", "."): value for name, value in labels.items()}
    return replace(WEB, labels=spelled_out)


def address_of(container: Container) -> str:
    claims = read(container)
    assert claims.problems == ()
    return claims.members[0].endpoint.address


def test_all_containers_are_passed_on_for_templates() -> None:
    """Those that no route leads to as well."""
    plain = replace(WEB, labels={})
    assert read(WEB, plain).containers == (WEB, plain)


def test_a_container_with_a_host() -> None:
    where = "container web-1 label proxyconf.host"
    key = "1" * 64 + "/"
    assert read(WEB) == Claims(
        "docker",
        containers=(WEB,),
        members=(Member("a.test/", Endpoint("172.17.0.2:8080"), key, where, 1700, WHY),),
        routes=(Route("a.test", "/", "a.test/", key, where, "docker", 1700),),
    )


def test_a_container_without_our_labels_is_ignored() -> None:
    stranger = replace(WEB, labels={"com.example": "x"}, ports=(), networks={})
    assert read(stranger) == Claims("docker", containers=(stranger,))


def test_a_mere_member_of_a_service() -> None:
    """Its route comes from elsewhere: from etcd, or from the host rule."""
    container = labelled(service="web", weight="2", backup="true")
    claims = read(container)
    where = "container web-1 label proxyconf.service"
    endpoint = Endpoint("172.17.0.2:8080", 2, backup=True)
    member = Member("web", endpoint, "1" * 64 + "/", where, 1700, WHY)
    named = (Named("web", where, 1700),)
    assert claims == Claims("docker", members=(member,), containers=(container,), named=named)


@pytest.mark.parametrize("state", ["exited", "paused", "restarting"])
def test_a_service_whose_containers_are_down_is_still_asked_for(state: str) -> None:
    """So that a host that a rule gives it stays known."""
    down = replace(labelled(service="web"), state=state)
    gone = Listing("docker", removed=(labelled(service="web"),))
    assert [named.service for named in read(down).named] == ["web"]
    assert [named.service for named in Reader().read(gone).named] == ["web"]
    assert read(replace(down, state="created")).named == ()


def test_options_are_of_every_route_of_the_label() -> None:
    claims = read(labelled(host="a.test b.test", read_timeout="5m"))
    assert [route.options.location.read_timeout for route in claims.routes] == [300, 300]


def test_a_list_of_hosts() -> None:
    """Each has a service of its own, unless the label names one."""
    claims = read(labelled(host="b.test a.test"))
    keys = ["1" * 64 + "//a.test", "1" * 64 + "//b.test"]
    assert [(route.key, route.host, route.service) for route in claims.routes] == [
        (keys[0], "a.test", "a.test/"),
        (keys[1], "b.test", "b.test/"),
    ]
    assert [(member.key, member.service) for member in claims.members] == [
        (keys[0], "a.test/"),
        (keys[1], "b.test/"),
    ]
    claims = read(labelled(host="b.test a.test", service="web"))
    assert [(member.key, member.service) for member in claims.members] == [("1" * 64 + "/", "web")]
    assert [route.service for route in claims.routes] == ["web", "web"]


def test_several_routes() -> None:
    claims = read(labelled(host="a.test", admin__host="admin.test", admin__port="9000"))
    assert [(route.key[64:], route.claim, route.where) for route in claims.routes] == [
        ("/", "a.test/", "container web-1 label proxyconf.host"),
        ("/admin", "admin.test/", "container web-1 label proxyconf.admin.host"),
    ]
    assert [member.endpoint.address for member in claims.members] == ["172.17.0.2:8080", "172.17.0.2:9000"]


def test_equal_claims_of_containers_share_a_service() -> None:
    other = replace(WEB, id="0" * 64, name="web-2", networks={"bridge": "172.17.0.3"})
    claims = read(WEB, other)
    assert [(member.service, member.key[0]) for member in claims.members] == [
        ("a.test/", "0"),
        ("a.test/", "1"),
    ]


@pytest.mark.parametrize(
    ("container", "address"),
    [
        pytest.param(labelled(host="a.test", port="80"), "172.17.0.2:80", id="port of the label"),
        pytest.param(
            replace(labelled(host="a.test", network="b"), networks={"b": "10.0.0.3", "a": "10.0.0.2"}),
            "10.0.0.3:8080",
            id="network of the label",
        ),
        pytest.param(replace(WEB, networks={"host": ""}), "127.0.0.1:8080", id="network of the host"),
    ],
)
def test_the_address(container: Container, address: str) -> None:
    """More of it is in test_addresses."""
    assert address_of(container) == address


def test_another_way_to_the_containers_is_another_address() -> None:
    """The proxy was connected to a network, say; the containers are what they were."""
    reader = Reader()
    both = replace(WEB, networks={"a": "10.0.0.2", "b": "10.0.0.3"})
    listing = Listing("docker", containers=(both,), reach=Reach(("b",), ""))
    (member,) = reader.read(listing).members
    assert member.endpoint.address == "10.0.0.3:8080"
    assert reader.read(replace(listing)).members[0] is member
    (member,) = reader.read(replace(listing, reach=Reach(("a", "b"), ""))).members
    assert member.endpoint.address == "10.0.0.2:8080"


def test_a_container_in_anothers_network() -> None:
    """It has that one's address; without its port, it is said why none is known."""
    web = replace(WEB, ports=(), network_mode="container:" + "2" * 64)
    (problem,) = read(web).problems
    assert problem.why.startswith("it shares another container's network, where no port of it is known (")
    web = replace(web, labels=LABELS | {"proxyconf.port": "81"})
    assert address_of(web) == "172.17.0.2:81"
    (problem,) = read(replace(web, networks={})).problems
    assert problem.why.startswith("it shares the network of the container 222222222222, which has no address")


@pytest.mark.parametrize(
    ("container", "why"),
    [
        pytest.param(
            replace(WEB, ports=(80, 443)),
            "it exposes the ports 80, 443 (name the one to use with the label proxyconf.port)",
            id="several ports",
        ),
        pytest.param(
            replace(labelled(api__host="a.test"), ports=()),
            "it exposes no port (name the one to use with the label proxyconf.api.port)",
            id="no port",
        ),
        pytest.param(
            replace(WEB, networks={}),
            "it runs without an address in any network; its networks: none (connect it to one)",
            id="no network",
        ),
        pytest.param(
            replace(labelled(host="a.test", network="edge"), networks={"b": "10.0.0.3", "a": "10.0.0.2"}),
            "it has no address in the network 'edge'; its networks: a (10.0.0.2), b (10.0.0.3) (correct",
            id="another network",
        ),
        pytest.param(
            replace(WEB, networks={"bridge": "unknown"}),
            "'unknown:8080' is no address",
            id="no address of an engine",
        ),
    ],
)
def test_an_endpoint_that_is_not_known_is_a_problem(container: Container, why: str) -> None:
    """Its route stays: a known host without endpoints is answered with 503."""
    claims = read(container)
    assert (claims.members, len(claims.routes)) == ((), 1)
    (problem,) = claims.problems
    assert (problem.what, problem.where) == ("container", "web-1")
    assert problem.why.startswith(why)


@pytest.mark.parametrize(
    ("state", "health", "serves"),
    [
        pytest.param("running", "", True, id="running"),
        pytest.param("running", "healthy", True, id="healthy"),
        pytest.param("running", "starting", False, id="starting"),
        pytest.param("running", "unhealthy", False, id="unhealthy"),
        pytest.param("paused", "", False, id="paused"),
        pytest.param("exited", "", False, id="exited"),
    ],
)
def test_only_a_running_healthy_container_serves(state: str, health: str, serves: bool) -> None:  # noqa: FBT001
    """Its route stays as long as it exists."""
    claims = read(replace(WEB, state=state, health=health))
    assert (len(claims.members), len(claims.routes)) == (int(serves), 1)


@pytest.mark.parametrize(
    ("wanted", "health", "endpoints"),
    [
        pytest.param("require", "starting", [], id="require"),
        pytest.param("require", "unhealthy", [], id="require, unhealthy"),
        pytest.param("require", "flapping", [True], id="require, flapping"),
        pytest.param("prefer", "starting", [True], id="prefer, starting"),
        pytest.param("prefer", "unhealthy", [True], id="prefer, unhealthy"),
        pytest.param("prefer", "flapping", [True], id="prefer, flapping"),
        pytest.param("prefer", "healthy", [False], id="prefer, healthy"),
        pytest.param("prefer", "", [False], id="prefer, no check"),
        pytest.param("ignore", "unhealthy", [False], id="ignore"),
        pytest.param("ignore", "flapping", [False], id="ignore, flapping"),
    ],
)
def test_what_health_means_is_up_to_the_label(wanted: str, health: str, endpoints: list[bool]) -> None:
    """Preferred are the healthy ones: another one is told from them as one that drains is."""
    claims = read(replace(labelled(host="a.test", health=wanted), health=health))
    assert [member.endpoint.draining for member in claims.members] == endpoints


def test_each_route_has_its_own_health() -> None:
    labels = {"host": "a.test", "api__host": "api.test", "api__health": "ignore"}
    claims = read(replace(labelled(**labels), health="unhealthy"))
    assert [member.service for member in claims.members] == ["api.test/"]
    assert [problem.why[:19] for problem in claims.problems] == ["gets no requests: i"]


@pytest.mark.parametrize(
    ("wanted", "health", "why"),
    [
        ("prefer", "unhealthy", ["it is unhealthy"]),
        ("require", "flapping", ["its health check passes and fails in quick turns"]),
        ("ignore", "unhealthy", []),
        ("ignore", "flapping", []),
    ],
)
def test_an_unhealthy_one_that_serves_is_said_to(wanted: str, health: str, why: list[str]) -> None:
    claims = read(replace(labelled(host="a.test", health=wanted), health=health))
    so = "gets requests only where no other endpoint serves: "
    assert [problem.why.partition(" (")[0].removeprefix(so) for problem in claims.problems] == why


@pytest.mark.parametrize(
    ("state", "health", "reason"),
    [
        pytest.param("running", "unhealthy", "it is unhealthy (see", id="unhealthy"),
        pytest.param("paused", "", "it is paused (docker unpause)", id="paused"),
        pytest.param("restarting", "", "it ends again and again (see", id="restarting"),
        pytest.param("dead", "", "the engine failed to remove it (docker rm -f)", id="dead"),
    ],
)
def test_why_one_that_should_serve_does_not_is_said(state: str, health: str, reason: str) -> None:
    (problem,) = read(replace(WEB, state=state, health=health)).problems
    assert (problem.what, problem.where) == ("container", "web-1")
    assert problem.why.startswith(f"gets no requests: {reason}")
    assert read(replace(WEB, labels={}, state=state, health=health)).problems == (), "it is none of ours"


@pytest.mark.parametrize("state", ["running", "restarting", "exited"])
def test_one_that_ends_again_and_again_has_to_last_first(state: str) -> None:
    """Said in the same words whether it runs at the moment or not; its host stays."""
    claims = read(replace(WEB, state=state, probation_s=10))
    assert (claims.members, [route.host for route in claims.routes]) == ((), ["a.test"])
    (problem,) = claims.problems
    assert problem.why == (
        "gets no requests: it ended again and again, each time within 10 s"
        " (see docker logs; it gets them once it has run for that long)"
    )


@pytest.mark.parametrize(
    ("state", "health"), [("running", "starting"), ("exited", ""), ("running", "healthy")]
)
def test_what_is_to_be_expected_is_no_problem(state: str, health: str) -> None:
    assert read(replace(WEB, state=state, health=health)).problems == ()


@pytest.mark.parametrize(
    ("state", "health", "idle"),
    [
        pytest.param("created", "", ["it was not started yet (docker start)"], id="created"),
        pytest.param("exited", "", ["it has ended (docker start)"], id="exited"),
        pytest.param("stopping", "", ["it is stopping"], id="a word of podman's"),
        pytest.param("running", "starting", ["its health check has not passed yet"], id="starting"),
        pytest.param("running", "healthy", [], id="healthy"),
        pytest.param("running", "unhealthy", [], id="unhealthy, which is a problem"),
        pytest.param("paused", "", [], id="paused, which is a problem"),
    ],
)
def test_why_it_gets_no_requests_is_said_where_that_is_no_problem(
    state: str, health: str, idle: list[str]
) -> None:
    claims = read(replace(WEB, state=state, health=health))
    assert [(one.container, one.why) for one in claims.idle] == [("web-1", why) for why in idle]
    assert read(replace(WEB, labels={}, state=state, health=health)).idle == (), "it is none of ours"


def test_one_that_starts_and_serves_is_not_idle() -> None:
    assert read(replace(labelled(host="a.test", health="ignore"), health="starting")).idle == ()


def test_variables_of_one_that_is_not_enabled_do_not_count() -> None:
    container = replace(labelled(enable="false"), env={"VIRTUAL_HOST": "a.test"})
    assert (read(container).routes, read(container).problems) == ((), ())


def test_a_container_in_the_making_asks_for_nothing_yet() -> None:
    """Its route comes together with its endpoint: one reload, not two."""
    reader = Reader()
    created = reader.read(Listing("docker", containers=(replace(WEB, state="created"),)))
    assert (created.members, created.routes, created.problems) == ((), (), ())
    running = reader.read(Listing("docker", containers=(WEB,)))
    assert (len(running.members), len(running.routes)) == (1, 1)


def test_a_stopped_container_without_ports_is_no_problem() -> None:
    """An engine lists neither ports nor addresses of one that does not run."""
    assert read(replace(WEB, state="exited", networks={}, ports=())).problems == ()


def test_a_container_that_was_told_to_stop_drains() -> None:
    assert read(replace(WEB, draining=True)).members[0].endpoint == Endpoint("172.17.0.2:8080", draining=True)


def test_a_bad_label_is_a_problem_and_the_good_ones_count() -> None:
    claims = read(labelled(host="a.test", weight="0", api__host="api.test", api__weight="1"))
    assert [route.host for route in claims.routes] == ["api.test"]
    assert claims.problems == (
        Problem(
            "container",
            "web-1 label proxyconf.weight",
            "'0' is no weight (a number from 1 to 1000); its route is left out",
        ),
    )


def test_what_stays_the_same_is_the_same_object() -> None:
    """Routes also when only the container's state is another."""
    reader = Reader()
    other = replace(WEB, id="2" * 64)
    before = reader.read(Listing("docker", containers=(WEB, other)))
    after = reader.read(Listing("docker", containers=(replace(WEB), replace(other, state="paused"))))
    assert after.members == before.members[:1]
    assert after.members[0] is before.members[0]
    assert [new is old for new, old in zip(after.routes, before.routes, strict=True)] == [True, True]


def test_a_renamed_container_is_read_again() -> None:
    reader = Reader()
    reader.read(Listing("docker", containers=(WEB,)))
    (route,) = reader.read(Listing("docker", containers=(replace(WEB, name="new"),))).routes
    assert route.where == "container new label proxyconf.host"


def test_what_the_source_skipped_is_a_problem_too() -> None:
    skipped = Problem("file", "a.toml:1", "is no TOML")
    listing = Listing("file", keys={"x/y": Entry(b"")}, containers=(), problems=(skipped,))
    assert Reader().read(listing).problems[0] is skipped


def test_a_container_on_the_hosts_network_needs_a_port() -> None:
    """Its image may expose one, but the engine lists none."""
    (problem,) = read(replace(WEB, networks={"host": ""}, ports=())).problems
    assert problem.why.startswith("it is on the host's network, where no port of it is known (name the one")


def after_removal(*here: Container, removed: Container = WEB) -> list[tuple[str, str]]:
    """Return the claims, and of which container each is, when *removed* is gone since a moment ago."""
    reader = Reader()
    reader.read(Listing("docker", containers=(removed,)))
    gone = replace(removed, state="exited", networks={}, ports=())
    claims = reader.read(Listing("docker", containers=here, removed=(gone,)))
    assert not [member for member in claims.members if member.key.startswith(removed.id)]
    assert claims.problems == ()
    left = {"web-1"} if any(route.key.startswith(removed.id) for route in claims.routes) else set()
    assert {one.container for one in claims.idle if one.why.startswith("it was removed a moment ago")} == left
    return [(route.claim, route.where.split()[1]) for route in claims.routes]


@pytest.mark.parametrize(
    ("here", "claims"),
    [
        pytest.param([], [("a.test/", "web-1")], id="nothing else"),
        pytest.param(
            [replace(WEB, id="2" * 64, state="created")], [("a.test/", "web-1")], id="the next is not started"
        ),
        pytest.param([replace(WEB, id="2" * 64, name="web-2")], [("a.test/", "web-2")], id="the same claim"),
        pytest.param(
            [replace(WEB, id="2" * 64, name="web-2", labels={"proxyconf.host": "b.test"})],
            [("a.test/", "web-1"), ("b.test/", "web-2")],
            id="another claim",
        ),
        pytest.param(
            [replace(WEB, id="2" * 64, labels={"proxyconf.host": "b.test"})],
            [("b.test/", "web-1")],
            id="another claim under the same name",
        ),
        pytest.param([replace(WEB, id="2" * 64, labels={})], [], id="no claim under the same name"),
    ],
)
def test_the_host_of_a_removed_container_stays_until_that_is_replaced(
    here: list[Container], claims: list[tuple[str, str]]
) -> None:
    """Who recreates one removes the old one first: meanwhile its host is known, and has no endpoint."""
    assert after_removal(*here) == claims


def test_what_was_wrong_with_a_removed_container_is_no_problem_any_more() -> None:
    labels = {"proxyconf.host": "a.test", "proxyconf.api.host": "b;"}
    assert after_removal(removed=replace(WEB, labels=labels, health="unhealthy")) == [("a.test/", "web-1")]


def test_of_two_removed_containers_the_newer_counts() -> None:
    older = replace(
        WEB, id="2" * 64, labels={"proxyconf.host": "a.test", "proxyconf.service": "old"}, created=1
    )
    for removed in [(older, WEB), (WEB, older)]:
        claims = Reader().read(Listing("docker", removed=removed))
        assert [route.service for route in claims.routes] == ["a.test/"]
