"""A feed over a server that says odd things: what is skipped, what is asked for again, and what ends it."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

import msgspec
import pytest
from raw_server import RawServer

from mediafleet.client import FleetClient
from mediafleet.client.events import RECONNECT_MS
from mediafleet.client.sse import MAX_MESSAGE_CHARS
from mediafleet.domain.errors import MediafleetError, NotFound, SchedulerUnavailable, StoreUnavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

DEADLINE_S = 20
STREAM = "Content-Type: text/event-stream; charset=utf-8"
FAST = b"retry: 1\n\n"
VIEW = JobView("j0-1", "noop", "a", JobStatus.PROCESSING, 0.0, "", PriorityClass.BATCH, "default", 1, 1)


def event(number: int, type_: EventType = EventType.JOB_PROGRESSED, job: str = "j0-1") -> bytes:
    record = Event(f"{number}-0", type_, 1, job, data={})
    return b"id: %d-0\nevent: %s\ndata: %s\n\n" % (number, type_.encode(), msgspec.json.encode(record))


def snapshot(status: JobStatus = JobStatus.PROCESSING) -> bytes:
    view = msgspec.structs.replace(VIEW, status=status)
    return b"event: job.snapshot\ndata: %s\n\n" % msgspec.json.encode(view)


def positions(server: RawServer) -> list[str]:
    """Return what each connection asked to go on from."""
    found = [re.search(rb"Last-Event-ID: (\S+)", head) for head in server.heads]
    return [match[1].decode() if match else "" for match in found]


async def follow(server: RawServer, count: int, *, job: str = "", after: str = "", patience_s: float = 5) -> list[str]:
    """Return ids of events, or the status of views, until there are so many or the feed ends."""
    found: list[str] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        FleetClient(server.url) as client,
        aclosing(client.events(job, after=after, patience_s=patience_s)) as feed,
    ):
        async for item in feed:
            found.append(item.status.value if isinstance(item, JobView) else item.id)
            if len(found) == count:
                break
    return found


async def test_each_connection_goes_on_after_the_last_whole_event(server: RawServer) -> None:
    server.say(200, FAST + event(1) + event(2), STREAM)
    server.say(200, FAST, STREAM)
    server.say(200, FAST + event(3), STREAM)
    assert await follow(server, 3) == ["1-0", "2-0", "3-0"]
    assert positions(server) == ["", "2-0", "2-0"]


async def test_half_an_event_counts_as_none(server: RawServer) -> None:
    whole = FAST + event(1) + event(2)
    for cut in (1, 2, 30):
        server.answers.append(
            b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 99999\r\n\r\n" % STREAM.encode() + whole[:-cut]
        )
        server.say(200, FAST + event(2), STREAM)
        assert await follow(server, 2) == ["1-0", "2-0"]
        assert positions(server) == ["", "1-0"]
        server.answers, server.heads = [], []


async def test_an_event_of_a_newer_version_is_skipped_and_not_asked_for_again(server: RawServer) -> None:
    future = b"id: 2-0\nevent: job.teleported\ndata: {}\n\n"
    server.say(200, FAST + event(1) + future, STREAM)
    server.say(200, FAST + event(3), STREAM)
    assert await follow(server, 2) == ["1-0", "3-0"]
    assert positions(server) == ["", "2-0"]


async def test_a_snapshot_does_not_move_the_position(server: RawServer) -> None:
    server.say(200, FAST + event(5) + snapshot(), STREAM)
    server.say(200, FAST + event(6, EventType.JOB_COMPLETED), STREAM)
    assert await follow(server, 9, job="j0-1") == ["5-0", "processing", "6-0"]
    assert positions(server) == ["", "5-0"]


async def test_a_feed_begins_where_it_is_told_to(server: RawServer) -> None:
    server.say(200, event(8), STREAM)
    assert await follow(server, 1, after="7-0") == ["8-0"]
    assert positions(server) == ["7-0"]


@pytest.mark.parametrize("last", [EventType.JOB_COMPLETED, EventType.JOB_FAILED, EventType.JOB_CANCELLED])
async def test_a_jobs_feed_ends_with_any_of_its_ends(server: RawServer, last: EventType) -> None:
    server.say(200, snapshot() + event(1) + event(2, last) + event(3), STREAM)
    assert await follow(server, 9, job="j0-1") == ["processing", "1-0", "2-0"]


async def test_the_fleets_feed_goes_on_after_the_end_of_a_job(server: RawServer) -> None:
    server.say(200, event(1, EventType.JOB_COMPLETED) + event(2, job="j0-2"), STREAM)
    assert await follow(server, 2) == ["1-0", "2-0"]


async def test_a_snapshot_of_a_finished_job_ends_its_feed(server: RawServer) -> None:
    server.say(200, snapshot(JobStatus.CANCELLED), STREAM)
    assert await follow(server, 9, job="j0-1") == ["cancelled"]


async def test_a_store_that_is_away_for_a_moment_is_waited_for(server: RawServer) -> None:
    server.say(503, {"code": "store-unavailable", "detail": "Away."})
    server.answers.append(b"")
    server.say(200, event(1), STREAM)
    assert await follow(server, 1) == ["1-0"]
    assert len(server.heads) == 3


async def test_a_store_that_stays_away_ends_the_feed_with_its_sentence(server: RawServer) -> None:
    server.say(503, {"code": "store-unavailable", "detail": "The store does not answer."})
    with pytest.raises(StoreUnavailable, match="The store does not answer"):
        await follow(server, 1, patience_s=0.2)


async def test_a_job_whose_retention_ends_while_it_is_followed_is_not_found(server: RawServer) -> None:
    server.say(200, FAST + event(1), STREAM)
    server.say(404, {"code": "not-found", "detail": "There is no job 'j0-1'."})
    with pytest.raises(NotFound, match="no job"):
        await follow(server, 9, job="j0-1")
    assert len(server.heads) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"event: job.progressed\ndata: {bad\n\n", "update mediafleet"),
        (b"event: job.snapshot\ndata: {}\n\n", "update mediafleet"),
        (b"data: " + b"x" * (MAX_MESSAGE_CHARS + 1), "endless event"),
    ],
)
async def test_what_cannot_be_read_ends_the_feed_with_a_sentence(server: RawServer, answer: bytes, words: str) -> None:
    server.say(200, answer, STREAM)
    with pytest.raises(SchedulerUnavailable, match=words):
        await follow(server, 1)
    assert len(server.heads) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/octet-stream"])
async def test_a_page_of_another_server_is_no_stream(server: RawServer, kind: str) -> None:
    server.say(200, b"<html></html>", f"Content-Type: {kind}")
    with pytest.raises(SchedulerUnavailable, match="does not answer like a mediafleet scheduler"):
        await follow(server, 1)
    assert len(server.heads) == 1


async def test_the_server_may_say_how_long_to_wait_and_take_it_back(server: RawServer) -> None:
    server.say(200, b"retry: 7\n" + event(1), STREAM)
    server.say(200, event(2), STREAM)
    server.say(200, b"retry: never\n" + event(3), STREAM)
    async with asyncio.timeout(DEADLINE_S), FleetClient(server.url) as client:
        feed = client.feed()
        pauses: list[int] = []
        async with aclosing(feed.follow(patience_s=5, on_open=lambda: pauses.append(feed._pause_ms))) as items:
            async for item in items:
                if isinstance(item, Event) and item.id == "3-0":
                    break
    assert pauses == [RECONNECT_MS, 7, RECONNECT_MS]


async def test_a_job_id_stays_one_part_of_the_address(server: RawServer) -> None:
    server.say(404, {})
    with pytest.raises(MediafleetError):
        await follow(server, 1, job="../../stats?x#y")
    assert server.heads[0].startswith(b"GET /api/v1/jobs/..%2F..%2Fstats%3Fx%23y/events HTTP")


async def test_only_a_feed_that_holds_says_it_is_a_client(server: RawServer) -> None:
    server.say(404, {})
    async with FleetClient(server.url) as client:
        for hold in (True, False):
            with pytest.raises(NotFound):
                await anext(client.feed(hold=hold).follow(patience_s=1))
    assert [head.split()[1] for head in server.heads] == [b"/api/v1/events?client=1", b"/api/v1/events"]
    assert all(b"Accept: text/event-stream\r\n" in head for head in server.heads)
