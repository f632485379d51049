"""Candidates checked by a real nginx in the place of its files, and its reloads proved by its workers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import RefusedError
from proxyconf.nginx.beside import open_beside
from proxyconf.nginx.check_line import parse
from proxyconf.nginx.shadow import Shadow
from proxyconf.nginx.syntax import statements
from proxyconf.nginx.workers import is_settled, renewed, started_at
from tests.live.asking import TIMEOUT_S, until
from tests.live.nginx_server import NginxServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from proxyconf.nginx.beside import Beside
    from proxyconf.nginx.workers import Worker

pytestmark = pytest.mark.needs("nginx")

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# as Debian has it, but for the folder
MAIN = """\
worker_processes {workers};
pid {etc}/nginx.pid;
error_log {etc}/error.log;
include {etc}/modules-enabled/*.conf;
events {{
    worker_connections 64;
}}
http {{
    include {etc}/mime.types;
    access_log off;
    include {etc}/conf.d/*.conf;
    include
        sites-enabled/*;
}}
"""
SITE = """\
server {{
    listen 127.0.0.1:{port};
    server_name {name};
    return 200 {answer};
    {more}
}}
"""
FORMAT = "log_format brief $status;\n"
USE = "access_log /dev/null brief;"


class Stock:
    """An nginx with Debian's layout and two sites, both of them links."""

    def __init__(self, etc: Path) -> None:
        self.etc = etc
        self.conf = etc / "nginx.conf"
        for folder in ("conf.d", "modules-enabled", "sites-available", "sites-enabled", "snippets"):
            (etc / folder).mkdir(parents=True)
        self.workers(2)
        self.server = NginxServer(etc, self.conf)
        self.write("mime.types", "types {\n    text/html html;\n}\n")
        for name in ("app", "default"):
            self.write(f"sites-available/{name}", self.site(name))
            (etc / "sites-enabled" / name).symlink_to(f"../sites-available/{name}")

    def workers(self, count: int) -> None:
        self.write("nginx.conf", MAIN.format(etc=self.etc, workers=count))

    def site(self, answer: str, *more: str) -> str:
        return SITE.format(port=self.server.port, name=f"{answer}.test", answer=answer, more="\n".join(more))

    def write(self, name: str, text: str) -> Path:
        file = self.etc / name
        file.write_text(text)
        return file

    def stage(self, texts: Mapping[str, str]) -> dict[Path, Path]:
        """Stage new content beside each of these files."""
        swaps = {
            file: file.with_name(f".{file.name}.proxyconf-stage") for file in map(self.etc.joinpath, texts)
        }
        for staged, text in zip(swaps.values(), texts.values(), strict=True):
            staged.write_text(text)
        return swaps

    def reload(self) -> None:
        os.kill(self.server.pid, signal.SIGHUP)

    async def beside(self, options: str = "") -> Beside:
        line = parse(f"nginx -t -c {self.conf} {options}")
        assert line
        return await open_beside(line)

    def files(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.etc.rglob("*") if file.is_file()}


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return Stock(tmp_path / "etc")


def serving(nginx: NginxServer) -> list[int]:
    return sorted(nginx.workers())


def pids(workers: Iterable[Worker]) -> list[int]:
    return sorted(worker.pid for worker in workers)


def ticks() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def read_by_nginx(conf: Path) -> list[str]:
    """Return the files that nginx reads, in its order."""
    done = subprocess.run(["nginx", "-T", "-q", "-c", conf], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return re.findall(r"(?m)^# configuration file (.*):$", os.fsdecode(done.stdout))


async def test_candidates_are_checked_together(stock: Stock) -> None:
    """A new file, and a site behind a link that needs it: neither is there yet, and none is left."""
    swaps = stock.stage({"conf.d/format.conf": FORMAT, "sites-available/app": stock.site("app", USE)})
    before = stock.files()
    beside = await stock.beside()
    assert await beside.check(swaps) == swaps.keys()
    app = stock.etc / "sites-available/app"
    with pytest.raises(RefusedError, match=f'check {stock.conf}: unknown log format "brief" in {app}:5'):
        await beside.check({app: swaps[app]})
    assert {name: text for name, text in stock.files().items() if name in before} == before
    assert {"error.log", "nginx.pid"} >= {
        name.rpartition("/")[2] for name in stock.files().keys() - before.keys()
    }


async def test_a_broken_predecessor_is_no_obstacle(stock: Stock) -> None:
    """What confd can't get out of: its check sees the broken file that it is to replace."""
    stock.write("conf.d/a.conf", "nonsense;\n")
    beside = await stock.beside()
    good = stock.stage({"conf.d/a.conf": FORMAT})
    assert await beside.check(good) == good.keys()
    other = stock.stage({"conf.d/b.conf": FORMAT})
    with pytest.raises(RefusedError, match=f"in {stock.etc}/conf.d/a.conf:1"):
        await beside.check(other)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        pytest.param("conf.d/a.conf", "\n\nnonsense;\n", 3, id="candidate"),
        pytest.param("sites-available/app", "\nnonsense;\n", 2, id="behind a link"),
        pytest.param(
            "nginx.conf", "events {}\nhttp {\n  include\n  conf.d/*;\n}\nnonsense;\n", 6, id="main file"
        ),
        pytest.param(
            "conf.d/a.conf", "include\n  snippets/new;\nnonsense;\n", 3, id="one that includes another"
        ),
    ],
)
async def test_a_message_names_the_real_file_and_line(stock: Stock, name: str, text: str, line: int) -> None:
    beside = await stock.beside()
    with pytest.raises(RefusedError) as caught:
        await beside.check(stock.stage({name: text, "snippets/new": "# fine\n"}))
    assert (
        str(caught.value) == f'check {stock.conf}: unknown directive "nonsense" in {stock.etc / name}:{line}'
    )
    assert f"configuration file {stock.conf} test failed" in caught.value.output
    assert "proxyconf-" not in caught.value.output


async def test_a_message_about_a_file_that_was_copied(stock: Stock) -> None:
    """Its lines are where they were, though an include of several lines is written anew."""
    stock.write("nginx.conf", stock.conf.read_text() + "nonsense;\n")
    with pytest.raises(RefusedError, match=f"in {stock.conf}:15"):
        await (await stock.beside()).check(stock.stage({"sites-available/app": ""}))


async def test_a_new_main_file_reads_what_is_beside_it(stock: Stock) -> None:
    """Relative names start from its folder, of includes and of all else."""
    stock.write("pem", "")
    text = f"""
        ssl_certificate pem;
        ssl_certificate_key pem;
        server {{ listen unix:{stock.etc}/s ssl; }}
    """
    swaps = stock.stage({"nginx.conf": "events {}\nhttp { include conf.d/*.conf; }", "conf.d/a.conf": text})
    with pytest.raises(RefusedError, match=f'cannot load certificate "{stock.etc}/pem"'):
        await (await stock.beside()).check(swaps)


@pytest.mark.parametrize("name", ['a "b" \\c', "a[1]", "a*\\", "?", "a;{}'$b#", "a\nb", "\u00e9\U0001f600"])
async def test_any_name_of_a_file_is_read(stock: Stock, name: str) -> None:
    """The file beside the candidate, which is included by its name instead of by a pattern."""
    stock.write(f"conf.d/{name}.conf", "nonsense;\n")
    with pytest.raises(RefusedError, match=r"unknown directive .nonsense. in"):
        await (await stock.beside()).check(stock.stage({"conf.d/zz.conf": ""}))


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.conf", "?.conf", "[ab]*", "[!ab]*", "[^ab]*", ".*.conf", r"\a*", "{a,b}*", "../conf.[d]/*"],
)
def test_patterns_are_read_as_nginx_does(stock: Stock, pattern: str) -> None:
    """The same files in the same order, with one of them swapped for its like."""
    stock.write("nginx.conf", f'events {{}}\nhttp {{ include "conf.d/{pattern}"; }}\n')
    for name in ("a", "aa", "B", "_", "b.c", "~", "-", ".hidden", "\u00e9", "\U0001f600", "{a,b}"):
        stock.write(f"conf.d/{name}.conf", "")
    (stock.etc / "conf.d").joinpath(os.fsdecode(b"\xff.conf")).write_text("")
    real = [os.path.normpath(name) for name in read_by_nginx(stock.conf)]
    for file in list((stock.etc / "conf.d").iterdir()):
        swaps = {file: stock.write("staged", "")}
        shadow = Shadow(stock.conf, swaps)
        shadow.write()
        told = shadow.in_real_names("\n".join(read_by_nginx(shadow.main))).split("\n")
        shadow.remove()
        assert [os.path.normpath(name) for name in told] == real
        assert (str(file) in real) is (file in shadow.reached)


def test_words_are_read_as_nginx_does(stock: Stock) -> None:
    """Quotes, escapes, and marks inside words; asked by what it answers."""
    words = [
        r"a\ b\'\"\;\n",
        r'"a\"b\\\n\."',
        r"'\''",
        "don't",
        "a}b#c",
        r"^\d\{2}",
        "'a;{}'",
        '"\\t"',
        r"a\\b",
    ]
    places = [f"location = /{number} {{ return 200 {word}; }}" for number, word in enumerate(words)]
    text = (
        stock.write("sites-available/app", stock.site("default", *places))
        .read_text()
        .replace("return 200 default;", "")
    )
    stock.write("sites-available/app", text)
    stock.write("sites-available/default", "")
    ours = [statement.words[2] for statement in statements(text) if statement.name == "return"]
    with stock.server as nginx:
        theirs = [nginx.get("default.test", f"/{number}").body.decode() for number in range(len(words))]
    assert ours == theirs


async def test_options_are_those_of_the_command(stock: Stock) -> None:
    """A main file that is found by its prefix, with directives that only the command has."""
    stock.write("nginx.conf", "events {}\nhttp { include conf.d/*; }\n")
    line = parse(f"nginx -qT -p {stock.etc} -cnginx.conf -g 'pid p; error_log e; user root;' >/dev/null 2>&1")
    assert line
    beside = await open_beside(line)
    swaps = stock.stage({"conf.d/a": FORMAT})
    assert await beside.check(swaps) == swaps.keys()
    assert (stock.etc / "p").exists()  # a check makes it, as any does
    stock.write("conf.d/a", "user root;")
    with pytest.raises(RefusedError, match=f'"user" directive is not allowed here in {stock.etc}/conf.d/a:1'):
        await beside.check({})


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_reload_is_proved_by_the_workers(stock: Stock, workers: int) -> None:
    """Not by new ones alone: for 100 ms the old ones serve beside them."""
    stock.workers(workers)
    with stock.server as nginx:
        beside = await stock.beside()
        assert await beside.master() == nginx.pid
        assert await beside.is_settled()
        before: frozenset[Worker] = frozenset()
        async with asyncio.timeout(TIMEOUT_S):  # it listens before it has them
            while len(before) < workers:
                before = await beside.serving()
        since = ticks()
        stock.write("sites-available/app", stock.site("app").replace("200 app", "200 new"))
        stock.reload()
        mixed = False
        async with asyncio.timeout(TIMEOUT_S):
            while not renewed(before, after := await beside.serving(), since):
                mixed = mixed or bool(after - before and after & before)
                await asyncio.sleep(0.002)
        assert mixed
        assert {nginx.get("app.test").body for _ in range(20)} == {b"new"}
        assert len(after) == workers


async def test_a_reload_under_way_is_noticed(stock: Stock) -> None:
    """Whoever notes the workers now would take those of this reload for those of the next."""
    with stock.server as nginx:
        beside = await stock.beside()
        before = await beside.serving()
        stock.reload()
        assert not await beside.is_settled()
        assert await beside.serving() >= before
        until(lambda: is_settled(nginx.pid), "the end of the reload")
        assert (await beside.serving()).isdisjoint(before)


async def test_a_refused_reload_proves_nothing(stock: Stock) -> None:
    """By a port that somebody has, which no check can know; the log has the reason."""
    with stock.server as nginx, socket.create_server(("127.0.0.1", 0)) as other:
        beside = await stock.beside()
        before, since, mark = await beside.serving(), ticks(), await beside.mark()
        port = other.getsockname()[1]
        stock.write("conf.d/more.conf", f"server {{ listen 127.0.0.1:{port}; }}\n")
        stock.reload()
        complaints: tuple[str, ...] = ()
        async with asyncio.timeout(TIMEOUT_S):
            while not complaints or complaints[-1].startswith("bind() to"):
                await asyncio.sleep(0.02)
                complaints = await beside.complaints(mark)
                assert not renewed(before, await beside.serving(), since)
        assert f"bind() to 127.0.0.1:{port} failed" in complaints[0]
        assert complaints[-1] == "still could not bind()"
        until(lambda: serving(nginx) == pids(before), "the old workers stay")


async def test_its_start_settles_it(stock: Stock) -> None:
    """A master that was started later has read the files."""
    beside = await stock.beside()
    since = ticks() - 1
    assert not await beside.has_loaded_since(since)
    with stock.server as nginx:
        assert await beside.has_loaded_since(since)
        later = started_at(nginx.pid)
        assert later is not None
        assert not await beside.has_loaded_since(later)


async def test_a_reload_by_somebody_settles_it(stock: Stock) -> None:
    """From a second after the files were installed, so that it has read them for certain."""
    with stock.server as nginx:
        beside = await stock.beside()
        since = started_at(nginx.pid)
        assert since is not None
        nginx.reload()
        assert not await beside.has_loaded_since(since)
        until(lambda: ticks() > since + 1.1 * TICKS_PER_S, "a second later")
        nginx.reload()
        assert await beside.has_loaded_since(since)


async def test_a_crashed_worker_settles_nothing(stock: Stock) -> None:
    """The one in its place is young, and has the old configuration."""
    stock.workers(1)
    with stock.server as nginx:
        beside = await stock.beside()
        since = started_at(nginx.pid)
        assert since is not None
        (before,) = await beside.serving()
        until(lambda: ticks() > since + 1.1 * TICKS_PER_S, "a second later")
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: serving(nginx) not in ([], [before.pid]), "another one in its place")
        assert not await beside.has_loaded_since(since)
