"""The scheduler's end of a link to a node that only listens."""

from __future__ import annotations

from typing import TypeVar

from mediafleet.domain.frames import SchedulerFrame

Frame = TypeVar("Frame")


class RecordingLink:
    """Keeps what it is given; `room` frames fit into its queue."""

    kind = "websocket"
    lease_ms = 0

    def __init__(self, node: str) -> None:
        self.node = node
        self.frames: list[SchedulerFrame] = []
        self.closed: list[tuple[int, str]] = []
        self.room = 1_000
        self.is_full = False

    def send(self, frame: SchedulerFrame) -> bool:
        """Take a frame if there is room."""
        if self.is_full or len(self.frames) >= self.room:
            return False
        self.frames.append(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """Note that it was closed."""
        self.closed.append((code, reason))

    def of_type(self, kind: type[Frame]) -> list[Frame]:
        """Return the frames of one type, in order."""
        return [frame for frame in self.frames if isinstance(frame, kind)]
