"""The steps of a film that is encoded in chunks: wherever it is cut off, a test kills processes there."""

from __future__ import annotations

from enum import StrEnum


class ChunkStep(StrEnum):
    """What is going on; the values are names of steps of tasks, and the last is the stage of one.

    A task that is cut off is begun anew by whichever node gets it, and what other tasks have published stays. So a restart
    finds whole results of tasks and nothing between.
    """

    SURVEY = "transcode"
    """A node looks into the source. A restart finds nothing, and looks again."""
    CHUNK = "chunk"
    """Pictures of one chunk are encoded. A restart finds the survey and the chunks that were published."""
    SOUND = "sound"
    """All sound is encoded, beside the chunks. A restart finds the same."""
    JOIN = "join"
    """Chunks and sound are put together. A restart finds all of them, and joins again."""
    CHECK = "verifying"
    """The same task decodes the result and holds it to the source. A restart finds what it finds at JOIN: nothing is
    published before it has passed."""
