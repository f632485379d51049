"""The setting ``via``, and all that is made for an nginx in another container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxyconf import config, preview
from proxyconf.errors import CommandError, StateError, UncheckedError, UsageError
from proxyconf.house import House
from proxyconf.model import Problem, Snapshot
from proxyconf.nginx.in_container import InContainer
from proxyconf.nginx.reach import reach_nginx
from proxyconf.sources import kinds
from proxyconf.state import State
from tests.unit.fake_nginx import Bench, site
from tests.unit.nginx_engine import VERSION, NginxEngine, inspected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

TOKEN = "0" * 32
START = "docker start web, or docker compose up -d web where there is no such container"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[NginxEngine]:
    async with NginxEngine() as engine:
        await engine.serve(tmp_path / "docker.sock")
        engine.containers["web"] = inspected("web")
        yield engine


def settings(
    engine: NginxEngine,
    path: Path,
    *,
    file: Path | None = None,
    **nginx: Any,  # noqa: ANN401 - as TOML
) -> config.Settings:
    flags = {
        "docker": {"url": engine.url, "api_version": "1.41"},
        "nginx": {"via": "docker:web", "binary": "no-such-nginx"} | nginx,
        "state": {"dir": str(path / "state")},
        "confd": {"dir": str(path)},
    }
    return config.load(file, kinds=kinds(), flags=flags)


@pytest.mark.parametrize("text", ["docker:web", "docker:shop-web_1.a"])
def test_a_way_to_a_container(text: str, tmp_path: Path) -> None:
    found = settings(NginxEngine(), tmp_path, via=text).tables.nginx.via
    assert (found, found.container) == (text, text.removeprefix("docker:"))


@pytest.mark.parametrize(
    "text", ["", "docker", "docker:", "docker:a/b", "docker:-a", "podman:web", "pid:web"]
)
def test_no_way(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'nginx.via: .* is no way to an nginx .write "local", "docker:CONT'):
        settings(NginxEngine(), tmp_path, via=text)


def test_somebody_elses_main_file_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"via: 'docker:web' is for mode = \"own\""):
        settings(NginxEngine(), tmp_path, mode="include")


async def test_it_is_written_for_what_is_in_the_container(engine: NginxEngine, tmp_path: Path) -> None:
    """Its own user, what it supports, and another one's as soon as it is another one."""
    here = await reach_nginx(settings(engine, tmp_path), tmp_path, TOKEN)
    text = here.renderer().render(Snapshot()).root("n").decode()
    assert "keepalive_min_timeout" in text
    assert "worker_rlimit_nofile" in text
    assert "user" not in text.partition("events")[0].partition("outside")[2].replace("# ", "")
    assert here.start == START
    engine.programs = lambda _: (0, VERSION.replace("1.27.4", "1.22.1"))
    engine.containers["web"] = inspected("web", Id="another", Config={"User": "nginx"})
    await here.control.meet()
    text = here.renderer().render(Snapshot()).root("n").decode()
    assert "keepalive_min_timeout" not in text
    assert "worker_rlimit_nofile" not in text
    assert here.renderer() is here.renderer()
    assert "/containers/web/exec" in " ".join(engine.requests)


async def test_it_need_not_be_there_yet(engine: NginxEngine, tmp_path: Path) -> None:
    """Neither the container nor the engine."""
    engine.containers.clear()
    here = await reach_nginx(settings(engine, tmp_path), tmp_path, TOKEN)
    assert here.control.build is None
    engine.url = f"unix://{tmp_path}/none.sock"
    here = await reach_nginx(settings(engine, tmp_path), tmp_path, TOKEN)
    assert isinstance(here.control, InContainer)
    assert await here.control.master() is None


async def test_a_mistake_is_said_before_anybody_is_asked(engine: NginxEngine, tmp_path: Path) -> None:
    wrong = settings(engine, tmp_path, listen={"http": [":80"], "https": [":80"]}, tls={"certificates": "/c"})
    with pytest.raises(UsageError, match=r"\[nginx.listen\]: .*80 is in http and in https"):
        await reach_nginx(wrong, tmp_path, TOKEN)
    assert engine.requests == []


async def test_without_a_table_it_is_the_usual_engine(
    engine: NginxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    flags = {"nginx": {"via": "docker:web"}}
    here = await reach_nginx(config.load(None, kinds=kinds(), flags=flags), tmp_path, TOKEN)
    assert here.control.build is not None


async def test_the_house_has_it(engine: NginxEngine, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    house = await House.build(settings(engine, tmp_path), State(tmp_path / "state"))
    assert house.board.nginx.version == "1.27.4"
    assert house.board.nginx.start == START


@pytest.mark.parametrize(
    ("dest", "check", "refused"),
    [
        pytest.param("state/nginx/http.d/a.conf", "", True, id="in its folder"),
        pytest.param("a.conf", "nginx -t -c {}/state/nginx/nginx.conf", True, id="by its main file"),
        pytest.param("a.conf", "test -s {}", False, id="of something else"),
        pytest.param("a.conf", "", False, id="of nobody"),
    ],
)
async def test_templates_that_nobody_could_check_are_refused(
    engine: NginxEngine, tmp_path: Path, dest: str, check: str, *, refused: bool
) -> None:
    file = tmp_path / "p.toml"
    (tmp_path / "state").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a").write_text("a")
    command = f'check_cmd = "{check.format(tmp_path)}"' if check else ""
    file.write_text(f'[[template]]\nsrc = "a"\ndest = "{tmp_path}/{dest}"\n{command}\n')
    wanted = settings(engine, tmp_path, file=file)
    if refused:
        with pytest.raises(UsageError, match=r"a.conf: can't be checked in an nginx that is in another"):
            await House.build(wanted, State(tmp_path / "state"))
    else:
        await House.build(wanted, State(tmp_path / "state"))


# --- render, check ---


async def test_a_preview(engine: NginxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    flags = settings(engine, tmp_path)
    made = await preview.render(config.Settings(flags.tables, ()), timeout_s=1)
    assert made.warnings == ["nginx can't be asked what it is; rendered for one that supports the least"]
    assert "nginx.conf" in made.files


async def test_a_check_is_made_in_the_shared_folder(engine: NginxEngine, tmp_path: Path) -> None:
    asked: list[str] = []

    def run(argv: Sequence[str]) -> tuple[int, str]:
        asked.append(argv[-1])
        return 0, VERSION if argv[-1] == "-V" else f"configuration file {argv[-1]} test is successful"

    engine.programs = run
    wanted = settings(engine, tmp_path)
    with pytest.raises(StateError, match=r"make a folder in .*/state/nginx: No such file .* ever run"):
        await preview.check_site(wanted)
    (tmp_path / "state" / "nginx").mkdir(parents=True)
    found = await preview.check_site(wanted)
    assert found == preview.SiteCheck("nginx 1.27.4", "nginx takes it (without routes)", (), ())
    assert asked[-1].startswith(f"{tmp_path}/state/nginx/proxyconf-check-")
    assert list((tmp_path / "state" / "nginx").iterdir()) == []


async def test_a_check_without_the_engine(engine: NginxEngine, tmp_path: Path) -> None:
    engine.refusals["/exec"] = 500, "no"
    (tmp_path / "state" / "nginx").mkdir(parents=True)
    with pytest.raises(CommandError, match="500 no"):
        await preview.check_site(settings(engine, tmp_path))


# --- nobody to ask ---


async def test_nothing_is_written_before_there_is_an_nginx_to_ask(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.apply.resume(None)
    bench.nginx.hidden = "for nginx: none"
    with pytest.raises(UncheckedError):
        await bench.serve(site("a"))
    assert bench.apply.is_first
    bench.nginx.hidden = ""
    bench.nginx.hidden_later = "for nginx: gone"
    with pytest.raises(UncheckedError, match="gone"):
        await bench.serve(site("a"))
    assert bench.apply.is_first
    bench.nginx.hidden_later = ""
    assert await bench.serve(site("a"))
    assert "a.test" in bench.nginx.hosts()
    assert bench.apply.version == "1.22.1"
    bench.nginx.build = None
    assert bench.apply.version == ""


async def test_what_keeps_us_from_reaching_it_is_a_problem(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.nginx.problems = (Problem("nginx", "web", "far away"),)
    assert bench.apply.problems == bench.nginx.problems
