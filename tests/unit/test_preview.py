"""render and check: what would be written, and whether nginx would take it, without changing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from proxyconf import preview
from proxyconf.config import SourceTable, TemplateTable
from proxyconf.errors import CommandError, RefusedError, StateError
from proxyconf.nginx.part import parts_named
from proxyconf.state import State
from proxyconf.tables import Confd
from tests.unit.fakes import addresses, listing
from tests.unit.installed import Installed

if TYPE_CHECKING:
    from pathlib import Path

    from proxyconf.config import Settings


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def save(installed: Installed) -> None:
    """Leave what an earlier run would have left."""
    state = State(installed.state)
    with state.locked():
        state.save_listings((listing(*addresses(2), source="file"),))


async def test_render_returns_all_files(installed: Installed) -> None:
    made = await preview.render(installed.settings(), timeout_s=30)
    assert (made.warnings, made.errors) == ([], ())
    files = made.files
    root = files.pop("nginx.conf")
    assert set(files) == {f"parts/{name}" for name in parts_named(root)}
    assert any(
        b"server_name web.test;" in text or b'server_name "web.test";' in text for text in files.values()
    )
    assert any(b"127.0.0.1:8081" in text for text in files.values())


async def test_render_changes_nothing_and_tells_no_secret(installed: Installed) -> None:
    save(installed)
    token = State(installed.state).token()
    before = sorted(installed.path.rglob("*"))
    files = (await preview.render(installed.settings(), timeout_s=30)).files
    assert sorted(installed.path.rglob("*")) == before
    assert token.encode() not in b"".join(files.values())


async def test_render_tells_the_problems(installed: Installed) -> None:
    installed.sites.write_text(installed.sites.read_text() + '[routes.bad]\nhost = "a b"\n')
    made = await preview.render(installed.settings(), timeout_s=30)
    assert len(made.warnings) == 1
    assert "'a b' is no host name" in made.warnings[0]
    assert len(made.files) == 3


async def test_render_goes_without_an_nginx(installed: Installed) -> None:
    made = await preview.render(installed.settings(binary="/none/nginx"), timeout_s=30)
    assert len(made.files) == 3
    assert made.warnings[0].startswith("run /none/nginx: No such file")
    assert made.warnings[0].endswith("rendered for an nginx that supports the least")


@pytest.fixture
def resources(installed: Installed, tmp_path: Path) -> dict[str, TemplateTable]:
    """Return tables: of a file that is new, one that is right, and of three kinds that can't be written."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "good").write_text("{{ routes[0].host }}\n")
    (tmp_path / "templates" / "bad").write_text("{{ nonsense }}\n")
    (tmp_path / "right").write_text("web.test\n")
    values = {
        "new": {"src": "good", "dest": f"{installed.state}/nginx/http.d/new.conf"},
        "right": {"src": "good", "dest": f"{tmp_path}/right"},
        "bad": {"src": "bad", "dest": f"{tmp_path}/bad"},
        "nowhere": {"src": "good", "dest": f"{tmp_path}/none/x"},
        "set aside": {"src": "good", "dest": f"{tmp_path}/x", "mode": "abc"},
    }
    return {name: TemplateTable(table, f"p.toml: {name}") for name, table in values.items()}


def with_templates(installed: Installed, *tables: TemplateTable) -> Settings:
    settings = installed.settings()
    confd = Confd(dir=installed.path)
    return replace(settings, tables=msgspec.structs.replace(settings.tables, confd=confd), templates=tables)


async def test_templates_beside_the_site(installed: Installed, resources: dict[str, TemplateTable]) -> None:
    """Whatever is wrong with one, the others are shown; nginx's own folders are made at the start."""
    made = await preview.render(with_templates(installed, *resources.values()), timeout_s=30)
    assert [draft.fate for draft in made.drafts] == [
        "would change", "", "can't be rendered", "can't be written"
    ]  # fmt: skip
    assert made.count() == (
        "5 templates: 1 would change, 1 can't be rendered, 1 can't be written, 1 set aside"
    )
    assert [error.where for error in made.errors] == ["p.toml: set aside", "p.toml: bad", "p.toml: nowhere"]
    assert made.files[f"files{installed.state}/nginx/http.d/new.conf"] == b"web.test\n"
    assert made.files[f"files{installed.path}/none/x"] == b"web.test\n"
    assert len(made.files) == 3 + 3


async def test_a_single_template(installed: Installed, resources: dict[str, TemplateTable]) -> None:
    made = await preview.render(with_templates(installed, resources["right"]), timeout_s=30)
    assert made.count() == "1 template: 0 would change"
    assert made.errors == ()


def test_write(tmp_path: Path) -> None:
    preview.write(tmp_path / "a" / "b", {"root": b"1", "parts/x": b"2"})
    assert (tmp_path / "a" / "b" / "root").read_bytes() == b"1"
    assert (tmp_path / "a" / "b" / "parts" / "x").read_bytes() == b"2"


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(StateError) as caught:
        preview.write(tmp_path, {"root": b"1"})
    assert str(caught.value) == f"write {tmp_path}/root: Is a directory (name another folder with --out)"


async def test_check_of_a_new_installation(installed: Installed) -> None:
    settings = installed.settings()
    assert preview.read(settings) == preview.Reading(["file"], templates=0, mistakes=[], warnings=[])
    found = await preview.check_site(settings)
    assert found == preview.SiteCheck("nginx 1.22.1", "nginx takes it (without routes)", (), ())
    assert not installed.state.exists()


async def test_check_takes_what_the_last_run_saved(installed: Installed) -> None:
    """In a folder of its own, with the operator's files in their places."""
    save(installed)
    for name in ("main.d", "http.d"):
        (installed.state / "nginx" / name).mkdir(parents=True)
        (installed.state / "nginx" / name / "mine.conf").write_text(f"# mine in {name}\n")
    seen = installed.path / "seen"
    installed.nginx(f'while [ "$1" != -c ]; do shift; done; cd "$(dirname "$2")"; cat "$2" */*.conf > {seen}')
    checked = await preview.check_site(installed.settings())
    assert checked.site == "nginx takes it (1 route, as saved by the last run)"
    text = seen.read_text()
    for found in ("10.0.0.2:80", "web.test", "# mine in main.d", "# mine in http.d"):
        assert found in text
    assert not (installed.state / "nginx" / "nginx.conf").exists()


async def test_check_sets_a_hosts_file_aside(installed: Installed) -> None:
    """It holds up nobody else, so it is no error; what comes of it is as in the one that runs."""
    save(installed)
    files = [installed.state / "nginx" / name / "web.test.conf" for name in ("host.d", "location.d")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("oops;\n")
    installed.nginx(
        'while [ "$1" != -c ]; do shift; done; cd "$(dirname "$2")"\n'
        "hosts=$(grep -o 'parts/h-[0-9a-f]*.conf' nginx.conf)\n"
        "file=$(grep -ho 'parts/o-[0-9a-f]*.conf' $hosts | head -n 1); [ \"$file\" ] || exit 0\n"
        'echo "nginx: [emerg] unknown directive \\"oops\\" in $PWD/$file:1" >&2; exit 1'
    )
    found = await preview.check_site(installed.settings())
    assert found.site == "nginx takes it (1 route, as saved by the last run)"
    file = files[1]
    assert list(map(str, found.problems)) == [
        f'file {file}: nginx refuses it: unknown directive "oops" in {file}:1 (it is left out)',
        f"host web.test: answers 503, for nginx refuses {file}, and never was it served without",
    ]


@pytest.mark.parametrize(
    ("binary", "error"),
    [pytest.param("", RefusedError, id="refused"), pytest.param("/none/nginx", CommandError, id="missing")],
)
async def test_check_that_fails(installed: Installed, binary: str, error: type[Exception]) -> None:
    installed.refuses()
    settings: Settings = installed.settings(binary=binary) if binary else installed.settings()
    with pytest.raises(error):
        await preview.check_site(settings)


def test_all_mistakes_are_read(installed: Installed, resources: dict[str, TemplateTable]) -> None:
    """Each once, with its place; what is only passed over does not get lost among them."""
    folder = installed.path / "conf.d"
    folder.mkdir()
    (folder / "a.toml").write_text(f"[template]\nsrc = 'bad'\ndest = '{installed.path}/a'\nmdoe = '0600'\n")
    (folder / "b.toml").write_text("[template\n")
    settings = with_templates(installed, resources["set aside"], resources["right"], resources["bad"])
    (installed.path / "templates" / "bad").write_text("{% if %}\n")
    etcd = SourceTable("etcd", "etcd", {"endpoint": "x"}, "p.toml: [etcd]")
    found = preview.read(
        replace(settings, sources=(*settings.sources, etcd), warnings=("variable: unknown",))
    )
    assert found.sources == ["file", "etcd"]
    assert found.templates == 3
    starts = [
        "p.toml: [etcd]: endpoint: unknown key",
        "template p.toml: set aside: mode: 'abc' is no mode",
        f"template {folder}/b.toml:1: ",
        f"render {installed.path}/templates/bad:1: ",
    ]
    for mistake, start in zip(found.mistakes, starts, strict=True):
        assert mistake.startswith(start)
    unknown = "mdoe: unknown, so it was passed over (did you mean 'mode'?)"
    assert found.warnings == ["variable: unknown", f"template {folder}/a.toml:4: {unknown}"]
