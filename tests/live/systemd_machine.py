"""A machine that systemd has booted, by ``tests/lab/systemdlab.sh``: this host, with a layer in memory on it.

Or a newer Debian, where SYSTEMDLAB_SUITE says so: `make test-coreos` does, which takes a download.

The program is installed there as anywhere, from its wheel into ``/opt/proxyconf``; the packages that it needs
are those of the checkout.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.live.conftest import may_unshare
from tests.live.running import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

LAB = REPOSITORY / "tests" / "lab" / "systemdlab.sh"
UNITS = REPOSITORY / "deploy" / "systemd"
PROXYCONF = "/opt/proxyconf/bin/proxyconf"
TIMEOUT_S = 20.0
_KEPT = Path(tempfile.gettempdir()) / "proxyconf-systemd"
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# a Python below somebody's home is hidden from the unit: it is mounted elsewhere, and its library found there
_LIBRARY = "LD_LIBRARY_PATH=/opt/python/lib"
_INSTALL = f"""
set -e
export {_LIBRARY}
/opt/python/bin/{_PYTHON} -m venv --without-pip /opt/proxyconf
echo /opt/packages >/opt/proxyconf/lib/{_PYTHON}/site-packages/packages.pth
PYTHONPATH=/opt/packages /opt/proxyconf/bin/python -m pip install -q --no-index --no-deps \\
    --no-warn-script-location --root-user-action=ignore --disable-pip-version-check /opt/wheel/*.whl
cp /opt/units/*.service /etc/systemd/system/
if [ "$(systemctl --version | sed -n 's/^systemd \\([0-9]*\\).*/\\1/p')" -ge 253 ]; then
    mkdir -p /etc/systemd/system/proxyconf.service.d
    cp /opt/units/notify-reload.conf /etc/systemd/system/proxyconf.service.d/
fi
mkdir -p /etc/sysusers.d
cp /opt/units/proxyconf.sysusers /etc/sysusers.d/proxyconf.conf
systemd-sysusers
"""


class MachineError(Exception):
    """A command failed there; the message holds what it printed."""


def skip_without_one() -> None:
    """Skip the tests where no machine can be booted."""
    if os.geteuid() != 0:
        pytest.skip("a machine with systemd needs root (sudo make test)")
    missing = subprocess.run([str(LAB), "missing"], check=True, capture_output=True, text=True).stdout.split()
    if missing:
        pytest.skip(f"a machine with systemd needs {' '.join(missing)} (make setup, or apt-get install)")
    if not may_unshare():
        pytest.skip("a machine with systemd needs namespaces (a host, or a container with --privileged)")


def build_wheel(folder: Path) -> None:
    """Build our wheel into *folder*, from a copy of what belongs into it."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(
        REPOSITORY / "proxyconf", source / "proxyconf", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(folder), str(source)], check=True, capture_output=True)
    shutil.rmtree(source)


class Machine:
    """It runs between enter and exit, without any service but systemd's own.

    Args:
        binds: What else is to be seen there: folders or files of this host, and where.
    """

    def __init__(self, binds: Mapping[Path, str] | None = None) -> None:
        self._binds = binds or {}
        self.folder = Path(tempfile.mkdtemp(prefix="pcs-"))
        self._suite = os.environ.get("SYSTEMDLAB_SUITE", "host")
        # a tree that was downloaded is kept
        self._lab_folder = self.folder / "lab" if self._suite == "host" else _KEPT / self._suite

    def __enter__(self) -> Self:
        wheel = self.folder / "wheel"
        wheel.mkdir()
        build_wheel(wheel)
        binds: dict[Path, str] = {
            Path(sys.base_prefix): "/opt/python",
            Path(sysconfig.get_path("purelib")): "/opt/packages",
            wheel: "/opt/wheel",
            UNITS: "/opt/units",
            **self._binds,
        }
        self._env = {
            "SYSTEMDLAB_INSTALL": "0",
            **os.environ,
            "SYSTEMDLAB_DIR": str(self._lab_folder),
            "SYSTEMDLAB_BIND": " ".join(f"{outside}:{inside}" for outside, inside in binds.items()),
        }
        try:
            self._lab("up")
            self.shell(_INSTALL)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lab("purge" if self._suite == "host" else "kill")
        shutil.rmtree(self.folder)

    @property
    def reload_waits(self) -> bool:
        """Whether this systemd knows ``Type=notify-reload``."""
        return self.show("proxyconf.service", "Type") == "notify-reload"

    def _lab(self, *args: str, text: str = "") -> str:
        done = subprocess.run(
            [str(LAB), *args],
            env=self._env,
            input=text,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S * (15 if args == ("up",) else 3),
            check=False,
        )
        if done.returncode:
            raise MachineError(
                f"{shlex.join(args)[:300]}: exit code {done.returncode}\n{done.stderr or done.stdout}"
            )
        return done.stdout

    def run(self, *command: str) -> str:
        """Run *command* there as root; return what it prints.

        Raises:
            MachineError: It failed.
        """
        return self._lab("exec", *command)

    def shell(self, script: str) -> str:
        """Run *script* by bash; as `run`."""
        return self.run("bash", "-c", script)

    def write(self, path: str, text: str) -> None:
        """Write a file there, and the folders that it needs."""
        self._lab("exec", "bash", "-c", 'mkdir -p "${0%/*}" && cat >"$0"', path, text=text)

    def drop_in(self, unit: str, *lines: str) -> None:
        """Change settings of a unit, beside those that the lab itself needs."""
        text = "\n".join(["[Service]", f"Environment={_LIBRARY}", *lines, ""])
        self.write(f"/etc/systemd/system/{unit}.d/lab.conf", text)
        self.run("systemctl", "daemon-reload")

    def proxyconf(self, *args: str) -> str:
        """Run a command of ours, as root."""
        return self.run("env", _LIBRARY, PROXYCONF, *args)

    def start(self, *units: str) -> None:
        """Start units, and wait until they are.

        Raises:
            MachineError: One can't be started; with what the journal says last.
        """
        try:
            self.run("systemctl", "start", *units)
        except (MachineError, subprocess.TimeoutExpired) as exc:
            raise MachineError(f"{exc}\n{self._journal()}") from exc

    def _journal(self) -> str:
        return self.run("journalctl", "--no-pager", "-n", "60", "-o", "cat")

    def show(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def until(self, unit: str, name: str, wanted: str) -> None:
        """Wait until systemd knows that of a unit.

        Raises:
            MachineError: It does not come to that.
        """
        end = time.monotonic() + TIMEOUT_S
        while (found := self.show(unit, name)) != wanted:
            if time.monotonic() > end:
                raise MachineError(f"{unit}: {name} is {found!r}, not {wanted!r}\n{self._journal()}")
            time.sleep(0.05)

    def location(self, host: str) -> str:
        """Return where nginx there sends a request for *host*, or the status; 000 where it hangs up."""
        form = "%{http_code} %{redirect_url}"
        asked = f"curl -s -o /dev/null -w '{form}' -H 'Host: {host}' http://127.0.0.1/ || :"
        return self.shell(asked).split()[-1]
