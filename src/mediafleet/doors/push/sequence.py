"""Frames that go one way over requests that may be lost or come twice: numbered, kept, counted. No I/O.

A sender keeps a frame until the other end has said that it came; a receiver leaves out what it had before. So a request
may be repeated at will, and each frame arrives once and in order for as long as both ends live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

import msgspec

from mediafleet.doors.push.messages import BATCH_BYTES, MOST_WAITING_FRAMES, Frames


class Outgoing:
    """The sender's side: frames from 1 on that are not confirmed."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._first = 1
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        """Whether more than one request's worth waits."""
        return len(self._frames) >= MOST_WAITING_FRAMES or self._bytes >= BATCH_BYTES

    def add(self, frame: bytes) -> None:
        """Give a frame the next number."""
        self._frames.append(frame)
        self._bytes += len(frame)

    def confirm(self, number: int) -> None:
        """Forget all frames up to this number; one that is known already, or was never sent, changes nothing."""
        # A late answer confirms less than is known; a number from nowhere must not make frames vanish.
        if number >= self._first + len(self._frames):
            return
        while self._first <= number:
            self._bytes -= len(self._frames.popleft())
            self._first += 1

    def batch(self, *, most: int = MOST_WAITING_FRAMES) -> Frames:
        """Return the frames that are not confirmed, from the first on: at most so many, and as many as one body takes."""
        taken: list[msgspec.Raw] = []
        room = BATCH_BYTES
        for frame in islice(self._frames, most):
            room -= len(frame)
            # The first goes in any case: nobody makes larger ones than the other end takes.
            if taken and room < 0:
                break
            taken.append(msgspec.Raw(frame))
        return Frames(self._first, tuple(taken))


class Incoming:
    """The receiver's side: how many frames have come."""

    def __init__(self) -> None:
        self.received = 0

    def take(self, batch: Frames, *, room: int = MOST_WAITING_FRAMES) -> Sequence[bytes]:
        """Return those frames of a batch that are new and next, at most `room`; they count as received."""
        known = self.received + 1 - batch.first
        # A gap: what is missing was never confirmed, so it comes again.
        if known < 0:
            return ()
        fresh = batch.frames[known : known + max(0, room)]
        self.received += len(fresh)
        return [bytes(frame) for frame in fresh]
