"""When each picture of a stream is shown, and where decoding can begin: read by a child, without decoding."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.file_reader import ask_reader

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.file_reader import Starter

_SCRIPT = Path(__file__).with_name("_index.py")


class FrameIndex(msgspec.Struct, frozen=True):
    """The pictures of one stream. All times are ticks of `time_base`, on the file's own clock."""

    time_base: tuple[int, int] = (1, 1000)
    """Seconds of one tick, as numerator and denominator."""
    pts: tuple[int, ...] = ()
    """When each shown picture starts, in order of showing; equal where two are shown at once."""
    keys: tuple[tuple[int, int], ...] = ()
    """Key pictures: when they are shown, and the earlier of that and when they are to be decoded."""
    last_duration: int = 0
    """Ticks that the last picture stays; 0 where the file does not say."""
    untimed: int = 0
    """Pictures of which the file does not say when they are shown."""
    header: str = ""
    """Digest of what the container stores for the decoder beside the pictures (parameter sets)."""
    broken: str = ""
    """Why reading stopped early; empty where it did not."""
    begins: tuple[int, ...] = ()
    """Where in the file the packet of each key picture begins, as it stands in `keys`; empty where nobody knows."""
    ends: tuple[int, ...] = ()
    """For each picture of `pts`: the byte behind it and all that are shown before it; empty where nobody knows."""

    @property
    def tick(self) -> Fraction:
        """Seconds of one tick."""
        return Fraction(*self.time_base)

    @property
    def end(self) -> int:
        """Tick at which the last picture ends; where the file does not say, it stays as long as the one before."""
        latest = self.pts[-2:]
        return max(latest, default=0) + max(1, self.last_duration or max(latest, default=0) - min(latest, default=0))


async def read_index(starter: Starter, path: Path, stream: int, *, name: str) -> FrameIndex:
    """Return the index of one stream; reads the whole file, at the speed of its disk.

    Args:
        starter: Starts the child.
        path: Absolute.
        stream: Number of the stream in the file.
        name: The user's name of the file, for sentences.

    Raises:
        TransientFailure: It took so long that the disk seems to hang.
    """
    answer = await ask_reader(starter, _SCRIPT, path, str(stream), name=name)
    if not answer.text:
        return FrameIndex(broken="the reader crashed")
    return msgspec.json.decode(answer.text, type=FrameIndex)
