"""The host rule for containers: which it gives a host, and which it passes over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.errors import BadValueError
from proxyconf.host_rule import check_rule
from proxyconf.model import Claims, Container, Idle, Listing
from proxyconf.routing import Reader
from proxyconf.snapshot import merge

COMPOSE = {"com.docker.compose.service": "web", "com.docker.compose.project": "blog"}
WEB = Container(
    "1" * 64,
    "blog-web-1",
    COMPOSE,
    "running",
    networks={"bridge": "172.17.0.2"},
    ports=(8080,),
    created=1700,
)
OTHER = replace(WEB, id="2" * 64, name="blog-web-2", networks={"bridge": "172.17.0.3"})
PASSED_OVER = "the host rule passes it over: "


def listing_of(
    *containers: Container, rule: str = "{service}.test", proxies: tuple[str, ...] = ()
) -> Listing:
    return Listing("docker", containers=containers, host_rule=rule, proxies=proxies)


def read(*containers: Container, rule: str = "{service}.test", proxies: tuple[str, ...] = ()) -> Claims:
    return Reader().read(listing_of(*containers, rule=rule, proxies=proxies))


def labelled(**labels: str) -> Container:
    return replace(WEB, labels=COMPOSE | {f"proxyconf.{name}": text for name, text in labels.items()})


def hosts(claims: Claims) -> list[str]:
    return [route.host for route in claims.routes]


@pytest.mark.parametrize(
    ("rule", "host"),
    [
        pytest.param("{container}.test", "blog-web-1.test", id="container"),
        pytest.param("{service}.test", "web.test", id="service"),
        pytest.param("{service}.{project}.Test.", "web.blog.test", id="service and project"),
    ],
)
def test_a_container_without_a_host_gets_one(rule: str, host: str) -> None:
    claims = read(WEB, rule=rule)
    (route,), (member,) = claims.routes, claims.members
    assert (route.host, route.path, route.where, route.implied) == (
        host,
        "/",
        "container blog-web-1 host rule",
        True,
    )
    assert (member.service, member.endpoint.address) == (route.service, "172.17.0.2:8080")
    assert (claims.idle, claims.problems) == ((), ())


def test_without_a_rule_there_is_none() -> None:
    assert read(WEB, rule="") == Claims("docker", containers=(WEB,))


def test_containers_with_the_same_host_share_it() -> None:
    snapshot = merge([read(WEB, OTHER)])
    (route,) = snapshot.routes
    assert [endpoint.address for endpoint in snapshot.services[route.service]] == [
        "172.17.0.2:8080",
        "172.17.0.3:8080",
    ]
    assert snapshot.problems == ()


def test_who_asks_for_a_host_shares_it_with_none_that_does_not() -> None:
    """Not even while it is down: a name that happens to fit must not draw its requests."""
    asking = replace(OTHER, labels={"proxyconf.host": "web.test"}, state="exited")
    snapshot = merge([read(WEB, asking)])
    (route,) = snapshot.routes
    assert (route.where, snapshot.services.get(route.service, ())) == (
        "container blog-web-2 label proxyconf.host",
        (),
    )
    (problem,) = snapshot.problems
    assert (problem.where, problem.why[:26]) == (
        "container blog-web-1 host rule",
        "web.test/ leads to service",
    )


@pytest.mark.parametrize(
    ("container", "found"),
    [
        pytest.param(labelled(host="a.test"), ["a.test"], id="a label"),
        pytest.param(labelled(**{"api.host": "a.test"}), ["a.test"], id="a label with a name"),
        pytest.param(replace(WEB, env={"VIRTUAL_HOST": "a.test"}), ["a.test"], id="a variable"),
        pytest.param(replace(WEB, env={"VIRTUAL_HOST": " "}), ["web.test"], id="a variable without a value"),
        pytest.param(labelled(**{"response_header.host": "x"}), ["web.test"], id="a header of that name"),
    ],
)
def test_who_names_a_host_has_no_other(container: Container, found: list[str]) -> None:
    assert hosts(read(container)) == found


@pytest.mark.parametrize(
    "container",
    [
        pytest.param(labelled(host="a b;"), id="a label"),
        pytest.param(replace(WEB, env={"VIRTUAL_HOST": "~a"}), id="a variable"),
        pytest.param(labelled(allow="everybody"), id="another label"),
    ],
)
def test_a_mistake_is_not_made_up_for(container: Container) -> None:
    """What is bad there may have been to protect the container."""
    claims = read(container)
    assert (claims.routes, len(claims.problems)) == ((), 1)


def test_other_labels_count_as_with_a_host() -> None:
    claims = read(
        replace(labelled(port="81", path="/api", service="api", read_timeout="5m"), ports=(80, 443))
    )
    (route,), (member,) = claims.routes, claims.members
    assert (route.claim, route.service, route.options.location.read_timeout) == ("web.test/api", "api", 300)
    assert (member.endpoint.address, claims.problems) == ("172.17.0.2:81", ())


@pytest.mark.parametrize(
    ("container", "why"),
    [
        pytest.param(
            replace(WEB, ports=()),
            PASSED_OVER + "it exposes no port (name the one to use with the label proxyconf.port)",
            id="no port",
        ),
        pytest.param(
            replace(WEB, ports=(80, 443), labels=COMPOSE | {"proxyconf.enable": "true"}),
            PASSED_OVER + "it exposes the ports 80, 443 (name the one to use with the label proxyconf.port)",
            id="several ports",
        ),
        pytest.param(
            replace(WEB, labels={"com.docker.compose.project": "blog"}),
            PASSED_OVER + "it has no label com.docker.compose.service, which the rule needs",
            id="not of Compose",
        ),
        pytest.param(replace(WEB, id="a" * 64), PASSED_OVER + "it is the proxy itself", id="the proxy"),
        pytest.param(
            replace(WEB, network_mode="container:" + "a" * 64),
            PASSED_OVER + "it is the proxy itself",
            id="the proxy, in another's network",
        ),
        pytest.param(labelled(enable="false"), "its label proxyconf.enable is false", id="not enabled"),
    ],
)
def test_what_is_passed_over_is_no_problem(container: Container, why: str) -> None:
    """Nobody asked for it; but status says why."""
    claims = read(container, proxies=("a" * 64,))
    assert (claims.routes, claims.members, claims.problems) == ((), (), ())
    assert claims.idle == (Idle("blog-web-1", why),)


def test_a_port_that_is_not_known_is_a_problem_where_a_route_is_meant() -> None:
    claims = read(replace(labelled(read_timeout="5m"), ports=()))
    assert hosts(claims) == ["web.test"]
    (problem,) = claims.problems
    assert problem.why.startswith("it exposes no port (name the one")


def test_names_that_make_no_host_are_a_problem() -> None:
    """An underscore is fine."""
    assert hosts(read(replace(WEB, name="blog_web_1"), rule="{container}.test")) == ["blog_web_1.test"]
    claims = read(replace(WEB, name="web-"), rule="{container}.test")
    assert claims.routes == ()
    why = "the host rule makes 'web-.test' is no host name"
    assert claims.problems[0].why.startswith(why)
    disabled = replace(labelled(enable="false"), name="web-")
    assert read(disabled, rule="{container}.test").problems == ()


def test_the_host_stays_when_the_container_ends() -> None:
    """An engine lists no ports then; one that had none still has no host."""
    reader = Reader()
    mute = replace(OTHER, ports=())
    reader.read(listing_of(WEB, mute))
    ended = [replace(one, state="exited", networks={}, ports=()) for one in (WEB, mute)]
    claims = reader.read(listing_of(*ended))
    assert (hosts(claims), claims.members) == (["web.test"], ())
    assert [one.container for one in claims.idle] == ["blog-web-1", "blog-web-2"]
    claims = reader.read(listing_of(WEB, mute))
    assert (hosts(claims), len(claims.members)) == (["web.test"], 1)


def test_one_that_is_first_seen_when_it_has_ended_gets_its_host_when_it_starts() -> None:
    reader = Reader()
    assert reader.read(listing_of(replace(WEB, state="exited", ports=()))).routes == ()
    assert hosts(reader.read(listing_of(WEB))) == ["web.test"]


def test_another_rule_makes_other_hosts() -> None:
    reader = Reader()
    for rule, host in (("{service}.test", "web.test"), ("{container}.test", "blog-web-1.test")):
        assert hosts(reader.read(listing_of(WEB, rule=rule))) == [host]
    assert reader.read(listing_of(WEB, rule="")).routes == ()


@pytest.mark.parametrize(
    "rule", ["{container}.example.com", "x-{service}.{project}.example.com", "{service}"]
)
def test_good_rules(rule: str) -> None:
    check_rule(rule)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        pytest.param("web.test", "'web.test' would give many containers one host (write", id="no name"),
        pytest.param("{project}.test", "would give many containers one host", id="project alone"),
        pytest.param("{servce}.test", "there is no {servce} (did you mean 'service'?)", id="spelling"),
        pytest.param("{service}.test:80", "'a.test:80' is no host name (without a port) (write", id="port"),
        pytest.param("{service.test", "would give many containers one host", id="not closed"),
    ],
)
def test_bad_rules(rule: str, why: str) -> None:
    with pytest.raises(BadValueError) as caught:
        check_rule(rule)
    assert why in str(caught.value)
