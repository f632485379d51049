"""Scripted calls to an etcd: a stream, and a channel with single answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from proxyconf.sources._etcd_connect import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SERVER = Server("dns:///etcd:2379", "http://etcd:2379")
ANSWER_S = 4.0


class ScriptedCall:
    """A stream whose answers are given.

    Attributes:
        requests: When each was written, and what it asked for.
        created: The requests that asked for a watch.
        hanging: Writes don't come back.
        ended: Writes fail as grpc.aio's do then.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[float, str]] = []
        self.created: list[Any] = []
        self.hanging = False
        self.ended = False
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._reader: asyncio.Task[Any] | None = None

    def answer(self, *answers: Any, after_s: float = 0) -> None:  # noqa: ANN401 - grpc has no types
        for answer in answers:
            asyncio.get_running_loop().call_later(after_s, self._answers.put_nowait, answer)

    async def read(self) -> Any:  # noqa: ANN401 - grpc has no types
        self._reader = asyncio.current_task()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def write(self, request: Any) -> None:  # noqa: ANN401 - grpc has no types
        if self.hanging:
            await asyncio.Event().wait()
        if self.ended:
            raise asyncio.InvalidStateError("RPC already finished.")
        now = asyncio.get_running_loop().time()
        self.requests.append((now, request.WhichOneof("request_union")))
        if request.HasField("create_request"):
            self.created.append(request.create_request)

    def cancel(self) -> bool:
        if self._reader is not None and not self._reader.done():  # else Python would forget its exception
            self._reader.cancel()
        return True


class ScriptedChannel:
    """A channel whose single answers are given, by the method's name, and whose streams are all *call*.

    Attributes:
        requests: Method, request and metadata of each.
    """

    def __init__(self, answers: dict[str, list[Any]], call: ScriptedCall | None = None) -> None:
        self.requests: list[tuple[str, Any, Any]] = []
        self._answers = answers
        self._call = call

    def unary_unary(self, path: str, **_: object) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = path.rpartition("/")[2]

        async def call(request: object, *, timeout: float, metadata: object = None) -> object:  # noqa: ASYNC109 - grpc's
            assert timeout == ANSWER_S
            self.requests.append((method, request, metadata))
            return self._answers[method].pop(0)

        return call

    def stream_stream(self, path: str, **_: object) -> Callable[..., ScriptedCall | None]:
        del path
        return lambda **_: self._call
