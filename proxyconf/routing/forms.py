"""What an option may be set to: a label's text, or what JSON has in its place, to the canonical value. Pure.

Every function raises `BadValueError` with the value, the reason and the mend. None shows a header's value, a
password or its hash: what is taken for a hash is often the password itself.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, get_args

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.options import Https, Missing, Policy, Rate
from proxyconf.units import Network, Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxyconf.options import Pairs

PROTOCOLS = ("http", "https", "grpc", "grpcs", "fastcgi", "uwsgi")
HTTPS = get_args(Https)
POLICIES = get_args(Policy)
VERIFY_CLIENT = ("off", "on", "optional", "optional_no_ca")
BALANCES = ("round_robin", "least_conn", "ip_hash", "hash:client", "hash:uri")
REDIRECTS = (301, 302, 307, 308)

_DAY_S = 86_400
_SIZE_MAX = 1 << 50
_PER_MINUTE_MAX = 1_000_000
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
_SIZE = re.compile(r"([0-9]{1,16})([KMGkmg]?)")
_SHIFT = {"": 0, "k": 10, "m": 20, "g": 30}
_RATE = re.compile(r"([1-9][0-9]{0,6})r/([sm])")
_NETWORK = re.compile(r"[0-9A-Fa-f:./]+")  # no zone, which ipaddress would take
_REDIRECT = re.compile(r"(https?)://([^/:?#@\[\]]+)(?::([0-9]+))?/?")
_HASH_OF_HEADER = re.compile(r"hash:header:[A-Za-z0-9-]{1,64}")
_HASH_OF_COOKIE = re.compile(r"hash:cookie:[A-Za-z0-9_]{1,64}")  # what the name of a variable may have
_CERTIFICATE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,249}")
_USER = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_CRYPT = re.compile(
    r"\$(?:apr1|1)\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}"
    r"|\$5\$(?:rounds=(?P<five>[0-9]{4,9})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(?:rounds=(?P<six>[0-9]{4,9})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
    r"|\$2[aby]\$(?P<bcrypt>[0-9]{2})\$[./0-9A-Za-z]{53}"
)
_DIGEST = re.compile(r"\{(S?)SHA\}([A-Za-z0-9+/]{27,88}={0,2})")
_SHA1_BYTES = 20
# nginx reckons the hash for every request, in a worker that serves nobody else meanwhile: 61 and 26 ms
_BCRYPT_COST_MAX, _ROUNDS_MAX = 10, 100_000
# of RFC 9110's tokens those that are names of headers anywhere, and that nginx takes as they are
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEADER_VALUE = re.compile(r"[ -~]*")
# what is left of nginx's 4,096 bytes for a token; quoted, a dollar sign takes 12 of them
_HEADER_VALUE_MAX = 3_900
_OF_THE_CONNECTION = dict.fromkeys(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization"),
    ),
    "belongs to one connection, which nginx looks after",
) | {"content-length": "is a matter of the body, which nginx looks after"}
_NOT_FOR_REQUESTS = _OF_THE_CONNECTION | {
    "host": "is how the endpoint knows the site: it gets the one that was asked for",
    "proxy": "is taken away from every request, for programs take it for a setting",
}
_NOT_FOR_RESPONSES = _OF_THE_CONNECTION | dict.fromkeys(
    ("content-type", "date", "server"), "is in every answer already, and would be there twice"
)


def switch(value: str | bool) -> bool:  # noqa: FBT001 - a value, no switch of ours
    """Return whether it is on."""
    if isinstance(value, bool):
        return value
    found = _SWITCH.get(value.lower())
    if found is None:
        raise BadValueError(f'{values.shown(value)} is neither "true" nor "false"')
    return found


def number(at_least: int, at_most: int) -> Callable[[str | int], int]:
    """Return a reader of numbers."""
    allowed = range(at_least, at_most + 1)
    return lambda value: values.number(value, allowed, "number")


def size(value: str | int) -> int:
    """Return a number of bytes, which may be written as nginx writes it."""
    # clipped, for Python refuses to print a number of thousands of digits
    text = value if isinstance(value, str) else str(max(-1, min(value, _SIZE_MAX + 1)))
    found = _SIZE.fullmatch(text)
    size_bytes = int(found[1]) << _SHIFT[found[2].lower()] if found else -1
    if not 0 <= size_bytes <= _SIZE_MAX:
        raise BadValueError(
            f'{values.shown(text)} is no size (write "512k", "50m" or "1g", or bytes; 0 for any)'
        )
    return size_bytes


def duration(text: str) -> float:
    """Return seconds, from a millisecond to a day."""
    seconds = _seconds(text)
    if not 0.001 <= seconds <= _DAY_S:
        raise BadValueError(f"{values.shown(text)} is no time to wait for (from 1ms to 1d)")
    return seconds


def whole_seconds(text: str) -> float:
    """Return seconds, from one to those of a day; nginx knows no parts of one here."""
    seconds = _seconds(text)
    if not (1 <= seconds <= _DAY_S and seconds.is_integer()):
        raise BadValueError(f"{values.shown(text)} is no number of whole seconds (from 1s to 1d)")
    return seconds


def _seconds(text: str) -> float:
    try:
        return float(Seconds.parse(text))
    except ValueError:
        raise BadValueError(
            f'{values.shown(text)} is no duration (write "250ms", "10s", "5m" or "1h")'
        ) from None


def networks(value: str | list[str]) -> tuple[str, ...]:
    """Return addresses and networks, in CIDR notation, each once, sorted."""
    found = {_network(one) for one in words(value)}
    if not found:
        raise BadValueError('no network is named (write "10.0.0.0/8" or "192.0.2.7")')
    return tuple(sorted(found))


def _network(text: str) -> str:
    try:
        if _NETWORK.fullmatch(text):
            return str(Network.parse(text))
    except ValueError as exc:
        if "host bits" in str(exc):
            short, _, bits = text.partition("/")
            raise BadValueError(
                f'{values.shown(text)} is an address within a network (write "{short}" for it alone,'
                f" or the network's own first address before /{bits})"
            ) from None
    raise BadValueError(f'{values.shown(text)} is no network (write "10.0.0.0/8" or "192.0.2.7")')


def users(value: str | Mapping[str, str]) -> Pairs:
    """Return names and password hashes, by name: from ``joe:HASH,ann:HASH``, or by name."""
    if isinstance(value, str):
        pairs = [(name, digest) for name, _, digest in (one.partition(":") for one in words(value))]
    else:
        pairs = list(value.items())
    if not pairs:
        raise BadValueError("nobody is named (write joe:HASH, the HASH by openssl passwd -apr1)")
    for name, digest in pairs:
        if not _USER.fullmatch(name):
            # it is not shown: where a colon is missing, it is the password
            raise BadValueError(
                "one user's name is none (write NAME:HASH; letters, digits and ._@+- in the NAME, at most 64)"
            )
        _check_hash(name, digest)
    if len({name for name, _ in pairs}) < len(pairs):
        raise BadValueError("a user is named twice (delete one)")
    return tuple(sorted(pairs))


def _check_hash(name: str, digest: str) -> None:
    found = _CRYPT.fullmatch(digest)
    if not found and not _is_digest(digest):
        raise BadValueError(
            f"the password of {name!r} is no hash that nginx knows (write what openssl passwd -apr1 prints;"
            " in a Compose file, $$ for each $)"
        )
    cost = int(found["bcrypt"] or 0) if found else 0
    rounds = int(found["five"] or found["six"] or 0) if found else 0
    if cost > _BCRYPT_COST_MAX or rounds > _ROUNDS_MAX:
        raise BadValueError(
            f"the hash of {name!r} takes nginx too long, for it is reckoned for every request"
            f" (bcrypt's cost at most {_BCRYPT_COST_MAX}, rounds at most {_ROUNDS_MAX})"
        )


def _is_digest(text: str) -> bool:
    """Whether it is a SHA-1 in base64, with its salt behind it where there is one."""
    found = _DIGEST.fullmatch(text)
    if not found or len(found[2]) % 4:
        return False
    length = len(base64.b64decode(found[2]))
    return length > _SHA1_BYTES if found[1] else length == _SHA1_BYTES


def request_headers(value: Mapping[str, str]) -> Pairs:
    """Return names and values, by name, of what the endpoint gets; an empty value takes the header away."""
    return _headers(value, _NOT_FOR_REQUESTS)


def response_headers(value: Mapping[str, str]) -> Pairs:
    """Return names and values, by name, of what the client gets."""
    for name, text in value.items():
        if not text.strip():
            raise BadValueError(f"{values.shown(name)} has no value (delete it)")
    return _headers(value, _NOT_FOR_RESPONSES)


def _headers(value: Mapping[str, str], refused: Mapping[str, str]) -> Pairs:
    pairs = sorted((name, text.strip()) for name, text in value.items())
    if not pairs:
        raise BadValueError('no header is named (write {"X-Name": "value"})')
    for name, text in pairs:
        if not _HEADER.fullmatch(name):
            raise BadValueError(
                f"{values.shown(name)} is no header's name (letters, digits and -, at most 64)"
            )
        if why := refused.get(name.lower()):
            raise BadValueError(f"{name} {why} (delete it)")
        if not _HEADER_VALUE.fullmatch(text):
            raise BadValueError(f"{name}: the value has more than printable ASCII (remove the rest)")
        if len(text) + 11 * text.count("$") + text.count('"') + text.count("\\") > _HEADER_VALUE_MAX:
            raise BadValueError(f"{name}: the value is too long (nginx takes {_HEADER_VALUE_MAX} bytes)")
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise BadValueError("a header is named twice, but for upper and lower case (delete one)")
    return tuple(pairs)


def rate(text: str) -> Rate:
    """Return how many requests one client may make."""
    found = _RATE.fullmatch(text)
    per_minute = int(found[1]) * (60 if found[2] == "s" else 1) if found else 0
    if not 1 <= per_minute <= _PER_MINUTE_MAX:
        raise BadValueError(
            f'{values.shown(text)} is no rate (write "10r/s" or "90r/m", at most {_PER_MINUTE_MAX}r/m)'
        )
    return Rate(per_minute)


def redirect(text: str) -> str:
    """Return scheme and host, and a port where it is named."""
    found = _REDIRECT.fullmatch(text)
    if not found:
        raise BadValueError(
            f"{values.shown(text)} is nowhere to redirect to (write https://other.example.com: path and query"
            " of the request are put behind it)"
        )
    return f"{found[1]}://{one_host(found[2])}" + (f":{values.port(found[3])}" if found[3] else "")


def redirect_status(value: str | int) -> int:
    """Return the status of a redirect."""
    status = values.number(value, range(300, 400), "status of a redirect")
    if status not in REDIRECTS:
        raise BadValueError(f"{status} is no status to redirect with ({', '.join(map(str, REDIRECTS))})")
    return status


def https(text: str) -> str:
    """Return where a host with a certificate is."""
    return _one_of(text, HTTPS, "is no place for a host")


def missing(text: str) -> str:
    """Return what a host without a certificate has."""
    return _one_of(text, get_args(Missing), "is nothing that a host can have without a certificate")


def policy(text: str) -> str:
    """Return which TLS clients may speak."""
    return _one_of(text, POLICIES, "is no policy for TLS")


def verify_client(text: str) -> str:
    """Return whether clients show a certificate; "" for off."""
    found = _one_of(text, VERIFY_CLIENT, "does not say whether clients show a certificate")
    return "" if found == "off" else found


def _one_of(text: str, known: tuple[str, ...], what: str) -> str:
    if text not in known:
        raise BadValueError(f"{values.shown(text)} {what} ({values.spelling(text, known)})")
    return text


def certificate(text: str) -> str:
    """Return the name of a certificate: of its files, without their endings."""
    if not _CERTIFICATE.fullmatch(text):
        raise BadValueError(
            f"{values.shown(text)} is no name of a certificate"
            " (write the name of its files without .crt: letters, digits and ._-)"
        )
    return text


def network(text: str) -> str:
    """Return the name of one of the engine's networks."""
    if not text:
        raise BadValueError("no network is named (write its name, as the engine lists it)")
    return text


def protocol(text: str) -> str:
    """Return how the endpoints are spoken to."""
    if text in PROTOCOLS:
        return text
    hint = values.spelling(text, PROTOCOLS)
    if text.lower() in ("ws", "wss", "websocket", "websockets"):
        hint = "write http, or https: websockets need nothing more"
    raise BadValueError(f"{values.shown(text)} is no protocol ({hint})")


def balance(text: str) -> str:
    """Return how the requests are shared; header names, which have no case, in lower case."""
    if text in BALANCES or _HASH_OF_COOKIE.fullmatch(text):
        return text
    if _HASH_OF_HEADER.fullmatch(text):
        return text.lower()
    hint = values.spelling(text, (*BALANCES, "hash:header:NAME", "hash:cookie:NAME"))
    if text.startswith("hash:header:"):
        hint = "a header's name: letters, digits and -, at most 64"
    elif text.startswith("hash:cookie:"):
        hint = "the name of a cookie: letters, digits and _, at most 64, as nginx can name it"
    raise BadValueError(f"{values.shown(text)} is no way to share requests ({hint})")


def one_host(text: str) -> str:
    """Return the name of one host."""
    name = values.host(text)
    if name.startswith("*"):
        raise BadValueError(f"{values.shown(text)} names no one host (write it without *)")
    return name


def stripped(value: str | bool) -> str:  # noqa: FBT001 - a value, no switch of ours
    """Return the path that takes the place of the route's own: ``/``, or none."""
    return "/" if switch(value) else ""


def words(value: str | list[str]) -> list[str]:
    """Return what a list has: a text is parted by commas and white space."""
    return [one for one in re.split(r"[,\s]+", value) if one] if isinstance(value, str) else value
