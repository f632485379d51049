"""nginx-proxy's settings, one by one: what each may say, and which say what is not done here.

Every reader raises `BadValueError` with the value, the reason and what to write instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.routing import forms

if TYPE_CHECKING:
    from collections.abc import Callable

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
_NO_TLS = "has no effect yet: all hosts are on http only (put TLS servers of your own into http.d)"


class LeftOutError(BadValueError):
    """A setting keeps out those whom we would serve: to go on without it would open what is closed."""


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


def _refusing(why: str, *, fine: tuple[str, ...] = ()) -> Callable[[str], None]:
    """Return a reader that takes only what is so anyway."""

    def read(text: str) -> None:
        if text.lower() not in fine:
            raise BadValueError(f"{values.shown(text)} {why}")

    return read


def _https_method(text: str) -> None:
    if text.lower() == "nohttp":
        raise LeftOutError(
            "'nohttp' leaves its hosts out: all hosts are on http only yet (take it away to serve them there)"
        )
    _refusing(_NO_TLS)(text)


def _verify_client(text: str) -> None:
    if text.lower() == "on":
        raise LeftOutError(
            "'on' leaves its hosts out: without TLS yet, no client shows a certificate"
            " (take it away to serve everybody)"
        )
    _refusing(_NO_TLS, fine=("off",))(text)


NOT_DONE: dict[str, Callable[[str], None]] = {
    "CERT_NAME": _refusing(_NO_TLS),
    "HSTS": _refusing(_NO_TLS, fine=("off",)),
    "HTTPS_METHOD": _https_method,
    "SERVER_TOKENS": _refusing(
        "is not done for one host (write server_tokens off; to a file in http.d, for all)", fine=("on",)
    ),
    "SSL_POLICY": _refusing(_NO_TLS),
    f"{PREFIX}debug-endpoint": _refusing("is not done (ask proxyconf status)", fine=("false",)),
    f"{PREFIX}http2.enable": _refusing(_NO_TLS, fine=("false",)),
    f"{PREFIX}http3.enable": _refusing(_NO_TLS, fine=("false",)),
    f"{PREFIX}non-get-redirect": _refusing(_NO_TLS),
    f"{PREFIX}ssl_verify_client": _verify_client,
    f"{PREFIX}trust-default-cert": _refusing(_NO_TLS),
}
"""Settings of which at most some values are so anyway, with a reader that refuses the others."""

DECISIVE = frozenset(
    {
        *("VIRTUAL_PORT", "VIRTUAL_PROTO", "VIRTUAL_PATH", "VIRTUAL_DEST", "VIRTUAL_ROOT"),
        "NETWORK_ACCESS",
    }
)
"""Those that say where requests go, or whose may."""

_KNOWN = {
    *("VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS"),
    *(f"{PREFIX}keepalive", f"{PREFIX}loadbalance"),
    *DECISIVE,
    *NOT_DONE,
}
LABELS = frozenset(name for name in _KNOWN if name.startswith(PREFIX))
VARIABLES = frozenset(_KNOWN - LABELS)
