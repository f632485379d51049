"""The guide to what is answered over HTTP is that of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec

from proxyconf import api, status
from proxyconf.tables import Status
from tests.docs.api import PLACE, api_text


def test_it_is_current() -> None:
    """Else: python -m tests.docs.api."""
    assert PLACE.read_text() == api_text()


def test_it_has_every_path() -> None:
    listed = set(re.findall(r"^\| `(GET|POST) ([^`?]+)", PLACE.read_text(), re.MULTILINE))
    assert listed == set(re.findall(r'\("(GET|POST)", "([^"]+)"\): ', inspect.getsource(status)))


def test_it_has_every_shape() -> None:
    """But for what may be sent, which the table of paths shows."""
    shapes = {
        name
        for name, value in vars(api).items()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not api.Because
    }
    assert shapes <= set(re.findall(r"^## (\w+)$", PLACE.read_text(), re.MULTILINE))


def test_the_default_is_no_address() -> None:
    assert Status().address is None


def test_links_lead_somewhere() -> None:
    text = Path(PLACE).read_text()
    places = {title.lower() for title in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= places
