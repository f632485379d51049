"""Which certificate a host is served with."""

from __future__ import annotations

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


def test_the_authority_of_a_certificate_comes_before_that_of_all() -> None:
    found = CertificateSet((), {"a": part("of-a"), "": part("of-all")})
    assert (found.authority("a"), found.authority("b")) == (part("of-a"), part("of-all"))
    assert CertificateSet((), {"a": part("of-a")}).authority("b") is None
