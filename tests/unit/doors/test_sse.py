"""Event streams as a client sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fake_fleet import FakeFleet

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.event import EventType
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.doors.http.application import build_application
from mediafleet.doors.http.events import choose_position
from mediafleet.doors.http.server import HttpServer
from mediafleet.ops.settings import ServerSettings


async def read_messages(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Yield each message of a stream as its fields; comments are fields named ''."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields["" if line.startswith(":") else name] = value
        elif fields:
            yield fields
            fields = {}


async def read_until(response: aiohttp.ClientResponse, event: str) -> dict[str, str]:
    async with asyncio.timeout(10):
        async for message in read_messages(response):
            if message.get("event") == event:
                return message
    raise AssertionError(f"the stream ended without {event}")


async def read_events(response: aiohttp.ClientResponse) -> list[Any]:
    """Return all events of a stream that ends."""
    async with asyncio.timeout(10):
        return [m["event"] async for m in read_messages(response) if "event" in m]


async def test_the_fleets_stream_begins_now_and_names_positions(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    await fleet.add_event(EventType.NODE_LOST)
    async with client.get("/api/v1/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        await fleet.wait_for(lambda: fleet.watchers)
        sent = await fleet.add_event(EventType.NODE_REGISTERED, note="a\nb")
        message = await read_until(response, "node.registered")
    assert message["id"] == sent.id
    assert json.loads(message["data"])["data"] == {"note": "a\nb"}


async def test_a_client_that_comes_back_gets_what_it_missed(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    events = [await fleet.add_event(EventType.JOB_ACCEPTED, f"j0-{i}") for i in range(3)]
    for headers, query in (({"Last-Event-ID": events[0].id}, ""), ({}, f"?after={events[0].id}")):
        async with client.get("/api/v1/events" + query, headers=headers) as response:
            assert (await read_until(response, "job.accepted"))["id"] == events[1].id


async def test_the_header_wins_over_the_address(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    events = [await fleet.add_event(EventType.JOB_ACCEPTED, f"j0-{i}") for i in range(3)]
    async with client.get(f"/api/v1/events?after={events[0].id}", headers={"Last-Event-ID": events[1].id}) as response:
        assert (await read_until(response, "job.accepted"))["id"] == events[2].id


async def test_a_jobs_stream_begins_with_its_state_and_ends_with_its_end(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    job = fleet.add_job()
    async with client.get(f"/api/v1/jobs/{job.id}/events") as response:
        snapshot = await read_until(response, "job.snapshot")
        assert "id" not in snapshot
        assert json.loads(snapshot["data"])["id"] == job.id
        await fleet.add_event(EventType.NODE_LOST)
        await fleet.update(job.id, EventType.JOB_PROGRESSED, progress=0.5)
        await fleet.update(job.id, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED)
        assert await read_events(response) == ["job.progressed", "job.completed"]


async def test_the_stream_of_a_finished_job_is_its_state(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job(status=JobStatus.COMPLETED)
    async with client.get(f"/api/v1/jobs/{job.id}/events") as response:
        assert await read_events(response) == ["job.snapshot"]


async def test_a_job_that_ended_unseen_ends_its_stream(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    """The final event may have left the bounded history: the keep-alive looks at the job itself."""
    job = fleet.add_job(status=JobStatus.FAILED)
    async with client.get(f"/api/v1/jobs/{job.id}/events?after=0-0") as response:
        assert await read_events(response) == ["job.snapshot"]


async def test_a_silent_stream_is_kept_open(client: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(10), client.get("/api/v1/events") as response:
        async for message in read_messages(response):
            if message.get("") == "keep-alive":
                break


async def test_a_store_that_goes_away_ends_the_stream_quietly(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async with client.get("/api/v1/events") as response:
        await fleet.wait_for(lambda: fleet.watchers)
        fleet.store_is_away = True
        await fleet.notify()
        assert await read_events(response) == []


async def test_a_watcher_that_leaves_is_forgotten(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async with client.get("/api/v1/events"):
        await fleet.wait_for(lambda: fleet.watchers)
    await fleet.wait_for(lambda: not fleet.watchers)


async def test_streams_end_when_the_server_stops(fleet: FakeFleet) -> None:
    job = fleet.add_job()
    async with aiohttp.ClientSession() as client:
        async with HttpServer(build_application(fleet, ServerSettings()), host="127.0.0.1", port=0) as server:
            streams = [await client.get(server.url + p) for p in ("/api/v1/events", f"/api/v1/jobs/{job.id}/events")]
            await fleet.wait_for(lambda: fleet.watchers == 2)
        for stream in streams:
            assert "job.failed" not in await read_events(stream)
    assert fleet.watchers == 0


@pytest.mark.parametrize("position", ["", "5", "5-1", "5-1_6-2", "5-1_6-2_18446744073709551615-0"])
def test_positions_in_one_cell_or_several_are_taken(position: str) -> None:
    assert choose_position(position, "") == position


@pytest.mark.parametrize("position", ["x", "5-", "5_6", "5-1_", "_5-1", "5-1_18446744073709551616-0", "5-1 6-2"])
def test_what_is_no_position_is_refused(position: str) -> None:
    with pytest.raises(InvalidRequest, match="no position"):
        choose_position("", position)
