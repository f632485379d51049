"""What the options of a route come to together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxyconf.errors import BadValueError
from proxyconf.options import NONE, HostOptions, LocationOptions, Options, ServiceOptions
from proxyconf.routing.offered import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping


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
    clashes = (*_clashes(asked, path, spell), *_host_clashes(asked, spell), *_service_clashes(asked, spell))
    for option, is_so, why in clashes:
        if is_so and option in asked:
            if own is None or option in own:
                raise OptionError(option, why)
            idle.add(option)
    location, host, service = (
        {OPTIONS[name].field: asked[name] for name in asked.keys() - idle if OPTIONS[name].of == of}
        for of in ("location", "host", "service")
    )
    if burst := location.pop("burst", 0):
        location["rate"] = replace(location["rate"], burst=burst)
    found = Options(LocationOptions(**location), ServiceOptions(**service), HostOptions(**host))
    return NONE if found == NONE else found


# with "both", the last two have no effect either: a problem (`nginx.tls`), for it leaves nobody unprotected
_OF_HTTPS = ("certificate", "http2", "tls_policy", "verify_client", "hsts", "https_redirect_status")
_IDLE_BESIDE_REDIRECT = ("auth", "allow", "deny", "rate")
_Clash = tuple[str, bool, str]
"""An option, whether it is at odds with the others, and how."""


def _clashes(asked: Mapping[str, Any], path: str, spell: Callable[[str], str]) -> tuple[_Clash, ...]:
    new = asked.get("strip") or asked.get("replace", "")
    both = set(asked.get("allow", ())) & set(asked.get("deny", ()))
    delete = "(delete one of them)"
    needless = f"has no effect: the path is {path} already (set {spell('path')})"
    elsewhere = f"has no effect beside {spell('redirect')}, which keeps the request's path {delete}"
    unasked = f"has no effect beside {spell('redirect')}: nginx redirects before it looks at it {delete}"
    return (
        *((option, "redirect" in asked, unasked) for option in _IDLE_BESIDE_REDIRECT),
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


def _host_clashes(asked: Mapping[str, Any], spell: Callable[[str], str]) -> tuple[_Clash, ...]:
    https = asked.get("https")
    plain = f"has no effect beside {spell('https')}: with 'off', the host is on http only (delete one)"
    return tuple((option, https == "off", plain) for option in _OF_HTTPS)


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
