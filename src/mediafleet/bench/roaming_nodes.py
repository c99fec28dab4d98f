"""Nodes that know several instances: the real node's link, and in place of a machine a word on what becomes of a task."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from mediafleet.domain.addresses import AddressRing
from mediafleet.domain.errors import MediafleetError
from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    Assignment,
    AttemptRef,
    Heartbeat,
    JobAck,
    JobAssign,
    JobResults,
    Outcome,
    Register,
    SchedulerFrame,
)
from mediafleet.domain.ids import new_node_id, new_token
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult
from mediafleet.node.connection import Connection
from mediafleet.node.link import Link, WebSocketLink
from mediafleet.node.progress import ProgressBoard

RECONNECT_S = 0.2
"""As `node.reconnect_min_ms` is by default, with the same jitter."""
DONE = TaskResult(result={"echo": ""})

Take = Callable[["RoamingNode", Assignment], bool]
"""Told of each assignment; returns whether the task is done at once, or held for ever."""


class RoamingNode:
    """One node; `run` links it for ever."""

    def __init__(self, number: int, addresses: Sequence[str], take: Take) -> None:
        self.name = f"roaming-{number}"
        self.linked_to = ""
        """Address of the instance that took it; empty while none has it."""
        self._ring = AddressRing(",".join(addresses))
        self._take = take
        self._node = new_node_id("0", self.name)
        self._incarnation = new_token()
        self._held: list[AttemptRef] = []
        self._connection: Connection | None = None
        self._dead = asyncio.Event()
        self._is_mute = False

    @property
    def address(self) -> str:
        """Whom it dials, or is linked to."""
        return self._ring.current

    async def run(self, note: Callable[[], None]) -> None:
        """Link again and again until it is dead; `note` is called whenever it is linked or is not any more."""
        while not self._dead.is_set() and not self._is_mute:
            try:
                await self._serve(note)
            except MediafleetError:
                self.linked_to = ""
                note()
                self._ring.move_on(self._ring.current)
                await asyncio.sleep(RECONNECT_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def _serve(self, note: Callable[[], None]) -> None:
        link = await WebSocketLink.open(self._ring.current)
        self._connection = await Connection.register(link, self._introduction())
        self.linked_to = self._ring.current
        note()
        serving = asyncio.ensure_future(
            self._connection.serve(handle=self._handle, beat=self._beat, board=ProgressBoard())
        )
        death = asyncio.ensure_future(self._die_with(link))
        try:
            await serving
        finally:
            serving.cancel()
            death.cancel()

    def _introduction(self) -> Register:
        executor = Executor("cpu", 1, ("kind:noop",))
        running = tuple(self._held)
        return Register(PROTOCOL_VERSION, self._node, self._incarnation, self.name, "0", (executor,), running)

    def _beat(self) -> None:
        self._post(Heartbeat(tuple(self._held)))

    def _handle(self, frame: SchedulerFrame) -> None:
        if not isinstance(frame, JobAssign) or self._is_mute:
            return
        for assignment in frame.assignments:
            ref = AttemptRef(assignment.task, assignment.grant)
            self._post(JobAck((ref,)))
            if self._take(self, assignment):
                self._post(JobResults((Outcome(ref.task, ref.grant, result=DONE),)))
            else:
                self._held.append(ref)

    def _post(self, frame: Heartbeat | JobAck | JobResults) -> None:
        if self._connection and not self._is_mute:
            self._connection.post(frame)

    # --- how it dies ---

    def kill(self) -> None:
        """Close its socket as the kernel does for a process that is killed."""
        self._dead.set()

    def fall_silent(self) -> None:
        """Say nothing any more and never come back, with the socket left open, as a machine without power does."""
        self._is_mute = True

    async def _die_with(self, link: Link) -> None:
        await self._dead.wait()
        await link.close()
