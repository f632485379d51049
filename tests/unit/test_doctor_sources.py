"""What each kind of source has to say of itself: etcd's members, Consul's servers, Docker's socket."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proxyconf.config import SourceTable
from proxyconf.doctor import kind_docker, kind_etcd
from proxyconf.doctor.examination import run
from proxyconf.doctor.kind_consul import Look as ConsulLook
from proxyconf.doctor.kind_consul import judge as judge_consul
from proxyconf.doctor.kind_docker import Who, ourselves
from proxyconf.doctor.sources import answers, source_checks
from proxyconf.errors import SourceError
from proxyconf.files import user_name
from proxyconf.model import Entry, Listing, Problem
from proxyconf.nginx.container import Inspected
from proxyconf.sources import _consul_connect, open_source
from proxyconf.sources._etcd_connect import Server
from proxyconf.tables import SourcePolicy
from tests.unit.consul_api import ScriptedConsul
from tests.unit.nginx_engine import NginxEngine, inspected

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

    from proxyconf.doctor.finding import Finding

OWN = "a" * 64
UID, GID = (4_242, 4_243) if os.geteuid() == 0 else (os.getuid(), os.getgid())


def lines(found: Sequence[Finding]) -> list[str]:
    return [f"{one.level}: {one}" for one in found]


async def looked_at(kind: str, **values: object) -> list[str]:
    """Return what is said of a source with these settings."""
    table = SourceTable(kind, kind, values, "test")
    found = [await run(check) for check in source_checks(table, open_source(table))]
    return lines([one for some in found for one in some])


# --- every kind ---


async def test_a_source_that_answers(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[services.a]\nendpoints = ['10.0.0.1:80']\n")
    (found,) = await looked_at("file", path=[str(tmp_path)])
    assert found.startswith("ok: 1 key, listed in ")


async def test_a_source_of_which_nothing_is_wanted() -> None:
    (found, *_) = await looked_at("etcd", endpoints=["http://127.0.0.1:1"], prefix="")
    assert found == "ok: no route or template wants a key of it, so it is not asked"


async def test_a_source_with_nothing_in_it(tmp_path: Path) -> None:
    (found,) = await looked_at("file", path=[str(tmp_path)])
    assert found.startswith("ok: nothing is in it, listed in ")


async def test_a_source_that_does_not_answer(tmp_path: Path) -> None:
    (found,) = await looked_at("file", path=[f"{tmp_path}/none"])
    assert found.startswith(f"wrong: read {tmp_path}/none: ")


async def test_what_a_source_says_of_itself() -> None:
    """A filter before an engine, for example, that hides something."""

    class Odd:
        name, policy = "odd", SourcePolicy()

        async def watch(self) -> AsyncGenerator[Listing, None]:
            problems = (Problem("source", "odd", "is polled (watch it)"), Problem("key", "a", "b"))
            yield Listing("odd", pairs={"/a": Entry(b"")}, problems=problems)

    found = lines([one async for one in answers(Odd(), attempts=1)])
    assert found[0].startswith("ok: 1 key for templates, listed in ")
    assert found[1:] == ["warning: is polled (watch it)"]


# --- etcd ---


def member(name: str = "n1", number: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, clientURLs=[f"http://{name}:2379"], peerURLs=[f"http://{name or 'new'}:2380"], ID=number
    )


def etcd_look(url: str = "http://n1:2379", *, leader: int = 1, **more: Any) -> kind_etcd.Look:  # noqa: ANN401
    status = SimpleNamespace(
        leader=leader, version="3.5.1", header=SimpleNamespace(member_id=1), errors=more.pop("errors", ())
    )
    return kind_etcd.Look(Server("", url), status, 0.0012, **more)


FAILED = kind_etcd.Look(
    Server("", "http://n2:2379"), error=SourceError("ask status at http://n2:2379: refused (a)")
)


@pytest.mark.parametrize(
    ("looks", "by_record", "expected"),
    [
        pytest.param(
            [etcd_look(members=(member(),))],
            False,
            ["ok: http://n1:2379: etcd 3.5.1, the leader, answers in 1.2 ms", "ok: a single member: n1"],
            id="alone",
        ),
        pytest.param(
            [etcd_look(leader=2, members=(member("n2"), member())), FAILED],
            False,
            [
                "ok: http://n1:2379: etcd 3.5.1, a follower, answers in 1.2 ms",
                "warning: ask status at http://n2:2379: refused (a)",
                "ok: 2 members: n1, n2",
            ],
            id="one of two",
        ),
        pytest.param([FAILED, FAILED], False, [], id="none answers"),
        pytest.param(
            [etcd_look(members=(member(), member("n2")))],
            False,
            [
                "ok: http://n1:2379: etcd 3.5.1, the leader, answers in 1.2 ms",
                (
                    "warning: only 1 of its 2 members is in endpoints, so that we lose it with that one"
                    ' (endpoints = ["http://n1:2379", "http://n2:2379"])'
                ),
            ],
            id="only one is configured",
        ),
        pytest.param(
            [etcd_look(members=(member(), member("")))],
            True,
            [
                "ok: http://n1:2379: etcd 3.5.1, the leader, answers in 1.2 ms",
                "warning: a member was added and never started: http://new:2380 (start it, or remove it)",
                "ok: 2 members: n1, one that was never started",
            ],
            id="by a record, one not started",
        ),
        pytest.param(
            [etcd_look(leader=0)],
            False,
            ["wrong: http://n1:2379: the cluster has no leader (most of its members are down or cut off)"],
            id="no leader",
        ),
        pytest.param(
            [etcd_look(errors=("memberID:1 alarm:NOSPACE ", "odd"))],
            False,
            [
                "ok: http://n1:2379: etcd 3.5.1, the leader, answers in 1.2 ms",
                (
                    "wrong: http://n1:2379: says: memberID:1 alarm:NOSPACE (etcdctl compact, etcdctl defrag,"
                    " then etcdctl alarm disarm; or raise --quota-backend-bytes)"
                ),
                "wrong: http://n1:2379: says: odd (see etcd's log)",
            ],
            id="alarms",
        ),
    ],
)
def test_etcd_in_words(looks: list[kind_etcd.Look], expected: list[str], *, by_record: bool) -> None:
    assert lines(list(kind_etcd.judge("etcd", looks, by_record=by_record))) == expected


# --- Consul ---


@asynccontextmanager
async def consul() -> AsyncIterator[ScriptedConsul]:
    async with ScriptedConsul() as made:
        await made.serve()
        yield made


async def test_consul() -> None:
    async with consul() as server:
        listed, seen, clock = await looked_at("consul", endpoints=[server.url])
        assert listed.startswith("ok: nothing is in it, listed in ")
        assert seen.startswith(f"ok: {server.url}: Consul 1.22.0 of 1 server, answers in ")
        assert clock == "ok: its clock and ours agree within 1 s"


async def test_consul_that_tells_us_little() -> None:
    async with consul() as server:
        server.itself |= {"agent/self": None, "status/peers": ["a", "b"]}
        _, seen, _ = await looked_at("consul", endpoints=[server.url])
        assert seen.startswith(f"warning: {server.url}: Consul of 2 servers, answers in ")
        assert seen.endswith("; the loss of either server stops both (run three, or one)")


async def test_consul_without_a_leader() -> None:
    async with consul() as server:
        server.itself["status/leader"] = ""
        _, seen, _ = await looked_at("consul", endpoints=[server.url])
        assert seen == (
            f"wrong: {server.url}: the cluster has no leader"
            " (Consul's servers, or most of them, are down or cut off)"
        )


async def test_consul_that_refuses_us() -> None:
    """One endpoint of two; that the other one works is what counts."""
    async with consul() as server, consul() as other:
        server.itself["status/peers"] = None
        found = await looked_at("consul", endpoints=[server.url, other.url])
        assert found[1].startswith(f"warning: ask status/peers at {server.url}: 403 Permission denied (")
        assert found[2].startswith(f"ok: {other.url}: ")


async def test_consul_that_is_not_there() -> None:
    """Each endpoint is tried; what is wrong is said once."""
    found = await looked_at("consul", endpoints=["http://127.0.0.1:1", "http://127.0.0.1:2"])
    assert [one.partition(":")[0] for one in found] == ["warning", "wrong"]
    assert "http://127.0.0.1:2: connection refused" in found[1]


def test_consul_without_a_clock() -> None:
    look = ConsulLook(_consul_connect.Server("http://c", "http://c"), leader="a", peers=("a",))
    assert len(list(judge_consul("consul", [look]))) == 1


# --- Docker ---


@asynccontextmanager
async def docker(path: Path) -> AsyncIterator[NginxEngine]:
    async with NginxEngine() as engine:
        await engine.serve(path / "docker.sock")
        engine.version = {
            "ApiVersion": "1.41",
            "MinAPIVersion": "1.12",
            "Version": "20.10.24",
            "Components": [{"Name": "Engine"}],
        }
        engine.info = {"SystemTime": time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime())}
        yield engine


async def docker_says(engine: NginxEngine, nginx: str = "", **values: object) -> list[str]:
    source = open_source(SourceTable("docker", "docker", {"url": engine.url, **values}, "test"), nginx=nginx)
    return lines([one async for one in kind_docker.examine(source)])  # type: ignore[arg-type]


@pytest.fixture
async def sockets() -> AsyncIterator[NginxEngine]:
    """An engine whose socket only its owner may use, in a folder that all may enter."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)  # noqa: PTH101 - it is a text
        async with docker(Path(path)) as engine:
            os.chmod(f"{path}/docker.sock", 0o600)  # noqa: PTH101
            yield engine


@pytest.fixture
def _somebody(sockets: NginxEngine) -> Iterator[None]:
    """Be no root, once the engine is there."""
    del sockets
    os.seteuid(65_534)
    yield
    os.seteuid(0)


async def test_docker(tmp_path: Path) -> None:
    async with docker(tmp_path) as engine:
        access, version, clock, place = await docker_says(engine)
        assert access.startswith(f"ok: {tmp_path}/docker.sock: mode 0")
        assert f"; we are user {user_name(os.geteuid())} with the groups " in access
        assert version == f"ok: {engine.url}: Engine 20.10.24, API 1.41, 1.12 at least"
        assert clock == "ok: its clock and ours agree within 1 s"
        assert place == "ok: we are in no container: the networks of the engine's host are ours"


async def test_docker_that_says_little(tmp_path: Path) -> None:
    """An old podman behind a filter."""
    async with docker(tmp_path) as engine:
        engine.version, engine.info = {"ApiVersion": "1.41", "Version": "4.3"}, {}
        found = await docker_says(engine, api_version="1.41")
        assert found[1:] == [
            f"ok: {engine.url}: Docker 4.3, API 1.41",
            "ok: we are in no container: the networks of the engine's host are ours",
        ]


async def test_docker_behind_a_filter(tmp_path: Path) -> None:
    async with docker(tmp_path) as engine:
        engine.refusals["/info"] = (403, "no")
        _, _, refused = await docker_says(engine)
        assert refused == (
            f"warning: ask info of {engine.url}: 403 no (let the proxy in front of the engine pass GET /info)"
        )


async def test_docker_that_is_not_there(tmp_path: Path) -> None:
    """That is said by who wants the containers."""
    async with NginxEngine() as engine:
        engine.url = f"unix://{tmp_path}/none"
        assert await docker_says(engine) == []
        engine.url = "tcp://127.0.0.1:1"
        assert await docker_says(engine) == []


@pytest.mark.parametrize(
    ("fields", "network", "expected"),
    [
        pytest.param(
            {"networks": {"web": "10.0.0.2", "apps": "10.0.1.2"}},
            "",
            "ok: our own container, pc, is in apps, web: containers are reached there",
            id="two",
        ),
        pytest.param(
            {"mode": "host"}, "", "ok: our own container, pc, has the network of the host", id="the host's"
        ),
        pytest.param(
            {"mode": "none"},
            "",
            "warning: our own container, pc, is in no network (none)"
            " (put it into one that it shares with the others)",
            id="none",
        ),
        pytest.param(
            {"networks": {"web": "10.0.0.2"}},
            "apps",
            "wrong: our own container, pc, is not in the network apps, which is configured"
            " (docker network connect apps pc)",
            id="another than is configured",
        ),
    ],
)
def test_our_place_in_words(fields: dict[str, Any], network: str, expected: str) -> None:
    found = kind_docker.place("docker", "our own container, pc,", Inspected("id", "pc", **fields), network)
    assert lines([found]) == [expected]


async def test_our_place_among_containers(tmp_path: Path) -> None:
    async with docker(tmp_path) as engine:
        engine.containers["pc"] = inspected("pc") | {"Id": OWN}
        api = kind_docker.api_of(open_source(SourceTable("docker", "docker", {"url": engine.url}, "test")))  # type: ignore[arg-type]
        found = await kind_docker.our_place("docker", api, ["b" * 64, OWN], "")
        assert found.says == "our own container, pc, is in bridge: containers are reached there"
        found = await kind_docker.our_place("docker", api, ["b" * 64], "")
        assert (found.level, found.says) == ("warning", "we are in a container, but in none of this engine's")


async def test_the_place_of_an_nginx_in_another_container(tmp_path: Path) -> None:
    """Its networks count, wherever we are, and so they are what is told."""
    async with docker(tmp_path) as engine:
        engine.containers["web"] = inspected(
            "web", NetworkSettings={"Networks": {"front": {"IPAddress": "10.0.0.2"}}}
        )
        found = await docker_says(engine, nginx="web")
        assert found[-1] == "ok: nginx's container, web, is in front: containers are reached there"
        found = await docker_says(engine, nginx="web", network="apps")
        assert found[-1].startswith("wrong: nginx's container, web, is not in the network apps, which is")
        engine.containers["web"]["State"] = {"Running": False}
        found = await docker_says(engine, nginx="web")
        assert found[-1] == (
            "warning: nginx's container, web, does not run: by its networks containers are reached"
            " (docker start web, or docker compose up -d)"
        )


LABEL = "system_u:system_r:container_t:s0"
CLOSED = "so it is closed to us (usermod -aG"
CONFINED = f"its mode lets us in, but SELinux or AppArmor does not: {LABEL} (give our container"


@pytest.mark.parametrize(
    ("who", "mode", "expected"),
    [
        pytest.param(
            Who(0, frozenset()), 0o000, "and yet it is closed to us (may we enter its folder?)", id="root"
        ),
        pytest.param(Who(0, frozenset(), LABEL), 0o660, CONFINED, id="root, confined"),
        pytest.param(Who(UID, frozenset()), 0o460, CLOSED, id="owner"),
        pytest.param(Who(UID, frozenset(), LABEL), 0o660, CONFINED, id="owner, confined"),
        pytest.param(Who(UID + 1, frozenset([GID])), 0o606, CLOSED, id="group"),
        pytest.param(Who(UID + 1, frozenset([GID]), LABEL), 0o660, CONFINED, id="group, confined"),
        pytest.param(Who(UID + 1, frozenset([GID + 1])), 0o660, f"--group-add {GID})", id="others"),
        pytest.param(Who(UID + 1, frozenset(), LABEL), 0o666, CONFINED, id="others, confined"),
    ],
)
def test_a_socket_that_is_closed_to_us(tmp_path: Path, who: Who, mode: int, expected: str) -> None:
    path = tmp_path / "s"
    path.touch()
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, UID, GID)
    (found,) = kind_docker.socket_findings("docker", path, who, denied=True)
    assert found.level == "wrong"
    assert f"{path}: mode {mode:04o}, of user {user_name(UID)} and group" in found.says
    assert expected in str(found)


def test_no_socket(tmp_path: Path) -> None:
    assert kind_docker.socket_findings("docker", tmp_path / "s", ourselves(), denied=True) == ()


@pytest.mark.needs("root")
@pytest.mark.usefixtures("_somebody")
async def test_an_engine_whose_socket_is_closed(sockets: NginxEngine) -> None:
    """Nothing more is asked then."""
    (found,) = await docker_says(sockets)
    assert "so it is closed to us (usermod -aG root nobody, and start anew; a container: group_add," in found


def test_what_confines_us(tmp_path: Path) -> None:
    (tmp_path / "label").write_bytes(b"docker-default (enforce)\n\0")
    assert ourselves(tmp_path / "label").label == "docker-default (enforce)"
    who = ourselves(tmp_path / "none")
    assert (who.user, who.label) == (os.geteuid(), "")
    assert os.getegid() in who.groups
