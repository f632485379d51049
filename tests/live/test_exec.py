"""``proxyconf run --exec``: one command for both, by itself and as the first process of a PID namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.live.asking import HERE, Place, ask, until
from tests.live.running import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from proxyconf.api import ChildState

pytestmark = pytest.mark.needs("nginx")

CONTAINER = Place(("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"))


class Both(Running):
    """A proxyconf that follows a file, and whose nginx is its own.

    Args:
        settings: ``TABLE.KEY=VALUE``.
        place: Where; in a PID namespace of its own, proxyconf is its first process.
    """

    def __init__(self, *settings: str, place: Place = HERE) -> None:
        super().__init__(*(word for one in settings for word in ("-s", one)), place=place)
        self.sites = self.folder / "sites.toml"
        self.flags = (*self.flags, "--file", str(self.sites))
        self.contained = place is CONTAINER

    def _command(self, command: str, *args: str) -> list[str]:
        return super()._command(command, *args, *(["--exec"] if command == "run" else []))

    def route(self, backend: str) -> None:
        """Lead a.test to the address *backend*; the file is replaced as a whole."""
        new = self.folder / "new"
        new.write_text(
            f'[services.web]\nendpoints = ["{backend}"]\n[routes.web]\nhost = "a.test"\nservice = "web"\n'
        )
        new.rename(self.sites)

    def until_applied(self) -> None:
        """Wait until nginx, our child, serves what it should."""
        self.until_status(
            lambda status: status.state == "applied" and status.child and status.child.pid, "applied"
        )

    def child(self) -> ChildState:
        """Return what status says of nginx."""
        child = self.status().child
        assert child
        return child

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, exc, trace)
        for pid in self._masters():  # of a test that has failed: else it would have been complained about
            os.killpg(pid, signal.SIGKILL)

    def master(self) -> int:
        """Return the pid of nginx's master, as it is outside."""
        (found,) = self._masters()
        return found

    def _masters(self) -> list[int]:
        title = f"nginx: master process nginx -c {self.root}".encode()
        return [
            int(process.name) for process in Path("/proc").glob("[0-9]*") if _title(process).startswith(title)
        ]

    def first(self) -> int:
        """Return the pid of the first process of the namespace, as it is outside."""
        assert self.process
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())

    def inside(self, script: str) -> str:
        """Run a shell script in the namespace and return what it prints."""
        command = ["nsenter", f"--target={self.first()}", "--pid", "--mount", "sh", "-c", script]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def signal(self, number: signal.Signals) -> None:
        """Send it to proxyconf, or to the first process of the namespace, as ``docker kill`` does."""
        assert self.process
        os.kill(self.first() if self.contained else self.process.pid, number)

    def until_ended(self) -> int:
        """Wait until proxyconf has ended by itself; return its exit code."""
        assert self.process
        code = self.process.wait(20)
        self.process = None
        return code


def _title(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


class SlowBackend:
    """Answers, as "slow", when it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.set()
                outer.let_go.wait(20)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'"name": "slow"')

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def under_way(proxy: Both) -> Iterator[tuple[SlowBackend, list[str]]]:
    """Have a request under way when the block begins; the list gets its answer."""
    answers: list[str] = []
    with SlowBackend() as slow:
        proxy.route(slow.address)
        proxy.until_status(
            lambda status: (
                status.state == "applied"
                and [route.endpoints for route in status.routes] == [(slow.address,)]
            ),
            "the slow backend is served",
        )

        def ask_it() -> None:
            while not slow.asked.is_set():  # an old worker may still take one
                answers[:] = [ask(proxy.port, "a.test")]

        asking = threading.Thread(target=ask_it)
        asking.start()
        until(slow.asked.is_set, "a request is under way")
        yield slow, answers
        slow.let_go.set()
        asking.join()


@pytest.mark.parametrize(
    ("place", "number"),
    [
        pytest.param(HERE, signal.SIGTERM, id="by itself"),
        pytest.param(CONTAINER, signal.SIGQUIT, id="as nginx's images", marks=pytest.mark.needs("root")),
    ],
)
def test_requests_under_way_are_finished(place: Place, number: signal.Signals) -> None:
    """Told to end, it takes no new ones, and leaves nothing running."""
    with Both(place=place) as proxy:
        proxy.route(proxy.backend("one"))
        proxy.start()
        proxy.until_applied()
        assert proxy.ask("a.test") == "one"
        with under_way(proxy) as (slow, answers):
            proxy.signal(number)
            until(lambda: proxy.ask("x.invalid") == "refused", "nginx takes no more")
            assert proxy.child().state == "stopping"
            proxy.signal(signal.SIGTERM)  # once more changes nothing
            slow.let_go.set()
        assert answers == ["slow"]
        proxy.wait_for_end()
        assert len(proxy.events("nginx.started")) == len(proxy.events("nginx.stopped")) == 1
        assert not proxy.events("nginx.not_running")
        assert not proxy.events("nginx.cut_short")


def test_requests_that_take_too_long_are_cut_short() -> None:
    with Both("exec.stop_timeout=300ms") as proxy:
        proxy.route(proxy.backend("one"))
        proxy.start()
        with under_way(proxy) as (_, answers):
            proxy.stop()
        assert answers[0].startswith("RemoteDisconnected")
        assert proxy.events("nginx.cut_short")


@pytest.mark.needs("root", "unshare", "nsenter")
def test_the_first_process_of_a_container() -> None:
    """Orphans are collected, and no exit code of a command gets lost; signals arrive."""
    log = "access.log"
    with Both(place=CONTAINER) as proxy:
        proxy.flags = (*proxy.flags, "-s", f"nginx.access_log={proxy.folder / log}")
        proxy.route(proxy.backend("one"))
        proxy.start()
        proxy.until_applied()
        assert proxy.status().pid > 1
        orphans = threading.Thread(
            target=proxy.inside, args=("for i in $(seq 100); do (sleep 0.01 &); done",)
        )
        orphans.start()
        for name in ("two", "three", "four"):
            proxy.route(proxy.backend(name))
            until(lambda name=name: proxy.ask("a.test") == name, f"{name} answers")  # type: ignore[misc]
            proxy.until_state("applied")
        broken = proxy.state / "nginx" / "http.d" / "broken.conf"
        broken.write_text("nonsense on;\n")
        proxy.signal(signal.SIGHUP)
        assert 'unknown directive "nonsense"' in proxy.until_state("refused").reason
        broken.unlink()
        proxy.signal(signal.SIGHUP)
        proxy.until_state("applied")
        orphans.join()
        until(lambda: "sleep" not in proxy.inside("ps -e -o stat=,comm="), "all orphans are gone")
        until(lambda: "Z" not in proxy.inside("ps -e -o stat="), "there is no zombie")
        (proxy.folder / log).rename(proxy.folder / "old.log")
        proxy.signal(signal.SIGUSR1)
        until((proxy.folder / log).exists, "the log is opened anew")
        assert len(proxy.events("configuration.read_again")) == 2


@pytest.mark.needs("root", "unshare")
def test_nginx_is_killed_and_started_again() -> None:
    """Its workers, which hold the addresses, go with it."""
    with Both(place=CONTAINER) as proxy:
        proxy.route(proxy.backend("one"))
        proxy.start()
        proxy.until_applied()
        killed = proxy.child().pid
        os.kill(proxy.master(), signal.SIGKILL)
        proxy.until_status(
            lambda status: status.state == "applied" and status.child and status.child.pid not in (0, killed),
            "another nginx",
        )
        assert (proxy.child().state, proxy.child().restarts) == ("running", 1)
        until(lambda: proxy.ask("a.test") == "one", "it answers")
        proxy.route(proxy.backend("two"))
        until(lambda: proxy.ask("a.test") == "two", "it follows")
        assert "was killed by SIGKILL" in proxy.events("nginx.ended")[0]["reason"]
        assert "1 restart" in proxy.cli("status").stdout


def test_ending_with_nginx() -> None:
    with Both("exec.on_exit=end") as proxy:
        proxy.route(proxy.backend("one"))
        proxy.start()
        proxy.until_applied()
        os.kill(proxy.master(), signal.SIGKILL)
        assert proxy.until_ended() == 128 + signal.SIGKILL
        until(lambda: proxy.ask("a.test") == "refused", "the workers are gone, too")


def test_an_nginx_that_can_not_start_is_a_problem() -> None:
    """Here its address is taken; as soon as that is free it comes up."""
    with Both() as proxy, ThreadingHTTPServer(("127.0.0.1", proxy.port), BaseHTTPRequestHandler) as other:
        proxy.route(proxy.backend("one"))
        proxy.start()
        status = proxy.until_status(lambda status: status.problems, "a problem")
        assert [(one.what, one.where) for one in status.problems] == [
            ("nginx", f"nginx -c {proxy.root} -g 'daemon off;'")
        ]
        assert "ended with exit code 1" in status.problems[0].why
        other.server_close()
        proxy.until_applied()
        assert not proxy.status().problems
        log = proxy.folder / "proxyconf.log"
        said = [line for line in proxy.log().splitlines() if line.startswith("nginx: [emerg] bind()")]
        assert said
        log.write_text("\n".join(line for line in proxy.log().splitlines() if line.startswith("{")))


def test_unknown_is_not_empty() -> None:
    """While a source is silent nginx waits; with what an earlier run saved, not for ever."""
    with Both("exec.start_after=200ms") as proxy:
        proxy.start()
        proxy.until_event("source.lost")
        proxy.until_state("waiting")
        assert (proxy.child().state, proxy.ask("a.test")) == ("waiting", "refused")
        proxy.route(proxy.backend("one"))
        proxy.until_applied()
        proxy.stop()
        proxy.sites.unlink()
        proxy.start()
        proxy.until_applied()
        assert proxy.ask("a.test") == "one"
        assert proxy.status().sources[0].state == "lost"


def test_a_crash_of_ours_does_not_take_nginx_down() -> None:
    """The next run finds it, keeps it in step, and leaves it, as it did not start it."""
    with Both() as proxy:
        proxy.route(proxy.backend("one"))
        proxy.start()
        proxy.until_applied()
        master = proxy.master()
        proxy.kill()
        assert proxy.ask("a.test") == "one"
        proxy.start()
        proxy.until_status(lambda status: status.child and status.child.state == "adopted", "adopted")
        proxy.route(proxy.backend("two"))
        until(lambda: proxy.ask("a.test") == "two", "it follows")
        proxy.stop()
        assert proxy.events("nginx.left_running")
        assert (proxy.ask("a.test"), proxy.master()) == ("two", master)
        os.kill(master, signal.SIGQUIT)
        until(lambda: not Path(f"/proc/{master}").exists(), "nginx has ended")
