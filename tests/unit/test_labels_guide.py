"""The guide to labels: its tables are those of the code, and its examples are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxyconf.model import Entry, Listing
from proxyconf.options import NONE
from proxyconf.routing import labels
from proxyconf.routing.keys import Keys
from proxyconf.routing.offered import OPTIONS
from proxyconf.sources._file_tables import read_tables

if TYPE_CHECKING:
    from proxyconf.model import Route
    from proxyconf.routing.offered import Option

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/labels.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", GUIDE, re.MULTILINE))
NEEDS = {
    "verify": {"proto": "https"},
    "verify_name": {"proto": "https"},
    "root": {"proto": "fastcgi"},
    "rate_burst": {"rate": "10r/s"},
    "redirect_status": {"redirect": "https://other.example.com"},
}
"""What gives some options an effect."""


def rows(section: str) -> list[str]:
    return re.findall(r"^\| `.+ \|$", SECTIONS[section], re.MULTILINE)


def row_of(name: str, option: Option) -> str:
    label = f"{name}.NAME" if option.is_keyed else name
    return f"| `{label}` | {option.type} | {option.default} | `{option.example}` | {option.meaning} |"


def example_of(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n((?:.*\n)*?)```", GUIDE)
    return str(found)


def asked_by(said: dict[str, str]) -> labels.Wish:
    read = labels.read_labels("web", {f"proxyconf.{name}": text for name, text in said.items()})
    assert read.problems == ()
    return read.wishes[0]


def read_route(entry: Entry) -> Route:
    claims = Keys().read(Listing("etcd", keys={"routes/blog": entry}))
    assert claims.problems == ()
    return claims.routes[0]


@pytest.mark.parametrize(
    ("section", "of"),
    [
        pytest.param("Options of a route", "location", id="route"),
        pytest.param("Options of a host", "host", id="host"),
        pytest.param("Options of a service", "service", id="service"),
    ],
)
def test_the_tables_are_those_of_the_code(section: str, of: str) -> None:
    assert rows(section) == [row_of(name, option) for name, option in OPTIONS.items() if option.of == of]


def test_it_names_every_other_label() -> None:
    named = [row.split("`")[1] for row in rows("Host and endpoint")]
    read = labels.read_labels("web", {"proxyconf.": ""})
    known = read.problems[0].why.partition("known: ")[2].rstrip(")").split(", ")
    assert sorted(named) == sorted(set(known) - OPTIONS.keys())


@pytest.mark.parametrize("name", OPTIONS)
def test_each_example_asks_for_something(name: str) -> None:
    option = OPTIONS[name]
    label = f"{name}.X-Name" if option.is_keyed else name
    said = {"host": "a.test", "path": "/api"} | NEEDS.get(name, {})
    without = asked_by(said).options
    assert asked_by(said | {label: option.example}).options not in (without, NONE)


def test_the_same_is_said_as_labels_json_and_toml() -> None:
    lines = re.findall(r"^ +- proxyconf\.([\w.-]+)=(.+)$", example_of("yaml"), re.MULTILINE)
    wish = asked_by({name: text.replace("$$", "$") for name, text in lines})
    of_json = read_route(Entry(example_of("json").encode()))
    keys, problems = read_tables(example_of("toml"), "sites.toml", "file")
    assert problems == ()
    of_toml = read_route(keys["routes/blog"])
    assert json.loads(example_of("json"))["host"] in wish.hosts
    assert (wish.hosts, wish.path, wish.service, wish.options) == (
        (of_json.host,),
        of_json.path,
        of_json.service,
        of_json.options,
    )
    assert (of_toml.claim, of_toml.service, of_toml.options) == (
        of_json.claim,
        of_json.service,
        of_json.options,
    )


def test_the_readme_points_to_it_and_names_labels_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "(docs/labels.md)" in readme
    guided = {row.split("`")[1].partition(".")[0] for section in SECTIONS for row in rows(section)}
    assert set(re.findall(r"^\| `proxyconf\.(\w+)`", readme, re.MULTILINE)) <= guided
