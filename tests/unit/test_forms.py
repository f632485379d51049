"""What an option may be set to, and what is said of all else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.options import Rate
from proxyconf.routing import forms

if TYPE_CHECKING:
    from collections.abc import Callable

APR1 = "$apr1$abcdefgh$jtu/9S0OWdF9ywbcTw2tM1"
BCRYPT = "$2y$05$abcdefghijklmnopqrstuuvoS3AySrdJlUfgCJKTiyGZhhA0YtW22"
SHA = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
SSHA = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        pytest.param(forms.switch, "True", True, id="switch on"),
        pytest.param(forms.switch, "0", False, id="switch off"),
        pytest.param(forms.switch, True, True, id="switch of JSON"),
        pytest.param(forms.stripped, "true", "/", id="strip"),
        pytest.param(forms.stripped, False, "", id="no strip"),
        pytest.param(forms.number(0, 9), "9", 9, id="number"),
        pytest.param(forms.number(0, 9), 0, 0, id="number of JSON"),
        pytest.param(forms.size, "50m", 50 << 20, id="mebibytes"),
        pytest.param(forms.size, "1G", 1 << 30, id="gibibytes"),
        pytest.param(forms.size, "512k", 512 << 10, id="kibibytes"),
        pytest.param(forms.size, "1000", 1000, id="bytes"),
        pytest.param(forms.size, 0, 0, id="any size"),
        pytest.param(forms.duration, "5m", 300.0, id="minutes"),
        pytest.param(forms.duration, "1ms", 0.001, id="shortest"),
        pytest.param(forms.whole_seconds, "1d", 86_400.0, id="longest"),
        pytest.param(
            forms.networks,
            "192.0.2.7, 10.0.0.0/8 10.0.0.0/8",
            ("10.0.0.0/8", "192.0.2.7/32"),
            id="networks of a text",
        ),
        pytest.param(forms.https, "both", "both", id="https"),
        pytest.param(forms.missing, "default", "default", id="missing certificate"),
        pytest.param(forms.policy, "modern", "modern", id="policy"),
        pytest.param(forms.verify_client, "off", "", id="no client certificates"),
        pytest.param(forms.verify_client, "optional", "optional", id="client certificates"),
        pytest.param(forms.certificate, "_.example.com", "_.example.com", id="certificate"),
        pytest.param(values.hsts, "Off", "", id="no HSTS"),
        pytest.param(
            values.hsts,
            "includeSubdomains;MAX-AGE=010; preload;",
            "max-age=10; includeSubDomains; preload",
            id="HSTS",
        ),
        pytest.param(forms.networks, ["FD00::/8"], ("fd00::/8",), id="networks of a list"),
        pytest.param(
            forms.users, f"joe:{APR1},ann:{BCRYPT}", (("ann", BCRYPT), ("joe", APR1)), id="users of a text"
        ),
        pytest.param(forms.users, {"joe@example.com": SHA}, (("joe@example.com", SHA),), id="users by name"),
        pytest.param(
            forms.request_headers, {"X-B": "", "X-A": ' "$a" '}, (("X-A", '"$a"'), ("X-B", "")), id="request"
        ),
        pytest.param(forms.response_headers, {"X_A": "a; b"}, (("X_A", "a; b"),), id="response"),
        pytest.param(forms.rate, "10r/s", Rate(600), id="each second"),
        pytest.param(forms.rate, "1r/m", Rate(1), id="each minute"),
        pytest.param(forms.redirect, "https://B.test", "https://b.test", id="redirect"),
        pytest.param(forms.redirect, "http://b.test:8080/", "http://b.test:8080", id="redirect to a port"),
        pytest.param(forms.redirect_status, "308", 308, id="status"),
        pytest.param(forms.redirect_status, 302, 302, id="status of JSON"),
        pytest.param(forms.protocol, "grpcs", "grpcs", id="protocol"),
        pytest.param(forms.balance, "ip_hash", "ip_hash", id="balance"),
        pytest.param(forms.balance, "hash:header:X-User", "hash:header:x-user", id="balance by a header"),
        pytest.param(forms.balance, "hash:cookie:SID", "hash:cookie:SID", id="balance by a cookie"),
        pytest.param(forms.one_host, "B.test.", "b.test", id="one host"),
    ],
)
def test_what_is_understood(read: Callable[[Any], object], value: object, expected: object) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value", "why"),
    [
        pytest.param(forms.switch, "on", '\'on\' is neither "true" nor "false"', id="switch"),
        pytest.param(forms.number(1, 9), "10", "'10' is no number (a number from 1 to 9)", id="number"),
        pytest.param(forms.size, "50 m", "'50 m' is no size (write \"512k\"", id="size"),
        pytest.param(forms.size, "50mb", "is no size", id="size with another unit"),
        pytest.param(forms.size, -1, "'-1' is no size", id="less than nothing"),
        pytest.param(forms.size, "9999999g", "is no size", id="too much"),
        pytest.param(forms.size, 10**5000, "is no size", id="far too much"),
        pytest.param(forms.duration, "60", "'60' is no duration (write", id="no unit"),
        pytest.param(forms.duration, "0s", "'0s' is no time to wait for (from 1ms to 1d)", id="no time"),
        pytest.param(forms.duration, "9" * 500 + "s", "is no time to wait for", id="for ever"),
        pytest.param(
            forms.whole_seconds,
            "1.5s",
            "is no number of whole seconds (from 1s to 1d)",
            id="part of a second",
        ),
        pytest.param(forms.whole_seconds, "500ms", "is no number of whole seconds", id="less than a second"),
        pytest.param(forms.networks, " ,", "no network is named", id="no network"),
        pytest.param(forms.networks, "10.0.0.0/33", "'10.0.0.0/33' is no network (write", id="network"),
        pytest.param(
            forms.networks,
            "10.1.2.3/8",
            "'10.1.2.3/8' is an address within a network (write \"10.1.2.3\" for it alone, or",
            id="address in a network",
        ),
        pytest.param(forms.networks, ["fe80::1%eth0"], "is no network", id="zone"),
        pytest.param(forms.networks, "private", "is no network", id="word"),
        pytest.param(forms.users, "", "nobody is named", id="nobody"),
        pytest.param(forms.users, f":{APR1}", "name is none", id="no name"),
        pytest.param(forms.users, {"a:b": APR1}, "name is none", id="colon in a name"),
        pytest.param(forms.users, f"joe:{APR1},joe:{APR1}", "a user is named twice", id="user twice"),
        pytest.param(forms.request_headers, {}, "no header is named", id="no header"),
        pytest.param(forms.request_headers, {"X A": "1"}, "'X A' is no header's name", id="header's name"),
        pytest.param(forms.request_headers, {"X.A;": "1"}, "is no header's name", id="break-out by a name"),
        pytest.param(forms.request_headers, {"host": "b"}, "host is how the endpoint knows the", id="host"),
        pytest.param(forms.request_headers, {"Proxy": "b"}, "is taken away from every request", id="proxy"),
        pytest.param(forms.request_headers, {"Upgrade": "b"}, "belongs to one connection", id="hop by hop"),
        pytest.param(forms.response_headers, {"Content-Length": "1"}, "is a matter of the body", id="length"),
        pytest.param(forms.response_headers, {"Server": "x"}, "would be there twice", id="already there"),
        pytest.param(forms.response_headers, {"X-A": " "}, "'X-A' has no value (delete it)", id="empty"),
        pytest.param(forms.request_headers, {"X-A": "a\r\nb"}, "X-A: the value has more than", id="line end"),
        pytest.param(forms.request_headers, {"X-A": "\u00e4"}, "more than printable ASCII", id="not ASCII"),
        pytest.param(forms.request_headers, {"X-A": "$" * 400}, "too long (nginx takes 3900", id="long"),
        pytest.param(
            forms.request_headers,
            {"X-A": "1", "x-a": "1"},
            "named twice, but for upper and",
            id="header twice",
        ),
        pytest.param(forms.rate, "10", "'10' is no rate (write \"10r/s\"", id="rate"),
        pytest.param(forms.rate, "0r/s", "is no rate", id="no rate"),
        pytest.param(forms.rate, "999999r/s", "at most 1000000r/m", id="high rate"),
        pytest.param(
            forms.redirect, "https://b.test/x", "is nowhere to redirect to (write https://", id="with a path"
        ),
        pytest.param(forms.redirect, "b.test", "is nowhere to redirect to", id="without a scheme"),
        pytest.param(forms.redirect, "https://b.test$uri", "is no host name", id="redirect to no host"),
        pytest.param(forms.redirect, "https://*.b.test", "names no one host", id="redirect to several hosts"),
        pytest.param(forms.redirect, "https://b.test:0", "is no port", id="redirect to no port"),
        pytest.param(forms.redirect_status, "303", "(301, 302, 307, 308)", id="status"),
        pytest.param(forms.protocol, "htps", "(did you mean 'https'?)", id="protocol"),
        pytest.param(forms.protocol, "ws", "websockets need nothing more", id="websocket"),
        pytest.param(forms.balance, "least-conn", "(did you mean 'least_conn'?)", id="balance"),
        pytest.param(
            forms.balance, "hash:header:x_y", "letters, digits and -, at most 64", id="by no header"
        ),
        pytest.param(forms.balance, "hash:cookie:a-b", "as nginx can name it", id="by no cookie"),
        pytest.param(forms.one_host, "*.b.test", "names no one host", id="several hosts"),
        pytest.param(forms.https, "nohttp", "is no place for a host", id="no place"),
        pytest.param(forms.missing, "defualt", "(did you mean 'default'?)", id="missing certificate"),
        pytest.param(forms.policy, "Mozilla-Modern", "(did you mean 'modern'?)", id="policy"),
        pytest.param(forms.verify_client, "yes", "does not say whether", id="client certificates"),
        pytest.param(forms.certificate, "../key", "is no name of a certificate", id="certificate"),
        pytest.param(values.hsts, "max-age=1;;preload", "is nothing that Strict", id="nothing in HSTS"),
        pytest.param(values.hsts, "includeSubDomains", "is nothing that Strict", id="HSTS without an age"),
        pytest.param(values.hsts, "max-age=1; max-age=2", "is nothing that Strict", id="two ages"),
    ],
)
def test_what_is_not(read: Callable[[Any], object], value: object, why: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read(value)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param(APR1, id="apr1"),
        pytest.param("$1$abcdefgh$jtu/9S0OWdF9ywbcTw2tM1", id="MD5"),
        pytest.param("$5$abcdefgh$" + "a" * 43, id="SHA-256"),
        pytest.param("$6$rounds=10000$abcdefgh$" + "a" * 86, id="SHA-512"),
        pytest.param(BCRYPT, id="bcrypt"),
        pytest.param(SHA, id="SHA"),
        pytest.param(SSHA, id="SSHA"),
    ],
)
def test_hashes(digest: str) -> None:
    assert forms.users(f"joe:{digest}") == (("joe", digest),)


@pytest.mark.parametrize(
    ("digest", "why"),
    [
        pytest.param("hunter2", "(write what openssl passwd -apr1 prints;", id="password"),
        pytest.param("", "in a Compose file, $$ for each $)", id="nothing"),
        pytest.param(APR1.replace("$", ""), "no hash that nginx knows", id="eaten by Compose"),
        pytest.param("{PLAIN}hunter2", "no hash that nginx knows", id="plain"),
        pytest.param("Jr1zRrYbDVWkU", "no hash that nginx knows", id="DES"),
        pytest.param(SHA[:-1], "no hash that nginx knows", id="SHA cut off"),
        pytest.param(SSHA.replace("SSHA", "SHA"), "no hash that nginx knows", id="SHA with a salt"),
        pytest.param(SHA.replace("SHA", "SSHA"), "no hash that nginx knows", id="SSHA without a salt"),
        pytest.param(BCRYPT.replace("05", "12"), "takes nginx too long", id="bcrypt too dear"),
        pytest.param("$5$rounds=100001$a$" + "a" * 43, "takes nginx too long", id="SHA-256 too dear"),
        pytest.param("$6$rounds=999999$a$" + "a" * 86, "rounds at most 100000)", id="SHA-512 too dear"),
    ],
)
def test_what_is_no_hash_is_not_shown(digest: str, why: str) -> None:
    with pytest.raises(BadValueError) as caught:
        forms.users({"joe": digest})
    assert why in str(caught.value)
    assert "'joe'" in str(caught.value)
    assert not digest or digest not in str(caught.value)


def test_a_password_in_the_place_of_a_name_is_not_shown() -> None:
    with pytest.raises(BadValueError) as caught:
        forms.users("hunter2!")
    assert "hunter2" not in str(caught.value)


READERS: list[Callable[[Any], object]] = [
    *(forms.switch, forms.size, forms.duration, forms.whole_seconds, forms.networks, forms.users, forms.rate),
    *(forms.redirect, forms.redirect_status, forms.protocol, forms.balance, forms.one_host),
    *(forms.https, forms.missing, forms.policy, forms.verify_client, forms.certificate),
]
TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789.:/mkgrs{}$;\"'\\ \n", max_size=20),
    st.from_regex(r"\A(https?://)?[a-z0-9$;{}-]{0,8}(\.test)?(:[0-9]{0,6})?/?\n?\Z"),
    st.from_regex(r"\A(max-age=[0-9]{1,3}|[A-Za-z]{1,8})([;{} ]{0,2}preload)?\n?\Z"),
    st.from_regex(r"\Ahash:(header|cookie|uri):[A-Za-z0-9$;_-]{0,8}\n?\Z"),
)


@pytest.mark.parametrize("read", READERS)
@given(text=TEXT)
def test_only_harmless_text_gets_through(read: Callable[[Any], object], text: str) -> None:
    """What is refused is said on one line."""
    try:
        value = read(text)
    except BadValueError as exc:
        said = str(exc)
        assert said.isprintable()
        return
    assert re.fullmatch(r"[\w ().,:/='\[\]-]*", str(value), re.ASCII)


@given(pairs=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_only_printable_headers_get_through(pairs: dict[str, str]) -> None:
    try:
        headers = forms.request_headers(pairs)
    except BadValueError as exc:
        said = str(exc)
        assert said.isprintable()
        return
    assert all(re.fullmatch(r"[\w-]+ [ -~]*", " ".join(pair), re.ASCII) for pair in headers)
