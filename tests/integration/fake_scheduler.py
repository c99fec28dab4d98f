"""A scripted scheduler for node tests: it speaks `/ws/node` over a real socket and decides nothing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mediafleet.domain.frames import (
    Assignment,
    AttemptRef,
    JobAck,
    JobAssign,
    JobResultAck,
    JobResults,
    NodeFrame,
    Outcome,
    Register,
    Registered,
    SchedulerFrame,
    decode_node_frame,
    encode_frame,
)
from mediafleet.domain.plan import TaskSpec

F = TypeVar("F")
DEADLINE_S = 20.0


class FakeScheduler:
    """Answers `register`, confirms results, and keeps every frame until a test asks for it."""

    def __init__(self, *, heartbeat_ms: int = 200, lease_ms: int = 1_000) -> None:
        self.heartbeat_ms = heartbeat_ms
        self.lease_ms = lease_ms
        self.confirms = True
        self.drop: tuple[AttemptRef, ...] = ()
        self.close_with: tuple[int, str] | None = None
        self.status: int | None = None
        self.credentials: list[str] = []
        self.unread: list[NodeFrame] = []
        self.port = 0
        self._news = asyncio.Event()
        self._server: Server | None = None
        self._sockets: set[ServerConnection] = set()

    @property
    def address(self) -> str:
        """Where a node dials."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=self._refuse, close_timeout=0.2, compression=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Go away, as a scheduler does that is killed: sockets end without a word."""
        for socket in list(self._sockets):
            socket.transport.abort()
        if self._server:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _refuse(self, connection: ServerConnection, request: Any) -> Any:
        self.credentials.append(request.headers.get("Authorization", ""))
        assert request.path == "/ws/node"
        return connection.respond(self.status, "no") if self.status else None

    async def _serve(self, socket: ServerConnection) -> None:
        self._sockets.add(socket)
        try:
            if self.close_with:
                await socket.close(*self.close_with)
            async for message in socket:
                await self._take(socket, decode_node_frame(message))
        except ConnectionClosed:
            pass
        finally:
            self._sockets.discard(socket)

    async def _take(self, socket: ServerConnection, frame: NodeFrame) -> None:
        if isinstance(frame, Register):
            answer = Registered(frame.node, self.heartbeat_ms, self.lease_ms, keep=frame.running, drop=self.drop)
            await self._send(socket, answer)
        if isinstance(frame, JobResults) and self.confirms:
            await self._send(socket, JobResultAck(tuple(AttemptRef(o.task, o.grant) for o in frame.outcomes)))
        self.unread.append(frame)
        self._news.set()

    async def _send(self, socket: ServerConnection, frame: SchedulerFrame) -> None:
        with suppress(ConnectionClosed):
            await socket.send(encode_frame(frame).decode())

    async def send(self, frame: SchedulerFrame) -> None:
        """Send to every node that is linked."""
        for socket in list(self._sockets):
            await self._send(socket, frame)

    async def send_text(self, text: str) -> None:
        """Send something that may be no frame at all."""
        for socket in list(self._sockets):
            await socket.send(text)

    async def assign(self, step: str, grant: str, *, cost: int = 1, kind: str = "probe", **payload: Any) -> None:
        """Assign one attempt; its task is `j0-x.<grant>`."""
        await self.send(JobAssign((assignment(step, grant, cost=cost, kind=kind, payload=payload),)))

    async def expect(self, kind: type[F], where: Callable[[F], bool] = lambda _: True) -> F:
        """Return the first frame of the type that nobody asked for yet, as soon as there is one; skip others."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for frame in self.unread:
                    if isinstance(frame, kind) and where(frame):
                        self.unread.remove(frame)
                        return frame
                self._news.clear()
                await self._news.wait()

    async def expect_ack(self, grant: str) -> None:
        """Wait until the node has acknowledged the attempt."""
        await self.expect(JobAck, lambda ack: grant in {ref.grant for ref in ack.attempts})

    async def expect_outcome(self, grant: str) -> Outcome:
        """Wait for the outcome of the attempt."""
        frame = await self.expect(JobResults, lambda results: grant in {o.grant for o in results.outcomes})
        return next(outcome for outcome in frame.outcomes if outcome.grant == grant)


def assignment(
    step: str, grant: str, *, cost: int = 1, kind: str = "probe", payload: dict[str, Any] | None = None
) -> Assignment:
    """Return an assignment of a task of the test kind."""
    spec = TaskSpec(kind, 1, step, grant, "default", payload=payload or {})
    return Assignment(f"j0-x.{grant}", grant, 1, "cpu", cost, "j0-x", msgspec.Raw(msgspec.json.encode(spec)))
