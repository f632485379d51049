r"""Untrusted text to canonical values: what a source says to what may go into nginx's configuration. Pure.

Every function returns a canonical value, which it would return unchanged if given it again, or raises
`BadValueError` with the value, the reason and the mend. Only listed ASCII characters ever get through; in
nginx's configuration white space, quotes, ``;``, ``{``, ``}``, ``$`` and ``\`` have a meaning, and none of
them is on a list.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import TYPE_CHECKING

import idna

from proxyconf.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Iterable

WEIGHTS = range(1, 1001)
PORTS = range(1, 65536)

_SHOWN = 80
_HOST_LIMIT = 253
_PATH_LIMIT = 512
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"/[A-Za-z0-9._~@:+,=/-]*")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# an IPv4 address and a port that can only be written like this: ten times faster than to parse it
PLAIN_ADDRESS = re.compile(
    rf"{_OCTET}(?:\.{_OCTET}){{3}}:"
    r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
)
_SPECIAL = re.compile(r"(?:0|22[4-9]|2[3-5][0-9])\.")  # may be of no one server
_ADDRESS = re.compile(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]):([0-9]+)")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_HSTS = re.compile(r"max-age=([0-9]{1,10})|(includesubdomains)|(preload)", re.IGNORECASE)
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# msgspec's words for a value of another type than its key wants
_BOUND = re.compile(r"Expected `(?:int|float)` (>=|<=|>|<) (\S+)")
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_WRITE = {
    "bool": "write true or false, without quotes",
    "int": "write a number, without quotes",
    "float": "write a number, without quotes",
    "str": "write a text, in quotes",
    "array": 'write a list: ["one", "two"]',
}
_TYPE = re.compile(rf"expected ({'|'.join(_WRITE)})(?:, got .*)?")


def shown(value: object) -> str:
    """Return *value* as a message shows it: by repr, on one line, shortened to some 80 characters."""
    # cut first, for it may be megabytes
    text = repr(value[: _SHOWN + 1] if isinstance(value, str | bytes) else value)
    if isinstance(value, str) and value[: _SHOWN + 1].isprintable():
        text = text.replace(r"\\", "\\")  # a regular expression is shown as it was written
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]}...{text[-1]}"


def spelling(word: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown *word*: the likely one of the *known*, else all of them.

    Of two that are equally near, the one that is known first.
    """
    words, given = list(known), word[:_SHOWN].lower()
    near = difflib.get_close_matches(given, words, n=len(words) or 1)
    if near:
        likely = max(words, key=lambda one: difflib.SequenceMatcher(None, one, given).ratio())
        return f"did you mean {likely!r}?"
    return "known: " + ", ".join(sorted(words))


def type_reason(reason: str) -> str:
    """Return why a value is not of its type, with the mend, from what msgspec says of it."""
    if found := _BOUND.fullmatch(reason):
        return f"must be {_BOUNDS[found[1]]} {float(found[2]):g}"
    plain = (reason[:1].lower() + reason[1:]).replace("`", "")
    found = _TYPE.fullmatch(plain)
    return f"{plain} ({_WRITE[found[1]]})" if found else plain


def toml_hint(error: Exception) -> str:
    """Return what may be the matter with a text that the parser refuses as TOML; "" where nobody knows."""
    return "is a quote not closed?" if r"Illegal character '\n'" in str(error) else ""


def host(text: str) -> str:
    """Return the host name *text* in lower-case ASCII (IDNA), without a final dot.

    It may start with ``*.``, may have underscores (container names do, and browsers and nginx take them),
    and may be an IPv4 address. It has no port and is no regular expression.

    Raises:
        BadValueError: It is no host name.
    """
    raw = text.removesuffix(".")
    star = "*." if raw.startswith("*.") else ""
    rest = raw.removeprefix(star)
    if len(raw) > _HOST_LIMIT:  # before IDNA, whose work grows with it
        raise _bad_host(text, f"at most {_HOST_LIMIT} characters")
    plain = rest.isascii() and "xn--" not in rest.lower()
    name = star + (rest.lower() if plain else _to_ascii(rest, text))
    if len(name) > _HOST_LIMIT:
        raise _bad_host(text, f"at most {_HOST_LIMIT} characters")
    labels = name.removeprefix(star).split(".")
    if not all(map(_LABEL.fullmatch, labels)) or not re.search("[a-z0-9]", labels[-1]):
        raise _bad_host(text, _host_hint(rest))
    if _NUMBER.fullmatch(labels[-1]) and not _is_ipv4(name):
        raise _bad_host(text, "browsers take a name that ends with a number for an IPv4 address")
    return name


def path(text: str) -> str:
    """Return the path *text*, which starts with a slash, without one at its end (but for the root, ``/``).

    It is a prefix of the decoded path, compared as it is, in ASCII.

    Raises:
        BadValueError: It is no path.
    """
    hint = ""
    if "%" in text:
        hint = "nginx compares with the decoded path, so write it without %"
    elif not text.startswith("/"):
        hint = "start it with /"
    elif len(text) > _PATH_LIMIT:
        hint = f"at most {_PATH_LIMIT} characters"
    elif not _PATH.fullmatch(text):
        hint = "a plain prefix: letters, digits and ._~@:+,=-/ only"
    elif "//" in text or {".", ".."} & set(text.split("/")):
        hint = "nginx merges // and resolves . and .. before it compares"
    if hint:
        raise BadValueError(f"{shown(text)} is no path ({hint})")
    return text.removesuffix("/") or "/"


def address(text: str) -> str:
    """Return *text*, an IP address and a port, as ``ip:port`` or ``[ip]:port``.

    A name would have to be resolved by nginx at every reload, and one that does not resolve fails everything.
    Unspecified, broadcast and multicast addresses are no servers.

    Raises:
        BadValueError: It is no such address.
    """
    if PLAIN_ADDRESS.fullmatch(text) and not _SPECIAL.match(text):
        return text
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise BadValueError(f'{shown(text)} is no address (write "10.0.0.1:8080" or "[fd00::1]:8080")')
    ip = _ip(text, found[1] or found[2])
    number = port(found[3])
    return f"{ip}:{number}" if ip.version == 4 else f"[{ip}]:{number}"


def port(value: str | int) -> int:
    """Return the port *value*, 1 to 65535.

    Raises:
        BadValueError: It is none.
    """
    return number(value, PORTS, "port")


def weight(value: str | int) -> int:
    """Return the weight *value*, 1 to 1000.

    Raises:
        BadValueError: It is none.
    """
    return number(value, WEIGHTS, "weight")


def service_name(text: str) -> str:
    """Return *text*, a service's name.

    Raises:
        BadValueError: It is none.
    """
    if not _SERVICE.fullmatch(text):
        raise BadValueError(
            f"{shown(text)} is no name of a service (letters, digits and ._-, at most 128,"
            " a letter or digit first)"
        )
    return text


def hsts(text: str) -> str:
    """Return what the header Strict-Transport-Security is to say; "" for ``off``.

    Raises:
        BadValueError: It is no value of that header.
    """
    if text.lower() == "off":
        return ""
    found = [_HSTS.fullmatch(one.strip()) for one in text.rstrip("; ").split(";")]
    ages = [one[1] for one in found if one and one[1]]
    if None in found or len(ages) != 1:
        raise BadValueError(
            f'{shown(text)} is nothing that Strict-Transport-Security says (write "max-age=31536000",'
            ' and "; includeSubDomains" or "; preload" behind it, or "off")'
        )
    others = [any(one and one[group] for one in found) for group in (2, 3)]
    said = [f"max-age={int(ages[0])}"]
    said += [name for name, is_said in zip(("includeSubDomains", "preload"), others, strict=True) if is_said]
    return "; ".join(said)


def number(value: str | int, allowed: range, what: str) -> int:
    """Return *value*, one of the numbers that are *allowed*; *what* it is, for the message.

    Raises:
        BadValueError: It is none of them.
    """
    # clipped, for Python refuses to print a number of thousands of digits
    text = value if isinstance(value, str) else str(max(-1, min(value, 10**10)))
    # no leading zero, which some read as octal; no sign, no space, no other script's digits
    if not re.fullmatch(r"0|[1-9][0-9]{0,9}", text) or int(text) not in allowed:
        raise BadValueError(f"{shown(text)} is no {what} (a number from {allowed[0]} to {allowed[-1]})")
    return int(text)


def _to_ascii(name: str, text: str) -> str:
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError as exc:  # IDNAError is one
        raise BadValueError(f"{shown(text)} is no host name ({shown(str(exc))[1:-1]})") from exc


def _host_hint(rest: str) -> str:
    if rest.startswith("[") or rest.count(":") > 1:
        return "no IPv6 address is a host: write a name; [nginx] default_host has what is asked for by none"
    hints = {
        ",": "one name: a second one takes a second route",
        ":": "without a port",
        "/": "without scheme and path",
        "*": "* only as the whole first part: *.example.com",
        "~": "regular expressions are not understood",
    }
    return next(
        (hint for sign, hint in hints.items() if sign in rest),
        "dot-separated parts of 1 to 63 letters, digits and -, for example app.example.com",
    )


def _bad_host(text: str, hint: str) -> BadValueError:
    return BadValueError(f"{shown(text)} is no host name ({hint})")


def _is_ipv4(name: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(name)) == name
    except ValueError:
        return False


def _ip(text: str, literal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        ip = ipaddress.ip_address(literal)
    except ValueError as exc:
        raise BadValueError(f"{shown(text)} is no address ({shown(str(exc))[1:-1]})") from exc
    if ip.version == 6 and ip.ipv4_mapped:
        # one server should have one address, or it counts twice
        raise BadValueError(f"{shown(text)} is an IPv4 address in disguise (write {ip.ipv4_mapped})")
    if ip.is_unspecified or ip.is_multicast or ip == _BROADCAST:
        raise BadValueError(f"{shown(text)} is not the address of one server (write its own)")
    return ip
