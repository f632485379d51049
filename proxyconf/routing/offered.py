"""What a route may ask for: one table for labels and keys.

A label ``proxyconf.NAME`` and a field ``NAME`` of ``routes/<name>`` are the same option. docs/labels.md shows
this table; a test holds it to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from proxyconf import values
from proxyconf.routing import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be asked for.

    Attributes:
        of: Whose option it is: the route's alone, its host's or its service's.
        field: Where its value goes in `LocationOptions`, `HostOptions` or `ServiceOptions`.
        read: Makes the value of what a label, or JSON, says; raises `BadValueError`.
        json: What JSON may have.
        type: What a label may have, in words.
        default: In words.
        example: Of a label's value.
        meaning: In a line.
        is_keyed: A label has one pair of it: ``proxyconf.request_header.X-Name = value``.
    """

    of: Literal["location", "host", "service"]
    field: str
    read: Callable[[Any], object]
    json: Any
    type: str
    default: str
    example: str
    meaning: str
    is_keyed: bool = False


_SWITCH: dict[str, Any] = {"json": bool, "type": "`true` or `false`"}
_TEXT: dict[str, Any] = {"json": str}
_TIME: dict[str, Any] = {"json": str, "type": "a time: `500ms`, `10s`, `5m`, `1h`"}
_NETWORKS: dict[str, Any] = {"json": str | list[str], "type": "addresses and networks"}
_REDIRECTS = ", ".join(f"`{status}`" for status in forms.REDIRECTS)
_HEADER: dict[str, Any] = {"json": dict[str, str], "type": "printable ASCII", "is_keyed": True}


def _number(at_least: int, at_most: int) -> dict[str, Any]:
    read = forms.number(at_least, at_most)
    return {"read": read, "json": int, "type": f"a number, {at_least} to {at_most}"}


OPTIONS: Mapping[str, Option] = {
    "strip": Option(
        "location",
        "replace",
        read=forms.stripped,
        **_SWITCH,
        default="`false`",
        example="true",
        meaning="The route's path is taken off before the request goes on.",
    ),
    "replace": Option(
        "location",
        "replace",
        read=values.path,
        **_TEXT,
        type="a path",
        default="none",
        example="/v1",
        meaning="This takes the place of the route's path.",
    ),
    "body_size": Option(
        "location",
        "body_size",
        read=forms.size,
        json=int | str,
        type="a size: `512k`, `50m`, `1g`, or bytes",
        default="nginx's, `1m`",
        example="50m",
        meaning="How large a request's body may be; `0` for any size.",
    ),
    "send_timeout": Option(
        "location",
        "send_timeout",
        read=forms.duration,
        **_TIME,
        default="nginx's, `60s`",
        example="30s",
        meaning="How long the container may take no further piece of a request.",
    ),
    "read_timeout": Option(
        "location",
        "read_timeout",
        read=forms.duration,
        **_TIME,
        default="nginx's, `60s`",
        example="5m",
        meaning="How long it may say nothing: longer for slow answers and quiet websockets.",
    ),
    "buffering": Option(
        "location",
        "buffering",
        read=forms.switch,
        **_SWITCH,
        default="`true`",
        example="false",
        meaning="`false`: an answer goes to the client as it comes, for streams of events.",
    ),
    "request_buffering": Option(
        "location",
        "request_buffering",
        read=forms.switch,
        **_SWITCH,
        default="`true`",
        example="false",
        meaning="`false`: a request's body goes to the container as it comes, for large uploads.",
    ),
    "allow": Option(
        "location",
        "allow",
        read=forms.networks,
        **_NETWORKS,
        default="everybody",
        example="10.0.0.0/8,192.0.2.7",
        meaning="All others get 403.",
    ),
    "deny": Option(
        "location",
        "deny",
        read=forms.networks,
        **_NETWORKS,
        default="nobody",
        example="10.9.0.0/16",
        meaning="These get 403, also where they are within those allowed.",
    ),
    "auth": Option(
        "location",
        "users",
        read=forms.users,
        json=str | dict[str, str],
        type="users, each `NAME:HASH`",
        default="none",
        example="joe:$apr1$kZ3v8Q2x$jtu/9S0OWdF9ywbcTw2tM1",
        meaning="Only these, by name and password (basic authentication).",
    ),
    "request_header": Option(
        "location",
        "request_headers",
        read=forms.request_headers,
        **_HEADER,
        default="none",
        example="blue",
        meaning="The container gets this header; with an empty value, it does not get the client's.",
    ),
    "response_header": Option(
        "location",
        "response_headers",
        read=forms.response_headers,
        **_HEADER,
        default="none",
        example="nosniff",
        meaning="Every answer gets this header.",
    ),
    "rate": Option(
        "location",
        "rate",
        read=forms.rate,
        **_TEXT,
        type="a rate, each second or minute",
        default="any",
        example="10r/s",
        meaning="How many requests one client may make; more get 429.",
    ),
    "rate_burst": Option(
        "location",
        "burst",
        **_number(0, 100_000),
        default="`0`",
        example="20",
        meaning="How many more it may make at once.",
    ),
    "redirect": Option(
        "location",
        "redirect",
        read=forms.redirect,
        **_TEXT,
        type="`http://` or `https://`, host, and port if need be",
        default="none",
        example="https://other.example.com",
        meaning="Every request is sent there, with its path and query; the container gets none.",
    ),
    "redirect_status": Option(
        "location",
        "redirect_status",
        read=forms.redirect_status,
        json=int,
        type=_REDIRECTS,
        default="`301`",
        example="308",
        meaning="How: for good (301, 308) or for now (302, 307); 307 and 308 keep the method.",
    ),
    "maintenance": Option(
        "location",
        "maintenance",
        read=forms.switch,
        **_SWITCH,
        default="`false`",
        example="true",
        meaning="Every request is answered with 503.",
    ),
    "https": Option(
        "host",
        "https",
        read=forms.https,
        **_TEXT,
        type=", ".join(f"`{one}`" for one in forms.HTTPS),
        default="as in `[nginx.tls]`",
        example="both",
        meaning="Where a host with a certificate is: http sent to https, on both, or on one only.",
    ),
    "certificate": Option(
        "host",
        "certificate",
        read=forms.certificate,
        **_TEXT,
        type="a name of the folder of certificates",
        default="the one that fits best",
        example="shared",
        meaning="The host's certificate: `shared.crt` with `shared.key`.",
    ),
    "missing_certificate": Option(
        "host",
        "missing",
        read=forms.missing,
        **_TEXT,
        type="`http`, `default`",
        default="as in `[nginx.tls]`",
        example="default",
        meaning="Without one the host is on http alone, or has the certificate `default`.",
    ),
    "hsts": Option(
        "host",
        "hsts",
        read=values.hsts,
        **_TEXT,
        type="a header's value, or `off`",
        default="as in `[nginx.tls]`",
        example="max-age=31536000; includeSubDomains",
        meaning="Answers on https tell browsers to use it from now on (Strict-Transport-Security).",
    ),
    "http2": Option(
        "host",
        "http2",
        read=forms.switch,
        **_SWITCH,
        default="as in `[nginx.tls]`",
        example="false",
        meaning="Whether https speaks HTTP/2, too.",
    ),
    "tls_policy": Option(
        "host",
        "tls_policy",
        read=forms.policy,
        **_TEXT,
        type=", ".join(f"`{one}`" for one in forms.POLICIES),
        default="as in `[nginx.tls]`",
        example="modern",
        meaning="What must be set there, for all hosts share it: TLS 1.3 only, or 1.2 too. Else a problem.",
    ),
    "https_redirect_status": Option(
        "host",
        "other_redirect_status",
        read=forms.redirect_status,
        json=int,
        type=_REDIRECTS,
        default="`301`",
        example="308",
        meaning="How requests other than GET and HEAD are sent to https; 307 and 308 keep the method.",
    ),
    "verify_client": Option(
        "host",
        "verify_client",
        read=forms.verify_client,
        **_TEXT,
        type=", ".join(f"`{one}`" for one in forms.VERIFY_CLIENT),
        default="`off`",
        example="on",
        meaning="Whether clients must, or may, show a certificate: see the folder of certificates.",
    ),
    "www": Option(
        "host",
        "www",
        read=forms.switch,
        **_SWITCH,
        default="`false`",
        example="true",
        meaning="The host's name with `www.` (or without, if it has that) is redirected to it.",
    ),
    "server_tokens": Option(
        "host",
        "server_tokens",
        read=forms.switch,
        **_SWITCH,
        default="as in `[nginx]`",
        example="true",
        meaning="Whether nginx tells its version.",
    ),
    "proto": Option(
        "service",
        "protocol",
        read=forms.protocol,
        **_TEXT,
        type=", ".join(f"`{protocol}`" for protocol in forms.PROTOCOLS),
        default="`http`",
        example="https",
        meaning="How the container is spoken to. Websockets are `http`.",
    ),
    "verify": Option(
        "service",
        "verify",
        read=forms.switch,
        **_SWITCH,
        default="`false`",
        example="true",
        meaning="With `https` and `grpcs`: its certificate must be good.",
    ),
    "verify_name": Option(
        "service",
        "name",
        read=forms.one_host,
        **_TEXT,
        type="a host name",
        default="the request's host",
        example="backend.internal",
        meaning="With `https` and `grpcs`: the name it is asked for, and must have a certificate of.",
    ),
    "root": Option(
        "service",
        "root",
        read=values.path,
        **_TEXT,
        type="a path",
        default="none",
        example="/var/www/html",
        meaning="With `fastcgi`, which needs it: the folder of the scripts, in the container.",
    ),
    "balance": Option(
        "service",
        "balance",
        read=forms.balance,
        **_TEXT,
        type=", ".join(f"`{one}`" for one in (*forms.BALANCES, "hash:header:NAME", "hash:cookie:NAME")),
        default="`round_robin`",
        example="least_conn",
        meaning="How requests are shared; by `ip_hash` and `hash` what is equal stays with one container.",
    ),
    "keepalive": Option(
        "service",
        "keepalive",
        **_number(0, 10_000),
        default="as in `[nginx]`",
        example="64",
        meaning="Idle connections that each worker keeps; `0` for none.",
    ),
    "max_fails": Option(
        "service",
        "max_fails",
        **_number(0, 1_000),
        default="nginx's, `1`",
        example="3",
        meaning="After so many failures within `fail_timeout` a container is left out as long; `0`: never.",
    ),
    "fail_timeout": Option(
        "service",
        "fail_timeout",
        read=forms.whole_seconds,
        json=str,
        type="a time, in whole seconds: `10s`, `5m`",
        default="nginx's, `10s`",
        example="30s",
        meaning="See `max_fails`.",
    ),
}
"""By name."""

PROTECTING = ("auth", "allow", "deny", "verify_client")
"""What keeps strangers out of a route."""

OF_THE_SERVICE = frozenset(name for name, option in OPTIONS.items() if option.of == "service")

SPELLED: Mapping[tuple[str, str], str] = {(option.of, option.field): name for name, option in OPTIONS.items()}
"""Whose option, and its field, to its name."""
