"""What a route may ask for: one table for labels and keys, and what its options come to together.

A label ``proxyconf.NAME`` and a field ``NAME`` of ``routes/<name>`` are the same option. docs/labels.md shows
this table; a test holds it to that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.options import NONE, LocationOptions, Options, ServiceOptions
from proxyconf.routing import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be asked for.

    Attributes:
        of: Whose option it is: the route's alone, or the service's.
        field: Where its value goes in `LocationOptions` or `ServiceOptions`.
        read: Makes the value of what a label, or JSON, says; raises `BadValueError`.
        json: What JSON may have.
        type: What a label may have, in words.
        default: In words.
        example: Of a label's value.
        meaning: In a line.
        is_keyed: A label has one pair of it: ``proxyconf.request_header.X-Name = value``.
    """

    of: Literal["location", "service"]
    field: str
    read: Callable[[Any], object]
    json: Any
    type: str
    default: str
    example: str
    meaning: str
    is_keyed: bool = False


class OptionError(BadValueError):
    """An option says what can't be, together with the others.

    Attributes:
        option: Its name.
    """

    def __init__(self, option: str, why: str) -> None:
        super().__init__(why)
        self.option = option


def options_of(
    asked: Mapping[str, Any],
    path: str,
    *,
    own: Container[str] | None = None,
    spell: Callable[[str], str] = str,
) -> Options:
    """Return what *asked*, option to value as it was read, comes to; the very object `NONE` for nothing.

    Args:
        asked: What counts for the route.
        path: The route's.
        own: Options that must have an effect, or None for all of them; the others are shared by several
            routes, and count where they have one.
        spell: Writes an option, or "path", in a message.

    Raises:
        OptionError: One has no effect beside the others, or contradicts one of them.
    """
    if not asked:
        return NONE
    idle = set()
    for option, is_so, why in (*_clashes(asked, path, spell), *_service_clashes(asked, spell)):
        if is_so and option in asked:
            if own is None or option in own:
                raise OptionError(option, why)
            idle.add(option)
    location, service = (
        {OPTIONS[name].field: asked[name] for name in asked.keys() - idle if OPTIONS[name].of == of}
        for of in ("location", "service")
    )
    if burst := location.pop("burst", 0):
        location["rate"] = replace(location["rate"], burst=burst)
    found = Options(LocationOptions(**location), ServiceOptions(**service))
    return NONE if found == NONE else found


_Clash = tuple[str, bool, str]
"""An option, whether it is at odds with the others, and how."""


def _clashes(asked: Mapping[str, Any], path: str, spell: Callable[[str], str]) -> tuple[_Clash, ...]:
    new = asked.get("strip") or asked.get("replace", "")
    both = set(asked.get("allow", ())) & set(asked.get("deny", ()))
    delete = "(delete one of them)"
    needless = f"has no effect: the path is {path} already (set {spell('path')})"
    elsewhere = f"has no effect beside {spell('redirect')}, which keeps the request's path {delete}"
    return (
        ("strip", "replace" in asked, f"contradicts {spell('replace')} {delete}"),
        ("strip", new == path, needless),
        ("replace", new == path, needless),
        ("strip", bool(new) and "redirect" in asked, elsewhere),
        ("replace", "redirect" in asked, elsewhere),
        ("deny", bool(both), f"contradicts {spell('allow')}: {', '.join(sorted(both))} is in both {delete}"),
        ("rate_burst", "rate" not in asked, _without(spell("rate"), "10r/s")),
        (
            "redirect_status",
            "redirect" not in asked,
            _without(spell("redirect"), "https://other.example.com"),
        ),
    )


def _service_clashes(asked: Mapping[str, Any], spell: Callable[[str], str]) -> tuple[_Clash, ...]:
    protocol = asked.get("proto", "http")
    plain = protocol not in ("https", "grpcs")
    tls = _without(spell("proto"), "https")
    return (
        ("verify", plain and asked.get("verify", False), tls),
        ("verify_name", plain, tls),
        ("root", protocol != "fastcgi", _without(spell("proto"), "fastcgi")),
    )


def _without(other: str, example: str) -> str:
    return f"has no effect by itself (set {other}, for example to {example})"


_SWITCH: dict[str, Any] = {"json": bool, "type": "`true` or `false`"}
_TEXT: dict[str, Any] = {"json": str}
_TIME: dict[str, Any] = {"json": str, "type": "a time: `500ms`, `10s`, `5m`, `1h`"}
_NETWORKS: dict[str, Any] = {"json": str | list[str], "type": "addresses and networks"}
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
        type=", ".join(f"`{status}`" for status in forms.REDIRECTS),
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

OF_THE_SERVICE = frozenset(name for name, option in OPTIONS.items() if option.of == "service")
