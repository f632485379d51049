"""Files and folders of keys: which count, in which order, and what becomes of bad ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import SourceTable
from proxyconf.errors import SourceError, UsageError
from proxyconf.sources import open_source
from proxyconf.sources._file_finding import Places, find
from proxyconf.sources._file_reading import File, make_listing, read_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxyconf.model import Listing

TABLES = '[services.web]\nendpoints = ["127.0.0.1:8081"]\n'


def read(
    *paths: Path,
    before: Mapping[Path, File] | None = None,
    pattern: str = "*",
    needs: tuple[str, ...] = ("/",),
) -> tuple[Listing, dict[Path, File]]:
    places = Places(paths, pattern, trees=bool(needs))
    files = read_files(find(places).files, before or {}, places)
    return make_listing(files, places, needs), files


def pairs(*paths: Path, pattern: str = "*", needs: tuple[str, ...] = ("/",)) -> dict[str, str]:
    listing, _ = read(*paths, pattern=pattern, needs=needs)
    assert listing.problems == ()
    return {name: entry.value.decode() for name, entry in listing.pairs.items()}


def fill(folder: Path, *names: str) -> None:
    """Write a file ``NAME.yaml`` with the key ``/NAME`` for each of *names*."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.yaml").write_text(f"{name}: 1\n")


def test_later_files_override_earlier_ones(tmp_path: Path) -> None:
    """As in confd: defaults first. Below one name, too."""
    (tmp_path / "defaults.yaml").write_text("db: {host: localhost, port: 5432}\nhosts: [a, b]\n")
    (tmp_path / "here.json").write_text('{"db": {"host": "10.0.0.1"}, "hosts": ["c"]}')
    expected = {"/db/host": "10.0.0.1", "/db/port": "5432", "/hosts/0": "c", "/hosts/1": "b"}
    assert pairs(tmp_path / "defaults.yaml", tmp_path / "here.json") == expected
    assert pairs(tmp_path) == expected
    assert pairs(tmp_path, tmp_path / "defaults.yaml")["/db/host"] == "localhost"


def test_a_folder_is_read_with_all_below_it(tmp_path: Path) -> None:
    """In the order of the names at each level; nothing hidden, no backups, no other endings."""
    fill(tmp_path, "a", "c", "z")
    fill(tmp_path / "b", "x")
    fill(tmp_path / ".b", "x")
    for name in (".d.yaml", "z.yaml~", "z.txt", "Makefile"):
        (tmp_path / name).write_text("at: 9\n")
    (tmp_path / "z.yml").mkdir()
    places = Places((tmp_path,))
    assert [str(file.relative_to(tmp_path)) for file in find(places).files] == [
        "a.yaml",
        "b/x.yaml",
        "c.yaml",
        "z.yaml",
    ]
    assert set(find(places).folders) == {tmp_path, tmp_path / "b", tmp_path / "z.yml"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        pytest.param("*", ["/a1", "/a2", "/b1"], id="all"),
        pytest.param("a*", ["/a1", "/a2"], id="star"),
        pytest.param("?1.yaml", ["/a1", "/b1"], id="one"),
        pytest.param("[^a]*", ["/b1"], id="Go's way of not"),
        pytest.param("*.conf", [], id="another ending"),
    ],
)
def test_a_filter_chooses_files_in_folders(tmp_path: Path, pattern: str, names: list[str]) -> None:
    """And leaves alone what is named itself."""
    fill(tmp_path, "a1", "b1")
    fill(tmp_path / "b", "a2")
    (tmp_path / "x.conf").write_text("x: 1")
    opened = open_source(
        SourceTable("file", "file", {"path": str(tmp_path), "filter": pattern}, "test"), ("/",)
    )
    assert list(pairs(tmp_path, pattern=opened._places.pattern)) == names  # type: ignore[attr-defined]
    assert list(pairs(tmp_path / "a1.yaml", pattern="b*")) == ["/a1"]


def test_only_what_templates_need_is_listed(tmp_path: Path) -> None:
    """A prefix is a whole part of a name."""
    path = tmp_path / "a.yaml"
    path.write_text("app: {server: {x: 1}, servers: 1}\ndb: 1\ndbx: 1")
    assert list(pairs(path, needs=("/app/server", "/db"))) == ["/app/server/x", "/db"]
    assert list(pairs(path, needs=("/",))) == ["/app/server/x", "/app/servers", "/db", "/dbx"]
    assert pairs(path, needs=()) == {}


def test_without_need_a_stray_tree_is_nothing_to_complain_about(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text(TABLES)
    (tmp_path / "stray.json").write_text("[")
    fill(tmp_path / "b", "x")
    listing, _ = read(tmp_path, needs=())
    assert (len(listing.keys), listing.problems) == (1, ())
    assert set(find(Places((tmp_path,), trees=False)).folders) == {tmp_path}


def test_services_and_keys_of_one_folder(tmp_path: Path) -> None:
    """TOML counts in the folder itself only, as it always has."""
    fill(tmp_path, "a")
    fill(tmp_path / "off", "b")
    for folder in (tmp_path, tmp_path / "off"):
        (folder / "sites.toml").write_text(TABLES)
    listing, files = read(tmp_path)
    assert (list(listing.keys), list(listing.pairs)) == (["services/web/127.0.0.1:8081"], ["/a", "/b"])
    assert len(files) == 3


def test_a_file_of_any_name_is_a_tree(tmp_path: Path) -> None:
    """As it is to confd; whoever meant services and routes is told."""
    path = tmp_path / "values"
    path.write_text("a: 1")
    assert pairs(path) == {"/a": "1"}
    path.write_text(TABLES)
    with pytest.raises(
        SourceError, match=r"values:2: is no YAML: .*\(services and routes go into a \*\.toml\)$"
    ):
        read(path)


def test_links_are_followed_and_lead_round_once(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    fill(outside, "a")
    folder = tmp_path / "folder"
    fill(folder, "b")
    fill(folder / "below", "c")
    (folder / "below" / "up").symlink_to(folder)
    (folder / "there").symlink_to(outside)
    (folder / "file.yaml").symlink_to(outside / "a.yaml")
    (folder / "gone.yaml").symlink_to("nowhere/x.yaml")
    found = find(Places((folder,)))
    assert [str(file.relative_to(folder)) for file in found.files] == [
        "b.yaml",
        "below/c.yaml",
        "file.yaml",
        "gone.yaml",
        "there/a.yaml",
    ]
    assert set(found.folders) == {folder, folder / "below", outside}


def test_a_folder_below_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    """What was in it is unknown, so that the whole last listing counts; a mere name is enough here."""
    deep = tmp_path / "a"
    deep.symlink_to(f"/{'x' * 300}")
    with pytest.raises(SourceError, match="File name too long"):
        find(Places((tmp_path,)))


def test_a_bad_tree_keeps_its_last_good_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    good, files = read(path)
    path.write_text("b: 1\na: [")
    bad, files = read(path, before=files)
    assert bad.pairs == good.pairs
    (problem,) = bad.problems
    assert (problem.where, problem.why.endswith("; its last good content is kept")) == (f"{path}:2", True)
    path.write_text("a: 1")
    assert read(path, before=files)[0] == good


def test_of_named_files_each_must_be_good_once(tmp_path: Path) -> None:
    """Without the one that overrides, the defaults would count; in a folder a bad one is left out."""
    fill(tmp_path, "a")
    bad = tmp_path / "b.yaml"
    bad.write_text("b: [")
    with pytest.raises(SourceError, match=r"read .*/b\.yaml:1: is no YAML"):
        read(tmp_path / "a.yaml", bad)
    listing, _ = read(tmp_path)
    assert (list(listing.pairs), [problem.where for problem in listing.problems]) == (["/a"], [f"{bad}:1"])


def test_a_mark_of_utf_8_is_no_content(tmp_path: Path) -> None:
    for name, text in (("a.yaml", "a: 1"), ("b.json", '{"b": 1}')):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert list(pairs(tmp_path)) == ["/a", "/b"]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    with pytest.raises(SourceError, match=r"a\.yaml: is larger than 16 MiB \(split it\)"):
        read(path)


def test_yaml_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is named says so at the start, one of a folder when it is read; JSON needs nothing."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "proxyconf.sources._file_yaml", raising=False)
    mend = r"PyYAML is missing \(pip install 'proxyconf\[yaml\]'\)"
    with pytest.raises(UsageError, match=rf"\[file\] path: for YAML, {mend}"):
        open_source(SourceTable("file", "file", {"path": "/a.json, /a.yml"}, "test"))
    open_source(SourceTable("file", "file", {"path": "/a.json"}, "test"))
    fill(tmp_path, "a")
    (tmp_path / "b.json").write_text('{"b": 1}')
    listing, _ = read(tmp_path)
    (problem,) = listing.problems
    assert list(listing.pairs) == ["/b"]
    assert problem.why == "is YAML, for which PyYAML is missing (pip install 'proxyconf[yaml]')"
