"""Operators' own files: which of them a host has, when they are read again, what becomes of refused ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.nginx.addition_folders import AdditionFolders
from proxyconf.nginx.additions import NO_ADDITIONS, Additions, piece, piece_name
from proxyconf.nginx.part import read_part
from proxyconf.nginx.site import Renderer
from proxyconf.state import Applied
from tests.golden.cases import TWO_SERVICES, dialect
from tests.unit.fake_nginx import Bench, assert_startable, serving, site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.looptime


def put(path: Path, name: str, text: str) -> None:
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


class TestWhose:
    """Files by name."""

    one, two = piece("/host.d/a.test.conf", b"aio on;"), piece("/host.d/default.conf", b"aio off;")

    @pytest.mark.parametrize(
        ("host", "name"),
        [("a.test", "a.test.conf"), ("*.a.test", "_.a.test.conf"), ("default", "default.conf")],
    )
    def test_a_file_has_the_name_of_its_host_without_a_star(self, host: str, name: str) -> None:
        assert piece_name(host) == name

    def test_the_default_ones_are_for_hosts_without_one_of_their_own(self) -> None:
        both = {"a.test.conf": self.one, "default.conf": self.two}
        found = Additions(servers=both, locations={"b.test.conf": self.one})
        assert found.of("a.test") == (self.one, None)
        assert found.of("b.test") == (self.two, self.one)
        assert NO_ADDITIONS.of("a.test") == (None, None)

    def test_another_one_in_its_place(self) -> None:
        found = Additions(servers={"a.test.conf": self.one}, locations={"default.conf": self.two})
        assert found.without({}) is found
        other = found.without({self.one.name: self.two, self.two.name: None})
        assert other == Additions(servers={"a.test.conf": self.two})

    def test_a_copy_tells_where_it_is_from(self) -> None:
        """So that the next run knows the last good form of a file that is refused meanwhile."""
        assert read_part(self.one.file, self.one.text) == self.one
        assert self.one.text.startswith(b"aio on;\n#"), "what nginx says of a line is so of the original"


class TestFolders:
    """What is read, and when."""

    @pytest.fixture
    def folders(self, tmp_path: Path) -> AdditionFolders:
        put(tmp_path, "host.d/a.test.conf", "aio on;\n")
        put(tmp_path, "location.d/default.conf", "aio off;\n")
        put(tmp_path, "pages/404.html", "gone")
        return AdditionFolders(tmp_path, tmp_path / "pages")

    def test_they_are_read_once(self, folders: AdditionFolders, tmp_path: Path) -> None:
        assert not folders.is_current()
        found = folders.refresh()
        assert folders.is_current()
        assert folders.refresh() is found is folders.found
        assert {name: part.name for name, part in found.servers.items()} == {
            "a.test.conf": str(tmp_path / "host.d" / "a.test.conf")
        }
        assert found.locations["default.conf"].text.startswith(b"aio off;\n")
        assert {status: page.text for status, page in found.pages.items()} == {404: b"gone"}
        assert found.problems == ()

    @pytest.mark.parametrize(
        "meddle",
        [
            pytest.param(lambda path: put(path, "host.d/b.test.conf", ""), id="added"),
            pytest.param(lambda path: put(path, "host.d/a.test.conf", "aio on ;\n"), id="edited"),
            pytest.param(lambda path: (path / "location.d/default.conf").unlink(), id="deleted"),
            pytest.param(lambda path: (path / "host.d/a.test.conf").chmod(0), id="closed"),
            pytest.param(lambda path: put(path, "pages/404.html", "lost"), id="page"),
        ],
    )
    def test_a_change_is_noticed(
        self, folders: AdditionFolders, tmp_path: Path, meddle: Callable[[Path], object]
    ) -> None:
        before = folders.refresh()
        meddle(tmp_path)
        assert not folders.is_current()
        assert folders.refresh() is not before
        assert folders.is_current()

    def test_what_is_no_hosts_is_passed_over(self, folders: AdditionFolders, tmp_path: Path) -> None:
        """Among them what would be a pattern to nginx, or is an editor's."""
        for name in ("a.conf~", ".#a.test.conf", "a b.conf", "*.test.conf", "A.test.conf", 'x";.conf'):
            put(tmp_path, f"host.d/{name}", "aio on;")
        found = folders.refresh()
        assert set(found.servers) == {"a.test.conf"}
        why = "is passed over: its name can be no host's (write that in lower case, and _ for a star, as in"
        assert [str(problem) for problem in found.problems] == [
            f"file {tmp_path}/host.d/{name}: {why} _.example.com.conf)"
            for name in ("*.test.conf", "A.test.conf", "a b.conf", 'x";.conf')
        ]

    def test_the_names_that_nginx_proxy_has(self, folders: AdditionFolders, tmp_path: Path) -> None:
        """They are told where a host is meant, and not of every file that lies about."""
        names = ("host.d/a.test", "location.d/b.test_location", "location.d/default_location")
        for name in (*names, "host.d/c.test", "host.d/notes.txt"):
            put(tmp_path, name, "aio on;")
        rendered = Renderer(dialect()).render(site("a", "b"), additions=folders.refresh())
        why = "is passed over: a file for {0} is called {0}.conf (rename it)"
        assert [str(problem) for problem in rendered.problems] == [
            f"file {tmp_path}/host.d/a.test: {why.format('a.test')}",
            f"file {tmp_path}/location.d/b.test_location: {why.format('b.test')}",
            f"file {tmp_path}/location.d/default_location: {why.format('default')}",
        ]

    def test_what_can_not_be_copied_nginx_reads_itself(
        self, folders: AdditionFolders, tmp_path: Path
    ) -> None:
        """It may be able to; else it refuses it, and says why."""
        (tmp_path / "host.d/a.test.conf").unlink()
        (tmp_path / "host.d/a.test.conf").symlink_to(tmp_path / "nowhere")
        put(tmp_path, "host.d/large.test.conf", "#" * (1 << 20) + "\n")
        found = folders.refresh()
        for name, part in found.servers.items():
            assert part.text.startswith(f'include "{tmp_path}/host.d/{name}";\n'.encode())
        assert set(found.servers) == {"a.test.conf", "large.test.conf"}

    def test_nobody_waits_for_a_fifo(self, folders: AdditionFolders, tmp_path: Path) -> None:
        """A piece becomes what nginx refuses: hosts that it may have to guard are not served without it."""
        for name in ("host.d/b.test.conf", "pages/503.html"):
            os.mkfifo(tmp_path / name)
        found = folders.refresh()
        assert found.servers["b.test.conf"].text.startswith(b"this_is_no_regular_file;\n")
        assert set(found.servers) == {"a.test.conf", "b.test.conf"}
        assert set(found.pages) == {404}
        assert [str(problem) for problem in found.problems] == [
            f"file {tmp_path}/host.d/b.test.conf: is no regular file (put one in its place)",
            f"page {tmp_path}/pages/503.html: is no regular file (put one in its place)",
        ]

    @pytest.mark.parametrize("folder", ["host.d", "location.d", "pages"])
    def test_a_name_that_is_no_text_is_shown_by_its_bytes(
        self, folders: AdditionFolders, tmp_path: Path, folder: str
    ) -> None:
        """As it is, it would break the JSON of the status, and a line of the log."""
        ending = "html" if folder == "pages" else "conf"
        for name in (f"\udcff.{ending}", f"a\n.{ending}"):
            put(tmp_path, f"{folder}/{name}", "x")
        found = folders.refresh()
        start, why = f"file '{tmp_path}/{folder}/", "has a name that can't be read (rename it)"
        assert [str(problem) for problem in found.problems] == [
            f"{start}a\\n.{ending}': {why}",
            f"{start}\\udcff.{ending}': {why}",
        ]
        assert (set(found.servers), set(found.pages)) == ({"a.test.conf"}, {404})

    def test_equal_files_are_two_parts(self, tmp_path: Path) -> None:
        put(tmp_path, "host.d/a.test.conf", "aio on;")
        put(tmp_path, "host.d/b.test.conf", "aio on;")
        parts = AdditionFolders(tmp_path).refresh().servers.values()
        assert len({part.file for part in parts}) == 2

    def test_pages_that_can_not_be_used_are_problems(self, folders: AdditionFolders, tmp_path: Path) -> None:
        put(tmp_path, "pages/503.html", "soon")
        folders.refresh()
        put(tmp_path, "pages/503.html", "x" * ((1 << 20) + 1))
        put(tmp_path, "pages/502.html", "x" * ((1 << 20) + 1))
        put(tmp_path, "pages/oops.html", "?")
        (tmp_path / "pages/404.html").unlink()
        (tmp_path / "pages/404.html").mkdir()
        found = folders.refresh()
        assert {status: page.text for status, page in found.pages.items()} == {404: b"gone", 503: b"soon"}
        pages = tmp_path / "pages"
        large = "is too large: it has more than 1048576 bytes (make it smaller)"
        assert [str(problem) for problem in found.problems] == [
            f"page {pages}/404.html: can't be read: Is a directory (may we?); the one before is still used",
            f"page {pages}/502.html: {large}",
            f"page {pages}/503.html: {large}; the one before is still used",
            f"page {pages}/oops.html: is the page of no status (name it as 404.html, 50x.html or 5xx.html)",
        ]

    @pytest.mark.parametrize("name", ["pages", "x" * 300], ids=["missing", "impossible"])
    def test_a_folder_of_pages_that_is_none(self, tmp_path: Path, name: str) -> None:
        """Whatever is wrong with it: it may also be closed to us, or on a disk that is away."""
        (problem,) = AdditionFolders(tmp_path, tmp_path / name).refresh().problems
        assert str(problem) == f"folder {tmp_path}/{name}: is no folder (make it, or set error_pages)"


def refusing(text: str) -> str:
    return 'unknown directive "oops" PLACE' if "oops" in text else ""


def included(bench: Bench, host: str) -> bool:
    """Tell whether nginx serves *host* with a piece that is an operator's."""
    parts = (part.read_text() for part in (bench.folder.path / "parts").glob("h-*.conf"))
    loaded = bench.nginx.texts()
    return any(f"server_name {host};" in text and "/o-" in text and text in loaded for text in parts)


class TestApplied:
    """Pieces on their way into nginx, which is a fake one."""

    async def test_a_piece_is_served_without_another_change(self, tmp_path: Path) -> None:
        bench = await serving(tmp_path, site("a", "b"))
        assert await bench.apply.serves()
        put(tmp_path, "host.d/a.test.conf", "aio on;")
        assert not await bench.apply.serves()
        await bench.serve(site("a", "b"))
        assert (included(bench, "a.test"), included(bench, "b.test")) == (True, False)
        assert await bench.apply.serves()
        (tmp_path / "host.d/a.test.conf").unlink()
        await bench.serve(site("a", "b"))
        assert not included(bench, "a.test")
        assert bench.nginx.signals == 3

    async def test_one_for_no_host_of_ours_reloads_nothing(self, tmp_path: Path) -> None:
        bench = await serving(tmp_path, site("a"))
        put(tmp_path, "host.d/yet-to-come.test.conf", "oops")
        await bench.serve(site("a"))
        assert (bench.nginx.signals, await bench.apply.serves()) == (1, True)

    async def test_a_refused_one_keeps_its_last_good_form(self, tmp_path: Path) -> None:
        """What nginx says of the copy is said of the file; its host may change meanwhile."""
        put(tmp_path, "host.d/a.test.conf", "aio on;")
        bench = await serving(tmp_path, site("a", "b"))
        bench.nginx.refuse = refusing
        put(tmp_path, "host.d/a.test.conf", "oops;")
        await bench.serve(site("a", "b", "c", endpoint="10.0.0.2:80"))
        assert bench.nginx.hosts() == ["a.test", "b.test", "c.test"]
        assert included(bench, "a.test")
        file = tmp_path / "host.d" / "a.test.conf"
        assert [str(problem) for problem in bench.apply.problems] == [
            f'file {file}: nginx refuses it: unknown directive "oops" in {file}:2 (its last good form serves)'
        ]
        assert_startable(tmp_path)

    async def test_a_new_one_that_is_refused_leaves_its_host_as_it_was(self, tmp_path: Path) -> None:
        """And a host that was never served without it is not served: it may be what keeps strangers out."""
        bench = await serving(tmp_path, site("a"))
        bench.nginx.refuse = refusing
        put(tmp_path, "location.d/default.conf", "oops;")
        await bench.serve(site("a", "b", endpoint="10.0.0.2:80"))
        assert (bench.nginx.hosts(), bench.nginx.closed()) == (["a.test", "b.test"], ["b.test"])
        assert "10.0.0.2" in bench.nginx.texts()
        file = tmp_path / "location.d" / "default.conf"
        assert [f"{problem.what} {problem.where}" for problem in bench.apply.problems] == [
            f"file {file}",
            "host b.test",
        ]
        assert bench.apply.problems[1].why.startswith(f"answers 503, for nginx refuses {file}")
        put(tmp_path, "location.d/default.conf", "aio on;")
        await bench.serve(site("a", "b"))
        assert bench.nginx.closed() == []

    async def test_one_that_nginx_does_not_point_at_is_found_by_trying(self, tmp_path: Path) -> None:
        """It is the file that must go, not its host."""
        bench = await serving(tmp_path, site("a"))
        bench.nginx.refuse = lambda text: "it will not do" if "oops" in text else ""
        put(tmp_path, "host.d/a.test.conf", "oops;")
        await bench.serve(site("a", "b"))
        assert bench.nginx.hosts() == ["a.test", "b.test"]
        assert [problem.what for problem in bench.apply.problems] == ["file"]

    async def test_at_the_very_first_start_its_host_answers_503(self, tmp_path: Path) -> None:
        put(tmp_path, "host.d/a.test.conf", "oops;")
        bench = Bench(tmp_path)
        bench.nginx.refuse = refusing
        await bench.apply.resume(None)
        await bench.serve(site("a", "b"))
        assert (bench.nginx.hosts(), bench.nginx.closed()) == (["a.test", "b.test"], ["a.test"])

    async def test_a_host_that_was_only_ever_closed_stays_so(self, tmp_path: Path) -> None:
        """nginx has proved the 503, which is no form to go on with without the file, also after a restart."""
        put(tmp_path, "host.d/a.test.conf", "oops;")
        bench = Bench(tmp_path)
        bench.nginx.refuse = refusing
        await bench.apply.resume(None)
        await bench.serve(site("a", "b"))
        await bench.serve(site("a", "b", endpoint="10.0.0.2:80"))
        assert bench.nginx.closed() == ["a.test"]
        later = await again(bench)
        later.nginx.refuse = refusing
        await later.serve(site("a", "b", "c"))
        assert later.nginx.closed() == ["a.test"]
        put(tmp_path, "host.d/a.test.conf", "aio on;")
        await later.serve(site("a", "b"))
        assert later.nginx.closed() == []

    async def test_the_next_run_knows_the_last_good_form(self, tmp_path: Path) -> None:
        put(tmp_path, "host.d/a.test.conf", "aio on;")
        first = await serving(tmp_path, site("a"))
        put(tmp_path, "host.d/a.test.conf", "oops;")
        bench = await again(first)
        await bench.serve(site("a", "b"))
        assert bench.nginx.hosts() == ["a.test", "b.test"]
        assert included(bench, "a.test")
        assert "its last good form serves" in bench.apply.problems[0].why

    async def test_the_next_run_knows_who_was_served_without_it(self, tmp_path: Path) -> None:
        """They go on so, and it holds up nobody; who is new may need it to keep strangers out."""
        first = await serving(tmp_path, site("a"))
        put(tmp_path, "location.d/default.conf", "oops;")
        bench = await again(first)
        await bench.serve(site("a", "b", endpoint="10.0.0.2:80"))
        assert (bench.nginx.hosts(), bench.nginx.closed()) == (["a.test", "b.test"], ["b.test"])
        assert "10.0.0.2" in bench.nginx.texts()
        assert [problem.what for problem in bench.apply.problems] == ["file", "host"]
        (tmp_path / "location.d/default.conf").unlink()
        await bench.serve(site("a", "b"))
        assert bench.nginx.closed() == []

    async def test_a_host_that_a_good_one_can_not_bear_is_to_blame_itself(self, tmp_path: Path) -> None:
        """Such as a path for which the file has a location, too; nginx names the file."""
        put(tmp_path, "host.d/a.test.conf", "aio on;")
        bench = await serving(tmp_path, site("a"))
        wanted = site("a", "b", endpoint="10.0.0.2:80")
        (copy,) = (tmp_path / "parts").glob("o-*.conf")
        bench.nginx.refuse = lambda text: f"duplicate in {copy}:1" if "server_name b.test" in text else ""
        await bench.serve(wanted)
        assert bench.nginx.hosts() == ["a.test"]
        (problem,) = bench.apply.problems
        why = f"nginx refuses it: duplicate in {tmp_path}/host.d/a.test.conf:1 (it is left out)"
        assert str(problem) == f"host b.test: {why}"


async def again(bench: Bench) -> Bench:
    """Return what a run after that of *bench* is, before it has done anything; it refuses what says oops."""
    proved = bench.apply.proved
    assert proved
    other = Bench(bench.folder.path, bench.nginx)
    await other.apply.resume(Applied(digest=proved.digest, nonce=proved.nonce, at=0.0, owners={}))
    bench.nginx.refuse = refusing
    return other


def test_only_what_changed_is_written_anew() -> None:
    renderer = Renderer(dialect())
    first = renderer.render(TWO_SERVICES)
    own = Additions(servers={"a.test.conf": piece("/host.d/a.test.conf", b"aio on;")})
    second = renderer.render(TWO_SERVICES, additions=own)
    kept = {id(part) for part in first.parts} & {id(part) for part in second.parts}
    assert len(kept) == len(first.parts) - 1
    assert renderer.render(TWO_SERVICES) == first
