"""What a user asks of a subtitle job."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mediafleet.kinds.subtitle.formats import Format
from mediafleet.kinds.subtitle.rules import Preset

_CODES = "codes of languages, two or three small letters such as en (ISO 639)"
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$(?!\n)", description=_CODES)]
"""ISO 639-1, or 639-3 where that has no code."""
_Speed = Annotated[float, Meta(ge=1, le=60)]
_Name = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f<>{}\\]{1,40}$(?!\n)",
        description="names of 1 to 40 characters, none of them <, >, {, } or \\",
    ),
]
_MOST_TERMS = 2_000


class Speakers(StrEnum):
    """How it is found out who speaks."""

    NONE = ""
    CHANNELS = "channels"
    """Each channel of the track is somebody's."""
    VOICES = "voices"
    """An engine tells voices apart."""


class SubtitleParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of speech."""

    language: Annotated[
        str,
        Meta(pattern=r"^(auto|[a-z]{2,3})$(?!\n)", description="auto, or the code of a language such as en (ISO 639)"),
    ] = "auto"
    """What is spoken, ISO 639-1; `auto` lets the recognizer find out."""
    to: Annotated[tuple[Language, ...], Meta(max_length=30)] = ()
    """Languages to translate into, beside the file of what is spoken."""
    formats: Annotated[tuple[Format, ...], Meta(min_length=1)] = (Format.SRT,)
    style: Preset = Preset.NETFLIX
    """How cues are cut and timed."""
    chars_per_s: dict[Language, _Speed] = {}
    """Fastest reading by language, where not the style's."""
    track: Annotated[int, Meta(ge=0, le=255)] = 0
    """Which of the sound tracks, counted from 0."""
    subtitle_track: Annotated[int, Meta(ge=0, le=255)] | None = None
    """Take the text of this subtitle track, counted from 0, and recognize nothing."""
    skip_tracks: bool = False
    """Whether nothing is made of a film that has a track of text in each language of `to`, or where that is empty in what is spoken."""
    pieces: Annotated[int, Meta(ge=0, le=256)] = 0
    """Into how many pieces the speech is cut, to be recognized on as many nodes; by its length if 0."""
    glossary: Annotated[dict[str, str], Meta(max_length=_MOST_TERMS)] = {}
    """Terms of the spoken language and how they must be translated; one that stands for itself stays as it is."""
    verbatim: bool = False
    """Whether cues keep every word of speech that is too fast to be read; else the text is made shorter where it has to be. The words of
    the format `json` are all there in any case."""
    repair: Literal["auto", "never"] = "auto"
    """Whether casing and punctuation are put right where the recognizer gives none."""
    bilingual: bool = False
    """Whether there is also a file for each translation that has what is spoken above it."""
    burn: bool = False
    """Whether subtitles are drawn into the picture of a copy of the video."""
    burn_language: Annotated[
        str, Meta(pattern=r"^([a-z]{2,3})?$(?!\n)", description="the code of a language such as en (ISO 639)")
    ] = ""
    """Which; the first of `to`, or what is spoken, where empty."""
    mux: bool = False
    """Whether a copy of the video gets all subtitles as tracks that players can show."""
    review: bool = False
    """Whether the job waits after recognition until somebody has looked at the text."""
    speakers: Speakers = Speakers.NONE
    """How it is found out who speaks: `channels` of the track that are somebody's each, or `voices` that an engine tells apart; not
    at all where empty."""
    speaker_names: Annotated[tuple[_Name, ...], Meta(max_length=32)] = ()
    """What they are called: in the order of channels, or in that of their first words, and then there are so many voices;
    `Speaker 1` and so on where empty."""
    forced: bool = False
    """Whether the text is only for what is not in the viewer's language: names and tracks say so, and players show it unasked."""
    recognizer: Annotated[
        str, Meta(pattern=r"^[a-z0-9-]{0,40}$(?!\n)", description="the name of an engine such as faster-whisper")
    ] = ""
    """Name of the only engine to recognize with; the best that there is where empty."""

    def __post_init__(self) -> None:
        """Refuse wishes that contradict each other."""
        if len(set(self.to)) < len(self.to):
            raise ValueError("'to' names a language twice")
        if self.language in self.to:
            raise ValueError(f"'to' names {self.language!r}, which is what is spoken; leave it out")
        if self.bilingual and not self.to:
            raise ValueError("'bilingual' needs a language in 'to'")
        if self.speaker_names and self.speakers is Speakers.NONE:
            raise ValueError("'speaker_names' needs 'speakers'")
        if len(set(self.speaker_names)) < len(self.speaker_names):
            raise ValueError("'speaker_names' has a name twice, and then nobody could tell the two apart")
        if self.burn_language and self.burn_language not in {*self.to, self.language} and self.language != "auto":
            raise ValueError(f"'burn_language' is {self.burn_language!r}, which is neither spoken nor in 'to'")
        if self.style is Preset.KARAOKE and Format.ASS not in self.formats:
            raise ValueError(
                "only the format 'ass' has words that light up; add it to 'formats' for the style 'karaoke'"
            )
