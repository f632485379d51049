"""Template functions on numbers, lists, dictionaries and JSON: confd's, and those of its fork. Pure.

Whole numbers are whole, and divide towards zero; a number in JSON prints as it is written there.
"""

from __future__ import annotations

import json as standard_json
import re
from typing import TYPE_CHECKING, Any, Self, TypeVar

from proxyconf.resources.arguments import (
    SEQUENCE_MAX,
    FunctionError,
    integer,
    is_empty,
    items,
    mapping,
    refused,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
T = TypeVar("T")

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INT64 = range(-(2**63), 2**63)


class Written(float):
    """A number of JSON with a point or an exponent: counts as a float, prints as it is written."""

    __slots__ = ("_text",)

    def __new__(cls, written: str) -> Self:
        """Read a number."""
        number = super().__new__(cls, written)
        number._text = written
        return number

    _text: str

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number in JSON")


_DECODER = standard_json.JSONDecoder(parse_float=Written, parse_constant=_refuse)
_FITTING: dict[type, str] = {dict: "json", list: "jsonArray"}
_PLAIN = standard_json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_PRETTY = standard_json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, indent=2)


def json(value: object) -> dict[str, Any]:
    """Return the dictionary that a JSON object is; ``null`` is an empty one."""
    return _read(value, dict, "object")


def json_array(value: object) -> list[Any]:
    """Return the list that a JSON array is; ``null`` is an empty one."""
    return _read(value, list, "array")


def from_json(value: object) -> object:
    """Return what any JSON says."""
    return _parsed(value)


def to_json(value: object) -> str:
    """Return JSON in one line, names sorted."""
    return _PLAIN.encode(value)


def to_pretty_json(value: object) -> str:
    """Return JSON in several lines, indented by two spaces, names sorted."""
    return _PRETTY.encode(value)


def make_map(*pairs: object, **more: object) -> dict[str, Any]:
    """Return a dictionary of names and values in turn; one argument may be a dictionary or pairs."""
    if len(pairs) == 1 and not isinstance(pairs[0], str):
        made: dict[str, Any] = dict(pairs[0])  # type: ignore[call-overload] # a TypeError says it
    elif len(pairs) % 2:
        raise FunctionError("the last name has no value (write name, value, name, value)")
    else:
        made = {text(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
    return made | more


def make_list(*values: object) -> list[object]:
    """Return the arguments as a list."""
    return list(values)


def append(values: object, value: object) -> list[Any]:
    """Return the list with one value more."""
    return [*items(values), value]


def has_key(values: object, key: object) -> bool:
    """Return whether the dictionary has that name."""
    return key in mapping(values)


def keys(values: object) -> list[str]:
    """Return a dictionary's names, sorted."""
    return sorted(mapping(values))


def values_of(values: object) -> list[Any]:
    """Return a dictionary's values, by their names."""
    return [mapping(values)[key] for key in keys(values)]


def pluck(key: object, *dictionaries: object) -> list[Any]:
    """Return what each dictionary has under that name; those without it are passed over."""
    return [each[key] for each in map(mapping, dictionaries) if key in each]


def reverse(values: object) -> list[Any]:
    """Return the list from its end."""
    return items(values)[::-1]


def sort_by_length(values: object) -> list[str]:
    """Return the texts, shorter ones first; equally long ones stay in their order."""
    return sorted([text(value) for value in items(values)], key=len)


def sort_pairs_by_length(pairs: object) -> list[Any]:
    """Return the pairs, those with shorter keys first; equally long ones stay in their order."""
    return sorted(items(pairs), key=lambda pair: len(pair.key))


def seq(first: object, last: object) -> list[int]:
    """Return the whole numbers from *first* to *last*, both included."""
    start, stop = integer(first), integer(last) + 1
    if stop - start > SEQUENCE_MAX:
        raise FunctionError(f"more than {SEQUENCE_MAX} numbers, up to {stop - 1}")
    return list(range(start, stop))


def atoi(value: object) -> int:
    """Return the whole number that a text is."""
    written = text(value)
    if not _INTEGER.fullmatch(written) or int(written) not in _INT64:
        raise refused(value, "is no whole number (digits only, perhaps with a sign)")
    return int(written)


def parse_bool(value: object) -> bool:
    """Return whether a text says yes: 1, t, true, or no: 0, f, false."""
    written = text(value)
    if written not in _TRUE | _FALSE:
        raise refused(value, "is neither true nor false (write one of these, or 1 or 0)")
    return written in _TRUE


def add(a: object, b: object) -> int:
    """Return the sum."""
    return integer(a) + integer(b)


def sub(a: object, b: object) -> int:
    """Return the difference."""
    return integer(a) - integer(b)


def mul(a: object, b: object) -> int:
    """Return the product."""
    return integer(a) * integer(b)


def div(a: object, b: object) -> int:
    """Return the quotient, towards zero."""
    dividend, divisor = integer(a), integer(b)
    if divisor == 0:
        raise FunctionError("division by zero")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def mod(a: object, b: object) -> int:
    """Return what `div` leaves over: of the sign of *a*."""
    return integer(a) - div(a, b) * integer(b)


def default(instead: object, value: object) -> object:
    """Return *value*, or *instead* where it is empty."""
    return instead if is_empty(value) else value


def ternary(yes: object, no: object, condition: object) -> object:
    """Return *yes* where the condition holds, else *no*."""
    return yes if condition else no


def coalesce(*values: object) -> object:
    """Return the first value that is not empty, or null."""
    return next((value for value in values if not is_empty(value)), None)


DATA: dict[str, Callable[..., Any]] = {
    "json": json,
    "jsonArray": json_array,
    "fromJson": from_json,
    "toJson": to_json,
    "toPrettyJson": to_pretty_json,
    "map": make_map,
    "dict": make_map,
    "list": make_list,
    "append": append,
    "hasKey": has_key,
    "keys": keys,
    "values": values_of,
    "pluck": pluck,
    "reverse": reverse,
    "sortByLength": sort_by_length,
    "sortKVByLength": sort_pairs_by_length,
    "seq": seq,
    "atoi": atoi,
    "parseBool": parse_bool,
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "mod": mod,
    "default": default,
    "ternary": ternary,
    "coalesce": coalesce,
    "empty": is_empty,
}


def _parsed(value: object) -> Any:  # noqa: ANN401 - any JSON
    try:
        return _DECODER.decode(text(value))
    except (ValueError, RecursionError) as exc:
        raise refused(value, f"is no JSON ({exc})") from exc


def _read(value: object, kind: type[T], name: str) -> T:
    found = _parsed(value)
    if found is None:
        return kind()
    if not isinstance(found, kind):
        raise refused(value, f"is JSON, but no {name} (use {_FITTING.get(type(found), 'fromJson')})")
    return found
