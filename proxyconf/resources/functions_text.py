"""Template functions on texts: confd's, and those of its fork. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from proxyconf.resources import paths
from proxyconf.resources.arguments import TEXT_MAX, count, integer, items, refused, text

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTES = "surrogateescape"  # how a value's bytes that are no UTF-8 get through
# a word of "fooBar", "HTTPServer" or "x2Y": what starts with capitals, or goes up to the next capital
_WORD = re.compile(r"[A-Z]+(?![a-z])[^A-Z]*|[A-Z]?[^A-Z]+|[A-Z]")
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


def base(path: object) -> str:
    """Return a path's last element."""
    return paths.base(text(path))


def dir(path: object) -> str:  # noqa: A001 - confd's name
    """Return a path without its last element, cleaned."""
    return paths.folder(text(path))


def split(value: object, separator: object) -> list[str]:
    """Return the parts between separators; with "" as the separator, the characters."""
    whole, at = text(value), text(separator)
    return whole.split(at) if at else list(whole)


def join(values: object, separator: object) -> str:
    """Return all *values*, with the separator between them."""
    return text(separator).join([text(value) for value in items(values)])


def contains(value: object, part: object) -> bool:
    """Return whether *part* is in the text."""
    return text(part) in text(value)


def replace(value: object, old: object, new: object, n: object = -1) -> str:
    """Return the text with the first *n* *old* as *new*; all of them where *n* is negative."""
    return text(value).replace(text(old), text(new), integer(n))


def trim_suffix(value: object, suffix: object) -> str:
    """Return the text without *suffix* at its end."""
    return text(value).removesuffix(text(suffix))


def trim_prefix(value: object, prefix: object) -> str:
    """Return the text without *prefix* at its start."""
    return text(value).removeprefix(text(prefix))


def to_upper(value: object) -> str:
    """Return the text in upper case."""
    return text(value).upper()


def to_lower(value: object) -> str:
    """Return the text in lower case."""
    return text(value).lower()


def base64_encode(value: object) -> str:
    """Return the text's bytes in base64."""
    return base64.b64encode(text(value).encode(errors=_BYTES)).decode("ascii")


def base64_decode(value: object) -> str:
    """Return what the base64 text holds; line ends in it don't matter."""
    plain = re.sub(r"[\r\n]", "", text(value))
    try:
        return base64.b64decode(plain, validate=True).decode(errors=_BYTES)
    except ValueError as exc:
        raise refused(value, f"is no base64 ({exc})") from exc


def indent(spaces: object, value: object) -> str:
    """Return the text with *spaces* before each line; "" stays empty."""
    padding, whole = " " * count(spaces, at_most=1000), text(value)
    return padding + whole.replace("\n", f"\n{padding}") if whole else ""


def nindent(spaces: object, value: object) -> str:
    """Return a line end and the indented text."""
    return "\n" + indent(spaces, value)


def quote(value: object) -> str:
    r"""Return the text in double quotes, with \\, \", \n and the like; for nginx there is nginx_quote."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join([escapes.get(each) or _printable(each) for each in text(value)]) + '"'


def squote(value: object) -> str:
    """Return the text between single quotes, otherwise as it is."""
    return f"'{text(value)}'"


def regex_match(pattern: object, value: object) -> bool:
    """Return whether the regular expression is found in the text."""
    return _regex(text(pattern)).search(text(value)) is not None


def regex_find(pattern: object, value: object) -> str:
    """Return what the regular expression finds first, or ""."""
    found = _regex(text(pattern)).search(text(value))
    return found[0] if found else ""


def regex_replace_all(pattern: object, value: object, replacement: object) -> str:
    """Return the text with every match replaced; ``$1`` or ``${name}`` is a group, ``$$`` a dollar sign."""
    new = text(replacement)

    def replaced(match: re.Match[str]) -> str:
        return _REFERENCE.sub(lambda found: _group(match, found[1] or found[2]), new)

    return _regex(text(pattern)).sub(replaced, text(value))


def repeat(times: object, value: object) -> str:
    """Return the text, *times* over."""
    whole = text(value)
    return whole * count(times, at_most=TEXT_MAX // max(len(whole), 1))


def nospace(value: object) -> str:
    """Return the text without white space."""
    return "".join(text(value).split())


def snakecase(value: object) -> str:
    """Return ``some_words`` for ``someWords``, ``SomeWords`` or ``some words``."""
    return "_".join([word.lower() for word in _words(value)])


def kebabcase(value: object) -> str:
    """Return ``some-words``; see `snakecase`."""
    return "-".join([word.lower() for word in _words(value)])


def camelcase(value: object) -> str:
    """Return ``someWords``; see `snakecase`."""
    first, *rest = _words(value) or [""]
    return first.lower() + "".join([word.capitalize() for word in rest])


def sha256sum(value: object) -> str:
    """Return the SHA-256 of the text's bytes in hexadecimal."""
    return hashlib.sha256(text(value).encode(errors=_BYTES)).hexdigest()


TEXT: dict[str, Callable[..., Any]] = {
    "base": base,
    "dir": dir,
    "split": split,
    "join": join,
    "contains": contains,
    "replace": replace,
    "trimSuffix": trim_suffix,
    "trimPrefix": trim_prefix,
    "toUpper": to_upper,
    "toLower": to_lower,
    "base64Encode": base64_encode,
    "base64Decode": base64_decode,
    "indent": indent,
    "nindent": nindent,
    "quote": quote,
    "squote": squote,
    "regexMatch": regex_match,
    "regexFind": regex_find,
    "regexReplaceAll": regex_replace_all,
    "repeat": repeat,
    "nospace": nospace,
    "snakecase": snakecase,
    "kebabcase": kebabcase,
    "camelcase": camelcase,
    "sha256sum": sha256sum,
}


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@lru_cache(maxsize=256)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as exc:
        raise refused(pattern, f"is no regular expression ({exc})") from exc


def _group(match: re.Match[str], name: str | None) -> str:
    """Return a group, "" where there is none of that name; None is for a dollar sign."""
    if name is None:
        return "$"
    try:
        return match[int(name) if name.isdigit() else name] or ""
    except IndexError:
        return ""


def _words(value: object) -> list[str]:
    return [word for part in re.split(r"[ _-]+", text(value)) for word in _WORD.findall(part)]
