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

from mediafleet.domain.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    SchedulerUnavailable,
    StoreUnavailable,
    Unauthorized,
    UnknownKind,
)
from mediafleet.domain.frames import MAX_FRAME_BYTES, Drain, Heartbeat, Misc, Ping, Register
from mediafleet.doors.http.application import build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.websocket.node import NodeDoor, Refusal, _explain
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
        ('{"type": "heartbeat", "running": [{"task": "j0-a.b:children", "grant": "g"}]}', 4400),
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
        await NodeDoor(fleet, register_within_s=0.01).serve(receive, closes.put)
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


async def test_registering_twice_reaches_the_fleet_and_its_answer_closes_the_link(
    socket: ClientConnection, fleet: FakeFleet
) -> None:
    await register(socket)
    await socket.send(json.dumps(REGISTER | {"incarnation": "i2"}))
    await fleet.wait_for(lambda: fleet.received)
    assert isinstance(fleet.received[0], Register)
    assert len(fleet.links) == 1, "the second frame is no second link"
    fleet.fault = InvalidRequest("This link is registered already.")
    await socket.send(json.dumps(REGISTER))
    assert await read_close(socket) == (4400, "This link is registered already.")


async def test_two_links_of_one_node_end_one_by_one(server: HttpServer, fleet: FakeFleet) -> None:
    address = f"ws://127.0.0.1:{server.port}/ws/node"
    async with connect(address) as first, connect(address) as second:
        await register(first)
        await register(second)
        fleet.links[0].close(4409, "Replaced.")
        assert await read_close(first) == (4409, "Replaced.")
        await fleet.wait_for(lambda: len(fleet.links) == 1)
        await second.send('{"type": "heartbeat"}')
        await fleet.wait_for(lambda: fleet.received)


async def test_a_frame_of_the_largest_size_is_read(socket: ClientConnection, fleet: FakeFleet) -> None:
    await register(socket)
    frame = '{"type": "misc", "event": "log", "data": {"text": ""}}'
    await socket.send(frame.replace('""', '"' + "x" * (MAX_FRAME_BYTES - len(frame)) + '"'))
    await fleet.wait_for(lambda: fleet.received)
    assert isinstance(fleet.received[0], Misc)


async def test_no_frame_after_a_wrong_one_is_read(socket: ClientConnection, fleet: FakeFleet) -> None:
    await register(socket)
    with contextlib.suppress(ConnectionClosed):
        await socket.send('{"type": "dance"}')
        await socket.send('{"type": "heartbeat"}')
    assert (await read_close(socket))[0] == 4400
    await fleet.wait_for(lambda: not fleet.links)
    assert fleet.received == []


async def test_a_refusal_is_one_warning_with_node_and_reason(
    socket: ClientConnection, capfd: pytest.CaptureFixture[str]
) -> None:
    await register(socket)
    await socket.send(b"binary")
    await read_close(socket)
    logged = "".join(capfd.readouterr())
    assert logged.count("node link refused") == 1
    assert NODE in logged
    assert "code=1003" in logged


async def test_a_node_is_not_detached_that_was_never_attached(socket: ClientConnection, fleet: FakeFleet) -> None:
    await socket.send('{"type": "heartbeat"}')
    await read_close(socket)
    assert fleet.links == []
    async with connect(f"ws://127.0.0.1:{socket.remote_address[1]}/ws/node") as again:
        assert (await register(again))["type"] == "registered"


async def test_a_goodbye_that_the_store_cannot_take_is_one_log_line(
    socket: ClientConnection, fleet: FakeFleet, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Event()

    async def refuse(_: object) -> None:
        told.set()
        raise StoreUnavailable("The store does not answer.")

    monkeypatch.setattr(fleet, "detach", refuse)
    await register(socket)
    await socket.close()
    await asyncio.wait_for(told.wait(), 10)
    logged = "".join(capfd.readouterr())
    assert "node link closed while the store is away" in logged
    assert NODE in logged
    assert "Traceback" not in logged


async def test_a_node_that_comes_while_the_server_stops_is_sent_away(fleet: FakeFleet) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not sent:
            return {"type": "websocket.connect"}
        return await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    door = NodeDoor(fleet)
    door.close_all()
    async with asyncio.timeout(10):
        await door.serve(receive, send)
    assert (sent[-1]["code"], sent[-1]["reason"]) == (1001, "The scheduler is stopping; come back soon.")
    assert fleet.links == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("x"), 1013),
        (SchedulerUnavailable("x"), 1013),
        (Unauthorized("x"), 4401),
        (InvalidRequest("x"), 4400),
        (UnknownKind("x"), 4400),
        (Conflict("x"), 4409),
        (NotFound("x"), 4409),
        (Refusal(4426, "x"), 4426),
        (KeyError("secret"), 1011),
    ],
)
def test_each_kind_of_error_closes_with_its_code(error: Exception, code: int) -> None:
    found, reason = _explain(error)
    assert found == code
    assert (reason == "x") == (code != 1011)
    assert "secret" not in reason
