"""A host as it was set up for confd: its folder, an nginx of its own, a boot script; all in one folder.

Nothing here needs root or pytest; every call blocks, and whatever waits has a bound. Only what was started
here is ended, by its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from proxyconf.errors import StateError
from proxyconf.report import as_text
from proxyconf.status import ask_status
from tests.live.asking import TIMEOUT_S, RunningError, ask, until
from tests.live.echo_backend import EchoBackend
from tests.live.running import processes_of
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from proxyconf.api import Status, TemplateState

_LOG_TAIL = 4_000
NGINX_CONF = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes 2;
events {{}}
http {{
    access_log off;
    include conf.d/*.conf;
}}
"""
# what Debian's does: it looks at the configuration, then tells the master
SERVICE = """\
#!/bin/sh
[ "$1 $2" = "nginx reload" ] || exit 3
nginx -t -q -c {folder}/nginx.conf || exit 1
kill -HUP "$(cat {folder}/nginx.pid)"
"""
APP = """\
upstream app {{
{{% for server in getvs("/app/server/*") %}}
    server {{{{ server }}}};
{{% endfor %}}
}}
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; }}
}}
"""


class ConfdLab:
    """The host.

    Attributes:
        folder: Everything is in it; short, for a unix socket's path has 107 bytes at most.
        confdir: With ``conf.d`` and ``templates``.
        nginx: The folder of nginx; ``conf.d`` in it is what its main file includes.
        port: Of 127.0.0.1, for nginx to listen on.
        flags: Of every call of confd.
        extra: Variables for its environment.
    """

    def __init__(self, *flags: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pc-"))
        self.folder.chmod(0o755)  # nginx's workers are other users
        self.confdir, self.nginx = self.folder / "confd", self.folder / "nginx"
        self.bin = self.folder / "bin"
        for path in (self.confdir / "conf.d", self.confdir / "templates", self.nginx / "conf.d", self.bin):
            path.mkdir(parents=True)
        (self.nginx / "nginx.conf").write_text(NGINX_CONF.format(folder=self.nginx))
        self.service(SERVICE)
        for name in ("confd", "proxyconf"):
            (self.bin / name).symlink_to(Path(sys.executable).with_name("proxyconf"))
        (self.port,) = free_ports(1)
        self.flags: tuple[str, ...] = ("-confdir", str(self.confdir), *flags)
        self.extra: dict[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._rest = ExitStack()
        self._backends: dict[str, EchoBackend] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            self.kill(process)
        self.end_left_overs()
        self._rest.close()
        shutil.rmtree(self.folder)

    # --- files ---

    def resource(self, name: str, **keys: object) -> Path:
        """Write a template resource; its template is ``NAME.tmpl``."""
        values = {"src": f"{name}.tmpl"} | keys
        path = self.confdir / "conf.d" / f"{name}.toml"
        path.write_text("[template]\n" + "".join(f"{key} = {json.dumps(values[key])}\n" for key in values))
        return path

    def template(self, name: str, text: str) -> None:
        """Write a template."""
        (self.confdir / "templates" / f"{name}.tmpl").write_text(text)

    def service(self, script: str) -> None:
        """Let the program ``service`` be *script*."""
        self._program("service", script.format(folder=self.nginx))

    def app(self, **keys: object) -> Path:
        """Write the example of 2014: an upstream of all ``/app/server/*``; return where it goes."""
        dest = self.nginx / "conf.d" / "app.conf"
        self.template("app", APP.format(port=self.port))
        known = {
            "dest": str(dest),
            "keys": ["/app/server"],
            "check_cmd": f"nginx -t -c {self.nginx / 'nginx.conf'}",
            "reload_cmd": "service nginx reload",
        }
        self.resource("app", **known | keys)
        return dest

    def text(self, name: str, text: str = '{{ getv("/name") }}\n', **keys: object) -> Path:
        """Write a resource that has nothing to do with nginx; return where it goes."""
        dest = self.folder / f"{name}.txt"
        self.template(name, text)
        self.resource(name, **{"dest": str(dest), "keys": ["/"]} | keys)
        return dest

    def script(self, name: str, text: str) -> Path:
        """Write a program of that name, for sh; it is found by its name."""
        return self._program(name, f"#!/bin/sh\n{text}\n")

    def _program(self, name: str, text: str) -> Path:
        path, new = self.bin / name, self.bin / f".{name}"
        new.write_text(text)
        new.chmod(0o755)
        return new.replace(path)  # it may just be running

    def calls(self, name: str) -> int:
        """Return how many lines a command has added to the file *name*, ``echo >> NAME`` in `folder`."""
        path = self.folder / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    # --- confd ---

    @property
    def environment(self) -> dict[str, str]:
        """What every program is started with."""
        ours = {
            key: value for key, value in os.environ.items() if not key.startswith(("PROXYCONF_", "CONFD_"))
        }
        path = f"{self.bin}:{ours.get('PATH', '')}:/usr/sbin"
        return ours | self.extra | {"PATH": path, "PROXYCONF_STATE_DIR": str(self.folder / "state")}

    def once(self, *flags: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run ``confd -onetime`` to its end."""
        return self.confd("-onetime", *flags, timeout_s=timeout_s)

    def confd(self, *flags: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run confd with *flags* to its end."""
        return self.run("confd", *self.flags, *flags, timeout_s=timeout_s)

    def run(self, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            argv,
            executable=shutil.which(argv[0], path=self.environment["PATH"]),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start *command*, confd in the background by default, in a process group of its own."""
        argv = command or ("confd", *self.flags, "-watch")
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                executable=shutil.which(argv[0], path=self.environment["PATH"]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it, and what it has started, as a crash does (SIGKILL)."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process in self._processes:
            self._processes.remove(process)

    def stop(self, process: subprocess.Popen[bytes], *, timeout_s: float = 10) -> int:
        """Tell it to end, by SIGTERM; return its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout_s)

    def processes(self) -> list[str]:
        """Return the command lines of what runs from `bin`: confd, and commands of `script`."""
        return list(processes_of(self.bin).values())

    def end_left_overs(self) -> None:
        """End the commands that a killed daemon has left: each had a process group of its own."""
        spared = {os.getpgrp(), *(process.pid for process in self._processes)}
        for pid in processes_of(self.bin):
            with suppress(ProcessLookupError):
                if (group := os.getpgid(pid)) not in spared:
                    os.killpg(group, signal.SIGKILL)

    def log(self) -> str:
        """Return all that was printed by what was started."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- what it says ---

    def status(self) -> Status:
        """Ask the daemon for everything.

        Raises:
            StateError: It does not answer.
        """
        return asyncio.run(ask_status(self.folder / "state" / "status.sock"))

    def until_template(self, test: Callable[[TemplateState], object], what: str) -> TemplateState:
        """Wait until *test* is true of the first template, and return it."""
        return self.until_status(
            lambda status: status.templates and test(status.templates[0]), what
        ).templates[0]

    def until_state(self, state: str) -> TemplateState:
        """Wait until the first template is in *state*."""
        return self.until_template(lambda template: template.state == state, state)

    def until_all(self, state: str) -> None:
        """Wait until every template is in *state*."""
        self.until_status(
            lambda status: status.templates and {template.state for template in status.templates} == {state},
            f"all are {state}",
        )

    def until_status(self, test: Callable[[Status], Any], what: str) -> Status:
        """Wait until *test* is true of the status, and return it."""
        found: Status | None = None

        def passes() -> bool:
            nonlocal found
            with suppress(StateError):
                found = self.status()
                return bool(test(found))
            return False

        self.until(passes, what)
        assert found
        return found

    def until(self, condition: Callable[[], object], what: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait as `until` of `asking` does, while all that was started runs; a failure tells what it can."""

        def passes() -> bool:
            if ended := [one.args for one in self._processes if one.poll()]:
                raise RunningError(f"ended while this was waited for: {what}: {ended}")
            return bool(condition())

        try:
            until(passes, what, timeout_s=timeout_s)
        except RunningError as exc:
            with suppress(StateError):
                raise RunningError(f"{exc}\n{as_text(self.status())}\n{self.log()[-_LOG_TAIL:]}") from None
            raise RunningError(f"{exc}\n{self.log()[-_LOG_TAIL:]}") from None

    def until_text(self, path: Path, text: str) -> None:
        """Wait until the file *path* is *text*."""
        self.until(lambda: path.exists() and path.read_text() == text, f"{path} is {text!r}")

    # --- nginx and its clients ---

    def start_nginx(self) -> subprocess.Popen[bytes]:
        """Start nginx in the foreground, and wait until it listens."""
        process = self.start("nginx", "-c", str(self.nginx / "nginx.conf"), "-g", "daemon off;")
        pid_file = self.nginx / "nginx.pid"  # which nginx -t makes, too, but leaves empty

        def runs() -> bool:
            return pid_file.exists() and pid_file.read_text() == f"{process.pid}\n"

        self.until(lambda: runs() or process.poll() is not None, "nginx runs")
        if process.poll() is not None:
            raise RunningError(f"nginx ended\n{self.log()[-_LOG_TAIL:]}")
        return process

    def nginx_test(self) -> str:
        """Return what ``nginx -t`` finds wrong on disk; "" if nginx would start from it."""
        done = subprocess.run(
            ["nginx", "-t", "-c", self.nginx / "nginx.conf"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return done.stderr.decode(errors="replace") if done.returncode else ""

    def reloads(self) -> int:
        """Return how often nginx was told to read its configuration again."""
        path = self.nginx / "error.log"
        return path.read_text(errors="replace").count("(SIGHUP) received") if path.exists() else 0

    def backend(self, name: str) -> str:
        """Return the address of the backend *name*, which answers its name; it is started when first used."""
        if name not in self._backends:
            self._backends[name] = self._rest.enter_context(EchoBackend(name))
        return self._backends[name].address

    def ask(self, host: str = "a.test") -> str:
        """Ask nginx; return the name of the backend that answered, else the status, or ``refused``."""
        return ask(self.port, host, "/")

    def until_serves(self, *names: str) -> None:
        """Wait until every answer is one of *names*, and each of them answers."""
        self.until(lambda: {self.ask() for _ in range(8)} == set(names), f"nginx serves {names}")
