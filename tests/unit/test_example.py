"""The example in deploy/ says what it claims to say: every key, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomli

from proxyconf import config, tables
from proxyconf.resources.table import read_table
from proxyconf.sources import kinds, open_source
from proxyconf.sources.consul import Settings as Consul
from proxyconf.sources.docker import Settings as Docker
from proxyconf.sources.etcd import Settings as Etcd
from proxyconf.sources.file import Settings as File

if TYPE_CHECKING:
    from proxyconf.tables import Table

STRUCTS: dict[str, type[Table]] = {"etcd": Etcd, "consul": Consul, "docker": Docker, "file": File}
EXAMPLE = Path(__file__).parents[2] / "deploy" / "proxyconf.toml"


def test_what_is_written_out_is_the_default() -> None:
    settings = config.load(EXAMPLE, kinds=kinds())
    assert settings.tables == tables.Tables()
    assert [open_source(table).policy for table in settings.sources] == [Etcd()]


@pytest.mark.parametrize(
    "struct",
    [
        *(tables.Nginx, tables.Tls, tables.Confd, tables.Pace, tables.Routing, tables.State, tables.Status),
        tables.Log,
        *(tables.Exec, Etcd, Consul, Docker, File),
    ],
)
def test_it_names_every_key(struct: type[Table]) -> None:
    """Common keys of the sources stand in one of them; a secret has no place in an example."""
    text = EXAMPLE.read_text()
    assert [name for name in struct.__struct_fields__ if f"{name} =" not in text] in (
        [],
        ["listen", "tls"],
        ["password"],
        ["token", "password"],
    )


@pytest.mark.parametrize("deployment", ["coreos", "docker", "systemd"])
def test_the_example_of_each_deployment(deployment: str, tmp_path: Path) -> None:
    """As it stands, and with the comments' marks taken off."""
    text = (EXAMPLE.parent / deployment / EXAMPLE.name).read_text()
    uncommented = re.sub(r"^#(?=\[|[a-z_.]+ = )", "", text, flags=re.MULTILINE)
    assert uncommented != text
    for number, one in enumerate((text, uncommented)):
        file = tmp_path / f"{number}.toml"
        file.write_text(one)
        settings = config.load(file, kinds=kinds())
        assert settings.sources
        assert not settings.warnings
        for table in settings.sources:
            config.convert(table.values, STRUCTS[table.kind], table.place)


def test_what_is_commented_out_is_understood() -> None:
    """Each commented table, with the comments' marks taken off, has keys that exist."""
    lines = [
        line.removeprefix("#") if line[1:2] != " " else line for line in EXAMPLE.read_text().splitlines()
    ]
    values = tomli.loads("\n".join(lines))
    for kind, struct in STRUCTS.items():
        assert set(values[kind]) <= set(struct.__struct_fields__)
    examples = ("srv_record", "user", "token_file", "password_file", "ca", "cert", "key")
    shown = {key: value for key, value in values["consul"].items() if key not in examples}
    assert config.convert(shown, Consul, "example") == Consul()
    (template,) = values["template"]
    assert read_table(template, "example", tables.Confd()).dest == Path("/etc/nginx/conf.d/maps.conf")
    assert config.convert(values["status"], tables.Status, "example").socket == Path(
        "/run/proxyconf/status.sock"
    )
