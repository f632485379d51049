"""The reference of all settings is that of the code."""

from __future__ import annotations

from tests.docs.settings import PLACE, settings_text


def test_it_is_current() -> None:
    """Else: python -m tests.docs.settings."""
    assert PLACE.read_text() == settings_text()
