"""A link's queue: what is sent, in which order, and what is not sent any more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_fleet import NODE
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.frames import AttemptRef, Drain, JobCancel, Ping, Registered
from mediafleet.doors.closing import MOST_REASON_BYTES, shorten_reason
from mediafleet.doors.websocket.link import (
    CODE_GOING_AWAY,
    CODE_SLOW,
    MOST_QUEUED_FRAMES,
    SocketLink,
)

GREETING = Registered(NODE, 5_000, 15_000)
DEADLINE_S = 10


class Wire:
    """What a link sent, as types and close codes; a slow one waits before each frame."""

    def __init__(self) -> None:
        self.sent: list[str | int] = []
        self.reasons: list[str] = []
        self.changed = asyncio.Condition()
        self.link = SocketLink(self.send)

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.sent.append(message["code"])
            self.reasons.append(message["reason"])
        else:
            self.sent.append(json.loads(message["text"])["type"])
        async with self.changed:
            self.changed.notify_all()

    async def wait_sent(self, *expected: str | int) -> None:
        async with asyncio.timeout(DEADLINE_S), self.changed:
            await self.changed.wait_for(lambda: self.sent == list(expected))

    async def finish(self) -> list[str | int]:
        """Write until the link is closed and return all that was sent."""
        async with asyncio.timeout(DEADLINE_S):
            await self.link.write()
        return self.sent


@pytest.fixture
def wire() -> Wire:
    return Wire()


async def test_frames_wait_for_the_greeting_and_then_go_in_order(wire: Wire) -> None:
    wire.link.send(Drain())
    wire.link.send(Ping())
    writer = asyncio.create_task(wire.link.write())
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.sent == []
    wire.link.greet(GREETING)
    await wire.wait_sent("registered", "drain", "ping")
    wire.link.close(CODE_GOING_AWAY, "bye")
    await writer
    assert wire.sent[-1] == CODE_GOING_AWAY


async def test_a_frame_wakes_a_writer_that_waits(wire: Wire) -> None:
    writer = asyncio.create_task(wire.link.write())
    wire.link.greet(GREETING)
    await wire.wait_sent("registered")
    assert wire.link.send(JobCancel((AttemptRef("t", "g"),)))
    await wire.wait_sent("registered", "job_cancel")
    wire.link.close(1000, "")
    await writer


async def test_what_was_queued_is_sent_before_the_link_closes(wire: Wire) -> None:
    wire.link.greet(GREETING)
    wire.link.send(Drain())
    wire.link.close(4409, "The node registered again on another link.")
    assert await wire.finish() == ["registered", "drain", 4409]
    assert wire.reasons == ["The node registered again on another link."]


async def test_a_node_that_never_registered_is_sent_nothing_but_the_close(wire: Wire) -> None:
    wire.link.send(Drain())
    wire.link.close(4400, "No.")
    assert await wire.finish() == [4400]


async def test_a_closed_link_takes_no_frame_and_says_so(wire: Wire) -> None:
    wire.link.greet(GREETING)
    wire.link.close(1001, "bye")
    assert not wire.link.send(Ping())
    assert await wire.finish() == ["registered", 1001]


async def test_the_first_reason_to_close_counts(wire: Wire) -> None:
    wire.link.close(4409, "first")
    wire.link.close(1011, "second")
    assert await wire.finish() == [4409]
    assert wire.reasons == ["first"]


async def test_a_node_too_slow_for_its_frames_is_told_without_being_sent_them(wire: Wire) -> None:
    wire.link.greet(GREETING)
    taken = [wire.link.send(Ping()) for _ in range(MOST_QUEUED_FRAMES + 5)]
    assert taken.count(True) == MOST_QUEUED_FRAMES - 1, "the greeting is one of them"
    assert await wire.finish() == [CODE_SLOW]
    assert "1000 frames" in wire.reasons[0]


async def test_a_node_that_reads_may_be_sent_any_number(wire: Wire) -> None:
    wire.link.greet(GREETING)
    writer = asyncio.create_task(wire.link.write())
    for count in range(1, 4):
        assert all(wire.link.send(Ping()) for _ in range(MOST_QUEUED_FRAMES - 1))
        await wire.wait_sent("registered", *["ping"] * (count * (MOST_QUEUED_FRAMES - 1)))
    wire.link.close(1000, "")
    await writer


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_reason_fits_its_frame_and_stays_the_beginning_of_the_sentence(reason: str) -> None:
    short = shorten_reason(reason)
    assert reason.startswith(short)
    assert len(short.encode()) <= MOST_REASON_BYTES
    assert short == reason or len(short.encode()) > MOST_REASON_BYTES - 4


def test_a_reason_that_no_frame_can_carry_is_still_one() -> None:
    assert shorten_reason("bad \ud800 half") == "bad ? half"
