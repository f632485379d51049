"""Jinja as templates have it: strict, sandboxed, with confd's functions and the snapshot's parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.ext import LoopControlExtension
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from proxyconf.resources.arguments import TEXT_MAX, FunctionError
from proxyconf.resources.filters import FILTERS
from proxyconf.resources.functions import Server
from proxyconf.resources.pairs import Pair, StoreValue, key_of
from proxyconf.resources.views import PARTS, HostRoute, ServiceEndpoint
from proxyconf.resources.whitespace import by_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import BaseLoader, TemplateRuntimeError

    from proxyconf.resources.views import Part

_POWER_BITS_MAX = 100_000
# what of our own values, and of data, can be read without asking the sandbox: ten times faster
_FIELDS: dict[type, frozenset[str]] = {
    Pair: frozenset({"key", "value", "Key", "Value"}),
    ServiceEndpoint: frozenset(ServiceEndpoint._fields),
    HostRoute: frozenset(HostRoute._fields),
    Server: frozenset(Server._fields),
}
_OF_DICTIONARIES = frozenset(dir(dict))
_OF_WHAT_IS_MISSING = ("default", "coalesce", "empty")


class Environment(ImmutableSandboxedEnvironment):
    """The environment of one render.

    Not of several: functions are globals, so that imported macros see them, and Jinja keeps what a template
    set when it was imported.

    Args:
        loader: Where templates come from.
        functions: confd's, by name.
        part: Returns a part of the snapshot; called when a template names it.
    """

    intercepted_binops = frozenset({"*", "**"})

    def __init__(
        self,
        loader: BaseLoader,
        functions: Mapping[str, Callable[..., Any]],
        part: Callable[[Part], Any],
    ) -> None:
        super().__init__(
            keep_trailing_newline=True,
            undefined=_Undefined,
            finalize=_printed,
            extensions=[LoopControlExtension],
            loader=loader,
            auto_reload=False,  # one render sees one version of a file
        )
        del self.globals["lipsum"]  # the same input must give the same bytes
        self.globals.update(functions)
        self.globals.update({name: _forgiving(functions[name]) for name in _OF_WHAT_IS_MISSING})
        self.filters = FILTERS
        self.context_class = _Context
        self.part = part

    def preprocess(self, source: str, name: str | None = None, filename: str | None = None) -> str:
        """Return the source with its white space as it is to be in the output; see `whitespace`."""
        source = super().preprocess(source, name, filename)
        return by_lines(source, self.lex(source, name, filename))

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - any value
        """Return an attribute, if the sandbox lets it be seen."""
        kind = type(obj)
        if kind is dict:
            if attribute in obj and attribute not in _OF_DICTIONARIES:
                return obj[attribute]
        elif attribute in _FIELDS.get(kind, ()):
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - as above
        """Multiply or raise to a power, unless the result would eat our memory."""
        if (_is_big_power if operator == "**" else _is_big_product)(left, right):
            raise FunctionError(f"the result of {operator} is too big")
        return super().call_binop(context, operator, left, right)


class _Context(Context):
    """The variables of a template; parts of the snapshot are made when they are first named."""

    def resolve_or_missing(self, key: str) -> Any:  # noqa: ANN401 - any variable
        found = super().resolve_or_missing(key)
        if found is missing and key in PARTS and isinstance(self.environment, Environment):
            return self.environment.part(key)
        return found


class _Undefined(StrictUndefined):
    """What is not defined; a value of the store is named by its key, not shown."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,  # noqa: ANN401 - any value
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        if isinstance(name, StoreValue):
            hint = hint or f"nothing has the name that is the value of {key_of(name)!r} (write .get(...)?)"
        elif isinstance(obj, StoreValue):
            hint = hint or f"the value of {key_of(obj)!r} is a text without {name!r} (write json(...) first?)"
        super().__init__(hint, obj, name, exc)


def _forgiving(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, which is about what is missing, so that it takes what is undefined for null."""

    @wraps(function)
    def call(*args: object) -> object:
        return function(*[None if isinstance(arg, Undefined) else arg for arg in args])

    return call


def _printed(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return *value* as it is printed, or refuse what nobody means to print."""
    kind = type(value)
    if kind is str or kind is StoreValue or kind is int:  # nearly always
        return value
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, Undefined):
        return value  # says itself what is undefined
    if value is None:
        raise FunctionError("null is printed (write default('...', value) where it may be null)")
    if callable(value):
        name = getattr(value, "name", None) or getattr(value, "__name__", "it")
        also = f", or data[{name!r}] for a name in data" if isinstance(value, BuiltinMethodType) else ""
        raise FunctionError(f"{name} is a function (write {name}(){also})")
    if isinstance(value, Pair):
        raise FunctionError(f"the pair of {value.key!r} is printed (write its .Key or .Value)")
    if isinstance(value, Iterator):
        raise FunctionError("a sequence is printed that was not gone through (write |join(' '), or a loop)")
    return value


def _is_big_power(base: object, exponent: object) -> bool:
    if not isinstance(base, int) or not isinstance(exponent, int):
        return False
    return base.bit_length() * exponent > _POWER_BITS_MAX


def _is_big_product(left: object, right: object) -> bool:
    return any(
        isinstance(times, int) and isinstance(value, str | list | tuple) and len(value) * times > TEXT_MAX
        for value, times in ((left, right), (right, left))
    )
