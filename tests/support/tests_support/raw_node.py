"""A node that says exactly what a test lets it say, over the real protocol."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    AttemptRef,
    Heartbeat,
    JobAssign,
    NodeFrame,
    Outcome,
    Register,
    Registered,
    SchedulerFrame,
    decode_scheduler_frame,
    encode_frame,
)
from mediafleet.domain.ids import new_node_id, new_token
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult

Frame = TypeVar("Frame", bound=SchedulerFrame)
PATIENCE_S = 30.0


def done(ref: AttemptRef, word: str) -> Outcome:
    """Return a good result of a no-op task."""
    return Outcome(ref.task, ref.grant, result=TaskResult(result={"echo": word}))


@contextmanager
def raw_node(url: str, *, slots: int = 1) -> Generator[RawNode]:
    """Register a node that takes no-op tasks and beats by itself, with nothing running as far as it says."""
    address = url.replace("http", "ws", 1) + "/ws/node"
    with connect(address, compression=None, proxy=None) as socket:
        node = RawNode(socket, slots)
        try:
            yield node
        finally:
            node.stop_beating()


class RawNode:
    """One node on one link."""

    def __init__(self, socket: ClientConnection, slots: int) -> None:
        self._socket = socket
        self.id = new_node_id("0", "raw")
        self.running: tuple[AttemptRef, ...] = ()
        executors = (Executor("cpu", slots, ("kind:noop",)),)
        self.say(Register(PROTOCOL_VERSION, self.id, new_token(), "raw", "0", executors))
        self._every_s = self.expect(Registered).heartbeat_ms / 1000
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="raw node")
        self._beats.start()

    def say(self, *frames: NodeFrame) -> None:
        """Send frames, each by itself."""
        for frame in frames:
            self._socket.send(encode_frame(frame).decode())

    def expect(self, kind: type[Frame]) -> Frame:
        """Return the next frame of a type; others are passed over."""
        while True:
            frame = decode_scheduler_frame(self._socket.recv(timeout=PATIENCE_S))
            if isinstance(frame, kind):
                return frame

    def take(self) -> AttemptRef:
        """Return the next attempt that is assigned, one at a time."""
        (assignment,) = self.expect(JobAssign).assignments
        return AttemptRef(assignment.task, assignment.grant)

    def _beat(self) -> None:
        # A link that closed is the test's to notice.
        with suppress(ConnectionClosed):
            while not self._ended.wait(self._every_s):
                self.say(Heartbeat(self.running))

    def stop_beating(self) -> None:
        """Fall silent; the link stays as it is."""
        self._ended.set()
        self._beats.join()
