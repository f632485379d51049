"""What a host asks of TLS, and can't have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx import tls
from proxyconf.nginx.certificates import CertificateSet
from proxyconf.nginx.part import Part
from proxyconf.options import HostOptions
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
