"""render and check: what would be written, and whether nginx would take it, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxyconf import preview
from proxyconf.errors import CommandError, RefusedError, StateError
from proxyconf.nginx.folder import parts_of
from proxyconf.state import State
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
    files, problems = await preview.render(installed.settings(), timeout_s=30)
    assert problems == ()
    root = files.pop("nginx.conf")
    assert set(files) == {f"parts/{name}" for name in parts_of(root)}
    assert any(
        b"server_name web.test;" in text or b'server_name "web.test";' in text for text in files.values()
    )
    assert any(b"127.0.0.1:8081" in text for text in files.values())


async def test_render_changes_nothing_and_tells_no_secret(installed: Installed) -> None:
    save(installed)
    token = State(installed.state).token()
    before = sorted(installed.path.rglob("*"))
    files, _ = await preview.render(installed.settings(), timeout_s=30)
    assert sorted(installed.path.rglob("*")) == before
    assert token.encode() not in b"".join(files.values())


async def test_render_tells_the_problems(installed: Installed) -> None:
    installed.sites.write_text(installed.sites.read_text() + '[routes.bad]\nhost = "a b"\n')
    files, problems = await preview.render(installed.settings(), timeout_s=30)
    assert len(problems) == 1
    assert "'a b' is no host name" in problems[0]
    assert len(files) == 3


async def test_render_goes_without_an_nginx(installed: Installed) -> None:
    files, problems = await preview.render(installed.settings(binary="/none/nginx"), timeout_s=30)
    assert len(files) == 3
    assert problems[0].startswith("run /none/nginx: No such file")
    assert problems[0].endswith("rendered for an nginx that supports the least")


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
    assert await preview.check(installed.settings()) == [
        "configuration: well; sources: file",
        "nginx: nginx 1.22.1",
        "site: nginx takes it (without routes)",
    ]
    assert not installed.state.exists()


async def test_check_takes_what_the_last_run_saved(installed: Installed) -> None:
    """In a folder of its own, with the operator's files in their places."""
    save(installed)
    for name in ("main.d", "http.d"):
        (installed.state / "nginx" / name).mkdir(parents=True)
        (installed.state / "nginx" / name / "mine.conf").write_text(f"# mine in {name}\n")
    seen = installed.path / "seen"
    installed.nginx(f'while [ "$1" != -c ]; do shift; done; cd "$(dirname "$2")"; cat "$2" */*.conf > {seen}')
    lines = await preview.check(installed.settings())
    assert lines[-1] == "site: nginx takes it (1 routes, as saved by the last run)"
    text = seen.read_text()
    for found in ("10.0.0.2:80", "web.test", "# mine in main.d", "# mine in http.d"):
        assert found in text
    assert not (installed.state / "nginx" / "nginx.conf").exists()


@pytest.mark.parametrize(
    ("binary", "error"),
    [pytest.param("", RefusedError, id="refused"), pytest.param("/none/nginx", CommandError, id="missing")],
)
async def test_check_that_fails(installed: Installed, binary: str, error: type[Exception]) -> None:
    installed.refuses()
    settings: Settings = installed.settings(binary=binary) if binary else installed.settings()
    with pytest.raises(error):
        await preview.check(settings)
