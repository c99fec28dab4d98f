"""The scheduler's end of a pushed link against a real listening node, and the keeper that opens it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from fake_fleet import NODE, FakeFleet
from hypothesis import given
from hypothesis import strategies as st
from tests_support.proxy import Proxy, running_proxy

from mediafleet.domain.errors import Conflict, InvalidRequest, SchedulerUnavailable, StoreUnavailable
from mediafleet.domain.frames import (
    Drain,
    Heartbeat,
    JobCancel,
    JobProgress,
    JobResults,
    Misc,
    Outcome,
    Ping,
    Progress,
    Register,
)
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult
from mediafleet.domain.push import PushClaim, PushNode
from mediafleet.doors.push import dialled, keeper
from mediafleet.doors.push.dialled import DialledLink
from mediafleet.doors.push.exchange import Exchange, NodeAway
from mediafleet.doors.push.keeper import LONGEST_PAUSE_S, Caller, PushKeeper, pause_s
from mediafleet.doors.push.listening import Listener, ListeningLink
from mediafleet.doors.push.messages import Frames, LinkTimes
from mediafleet.doors.push.node_api import listening
from mediafleet.doors.websocket.node import NodeDoor
from mediafleet.ops.settings import ServerSettings

DEADLINE_S = 20
TIMES = LinkTimes(1.0)
REGISTER = Register(1, NODE, "first", "studio", "1", (Executor("cpu", 2, ("kind:noop",), priority=1),))


@dataclass
class Node:
    """A listening node whose agent is the test."""

    listener: Listener
    address: str

    async def register(self, frame: Register = REGISTER) -> tuple[ListeningLink, AsyncIterator[Any]]:
        """Answer the next call as an agent does; return the link and the frames after `registered`."""
        async with asyncio.timeout(DEADLINE_S):
            link = await self.listener.accept()
            await link.send(frame)
            frames = link.receive()
            await anext(frames)
        return link, frames


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with listening("127.0.0.1:0", ServerSettings()) as (listener, url):
        yield Node(listener, url)


@dataclass
class Claims:
    """Says which nodes are this instance's; a test changes it."""

    terms: dict[str, int] = field(default_factory=dict[str, int])
    away: bool = False
    given_up: list[str] = field(default_factory=list[str])

    async def __call__(self, addresses: Sequence[str], /, *, give_up: Sequence[str]) -> list[PushClaim]:
        self.given_up += give_up
        if self.away:
            raise StoreUnavailable("The store is away.")
        return [PushClaim(one, self.terms[one]) for one in addresses if one in self.terms]


@asynccontextmanager
async def keeping(
    fleet: FakeFleet, node: Node, *, priority: int | None = None, claims: Claims | None = None
) -> AsyncGenerator[NodeDoor]:
    """Keep the node linked to the fleet."""
    door = NodeDoor(fleet)
    caller = Caller("i-1", claims or Claims({node.address: 1}), door, "", TIMES, ask_every_s=0.01)
    async with PushKeeper([PushNode(node.address, priority)], caller):
        yield door


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 - several loops have a part in it
            await asyncio.sleep(0.005)


async def test_a_node_is_called_and_attached_as_one_that_is_pushed_to(fleet: FakeFleet, node: Node) -> None:
    async with keeping(fleet, node):
        link, frames = await node.register()
        assert [(one.node, one.kind) for one in fleet.links] == [(NODE, "push")]
        for share in range(300):
            await link.send(Heartbeat(load={"cpu": share / 300}))
        await fleet.wait_for(lambda: len(fleet.received) == 300)
        assert [frame.load["cpu"] for frame in fleet.received if isinstance(frame, Heartbeat)] == [
            n / 300 for n in range(300)
        ]
        for _ in range(300):
            assert fleet.links[0].send(Ping())
        fleet.links[0].send(Drain())
        async with asyncio.timeout(DEADLINE_S):
            assert [await anext(frames) for _ in range(301)] == [*[Ping()] * 300, Drain()]


async def test_the_operators_priority_stands_in_for_the_nodes_own(
    fleet: FakeFleet, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[Register] = []
    attach = fleet.attach

    async def note(link: Any, frame: Register) -> Any:
        frames.append(frame)
        return await attach(link, frame)

    monkeypatch.setattr(fleet, "attach", note)
    async with keeping(fleet, node, priority=7):
        link, _ = await node.register()
        await link.send(Misc("executors", executors=REGISTER.executors))
        await link.send(JobProgress((Progress("t", "g", 0.5, '"executors"'),)))
        await fleet.wait_for(lambda: len(fleet.received) == 2)
    assert [one.priority for one in frames[0].executors] == [7]
    assert [one.priority for one in fleet.received[0].executors] == [7]  # type: ignore[union-attr]
    assert fleet.received[1] == JobProgress((Progress("t", "g", 0.5, '"executors"'),))


async def test_the_largest_frames_go_through_both_ways(fleet: FakeFleet, node: Node) -> None:
    text = "x" * 2_000_000
    async with keeping(fleet, node):
        link, frames = await node.register()
        for _ in range(5):
            await link.send(Misc("log", {"line": text}))
            fleet.links[0].send(JobCancel((), text))
        async with asyncio.timeout(DEADLINE_S):
            assert [await anext(frames) for _ in range(5)] == [JobCancel((), text)] * 5
        await fleet.wait_for(lambda: len(fleet.received) == 5)
        assert fleet.received == [Misc("log", {"line": text})] * 5


async def test_a_node_that_was_started_again_is_called_again(fleet: FakeFleet, node: Node) -> None:
    async with keeping(fleet, node):
        link, _ = await node.register()
        await link.close()
        await until(lambda: not fleet.links)
        await node.register()
        assert len(fleet.links) == 1


@pytest.mark.parametrize(
    ("error", "expected"), [(Conflict("A newer link."), Conflict), (InvalidRequest("No slots."), InvalidRequest)]
)
async def test_a_refused_node_is_told_why(
    fleet: FakeFleet, node: Node, monkeypatch: pytest.MonkeyPatch, error: Any, expected: Any
) -> None:
    async def refuse(*_: object) -> Any:
        raise error

    monkeypatch.setattr(fleet, "attach", refuse)
    async with keeping(fleet, node):
        with pytest.raises(expected, match=error.message):
            await node.register()


async def test_a_link_that_the_fleet_closes_ends_after_what_was_said_before(fleet: FakeFleet, node: Node) -> None:
    async with keeping(fleet, node):
        _, frames = await node.register()
        fleet.links[0].send(Drain())
        fleet.links[0].close(4409, "the node registered on a newer link")
        assert await anext(frames) == Drain()
        with pytest.raises(Conflict, match="newer link"):
            await anext(frames)


async def test_a_scheduler_that_stops_says_so(fleet: FakeFleet, node: Node) -> None:
    async with keeping(fleet, node) as door:
        _, frames = await node.register()
        door.close_all()
    with pytest.raises(SchedulerUnavailable, match="stopping"):
        await anext(frames)


async def test_a_node_that_another_instance_took_over_is_called_no_more(fleet: FakeFleet, node: Node) -> None:
    claims = Claims({node.address: 1})
    async with keeping(fleet, node, claims=claims):
        await node.register()
        del claims.terms[node.address]
        await until(lambda: not fleet.links)
        claims.terms[node.address] = 3
        link, _ = await node.register()
        assert link.opening.term == 3


async def test_links_outlast_an_outage_of_the_store(fleet: FakeFleet, node: Node) -> None:
    claims = Claims({node.address: 1})
    async with keeping(fleet, node, claims=claims):
        link, _ = await node.register()
        claims.away = True
        await link.send(Heartbeat())
        await fleet.wait_for(lambda: bool(fleet.received))
        claims.away = False
        await link.send(Heartbeat())
        await fleet.wait_for(lambda: len(fleet.received) == 2)
        assert [one.node for one in fleet.links] == [NODE]


async def test_a_fleet_that_is_slow_slows_the_node_down_and_keeps_its_link(
    fleet: FakeFleet, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialled, "MOST_UNREAD_FRAMES", 3)
    gate, receive = asyncio.Event(), fleet.receive

    async def wait(link: Any, frame: Any) -> None:
        await gate.wait()
        await receive(link, frame)

    monkeypatch.setattr(fleet, "receive", wait)
    times = LinkTimes(0.2)
    monkeypatch.setattr("test_push_link.TIMES", times)
    async with keeping(fleet, node):
        link, _ = await node.register()
        for _ in range(20):
            await link.send(Heartbeat())
        before = link._heard_s
        # Longer than the silence after which the node would give its scheduler up.
        await until(lambda: link._heard_s - before > 2 * times.silence_s)
        assert link.is_open
        gate.set()
        await fleet.wait_for(lambda: len(fleet.received) == 20)


async def test_a_node_that_goes_silent_is_lost(fleet: FakeFleet, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine stands still, or the line was cut without a word: nothing closes a connection."""
    monkeypatch.setattr("test_push_link.TIMES", LinkTimes(0.2))
    async with keeping(fleet, node):
        link, _ = await node.register()
        released = asyncio.Event()

        async def hold(**_: object) -> Frames:
            await released.wait()
            return Frames(1, ())

        monkeypatch.setattr(link, "fetch", hold)
        await until(lambda: not fleet.links)
        released.set()


async def test_bytes_that_are_no_text_end_the_link(node: Node) -> None:
    async with aiohttp.ClientSession() as session:
        link = DialledLink(Exchange(session, node.address), PushNode(node.address), instance="i", term=1, times=TIMES)
        agent = asyncio.create_task(node.listener.accept())
        async with link, asyncio.timeout(DEADLINE_S):
            await link.receive()
            (await agent)._outgoing.add(b'{"type":"\xff"}')
            (await agent)._changes.note()
            assert (await link.receive())["type"] == "websocket.disconnect"
            with pytest.raises(ConnectionResetError, match="UTF-8"):
                await link.send({"type": "websocket.send", "text": "{}"})


async def test_a_node_that_is_off_is_told_of_once(
    fleet: FakeFleet, unused_tcp_port: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    monkeypatch.setattr(keeper, "LEFT_TO_OTHERS_S", 0.01)
    monkeypatch.setattr(keeper, "pause_s", lambda failures, draw: tries.append(failures) or 0)  # type: ignore[arg-type]
    async with keeping(fleet, Node(Listener(), f"http://127.0.0.1:{unused_tcp_port}")):
        # Over several turns, after each of which it is left to others.
        await until(lambda: len(tries) >= 3 * keeper.TRIES)
    assert tries[:5] == [1, 2, 3, 4, 5]
    assert "".join(capfd.readouterr()).count("called again and again") == 1


async def test_a_node_that_this_instance_cannot_reach_is_left_to_others_for_a_while(
    fleet: FakeFleet, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "pause_s", lambda failures, draw: 0)  # type: ignore[arg-type]
    monkeypatch.setattr(keeper, "LEFT_TO_OTHERS_S", 0.01)
    address = f"http://127.0.0.1:{unused_tcp_port}"
    claims = Claims({address: 1})
    async with keeping(fleet, Node(Listener(), address), claims=claims):
        await until(lambda: claims.given_up == [address])
        async with listening(address.removeprefix("http://"), ServerSettings()) as (listener, _):
            await Node(listener, address).register()
            assert [one.node for one in fleet.links] == [NODE], "nobody else took it, so it was called again"


async def test_no_nodes_cost_nothing(fleet: FakeFleet) -> None:
    async def never(_: Sequence[str], /, **__: object) -> list[PushClaim]:
        raise AssertionError

    async with PushKeeper([], Caller("i-1", never, NodeDoor(fleet), "", TIMES, ask_every_s=0)):
        await asyncio.sleep(0)


async def test_nobody_answers_an_opening_in_time(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{unused_tcp_port}"
        link = DialledLink(Exchange(session, address), PushNode(address), instance="i", term=1, times=TIMES)
        with pytest.raises(NodeAway, match="cannot be reached"):
            await link.__aenter__()


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_with_full_jitter_up_to_a_bound(failures: int, draw: float) -> None:
    pause = pause_s(failures, draw=draw)
    assert 0 <= pause <= LONGEST_PAUSE_S
    assert pause <= pause_s(failures + 1, draw=draw)
    assert pause_s(failures, draw=0) == 0


@given(st.floats(0.05, 3600))
def test_each_end_notices_within_three_heartbeats(heartbeat_s: float) -> None:
    times = LinkTimes(heartbeat_s)
    assert times.wait_s + times.patience_s <= 3 * heartbeat_s
    assert times.silence_s <= max(3 * heartbeat_s, 0.5)
    assert times.silence_s > 2 * times.wait_s, "requests come often enough"


# --- a line that is slower than a frame is large ---------------------------------------------

SLOW_BYTES_PER_S = 200_000
OUTCOME = JobResults((Outcome("j0-a.encode", "g", result=TaskResult({"text": "x" * 600_000})),))
"""On its way for three seconds, where a silent link is found within one and a half, which is enough for a busy machine."""


@pytest.fixture
def slow(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Node, Proxy]]:
    monkeypatch.setattr("test_push_link.TIMES", LinkTimes(0.6))
    with running_proxy(int(node.address.rpartition(":")[2])) as proxy:
        yield Node(node.listener, proxy.url), proxy


async def test_a_large_frame_of_a_node_over_a_slow_line_is_not_taken_for_silence(
    fleet: FakeFleet, slow: tuple[Node, Proxy]
) -> None:
    node, line = slow
    fleet.heartbeat_ms = 600
    async with keeping(fleet, node):
        link, frames = await node.register()
        reading = asyncio.ensure_future(anext(frames))
        # Down is from the node here: it listens.
        line.bytes_per_s["down"] = SLOW_BYTES_PER_S
        await link.send(OUTCOME)
        await fleet.wait_for(lambda: fleet.received == [OUTCOME])
        assert fleet.kept > 0, "its lease went on meanwhile"
        assert [one.node for one in fleet.links] == [NODE]
        assert link.is_open
        assert not reading.done()
        reading.cancel()


async def test_a_large_frame_to_a_listening_node_over_a_slow_line_is_not_taken_for_silence(
    fleet: FakeFleet, slow: tuple[Node, Proxy]
) -> None:
    node, line = slow
    large = JobCancel((), "x" * 600_000)
    async with keeping(fleet, node):
        _, frames = await node.register()
        line.bytes_per_s["up"] = SLOW_BYTES_PER_S
        fleet.links[0].send(large)
        async with asyncio.timeout(DEADLINE_S):
            assert await anext(frames) == large
        assert [one.node for one in fleet.links] == [NODE]


async def test_a_line_that_dies_in_the_middle_of_a_large_answer_is_found(
    fleet: FakeFleet, slow: tuple[Node, Proxy]
) -> None:
    node, line = slow
    fleet.heartbeat_ms = 600
    async with keeping(fleet, node):
        link, _ = await node.register()
        line.bytes_per_s["down"] = SLOW_BYTES_PER_S
        await link.send(OUTCOME)
        await until(lambda: fleet.kept)
        line.strand()
        await until(lambda: not fleet.links)
