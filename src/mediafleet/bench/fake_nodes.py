"""Nodes that do nothing, quickly: real WebSockets and the real protocol, in one process of their own.

Run as `python -m mediafleet.bench.fake_nodes URL NODES SLOTS FIRST`, the number of the first; writes `ready` once all are registered.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import aiohttp
import msgspec
import uvloop

from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    AttemptRef,
    Heartbeat,
    JobAck,
    JobAssign,
    JobResults,
    Outcome,
    Register,
    Registered,
    decode_scheduler_frame,
    encode_frame,
)
from mediafleet.domain.ids import new_node_id, new_token
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult

RESULT = TaskResult(result={"echo": ""})
HEARTBEAT = encode_frame(Heartbeat()).decode()


async def _work(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        frame = decode_scheduler_frame(message.data)
        if isinstance(frame, JobAssign):
            refs = tuple(AttemptRef(a.task, a.grant) for a in frame.assignments)
            outcomes = tuple(Outcome(ref.task, ref.grant, result=RESULT) for ref in refs)
            # Acknowledged apart and first, as a real node does: the scheduler pays for both frames.
            await socket.send_str(encode_frame(JobAck(refs)).decode())
            await socket.send_str(encode_frame(JobResults(outcomes)).decode())


async def _beat(socket: aiohttp.ClientWebSocketResponse, every_s: float) -> None:
    # A link that closed ends the work as well, and that is where it is told.
    with suppress(aiohttp.ClientConnectionResetError):
        while True:
            await asyncio.sleep(every_s)
            await socket.send_str(HEARTBEAT)


async def _run_node(session: aiohttp.ClientSession, number: int, slots: int, registered: asyncio.Queue[int]) -> None:
    # Neither compression nor pings: a hundred nodes in one process must cost as little as can be, it is measured too.
    async with session.ws_connect("/ws/node", compress=0, max_msg_size=0) as socket:
        register = Register(
            protocol=PROTOCOL_VERSION,
            node=new_node_id("0", f"fake-{number}"),
            incarnation=new_token(),
            host=f"fake-{number}",
            version="0",
            executors=(Executor("cpu", slots, ("kind:noop",)),),
        )
        await socket.send_str(encode_frame(register).decode())
        answer = msgspec.json.decode(await socket.receive_str(), type=Registered)
        registered.put_nowait(number)
        # Else its lease would end in the middle of a measurement that takes longer than one.
        beats = asyncio.create_task(_beat(socket, answer.heartbeat_ms / 1000))
        try:
            await _work(socket)
        finally:
            beats.cancel()


async def _run(url: str, nodes: int, slots: int, first: int) -> None:
    registered: asyncio.Queue[int] = asyncio.Queue()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session, asyncio.TaskGroup() as group:
        for number in range(first, first + nodes):
            group.create_task(_run_node(session, number, slots, registered))
        for _ in range(nodes):
            await registered.get()
        sys.stdout.buffer.write(b"ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    msgspec.json.encode(RESULT)
    uvloop.run(_run(sys.argv[1], *map(int, sys.argv[2:5])))
