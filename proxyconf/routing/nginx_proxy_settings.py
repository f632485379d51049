"""nginx-proxy's settings, one by one: what each may say, and which say what is not done here.

Every reader raises `BadValueError` with the value, the reason and what to write instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.routing import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxyconf.options import Https, Missing, Policy, VerifyClient

PREFIX = "com.github.nginx-proxy.nginx-proxy."
INTERNAL = ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
DEFAULT_PORT = 80
DEFAULT_ROOT = "/var/www/public"
Protocol = Literal["http", "https", "grpc", "grpcs", "fastcgi", "uwsgi"]

_KEEPALIVE_MAX = 10_000
_HASHES = {
    "$remote_addr": "hash:client",
    "$binary_remote_addr": "hash:client",
    "$request_uri": "hash:uri",
}
_HTTPS: Mapping[str, Https] = {
    "redirect": "redirect",
    "noredirect": "both",
    "nohttp": "only",
    "nohttps": "off",
}
_POLICIES: Mapping[str, Policy] = {"Mozilla-Modern": "modern", "Mozilla-Intermediate": "intermediate"}


def host(text: str) -> str:
    """Return one host of VIRTUAL_HOST."""
    if text.startswith("~"):
        raise BadValueError(
            f"{values.shown(text)} is a regular expression, which no route takes"
            " (write the hosts themselves, or *.example.com for all below one)"
        )
    if text.endswith(".*"):
        hint = values.shown(f"{text[:-1]}com,{text[:-1]}net")
        raise BadValueError(f"{values.shown(text)} leaves the end open (write all that are meant: {hint})")
    if text.startswith("."):
        hint = values.shown(f"{text[1:]},*{text}")
        raise BadValueError(f"{values.shown(text)} stands for two (write both: {hint})")
    return values.host(text)


def path(text: str) -> str:
    """Return VIRTUAL_PATH."""
    if text.startswith(("~", "=", "^", "@")):
        raise BadValueError(
            f"{values.shown(text)} is nginx's own syntax, and only a plain prefix is taken"
            " (write /api; for several, use VIRTUAL_HOST_MULTIPORTS)"
        )
    return values.path(text)


def protocol(text: str) -> Protocol:
    """Return VIRTUAL_PROTO; like nginx, it minds no case."""
    return cast("Protocol", forms.protocol(text.lower()))


def access(text: str) -> tuple[str, ...]:
    """Return the networks that NETWORK_ACCESS lets in; none for all."""
    if text.lower() not in ("internal", "external"):
        raise BadValueError(f'{values.shown(text)} is neither "internal" nor "external"')
    return INTERNAL if text.lower() == "internal" else ()


def keepalive(text: str) -> int | None:
    """Return how many idle connections the label asks for; None for as many as is the rule here."""
    if text.lower() in ("auto", "disabled"):
        return None if text.lower() == "auto" else 0
    return values.number(text, range(_KEEPALIVE_MAX + 1), 'number of connections, "auto" or "disabled"')


def balance(text: str) -> str:
    """Return the balance that one of nginx's own directives stands for; every hash is a consistent one."""
    words = text.rstrip("; \t").split()
    if words in (["ip_hash"], ["least_conn"]):
        return words[0]
    if words[:1] != ["hash"] or words[2:] not in ([], ["consistent"]):
        raise BadValueError(
            f"{values.shown(text)} is no directive that is known"
            " (write ip_hash;, least_conn;, or hash $remote_addr consistent;)"
        )
    key = "".join(words[1:2])
    if key in _HASHES:
        return _HASHES[key]
    kind, _, name = key.partition("_")
    if kind == "$http":
        return forms.balance(f"hash:header:{name.replace('_', '-')}")
    if kind == "$cookie":
        return forms.balance(f"hash:cookie:{name}")
    raise BadValueError(
        f"{values.shown(text)} hashes what is not known"
        " (write $remote_addr, $request_uri, $http_NAME or $cookie_NAME; in a Compose file, $$ for $)"
    )


def https(text: str) -> Https:
    """Return where HTTPS_METHOD has a host that has a certificate."""
    found = _HTTPS.get(text.lower())
    if found is None:
        raise BadValueError(f"{values.shown(text)} is no method ({values.spelling(text, _HTTPS)})")
    return found


def policy(text: str) -> Policy:
    """Return which TLS SSL_POLICY asks for."""
    if text not in _POLICIES:
        raise BadValueError(
            f"{values.shown(text)} is not there: [nginx.tls] policy counts"
            f" (there are {' and '.join(_POLICIES)})"
        )
    return _POLICIES[text]


def server_tokens(text: str) -> bool:
    """Return whether SERVER_TOKENS has nginx tell its version."""
    if text.lower() not in ("on", "off"):
        raise BadValueError(
            f'{values.shown(text)} is neither "on" nor "off", and [nginx] server_tokens counts'
        )
    return text.lower() == "on"


def verify_client(text: str) -> VerifyClient:
    """Return whether clients must, or may, show a certificate."""
    return cast("VerifyClient", forms.verify_client(text.lower()))


def missing(text: str) -> Missing:
    """Return what a host has without a certificate: the default one, if that is to be trusted."""
    return "default" if forms.switch(text) else "http"


def _refusing(why: str, *, so: bool = False) -> Callable[[str], None]:
    """Return a reader that takes nothing but what is *so* anyway: off, or on."""

    def read(text: str) -> None:
        if forms.switch(text) is not so:
            raise BadValueError(f"{values.shown(text)} {why}")

    return read


NOT_DONE: dict[str, Callable[[str], None]] = {
    f"{PREFIX}debug-endpoint": _refusing("is not done (ask proxyconf status)"),
    "ENABLE_HTTP_ON_MISSING_CERT": _refusing(
        "is not done: without a certificate the host is on http (write HTTPS_METHOD=nohttp, by which it is on"
        " https only, and answers 503 without one)",
        so=True,
    ),
    f"{PREFIX}http3.enable": _refusing("is not done: there is HTTP/2 at most (take it away)"),
}
"""Settings that are known, and not done, with a reader that refuses what is not so anyway."""

DECISIVE = frozenset(
    {
        *("VIRTUAL_PORT", "VIRTUAL_PROTO", "VIRTUAL_PATH", "VIRTUAL_DEST", "VIRTUAL_ROOT"),
        *("NETWORK_ACCESS", "HTTPS_METHOD", f"{PREFIX}ssl_verify_client"),
    }
)
"""Those that say where requests go, or whose may, and whether in plain sight."""

_KNOWN = {
    *("VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS"),
    *("CERT_NAME", "HSTS", "SERVER_TOKENS", "SSL_POLICY"),
    *(f"{PREFIX}{label}" for label in ("keepalive", "loadbalance", "http2.enable")),
    *(f"{PREFIX}{label}" for label in ("non-get-redirect", "trust-default-cert")),
    *DECISIVE,
    *NOT_DONE,
}
LABELS = frozenset(name for name in _KNOWN if name.startswith(PREFIX))
VARIABLES = frozenset(_KNOWN - LABELS)
