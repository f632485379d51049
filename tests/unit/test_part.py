"""A part: its name is its content's, and its last line tells a later run what it is of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx.part import make_part, parts_named, read_part, read_parts, unlabelled
from proxyconf.nginx.site import Renderer
from tests.golden.cases import CASES, TWO_SERVICES, dialect

if TYPE_CHECKING:
    from proxyconf.nginx.site import Site


def read_again(made: Site) -> dict[str, object]:
    return {part.file: part for part in read_parts({part.file: part.text for part in made.parts})}


@pytest.mark.parametrize("name", CASES)
def test_a_later_run_knows_all_parts(name: str) -> None:
    """But for their problems, which their inputs would tell, and for the names of error pages."""
    made = CASES[name]
    pages = {
        part.file: replace(part, name=part.file) for part in made.parts if part.kind in ("users", "page")
    }
    wanted = {
        part.file: replace(
            pages.get(part.file, part),
            problems=(),
            files=tuple(
                pages.get(one.file, one)
                for one in sorted(part.files, key=lambda one: one.file)
                if one.file in parts_named(part.text)
            ),
        )
        for part in made.parts
    }
    assert read_again(made) == wanted


def test_it_can_be_used_in_the_place_of_another() -> None:
    renderer = Renderer(dialect())
    made = renderer.render(TWO_SERVICES)
    parts = read_parts({part.file: part.text for part in made.parts})
    assert renderer.render(TWO_SERVICES, set_aside={(one.kind, one.name): one for one in parts}) == made


def test_a_host_is_nothing_without_what_it_refers_to() -> None:
    pem = make_part("certificate", "a", b"pem")
    host = make_part("host", "a.test", f"ssl_certificate parts/{pem.file};".encode())
    assert list(read_parts({host.file: host.text})) == []
    assert list(read_parts({host.file: host.text, pem.file: pem.text})) == [replace(host, files=(pem,)), pem]


@pytest.mark.parametrize("name", ["/x/host.d/a.conf", "/x/\udcff\n{", 'a"b\\', ""])
def test_any_name_is_kept(name: str) -> None:
    made = make_part("operator", name, b"aio on;\n")
    assert (made.text.count(b"\n"), made.text.count(b'"')) == (2, 0)
    assert read_part(made.file, made.text) == made
    assert unlabelled(made.text.decode()) == "aio on;\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"aio on;\n", id="no label"),
        pytest.param(b"\n# proxyconf: ", id="half"),
        pytest.param(b"\n# proxyconf: needs=a\n", id="without a name"),
        pytest.param(b"\n# proxyconf: \xff\n", id="no text"),
    ],
)
def test_what_we_have_not_written_is_no_part(text: bytes) -> None:
    assert read_part("h-0123456789abcdef.conf", text) is None
