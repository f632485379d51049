"""The filters that templates have beside Jinja's own: confd's functions, and what quotes values for nginx.

A filter takes the value before its bar as its first argument, or as its last one where that is what confd's
argument order is for: ``nindent``, ``repeat``, ``regexFind``, ``regexMatch``, ``ternary``. Of the names that
both have (``default``, ``indent``, ``join``, ``list``, ``map``, ``replace``, ``reverse``) the filter is
Jinja's, and the function confd's: ``names|join(",")`` or ``join(names, ",")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2.filters import FILTERS as OF_JINJA

from proxyconf import values
from proxyconf.nginx import quoting
from proxyconf.resources.arguments import named, refused, text
from proxyconf.resources.functions import PURE

if TYPE_CHECKING:
    from collections.abc import Callable

_VALUE_LAST = ("nindent", "regexFind", "regexMatch", "repeat", "ternary")
_NO_FILTERS = {"coalesce", "dict", "pluck", "regexReplaceAll", "seq", *_VALUE_LAST}


def nginx_quote(value: object) -> str:
    """Return any text as one argument of a directive; nginx can't quote a dollar sign: it is refused."""
    if "$" in text(value):
        raise refused(value, "has a $, a variable to nginx (nginx_quote_plain, where it expands none)")
    return nginx_quote_plain(value)


def nginx_quote_plain(value: object) -> str:
    """Return any text as one argument where nginx expands no variables, such as a location's."""
    return _quoted(quoting.quote_plain, value)


def server_name(value: object) -> str:
    """Return a host name for ``server_name``: lower-case ASCII, perhaps with ``*.`` before it."""
    return quoting.host_name(values.host(text(value)))


def endpoint(value: object) -> str:
    """Return an IP address and port, for ``server`` in an upstream or for ``proxy_pass``."""
    return quoting.endpoint(values.address(text(value)))


def location(value: object) -> str:
    """Return a path for ``location``, quoted."""
    return quoting.location(values.path(text(value)))


def port(value: object) -> str:
    """Return a port, 1 to 65535."""
    return str(values.port(text(value)))


def upstream_name(value: object) -> str:
    """Return an upstream's name for a service of any name: the same one at every place."""
    return _quoted(quoting.upstream, value)


def _quoted(quote: Callable[[str], str], value: object) -> str:
    try:
        return quote(text(value))
    except quoting.UnquotableError as exc:
        raise refused(value, exc.reason) from exc


def _value_last(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(value: object, *args: object) -> object:
        return function(*args, value)

    return call


def _regex_replace_all(value: object, pattern: object, replacement: object) -> object:
    return PURE["regexReplaceAll"](pattern, value, replacement)


_OF_NGINX = (nginx_quote, nginx_quote_plain, server_name, endpoint, location, port, upstream_name)

FILTERS: dict[str, Callable[..., Any]] = {
    **{name: function for name, function in PURE.items() if name not in _NO_FILTERS},
    **{name: _value_last(PURE[name]) for name in _VALUE_LAST},
    "regexReplaceAll": _regex_replace_all,
    **{each.__name__: named(each.__name__, each) for each in _OF_NGINX},
    **OF_JINJA,
}
del FILTERS["random"]  # the same input must give the same bytes
