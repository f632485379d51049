"""A key and its value, as templates get them."""

from __future__ import annotations

from typing import NamedTuple, Self


class StoreValue(str):
    """A key's value that knows the key, for messages: a value may be a secret, the name of its key is none.

    It is compared, printed and pickled as the text it is. A text that is made of it knows no key.
    """

    # not public: a template sees what is public, and without json(...) would take this for the object's "key"
    __slots__ = ("_key",)
    _key: str

    def __new__(cls, text: str, key: str) -> Self:
        """Return *text* as the value of the *key* with that full name."""
        value = super().__new__(cls, text)
        value._key = key
        return value

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class Pair(NamedTuple):
    """A key and its value; Go's templates say ``.Key`` and ``.Value``."""

    key: str
    value: str

    @property
    def Key(self) -> str:  # noqa: N802 - confd's name
        """As `key`."""
        return self[0]

    @property
    def Value(self) -> str:  # noqa: N802 - confd's name
        """As `value`."""
        return self[1]


def key_of(value: object) -> str:
    """Return the full name of the key that a value, or pair, is of; "" for what is not the store's."""
    if isinstance(value, Pair):
        value = value.value
    return value._key if isinstance(value, StoreValue) else ""  # noqa: SLF001 - see there
