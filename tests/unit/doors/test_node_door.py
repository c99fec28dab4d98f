"""`/ws/node` over real WebSockets: what is right goes through, what is wrong closes with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_fleet import NODE, FakeFleet
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mediafleet.domain.errors import Conflict, InvalidRequest
from mediafleet.domain.frames import MAX_FRAME_BYTES, Drain, Heartbeat, Ping, Registered
from mediafleet.doors.http.application import build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.websocket.link import MOST_QUEUED_FRAMES, SocketLink, shorten_reason
from mediafleet.doors.websocket.node import NodeDoor
from mediafleet.ops.settings import ServerSettings

REGISTER: dict[str, Any] = {
    "type": "register",
    "protocol": 1,
    "node": NODE,
    "incarnation": "i1",
    "host": "studio-b",
    "version": "0.1.0",
    "executors": [{"name": "cpu", "slots": 4, "capabilities": ["encoder:libx264"]}],
}


@pytest.fixture
async def socket(server: HttpServer) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node", max_size=None) as connection:
        yield connection


async def register(socket: ClientConnection, **changes: Any) -> dict[str, Any]:
    await socket.send(json.dumps(REGISTER | changes))
    return json.loads(await asyncio.wait_for(socket.recv(), 10))


async def read_close(socket: ClientConnection) -> tuple[int, str]:
    """Return code and reason with which the server closes."""
    async with asyncio.timeout(10):
        await socket.wait_closed()
    return socket.close_code or 0, socket.close_reason or ""


async def test_a_node_that_registers_is_answered_and_attached(socket: ClientConnection, fleet: FakeFleet) -> None:
    answer = await register(socket)
    assert (answer["type"], answer["node"]) == ("registered", NODE)
    assert [link.node for link in fleet.links] == [NODE]


async def test_frames_reach_the_fleet_in_order(socket: ClientConnection, fleet: FakeFleet) -> None:
    await register(socket)
    for share in range(100):
        await socket.send(json.dumps({"type": "heartbeat", "load": {"cpu": share / 100}, "unknown": "ignored"}))
    await fleet.wait_for(lambda: len(fleet.received) == 100)
    assert [frame.load["cpu"] for frame in fleet.received if isinstance(frame, Heartbeat)] == [
        n / 100 for n in range(100)
    ]


async def test_frames_reach_the_node_in_order(socket: ClientConnection, fleet: FakeFleet) -> None:
    await register(socket)
    assert all(fleet.links[0].send(frame) for frame in (Ping(), Drain(), Drain(draining=False)))
    received = [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(3)]
    assert [frame["type"] for frame in received] == ["ping", "drain", "drain"]


async def test_a_node_that_leaves_is_detached(socket: ClientConnection, fleet: FakeFleet) -> None:
    await register(socket)
    link = fleet.links[0]
    await socket.close()
    await fleet.wait_for(lambda: not fleet.links)
    assert link.node == NODE


async def test_a_node_that_dies_is_detached(server: HttpServer, fleet: FakeFleet) -> None:
    socket = await connect(f"ws://127.0.0.1:{server.port}/ws/node")
    await register(socket)
    socket.transport.abort()
    await fleet.wait_for(lambda: not fleet.links)


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("{bad", 4400, "malformed"),
        ("", 4400, "Not a frame"),
        ("[" * 100_000, 4400, "Not a frame"),
        ('{"type": "dance"}', 4400, "dance"),
        ('{"no": "type"}', 4400, "type"),
        ('{"type": "register", "protocol": 1}', 4400, "node"),
        ('{"type": "heartbeat"}', 4400, "first frame must be register"),
        (json.dumps(REGISTER | {"protocol": 99}), 4426, "protocol 1"),
        (json.dumps(REGISTER | {"executors": "many"}), 4400, "executors"),
        (b"\x00\x01", 1003, "Binary"),
    ],
)
async def test_a_first_frame_that_is_wrong_closes_with_what_is_wrong(
    socket: ClientConnection, frame: str | bytes, code: int, words: str
) -> None:
    await socket.send(frame)
    closed_with, reason = await read_close(socket)
    assert closed_with == code
    assert words in reason
    assert len(reason.encode()) <= 123


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type": "job_ack", "attempts": 7}', 4400),
        ('{"type": "job_progress"}', 4400),
        ('{"type": "' + "é" * 500 + '"}', 4400),
        (b"binary", 1003),
        ("x" * (MAX_FRAME_BYTES + 1), 1009),
    ],
)
async def test_a_later_frame_that_is_wrong_closes_and_detaches(
    socket: ClientConnection, fleet: FakeFleet, frame: str | bytes, code: int
) -> None:
    await register(socket)
    with contextlib.suppress(ConnectionClosed):  # the server may close before it has read all of it
        await socket.send(frame)
    closed_with, reason = await read_close(socket)
    assert closed_with == code
    assert len(reason.encode()) <= 123
    await fleet.wait_for(lambda: not fleet.links)


async def test_text_that_is_no_utf8_closes_without_a_crash_in_the_log(
    server: HttpServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket:
        await socket.send(b"\xff\xfe", text=True)
        assert (await read_close(socket))[0] in {1007, 4400}
    assert "Traceback" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (InvalidRequest("Executor 'cpu' is named twice."), 4400, "named twice"),
        (Conflict("Another node has this id."), 4409, "Another node"),
        (ValueError("secret"), 1011, "log says why"),
    ],
)
async def test_what_the_fleet_refuses_closes_with_its_sentence(
    socket: ClientConnection, fleet: FakeFleet, fault: Exception, code: int, words: str
) -> None:
    fleet.fault = fault
    await socket.send(json.dumps(REGISTER))
    closed_with, reason = await read_close(socket)
    assert (closed_with, words in reason) == (code, True)


async def test_a_node_is_asked_to_come_back_while_the_store_is_away(socket: ClientConnection, fleet: FakeFleet) -> None:
    fleet.store_is_away = True
    await socket.send(json.dumps(REGISTER))
    assert (await read_close(socket))[0] == 1013


async def test_a_fault_of_ours_is_one_log_line_without_a_trace(
    socket: ClientConnection, fleet: FakeFleet, capfd: pytest.CaptureFixture[str]
) -> None:
    await register(socket)
    fleet.fault = ValueError("boom")
    await socket.send('{"type": "heartbeat"}')
    assert (await read_close(socket))[0] == 1011
    logged = "".join(capfd.readouterr())
    assert NODE in logged
    assert "Traceback" not in logged


async def test_a_socket_that_says_nothing_is_closed(fleet: FakeFleet) -> None:
    closes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    silence = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not silence.is_set():
            silence.set()
            return {"type": "websocket.connect"}
        return await asyncio.get_running_loop().create_future()

    async with asyncio.timeout(10):
        await NodeDoor(fleet, register_within_s=0.01)._serve(receive, closes.put)
    assert (await closes.get())["type"] == "websocket.accept"
    assert (await closes.get())["code"] == 4408


async def test_the_fleet_can_close_a_link(socket: ClientConnection, fleet: FakeFleet) -> None:
    await register(socket)
    fleet.links[0].send(Drain())
    fleet.links[0].close(4409, "The node registered again on another link.")
    assert await read_close(socket) == (4409, "The node registered again on another link.")
    await fleet.wait_for(lambda: not fleet.links)


async def test_links_close_at_once_when_the_server_stops(fleet: FakeFleet) -> None:
    async with HttpServer(build_application(fleet, ServerSettings()), host="127.0.0.1", port=0) as server:
        sockets = [await connect(f"ws://127.0.0.1:{server.port}/ws/node") for _ in range(3)]
        for number, socket in enumerate(sockets):
            await register(socket, node=f"{NODE}{number}")
    for socket in sockets:
        assert (await read_close(socket))[0] == 1001
    assert not fleet.links


async def nothing(_: object) -> None:
    """Send nowhere."""


def test_a_node_that_does_not_read_is_closed_instead_of_filling_memory() -> None:
    link = SocketLink(nothing)
    assert all(link.send(Ping()) for _ in range(MOST_QUEUED_FRAMES))
    assert not link.send(Ping())
    assert not link.send(Ping())


async def test_the_greeting_comes_before_work_that_was_placed_meanwhile() -> None:
    sent: list[Any] = []

    async def record(message: Any) -> None:
        sent.append(message)

    link = SocketLink(record)
    link.send(Drain())
    link.greet(Registered(NODE, 1, 2))
    link.close(1001, "bye")
    await link.write()
    assert [json.loads(m["text"])["type"] for m in sent[:2]] == ["registered", "drain"]
    assert sent[2]["code"] == 1001


def test_a_reason_is_cut_between_characters() -> None:
    assert shorten_reason("é" * 100) == "é" * 61
    assert shorten_reason("short") == "short"
