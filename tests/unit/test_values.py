"""Untrusted text to canonical values."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf import values
from proxyconf.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable

# text that is likely to be accepted, to be nearly so, or to break out of nginx's configuration
TEXT = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="aZ09.-_*:[]/%~ \n\0;{}\"'$\\ü\uff0f\u3002", max_size=40),
    st.from_regex(r"\A(\*\.)?([a-zA-Zß_-]{1,64}\.){0,3}[a-z0-9]{1,5}\.?\n?\Z"),
    st.from_regex(r"\A(/[a-z.%]{0,4}){0,4}/?\n?\Z"),
    st.ip_addresses(v=4).map(lambda ip: f"{ip}:80"),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip.exploded}]:443"),
)

SHAPES = [
    pytest.param(values.host, r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", id="host"),
    pytest.param(values.path, r"/([A-Za-z0-9._~@:+,=-]+(/[A-Za-z0-9._~@:+,=-]+)*)?", id="path"),
    pytest.param(values.address, r"([0-9.]+|\[[0-9a-f:.]+\]):[1-9][0-9]{0,4}", id="address"),
    pytest.param(values.service_name, r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", id="service name"),
]


@pytest.mark.parametrize(("read", "shape"), SHAPES)
@given(text=TEXT)
def test_what_is_accepted_is_canonical_and_harmless(
    read: Callable[[str], str], shape: str, text: str
) -> None:
    """It has only listed characters, and is its own canonical form; a refusal is short and on one line."""
    try:
        value = read(text)
    except BadValueError as exc:
        refusal = str(exc)
        assert len(refusal) < 300
        assert refusal.isprintable()
    else:
        assert re.fullmatch(shape, value)
        assert read(value) == value
        assert len(value) <= 512


@given(text=st.text(max_size=8))
def test_numbers_are_plain_ascii(text: str) -> None:
    try:
        assert str(values.weight(text)) == text
    except BadValueError:
        assert text not in map(str, values.WEIGHTS)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.host, "App.Example.COM", "app.example.com"),
        (values.host, "app.example.com.", "app.example.com"),
        (values.host, "*.Example.com", "*.example.com"),
        (values.host, "localhost", "localhost"),
        (values.host, "my_app.example.com", "my_app.example.com"),
        (values.host, "192.0.2.7", "192.0.2.7"),
        (values.host, "Bücher.example", "xn--bcher-kva.example"),
        (values.host, "xn--bcher-kva.example", "xn--bcher-kva.example"),
        (values.host, "*.bücher.example", "*.xn--bcher-kva.example"),
        (values.host, ".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61])),
        (values.path, "/", "/"),
        (values.path, "/api/", "/api"),
        (values.path, "/.well-known/x~1", "/.well-known/x~1"),
        (values.address, "10.0.0.1:8080", "10.0.0.1:8080"),
        (values.address, "[FD00:0::1]:1", "[fd00::1]:1"),
        (values.port, "65535", 65535),
        (values.weight, 1000, 1000),
        (values.service_name, "web-1.api_v2", "web-1.api_v2"),
    ],
)
def test_is_made_canonical(read: Callable[[str | int], object], text: str | int, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "hint"),
    [
        pytest.param(values.host, "", "dot-separated", id="empty host"),
        pytest.param(values.host, "app.example.com:80", "without a port", id="host with port"),
        pytest.param(values.host, "[::1]", "no IPv6 address is a host", id="host, IPv6"),
        pytest.param(values.host, "fd00::2", "[nginx] default_host", id="host, IPv6 without brackets"),
        pytest.param(values.host, "http://app.example.com", "without", id="url"),
        pytest.param(values.host, "a.*.com", "first part", id="star inside"),
        pytest.param(values.host, "*", "first part", id="only a star"),
        pytest.param(values.host, r"~^(www\.)?a$", "regular expressions", id="regex"),
        pytest.param(values.host, "_", "dot-separated", id="nginx's catch-all"),
        pytest.param(values.host, "a..b", "dot-separated", id="empty label"),
        pytest.param(values.host, "-a.com", "dot-separated", id="hyphen first"),
        pytest.param(values.host, "a.test; } server {", "dot-separated", id="break-out"),
        pytest.param(values.host, "a.test\n", "dot-separated", id="newline at the end"),
        pytest.param(values.host, "a\0.test", "dot-separated", id="NUL"),
        pytest.param(values.host, "a" * 64 + ".com", "63", id="long label"),
        pytest.param(values.host, "a." * 127 + "com", "253", id="long host"),
        pytest.param(values.host, ".".join("ü" * 50), "too long", id="long as ASCII"),
        pytest.param(values.host, "*.ü." + "a." * 120 + "info", "253", id="long by its star"),
        pytest.param(values.host, "127.1", "IPv4", id="short IPv4"),
        pytest.param(values.host, "0x7f.0.0.0x1", "IPv4", id="hexadecimal IPv4"),
        pytest.param(values.host, "*.0.0.1", "IPv4", id="star before IPv4"),
        pytest.param(values.host, "xn--a.com", "not allowed", id="false IDNA"),
        pytest.param(values.host, "a\uff0fb.com", "not allowed", id="full-width slash"),
        pytest.param(values.host, "ü..", "dot-separated", id="empty label after IDNA"),
        pytest.param(values.path, "", "start", id="empty path"),
        pytest.param(values.path, "api", "start", id="relative path"),
        pytest.param(values.path, "/a%20b", "decoded", id="percent"),
        pytest.param(values.path, "/a//b", "merges", id="double slash"),
        pytest.param(values.path, "/a/../b", "resolves", id="dots"),
        pytest.param(values.path, "/ { root /etc; } location /y", "plain prefix", id="path break-out"),
        pytest.param(values.path, "/a\n", "plain prefix", id="path with newline"),
        pytest.param(values.path, "/é", "plain prefix", id="path beyond ASCII"),
        pytest.param(values.path, "/" + "a" * 512, "512", id="long path"),
        pytest.param(values.address, "web:80", "10.0.0.1:8080", id="name"),
        pytest.param(values.address, "10.0.0.1", "10.0.0.1:8080", id="no port"),
        pytest.param(values.address, "unix:/run/docker.sock", "10.0.0.1:8080", id="unix socket"),
        pytest.param(values.address, "fd00::1:80", "[fd00::1]:8080", id="no brackets"),
        pytest.param(values.address, "[fe80::1%eth0]:80", "[fd00::1]:8080", id="zone"),
        pytest.param(values.address, "10.0.0.1:80\n", "10.0.0.1:8080", id="address with newline"),
        pytest.param(values.address, "127.1:80", "127.1", id="short address"),
        pytest.param(values.address, "010.0.0.1:80", "010.0.0.1", id="octal"),
        pytest.param(values.address, "0.0.0.0:80", "its own", id="unspecified"),
        pytest.param(values.address, "[::]:80", "its own", id="unspecified IPv6"),
        pytest.param(values.address, "224.0.0.1:80", "its own", id="multicast"),
        pytest.param(values.address, "255.255.255.255:80", "its own", id="broadcast"),
        pytest.param(values.address, "[::ffff:10.0.0.1]:80", "write 10.0.0.1", id="mapped"),
        pytest.param(values.address, "10.0.0.1:0", "1 to 65535", id="port 0"),
        pytest.param(values.address, "10.0.0.1:70000", "1 to 65535", id="port 70000"),
        pytest.param(values.address, "10.0.0.1:" + "9" * 5000, "1 to 65535", id="endless port"),
        pytest.param(values.port, "080", "1 to 65535", id="leading zero"),
        pytest.param(values.port, "٨٠", "1 to 65535", id="other digits"),
        pytest.param(values.weight, "0", "1 to 1000", id="weight 0"),
        pytest.param(values.weight, 1001, "1 to 1000", id="weight 1001"),
        pytest.param(values.weight, -(10**5000), "1 to 1000", id="endless weight"),
        pytest.param(values.service_name, "", "letters", id="empty name"),
        pytest.param(values.service_name, "a/b", "letters", id="slash in name"),
        pytest.param(values.service_name, "a\n", "letters", id="name with newline"),
        pytest.param(values.service_name, "a" * 129, "128", id="long name"),
    ],
)
def test_is_refused_with_a_hint(read: Callable[[str | int], object], text: str | int, hint: str) -> None:
    with pytest.raises(BadValueError, match=re.escape(hint)):
        read(text)


def test_long_values_are_shown_shortened() -> None:
    assert values.shown("a" * 1_000_000) == "'" + "a" * 75 + "...'"
    assert values.shown("a" * 78) == "'" + "a" * 78 + "'"
    assert values.shown(b"\xff\n") == r"b'\xff\n'"
    assert values.shown("~^x\\..*$") == r"'~^x\..*$'"
    assert values.shown("a\n\\") == r"'a\n\\'"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        pytest.param("hots", "did you mean 'host'?", id="swapped"),
        pytest.param("Path", "did you mean 'path'?", id="upper case"),
        pytest.param("zzz", "known: host, path", id="nothing like it"),
    ],
)
def test_a_likely_spelling_is_named(word: str, hint: str) -> None:
    assert values.spelling(word, ("path", "host")) == hint


@given(st.ip_addresses(v=4), st.integers(0, 70_000))
def test_the_fast_way_is_the_slow_way(ip: IPv4Address, number: int) -> None:
    """What is recognised without parsing is exactly what parsing would make of it."""
    text = f"{ip}:{number}"
    assert bool(values.PLAIN_ADDRESS.fullmatch(text)) == (0 < number < 65536)
    special = ip.is_unspecified or ip.is_multicast or ip == IPv4Address("255.255.255.255")
    if 0 < number < 65536 and not special:
        assert values.address(text) == text


@pytest.mark.parametrize("octet", range(300))
def test_every_octet(octet: int) -> None:
    assert bool(values.PLAIN_ADDRESS.fullmatch(f"10.0.{octet}.1:80")) == (octet < 256)
    assert not values.PLAIN_ADDRESS.fullmatch(f"10.0.0{octet}.1:80")
