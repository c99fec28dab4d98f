"""A cue: what stands on the screen for a while."""

from __future__ import annotations

import msgspec


class Cue(msgspec.Struct, frozen=True):
    """Text and the time for which it is shown."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    spoken_ms: tuple[int, int] = (0, 0)
    """When its first word begins and its last one ends."""
    words: tuple[int, int] = (0, 0)
    """Its first recognized word, and the one behind its last."""
    speaker: str = ""
    """Who speaks, where that is known."""
    layer: int = 0
    """0, or higher for what is said while somebody else speaks: cues of one layer never overlap."""

    @property
    def text(self) -> str:
        """All of it, with line feeds between lines."""
        return "\n".join(self.lines)

    @property
    def chars(self) -> int:
        """Characters that are read."""
        return sum(len(line) for line in self.lines)

    @property
    def length_ms(self) -> int:
        """How long it is shown."""
        return self.end_ms - self.start_ms
