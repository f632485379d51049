"""Error pages by name, and the host that unknown ones lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.nginx.additions import Additions
from proxyconf.nginx.pages import NO_PAGES, by_status, statuses_of, write_pages
from proxyconf.nginx.part import Part, make_part
from proxyconf.nginx.site import Renderer
from proxyconf.options import HostOptions, Options
from proxyconf.tables import Listen, Tls
from proxyconf.units import ListenAddress
from tests.golden.cases import FOLDER, certificates, dialect, on_https, route, snapshot


def page(name: str) -> Part:
    return make_part("page", name, name.encode())


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("404.html", (404,)),
        ("599.html", (599,)),
        ("50x.html", (500, 501, 502, 503, 504, 505, 507)),
        ("42x.html", (421, 429)),
        ("444.html", ()),
        ("499.html", ()),
        ("301.html", ()),
        ("5x0.html", ()),
        ("404.htm", ()),
        ("index.html", ()),
        ("٤04.html", ()),
    ],
)
def test_a_page_is_named_by_its_status(name: str, statuses: tuple[int, ...]) -> None:
    assert statuses_of(name) == statuses


def test_the_more_exact_name_counts() -> None:
    pages = by_status(map(page, ("503.html", "5xx.html", "50x.html", "4xx.html")))
    found = {status: part.name for status, part in pages.items()}
    assert (found[503], found[502], found[404]) == ("503.html", "50x.html", "4xx.html")
    assert list(found) == sorted(found)
    assert by_status(map(page, ("502.html", "5xx.html")))[503].name == "5xx.html"


def test_without_pages_nothing_is_written() -> None:
    assert write_pages({}, FOLDER) is NO_PAGES


def test_a_maintenance_without_a_page_of_its_own() -> None:
    closed = snapshot(route("a.test", "/", "web", maintenance=True), web="10.0.0.1:80")
    additions = Additions(pages={404: page("404.html")})
    (part, _) = Renderer(dialect()).render(closed, additions=additions).parts
    assert b"/later/" not in part.text
    assert b"error_page 404" in part.text


class TestDefaultHost:
    """Where unknown hosts lead."""

    routes = snapshot(route("a.test", "/", "web"), route("b.test", "/", "web"), web="10.0.0.1:80")

    def test_it_takes_the_place_of_our_default_server(self) -> None:
        site = Renderer(dialect(default_host="A.test")).render(self.routes)
        texts = {part.name: part.text for part in site.parts}
        assert b"listen 127.0.0.1:8080 default_server;" in texts["a.test"]
        assert b"default_server" not in texts["b.test"] + site.root("")
        assert site.problems == ()

    def test_one_that_is_unknown_itself_is_a_problem(self) -> None:
        site = Renderer(dialect(default_host="c.test")).render(self.routes)
        assert b"default_server" in site.root("")
        (problem,) = site.problems
        why = "c.test is no host that is known: others get 404 (route it)"
        assert str(problem) == f"setting [nginx] default_host: {why}"

    def test_one_that_is_left_out_has_no_requests(self) -> None:
        renderer = Renderer(dialect(default_host="a.test"))
        site = renderer.render(self.routes, set_aside={("host", "a.test"): None})
        assert b"default_server" in site.root("")

    @pytest.mark.parametrize(
        ("https", "well"), [("off", True), ("both", True), ("redirect", False), ("only", False)]
    )
    def test_it_must_have_its_routes_on_http(self, https: str, *, well: bool) -> None:
        listen = Listen(http=(ListenAddress("127.0.0.1:8080"),), https=(ListenAddress("127.0.0.1:8443"),))
        of = dialect(default_host="a.test", listen=listen, tls=Tls(certificates=FOLDER))
        renderer = Renderer(of)
        renderer.certificates = certificates()
        asked = replace(on_https("a.test"), options=Options(host=HostOptions(https=https)))  # type: ignore[arg-type]
        site = renderer.render(snapshot(asked, web="10.0.0.1:80"))
        assert (b"8080 default_server" in site.root("")) is not well
        problems = [problem.why for problem in site.problems if problem.what == "setting"]
        assert bool(problems) is not well
        assert b"8443 ssl http2 default_server" in site.root("")

    def test_its_last_good_form_counts(self) -> None:
        """What a part was written with is what it has."""
        renderer = Renderer(dialect(default_host="a.test"))
        last = next(part for part in renderer.render(self.routes).parts if part.name == "a.test")
        moved = snapshot(route("a.test", "/", "other"), web="10.0.0.1:80", other="10.0.0.2:80")
        with_web = replace(moved, services=dict(self.routes.services) | dict(moved.services))
        site = renderer.render(with_web, set_aside={("host", "a.test"): last})
        assert b"default_server" not in site.root("")
