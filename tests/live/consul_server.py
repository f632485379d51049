"""Real Consul servers on free loopback ports: killed, frozen, wiped, with ACLs, with TLS, or as a cluster.

Nothing here needs root, pytest or asyncio; every call blocks. The program is the one that tools/setup.sh puts
into .venv, else that on PATH; CONSUL_BIN names a folder with another one.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.live.server import Server, ServerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.live.certificates import Certificates

ROOT_TOKEN = "d2f4c8ba-0000-4000-8000-000000000001"
TXN_OPERATIONS = 64  # Consul's limit for one transaction
_LOG_TAIL = 2_000


class ConsulError(ServerError):
    """A request to it failed; the message holds what it said.

    Attributes:
        status: Of its answer; 0 without one.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ConsulServer(Server):
    """One Consul.

    Attributes:
        url: Its HTTP API.
        address: For its peers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keeps: bool = False,
        acl: bool = False,
        certificates: Certificates | None = None,
        peers: Sequence[str] = (),
    ) -> None:
        """Prepare it.

        Args:
            folder: Its own.
            keeps: Its data outlive it, at the price of a start that takes 2 s instead of 0.2.
            acl: Nothing is allowed without a token; `ROOT_TOKEN` allows all.
            certificates: For HTTPS.
            peers: Addresses of the others of a cluster, which `keeps`.
        """
        super().__init__(folder, "consul")
        self._ports = dict(zip(("http", "server", "serf_lan"), free_ports(3), strict=True))
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self._ports['http']}"
        self.address = f"127.0.0.1:{self._ports['serf_lan']}"
        self._keeps = keeps
        self._acl = acl
        self._certificates = certificates
        self.peers = peers
        context = certificates.context() if certificates else None
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def launch(self) -> None:
        """Start it, unless it runs; return at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "consul.json").write_text(json.dumps(self._configuration()))
        super().launch()

    def environment(self) -> Mapping[str, str]:
        """Return ours without Consul's own variables."""
        return {key: value for key, value in os.environ.items() if not key.startswith("CONSUL_")}

    def healthy(self) -> bool:
        """Tell whether it has a leader, and can read."""
        try:
            self.get("x")
        except ConsulError:
            return False
        return True

    def wipe(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def put(self, key: str, value: str | bytes = "") -> None:
        """Set a key."""
        self.call("PUT", f"kv/{quote(key)}", value.encode() if isinstance(value, str) else value)

    def delete(self, key: str) -> None:
        """Delete a key; one that ends with a slash with all below it."""
        self.call("DELETE", f"kv/{quote(key)}{'?recurse' if key.endswith('/') else ''}")

    def get(self, key: str) -> bytes | None:
        """Return a key's value; None without such a key."""
        try:
            return self.call("GET", f"kv/{quote(key)}?raw")
        except ConsulError as exc:
            if exc.status != 404:
                raise
            return None

    def transact(self, puts: Mapping[str, str], *, deletes: Sequence[str] = ()) -> None:
        """Set and delete up to 64 keys as one change."""
        operations: list[dict[str, Any]] = [
            {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode()).decode()}}
            for key, value in puts.items()
        ]
        operations += [{"KV": {"Verb": "delete", "Key": key}} for key in deletes]
        self.call("PUT", "txn", json.dumps(operations).encode())

    def fill(self, puts: Mapping[str, str]) -> None:
        """Set any number of keys, in as few transactions as possible."""
        items = list(puts.items())
        for start in range(0, len(items), TXN_OPERATIONS):
            self.transact(dict(items[start : start + TXN_OPERATIONS]))

    def allow(self, token: str, rules: str) -> None:
        """Let the token (a UUID) do what *rules* say, and nothing else."""
        name = f"policy-{token}"
        known = {one["Name"]: one["ID"] for one in json.loads(self.call("GET", "acl/policies"))}
        path = f"acl/policy/{known[name]}" if name in known else "acl/policy"
        self.call("PUT", path, json.dumps({"Name": name, "Rules": rules}).encode())
        if name not in known:
            body = {"SecretID": token, "Policies": [{"Name": name}]}
            self.call("PUT", "acl/token", json.dumps(body).encode())

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Ask the API as who may do everything.

        Raises:
            ConsulError: It refused, or could not be reached.
        """
        headers = {"X-Consul-Token": ROOT_TOKEN} if self._acl else {}
        request = urllib.request.Request(f"{self.url}/v1/{path}", body, headers, method=method)
        try:
            with self._opener.open(request, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as exc:
            text = f"{path}: {exc.code} {exc.read().decode(errors='replace')}"
            raise ConsulError(text, exc.code) from exc
        except OSError as exc:
            raise ConsulError(f"{path}: {exc}") from exc

    def command(self) -> list[str]:
        """Return the program and its flags."""
        return [program(), "agent", f"-config-file={self.folder / 'consul.json'}", *self._arguments()]

    def _arguments(self) -> list[str]:
        arguments = ["-bind=127.0.0.1", "-client=127.0.0.1", f"-node=n{self._ports['http']}"]
        if not self._keeps:
            return ["-dev", *arguments]
        arguments += ["-server", f"-data-dir={self.folder / 'data'}"]
        if not self.peers:
            return [*arguments, "-bootstrap"]
        joins = [f"-retry-join={peer}" for peer in self.peers]
        return [*arguments, f"-bootstrap-expect={len(joins) + 1}", "-retry-interval=200ms", *joins]

    def _configuration(self) -> dict[str, object]:
        ports = dict.fromkeys(("https", "grpc", "dns", "serf_wan"), -1) | self._ports
        found: dict[str, object] = {
            "ports": ports,
            "connect": {"enabled": False},
            # who elects itself need not be patient
            "performance": {"raft_multiplier": 1, "rpc_hold_timeout": "500ms"},
            "disable_update_check": True,
            "leave_on_terminate": False,
        }
        if self._acl:
            found["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"master": ROOT_TOKEN}}
        if self._certificates:
            name, file = self._certificates.server, self._certificates.path
            found |= {
                "ports": ports | {"http": -1, "https": self._ports["http"]},
                "cert_file": str(file(name)),
                "key_file": str(file(f"{name}-key")),
                "ca_file": str(file("ca")),
                "verify_incoming_https": self._certificates.mutual,
            }
        return found


def available() -> bool:
    """Tell whether there is a Consul to run."""
    return bool(program())


def program() -> str:
    """Return the path of Consul; "" without one."""
    if folder := os.environ.get("CONSUL_BIN"):
        return shutil.which("consul", path=folder) or ""
    return shutil.which("consul", path=str(Path(sys.prefix) / "bin")) or shutil.which("consul") or ""
