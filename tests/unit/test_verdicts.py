"""Verdicts: what was refused is remembered by content, replaced by its last good form, and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxyconf.errors import RefusedError
from proxyconf.nginx.certificates import CertificateSet
from proxyconf.nginx.part import make_part
from proxyconf.nginx.site import Part, Renderer, Site
from proxyconf.tables import Listen, Tls
from proxyconf.units import ListenAddress
from proxyconf.verdicts import Verdicts
from tests.golden.cases import FOLDER, certificates, dialect, on_https, route, snapshot
from tests.unit.fake_nginx import site

if TYPE_CHECKING:
    from proxyconf.model import Snapshot

AB = site("a", "b")
OTHER = site("a", "b", endpoint="10.9.9.9:80")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verdicts(clock: Clock) -> Verdicts:
    renderer = Renderer(dialect())
    return Verdicts(lambda: renderer, clock)


async def never(_: Site) -> bool:
    return False


async def always(_: Site) -> bool:
    return True


def part(made: Site, kind: str, name: str) -> Part:
    return next(one for one in made.parts if (one.kind, one.name) == (kind, name))


def names(made: Site) -> list[str]:
    return [f"{one.kind} {one.name}" for one in made.parts]


def refusal(*bad: Part) -> RefusedError:
    lines = [f"nginx: [emerg] no good in /nginx/parts/{one.file}:2" for one in bad]
    return RefusedError("refused", "\n".join(lines))


async def refuse(verdicts: Verdicts, snapshot: Snapshot, *bad: tuple[str, str]) -> Site:
    """Refuse these parts of *snapshot*; return what is rendered then."""
    made = verdicts.render(snapshot)
    await verdicts.judge(snapshot, made, refusal(*(part(made, *key) for key in bad)), passes=never)
    return verdicts.render(snapshot)


async def test_without_a_verdict_all_is_rendered(verdicts: Verdicts) -> None:
    assert verdicts.render(AB) == Renderer(dialect()).render(AB)
    assert verdicts.problems == ()


async def test_without_a_good_form_a_host_is_closed(verdicts: Verdicts) -> None:
    """Or else it would be in the hands of who has the wildcard above it, or all unknown hosts."""
    with capture_logs() as logs:
        made = await refuse(verdicts, AB, ("host", "b.test"))
    assert names(made) == ["service a", "host a.test", "host b.test"]
    assert part(made, "host", "b.test") == part(
        Renderer(dialect()).render(AB, closed={"b.test"}), "host", "b.test"
    )
    (problem,) = verdicts.problems
    reason = f"no good in /nginx/parts/{part(Renderer(dialect()).render(AB), 'host', 'b.test').file}:2"
    assert str(problem) == f"host b.test: nginx refuses it: {reason} (it answers 503)"
    assert logs == [
        {"event": "part.refused", "kind": "host", "name": "b.test", "reason": reason, "log_level": "error"}
    ]


async def test_its_last_good_form_stands_in(verdicts: Verdicts) -> None:
    good = verdicts.render(AB)
    verdicts.proved()
    made = await refuse(verdicts, OTHER, ("service", "b"))
    assert part(made, "service", "b") == part(good, "service", "b")
    assert part(made, "service", "a") != part(good, "service", "a")
    (problem,) = verdicts.problems
    assert problem.why.endswith("(its last good form serves)")


async def test_who_takes_another_ones_place_knows_what_was_good(verdicts: Verdicts) -> None:
    """Else a person's SIGHUP would cost what is bad at the moment its last good form."""
    verdicts.render(AB)
    verdicts.proved()
    renderer = Renderer(dialect())
    successor = Verdicts(lambda: renderer)
    successor.take_over(verdicts)
    made = await refuse(successor, OTHER, ("service", "b"))
    assert part(made, "service", "b") == verdicts.part_of("service", "b")


async def test_only_what_was_proved_is_good(verdicts: Verdicts) -> None:
    verdicts.render(AB)
    made = await refuse(verdicts, OTHER, ("service", "b"))
    assert names(made) == ["service a", "host a.test", "host b.test"]


async def test_a_good_form_is_never_to_blame(verdicts: Verdicts) -> None:
    """What nginx took before is refused for something else: as a whole, so that it serves on."""
    verdicts.render(AB)
    verdicts.proved()
    with pytest.raises(RefusedError):
        await refuse(verdicts, AB, ("service", "b"))
    assert "service b" in names(verdicts.render(AB))
    assert verdicts.problems == ()


async def test_parts_of_an_earlier_run_are_not_to_blame_either(verdicts: Verdicts) -> None:
    """Until a proof of this one, which knows better; and they stand in for what is."""
    made = verdicts.render(AB)
    verdicts.trust(made.parts)
    with pytest.raises(RefusedError):
        await refuse(verdicts, AB, ("service", "b"))
    later = await refuse(verdicts, OTHER, ("service", "b"))
    assert part(later, "service", "b") == part(made, "service", "b")


async def test_a_substitute_that_is_refused_goes_too(verdicts: Verdicts) -> None:
    """Without its service, a host is another part, whose own verdict counts; closed, it is yet another."""
    made = await refuse(verdicts, AB, ("service", "b"))
    await verdicts.judge(AB, made, refusal(part(made, "host", "b.test")), passes=never)
    made = verdicts.render(AB)
    await verdicts.judge(AB, made, refusal(part(made, "host", "b.test")), passes=never)
    assert names(verdicts.render(AB)) == ["service a", "host a.test"]
    assert [f"{problem.what} {problem.where}" for problem in verdicts.problems] == [
        "service b",
        "host b.test",
    ]


async def test_a_verdict_is_of_the_content(verdicts: Verdicts) -> None:
    """Another value has another chance, and the old one none."""
    await refuse(verdicts, AB, ("service", "b"))
    assert "service b" in names(verdicts.render(OTHER))
    assert verdicts.problems == ()
    assert "service b" not in names(verdicts.render(AB))


async def test_a_verdict_is_forgotten_after_5_minutes(verdicts: Verdicts, clock: Clock) -> None:
    """What made nginx refuse it may lie elsewhere."""
    await refuse(verdicts, AB, ("service", "b"))
    clock.now = 299.0
    assert "service b" not in names(verdicts.render(AB))
    before = verdicts.is_due
    clock.now = 300.0
    assert (before, verdicts.is_due) == (False, True), "a quiet source must not keep it from another try"
    assert "service b" in names(verdicts.render(AB))
    assert verdicts.problems == ()


async def test_who_is_not_pointed_at_is_found_by_trying(verdicts: Verdicts) -> None:
    tried = []

    async def passes(made: Site) -> bool:
        tried.append(names(made))
        return "service b" not in names(made)

    made = verdicts.render(AB)
    await verdicts.judge(AB, made, RefusedError("no", "no word"), passes=passes)
    assert names(verdicts.render(AB)) == ["service a", "host a.test", "host b.test"]
    assert tried[0] == []


async def test_good_forms_that_do_not_fit_any_more_are_done_without(verdicts: Verdicts) -> None:
    """As where a variable that they have is set by the root file no more; who is not to blame is served."""
    good = verdicts.render(AB)
    verdicts.proved()

    async def passes(made: Site) -> bool:
        return part(good, "service", "b") not in made.parts and part(bad, "service", "b") not in made.parts

    bad = verdicts.render(OTHER)
    await verdicts.judge(OTHER, bad, RefusedError("no"), passes=passes)
    made = verdicts.render(OTHER)
    assert part(made, "service", "a") == part(bad, "service", "a")
    assert names(made) == ["service a", "host a.test", "host b.test"]


async def test_good_forms_stay_known_where_they_are_not_to_blame(verdicts: Verdicts) -> None:
    """Nor is any other part: the refusal is of a file beside the site."""
    verdicts.render(AB)
    verdicts.proved()
    with pytest.raises(RefusedError):
        await verdicts.judge(OTHER, verdicts.render(OTHER), RefusedError("no"), passes=never)
    assert verdicts.part_of("service", "b")


async def test_what_is_good_is_not_suspected(verdicts: Verdicts) -> None:
    """Only what has changed is tried; the rest stays in."""
    verdicts.render(site("a"))
    verdicts.proved()
    tried = []

    async def passes(made: Site) -> bool:
        tried.append(names(made))
        return "host b.test" not in names(made)

    await verdicts.judge(AB, verdicts.render(AB), RefusedError("no"), passes=passes)
    assert all("host a.test" in found for found in tried)
    assert names(verdicts.render(AB)) == ["service a", "host a.test", "host b.test"]
    assert [problem.where for problem in verdicts.problems] == ["b.test"]


class TestCertificates:
    """Hosts that have another one are told, each until it is proved."""

    hosts = snapshot(on_https("a.test"), on_https("other.test"), web="10.0.0.1:80")

    def renewed(self, *names: str, gone: str = "") -> CertificateSet:
        """Return the certificates with others in the place of those with *names*, and without *gone*."""
        made = certificates().without({name: make_part("certificate", name, b"new") for name in names})
        return made.without({gone: None}) if gone else made

    def test_hosts_with_another_one_are_told(self) -> None:
        listen = Listen(http=(ListenAddress(":80"),), https=(ListenAddress(":443"),))
        renderer = Renderer(dialect(listen=listen, tls=Tls(certificates=FOLDER)))
        verdicts = Verdicts(lambda: renderer)

        def told(found: CertificateSet) -> tuple[str, ...]:
            renderer.certificates = found
            verdicts.render(self.hosts)
            return verdicts.recertified

        assert told(certificates()) == (), "they are new themselves"
        verdicts.proved()
        assert told(self.renewed()) == (), "it is the same, read again"
        renewed = self.renewed("other")
        assert told(renewed) == told(renewed) == ("~ other.test (certificate other)",)
        verdicts.proved()
        assert told(renewed) == ()
        assert told(self.renewed("other", gone="a.test")) == ("~ a.test (no certificate)",)


class TestAuthorities:
    """Whose certificates clients may show, where nginx does not take that."""

    hosts = snapshot(on_https("a.test", verify_client="on"), route("b.test", "/", "web"), web="10.0.0.1:80")

    @pytest.fixture
    def renderer(self) -> Renderer:
        listen = Listen(http=(ListenAddress(":80"),), https=(ListenAddress(":443"),))
        made = Renderer(dialect(listen=listen, tls=Tls(certificates=FOLDER)))
        made.certificates = self.with_authority(b"one")
        return made

    def with_authority(self, text: bytes, name: str = "") -> CertificateSet:
        found = make_part("authority", name, text)
        return CertificateSet(certificates().by_name.values(), {name: found})

    async def refuse(self, verdicts: Verdicts) -> Site:
        """Refuse the authority, as nginx does it: it names the file, and no line."""
        made = verdicts.render(self.hosts)
        (bad,) = [one for one in made.parts if one.kind == "authority"]
        output = f'[emerg] SSL_CTX_load_verify_locations("/nginx/parts/{bad.file}") failed (SSL: invalid)'
        await verdicts.judge(self.hosts, made, RefusedError("refused", output), passes=never)
        return verdicts.render(self.hosts)

    @pytest.mark.parametrize(
        ("name", "file"), [("", "ca.crt"), ("a.test", "a.test.ca.crt")], ids=["for all", "its own"]
    )
    async def test_without_a_good_one_the_host_is_closed(
        self, renderer: Renderer, name: str, file: str
    ) -> None:
        """And never open; the others are as they were."""
        verdicts = Verdicts(lambda: renderer)
        renderer.certificates = self.with_authority(b"one", name)
        made = await self.refuse(verdicts)
        text = part(made, "host", "a.test").text
        assert (b"return 503" in text, b"proxy_pass" in text) == (True, False)
        assert b"proxy_pass" in part(made, "host", "b.test").text
        assert "authority" not in [one.kind for one in made.parts]
        said = [str(problem) for problem in verdicts.problems if problem.what == "authority"]
        assert len(said) == 1
        assert said[0].startswith(f"authority {file}: nginx refuses it: ")

    async def test_the_last_good_one_stands_in(self, renderer: Renderer) -> None:
        verdicts = Verdicts(lambda: renderer)
        good = verdicts.render(self.hosts)
        verdicts.proved()
        renderer.certificates = self.with_authority(b"two")
        assert (await self.refuse(verdicts)).digest == good.digest
        assert verdicts.problems[-1].why.endswith("(its last good form serves)")


class TestUsers:
    """A file that is a host's own is not left out without it."""

    closed = snapshot(
        route("a.test", "/", "web", users=(("ann", "{SHA}" + "b" * 28),)),
        route("b.test", "/", "web"),
        web="10.0.0.1:80",
    )
    users = part(Renderer(dialect()).render(closed), "host", "a.test").files[0]

    async def test_its_host_is_closed(self, verdicts: Verdicts) -> None:
        made = verdicts.render(self.closed)
        refused = RefusedError("refused", f'[emerg] open() "/nginx/parts/{self.users.file}" failed')
        await verdicts.judge(self.closed, made, refused, passes=never)
        made = verdicts.render(self.closed)
        assert names(made) == ["service web", "host a.test", "host b.test"]
        assert b"proxy_pass" not in part(made, "host", "a.test").text
        assert [problem.where for problem in verdicts.problems] == ["a.test"]

    async def test_it_is_not_suspected_itself(self, verdicts: Verdicts) -> None:
        """It can't go without its host, whatever nginx says at the next questions."""
        made = verdicts.render(self.closed)
        await verdicts.judge(self.closed, made, RefusedError("no", "no word"), passes=always)
        verdicts.render(self.closed)
        assert [problem.what for problem in verdicts.problems] == ["service"]


class Stubborn(Renderer):
    """One that leaves nothing out."""

    def render(self, snapshot: Snapshot, **_: object) -> Site:
        return super().render(snapshot)


async def test_what_stays_is_not_put_aside_for_ever() -> None:
    """What is served meanwhile serves on."""
    renderer = Stubborn(dialect())
    verdicts = Verdicts(lambda: renderer)
    with pytest.raises(RefusedError, match=r"leave out host b\.test: it is needed, and nginx refuses it"):
        await refuse(verdicts, AB, ("host", "b.test"))


async def test_a_refusal_without_a_guilty_part_is_raised(verdicts: Verdicts) -> None:
    made, refused = verdicts.render(AB), RefusedError("no", "unknown directive in /main.d/x:1")
    with pytest.raises(RefusedError) as caught:
        await verdicts.judge(AB, made, refused, passes=never)
    assert (str(caught.value), caught.value.output) == (str(refused), refused.output)
    assert verdicts.render(AB) == made
