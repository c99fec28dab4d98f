"""Fake nodes speak the real protocol; all that they leave out is the work."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
from websockets.asyncio.server import ServerConnection, serve

from mediafleet.bench import fake_nodes
from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    Assignment,
    AttemptRef,
    Drain,
    Heartbeat,
    JobAck,
    JobAssign,
    JobResults,
    Outcome,
    Register,
    Registered,
    decode_node_frame,
    encode_frame,
)

DEADLINE_S = 20.0
ANSWER = encode_frame(Registered("n0-x", heartbeat_ms=1000, lease_ms=10_000)).decode()


class Door:
    """A scheduler's door for nodes, with one queue for each node that came in."""

    def __init__(self) -> None:
        self.url = ""
        self.links: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def next_link(self) -> tuple[ServerConnection, Register]:
        """Return the next node's link and the frame that it registers with."""
        async with asyncio.timeout(DEADLINE_S):
            link = await self.links.get()
            frame = decode_node_frame(await link.recv())
        assert isinstance(frame, Register)
        return link, frame


@asynccontextmanager
async def open_door() -> AsyncGenerator[Door]:
    door = Door()

    async def take(link: ServerConnection) -> None:
        door.links.put_nowait(link)
        await link.wait_closed()

    async with serve(take, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        door.url = f"http://127.0.0.1:{port}"
        yield door


@asynccontextmanager
async def one_node(door: Door, *, slots: int = 4) -> AsyncGenerator[asyncio.Queue[int]]:
    registered: asyncio.Queue[int] = asyncio.Queue()
    async with aiohttp.ClientSession(door.url) as session:
        task = asyncio.create_task(fake_nodes._run_node(session, 7, slots, registered))
        try:
            yield registered
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def assignment(name: str) -> Assignment:
    return Assignment(f"j0-x.{name}", f"grant-{name}", 1, "cpu", 1, "j0-x", msgspec.Raw(b"{}"))


async def test_a_node_registers_with_the_slots_asked_for_and_can_do_nothing_but_noop() -> None:
    async with open_door() as door, one_node(door, slots=3):
        link, said = await door.next_link()
        assert link.request
        assert link.request.path == "/ws/node"
    [executor] = said.executors
    assert (said.protocol, said.host) == (PROTOCOL_VERSION, "fake-7")
    assert (executor.name, executor.slots, executor.capabilities) == ("cpu", 3, ("kind:noop",))
    executor.check()


async def test_a_node_counts_only_once_the_scheduler_has_answered() -> None:
    async with open_door() as door, one_node(door) as registered:
        link, _ = await door.next_link()
        assert registered.empty()
        await link.send(ANSWER)
        async with asyncio.timeout(DEADLINE_S):
            assert await registered.get() == 7


async def test_every_assignment_is_acknowledged_and_then_done_under_its_own_grant() -> None:
    async with open_door() as door, one_node(door), asyncio.timeout(DEADLINE_S):
        link, _ = await door.next_link()
        await link.send(ANSWER)
        await link.send(encode_frame(JobAssign((assignment("a"), assignment("b")))).decode())
        refs = (AttemptRef("j0-x.a", "grant-a"), AttemptRef("j0-x.b", "grant-b"))
        assert decode_node_frame(await link.recv()) == JobAck(refs)
        outcomes = tuple(Outcome(ref.task, ref.grant, result=fake_nodes.RESULT) for ref in refs)
        assert decode_node_frame(await link.recv()) == JobResults(outcomes)


async def test_a_node_keeps_its_lease_by_beating_as_often_as_it_was_told() -> None:
    async with open_door() as door, one_node(door), asyncio.timeout(DEADLINE_S):
        link, _ = await door.next_link()
        await link.send(encode_frame(Registered("n0-x", heartbeat_ms=10, lease_ms=30)).decode())
        assert [decode_node_frame(await link.recv()) for _ in range(2)] == [Heartbeat(), Heartbeat()]


async def test_frames_that_ask_for_no_work_are_passed_over() -> None:
    async with open_door() as door, one_node(door), asyncio.timeout(DEADLINE_S):
        link, _ = await door.next_link()
        for frame in (ANSWER, encode_frame(Drain(draining=True)).decode()):
            await link.send(frame)
        await link.send(encode_frame(JobAssign((assignment("a"),))).decode())
        assert isinstance(decode_node_frame(await link.recv()), JobAck)


async def test_the_process_says_ready_once_every_node_is_registered() -> None:
    async with open_door() as door:
        command = [sys.executable, "-m", "mediafleet.bench.fake_nodes", door.url, "2", "1", "0"]
        process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
        assert process.stdout
        try:
            links = [await door.next_link() for _ in range(2)]
            assert {said.host for _, said in links} == {"fake-0", "fake-1"}
            said = asyncio.create_task(process.stdout.readline())
            await answer_each(links, lambda: not said.done())
            async with asyncio.timeout(DEADLINE_S):
                assert await said == b"ready\n"
        finally:
            process.kill()
            await process.communicate()


async def answer_each(links: list[tuple[ServerConnection, Register]], claim: Callable[[], bool]) -> None:
    """Answer the nodes one after the other; the claim must hold before each answer."""
    for link, _ in links:
        assert claim()
        await link.send(ANSWER)
        # Its pong tells that the node has read the answer.
        await (await link.ping())


async def test_nodes_without_a_scheduler_end_and_say_nothing() -> None:
    command = [sys.executable, "-m", "mediafleet.bench.fake_nodes", "http://127.0.0.1:1", "1", "1", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    said, _ = await process.communicate()
    assert not said
    assert process.returncode
