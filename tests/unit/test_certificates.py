"""Which certificate a host is served with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.nginx.certificates import Certificate, CertificateSet
from proxyconf.nginx.part import Part


def part(name: str) -> Part:
    return Part("certificate", name, f"c-{name}.pem", name.encode())


def certificate(name: str, *names: str, end: float = 100.0, is_good: bool = True) -> Certificate:
    return Certificate(name, f"/certs/{name}.crt", names, 0.0, end, part(name), is_good)


def best(host: str, *found: Certificate) -> str:
    chosen = CertificateSet(found).best(host)
    return chosen.name if chosen else ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.test", "exact"),
        ("b.a.test", "wildcard"),
        ("c.b.a.test", ""),
        ("www.a.test", "exact"),
        ("*.a.test", "wildcard"),
        ("*.b.a.test", ""),
        ("other.test", ""),
    ],
)
def test_the_one_whose_names_fit(host: str, expected: str) -> None:
    """A wildcard stands for one level; a host's own name comes before it."""
    found = (certificate("wildcard", "*.a.test", end=900), certificate("exact", "a.test", "www.a.test"))
    assert best(host, *found) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            (certificate("a", "a.test", end=200), certificate("b", "a.test", end=100)), "a", id="later end"
        ),
        pytest.param((certificate("a", "a.test"), certificate("b", "a.test")), "b", id="name"),
        pytest.param(
            (certificate("a", "a.test", end=200, is_good=False), certificate("b", "a.test")), "b", id="valid"
        ),
    ],
)
def test_of_several_the_one_that_lasts(found: tuple[Certificate, ...], expected: str) -> None:
    assert best("a.test", *found) == best("a.test", *reversed(found)) == expected


def test_a_wildcard_comes_before_what_has_expired() -> None:
    own, wildcard = certificate("own", "a.b.test", is_good=False), certificate("wildcard", "*.b.test")
    assert best("a.b.test", own, wildcard) == "wildcard"
    assert best("a.b.test", own) == "own"  # better than none: clients are told what is wrong


def test_some_can_be_replaced_or_left_out() -> None:
    found = CertificateSet([certificate("a", "a.test"), certificate("b", "b.test")])
    assert found.without({}) is found
    other = found.without({"a": part("older"), "b": None})
    assert {name: one.part for name, one in other.by_name.items()} == {"a": part("older")}
    assert other.best("b.test") is None


def test_a_placeholder_yields_to_any_other() -> None:
    """Though it is good for ten years, and for the very host."""
    real = certificate("real", "*.b.test", end=100.0)
    for placeholder in (
        certificate("default", "a.b.test", end=9e9),
        replace(certificate("own", "a.b.test", end=9e9), is_self_signed=True),
    ):
        assert best("a.b.test", placeholder, real) == "real"
        assert best("a.b.test", placeholder) == placeholder.name


AUTHORITIES = {"own": part("of-own"), "wildcard": part("of-wildcard"), "": part("of-all")}


@pytest.mark.parametrize(
    ("host", "named", "expected"),
    [
        ("a.b.test", "", "of-own"),
        ("c.b.test", "", "of-wildcard"),
        ("a.b.test", "wildcard", "of-wildcard"),
        ("other.test", "", "of-all"),
        ("other.test", "own", "of-own"),
        ("c.b.test", "unheard-of", "of-wildcard"),
    ],
)
def test_whose_certificates_clients_may_show(host: str, named: str, expected: str) -> None:
    """It is told by names: that of the host has expired here, and another one serves."""
    certificates = (certificate("own", "a.b.test", is_good=False), certificate("wildcard", "*.b.test"))
    found = CertificateSet(certificates, AUTHORITIES)
    assert found.authority(host, named) == part(expected)
    assert found.has_own_authority(host, named) is (expected != "of-all")


def test_an_authority_that_is_unknown_is_not_that_of_all() -> None:
    found = CertificateSet((), {"a.test": None, "": part("of-all")})
    assert found.authority("a.test") is None
    assert found.authority("b.test") == part("of-all")
    assert CertificateSet().authority("a.test") is None
    without = CertificateSet((), AUTHORITIES).without({}, {"": None})
    assert without.authority("other.test") is None
