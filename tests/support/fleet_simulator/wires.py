"""Links in memory: frames as the real codecs write them, on wires that can be slow, cut one way or both, or broken."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from fleet_simulator.loop import Process
from mediafleet.domain.errors import MediafleetError, SchedulerUnavailable
from mediafleet.domain.frames import NodeFrame, SchedulerFrame, decode_scheduler_frame, encode_frame
from mediafleet.node.link import _CLOSE_ERRORS, CLOSE_REPLACED

FASTEST_S, SLOWEST_S = 0.0005, 0.02
"""One way between a node and an instance."""
PING_S = 4.0
UNANSWERED_S = 8.0
"""An end that has heard nothing for so long gives its wire up, as the pings of the real ends do."""

Message = dict[str, Any]
"""As ASGI has it: `websocket.receive` with text, or `websocket.disconnect` with a code."""


@dataclass
class Faults:
    """What the network does to frames beside being slow; shares of 0..1."""

    lost_dispatches: float = 0.0
    repeated_results: float = 0.0
    """Results that arrive a second time, up to `late_s` later and on whatever wire the node has by then."""
    late_s: float = 20.0


class _Pipe:
    """One direction: first in, first out, and never faster than the message before."""

    def __init__(self, wire: Wire, reader: Process) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.is_cut = False
        self._wire = wire
        self._reader = reader
        self._held: list[Message] = []
        self._free_at = 0.0

    def send(self, message: Message) -> None:
        """Put a message on its way."""
        loop = asyncio.get_running_loop()
        # Never at the very same moment: a loop may call what is due then in any order.
        self._free_at = max(loop.time() + self._wire.draw_delay(), math.nextafter(self._free_at, math.inf))
        loop.call_at(self._free_at, self._arrive, message, context=self._wire.context)

    def _arrive(self, message: Message) -> None:
        if self.is_cut:
            self._held.append(message)
        elif not self._reader.killed:
            self.inbox.put_nowait(message)

    def heal(self) -> None:
        """Let through what was held, in order."""
        self.is_cut = False
        held, self._held = self._held, []
        for message in held:
            self._arrive(message)


class Wire:
    """One connection between a node and an instance, seen from outside."""

    def __init__(self, network: WireNetwork, node: str, *, node_process: Process, instance: Process) -> None:
        self.node = node
        self.ends = (node_process, instance)
        self.is_open = True
        self.context = network.context
        self._network = network
        self.up = _Pipe(self, instance)
        self.down = _Pipe(self, node_process)
        self.unanswered_s = 0.0

    def draw_delay(self) -> float:
        return self._network.rng.uniform(FASTEST_S, SLOWEST_S)

    def send_up(self, text: str) -> None:
        """From the node to the instance."""
        if not self.is_open:
            return
        if '"type":"job_result"' in text and self._network.rng.random() < self._network.faults.repeated_results:
            self._network.repeat_later(self.node, text)
        self.up.send({"type": "websocket.receive", "text": text})

    def send_down(self, text: str) -> None:
        """From the instance to the node."""
        if self.is_open:
            is_dispatch = '"type":"job_assign"' in text
            if not (is_dispatch and self._network.rng.random() < self._network.faults.lost_dispatches):
                self.down.send({"type": "websocket.receive", "text": text})

    def close(self, code: int, reason: str) -> None:
        """Close from one end: both hear of it, as far as the wire still carries anything."""
        if self.is_open:
            self.is_open = False
            for pipe in (self.up, self.down):
                pipe.send({"type": "websocket.disconnect", "code": code, "reason": reason})
            self._network.drop(self)

    def break_off(self) -> None:
        """End it as both ends' kernels or pings do, whatever is cut."""
        self.up.is_cut = self.down.is_cut = False
        self.close(1006, "")

    def watch(self, seconds: float) -> None:
        """Let some time pass without an answer where there can be none."""
        is_dumb = self.up.is_cut or self.down.is_cut or any(end.stopped for end in self.ends)
        self.unanswered_s = self.unanswered_s + seconds if is_dumb else 0.0
        if self.unanswered_s >= UNANSWERED_S:
            self.break_off()


@dataclass
class WireNetwork:
    """All wires."""

    rng: random.Random
    faults: Faults = field(default_factory=Faults)
    context: Context = field(default_factory=Context)
    """What the network does belongs to no process."""
    wires: list[Wire] = field(default_factory=list[Wire])

    def connect(self, node: str, *, node_process: Process, instance: Process) -> Wire:
        """Return a new wire."""
        wire = Wire(self, node, node_process=node_process, instance=instance)
        self.wires.append(wire)
        return wire

    def drop(self, wire: Wire) -> None:
        """Forget a wire that is closed."""
        if wire in self.wires:
            self.wires.remove(wire)

    def end_of(self, process: Process) -> None:
        """Break the wires of a process that is gone: its kernel closes them."""
        for wire in [wire for wire in self.wires if process in wire.ends]:
            wire.break_off()

    def repeat_later(self, node: str, text: str) -> None:
        """Deliver a frame of a node once more, later."""
        delay = self.rng.uniform(0, self.faults.late_s)
        asyncio.get_running_loop().call_later(delay, self._repeat, node, text, context=self.context)

    def _repeat(self, node: str, text: str) -> None:
        for wire in self.wires:
            if wire.node == node:
                wire.up.send({"type": "websocket.receive", "text": text})

    async def watch(self) -> None:
        """Ping for ever."""
        while True:
            await asyncio.sleep(PING_S / 2)
            for wire in list(self.wires):
                wire.watch(PING_S / 2)


class NodeEnd:
    """The node's end of a wire: what its agent takes for a `Link`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, frame: NodeFrame) -> None:
        """Hand a frame over."""
        if not self._wire.is_open:
            raise SchedulerUnavailable("The simulated link is closed.")
        self._wire.send_up(encode_frame(frame).decode())

    async def receive(self) -> AsyncIterator[SchedulerFrame]:
        """Iterate over frames until the wire ends."""
        while True:
            message = await self._wire.down.inbox.get()
            if message["type"] == "websocket.disconnect":
                raise _closed(message["code"], message["reason"])
            yield decode_scheduler_frame(message["text"])

    async def probe(self, *, within_s: float) -> None:
        """Return at once: wires that lose everything are the scheduler's to find."""

    async def close(self) -> None:
        """Close the wire."""
        self._wire.close(1000, "")


def _closed(code: int, reason: str) -> MediafleetError:
    error, _ = _CLOSE_ERRORS.get(code, (SchedulerUnavailable, ""))
    return error(f"The simulated link ended with {code} ({reason}).")


def door_ends(wire: Wire) -> tuple[Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]]:
    """Return the instance's end of a wire, as ASGI's `receive` and `send`."""
    is_greeted = False

    async def receive() -> Message:
        nonlocal is_greeted
        if not is_greeted:
            is_greeted = True
            return {"type": "websocket.connect"}
        return await wire.up.inbox.get()

    async def send(message: Message) -> None:
        if message["type"] == "websocket.send":
            wire.send_down(message["text"])
        elif message["type"] == "websocket.close":
            wire.close(message["code"], message["reason"])

    return receive, send


__all__ = ["CLOSE_REPLACED", "Faults", "NodeEnd", "Wire", "WireNetwork", "door_ends"]
