"""The WebSocket link, over real sockets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mediafleet.domain.errors import ConfigError, Conflict, InvalidRequest, SchedulerUnavailable, Unauthorized
from mediafleet.domain.frames import (
    MAX_FRAME_BYTES,
    Drain,
    Misc,
    Ping,
    decode_node_frame,
    encode_frame,
)
from mediafleet.node.link import WebSocketLink, socket_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable


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


async def test_a_scheduler_that_is_there_answers_a_probe() -> None:
    async with listening(idle) as address:
        link = await WebSocketLink.open(address)
        await link.probe(within_s=20)
        await link.probe(within_s=20)
        await link.close()


async def test_a_scheduler_that_does_not_answer_a_probe_is_given_up_at_once() -> None:
    """Nobody waits for a close frame of one that is not there, and the link says why it ended."""

    async def turn_deaf(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await socket.wait_closed()

    async with listening(turn_deaf) as address:
        link = await WebSocketLink.open(address)
        with pytest.raises(SchedulerUnavailable, match="went silent"):
            await link.probe(within_s=0.05)
        with pytest.raises(SchedulerUnavailable, match="went silent"):
            await anext(link.receive())
        await link.close()


async def test_a_probe_of_a_link_that_has_ended_says_why() -> None:
    async def leave(socket: ServerConnection) -> None:
        await socket.close(4409, "a newer link")

    async with listening(leave) as address:
        link = await WebSocketLink.open(address)
        with pytest.raises(Conflict, match="a newer link"):
            await anext(link.receive())
        with pytest.raises(Conflict, match="a newer link"):
            await link.probe(within_s=20)
