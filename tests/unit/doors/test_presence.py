"""Which streams count as clients, and when a fleet is abandoned."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mediafleet.doors.http.presence import Presence

DEADLINE_S = 10
FOREVER_S = 3_600.0
CLIENT = b"client=1"


class Streams:
    """An application whose answers last until they are told to end, or fail."""

    def __init__(self) -> None:
        self.presence = Presence(self.serve)
        self.open: list[asyncio.Event] = []
        self.came = asyncio.Event()
        self.fault: Exception | None = None

    async def serve(self, *_: object) -> None:
        self.open.append(end := asyncio.Event())
        self.came.set()
        await end.wait()
        if self.fault:
            raise self.fault

    async def start(
        self, path: str = "/api/v1/events", query: bytes = CLIENT, kind: str = "http"
    ) -> asyncio.Task[None]:
        """Open a stream and return once it is open."""
        self.came.clear()
        task = asyncio.create_task(self.presence({"type": kind, "path": path, "query_string": query}, None, None))
        await asyncio.wait_for(self.came.wait(), DEADLINE_S)
        return task


@pytest.fixture
def streams() -> Streams:
    return Streams()


async def is_abandoned(streams: Streams) -> bool:
    """Tell whether nobody is there: then a wait without lingering ends, else it goes on."""
    waiting = asyncio.create_task(streams.presence.wait_abandoned(0))
    # A wait that can end does so within a few turns of the loop; no clock is asked.
    for _ in range(20):
        await asyncio.sleep(0)
    ended = waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return ended


async def test_a_fleet_that_nobody_came_to_is_abandoned(streams: Streams) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await streams.presence.wait_abandoned(0)


async def test_a_client_keeps_the_fleet_until_it_leaves(streams: Streams) -> None:
    task = await streams.start()
    assert not await is_abandoned(streams)
    streams.open[0].set()
    await task
    assert await is_abandoned(streams)


async def test_only_the_last_client_to_leave_abandons_the_fleet(streams: Streams) -> None:
    tasks = [await streams.start() for _ in range(3)]
    for end, task in zip(streams.open, tasks, strict=True):
        assert not await is_abandoned(streams)
        end.set()
        await task
    assert await is_abandoned(streams)


async def test_a_client_whose_stream_fails_or_is_cut_is_gone_too(streams: Streams) -> None:
    failing, cut = await streams.start(), await streams.start()
    streams.fault = ConnectionError("reset")
    streams.open[0].set()
    cut.cancel()
    results = await asyncio.gather(failing, cut, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError, asyncio.CancelledError]
    assert await is_abandoned(streams)


@pytest.mark.parametrize(
    ("path", "query", "kind"),
    [
        ("/api/v1/events", b"", "http"),
        ("/api/v1/events", b"client=0", "http"),
        ("/api/v1/events", b"client=1&client=1", "http"),
        ("/api/v1/events", b"client=\xff", "http"),
        ("/api/v1/jobs/j0-1/events", CLIENT, "http"),
        ("/api/v1/jobs", CLIENT, "http"),
        ("/api/v1/events", CLIENT, "websocket"),
    ],
)
async def test_whoever_does_not_say_it_is_a_client_counts_for_nothing(
    streams: Streams, path: str, query: bytes, kind: str
) -> None:
    task = await streams.start(path, query, kind)
    assert await is_abandoned(streams)
    streams.open[0].set()
    await task


@pytest.mark.parametrize(("path", "query"), [("/api/v1/events/", CLIENT), ("/api/v1/events", b"after=1-0&client=1")])
async def test_a_client_is_known_however_it_writes_its_address(streams: Streams, path: str, query: bytes) -> None:
    task = await streams.start(path, query)
    assert not await is_abandoned(streams)
    streams.open[0].set()
    await task


async def test_a_client_that_comes_while_the_fleet_lingers_keeps_it(streams: Streams) -> None:
    waiting = asyncio.create_task(streams.presence.wait_abandoned(FOREVER_S))
    task = await streams.start()
    assert not waiting.done()
    streams.open[0].set()
    await task
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_dismissed_fleet_whose_clients_are_gone_does_not_linger(streams: Streams) -> None:
    dismissal = asyncio.Event()
    dismissal.set()
    async with asyncio.timeout(DEADLINE_S):
        await streams.presence.wait_dismissed(dismissal, 0)


async def test_the_connection_of_the_one_who_dismisses_may_end_after_its_signal(streams: Streams) -> None:
    task = await streams.start()
    dismissal = asyncio.Event()
    waiting = asyncio.create_task(streams.presence.wait_dismissed(dismissal, FOREVER_S))
    dismissal.set()
    while dismissal.is_set():  # noqa: ASYNC110 - until the waiting one has seen it
        await asyncio.sleep(0)
    assert not waiting.done()
    streams.open[0].set()
    await task
    await asyncio.wait_for(waiting, DEADLINE_S)


async def test_a_dismissal_while_another_client_stays_is_forgotten(streams: Streams) -> None:
    task = await streams.start()
    dismissal = asyncio.Event()
    dismissal.set()
    waiting = asyncio.create_task(streams.presence.wait_dismissed(dismissal, 0))
    while dismissal.is_set():  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    # The wait for the client has its own turns of the loop to run out in.
    for _ in range(20):
        await asyncio.sleep(0)
    streams.open[0].set()
    await task
    assert await is_abandoned(streams)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def refusal_of(streams: Streams) -> tuple[int, dict[str, Any]]:
    """Knock as a client at a fleet that takes none, and return status and document."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/api/v1/events", "query_string": CLIENT}
    await streams.presence(scope, None, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_a_fleet_that_was_closed_refuses_clients_and_says_that_it_ends(streams: Streams) -> None:
    assert streams.presence.close()
    status, problem = await refusal_of(streams)
    assert (status, problem["code"], problem["retryable"]) == (503, "fleet-ending", True)
    assert not streams.open
    assert await is_abandoned(streams)


async def test_a_closed_fleet_still_answers_everybody_else(streams: Streams) -> None:
    assert streams.presence.close()
    task = await streams.start("/api/v1/jobs")
    streams.open[0].set()
    await task


@pytest.mark.parametrize("leaves_again", [False, True])
async def test_a_client_that_comes_before_the_decision_keeps_the_fleet(streams: Streams, *, leaves_again: bool) -> None:
    await streams.presence.wait_abandoned(0)
    task = await streams.start()
    if leaves_again:
        streams.open[0].set()
        await task
    assert not streams.presence.close()
    late = await streams.start()
    for end in streams.open:
        end.set()
    await asyncio.gather(task, late)
    await streams.presence.wait_abandoned(0)
    assert streams.presence.close()


async def test_a_dismissal_is_not_decided_before_the_fleet_is_closed(streams: Streams) -> None:
    dismissal = asyncio.Event()
    dismissal.set()
    await streams.presence.wait_dismissed(dismissal, 0)
    task = await streams.start()
    assert not streams.presence.close()
    streams.open[0].set()
    await task


async def test_a_fleet_that_ends_in_any_case_refuses_whoever_comes_and_keeps_who_is_there(streams: Streams) -> None:
    task = await streams.start()
    streams.presence.refuse()
    assert (await refusal_of(streams))[0] == 503
    assert not task.done()
    streams.open[0].set()
    await task


async def test_what_opens_no_stream_passes_through_untouched() -> None:
    seen: list[Any] = []

    async def serve(*arguments: object) -> None:
        seen.append(arguments)

    scope, receive, send = {"type": "lifespan"}, object(), object()
    await Presence(serve)(scope, receive, send)
    assert seen == [(scope, receive, send)]
