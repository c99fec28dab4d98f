"""Whether the fonts of this machine have the letters of subtitles that are to be drawn: FFmpeg draws nothing, or boxes, and succeeds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import TaskFailed
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.formats import Format, write_cues
from mediafleet.kinds.transcode.handler import DEFAULT_STALL_S
from mediafleet.kinds.transcode.running import FfmpegRun

if TYPE_CHECKING:
    from collections.abc import Collection

    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.subtitle.formats import Transcript
    from mediafleet.kinds.transcode.program import Ffmpeg

_SHEET = "letters.ass"
_SHOWN_MS = 1_000
_LACKING = re.compile(r"failed to find any fallback with glyph 0x([0-9A-Fa-f]+)")
"""What libass says of a letter that no font has; of the letter 0 where there is no font."""
_NO_FONTS = "Failed to load fontconfig fonts"
_MOST_LACKING = 0.5
"""Of all letters: with fewer the text can still be guessed."""
_MOST_LETTERS, _MOST_NAMED = 100, 8
"""That are looked for, since libass names each in a line of its log and its end is kept; and that are named to people."""


async def check_fonts(context: TaskContext, ffmpeg: Ffmpeg, transcript: Transcript) -> list[str]:
    """Draw each letter once, and return what to tell of those that no font has.

    Raises:
        TaskFailed: There is no font here, or hardly a letter could be drawn.
    """
    letters = find_letters(transcript)
    sheet = msgspec.structs.replace(transcript, cues=(Cue(0, _SHOWN_MS, ("".join(letters),)),), words=())
    (context.workspace / _SHEET).write_text(write_cues(sheet, Format.ASS), encoding="utf-8")
    picture = ["-f", "lavfi", "-i", "color=s=64x64:r=10:d=0.1", "-vf", f"ass=filename={_SHEET}", "-f", "null", "-"]
    words = [ffmpeg.path, "-hide_banner", "-nostdin", "-loglevel", "warning", *picture]
    drawn = await FfmpegRun(context, words, "the letters", DEFAULT_STALL_S).succeed()
    return judge(drawn.log, letters, transcript.language)


def find_letters(transcript: Transcript) -> list[str]:
    """Return the letters that are most often in a text, each once."""
    count: dict[str, int] = {}
    for one in "".join(line for cue in transcript.cues for line in cue.lines):
        if one.isalnum():
            count[one] = count.get(one, 0) + 1
    return sorted(count, key=lambda one: -count[one])[:_MOST_LETTERS]


def judge(log: str, letters: Collection[str], language: str) -> list[str]:
    """Return what to tell of letters that libass could not draw, by its log. Raises TaskFailed, as `check_fonts`."""
    codes = {int(code, 16) for code in _LACKING.findall(log)}
    lacking = [one for one in letters if ord(one) in codes]
    if _NO_FONTS in log or 0 in codes:
        raise TaskFailed(
            "This node has no font, so nothing can be drawn into a picture. Install one there (Debian: "
            "`apt install fonts-dejavu-core`), or add the subtitles as a track (`--mux`)."
        )
    named = ", ".join(lacking[:_MOST_NAMED])
    if len(lacking) > _MOST_LACKING * len(letters):
        raise TaskFailed(
            f"No font of this node has the letters of {language!r} ({named}), so boxes would be drawn. Install one there that "
            "has (Debian: `apt install fonts-noto`, for Chinese, Japanese and Korean `fonts-noto-cjk`), or add the subtitles as a "
            "track (`--mux`)."
        )
    return [f"No font of this node has {named}; boxes are drawn in their place."] if lacking else []
