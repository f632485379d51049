"""The real program and a real nginx, as child processes in a folder of their own: started, asked, ended.

Nothing here needs pytest; every call blocks, and whatever waits has a bound. Only what was started here is
ended, by its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from proxyconf.errors import StateError
from proxyconf.report import as_text
from proxyconf.status import ask_status
from tests.live.asking import HERE, TIMEOUT_S, Place, RunningError, Trickle, ask, until
from tests.live.echo_backend import EchoBackend
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from proxyconf.api import Status
    from tests.live.etcd_server import EtcdServer

REPOSITORY = Path(__file__).parents[2]
_LOG_TAIL = 4_000


class Running:
    """One proxyconf, its nginx, and the backends of a test; all are ended at exit, and none may be left.

    Where the block ends without an exception, proxyconf must have ended with 0, and logged nothing but JSON.

    Attributes:
        folder: For everything that belongs to it; short, since a unix socket's path has 107 bytes at most.
        state: The state folder.
        root: The file that nginx is started on.
        port: Of 127.0.0.1, where nginx listens.
        process: The program, while it runs.
        nginx: nginx's master, while it runs.
    """

    def __init__(self, *flags: str, place: Place = HERE) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pc-"))
        self.folder.chmod(0o755)  # nginx's workers are other users
        self.state = self.folder / "state"
        self.root = self.state / "nginx" / "nginx.conf"
        (self.port,) = free_ports(1)
        self.process: subprocess.Popen[bytes] | None = None
        self.nginx: subprocess.Popen[bytes] | None = None
        self.flags = (
            *("--state", str(self.state), "-s", f"nginx.listen.http=127.0.0.1:{self.port}"),
            *("-s", "log.format=json", *flags),
        )
        self._place = place
        self._worker_count = 0
        self._client = ThreadPoolExecutor(max_workers=1, initializer=place.enter)
        self._rest = ExitStack()
        self._notices = self.folder / "notices.log"
        self._backends: dict[str, EchoBackend] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process and exc is None:
                self.stop()
        finally:
            self._end_all()
            left = processes_of(self.folder)
            odd = self._odd_lines()
            shutil.rmtree(self.folder)
        if exc is None and (left or odd):
            raise RunningError(f"processes left: {left}; lines that are no JSON, or tell of a bug: {odd}")

    def _end_all(self) -> None:
        if self.process:
            self.kill()
        self.kill_nginx()
        self._rest.close()
        self._client.shutdown()

    def _odd_lines(self) -> list[str]:
        lines = self.log().splitlines()
        return [line for line in lines if not line.startswith("{") or '"exception"' in line]

    # --- the program ---

    def start(self) -> None:
        """Start proxyconf; return at once."""
        self._count_reloads()
        with (self.folder / "proxyconf.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("run"),
                cwd=REPOSITORY,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def serve(self, *, until_s: float = TIMEOUT_S) -> None:
        """Start proxyconf, and nginx as soon as there is something to start it on; wait for the proof."""
        self.start()
        self.until_state("installed", timeout_s=until_s)
        self.start_nginx()
        self.until_state("applied")

    def stop(self) -> None:
        """Tell proxyconf to end, by SIGTERM.

        Raises:
            RunningError: It did not within ten seconds, or not with 0; or its socket is still there.
        """
        self.signal(signal.SIGTERM)
        self.wait_for_end()

    def wait_for_end(self) -> None:
        """Wait until proxyconf, which was told to end, has; raises as `stop`."""
        assert self.process
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            raise RunningError(f"proxyconf does not end\n{self.log()[-_LOG_TAIL:]}") from None
        self.process = None
        if code or self._socket.exists():
            raise RunningError(f"proxyconf ended with {code}\n{self.log()[-_LOG_TAIL:]}")

    def kill(self) -> None:
        """End proxyconf as a crash does (SIGKILL)."""
        self.signal(signal.SIGKILL)
        assert self.process
        self.process.wait()
        self.process = None

    def signal(self, number: signal.Signals) -> None:
        """Send proxyconf a signal: SIGSTOP and SIGCONT freeze and thaw it."""
        assert self.process
        self.process.send_signal(number)

    def cli(self, command: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command of proxyconf with the same settings, in time, and return how it ended."""
        return subprocess.run(
            self._command(command, *args),
            cwd=REPOSITORY,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _command(self, command: str, *args: str) -> list[str]:
        return [*self._place.prefix, sys.executable, "-m", "proxyconf", command, *self.flags, *args]

    # --- what it says ---

    @property
    def _socket(self) -> Path:
        return self.state / "status.sock"

    def status(self) -> Status:
        """Ask proxyconf for everything.

        Raises:
            StateError: It does not answer.
        """
        return self._client.submit(lambda: asyncio.run(ask_status(self._socket))).result()

    def until_state(self, state: str, *, timeout_s: float = TIMEOUT_S) -> Status:
        """Wait until proxyconf says that it is in *state*, and return all it says then."""
        return self.until_status(lambda status: status.state == state, state, timeout_s=timeout_s)

    def until_status(
        self, test: Callable[[Status], object], what: str, *, timeout_s: float = TIMEOUT_S
    ) -> Status:
        """Wait until *test* is true of the status, and return it."""
        found: Status | None = None

        def passes() -> bool:
            nonlocal found
            with suppress(StateError):
                found = self.status()
                return bool(test(found))
            return False

        self._until(passes, lambda: f"status: {what}", timeout_s=timeout_s)
        assert found
        return found

    def log(self) -> str:
        """Return all that proxyconf has printed since the first start."""
        path = self.folder / "proxyconf.log"
        return path.read_text() if path.exists() else ""

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged under the name *event*; a line that is still being written is left out."""
        lines = self.log().split("\n")[:-1]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == event]

    def until_event(self, event: str, *, count: int = 1) -> dict[str, Any]:
        """Wait until *event* has been logged *count* times, and return the last one."""
        self._until(lambda: len(self.events(event)) >= count, lambda: f"event {event}, {count} times")
        return self.events(event)[-1]

    def _until(
        self, condition: Callable[[], object], what: Callable[[], str], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Wait as `until` does; a failure tells what proxyconf says about it."""
        try:
            until(condition, "", timeout_s=timeout_s)
        except RunningError as exc:
            with suppress(StateError):
                raise RunningError(
                    f"{exc}{what()}\n{as_text(self.status())}\n{self.log()[-_LOG_TAIL:]}"
                ) from None
            raise RunningError(f"{exc}{what()}\n{self.log()[-_LOG_TAIL:]}") from None

    # --- nginx and its clients ---

    def start_nginx(self, command: str = "") -> None:
        """Start nginx by *command*, by default the one that status names, and wait until it listens."""
        argv = shlex.split(command or self.status().nginx.start)
        self._worker_count = _worker_count(Path(argv[argv.index("-c") + 1]))
        self._count_reloads()
        with (self.folder / "nginx.out").open("ab") as out:
            self.nginx = subprocess.Popen(
                [*self._place.prefix, *argv, "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # so that its workers can be killed with it
            )
        until(lambda: self.ask("x.invalid") != "refused" or self.nginx_ended(), "nginx listens")
        if self.nginx_ended():
            raise RunningError(f"nginx ended\n{(self.folder / 'nginx.out').read_text()}")

    def nginx_ended(self) -> bool:
        """Tell whether nginx's master ended by itself."""
        return self.nginx is not None and self.nginx.poll() is not None

    def kill_nginx(self) -> None:
        """End nginx and its workers as a crash does (SIGKILL), if it runs."""
        if self.nginx:
            with suppress(ProcessLookupError):
                os.killpg(self.nginx.pid, signal.SIGKILL)
            self.nginx.wait()
            self.nginx = None

    def _count_reloads(self) -> None:
        """Give nginx a second log, of which proxyconf knows nothing; before it runs, or it is a change."""
        notices = self.state / "nginx" / "main.d" / "notices.conf"
        if not notices.exists():
            notices.parent.mkdir(parents=True, exist_ok=True)
            notices.write_text(f"error_log {self._notices} notice;\n")

    def reloads(self) -> int:
        """Return how often nginx itself, in mode own, was told to read its configuration again."""
        return self._notices.read_text().count("(SIGHUP) received")

    def until_settled(self) -> None:
        """Wait until no worker of an earlier configuration is left."""
        # for 100 ms of a reload the old ones and the new ones look alike, and both answer
        until(lambda: len(self._workers()) == self._worker_count, "the old workers are gone")

    def _workers(self) -> list[str]:
        assert self.nginx
        return Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children").read_text().split()

    def nginx_test(self) -> str:
        """Return what ``nginx -t`` finds wrong with the file on disk; "" if nginx would start from it."""
        done = subprocess.run(
            ["nginx", "-t", "-c", self.root], capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        return done.stderr.decode(errors="replace") if done.returncode else ""

    def backend(self, name: str) -> str:
        """Return the address of the backend *name*, which answers its name; it is started when first used."""
        if name not in self._backends:
            self._backends[name] = self._rest.enter_context(EchoBackend(name))
        return self._backends[name].address

    def ask(self, host: str, path: str = "/") -> str:
        """Ask nginx on a fresh connection.

        Returns:
            The name of the backend that answered; else the status; ``refused`` where nothing listens.
        """
        return self._client.submit(ask, self.port, host, path).result()

    def answers(self, host: str, path: str = "/", *, count: int = 8) -> list[str]:
        """Ask *count* times."""
        return [self.ask(host, path) for _ in range(count)]

    def until_serves(self, host: str, *names: str, path: str = "/", timeout_s: float = TIMEOUT_S) -> None:
        """Wait until every answer is one of *names*, each of them answers, and nobody else can any more."""
        seen: set[str] = set()

        def passes() -> bool:
            nonlocal seen
            seen = set(self.answers(host, path))
            return seen == set(names)

        self._until(passes, lambda: f"{host}{path}: {names}, but last {seen}", timeout_s=timeout_s)
        self.until_settled()

    def until_endpoints(self, host: str, count: int) -> None:
        """Wait until nginx knows *count* addresses for *host*, and no worker knows others.

        Where one of them answers no more, this is to come before any question: that would wait for it.
        """
        self.until_status(
            lambda status: (
                status.state == "applied"
                and [len(route.endpoints) for route in status.routes if route.host == host] == [count]
            ),
            f"{host} has {count} endpoints",
        )
        self.until_settled()

    def trickle(self, host: str) -> Trickle:
        """Return a client that asks all the time while its block runs."""
        return Trickle(self._place, self.port, host)


def _worker_count(conf: Path) -> int:
    found = re.search(r"worker_processes (\w+);", conf.read_text())
    count = found[1] if found else "1"
    return (os.cpu_count() or 1) if count == "auto" else int(count)


def _environment() -> dict[str, str]:
    """Return our environment without what would overrule the flags."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PROXYCONF_", "DOCKER_"))}


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command lines in which *folder* occurs, by process id; ours is none of them."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes()
            if f"{folder}/".encode() in line:
                found[int(process.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


class Keys:
    """What an etcd holds below one prefix.

    Attributes:
        etcd: The server.
        prefix: Of the test.
    """

    def __init__(self, etcd: EtcdServer, prefix: str) -> None:
        self.etcd = etcd
        self.prefix = prefix

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes proxyconf follow them."""
        return ("--etcd", self.etcd.url, "-s", f"etcd.prefix={self.prefix}")

    def put(self, key: str, value: str | bytes | Mapping[str, object]) -> None:
        """Set a key, to JSON where *value* is a mapping."""
        raw = value if isinstance(value, str | bytes) else json.dumps(value)
        self.etcd.put(f"{self.prefix}/{key}", raw)

    def delete(self, key: str) -> None:
        """Delete a key."""
        self.etcd.delete(f"{self.prefix}/{key}")

    def where(self, key: str) -> str:
        """Return how proxyconf names a key."""
        return f"etcd key '{self.prefix}/{key}'"


@contextmanager
def serving(keys: Keys, *settings: str) -> Iterator[Running]:
    """Run proxyconf on *keys*, and nginx on what it writes; *settings* are ``TABLE.KEY=VALUE``."""
    options = (option for setting in settings for option in ("-s", setting))
    with Running(*keys.flags, *options) as proxy:
        proxy.serve()
        yield proxy
