"""What would become of templates' files: told, and nothing touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.groups.draft import Draft, drafts
from proxyconf.model import Entry, Snapshot
from proxyconf.resources.jinja import Templates
from proxyconf.resources.table import Resource

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path


class Desk:
    """A folder of templates, and one for what they come to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.templates = path / "templates"
        self.templates.mkdir()
        self.clocks: dict[Path, float] = {}

    def resource(self, text: str, dest: str = "x.conf", **more: object) -> Resource:
        (self.templates / "x.tmpl").write_text(text)
        place = f"{self.path}/conf.d/x.toml"
        made = {"dest": self.path / dest, "src": "x.tmpl", "keys": ("/",), "place": place}
        return Resource(**made | more)  # type: ignore[arg-type]

    async def drafts(self, *resources: Resource, ours: Container[Path] = ()) -> tuple[Draft, ...]:
        before = sorted(self.path.rglob("*"))
        snapshot = Snapshot(pairs={"/name": Entry(b"new")})
        made = await drafts(resources, Templates(self.templates), snapshot, ours=ours, clocks=self.clocks)
        assert sorted(self.path.rglob("*")) == before
        return made

    async def draft(self, text: str, dest: str = "x.conf", **more: object) -> Draft:
        (made,) = await self.drafts(self.resource(text, dest, **more))
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_new_file(desk: Desk) -> None:
    """With mode and owner, which no diff shows."""
    draft = await desk.draft("a\n{{ getv('/name') }}\n", mode=0o600, uid=54321, gid=0)
    dest = desk.path / "x.conf"
    assert draft.fate == "would change"
    assert list(draft.diff()) == ["--- /dev/null", f"+++ {dest}", "@@ -0,0 +1,2 @@", "+a", "+new"]
    assert draft.attributes() == f"{dest}: new, mode 0600, owner 54321:root"


async def test_a_new_file_that_is_empty(desk: Desk) -> None:
    draft = await desk.draft("")
    assert (draft.fate, list(draft.diff())) == ("would change", [])
    assert ": new, mode 0644, owner " in draft.attributes()


async def test_nothing_to_do(desk: Desk) -> None:
    (desk.path / "x.conf").write_text("new\n")
    draft = await desk.draft("{{ getv('/name') }}\n")
    assert (draft.fate, list(draft.diff()), draft.attributes()) == ("", [], "")


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        pytest.param({"mode": 0o600}, "mode 0644 -> 0600", id="mode"),
        pytest.param({"uid": 54321, "gid": 54322}, "owner root:root -> 54321:54322", id="owner"),
        pytest.param(
            {"mode": 0o1640, "gid": 54321}, "mode 0644 -> 1640, owner root:root -> root:54321", id="both"
        ),
    ],
)
@pytest.mark.needs("root")
async def test_mode_and_owner_alone_are_a_change(desk: Desk, more: dict[str, Any], changes: str) -> None:
    (desk.path / "x.conf").write_text("a")
    (desk.path / "x.conf").chmod(0o644)
    draft = await desk.draft("a", **more)
    assert (draft.fate, list(draft.diff())) == ("would change", [])
    assert draft.attributes() == f"{desk.path}/x.conf: {changes}"


async def test_only_a_line_end(desk: Desk) -> None:
    """It is seen in the diff."""
    (desk.path / "x.conf").write_text("a\nb")
    draft = await desk.draft("a\nb\n")
    assert list(draft.diff())[3:] == [" a", "-b", "\\ No newline at end of file", "+b"]
    assert draft.attributes() == ""


async def test_what_cannot_be_rendered_names_resource_and_file(desk: Desk) -> None:
    """Two resources may have one template."""
    one, two = desk.resource("{{ getv('/none') }}"), desk.resource("{{ getv('/none') }}", "y.conf")
    found = await desk.drafts(one, two)
    assert {draft.fate for draft in found} == {"can't be rendered"}
    for draft, name in zip(found, ("x.conf", "y.conf"), strict=True):
        start = f"template {desk.path}/conf.d/x.toml: {desk.path}/{name}: render {desk.templates}/x.tmpl:1: "
        assert str(draft.error).startswith(start)
        assert (list(draft.diff()), draft.attributes()) == ([], "")


@pytest.mark.parametrize(
    ("dest", "why"),
    [
        pytest.param("none/x.conf", "No such file or directory (create the folder {path}/none)", id="folder"),
        pytest.param("templates", "Is a directory (it is a folder: name a file as dest)", id="no file"),
    ],
)
async def test_what_cannot_be_written(desk: Desk, dest: str, why: str) -> None:
    draft = await desk.draft("a", dest)
    place = f"template {desk.path}/conf.d/x.toml"
    assert draft.fate == "can't be written"
    assert str(draft.error) == f"{place}: write {desk.path}/{dest}: {why.format(path=desk.path)}"
    assert (list(draft.diff()), draft.attributes()) == ([], "")


async def test_a_folder_of_our_own_is_made_at_the_start(desk: Desk) -> None:
    (draft,) = await desk.drafts(desk.resource("a", "http.d/x.conf"), ours=[desk.path / "http.d"])
    assert draft.fate == "would change"


async def test_a_table_of_our_own_names_its_file_already(desk: Desk) -> None:
    place = f"p.toml: [[template]] {desk.path}/x.conf"
    draft = await desk.draft("{{ nonsense }}", place=place)
    assert str(draft.error).startswith(f"template {place}: render ")


async def test_that_it_is_later_now_is_no_difference(desk: Desk) -> None:
    """A template that asks for the time, and is in place as it was told."""
    dest = desk.path / "x.conf"
    dest.write_text("1970\n")
    dest.chmod(0o644)
    text = "{{ datetime().year }}\n"
    assert (await desk.draft(text)).fate == "would change"
    desk.clocks[dest] = 100.0
    assert (await desk.draft(text)).fate == ""
    dest.write_text("1971\n")
    assert b"1970" not in (await desk.draft(text)).after.content  # type: ignore[union-attr]
