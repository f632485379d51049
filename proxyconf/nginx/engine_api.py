"""The few calls to a Docker engine, or podman's service, by which an nginx in a container is reached.

A connection is made for each call: they are few, and an engine that was restarted needs no care then.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiodocker.exceptions import DockerError

from proxyconf.command import Completed
from proxyconf.errors import CommandError, SourceError
from proxyconf.sources._docker_connect import Address, open_session
from proxyconf.sources._docker_errors import status_text, translated
from proxyconf.sources._failures import trim
from proxyconf.sources._tls import read_certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

_AUTO = "auto"
_RUN = "run a program by"
_FORBIDDEN = (401, 403, 405, 501)
_ABSENT = (404, 409)
_NOT_STARTED = (126, 127)  # also of a program that is not there
_KILLED = 128  # by the signal of the number above
_ENDED_S = 0.01  # a program's output ends a moment before its exit code is known
_NONSENSE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
_FRAME = 8  # bytes before each piece of output: the last four are its length


class ForbiddenError(CommandError):
    """The engine, or a proxy before it, does not let us."""


class AbsentError(CommandError):
    """There is no such container, or it does not run."""


class EngineApi:
    """Asks one engine.

    Every method raises CommandError where the engine is out of reach or answers nonsense.

    Args:
        address: Where it is.
        version: Of its API, as ``v1.41``, or ``auto``.
        timeout_s: How long an answer may take.
    """

    def __init__(self, address: Address, *, version: str = _AUTO, timeout_s: float = 10.0) -> None:
        self.address = address
        self._given = self._version = version
        self._timeout_s = timeout_s

    async def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the engine says of a container.

        Raises:
            AbsentError: There is none.
            ForbiddenError: We may not ask.
        """
        return await self._object("GET", f"/containers/{container}/json", "inspect")

    async def find(self, labels: Mapping[str, str]) -> list[str]:
        """Return the ids of the containers that have all of *labels*, running or not.

        Raises:
            ForbiddenError: We may not ask.
        """
        filters = json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})
        query = {"all": "1", "filters": filters}
        operation = "list containers of"
        answer = await self._ask("GET", "/containers/json", operation, query=query)
        with self._reading(operation):
            return [_id(row) for row in json.loads(answer)]

    async def info(self) -> Mapping[str, Any]:
        """Return what the engine says of itself.

        Raises:
            ForbiddenError: We may not ask.
        """
        return await self._object("GET", "/info", "ask info of")

    async def version(self) -> Mapping[str, Any]:
        """Return what the engine says of its program, and of its API.

        Raises:
            ForbiddenError: We may not ask.
        """
        return await self._object("GET", "/version", "ask version of")

    async def kill(self, container: str, signal: str) -> None:
        """Send a signal to a container's first process.

        Raises:
            AbsentError: It does not run.
            ForbiddenError: We may not.
        """
        await self._ask("POST", f"/containers/{container}/kill", "signal container", query={"signal": signal})

    async def titles(self, container: str) -> list[tuple[int, str]]:
        """Return the resident bytes and the command line of each process in a container.

        Raises:
            AbsentError: It does not run.
            ForbiddenError: We may not ask.
        """
        query, operation = {"ps_args": "-eo pid,rss,args"}, "list processes of"
        answer = await self._object("GET", f"/containers/{container}/top", operation, query=query)
        with self._reading(operation):
            rows = answer.get("Processes") or ()
            return [
                (int(row[1]) << 10, str(row[2])) for row in rows if len(row) > 2 and str(row[1]).isdigit()
            ]

    async def run(self, container: str, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a program in a container, as the container's user, to its end.

        One that takes too long goes on: an engine has no way to end it.

        Raises:
            AbsentError: The container does not run.
            ForbiddenError: We may not.
            CommandError: Also: there is no such program, or it did not end in time.
        """
        wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(argv)}
        made = await self._object("POST", f"/containers/{container}/exec", _RUN, body=wanted)
        with self._reading(_RUN):
            program = _id(made)
        try:
            async with asyncio.timeout(timeout_s):
                # without an upgrade of the connection, so that any proxy can pass it on
                output = await self._ask(
                    "POST",
                    f"/exec/{program}/start",
                    _RUN,
                    body={"Detach": False, "Tty": False},
                    timeout_s=timeout_s,
                )
                code = await self._exit_code(program)
        except TimeoutError as exc:
            raise CommandError(
                f"run {' '.join(argv)} in container {container}: not done after {timeout_s:g} s"
                " (what does it wait for?)"
            ) from exc
        text = _joined(output)
        if code in _NOT_STARTED:
            raise CommandError(
                f"run {argv[0]} in container {container}: {' '.join(text.split())[-200:]}"
                " (is it there? [nginx] binary names it)"
            )
        return Completed(_KILLED - code if code > _KILLED else code, text)

    async def _exit_code(self, program: str) -> int:
        while True:
            state = await self._object("GET", f"/exec/{program}/json", _RUN)
            if not state.get("Running") and state.get("ExitCode") is not None:
                with self._reading(_RUN):
                    return int(state["ExitCode"])
            await asyncio.sleep(_ENDED_S)

    async def _object(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> dict[str, Any]:
        """Make one request that an object answers."""
        answer = await self._ask(method, path, operation, query=query, body=body)
        with self._reading(operation):
            found = json.loads(answer)
            if not isinstance(found, dict):
                raise TypeError(f"{type(found).__name__} for an object")
        return found

    @contextmanager
    def _reading(self, operation: str) -> Iterator[None]:
        """Turn whatever an answer that is not an engine's makes fail into a `CommandError`."""
        try:
            yield
        except _NONSENSE as exc:
            raise CommandError(
                f"{operation} {self.address.url}: the answer is not an engine's: {trim(repr(exc))}"
                " (is it Docker's API? check url)"
            ) from exc

    async def _ask(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = 0.0,
    ) -> bytes:
        """Make one request; *operation* and the engine's URL are the beginning of a message."""
        known, self._version = self._version, self._given  # after a failure it may be another engine
        try:
            with translated(operation, self.address):
                async with self._session() as session:
                    version = await self._version_of(session) if known == _AUTO else known
                    url = f"{self.address.base}/{version}{path}"
                    timeout = aiohttp.ClientTimeout(total=timeout_s or self._timeout_s)
                    async with session.request(
                        method, url, params=query, json=body, timeout=timeout
                    ) as response:
                        answer = await response.read()
        except SourceError as exc:
            raise CommandError(str(exc)) from exc
        if response.status >= 400:
            call = re.sub(r"/exec/[^/]+", "/exec/*", f"{method} {path}")
            raise _refusal(response.status, answer, f"{operation} {self.address.url}", call)
        self._version = version
        return answer

    async def _version_of(self, session: aiohttp.ClientSession) -> str:
        """Return the newest version of the API that the engine has."""
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        async with session.get(f"{self.address.base}/version", timeout=timeout) as response:
            answer = await response.read()
        if response.status >= 400:
            operation = f"ask version of {self.address.url}"
            raise _refusal(
                response.status, answer, operation, 'GET /version, or set [docker] api_version = "1.41"'
            )
        with self._reading("ask version of"):
            return f"v{json.loads(answer)['ApiVersion']}"

    @asynccontextmanager
    async def _session(self) -> AsyncGenerator[aiohttp.ClientSession, None]:
        context: ssl.SSLContext | None = None
        if self.address.tls is not None:
            context = await asyncio.to_thread(read_certificates, self.address.tls)
        async with open_session(self.address, context, aiohttp.TraceConfig()) as session:
            yield session


def _id(found: Any) -> str:  # noqa: ANN401 - as JSON
    name = found["Id"]
    if not isinstance(name, str):
        raise TypeError(f"{type(name).__name__} for an Id")
    return name


def _refusal(status: int, answer: bytes, operation: str, call: str) -> CommandError:
    text = f"{operation}: {status_text(DockerError(status, _message(answer)))}"
    if status in _FORBIDDEN:
        return ForbiddenError(f"{text} (let the proxy in front of the engine pass {call})")
    return AbsentError(text) if status in _ABSENT else CommandError(text)


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except _NONSENSE:
        return answer.decode(errors="replace")  # a proxy's page


def _joined(output: bytes) -> str:
    """Return a program's standard output and error as they came."""
    text, at = bytearray(), 0
    while at + _FRAME <= len(output):
        end = at + _FRAME + int.from_bytes(output[at + 4 : at + _FRAME])
        text += output[at + _FRAME : end]
        at = end
    return text.decode(errors="replace")
