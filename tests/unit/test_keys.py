"""The layout of keys: what each key and value comes to."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.model import Claims, Endpoint, Entry, Listing, Member, Problem, Route
from proxyconf.options import NONE, LocationOptions, Options, Rate, ServiceOptions
from proxyconf.routing import Reader

PLACE = "etcd key '/proxyconf/{key}'"


def listing(keys: dict[str, bytes]) -> Listing:
    """Return a listing whose keys were made in their order."""
    entries = {key: Entry(value, born) for born, (key, value) in enumerate(keys.items(), start=1)}
    return Listing("etcd", keys=entries, place=PLACE)


def read(keys: dict[str, bytes]) -> Claims:
    return Reader().read(listing(keys))


def endpoint_of(value: bytes) -> Endpoint:
    claims = read({"services/web/1": value})
    assert claims.problems == ()
    return claims.members[0].endpoint


def problem_of(key: str, value: bytes) -> Problem:
    """Return the one problem of the one key, which comes to nothing else."""
    claims = read({key: value})
    assert (claims.members, claims.routes) == ((), ())
    return claims.problems[0]


def test_an_endpoint() -> None:
    claims = read({"services/web/host:web:80": b"10.0.0.1:8080"})
    where = "etcd key '/proxyconf/services/web/host:web:80'"
    member = Member("web", Endpoint("10.0.0.1:8080"), "services/web/host:web:80", where, born=1)
    assert claims == Claims("etcd", members=(member,))


@pytest.mark.parametrize(
    ("value", "endpoint"),
    [
        pytest.param(b"10.0.0.1:8080\n", Endpoint("10.0.0.1:8080"), id="newline of echo"),
        pytest.param(b" [FD00::1]:80\r\n", Endpoint("[fd00::1]:80"), id="made canonical"),
        pytest.param(b'{"address": "10.0.0.1:80"}', Endpoint("10.0.0.1:80"), id="defaults"),
        pytest.param(
            b'{"address": "10.0.0.1:80", "weight": 2, "backup": true, "draining": true}\n',
            Endpoint("10.0.0.1:80", 2, backup=True, draining=True),
            id="everything",
        ),
    ],
)
def test_forms_of_an_endpoint(value: bytes, endpoint: Endpoint) -> None:
    assert endpoint_of(value) == endpoint


def test_a_route() -> None:
    claims = read({"routes/blog": b'{"host": "Blog.example.com", "path": "/a/", "service": "web"}'})
    where = "etcd key '/proxyconf/routes/blog'"
    route = Route("blog.example.com", "/a", "web", "routes/blog", where, "etcd", born=1)
    assert claims == Claims("etcd", routes=(route,))


def test_a_route_leads_to_the_service_of_its_name() -> None:
    (route,) = read({"routes/blog": b'{"host": "blog.example.com"}'}).routes
    assert (route.path, route.service) == ("/", "blog")


def test_a_route_without_options() -> None:
    """It has the very object that is told from others at no cost."""
    (route,) = read({"routes/blog": b'{"host": "blog.example.com"}'}).routes
    assert route.options is NONE


def test_options_of_a_route() -> None:
    value = {
        "host": "a.test",
        "path": "/api",
        "strip": True,
        "body_size": 1000,
        "allow": ["10.0.0.0/8"],
        "deny": "10.1.0.0/16",
        "auth": {"joe": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="},
        "request_header": {"X-A": "1"},
        "rate": "90r/m",
        "rate_burst": 5,
        "proto": "grpc",
        "keepalive": 0,
    }
    (route,) = read({"routes/a": json.dumps(value).encode()}).routes
    assert route.options == Options(
        LocationOptions(
            replace="/",
            body_size=1000,
            allow=("10.0.0.0/8",),
            deny=("10.1.0.0/16",),
            users=(("joe", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),),
            request_headers=(("X-A", "1"),),
            rate=Rate(90, 5),
        ),
        ServiceOptions("grpc", keepalive=0),
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        pytest.param(
            {"strip": "true"},
            "strip: expected bool, got str (write true or false, without quotes)",
            id="text for a switch",
        ),
        pytest.param({"strip": None}, "strip: expected bool, got null", id="null"),
        pytest.param({"keepalive": "1"}, "keepalive: expected int, got str", id="text for a number"),
        pytest.param({"allow": [1]}, "allow[0]: expected str, got int", id="number in a list"),
        pytest.param({"body_size": 1.5}, "body_size: expected int | str, got float", id="part of a byte"),
        pytest.param({"body_size": -1}, "body_size: '-1' is no size", id="bad value"),
        pytest.param({"read_timeout": "60"}, "read_timeout: '60' is no duration", id="no unit"),
        pytest.param({"striip": True}, "unknown field 'striip' (did you mean 'strip'?)", id="spelling"),
        pytest.param(
            {"strip": True}, "strip: has no effect: the path is / already (set path)", id="nothing to strip"
        ),
        pytest.param(
            {"rate_burst": 1}, "rate_burst: has no effect by itself (set rate, for example", id="burst alone"
        ),
    ],
)
def test_a_bad_option_keeps_the_last_good_form(said: dict[str, object], why: str) -> None:
    reader = Reader()
    good = reader.read(listing({"routes/a": b'{"host": "a.test", "maintenance": true}'}))
    claims = reader.read(listing({"routes/a": json.dumps({"host": "a.test"} | said).encode()}))
    assert claims.routes == good.routes
    assert claims.problems[0].why.startswith(why)
    assert claims.problems[0].why.endswith("; its last good form is kept")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param(b"", "the value is empty", id="empty"),
        pytest.param(b"web:80", "'web:80' is no address", id="name"),
        pytest.param(b"10.0.0.1:80\n10.0.0.2:80", "is no address", id="two lines"),
        pytest.param(b"127.0.0.1; server 127.0.0.2", "is no address", id="break-out"),
        pytest.param(b"10.0.0.1:80\xff", r"b'10.0.0.1:80\xff' is not UTF-8", id="not UTF-8"),
        pytest.param(b'{"address": "10.0.0.1:0"}', "'0' is no port", id="port 0"),
        pytest.param(b'{"address": "10.0.0.1:80"', "is no JSON object", id="JSON cut off"),
        pytest.param(b'{"address": "10.0.0.1:80"} x', "is no JSON object", id="text after JSON"),
        pytest.param(
            b'{"address": "10.0.0.1:80", "weight": ' + b"[" * 99_999,
            "weight: expected int, got array",
            id="deep",
        ),
        pytest.param(
            b'{"adress": "10.0.0.1:80"}', "unknown field 'adress' (did you mean 'address'?)", id="spelling"
        ),
        pytest.param(b'{"x": 1}', "(known: address, backup, draining, weight)", id="unknown field"),
        pytest.param(b'{"weight": 1}', "missing required field address", id="no address"),
        pytest.param(b'{"address": 1}', "address: expected str, got int", id="wrong type"),
        pytest.param(
            b'{"address": "10.0.0.1:80", "weight": 0}',
            "'0' is no weight (a number from 1 to 1000)",
            id="weight",
        ),
        pytest.param(
            b'{"address": "10.0.0.1:80", "weight": "2"}',
            "weight: expected int, got str",
            id="text for a number",
        ),
        pytest.param(
            b'{"address": "10.0.0.1:80", "backup": 1}',
            "backup: expected bool, got int",
            id="number for a switch",
        ),
    ],
)
def test_a_bad_endpoint_is_a_problem(value: bytes, why: str) -> None:
    problem = problem_of("services/web/1", value)
    assert (problem.what, problem.where) == ("endpoint", "etcd key '/proxyconf/services/web/1'")
    assert why in problem.why


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param(
            b"web",
            """'web' is no route (write {"host": "app.example.com"}, and in a TOML file"""
            ' {host = "app.example.com"})',
            id="plain text",
        ),
        pytest.param(b"[]", "'[]' is no route (write {", id="array"),
        pytest.param(
            b'{"host": "a.test,b.test"}',
            "'a.test,b.test' is no host name (one name: a second one takes a second route)",
            id="two hosts",
        ),
        pytest.param(b"{}", "missing required field host", id="no host"),
        pytest.param(b'{"host": "a b"}', "'a b' is no host name", id="host"),
        pytest.param(b'{"host": "a.test", "path": "x"}', "'x' is no path (start it with /)", id="path"),
        pytest.param(b'{"host": "a.test", "service": "a/b"}', "service: 'a/b' is no name", id="service"),
        pytest.param(b'{"host": "a.test", "hosts": []}', "did you mean 'host'?", id="spelling"),
        pytest.param(b'{"host": "a.test\\n"}', r"'a.test\n' is no host name", id="newline in JSON"),
        pytest.param(b'{"host": "\\ud800.test"}', "is no JSON object", id="half a character"),
    ],
)
def test_a_bad_route_is_a_problem(value: bytes, why: str) -> None:
    problem = problem_of("routes/web", value)
    assert (problem.what, problem.where) == ("route", "etcd key '/proxyconf/routes/web'")
    assert why in problem.why


@pytest.mark.parametrize(
    ("key", "what", "why"),
    [
        pytest.param("services", "endpoint", "write services/<service>/<instance>", id="bare folder"),
        pytest.param("services/web", "endpoint", "write services/<service>/<instance>", id="no instance"),
        pytest.param("services/web/", "endpoint", "write services/<service>/<instance>", id="empty instance"),
        pytest.param("services/web/1/2", "endpoint", "write services/<service>/<instance>", id="too deep"),
        pytest.param("services//1", "endpoint", "'' is no name of a service", id="empty service"),
        pytest.param("services/a b/1", "endpoint", "'a b' is no name of a service", id="bad service"),
        pytest.param("services/web/a\nb", "endpoint", "write services/<service>/<instance>", id="newline"),
        pytest.param("routes", "route", "write routes/<name>", id="bare routes"),
        pytest.param("routes/", "route", "write routes/<name>", id="route without name"),
        pytest.param("routes/a/b", "route", "write routes/<name>", id="route too deep"),
    ],
)
def test_a_bad_key_is_a_problem(key: str, what: str, why: str) -> None:
    problem = problem_of(key, b"10.0.0.1:80")
    assert problem.what == what
    assert problem.where.isprintable()
    assert why in problem.why


def test_a_name_that_is_no_service_needs_one() -> None:
    problem = problem_of("routes/my blog", b'{"host": "a.test"}')
    assert problem.why.endswith("set service")


def test_an_unknown_folder_is_one_problem() -> None:
    """Not one per key; the likely spelling is named, else what is understood."""
    claims = read({"servces/web/1": b"x", "servces/web/2": b"x", "config": b"x", "\n/a": b"x"})
    assert claims.problems == (
        Problem(
            "source",
            r"etcd key '/proxyconf/'\n''",
            "nothing is read from here (understood are services/<service>/<instance> and routes/<name>)",
        ),
        Problem(
            "source",
            "etcd key '/proxyconf/config'",
            "nothing is read from here (understood are services/<service>/<instance> and routes/<name>)",
        ),
        Problem(
            "source", "etcd key '/proxyconf/servces'", "nothing is read from here (did you mean 'services'?)"
        ),
    )


def test_an_entry_may_say_its_place_itself() -> None:
    keys = {
        "services/web/1": Entry(b"10.0.0.1:80", where="file a.toml: web"),
        "routes/x": Entry(b"x", where="b"),
    }
    claims = Reader().read(Listing("file", keys=keys))
    assert (claims.members[0].where, claims.problems[0].where) == ("file a.toml: web", "b")


def test_claims_are_sorted_by_key() -> None:
    keys = {f"services/web/{number}": b"10.0.0.1:%d" % (number + 1) for number in (3, 1, 2)}
    keys |= {f"routes/{name}": b'{"host": "a.test"}' for name in "cab"}
    claims = read(keys)
    assert [member.key[-1] for member in claims.members] == ["1", "2", "3"]
    assert [route.key[-1] for route in claims.routes] == ["a", "b", "c"]


def test_what_stays_the_same_is_the_same_object() -> None:
    """Also when its entry is another, equal object."""
    reader = Reader()
    keys = {
        "services/web/1": b"10.0.0.1:80",
        "services/web/2": b"10.0.0.2:80",
        "routes/web": b'{"host": "a.test"}',
    }
    before = reader.read(listing(keys))
    after = reader.read(listing(keys | {"services/web/2": b"10.0.0.3:80"}))
    assert after.members[0] is before.members[0]
    assert after.routes[0] is before.routes[0]
    assert after.members[1].endpoint.address == "10.0.0.3:80"


def test_a_key_that_turns_bad_keeps_its_last_good_form() -> None:
    reader = Reader()
    good = {"services/web/1": b"10.0.0.1:80", "routes/web": b'{"host": "a.test"}'}
    before = reader.read(listing(good))
    for bad in (b"x", b"y"):
        claims = reader.read(listing(dict.fromkeys(good, bad)))
        assert (claims.members, claims.routes) == (before.members, before.routes)
        assert [problem.why.endswith("; its last good form is kept") for problem in claims.problems] == [
            True
        ] * 2
    assert reader.read(listing(good)).problems == ()


def test_a_last_good_form_outlives_the_reader() -> None:
    """What one reader names as last good is enough for the next one, and for the one after that."""
    reader = Reader()
    good = {"services/web/1": b"10.0.0.1:80", "routes/web": b'{"host": "a.test"}'}
    reader.read(listing(good))
    bad = listing(dict.fromkeys(good, b"x"))
    before = reader.read(bad)
    assert before.last_good == listing(good).keys
    again = Reader()
    assert again.read(replace(bad, last_good=before.last_good)) == before
    worse = again.read(listing(dict.fromkeys(good, b"y")))
    assert (worse.members, worse.routes, worse.last_good) == (before.members, before.routes, before.last_good)
    assert again.read(listing(good)).last_good == {}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(b"10.0.0.2:80", id="the value is good by now"),
        pytest.param(b"y", id="the noted one is bad too"),
    ],
)
def test_a_noted_last_good_value_that_does_not_count(now: bytes) -> None:
    """Also not where an earlier version took it for good."""
    noted = {"services/web/1": Entry(b"x"), "services/web/2": Entry(b"10.0.0.3:80")}
    assert Reader().read(replace(listing({"services/web/1": now}), last_good=noted)) == read(
        {"services/web/1": now}
    )


def test_a_key_that_is_gone_is_forgotten() -> None:
    reader = Reader()
    reader.read(listing({"services/web/1": b"10.0.0.1:80"}))
    assert reader.read(listing({})) == Claims("etcd")
    claims = reader.read(listing({"services/web/1": b"x"}))
    assert claims.members == ()
    assert not claims.problems[0].why.endswith("kept")


def test_another_prefix_means_other_keys() -> None:
    reader = Reader()
    reader.read(listing({"services/web/1": b"10.0.0.1:80"}))
    entries = {"services/web/1": Entry(b"10.0.0.1:80", 1)}
    (member,) = reader.read(Listing("etcd", keys=entries, place="other {key}")).members
    assert member.where == "other services/web/1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
FIELDS = st.sampled_from(["host", "path", "service", "address", "weight", "backup", "x", "strip", "rate"])
VALUES = st.one_of(
    st.binary(max_size=30),
    st.dictionaries(FIELDS, JSON | st.sampled_from(["a.test", "/", "web", "10.0.0.1:80"])).map(
        lambda value: json.dumps(value).encode()
    ),
)
KEYS = st.from_regex(r"\A(services|routes|[a-z]{0,8})(/.{0,5}){0,3}\Z") | st.text(max_size=10)


@given(keys=st.dictionaries(KEYS, VALUES, max_size=5))
def test_anything_is_a_claim_or_a_problem(keys: dict[str, bytes]) -> None:
    """Nothing raises, every key is accounted for, and only harmless text gets through."""
    claims = read(keys)
    folders = {key.partition("/")[0] for key in keys} - {"services", "routes"}
    own = [key for key in keys if key.partition("/")[0] in ("services", "routes")]
    assert len(claims.members) + len(claims.routes) + len(claims.problems) == len(own) + len(folders)
    for member in claims.members:
        assert re.fullmatch(
            r"[\w.-]+ [0-9a-f.:\[\]]+", f"{member.service} {member.endpoint.address}", re.ASCII
        )
    for route in claims.routes:
        assert re.fullmatch(
            r"[a-z0-9._*-]+/[^\s;{}\"'$\\]* [\w.-]+", f"{route.claim} {route.service}", re.ASCII
        )
    for problem in claims.problems:
        assert str(problem).isprintable()
