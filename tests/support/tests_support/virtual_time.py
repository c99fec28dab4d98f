"""Time for tests of what ends by itself."""

from __future__ import annotations


class VirtualTime:
    """Milliseconds that move only when a test says so."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.ms += ms
