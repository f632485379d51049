"""What all measurements share: etcd, the backends and the poller, on loopback, in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.poller import Poller
from bench.site import Addresses
from bench.store import Store
from tests.live.etcd_server import EtcdServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        changes: Single changes per size.
        bursts: Of 1,000 puts.
        storm_s: Length of the 50 changes a second, in seconds.
        starts: With 10,000 endpoints.
        idle_s: Length of the silence, in seconds.
        sizes: Keys, of those sizes that `changes` knows.
        is_large: Whether the site of 10,000 endpoints is measured.
        template_keys: Of one template, and of many together.
        templates: How many those are.
        template_changes: Single changes of each.
    """

    changes: int = 30
    bursts: int = 30
    storm_s: int = 20
    starts: int = 10
    idle_s: int = 30
    sizes: tuple[int, ...] = (2, 100, 1000)
    is_large: bool = True
    template_keys: int = 10_000
    templates: int = 100
    template_changes: int = 30


@dataclass(frozen=True, slots=True)
class Lab:
    """The services.

    Attributes:
        folder: For everything that is written.
        etcd: Shared; each measurement has a prefix of its own.
        poller: Sees what nginx answers.
        addresses: Of backends, which all answer.
    """

    folder: Path
    etcd: EtcdServer
    poller: Poller
    addresses: Addresses

    def store(self, prefix: str, keys: Mapping[str, str]) -> Store:
        """Return a client for *prefix*, below which there are those keys now."""
        self.etcd.fill({f"{prefix}/{key}": value for key, value in keys.items()})
        return Store(self.etcd.port, prefix)


@contextmanager
def laboratory() -> Iterator[Lab]:
    """Run everything while the block runs; nothing is left of it then."""
    # short: the path of a unix socket may have 107 bytes
    with tempfile.TemporaryDirectory(prefix="pcb-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers are other users
        # etcd's own pace, not that of the tests: an election that is quick costs CPU for ever
        with EtcdServer(folder / "etcd", flags=()) as etcd, _backends() as port, Poller() as poller:
            yield Lab(folder, etcd, poller, Addresses(port))


@contextmanager
def _backends() -> Iterator[int]:
    """Run the backends; yield their port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.backends"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise BenchError("the backends did not start")
        yield int(line)
    finally:
        process.kill()
        process.communicate()


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()
