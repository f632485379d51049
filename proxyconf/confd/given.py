"""What somebody has asked of confd: by flags, which beat the environment, which beats confd.toml."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import tomli

from proxyconf.confd.flags import BY_KEY, BY_SPELLING, FLAGS, Flag, Kind
from proxyconf.errors import UsageError
from proxyconf.units import Duration
from proxyconf.values import shown, toml_hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_CLICKS = ("help", "h", "version")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Value(NamedTuple):
    """A value as it was given, and where, for messages."""

    value: object
    place: str


@dataclass(frozen=True, slots=True)
class File:
    """What confd.toml says.

    Attributes:
        values: Flag's name to its value.
        resource: It has a ``[template]`` table, as a resource has.
        warnings: What was passed over.
    """

    values: Mapping[str, Value]
    resource: bool = False
    warnings: tuple[str, ...] = ()


class Given:
    """The values that count, by the names of the flags.

    Every method raises UsageError, with the place, for a value that is of another kind.
    """

    def __init__(self, *layers: Mapping[str, Value]) -> None:
        """Take layers, the first of which beats the others."""
        self._values: dict[str, Value] = {}
        for layer in reversed(layers):
            self._values |= {name: value for name, value in layer.items() if value.value not in ("", [], ())}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def items(self) -> list[tuple[Flag, Value]]:
        """Return what is given, in the order of the flags."""
        return [(flag, self._values[flag.name]) for flag in FLAGS if flag.name in self._values]

    def place(self, name: str) -> str:
        """Return where the value comes from; the flag, where there is none."""
        return self._values[name].place if name in self._values else f"-{name}"

    def text(self, name: str) -> str:
        """Return a text, "" where there is none."""
        value = self._value(name)
        if not isinstance(value, str | None):
            raise UsageError(f"{self.place(name)}: {shown(value)} is no text (write it in quotes)")
        return value or ""

    def one_of(self, name: str, choices: Mapping[str, str]) -> str | None:
        """Return what *choices* make of a text, None where there is none."""
        if not (text := self.text(name)):
            return None
        if text.lower() not in choices:
            raise UsageError(f"{self.place(name)}: {shown(text)} is none of: {', '.join(choices)}")
        return choices[text.lower()]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._value(name)
        values = [value] if isinstance(value, str) else value or ()
        if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
            raise UsageError(f'{self.place(name)}: {shown(value)} is no list (write ["one", "two"])')
        parts = (part.strip() for one in values for part in one.split(","))
        return tuple(dict.fromkeys(filter(None, parts)))

    def switch(self, name: str) -> bool:
        """Return whether it is switched on."""
        value = self._value(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        on = to_switch(value) if isinstance(value, str) else None
        if on is None:
            raise UsageError(f"{self.place(name)}: {shown(value)} is neither true nor false (write true)")
        return on

    def duration(self, name: str) -> Duration | None:
        """Return a duration of more than 0, None where there is none."""
        if name not in self:
            return None
        try:
            found = Duration.parse(self._value(name))
        except ValueError as exc:
            raise UsageError(f"{self.place(name)}: {exc}") from None
        if not found:
            raise UsageError(f"{self.place(name)}: must be more than 0 (or leave it out)")
        return found

    def _value(self, name: str) -> object:
        return self._values[name].value if name in self._values else None


def from_flags(parameters: Mapping[str, object]) -> dict[str, Value]:
    """Return what the command line says; *parameters*: by the flags' names, None where it says nothing."""
    return {name: Value(value, f"-{name}") for name, value in parameters.items() if value is not None}


def from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    """Return what variables say that either confd knows."""
    return {
        flag.name: Value(environment[variable], f"environment {variable}")
        for flag in FLAGS
        for variable in flag.variables
        if variable in environment
    }


def from_file(path: Path) -> File:
    """Read confd.toml, its keys with dashes or underscores, at the top or in ``[confd]`` as up to 0.5.

    Raises:
        FileNotFoundError: There is none.
        UsageError: It can't be read.
    """
    try:
        found = tomli.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise UsageError(f"read {path}: {exc.strerror} (may we read it?)") from exc
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"read {path}: {exc} ({toml_hint(exc) or 'is it TOML?'})") from exc
    top = {key.lower(): value for key, value in found.items()}
    is_resource = isinstance(top.pop("template", None), dict)
    if is_resource and isinstance(top.get("backend"), dict):
        del top["backend"]  # the resource's own
    old = top.pop("confd", {})
    values: dict[str, Value] = {}
    warnings = []
    for key, value in (top | (old if isinstance(old, dict) else {})).items():
        name = key.lower().replace("-", "_")
        if flag := BY_KEY.get(name):
            values[flag.name] = Value(value, f"{path}: {key}")
        else:
            warnings.append(f"{path}: {key}: unknown key, so it was passed over ({_hint(name, BY_KEY)})")
    return File(values, is_resource, tuple(warnings))


def to_switch(text: str) -> bool | None:
    """Read a switch's value as Go does; None when it is none."""
    return True if text in _TRUE else False if text in _FALSE else None


def canonical(arguments: list[str]) -> list[str]:
    """Return the arguments with every flag spelt ``--name=value``, however it was spelt.

    Raises:
        UsageError: An unknown flag, or a switch with another value than yes or no.
    """
    result: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*result, word, *words]
        name, equals, value = word.lstrip("-").partition("=")
        flag = BY_SPELLING.get(name)
        if not word.startswith("-") or word == "-":
            result.append(word)
        elif flag is None:
            result.append(_other(name, equals + value))
        elif flag.kind is Kind.SWITCH:
            on = to_switch(value) if equals else True
            if on is None:
                raise UsageError(f"-{name}: {shown(value)} is neither true nor false (write -{name}=true)")
            result.append(f"--{flag.name}" if on else f"--no-{flag.name}")
        else:
            following = value if equals else next(words, None)
            result.append(f"--{flag.name}" if following is None else f"--{flag.name}={following}")
    return result


def _other(name: str, value: str) -> str:
    """Return a flag that is in no table, as click takes it."""
    opposite = BY_SPELLING.get(name.removeprefix("no-"))
    if name in _CLICKS or (opposite and opposite.kind is Kind.SWITCH):
        return f"--{name}{value}"
    raise UsageError(f"-{name}: unknown flag ({_hint(name, (*BY_SPELLING, *_CLICKS))})")


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else "see confd -help"
