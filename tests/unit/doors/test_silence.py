"""When a link counts as silent, and what the door does then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from fake_fleet import NODE, FakeFleet
from tests_support.proxy import Proxy, Way, running_proxy
from websockets.asyncio.client import ClientConnection, connect

from mediafleet.domain.errors import SchedulerUnavailable, StoreUnavailable
from mediafleet.domain.frames import (
    Heartbeat,
    JobCancel,
    JobResults,
    NodeFrame,
    Outcome,
    Register,
    SchedulerFrame,
    encode_frame,
)
from mediafleet.domain.plan import TaskResult
from mediafleet.doors.arrivals import Arrivals
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.websocket import node as door
from mediafleet.doors.websocket.silence import LEAST_BYTES, LOOKS_PER_HEARTBEAT, SILENT_LOOKS, Silence
from mediafleet.node.connection import Connection
from mediafleet.node.link import WebSocketLink
from mediafleet.node.progress import ProgressBoard
from mediafleet.scheduler.facade import NodeLink

NEVER_MS = 10**9
"""So that looks come only from the test."""
REGISTER: dict[str, Any] = {
    "type": "register",
    "protocol": 1,
    "node": NODE,
    "incarnation": "i1",
    "host": "studio-b",
    "version": "0.1.0",
    "executors": [],
}


@pytest.fixture
async def silence() -> Silence:
    found = Silence()
    found.watch(NEVER_MS)
    return found


def look(silence: Silence, times: int) -> bool:
    """Look so often; return whether the link is over."""
    for _ in range(times):
        silence.end()
        silence._look()
    silence.end()
    return silence.found.done()


def test_both_ends_have_noticed_before_three_heartbeats_are_over() -> None:
    assert (SILENT_LOOKS + 1) / LOOKS_PER_HEARTBEAT < 3
    # A beat that is one heartbeat late is only late.
    assert SILENT_LOOKS / LOOKS_PER_HEARTBEAT >= 2


async def test_looks_in_a_row_at_which_nothing_had_come_end_a_link(silence: Silence) -> None:
    assert not look(silence, 1), "its registration was heard"
    assert not look(silence, SILENT_LOOKS - 1)
    assert look(silence, 1)
    assert look(silence, 3), "and it stays ended"


async def test_one_frame_and_the_count_begins_anew(silence: Silence) -> None:
    look(silence, SILENT_LOOKS)
    silence.heard = True
    assert not look(silence, SILENT_LOOKS)
    assert look(silence, 1)


async def test_while_a_frame_is_handled_no_silence_counts(silence: Silence) -> None:
    """The store is away: nobody reads what the node sends."""
    silence.busy = True
    assert not look(silence, 10 * SILENT_LOOKS)
    silence.busy = False
    assert look(silence, SILENT_LOOKS)


async def test_it_looks_by_itself_at_the_pace_of_the_heartbeat() -> None:
    silence = Silence()
    silence.watch(20)
    async with asyncio.timeout(20):
        await silence.found


async def test_nothing_is_looked_at_after_the_end() -> None:
    silence = Silence()
    silence.watch(20)
    silence.end()
    later = Silence()
    later.watch(20)
    async with asyncio.timeout(20):
        await later.found
    assert not silence.found.done()


# --- at the door -----------------------------------------------------------------------------


async def register(socket: ClientConnection) -> None:
    await socket.send(json.dumps(REGISTER))
    assert json.loads(await asyncio.wait_for(socket.recv(), 20))["type"] == "registered"


async def test_a_node_that_sends_no_heartbeats_is_detached_and_told(server: HttpServer, fleet: FakeFleet) -> None:
    """Its socket answers all pings."""
    fleet.heartbeat_ms = 50
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket, asyncio.timeout(20):
        await register(socket)
        await fleet.wait_for(lambda: not fleet.links)
        await socket.wait_closed()
        assert socket.close_code == door.CODE_SILENT
        assert "two heartbeats" in (socket.close_reason or "")


async def test_a_node_that_is_not_there_any_more_is_detached_before_anybody_waits_for_it(
    server: HttpServer, fleet: FakeFleet
) -> None:
    fleet.heartbeat_ms = 50
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node", close_timeout=0.1) as socket:
        await register(socket)
        # It reads nothing and so answers nothing, as behind a cable that was pulled.
        socket.transport.pause_reading()
        await fleet.wait_for(lambda: not fleet.links)


async def test_a_node_that_beats_stays(server: HttpServer, fleet: FakeFleet) -> None:
    fleet.heartbeat_ms = 500
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket:
        await register(socket)
        for count in range(1, 11):
            await socket.send('{"type":"heartbeat"}')
            await fleet.wait_for(lambda count=count: len(fleet.received) == count)
            # No event tells that a part of a heartbeat has passed, which is what this is about.
            await asyncio.sleep(0.25)
        assert [link.node for link in fleet.links] == [NODE]


async def test_a_node_whose_frame_is_not_taken_for_long_is_not_silent(
    server: HttpServer, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, under_way = asyncio.Event(), asyncio.Event()
    receive = fleet.receive

    async def wait(link: NodeLink, frame: NodeFrame) -> None:
        under_way.set()
        await gate.wait()
        await receive(link, frame)

    monkeypatch.setattr(fleet, "receive", wait)
    fleet.heartbeat_ms = 400
    mute = Silence()
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket, asyncio.timeout(20):
        await register(socket)
        await socket.send('{"type":"heartbeat"}')
        await under_way.wait()
        # As long as it would take to end a silent link, and more.
        mute.watch(2 * fleet.heartbeat_ms)
        await mute.found
        assert [link.node for link in fleet.links] == [NODE]
        gate.set()
        await fleet.wait_for(lambda: fleet.received == [Heartbeat()])


async def test_a_store_that_is_away_when_a_silent_node_is_detached_changes_nothing(
    server: HttpServer, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def fail(link: NodeLink) -> None:
        tried.append(link.node)
        raise StoreUnavailable("The store is away.")

    fleet.heartbeat_ms = 50
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket, asyncio.timeout(20):
        await register(socket)
        monkeypatch.setattr(fleet, "detach", fail)
        await socket.wait_closed()
        assert socket.close_code == door.CODE_SILENT
    assert tried


# --- a line that is slower than a frame is large ---------------------------------------------

OUTCOME = Outcome("j0-a.encode", "g", result=TaskResult({"text": "x" * 600_000}))
SLOW_BYTES_PER_S = 200_000
"""So the outcome takes three seconds."""
BEAT_MS = 600
"""So a silent link is found within a second and a half: half of what the outcome takes, and enough for a busy machine."""


@pytest.fixture
def line(server: HttpServer, fleet: FakeFleet) -> Iterator[Proxy]:
    fleet.heartbeat_ms = BEAT_MS
    with running_proxy(server.port) as proxy:
        yield proxy


async def test_bytes_of_a_frame_on_its_way_count_as_a_sign_of_life() -> None:
    arrivals, told = Arrivals(), list[int]()
    silence = Silence(arrivals, on_arriving=lambda: told.append(arrivals.bytes))
    silence.watch(NEVER_MS)
    silence.heard = False
    for _ in range(3 * SILENT_LOOKS):
        arrivals.bytes += LEAST_BYTES
        assert not look(silence, 1)
    assert len(told) == 3 * SILENT_LOOKS
    assert look(silence, SILENT_LOOKS)


async def test_pings_of_a_library_whose_node_hangs_are_no_sign_of_life() -> None:
    arrivals = Arrivals()
    silence = Silence(arrivals)
    silence.watch(NEVER_MS)
    silence.heard = False
    for _ in range(SILENT_LOOKS):
        arrivals.bytes += LEAST_BYTES - 1
        look(silence, 1)
    assert silence.found.done()


async def test_a_large_frame_over_a_slow_line_arrives_over_the_link_that_it_was_sent_over(
    line: Proxy, fleet: FakeFleet
) -> None:
    """It takes longer than the silence of either end, and the heartbeats and pongs are behind it."""
    link = await WebSocketLink.open(line.url)
    connection = await Connection.register(link, msgspec.convert(REGISTER, Register))
    line.bytes_per_s["up"] = SLOW_BYTES_PER_S
    serving = asyncio.create_task(
        connection.serve(handle=lambda _: None, beat=lambda: connection.post(Heartbeat()), board=ProgressBoard())
    )
    connection.post(JobResults((OUTCOME,)))
    await fleet.wait_for(lambda: JobResults((OUTCOME,)) in fleet.received)
    assert fleet.kept > 0, "its lease went on meanwhile"
    await fleet.wait_for(lambda: fleet.received[-1] == Heartbeat())
    assert not serving.done()
    assert line.accepted == 1
    serving.cancel()
    await asyncio.wait({serving})


async def test_a_large_frame_in_one_piece_is_not_taken_for_silence(line: Proxy, fleet: FakeFleet) -> None:
    """Nodes of others send it so."""
    async with connect(line.url.replace("http", "ws") + "/ws/node", ping_interval=None) as socket:
        await register(socket)
        line.bytes_per_s["up"] = SLOW_BYTES_PER_S
        await socket.send(encode_frame(JobResults((OUTCOME,))), text=True)
        await fleet.wait_for(lambda: fleet.received == [JobResults((OUTCOME,))])


async def test_a_large_frame_to_a_node_over_a_slow_line_is_not_taken_for_silence(line: Proxy, fleet: FakeFleet) -> None:
    link = await WebSocketLink.open(line.url)
    connection = await Connection.register(link, msgspec.convert(REGISTER, Register))
    line.bytes_per_s["down"] = SLOW_BYTES_PER_S
    large, got = JobCancel((), "x" * 600_000), asyncio.Queue[SchedulerFrame]()
    serving = asyncio.create_task(
        connection.serve(handle=got.put_nowait, beat=lambda: connection.post(Heartbeat()), board=ProgressBoard())
    )
    fleet.links[0].send(large)
    async with asyncio.timeout(20):
        assert await got.get() == large
    assert not serving.done()
    serving.cancel()
    await asyncio.wait({serving})


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_line_that_dies_in_the_middle_of_a_large_frame_is_found(
    line: Proxy, fleet: FakeFleet, way: Way
) -> None:
    link = await WebSocketLink.open(line.url)
    connection = await Connection.register(link, msgspec.convert(REGISTER, Register))
    line.bytes_per_s[way] = SLOW_BYTES_PER_S
    serving = asyncio.create_task(
        connection.serve(handle=lambda _: None, beat=lambda: connection.post(Heartbeat()), board=ProgressBoard())
    )
    if way == "up":
        connection.post(JobResults((OUTCOME,)))
        async with asyncio.timeout(20):
            while not fleet.kept:  # noqa: ASYNC110 - it is told from no task that could say so
                await asyncio.sleep(0.01)
    else:
        fleet.links[0].send(JobCancel((), "x" * 600_000))
    line.strand()
    await fleet.wait_for(lambda: not fleet.links)
    with pytest.raises(SchedulerUnavailable):
        async with asyncio.timeout(20):
            await serving
