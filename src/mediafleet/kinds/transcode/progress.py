"""Reads FFmpeg's `-progress` lines."""

from __future__ import annotations

import msgspec

_MICROSECONDS = 1_000_000
_LEAST_SPEED = 0.001


class Position(msgspec.Struct, frozen=True):
    """How far FFmpeg is: one block of `-progress` lines."""

    out_s: float = 0.0
    """Media seconds written."""
    frame: int = 0
    fps: float = 0.0
    speed: float = 0.0
    """Media seconds a second; 0 while unknown."""
    total_size: int = 0
    """Bytes written."""
    dropped: int = 0
    """Frames that FFmpeg left out to keep timestamps in order."""
    duplicated: int = 0
    is_end: bool = False

    def fraction(self, duration_s: float) -> float:
        """Return how much of a medium of that length is done, 0..1; 0 where the length is unknown."""
        return min(1.0, max(0.0, self.out_s / duration_s)) if duration_s > 0 else 0.0

    def eta_ms(self, duration_s: float) -> int | None:
        """Return the time left at the present speed, milliseconds; None while nobody can say."""
        if self.speed < _LEAST_SPEED or duration_s <= 0:
            return None
        return round(max(0.0, duration_s - self.out_s) / self.speed * 1000)


def _number(text: str) -> float:
    try:
        return float(text.rstrip("x"))
    except ValueError:  # FFmpeg writes N/A while it knows nothing
        return 0.0


class ProgressReader:
    """Collects lines into positions. Feed it every line; it keeps what a block has said so far."""

    def __init__(self) -> None:
        self._block: dict[str, str] = {}

    def feed(self, line: bytes) -> Position | None:
        """Take one line; return a position when it closes a block."""
        key, mark, value = line.decode(errors="replace").strip().partition("=")
        if not mark:
            return None
        self._block[key] = value.strip()
        if key != "progress":
            return None
        # A new block each time: a number that FFmpeg stops telling must not live on from an older one.
        block, self._block = self._block, {}
        return _position(block)


def _position(block: dict[str, str]) -> Position:
    def number(key: str) -> float:
        return _number(block.get(key, ""))

    return Position(
        out_s=max(0.0, number("out_time_us") / _MICROSECONDS),
        frame=int(number("frame")),
        fps=number("fps"),
        speed=number("speed"),
        total_size=int(number("total_size")),
        dropped=int(number("drop_frames")),
        duplicated=int(number("dup_frames")),
        is_end=block.get("progress") == "end",
    )
