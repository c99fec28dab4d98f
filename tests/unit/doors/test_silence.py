"""When a link counts as silent, and what the door does then."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_fleet import NODE, FakeFleet
from websockets.asyncio.client import ClientConnection, connect

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.frames import Heartbeat, NodeFrame
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.websocket import node as door
from mediafleet.doors.websocket.silence import LOOKS_PER_HEARTBEAT, SILENT_LOOKS, Silence
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
    fleet.heartbeat_ms = 200
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket:
        await register(socket)
        for count in range(1, 11):
            await socket.send('{"type":"heartbeat"}')
            await fleet.wait_for(lambda count=count: len(fleet.received) == count)
            # No event tells that a part of a heartbeat has passed, which is what this is about.
            await asyncio.sleep(0.1)
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
    fleet.heartbeat_ms = 40
    mute = Silence()
    async with connect(f"ws://127.0.0.1:{server.port}/ws/node") as socket, asyncio.timeout(20):
        await register(socket)
        await socket.send('{"type":"heartbeat"}')
        await under_way.wait()
        # As long as it would take to end a silent link, and more.
        mute.watch(3 * fleet.heartbeat_ms)
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
