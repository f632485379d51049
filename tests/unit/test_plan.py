"""Which resources belong together, and to which nginx; with programs in the place of nginx."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from proxyconf.groups.plan import Around, Plan, plan
from proxyconf.tables import Confd, Pace
from tests.unit.grouping import Bench, command, view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxyconf.groups.group import Group
    from proxyconf.groups.output import Output
    from proxyconf.resources.table import Resource

PROGRAM = """\
#!/bin/sh
echo "$@" >>{folder}/asked
[ "$*" = -V ] || exit 0
echo 'nginx version: nginx/1.22.1'
echo 'configure arguments: --prefix={folder} --conf-path=conf/nginx.conf --pid-path=pid'
"""


class Host:
    """A host with a program ``nginx`` in its PATH, and the bench's resources."""

    def __init__(self, path: Path) -> None:
        self.bench = Bench(path)
        self.path = path
        self.program = path / "nginx"
        self.program.write_text(PROGRAM.format(folder=path))
        self.program.chmod(0o755)
        (path / "conf").mkdir()
        (path / "conf" / "nginx.conf").write_text("include ../etc/*.conf;\n")

    def around(
        self, *, site: Path | None = None, sync_only: bool = False, keeps_stage: bool = False
    ) -> Around:
        return Around(
            state=self.bench.state,
            templates=self.bench.templates,
            lookups=self.bench.lookups,
            confd=Confd(sync_only=sync_only, keep_stage_file=keeps_stage),
            pace=Pace(),
            site=site,
            binary=str(self.program),
            note=self.bench._note,
        )

    async def plan(self, *resources: Resource, site: Path | None = None) -> Plan:
        return await plan(resources, self.around(site=site))

    def asked(self) -> list[str]:
        file = self.path / "asked"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Host(tmp_path)


def groups(made: Plan) -> list[Group]:
    return [*([made.joined] if made.joined else []), *(lane.group for lane in made.lanes)]


def names(made: Plan) -> list[list[str]]:
    """Return the names of the resources, group by group, that of the site first."""
    return [[output.dest.path.stem for output in group.outputs] for group in groups(made)]


def outputs(made: Plan) -> Sequence[Output]:
    return [output for group in groups(made) for output in group.outputs]


def in_context(made: Plan) -> list[str]:
    return [output.dest.path.stem for output in outputs(made) if output.in_context]


async def test_nothing(host: Host) -> None:
    assert await host.plan() == Plan()


async def test_those_of_one_nginx(host: Host) -> None:
    """Known by their check, or by how they reload the nginx of this host."""
    bench, conf = host.bench, host.path / "conf" / "nginx.conf"
    made = await host.plan(
        bench.resource("a", check=command("nginx -t"), reload=command("service nginx reload")),
        bench.resource("b", check=command(f"nginx -t -c {conf} >/dev/null"), reload=command("./own-script")),
        bench.resource("c", reload=command("nginx -s reload")),
        bench.resource("d", check=command(("nginx", "-t", "-q"))),
        bench.resource("e", check=command("grep x {{.src}}"), reload=command("systemctl reload nginx")),
    )
    assert names(made) == [["a", "b", "c", "d", "e"]]
    assert in_context(made) == ["a", "b", "d"]
    assert made.joined is None


async def test_each_program_is_asked_once(host: Host) -> None:
    resources = [host.bench.resource(name, check=command("nginx -t")) for name in "abcd"]
    await host.plan(*resources)
    assert host.asked() == ["-V"]


async def test_two_main_files_are_two_groups(host: Host) -> None:
    bench = host.bench
    made = await host.plan(
        bench.resource("a", check=command("nginx -t -c /one.conf")),
        bench.resource("b", check=command("nginx -t -c /two.conf")),
    )
    assert names(made) == [["a"], ["b"]]


async def test_one_main_file_by_two_names(host: Host) -> None:
    (host.path / "link.conf").symlink_to("conf/nginx.conf")
    made = await host.plan(
        host.bench.resource("a", check=command(f"nginx -t -c {host.path}/link.conf")),
        host.bench.resource("b", check=command("nginx -t")),
    )
    assert names(made) == [["a", "b"]]


async def test_those_of_one_reload_command(host: Host) -> None:
    """As it is run: one that names the file is each one's own."""
    bench, own = host.bench, command("own {{.dest}}")
    made = await host.plan(
        bench.resource("a", reload=command("haproxy-reload")),
        bench.resource("b", reload=own),
        bench.resource("c", reload=command("haproxy-reload", 5), check=command("haproxy -c -f {{.src}}")),
        bench.resource("d", reload=own),
    )
    assert names(made) == [["a", "c"], ["b"], ["d"]]
    assert in_context(made) == []


async def test_what_reloads_nothing_is_alone(host: Host) -> None:
    made = await host.plan(host.bench.resource("a"), host.bench.resource("b", check=command("true")))
    assert names(made) == [["a"], ["b"]]


async def test_part_of_the_site(host: Host) -> None:
    """What needs no more than the site's own reload; any other command has a group of its own."""
    bench, site = host.bench, host.path / "conf" / "nginx.conf"
    check = command(f"nginx -t -c {site}")
    made = await host.plan(
        bench.resource("a", check=check, reload=command("nginx -s reload")),
        bench.resource("b", check=check),
        bench.resource("c", check=check, reload=command("nginx -s reload && notify")),
        bench.resource("d", check=check, reload=command("nginx -s reload"), min_reload_interval_s=60),
        bench.resource("e", check=command("nginx -t -c /other.conf"), reload=command("nginx -s reload")),
        site=site,
    )
    assert made.joined
    assert names(made) == [["a", "b"], ["c", "d"], ["e"]]


async def test_no_check_in_a_folder_of_the_sites_nginx(host: Host) -> None:
    """It is checked all the same: all of it would have to be right for the site to be loaded."""
    bench, site = host.bench, host.path / "conf" / "nginx.conf"
    folder = bench.state.nginx / "http.d"
    dest = folder / "a.conf"
    resource = bench.resource("a")
    inside = type(resource)(dest=dest, src="a", keys=("/app",))
    made = await host.plan(inside, site=site)
    assert made.joined
    assert in_context(made) == ["a"]
    assert (await host.plan(inside)).joined is None
    own = type(resource)(dest=dest, src="a", keys=("/app",), check=command("grep x {{.src}}"))
    assert (await host.plan(own, site=site)).joined is None
    assert (await host.plan(resource, site=site)).joined is None


async def test_the_file_itself_as_the_main_file(host: Host) -> None:
    """``nginx -t -c {{.src}}`` is asked in the destination's place, from where it includes others."""
    bench = host.bench
    made = await host.plan(
        bench.resource("nginx", check=command("nginx -t -c {{.src}}"), reload=command("nginx -s reload"))
    )
    assert in_context(made) == ["nginx"]
    other = await host.plan(bench.resource("a", check=command("nginx -t -c /x.conf -g 'include {{.src}};'")))
    assert in_context(other) == []


async def test_a_program_that_is_missing_or_something_else(host: Host) -> None:
    """The check is run as it is written then, and says so."""
    (host.path / "bad").mkdir()
    something = host.path / "bad" / "nginx"
    something.write_text("#!/bin/sh\necho no such option\n")
    something.chmod(0o755)
    made = await host.plan(
        host.bench.resource("a", check=command(f"{something} -t"), reload=command("reload")),
        host.bench.resource("b", check=command(f"{host.path}/missing/nginx -t")),
    )
    assert (names(made), in_context(made)) == ([["a"], ["b"]], [])
    group = made.lanes[1].group
    await group.bring(view(b="1"))
    assert host.bench.is_in("b") == ("refused", "")
    assert "exit code 127" in host.bench.reason("b")
    assert "b" not in host.bench.texts()


async def test_a_check_that_somebody_wrote_says_more_than_the_default(host: Host) -> None:
    """Both are of the same nginx; one has options of its own."""
    made = await host.plan(
        host.bench.resource("a", reload=command("nginx -s reload")),
        host.bench.resource(
            "b", check=command("nginx -t -g 'user root;'"), reload=command("nginx -s reload")
        ),
        host.bench.resource("c", reload=command("nginx -s reload")),
    )
    assert names(made) == [["a", "b", "c"]]
    (lane,) = made.lanes
    await lane.group.bring(view(a="1", b="1", c="1"))
    assert any("-g user root;" in line for line in host.asked())


async def test_who_may_adopt_a_file(host: Host) -> None:
    """Only where no nginx must have loaded it; a check that is wanted is made all the same."""
    bench = host.bench
    bench.write(a="1", b="1", c="1")
    made = await host.plan(
        bench.resource("a", reload=command("true")),
        bench.resource("b", reload=command("true"), check=command("true")),
        bench.resource("c", reload=command("nginx -s reload")),
    )
    for group in groups(made):
        await group.bring(view(a="1", b="1", c="1"))
    assert [bench.is_in(name) for name in "abc"] == [
        ("applied", proof) for proof in ("written", "written", "command")
    ]


async def test_settings_reach_the_groups(host: Host) -> None:
    """Neither check nor reload; the staged file stays."""
    bench = host.bench
    resource = bench.resource("a", check=command("false"), reload=command("false"))
    made = await plan([resource], host.around(sync_only=True))
    await made.lanes[0].group.bring(view(a="1"))
    assert (bench.texts(), bench.is_in("a")) == ({"a": "1"}, ("applied", "written"))
    refused = bench.resource("a", check=command("grep never {{.src}}"))
    made = await plan([refused], host.around(keeps_stage=True))
    await made.lanes[0].group.bring(view(a="2"))
    assert bench.left_overs() == [".a.conf.proxyconf-stage"]


async def test_groups_do_not_wait_for_each_other(host: Host) -> None:
    """Not for a check that hangs; nor do they undo each other."""
    bench = host.bench
    made = await host.plan(
        bench.resource("a", check=command("sleep 60; true")), bench.resource("b", reload=bench.reload)
    )
    slow, quick = made.lanes
    tasks = [asyncio.create_task(lane.run()) for lane in made.lanes]
    for lane in made.lanes:
        lane.want(view(a="1", b="1"))
    await quick.settled.wait()
    assert (bench.is_in("b"), slow.settled.is_set()) == (("applied", "command"), False)
    for task in tasks:
        task.cancel()
    slow.group._running.end()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    assert bench.texts() == {"b": "1"}
