"""Typed values to tokens: with `writing`, a writer that cannot emit a raw string.

A value reaches nginx only as a `Token`, and only this module makes tokens: each function here checks one type
of value by a full match, or quotes. Text of our own code is a literal, the first argument of `directive` and
`block`; it may hold nothing that ends a token or a directive.

Everything here raises `BadValueError` for a value that is not of its type. These checks count, not
``nginx -t``: that one lets most break-outs pass.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from proxyconf.errors import BadValueError
from proxyconf.values import PLAIN_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DOLLAR = "${pc_dollar}"  # the root file defines it: nginx has no escape for a dollar sign
TOKEN_BYTES_MAX = 4_000  # nginx reads 4,096 bytes at a time and refuses a token that does not fit into them
# C0, DEL and C1: with \r\n inside quotes a header value once split a response
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# no white space, quotes, backslash, semicolon, braces or comment sign: what ends a token or a directive
_LITERAL = re.compile(r"[\w.:/$~*=^@+()<>\[\]?-]+(?: [\w.:/$~*=^@+()<>\[\]?-]+)*", re.ASCII)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_ADDRESS = re.compile(r"(?:([0-9.]{7,15})|\[([0-9a-f:.]{2,45})\]):([1-9][0-9]{0,4})")
_LISTEN = re.compile(r"(?:[0-9.]{7,15}:|\[[0-9a-f:.]{2,45}\]:)?([1-9][0-9]{0,4})")
_IDENTIFIER = re.compile(r"[a-z_]+")
_USER = re.compile(r"[a-zA-Z_][\w.-]{0,31}", re.ASCII)
_PAGE = re.compile(r"p-[0-9a-f]{16}\.html")
_VARIABLE = re.compile(r"\$[a-z0-9_]+")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_PARAMETER = re.compile(r"[A-Z_]+")
_COOKIE = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_URL = re.compile(rf"(?:https?:)?//(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::[1-9][0-9]{{0,4}})?")
# nothing that is quoted in a URL, and no $
_NEW_PATH = re.compile(r"(?:/[A-Za-z0-9._~@:+,=-]+)*/?", re.ASCII)
_STATUSES = frozenset({301, 302, 303, 307, 308})


class UnquotableError(BadValueError):
    """A text can't be quoted.

    Attributes:
        reason: Why, without the text, which may be a password.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"value {text[:40]!r}: {reason}")
        self.reason = reason


class Token(str):
    """One token of nginx's configuration, safe as it is. Made in this module only."""

    __slots__ = ()


def word(text: str) -> Token:
    """Return a literal of our own code as a token."""
    return Token(literal(text))


def switch(*, on: bool) -> Token:
    """Return ``on`` or ``off``."""
    return Token("on" if on else "off")


def quote(text: str) -> Token:
    """Quote *text* where nginx expands variables, such as a header's value or a body; ``$`` stays itself."""
    return _quoted(text, _escaped(text).replace("$", DOLLAR))


def quote_plain(text: str) -> Token:
    """Quote *text* where nginx expands no variables, such as a location's path or a file."""
    return _quoted(text, _escaped(text))


def host_name(text: str) -> Token:
    """Return a ``server_name``: lower-case ASCII, at most 253 bytes, with an optional leading ``*.``."""
    return matching(_HOST, text, "host name", "write it in lower case, in IDNA form")


def location(path: str) -> Token:
    """Return a location's path, which starts with a slash; it is compared with the DECODED request path."""
    if not path.startswith("/"):
        # without the slash it could be a modifier: "=", "~", "^~" or "@"
        raise BadValueError(f"path {path!r}: does not start with a slash (write '/app')")
    return quote_plain(path)


def endpoint(text: str) -> Token:
    """Return ``ip:port`` in canonical form: no names, no unix sockets, no ``127.1``."""
    if PLAIN_ADDRESS.fullmatch(text):
        return Token(text)
    found = _ADDRESS.fullmatch(text)
    try:
        if found and int(found[3]) < 65536:
            if found[1]:
                return Token(f"{ipaddress.IPv4Address(found[1])}:{found[3]}")
            return Token(f"[{ipaddress.IPv6Address(found[2])}]:{found[3]}")
    except ValueError:
        pass
    raise BadValueError(f"address {text!r}: no IP address and port (write '10.0.0.1:80' or '[fd00::1]:80')")


def listen(text: str) -> Token:
    """Return what ``listen`` takes: a port, or an address and a port."""
    return matching(_LISTEN, text, "address to listen on", "write '80', '127.0.0.1:80' or '[::]:80'")


def network(text: str) -> Token:
    """Return an address or network in CIDR notation."""
    try:
        return Token(ipaddress.ip_network(text))
    except ValueError as exc:
        raise BadValueError(f"network {text!r}: {exc} (write '10.0.0.0/8')") from None


def number(value: int, *, at_most: int) -> Token:
    """Return *value*, 0 to *at_most*."""
    if not 0 <= value <= at_most:
        raise BadValueError(f"number {value!r}: not from 0 to {at_most}")
    return Token(int(value))


def weight(value: int) -> Token:
    """Return ``weight=N``, 1 to 1000; a huge one makes nginx allocate as much."""
    if not 1 <= value <= 1000:
        raise BadValueError(f"weight {value!r}: not from 1 to 1000")
    return Token(f"weight={int(value)}")


def duration(seconds: float) -> Token:
    """Return *seconds* to the millisecond, as ``10s`` or ``250ms``; at most 365 days."""
    milliseconds = round(seconds * 1000)
    if not 0 <= milliseconds <= 365 * 86_400_000:
        raise BadValueError(f"duration {seconds!r} s: not from 0 to 365 days")
    whole, rest = divmod(milliseconds, 1000)
    return Token(f"{milliseconds}ms" if rest else f"{whole}s")


def identifier(text: str) -> Token:
    """Return the name of a directive."""
    return matching(_IDENTIFIER, text, "directive", "write lower-case letters and underscores")


def user_name(text: str) -> Token:
    """Return the name of a system user."""
    return matching(_USER, text, "user", "write 'www-data'")


def file(path: Path | str) -> Token:
    """Return a file's name; ``*``, ``?`` and ``[`` (a pattern to ``include``) and ``$`` are refused."""
    if found := re.search(r"[*?\[$]", str(path)):
        raise BadValueError(f"file {str(path)!r}: nginx gives {found[0]!r} a meaning (use another folder)")
    return quote_plain(str(path))


def files(folder: Path) -> Token:
    """Return the pattern of all ``*.conf`` of *folder*, which may be empty or absent."""
    return Token(f'{file(folder)[:-1]}/*.conf"')


def upstream(service: str) -> Token:
    """Return the name of a service's upstream, hash first.

    nginx compares all names of equal length with each other, from their start: 10,000 names with a common
    beginning take it 7.0 s, these 1.3 s.
    """
    readable = re.sub(r"[^a-z0-9.-]", "_", service.lower()[:40], flags=re.ASCII)
    return Token(f"{hashlib.sha256(_encoded(service)).hexdigest()[:12]}_{readable}")


def proxy_target(service: str, path: str = "", *, tls: bool = False) -> Token:
    """Return what ``proxy_pass`` takes.

    Args:
        service: The service's name.
        path: Takes the place of the location's. "": nginx passes the request's path on as it came.
        tls: The endpoints speak HTTPS.
    """
    return Token(f"{'https' if tls else 'http'}://{upstream(service)}{_new_path(path)}")


def grpc_target(service: str, *, tls: bool) -> Token:
    """Return what ``grpc_pass`` takes."""
    return Token(f"{'grpcs' if tls else 'grpc'}://{upstream(service)}")


def http_target(address: str) -> Token:
    """Return what ``proxy_pass`` takes to pass requests on to one *address*."""
    return Token(f"http://{endpoint(address)}")


def rewriting(path: str, replacement: str) -> tuple[Token, Token]:
    """Return what ``rewrite`` takes to put *replacement* in the place of *path*; ``/`` stands for nothing."""
    start, new = re.escape(path.rstrip("/")), _new_path(replacement).rstrip("/")
    # (?s): a dot is a line end, too, or a path with %0A would be passed on as it came
    pattern = f"(?s)^{start}(.*)$" if new else f"(?s)^{start}/?(.*)$"
    return quote_plain(pattern), Token(f'"{new}$1"' if new else '"/$1"')


def header_name(text: str) -> Token:
    """Return the name of a header."""
    return matching(_HEADER, text, "header", "write letters, digits and hyphens")


def parameter(text: str) -> Token:
    """Return the name of a parameter for a program that is spoken to by FastCGI or uwsgi."""
    return matching(_PARAMETER, text, "parameter", "write capital letters and underscores")


def header_parameter(text: str) -> Token:
    """Return the name that the header *text* has for a program that is spoken to by FastCGI or uwsgi."""
    return Token(f"HTTP_{header_name(text).upper().replace('-', '_')}")


def header_variable(text: str) -> Token:
    """Return the variable that has the value of a request's header."""
    return Token(f"$http_{header_name(text).lower().replace('-', '_')}")


def cookie_variable(text: str) -> Token:
    """Return the variable that has the value of a cookie."""
    return Token(f"$cookie_{matching(_COOKIE, text, 'cookie', 'write letters, digits and underscores')}")


def size(count: int) -> Token:
    """Return *count* bytes; 0 is no limit."""
    return number(count, at_most=1 << 50)


def rate(per_minute: int) -> Token:
    """Return requests per minute, 1 to a million."""
    if not 1 <= per_minute <= 1_000_000:
        raise BadValueError(f"rate {per_minute!r} a minute: not from 1 to 1000000")
    return Token(f"{int(per_minute)}r/m")


def zone(*settings: str) -> Token:
    """Return the name of a shared memory zone: a digest of everything that it is for.

    nginx keeps a zone across a reload, and refuses the reload (not the check) where its key changed.
    """
    return Token(f"pc_{hashlib.sha256(_encoded(chr(0).join(settings))).hexdigest()[:16]}")


def sized_zone(name: Token, *, megabytes: int) -> Token:
    """Return a zone's name with its size."""
    return Token(f"{_token(name)}:{number(megabytes, at_most=1024)}m")


def setting(name: str, value: Token) -> Token:
    """Return ``name=value``; *name* is a literal of our own code."""
    return Token(f"{literal(name)}={_token(value)}")


def listed(*variables: Token) -> Token:
    """Return the value of a header that is a list: *variables*, with a comma between them."""
    return Token(f'"{", ".join(_variable(variable) for variable in variables)}"')


def status(code: int) -> Token:
    """Return the status of a redirect."""
    if code not in _STATUSES:
        raise BadValueError(f"status {code!r}: no redirect (write one of {sorted(_STATUSES)})")
    return Token(int(code))


def redirect(url: str) -> Token:
    """Return *url*, which has neither path nor query, with those of the request behind it.

    One without a scheme, ``//www.example.com``, keeps the request's, and its port.
    """
    start = matching(_URL, url, "URL", "write 'https://www.example.com', without a path")
    return Token(f"$scheme:{start}$pc_port$request_uri" if start[0] == "/" else f"{start}$request_uri")


def https_target(port: int) -> Token:
    """Return where on https a request is sent, to the host that it is for."""
    return Token(f"https://$host{f':{int(port)}' if port != 443 else ''}$request_uri")


def script_file(folder: str) -> Token:
    """Return the file of the script that a request is for, below *folder*."""
    return Token(f'{script_root(folder)[:-1]}$fastcgi_script_name"')


def script_root(folder: str) -> Token:
    """Return *folder*, an absolute path where the program is, not where nginx is."""
    if not folder.startswith("/"):
        raise BadValueError(f"root {folder!r}: not absolute (write '/var/www/html')")
    return quote(folder.rstrip("/"))


def page(name: str, *, later: bool = False) -> Token:
    """Return where an error page is, by the name of its part; *later* is for those of a maintenance."""
    file = matching(_PAGE, name, "page", "this is our own mistake")
    return Token(f"/.proxyconf-errors/{'later/' if later else ''}{file}")


def page_files(folder: Path) -> Token:
    """Return how the names of all error pages in *folder* begin."""
    return Token(f'{file(folder)[:-1]}/p-"')


def json_object(texts: Mapping[str, Token], numbers: Mapping[str, Token]) -> Token:
    """Return what ``log_format`` takes for one JSON object a line; needs its ``escape=json``.

    Args:
        texts: Name to variable; all of them texts.
        numbers: The same, of those that are numbers at all times.
    """
    pairs = [f'"{identifier(name)}":"{_variable(value)}"' for name, value in texts.items()]
    pairs += [f'"{identifier(name)}":{_variable(value)}' for name, value in numbers.items()]
    return Token("'{" + ",".join(pairs) + "}'")


def _new_path(text: str) -> str:
    if not _NEW_PATH.fullmatch(text):
        raise BadValueError(
            f"path {text!r}: not allowed (write letters, digits and ._~@:+,=- between slashes)"
        )
    return text


def _token(value: Token) -> Token:
    """Refuse what mypy would have refused: the last line of defence is worth 50 ns."""
    if type(value) is not Token:
        raise TypeError(f"{value!r} is no token: quote it")
    return value


@lru_cache(maxsize=256)  # our own code has few of them, and writes each a thousand times
def literal(text: str) -> str:
    """Return *text* of our own code, which holds nothing that ends a token or a directive."""
    if not _LITERAL.fullmatch(text):
        raise TypeError(f"{text!r} is no literal: pass its values as tokens")
    return text


def _variable(value: Token) -> Token:
    return matching(_VARIABLE, _token(value), "variable", "write '$host'")


def matching(pattern: re.Pattern[str], text: str, what: str, hint: str) -> Token:
    """Return *text* as a token, if the whole of it is what *pattern* allows."""
    if not pattern.fullmatch(text):
        raise BadValueError(f"{what} {text!r}: not allowed ({hint})")
    return Token(text)


def _quoted(text: str, escaped: str) -> Token:
    if len(_encoded(escaped)) > TOKEN_BYTES_MAX:
        raise UnquotableError(text, f"is longer than {TOKEN_BYTES_MAX} bytes (shorten it)")
    return Token(f'"{escaped}"')


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def printable(text: str) -> str:
    """Return *text*, if it is one line that can be shown."""
    if found := _CONTROL.search(text):
        raise UnquotableError(text, f"has the control character {found[0]!r} (remove it)")
    return text


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnquotableError(text, "is not Unicode text (remove the lone surrogate)") from None
