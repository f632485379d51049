"""What template functions are given, and how a wrong one is told. Knows no engine.

An engine may hand over its own stand-ins for what is undefined: they speak for themselves when they are read.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from proxyconf.errors import BadValueError, ProxyconfError
from proxyconf.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable

SEQUENCE_MAX = 100_000  # as Jinja's range; a number out of a key must not eat our memory
TEXT_MAX = 10_000_000


class FunctionError(ProxyconfError):
    """A template function can't do what it is asked for. Message: ``function object: reason (hint)``."""


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* so that its errors are a `FunctionError` that says its name and first argument."""

    @wraps(function)
    def call(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - any function
        try:
            return function(*args, **more)
        except (FunctionError, BadValueError, TypeError, ValueError, ArithmeticError, LookupError) as exc:
            raise FunctionError(_told(name, function, args, more, exc)) from exc

    call.__name__ = name
    return call


def text(value: object) -> str:
    """Return *value*, a text or number, as a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    written = str(value)  # before the type is looked at: what is undefined raises its own error here
    if isinstance(value, int | float):
        return written
    raise FunctionError(f"{_seen(value)} is no text")


def integer(value: object) -> int:
    """Return *value*, a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    hint = f" (write atoi({shown(value)}))" if isinstance(value, str) else ""
    raise FunctionError(f"{_seen(value)} is no whole number{hint}")


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
    raise FunctionError(f"{_seen(value)} is no list")


def mapping(value: object) -> Mapping[Any, Any]:
    """Return *value*, a dictionary."""
    if isinstance(value, Mapping):
        return value
    raise FunctionError(f"{_seen(value)} is no dictionary")


def is_empty(value: object) -> bool:
    """Return whether *value* is nothing, false, 0, or has no content."""
    return value is None or not value


def _seen(value: object) -> str:
    return "null" if value is None else shown(value)


def _told(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    more: Mapping[str, Any],
    exc: Exception,
) -> str:
    """Return what went wrong; a call with a wrong number of arguments shows the right form."""
    about, why = _seen(args[0]) if args else "", str(exc)
    try:
        signature = inspect.signature(function)
        signature.bind(*args, **more)
    except TypeError as mismatch:
        form = ", ".join(
            f"[{each.name}]" if each.default is not each.empty else each.name
            for each in signature.parameters.values()
        )
        why = f"{mismatch} (write {name}({form}))"
    return f"{name}: {why}" if why.startswith(about) else f"{name} {about}: {why}"
