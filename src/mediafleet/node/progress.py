"""Progress of all attempts of a node, coalesced: the latest of each, a few frames a second in total."""

from __future__ import annotations

import asyncio
import math

from mediafleet.domain.frames import JobProgress, Progress

FRAME_INTERVAL_S = 0.25
"""At most one frame in this time: four a second look smooth, more only cost."""


class ProgressBoard:
    """The latest progress of each running attempt; as long as there are attempts."""

    def __init__(self) -> None:
        self._latest: dict[str, Progress] = {}
        self._unsent: dict[str, Progress] = {}
        self._news = asyncio.Event()

    def note(self, update: Progress) -> None:
        """Take an update; the fraction is held within 0..1 and never falls, and numbers that are none are left out."""
        before = self._latest.get(update.grant)
        progress = Progress(
            update.task,
            update.grant,
            max(_fraction(update.fraction), before.fraction if before else 0.0),
            update.stage,
            update.speed if update.speed is not None and math.isfinite(update.speed) else None,
            update.eta_ms,
        )
        # A handler may report a thousand times a second; what says nothing new must not wake the sender.
        if progress != before:
            self._latest[update.grant] = self._unsent[update.grant] = progress
            self._news.set()

    def forget(self, grant: str) -> None:
        """Drop an attempt that has ended."""
        self._latest.pop(grant, None)
        self._unsent.pop(grant, None)

    def resend_all(self) -> None:
        """Make the next frame carry all that is known: a scheduler that was away knows nothing."""
        self._unsent = dict(self._latest)
        if self._unsent:
            self._news.set()

    async def next_frame(self) -> JobProgress:
        """Wait for news and return them. Cancelling is safe."""
        while not self._unsent:
            self._news.clear()
            await self._news.wait()
        updates, self._unsent = tuple(self._unsent.values()), {}
        return JobProgress(updates)


def _fraction(value: float) -> float:
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0
