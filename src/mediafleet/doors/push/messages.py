"""What the requests of a pushed link carry besides frames, and the times that both ends go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from mediafleet.domain.frames import MAX_FRAME_BYTES, MAX_INTEGER

LINK_ROUTE = "/api/v1/link"
BATCH_BYTES = MAX_FRAME_BYTES
"""Frames of one request or answer take at most so many bytes, but for one that is larger alone."""
MOST_BODY_BYTES = 2 * MAX_FRAME_BYTES
"""Largest body of either end: a batch, and what goes round it."""
MOST_WAITING_FRAMES = 1_000
"""On either end, before who produces them has to wait."""
LONGEST_WAIT_MS = 60_000
"""A request may not be held back for longer."""
SLOWEST_BYTES_PER_S = 8 * 1024
"""On a slower line a large body takes its end for gone; on a faster one it has as much more time as it needs."""
SMALL_BYTES = 64 * 1024
"""Bodies up to this size are in time like an empty one, or not at all."""
LEAST_SILENCE_MS = 500
MOST_SILENCE_MS = 600_000

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class Opening(msgspec.Struct, frozen=True):
    """`POST /link`: a scheduler instance wants to be the one that this node is linked to."""

    link: Annotated[str, msgspec.Meta(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    """Random, made by the caller, so that a repeated request opens nothing twice."""
    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """Who calls."""
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """By which it knows the node; terms are counted for each address."""
    term: _Count
    """Rises when another instance takes the node over: the later one wins."""
    silence_ms: Annotated[int, msgspec.Meta(ge=LEAST_SILENCE_MS, le=MOST_SILENCE_MS)]
    """After so long without a request the node takes the caller for gone."""


class Frames(msgspec.Struct, frozen=True):
    """Frames in order, with the number of the first; an empty list says nothing new."""

    first: Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
    # As they came: whoever carries them need not know them.
    frames: tuple[msgspec.Raw, ...]


class Received(msgspec.Struct, frozen=True):
    """Answer to `POST /link/{link}/frames`: all frames up to this number have come, and may be forgotten."""

    received: _Count


class Closing(msgspec.Struct, frozen=True):
    """`POST /link/{link}/close`: the scheduler's word at the end, with the codes of a WebSocket's close frame."""

    code: Annotated[int, msgspec.Meta(ge=1000, le=4999)]
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


def carrying_s(size: int) -> float:
    """Return how much more time a body of so many bytes has than an empty one, seconds."""
    return size / SLOWEST_BYTES_PER_S if size > SMALL_BYTES else 0.0


@dataclass(frozen=True)
class LinkTimes:
    """How long each end waits for the other, seconds; all follow from the heartbeat."""

    heartbeat_s: float

    @property
    def wait_s(self) -> float:
        """How long the node may hold an answer back that has nothing to say."""
        return min(self.heartbeat_s / 2, LONGEST_WAIT_MS / 1000)

    @property
    def patience_s(self) -> float:
        """How long an answer may be late before the node counts as gone: with the wait, 2 heartbeats."""
        return 1.5 * self.heartbeat_s

    @property
    def silence_s(self) -> float:
        """How long the scheduler may be silent before the node takes it for gone."""
        return min(max(2.5 * self.heartbeat_s, LEAST_SILENCE_MS / 1000), MOST_SILENCE_MS / 1000)
