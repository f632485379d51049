"""What a host asks of TLS, and can't have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx import tls
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
    found = tls.standing("a.test", HostOptions(tls_policy=asked), cases.certificates(), dialect)
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
