"""The node's end of a pushed link: who has it, what goes through it, how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from mediafleet.domain.errors import Conflict, NotFound, SchedulerUnavailable, Unavailable
from mediafleet.domain.frames import Drain, Heartbeat, Misc, Ping, SchedulerFrame, encode_frame
from mediafleet.doors.push import listening
from mediafleet.doors.push.listening import Listener, ListeningLink
from mediafleet.doors.push.messages import Closing, Frames, Opening

SILENCE_MS = 1_000
DEADLINE_S = 10


@dataclass
class HandClock:
    """Stands still until a test moves it."""

    now_s: float = 100.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s


def opening(link: str = "a", instance: str = "i-1", term: int = 1, address: str = "http://a:9000") -> Opening:
    return Opening(link * 16, instance, address, term, SILENCE_MS)


def frames(first: int, *items: Any) -> Frames:
    return Frames(first, tuple(msgspec.Raw(encode_frame(item)) for item in items))


async def opened(listener: Listener, request: Opening) -> ListeningLink:
    """Open a link while an agent waits for one."""
    async with asyncio.timeout(DEADLINE_S):
        agent, link = await asyncio.gather(listener.accept(), listener.open(request))
    assert agent is link
    return link


async def read(link: ListeningLink, count: int) -> list[SchedulerFrame]:
    """Read as the agent does."""
    found: list[SchedulerFrame] = []
    async with asyncio.timeout(DEADLINE_S):
        async for frame in link.receive():
            found.append(frame)
            if len(found) == count:
                break
    return found


def texts(batch: Frames) -> list[Any]:
    return [msgspec.json.decode(bytes(frame)) for frame in batch.frames]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def listener(clock: HandClock) -> Listener:
    return Listener(clock)


async def test_a_repeated_request_opens_nothing_twice(listener: Listener) -> None:
    link = await opened(listener, opening())
    assert await listener.open(opening()) is link
    assert listener.link("a" * 16) is link


async def test_a_node_that_is_not_ready_asks_to_come_again(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "READY_WITHIN_S", 0.01)
    with pytest.raises(Unavailable, match="call again"):
        await listener.open(opening())
    with pytest.raises(NotFound):
        listener.link("a" * 16)


async def test_a_caller_with_a_later_term_takes_the_node_over(listener: Listener) -> None:
    older = await opened(listener, opening())
    newer = await opened(listener, opening("b", "i-2", 2))
    assert (older.is_open, newer.is_open) == (False, True)
    with pytest.raises(SchedulerUnavailable, match="i-2"):
        await read(older, 1)
    with pytest.raises(NotFound, match="another scheduler"):
        listener.link("a" * 16)


@pytest.mark.parametrize("term", [1, 2])
async def test_a_caller_that_comes_too_late_is_refused(listener: Listener, term: int) -> None:
    """It slept through its claim."""
    link = await opened(listener, opening(term=2))
    with pytest.raises(Conflict, match="too late"):
        await listener.open(opening("b", "i-2", term))
    assert link.is_open


async def test_a_node_is_called_by_one_of_its_addresses(listener: Listener) -> None:
    """Terms of two addresses say nothing of each other: their callers would take the node from each other for ever."""
    link = await opened(listener, opening())
    for instance in ("i-1", "i-2"):
        with pytest.raises(Conflict, match="leave one of them out"):
            await listener.open(opening("b", instance, 9, address="http://b:9000"))
    assert link.is_open


async def test_the_same_caller_may_begin_anew_at_once(listener: Listener) -> None:
    await opened(listener, opening())
    assert (await opened(listener, opening("b"))).is_open


async def test_a_silent_scheduler_may_be_replaced_whatever_its_term(listener: Listener, clock: HandClock) -> None:
    older = await opened(listener, opening(term=9))
    clock.now_s += SILENCE_MS / 1000
    assert not older.is_open
    assert (await opened(listener, opening("b", "i-2", 1))).is_open


async def test_the_agent_notices_a_scheduler_that_went_silent(listener: Listener, clock: HandClock) -> None:
    link = await opened(listener, opening())
    await link.take(frames(1, Ping()))
    assert await read(link, 1) == [Ping()]
    clock.now_s += SILENCE_MS / 1000
    with pytest.raises(SchedulerUnavailable, match="silent"):
        await read(link, 1)
    with pytest.raises(NotFound, match="silent"):
        await link.fetch(after=0, wait_s=0, most=1)


@pytest.mark.parametrize("ask", ["fetch", "take"])
async def test_every_request_is_a_sign_of_life(listener: Listener, clock: HandClock, ask: str) -> None:
    link = await opened(listener, opening())
    for _ in range(5):
        clock.now_s += SILENCE_MS / 1000 * 0.9
        await (link.fetch(after=0, wait_s=0, most=1) if ask == "fetch" else link.take(frames(1)))
        assert link.is_open


async def test_frames_stay_until_the_next_request_says_that_they_came(listener: Listener) -> None:
    link = await opened(listener, opening())
    await link.send(Heartbeat(load={"cpu": 0.5}))
    await link.send(Misc("draining"))
    first = await link.fetch(after=0, wait_s=0, most=10)
    assert (first.first, [one["type"] for one in texts(first)]) == (1, ["heartbeat", "misc"])
    assert await link.fetch(after=0, wait_s=0, most=10) == first, "the answer was lost"
    assert texts(await link.fetch(after=1, wait_s=0, most=10))[0]["event"] == "draining"
    assert await link.fetch(after=2, wait_s=0, most=10) == Frames(3, ())


async def test_a_request_without_news_is_answered_as_soon_as_there_are_some(listener: Listener) -> None:
    link = await opened(listener, opening())
    held = asyncio.create_task(link.fetch(after=0, wait_s=DEADLINE_S, most=1))
    await asyncio.sleep(0)
    assert not held.done()
    await link.send(Misc("goodbye"))
    assert texts(await held)[0]["event"] == "goodbye"


async def test_who_can_take_no_frames_is_given_none(listener: Listener) -> None:
    link = await opened(listener, opening())
    await link.send(Misc("goodbye"))
    assert await link.fetch(after=0, wait_s=0, most=0) == Frames(1, ())


async def test_frames_that_come_twice_are_read_once(listener: Listener) -> None:
    link = await opened(listener, opening())
    assert (await link.take(frames(1, Ping(), Drain()))).received == 2
    assert (await link.take(frames(1, Ping(), Drain()))).received == 2
    assert (await link.take(frames(2, Drain(), Drain(draining=False)))).received == 3
    assert await read(link, 3) == [Ping(), Drain(), Drain(draining=False)]


async def test_a_frame_that_is_none_is_left_out(listener: Listener, capfd: pytest.CaptureFixture[str]) -> None:
    link = await opened(listener, opening())
    odd = (msgspec.Raw(b'{"type":"of tomorrow"}'), msgspec.Raw(encode_frame(Ping())))
    await link.take(Frames(1, odd))
    assert await read(link, 1) == [Ping()]
    assert "left out" in "".join(capfd.readouterr())


async def test_an_agent_that_does_not_read_slows_its_scheduler_down(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST_WAITING_FRAMES", 2)
    monkeypatch.setattr(listening, "ROOM_WITHIN_S", 0.01)
    link = await opened(listener, opening())
    assert (await link.take(frames(1, *[Ping()] * 5))).received == 2
    assert (await link.take(frames(3, *[Ping()] * 3))).received == 2
    await read(link, 1)
    assert (await link.take(frames(3, *[Ping()] * 3))).received == 3


async def test_an_agent_that_sends_too_much_waits_for_room(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediafleet.doors.push.sequence.MOST_WAITING_FRAMES", 1)
    link = await opened(listener, opening())
    await link.send(Misc("draining"))
    second = asyncio.create_task(link.send(Misc("goodbye")))
    await asyncio.sleep(0)
    assert not second.done()
    await link.fetch(after=1, wait_s=0, most=1)
    await second
    link.close_by(Closing(1001))
    with pytest.raises(SchedulerUnavailable):
        await link.send(Ping())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "error"), [(4409, Conflict), (1001, SchedulerUnavailable), (1013, SchedulerUnavailable)]
)
async def test_the_scheduler_closes_with_the_codes_of_a_socket(listener: Listener, code: int, error: Any) -> None:
    link = await opened(listener, opening())
    await link.take(frames(1, Ping()))
    link.close_by(Closing(code, "so it is"))
    with pytest.raises(error, match="so it is"):
        await read(link, 2)
    with pytest.raises(NotFound):
        await link.take(frames(2, Ping()))


async def test_a_node_that_ends_waits_until_its_last_words_were_fetched(listener: Listener) -> None:
    link = await opened(listener, opening())
    await link.send(Misc("goodbye"))
    closing = asyncio.create_task(link.close())
    assert texts(await link.fetch(after=0, wait_s=0, most=1))[0]["event"] == "goodbye"
    assert not closing.done()
    with pytest.raises(NotFound):
        await link.fetch(after=1, wait_s=DEADLINE_S, most=1)
    await closing


async def test_last_words_that_nobody_fetches_keep_no_node_from_ending(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LAST_WORDS_S", 0.01)
    link = await opened(listener, opening())
    await link.send(Misc("goodbye"))
    await link.close()
    await link.close()
    assert not link.is_open


async def test_a_listener_that_ends_lets_nobody_wait(listener: Listener) -> None:
    link = await opened(listener, opening())
    waiting = asyncio.create_task(listener.open(opening("b", "i-2", 2)))
    held = asyncio.create_task(link.fetch(after=0, wait_s=DEADLINE_S, most=1))
    await asyncio.sleep(0)
    listener.close_all()
    async with asyncio.timeout(DEADLINE_S / 2):
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(NotFound):
            await held
