"""Snapshots to files: golden ones, what depends on what, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.errors import BadValueError, UsageError
from proxyconf.model import Endpoint, Problem, Route, Snapshot
from proxyconf.nginx.part import parts_named
from proxyconf.nginx.site import Dialect, Part, Renderer, Site, canonical_listen
from proxyconf.options import NONE, LocationOptions, Options, Rate, ServiceOptions
from proxyconf.tables import Listen
from proxyconf.units import ListenAddress, Network
from tests.golden.cases import CASES, HERE, TWO_SERVICES, dialect, golden_text, route, snapshot, with_ipv6

WEB = (Endpoint("10.0.0.1:80"),)
OTHER = (Endpoint("10.0.0.9:80"),)
ONE = Snapshot(routes=(route("a.test", "/", "web"),), services={"web": WEB})


def render(snapshot: Snapshot, **settings: object) -> Site:
    return Renderer(dialect(**settings)).render(snapshot)  # type: ignore[arg-type]


def text_of(site: Site, kind: str, name: str) -> str:
    return part_of(site, kind, name).text.decode()


def part_of(site: Site, kind: str, name: str) -> Part:
    return next(part for part in site.parts if (part.kind, part.name) == (kind, name))


def names(site: Site) -> list[str]:
    return [f"{part.kind} {part.name}" for part in site.parts]


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    """After a change that is meant: ``python -m tests.golden.cases``, and read the difference."""
    assert golden_text(CASES[name]) == (HERE / f"{name}.golden").read_text()


def test_a_part_is_named_by_its_content() -> None:
    first, second = render(ONE), render(Snapshot(ONE.routes, {"web": OTHER}))
    assert part_of(first, "host", "a.test") == part_of(second, "host", "a.test")
    assert part_of(first, "service", "web").file != part_of(second, "service", "web").file
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("asked", "what", "answer"),
    [
        (LocationOptions(deny=("192.0.2.0/24",)), "answers 503, for allow and deny", "return 503;"),
        (LocationOptions(rate=Rate(per_minute=1)), "rate", "proxy_pass"),
        (LocationOptions(), "", "proxy_pass"),
    ],
)
def test_an_nginx_that_knows_no_client_of_a_trusted_proxy(
    asked: LocationOptions, what: str, answer: str
) -> None:
    """It would take every client for the proxy."""
    trusting = dialect(trusted_proxies=(Network.parse("10.0.0.0/8"),))
    without = replace(trusting, build=replace(trusting.build, realip=False))
    asks = replace(ONE.routes[0], options=Options(asked, ServiceOptions()))
    site = Renderer(without).render(Snapshot((asks,), {"web": WEB}))
    assert answer in text_of(site, "host", "a.test")
    lack = "this nginx is built without http_realip_module, which tells the clients of trusted_proxies apart"
    mend = f"{lack} (install one that has it)"
    found = [("route", f"{what}: {mend}")] if what else []
    assert [(one.what, one.why) for one in site.problems] == [*found, ("setting", mend)]


def test_a_host_changes_when_its_service_goes_to_zero() -> None:
    site = render(Snapshot(ONE.routes, {"web": ()}))
    assert names(site) == ["host a.test"]
    assert "return 503;" in text_of(site, "host", "a.test")
    assert part_of(site, "host", "a.test").needs == frozenset()
    assert site == render(Snapshot(ONE.routes))


def test_a_service_without_a_route_has_no_part() -> None:
    assert render(Snapshot(services={"web": WEB})).parts == ()


def test_the_nonce_is_no_part_of_the_digest() -> None:
    site = render(ONE)
    assert site.root("1") != site.root("2")
    assert b'return 200 "1"' in site.root("1")
    with pytest.raises(BadValueError):
        site.root("a\nb")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"default_status": 444}, id="default status"),
        pytest.param({"listen": Listen(http=(ListenAddress("127.0.0.1:8081"),))}, id="listen"),
        pytest.param({"keepalive": 0}, id="keepalive"),
        pytest.param({"worker_processes": 3}, id="workers"),
    ],
)
def test_a_setting_is_part_of_the_digest(settings: dict[str, object]) -> None:
    assert render(ONE).digest != render(ONE, **settings).digest


def test_only_endpoints_that_others_can_spare_are_backups() -> None:
    backups = (Endpoint("10.0.0.1:80", backup=True), Endpoint("10.0.0.2:80", backup=True))
    assert "backup" not in text_of(render(Snapshot(ONE.routes, {"web": backups})), "service", "web")
    mixed = (Endpoint("10.0.0.0:80"), *backups)
    assert text_of(render(Snapshot(ONE.routes, {"web": mixed})), "service", "web").count("backup") == 2


def test_without_keepalive_connections_are_closed() -> None:
    site = render(ONE, keepalive=0)
    assert "keepalive" not in text_of(site, "service", "web")
    assert b"default close;" in site.root("")
    assert b"default close;" not in render(ONE).root("")


@pytest.mark.parametrize(("hosts", "size"), [(0, 512), (127, 512), (128, 1024), (999, 4096)])
def test_the_table_of_names_is_large_enough(hosts: int, size: int) -> None:
    """Four times the names, the proof's included."""
    routes = tuple(route(f"h{number:03}.test", "/", "web") for number in range(hosts))
    root = render(Snapshot(routes, {"web": WEB})).root("")
    assert f"server_names_hash_max_size {size};".encode() in root


def test_root_sets_the_user() -> None:
    settings = dialect(user="www-data").settings
    own = dialect()
    for root in (False, True):
        of = Dialect(settings=settings, build=own.build, folder=own.folder, token=own.token, root=root)
        assert (b"user www-data;" in Renderer(of).render(ONE).root("")) is root


def test_an_address_is_listened_on_once() -> None:
    """nginx refuses the second ``listen`` of one address."""
    same = ("[::]:80", ":80", "0.0.0.0:80", "[::1]:80", "[0::1]:80", "127.0.0.1:80")
    listen = Listen(http=tuple(map(ListenAddress, same)))
    assert with_ipv6(dialect(listen=listen)).addresses == ("127.0.0.1:80", "80", "[::1]:80", "[::]:80")
    assert dialect(listen=Listen(http=(ListenAddress(":80"),))).addresses == ("80",)
    ipv4_only = Listen(http=(ListenAddress("0.0.0.0:80"),))
    assert with_ipv6(dialect(listen=ipv4_only)).addresses == ("80",)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("80", "80"),
        ("*:80", "80"),
        ("0.0.0.0", "80"),
        ("*", "80"),
        ("0.0.0.0:8080", "8080"),
        ("127.0.0.1", "127.0.0.1:80"),
        ("[::]", "[::]:80"),
        ("[0:0::0]:80", "[::]:80"),
        ("localhost:80", "localhost:80"),
        ("unix:/run/x", "unix:/run/x"),
        ("[:::]:80", "[:::]:80"),
    ],
)
def test_ways_to_write_an_address(text: str, canonical: str) -> None:
    assert canonical_listen(text) == canonical


def test_settings_that_cannot_be_written_are_a_mistake() -> None:
    with pytest.raises(UsageError, match=r"\[nginx\]: file '/x\*"):
        Renderer(dialect(Path("/x*")))


def test_a_part_that_cannot_be_written_blocks_no_other() -> None:
    """The values are checked where they are read; this is the second line."""
    routes = (*ONE.routes, route("b;c", "/", "web"), route("d.test", "/", "bad"))
    site = render(Snapshot(routes, {"web": WEB, "bad": (Endpoint("nowhere"),)}))
    assert names(site) == ["service web", "host a.test", "host d.test"]
    assert "return 503;" in text_of(site, "host", "d.test")
    assert [(problem.what, problem.where) for problem in site.problems] == [
        ("service", "bad"),
        ("host", "b;c"),
    ]
    assert all(isinstance(problem, Problem) for problem in site.problems)


USERS = (("ann", "{SHA}" + "b" * 28),)


class TestOptions:
    """What the golden files do not show."""

    def test_options_that_ask_for_nothing_change_nothing(self) -> None:
        asked = replace(ONE.routes[0], options=Options(LocationOptions(), ServiceOptions()))
        assert asked.options is not NONE
        assert render(Snapshot((asked,), ONE.services)) == render(ONE)
        options = {"web": ServiceOptions()}
        assert render(Snapshot(ONE.routes, ONE.services, options)) == render(ONE)

    def test_what_one_route_asks_of_a_service_counts_for_all(self) -> None:
        site = render(snapshot(route("a.test", "/", "web", ServiceOptions("https")), web="10.0.0.1:443"))
        options = {"web": ServiceOptions("https")}
        routes = (route("a.test", "/", "web"), route("b.test", "/", "web"))
        more = render(Snapshot(routes, {"web": (Endpoint("10.0.0.1:443"),)}, options))
        assert part_of(more, "host", "a.test") == part_of(site, "host", "a.test")
        assert "https://" in text_of(more, "host", "b.test")

    def test_a_service_that_nobody_is_passed_on_to_is_not_needed(self) -> None:
        away = (
            route("a.test", "/", "web", redirect="https://b.test"),
            route("b.test", "/", "web", maintenance=True),
        )
        assert names(render(snapshot(*away, web="10.0.0.1:80"))) == ["host a.test", "host b.test"]

    def test_without_endpoints_the_answer_is_503_and_has_the_routes_headers(self) -> None:
        asked = route("a.test", "/", "web", users=USERS, response_headers=(("X-A", "b"),))
        site = render(snapshot(asked, web=()))
        assert names(site) == ["host a.test"]
        assert 'add_header X-A "b" always;\n        return 503;' in text_of(site, "host", "a.test")

    def test_who_is_to_be_verified_must_be_verifiable(self) -> None:
        """Without authorities nobody is passed on to."""
        asked = ServiceOptions("https", verify=True)
        site = render(snapshot(route("a.test", "/", "web", asked), web="10.0.0.1:443"))
        assert "proxy_pass" not in text_of(site, "host", "a.test")
        assert "install ca-certificates" in site.problems[0].why

    def test_scripts_need_a_root(self) -> None:
        site = render(snapshot(route("a.test", "/", "php", ServiceOptions("fastcgi")), php="10.0.0.1:9000"))
        assert "return 503;" in text_of(site, "host", "a.test")
        assert "no root" in site.problems[0].why

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"replace": "new"}, id="replace"),
            pytest.param({"body_size": -1}, id="body size"),
            pytest.param({"deny": ("all",)}, id="deny"),
            pytest.param({"allow": ("127.1",)}, id="allow"),
            pytest.param({"read_timeout": -1.0}, id="time-out"),
            pytest.param({"rate": Rate(0)}, id="rate"),
            pytest.param({"rate": Rate(1, burst=-1)}, id="burst"),
            pytest.param({"request_headers": (("a b", "c"),)}, id="header"),
            pytest.param({"response_headers": (("a", "b\r\nc"),)}, id="header's value"),
            pytest.param({"redirect": "https://a.test/x"}, id="redirect"),
            pytest.param({"redirect": "https://a.test", "redirect_status": 200}, id="status"),
            pytest.param({"users": (("a:b", USERS[0][1]),)}, id="user"),
            pytest.param({"users": (("#a", USERS[0][1]),)}, id="comment"),
            pytest.param({"users": (("a", "secret"),)}, id="password"),
            pytest.param({"users": (("a", "{PLAIN}secretsecret"),)}, id="plain password"),
            pytest.param({"users": (("a", f"{USERS[0][1]}\nb:c"),)}, id="two users"),
        ],
    )
    def test_a_bad_option_takes_only_its_host_away(self, options: dict[str, object]) -> None:
        """They are checked where they are read, too; a hash is never shown."""
        routes = (route("a.test", "/", "web", None, **options), route("b.test", "/", "web"))
        site = render(snapshot(*routes, web="10.0.0.1:80"))
        assert names(site) == ["service web", "host b.test"]
        assert [problem.where for problem in site.problems] == ["a.test"]
        assert "secret" not in site.problems[0].why

    @pytest.mark.parametrize(
        "asked",
        [
            ServiceOptions(balance="random"),
            ServiceOptions(balance="hash:"),
            ServiceOptions(balance="hash:header:a b"),
            ServiceOptions(balance="hash:cookie:a-b"),
            ServiceOptions(balance="header:X"),
            ServiceOptions(max_fails=-1),
            ServiceOptions(fail_timeout=-1),
            ServiceOptions(keepalive=10_001),
        ],
    )
    def test_a_bad_option_of_a_service_leaves_503(self, asked: ServiceOptions) -> None:
        site = render(snapshot(route("a.test", "/", "web", asked), web="10.0.0.1:80"))
        assert names(site) == ["host a.test"]
        assert [problem.what for problem in site.problems] == ["service"]

    def test_hosts_share_a_file_of_the_same_users(self) -> None:
        routes = tuple(route(host, "/", "web", users=USERS) for host in ("a.test", "b.test"))
        site = render(snapshot(*routes, web="10.0.0.1:80"))
        assert [part.kind for part in site.parts] == ["service", "host", "host", "users"]
        assert parts_named(site.root("")) == {part.file for part in site.parts}
        other = (route("a.test", "/", "web", users=(("bob", USERS[0][1]),)), routes[1])
        assert [part.kind for part in render(snapshot(*other, web="10.0.0.1:80")).parts].count("users") == 2

    def test_a_host_set_aside_keeps_its_users(self) -> None:
        good = render(snapshot(route("a.test", "/", "web", users=USERS), web="10.0.0.1:80"))
        changed = Renderer(dialect()).render(
            ONE, set_aside={("host", "a.test"): part_of(good, "host", "a.test")}
        )
        assert changed == good

    def test_an_option_of_a_service_writes_its_hosts_anew(self) -> None:
        renderer = Renderer(dialect())
        plain = snapshot(route("a.test", "/", "web"), web="10.0.0.1:443")
        asked = Snapshot(plain.routes, plain.services, {"web": ServiceOptions("https")})
        assert "http://" in text_of(renderer.render(plain), "host", "a.test")
        assert "https://" in text_of(renderer.render(asked), "host", "a.test")
        assert renderer.render(plain) == Renderer(dialect()).render(plain)


class TestSetAside:
    """Last good parts in place of what the snapshot gives."""

    good = render(Snapshot(ONE.routes, {"web": OTHER}))

    def test_a_service_keeps_its_last_good_part(self) -> None:
        last = part_of(self.good, "service", "web")
        site = Renderer(dialect()).render(ONE, set_aside={("service", "web"): last})
        assert site == self.good

    def test_a_service_left_out_counts_as_one_without_endpoints(self) -> None:
        site = Renderer(dialect()).render(ONE, set_aside={("service", "web"): None})
        assert site == render(Snapshot(ONE.routes))

    def test_a_host_keeps_its_last_good_part_and_the_service_that_it_needs(self) -> None:
        changed = Snapshot((route("a.test", "/", "new"),), {"web": WEB, "new": WEB})
        last = part_of(render(ONE), "host", "a.test")
        site = Renderer(dialect()).render(changed, set_aside={("host", "a.test"): last})
        assert site == render(ONE)

    def test_a_host_whose_part_needs_a_service_that_is_gone_is_closed(self) -> None:
        changed = Snapshot((route("a.test", "/", "new"),), {"new": WEB})
        last = part_of(render(ONE), "host", "a.test")
        closed = Renderer(dialect()).render(changed, closed={"a.test"})
        assert b"return 503" in closed.parts[0].text
        assert b"proxy_pass" not in closed.parts[0].text
        assert Renderer(dialect()).render(changed, set_aside={("host", "a.test"): last}) == closed

    def test_a_host_can_be_left_out(self) -> None:
        assert Renderer(dialect()).render(ONE, set_aside={("host", "a.test"): None}).parts == ()

    def test_what_the_snapshot_has_no_more_is_passed_over(self) -> None:
        aside = {(part.kind, part.name): part for part in self.good.parts}
        assert Renderer(dialect()).render(Snapshot(), set_aside=aside) == render(Snapshot())


def test_only_what_changed_is_written_anew() -> None:
    renderer = Renderer(dialect())
    first = renderer.render(TWO_SERVICES)
    services = {**TWO_SERVICES.services, "web": OTHER}
    second = renderer.render(Snapshot(TWO_SERVICES.routes, services))
    kept = {id(part) for part in first.parts} & {id(part) for part in second.parts}
    assert len(kept) == len(first.parts) - 1


SERVICES = st.dictionaries(
    st.sampled_from("xyz"),
    st.lists(st.builds(Endpoint, st.sampled_from(["10.0.0.1:80", "10.0.0.2:80"]), backup=st.booleans())).map(
        tuple
    ),
)
CLAIMS = st.tuples(st.sampled_from(["a", "a-b", "a.b"]), st.sampled_from(["/", "/a", "/a/b"]))
ROUTES = st.dictionaries(CLAIMS, st.sampled_from("xyz")).map(
    lambda claims: tuple(route(host, path, claims[host, path]) for host, path in sorted(claims))
)


@given(st.lists(st.tuples(ROUTES, SERVICES), max_size=5))
def test_history_makes_no_difference(
    history: list[tuple[tuple[Route, ...], dict[str, tuple[Endpoint, ...]]]],
) -> None:
    """Same input, same bytes, whatever was rendered before; every upstream that is referred to is there."""
    renderer = Renderer(dialect())
    for routes, services in history:
        snapshot = Snapshot(routes, MappingProxyType(services))
        site = renderer.render(snapshot)
        assert site == Renderer(dialect()).render(snapshot)
        there = {part.name for part in site.parts if part.kind == "service"}
        assert there == {name for part in site.parts for name in part.needs}
        assert {part.name for part in site.parts if part.kind == "host"} == {of.host for of in routes}
