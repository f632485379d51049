"""What template functions are given, and how a wrong one is told. Knows no engine.

An engine may hand over its own stand-ins for what is undefined: they speak for themselves when they are read.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from proxyconf.errors import BadValueError, ProxyconfError
from proxyconf.resources.pairs import Pair, key_of
from proxyconf.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable

SEQUENCE_MAX = 100_000  # as Jinja's range; a number out of a key must not eat our memory
TEXT_MAX = 10_000_000
_KINDS = {str: "a text", Pair: "a pair", Mapping: "a dictionary", Iterable: "a list"}


class FunctionError(ProxyconfError):
    """A template function can't do what it is asked for. Message: ``function object: reason (hint)``.

    Attributes:
        reason: Why, and the mend.
        about: The object: a key, or what else may be shown. No text that may be a secret; then it is "".
    """

    def __init__(self, reason: str, about: str = "") -> None:
        super().__init__(f"{about}: {reason}" if about else reason)
        self.reason = reason
        self.about = about


def refused(value: object, reason: str) -> FunctionError:
    """Return the error that *value* "is no number" or the like: it names its key, else its kind."""
    key = key_of(value)
    return FunctionError(reason, repr(key)) if key else FunctionError(f"{_kind(value)} {reason}")


def name_of(key: object) -> str:
    """Return an argument that is the name of something as a message shows it."""
    return repr(key_of(key)) if key_of(key) else shown(key)


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* so that its errors are a `FunctionError` that says its name, and the key."""

    @wraps(function)
    def call(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - any function
        try:
            return function(*args, **more)
        except FunctionError as exc:
            raise FunctionError(exc.reason, f"{name} {exc.about}".rstrip()) from exc
        except (BadValueError, TypeError, ValueError, ArithmeticError, LookupError) as exc:
            key = key_of(args[0]) if args else ""
            reason = _mismatch(name, function, args, more) or str(exc)
            raise FunctionError(reason, f"{name} {key!r}" if key else name) from exc

    call.__name__ = name
    return call


def text(value: object) -> str:
    """Return *value*, a text or number, as a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise refused(value, f"is no text{' (write its .Value)' if isinstance(value, Pair) else ''}")


def integer(value: object) -> int:
    """Return *value*, a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise refused(value, f"is no whole number{' (write atoi(...))' if isinstance(value, str) else ''}")


def count(value: object, *, at_most: int) -> int:
    """Return *value*, a whole number from 0 to *at_most*."""
    number = integer(value)
    if not 0 <= number <= at_most:
        raise FunctionError(f"{number} is not from 0 to {at_most}")
    return number


def items(value: object) -> list[Any]:
    """Return *value*, a list or another sequence that is no text, as a list."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return list(value)
    raise refused(value, "is no list")


def mapping(value: object) -> Mapping[Any, Any]:
    """Return *value*, a dictionary."""
    if isinstance(value, Mapping):
        return value
    raise refused(value, "is no dictionary")


def is_empty(value: object) -> bool:
    """Return whether *value* is nothing, false, 0, or has no content."""
    return value is None or not value


def _kind(value: object) -> str:
    """Return what a value is, without what is in it."""
    written = str(value)  # before the type is looked at: what is undefined raises its own error here
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return written.lower()
    known = (name for kind, name in _KINDS.items() if isinstance(value, kind))
    return next(known, f"a {type(value).__name__}")


def _mismatch(name: str, function: Callable[..., Any], args: tuple[Any, ...], more: Mapping[str, Any]) -> str:
    """Return that the number or names of arguments are wrong, and the right form; "" if they are well."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **more)
    except TypeError as mismatch:
        form = ", ".join(
            f"[{each.name}]" if each.default is not each.empty else each.name
            for each in signature.parameters.values()
        )
        return f"{mismatch} (write {name}({form}))"
    return ""
