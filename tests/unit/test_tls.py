"""What a host asks of TLS, and can't have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx import tls
from proxyconf.nginx.additions import Additions, piece
from proxyconf.nginx.certificates import CertificateSet
from proxyconf.nginx.part import Part
from proxyconf.nginx.site import Renderer
from proxyconf.options import HostOptions, LocationOptions, Options
from proxyconf.tables import Tls
from tests.golden import cases

if TYPE_CHECKING:
    from proxyconf.options import Https, Policy, VerifyClient


@pytest.mark.parametrize(
    ("asked", "settings", "why"),
    [
        pytest.param(None, "modern", "", id="nothing"),
        pytest.param("modern", "modern", "", id="what is set"),
        pytest.param(
            "modern",
            "intermediate",
            "has the TLS policy 'intermediate', as all others (set [nginx.tls] policy to 'modern', for all)",
            id="more",
        ),
        pytest.param("intermediate", "modern", "policy to 'intermediate'", id="less"),
    ],
)
def test_another_policy_than_that_of_all_is_a_problem(
    asked: Policy | None, settings: Policy, why: str
) -> None:
    """It is on https all the same."""
    dialect = cases.dialect(tls=Tls(certificates=Path("/certs"), policy=settings))
    options = HostOptions(tls_policy=asked, verify_client="")
    found = tls.standing("a.test", options, cases.certificates(), dialect)
    assert found.https == "redirect"
    assert [problem.where for problem in found.problems] == (["a.test"] if why else [])
    assert all(why in problem.why for problem in found.problems)


@pytest.mark.parametrize(
    ("asked", "settings"),
    [pytest.param("off", "redirect", id="of the host"), pytest.param(None, "off", id="of all")],
)
@pytest.mark.parametrize(
    ("verify", "so"),
    [("", ""), ("optional", "is on http only, for clients show"), ("on", "answers 503, for clients show")],
)
def test_on_http_nobody_is_let_in_who_must_show_a_certificate(
    verify: VerifyClient, so: str, asked: Https | None, settings: Https
) -> None:
    dialect = cases.dialect(tls=Tls(certificates=Path("/certs"), https=settings))
    options = HostOptions(https=asked, verify_client=verify)
    found = tls.standing("a.test", options, cases.certificates(), dialect)
    assert (found.https, found.closed) == ("off", verify == "on")
    assert [problem.why.startswith(so) for problem in found.problems] == ([True] if so else [])


@pytest.mark.parametrize(
    ("verify", "problems"),
    [
        pytest.param(None, ["asks no client for a certificate, though there is a.test.ca.crt"], id="nobody"),
        pytest.param("", [], id="off"),
        pytest.param("on", [], id="on"),
    ],
)
def test_an_authority_that_nobody_asks_for_is_a_problem(
    verify: VerifyClient | None, problems: list[str]
) -> None:
    """For nginx-proxy, the file alone closes the host. That of all hosts is there for those that ask."""
    dialect = cases.dialect(tls=Tls(certificates=Path("/certs")))
    known = cases.certificates()
    found = tls.standing("a.test", HostOptions(verify_client=verify), known, dialect)
    assert [problem.why.partition(" (")[0] for problem in found.problems] == problems
    of_all = CertificateSet(known.by_name.values(), {"": Part("authority", "", "a-1.pem", b"")})
    assert tls.standing("a.test", HostOptions(verify_client=verify), of_all, dialect).problems == ()


def test_on_http_and_https_is_no_place_for_who_must_show_a_certificate() -> None:
    """On http there is none to show: who comes there is sent to https."""
    dialect = cases.dialect(tls=Tls(certificates=Path("/certs")))
    options = HostOptions(https="both", verify_client="on")
    found = tls.standing("a.test", options, cases.certificates(), dialect)
    assert (found.https, found.closed) == ("redirect", False)
    (problem,) = found.problems
    assert problem.why.startswith("is sent to https, for on http no client shows a certificate")


@pytest.mark.parametrize(
    ("asked", "unsent"),
    [
        pytest.param(HostOptions(https="both", hsts="max-age=9"), ["sends no Strict-Tr"], id="hsts"),
        pytest.param(HostOptions(hsts="max-age=9"), ["sends no Strict-Tr"], id="by the settings"),
        pytest.param(
            HostOptions(https="both", other_redirect_status=308), ["has no redirect to"], id="status"
        ),
        pytest.param(HostOptions(https="both", hsts=""), [], id="off"),
        pytest.param(HostOptions(https="only", hsts="max-age=9"), [], id="only"),
        pytest.param(HostOptions(hsts="max-age=9", verify_client="on"), ["is sent to https, "], id="sent"),
    ],
)
def test_what_only_counts_with_a_redirect_is_a_problem_without(asked: HostOptions, unsent: list[str]) -> None:
    """The host is served: a missing header leaves nobody unprotected who was protected before."""
    dialect = cases.dialect(tls=Tls(certificates=Path("/certs"), https="both"))
    of_all = CertificateSet(
        cases.certificates().by_name.values(), {"": Part("authority", "", "a-1.pem", b"")}
    )
    found = tls.standing("a.test", asked, of_all, dialect)
    assert (found.https == "off", found.closed) == (False, False)
    assert [problem.why[:18] for problem in found.problems] == unsent


@pytest.mark.parametrize(
    ("asked", "so", "closed"),
    [
        pytest.param(HostOptions(certificate="a.test"), "is on http only", False, id="a certificate"),
        pytest.param(HostOptions(missing="default"), "", False, id="nothing"),
        pytest.param(HostOptions(certificate="a.test", https="only"), "answers 503", True, id="https only"),
    ],
)
def test_an_address_is_on_http_only(asked: HostOptions, so: str, closed: bool) -> None:  # noqa: FBT001
    """To send its requests to https would send them to a handshake that is turned away."""
    dialect = cases.dialect(tls=Tls(certificates=Path("/certs")))
    found = tls.standing("192.0.2.1", asked, cases.certificates(), dialect)
    assert (found.https, found.certificate, found.closed) == ("off", None, closed)
    why = f"{so}, for nobody can ask for an address on https (use a name)"
    assert [problem.why for problem in found.problems] == ([why] if so else [])
    named = HostOptions(certificate="a.test")
    assert tls.standing("node1", named, cases.certificates(), dialect).https == "redirect"


def test_a_closed_host_has_nothing_but_503() -> None:
    """Neither what its routes ask for, nor what operators add to it."""
    dialect = replace(cases.dialect(tls=Tls(certificates=Path("/certs"))), build=cases.build("debian"))
    renderer = Renderer(dialect)
    added = piece("/host.d/x.test.conf", b"location = /own { return 200; }")
    route = replace(
        cases.route("x.test", "/api", "web", redirect="https://b.test"),
        options=Options(
            LocationOptions(redirect="https://b.test"), host=HostOptions(verify_client="on", https="only")
        ),
    )
    site = renderer.render(
        cases.snapshot(route, web="10.0.0.1:80"),
        additions=Additions({"x.test.conf": added}, {"x.test.conf": added}),
    )
    (host,) = [part for part in site.parts if part.kind == "host"]
    assert host.text.decode().count("location") == 1
    assert b"location / {\n        return 503;" in host.text
    assert (host.needs, host.files) == (frozenset(), ())
