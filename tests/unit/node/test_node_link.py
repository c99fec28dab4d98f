"""The WebSocket link and what a connection makes of it, over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mediafleet.domain.errors import ConfigError, Conflict, InvalidRequest, SchedulerUnavailable, Unauthorized
from mediafleet.domain.frames import (
    MAX_FRAME_BYTES,
    Drain,
    Heartbeat,
    JobProgress,
    Misc,
    NodeFrame,
    Ping,
    Progress,
    Register,
    Registered,
    SchedulerFrame,
    decode_node_frame,
    encode_frame,
)
from mediafleet.node.connection import Connection
from mediafleet.node.link import WebSocketLink, socket_address
from mediafleet.node.progress import ProgressBoard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

DEADLINE_S = 20.0
REGISTER = Register(1, "n0-a", "i", "host", "1", ())
REGISTERED = Registered("n0-a", 20, 1_000)


@asynccontextmanager
async def listening(act: Callable[[ServerConnection], Awaitable[None]], *, status: int = 0) -> AsyncGenerator[str]:
    """Serve sockets by a script and yield the http address."""

    async def script(socket: ServerConnection) -> None:
        try:
            await act(socket)
        except ConnectionClosed:
            return

    def refuse(connection: ServerConnection, _: Any) -> Any:
        return connection.respond(status, "no") if status else None

    async with serve(script, "127.0.0.1", 0, process_request=refuse, close_timeout=0.2) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def idle(socket: ServerConnection) -> None:
    await socket.wait_closed()


# --- the link ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheduler", "socket"),
    [
        ("http://host:8000", "ws://host:8000/ws/node"),
        ("https://host/fleet/", "wss://host/fleet/ws/node"),
        ("ws://[::1]:1?x=1#y", "ws://[::1]:1/ws/node"),
    ],
)
def test_the_node_door_is_found_from_the_address(scheduler: str, socket: str) -> None:
    assert socket_address(scheduler) == socket


@pytest.mark.parametrize("scheduler", ["host:8000", "ftp://host", "http://", ""])
async def test_an_address_that_is_none_is_refused_with_an_example(scheduler: str) -> None:
    with pytest.raises(ConfigError, match="http://host:8000"):
        await WebSocketLink.open(scheduler)


async def test_frames_go_both_ways_as_text() -> None:
    seen: list[Any] = []

    async def answer(socket: ServerConnection) -> None:
        seen.append(await socket.recv())
        await socket.send(encode_frame(Ping()).decode())
        await socket.send(encode_frame(Drain()))
        await socket.wait_closed()

    async with listening(answer) as address:
        link = await WebSocketLink.open(address)
        await link.send(Misc("log"))
        frames = link.receive()
        assert [await anext(frames), await anext(frames)] == [Ping(), Drain()]
        await link.close()
        await link.close()
    assert decode_node_frame(seen[0]) == Misc("log")
    assert isinstance(seen[0], str)


async def test_nobody_there_is_worth_another_try() -> None:
    async with listening(idle) as address:
        pass
    with pytest.raises(SchedulerUnavailable, match="No scheduler answers at http"):
        await WebSocketLink.open(address)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthorized), (403, Unauthorized), (404, SchedulerUnavailable), (503, SchedulerUnavailable)],
)
async def test_a_refused_handshake_becomes_a_sentence(status: int, error: type[Exception]) -> None:
    async with listening(idle, status=status) as address:
        with pytest.raises(error, match=address):
            await WebSocketLink.open(address)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (4400, InvalidRequest),
        (4401, Unauthorized),
        (4409, Conflict),
        (4426, ConfigError),
        (1001, SchedulerUnavailable),
        (1013, SchedulerUnavailable),
    ],
)
async def test_a_close_code_becomes_a_sentence_with_its_reason(code: int, error: type[Exception]) -> None:
    async def leave(socket: ServerConnection) -> None:
        await socket.close(code, "because of this")

    async with listening(leave) as address:
        link = await WebSocketLink.open(address)
        with pytest.raises(error, match="because of this"):
            await anext(link.receive())
        with pytest.raises(error):
            await link.send(Misc("log"))


async def test_a_socket_that_breaks_is_worth_another_try() -> None:
    async def drop(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with listening(drop) as address:
        link = await WebSocketLink.open(address)
        with pytest.raises(SchedulerUnavailable, match="ended"):
            await anext(link.receive())


async def test_a_frame_above_the_limit_ends_the_link() -> None:
    async def flood(socket: ServerConnection) -> None:
        await socket.send("x" * (MAX_FRAME_BYTES + 1))
        await socket.wait_closed()

    async with listening(flood) as address:
        link = await WebSocketLink.open(address)
        with pytest.raises(SchedulerUnavailable):
            await anext(link.receive())


# --- the connection ------------------------------------------------------------------------


class ScriptedLink:
    """A link whose other side is the test."""

    def __init__(self, *incoming: SchedulerFrame) -> None:
        self.incoming: asyncio.Queue[SchedulerFrame | None] = asyncio.Queue()
        self.sent: asyncio.Queue[NodeFrame] = asyncio.Queue()
        self.is_closed = False
        self.fails = False
        for frame in incoming:
            self.incoming.put_nowait(frame)

    async def send(self, frame: NodeFrame) -> None:
        if self.fails:
            raise SchedulerUnavailable("The link is down.")
        self.sent.put_nowait(frame)

    async def receive(self) -> AsyncIterator[SchedulerFrame]:
        while frame := await self.incoming.get():
            yield frame
        raise SchedulerUnavailable("The link ended.")

    async def close(self) -> None:
        self.is_closed = True
        self.incoming.put_nowait(None)


async def serving(connection: Connection, *, beat: Callable[[], None] = lambda: None) -> None:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(SchedulerUnavailable):
            await connection.serve(handle=lambda _: None, beat=beat, board=ProgressBoard())


async def test_registering_needs_the_agreed_answer_and_closes_the_link_otherwise() -> None:
    link = ScriptedLink(Ping())
    with pytest.raises(SchedulerUnavailable, match="something else"):
        await Connection.register(link, REGISTER)
    assert link.is_closed


async def test_what_is_posted_is_sent_in_order_and_flushed() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    serve_task = asyncio.create_task(serving(connection))
    connection.post(Misc("one"))
    connection.post(Misc("two"))
    await connection.flush()
    assert [link.sent.get_nowait() for _ in range(3)] == [REGISTER, Misc("one"), Misc("two")]
    await link.close()
    await serve_task


async def test_a_send_that_fails_ends_the_connection() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    link.fails = True
    connection.post(Misc("lost"))
    await serving(connection)
    assert link.is_closed


async def test_a_beat_that_fails_ends_the_connection() -> None:
    """A node that cannot beat must not look linked."""

    def fail() -> None:
        raise ZeroDivisionError

    link = ScriptedLink(REGISTERED)
    await serving(await Connection.register(link, REGISTER), beat=fail)
    assert link.is_closed


async def test_beats_come_as_often_as_the_scheduler_says() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    serve_task = asyncio.create_task(serving(connection, beat=lambda: connection.post(Heartbeat())))
    async with asyncio.timeout(DEADLINE_S):
        assert [await link.sent.get() for _ in range(3)] == [REGISTER, Heartbeat(), Heartbeat()]
    await link.close()
    await serve_task


async def test_a_new_link_is_told_all_progress_again() -> None:
    board = ProgressBoard()
    board.note(Progress("t", "g", 0.25))
    await board.next_frame()
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    serve_task = asyncio.create_task(connection.serve(handle=lambda _: None, beat=lambda: None, board=board))
    async with asyncio.timeout(DEADLINE_S):
        assert [await link.sent.get() for _ in range(2)] == [REGISTER, JobProgress((Progress("t", "g", 0.25),))]
    await link.close()
    await asyncio.wait([serve_task])
    assert isinstance(serve_task.exception(), SchedulerUnavailable)
