"""What each software encoder takes, as data: its speeds, its quality, and the options that users may set.

This table is the whole of what params can tell an encoder. An option that is not in it has no name that reaches FFmpeg, so
nothing has to be forbidden: statistics files, logs and other encoders' words cannot be said. Why: decision record 0021.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Speed = Literal["fastest", "fast", "medium", "slow", "slowest"]
Words = tuple[tuple[str, str], ...]
"""FFmpeg options without dash and stream number, with their values."""


STATIC = frozenset({"mastering", "light", "spherical", "stereo3d", "icc", "ambient"})
"""What FFmpeg itself hands on from decoder to container, whichever encoder is between them."""


class Takes(msgspec.Struct, frozen=True):
    """How one option is said to one encoder, and what it may be."""

    word: str
    """FFmpeg's option, or the key inside `packed`."""
    choices: tuple[str, ...] = ()
    """All values of a word; a number otherwise, from `least` to `most`."""
    least: int = 0
    most: int = 0
    only_with_crf: bool = False
    """Not beside a bit rate."""
    packed: str = ""
    """Option that holds this one as `key=value`, joined by colons; values are numbers or words of `choices` only."""


class VideoEncoder(msgspec.Struct, frozen=True):
    """One encoder of pictures."""

    codec: str
    """Name of the format, as FFmpeg's decoders are called."""
    crf_max: int
    speeds: dict[Speed, Words]
    options: dict[str, Takes]
    """Our word, a field of `VideoOptions` → how this encoder is told."""
    bit_depths: tuple[int, ...] = (8, 10)
    smallest: int = 2
    """Pixels of the shortest side that the encoder takes."""
    fastest_fps: int = 0
    """Most pictures a second that the encoder takes; 0 for any number."""
    always: Words = ()
    passes: int = 1
    """How often it can look at a film to share out a bit rate."""
    split_ratio: float = 1.0
    """Time of a film in chunks on two processes of one core each, over that of one process on both cores; from 1 on, chunks
    gain only on other machines. What `mediafleet bench splits` measures; it differs from film to film."""
    with_crf: Words = ()
    """What turns a bit rate off, where quality alone does not."""
    carries: frozenset[str] = STATIC
    """Side data of pictures, by the words of `media.StreamInfo.extras`, that comes out as it went in."""
    cores: Takes | None = None
    """How it is told how many cores are its own, where it would count all cores of the machine."""
    woven: Words = ()
    """What makes it keep two fields in one picture; empty where it knows whole pictures only."""
    bottom_first: Words = ()
    """What has it begin with the lower field; by itself it learns that only after it has begun."""


def _presets(*words: str) -> dict[Speed, Words]:
    names: tuple[Speed, ...] = ("fastest", "fast", "medium", "slow", "slowest")
    return {name: (("preset", word),) for name, word in zip(names, words, strict=True)}


def _vp9_speed(deadline: str, effort: int) -> Words:
    return ("deadline", deadline), ("cpu-used", str(effort))


_LEVELS = ("3.0", "3.1", "3.2", "4.0", "4.1", "4.2", "5.0", "5.1", "5.2", "6.0", "6.1", "6.2")
_X26_SPEEDS = _presets("ultrafast", "veryfast", "medium", "slow", "veryslow")
_KEYFRAMES = Takes("g", least=1, most=1_000)
_MOST_BPS = 400_000_000
_MAX_BITRATE = Takes("maxrate", least=1_000, most=_MOST_BPS)

VIDEO_ENCODERS = {
    "libx264": VideoEncoder(
        codec="h264",
        crf_max=51,
        speeds=_X26_SPEEDS,
        options={
            "tune": Takes("tune", ("film", "animation", "grain", "stillimage", "fastdecode", "zerolatency")),
            "profile": Takes("profile", ("baseline", "main", "high")),
            "level": Takes("level", _LEVELS),
            "keyframe_every": _KEYFRAMES,
            "b_frames": Takes("bf", least=0, most=16),
            "references": Takes("refs", least=1, most=16),
            "lookahead": Takes("rc-lookahead", least=0, most=250),
            "aq_mode": Takes("aq-mode", least=0, most=3),
            "max_bitrate": _MAX_BITRATE,
        },
        # Its ten-bit H.264 is a profile that few players know.
        bit_depths=(8,),
        passes=2,
        split_ratio=0.85,
        carries=STATIC | {"captions"},
        woven=(("flags", "+ildct+ilme"),),
        bottom_first=(("x264-params", "bff=1"),),
    ),
    "libx265": VideoEncoder(
        codec="hevc",
        crf_max=51,
        speeds=_X26_SPEEDS,
        options={
            "tune": Takes("tune", ("animation", "grain", "fastdecode", "zerolatency")),
            "keyframe_every": _KEYFRAMES,
            # It refuses to start unless it looks further ahead than so many pictures, and its fast speeds do not.
            "b_frames": Takes("rc-lookahead=40:bframes", least=0, most=16, packed="x265-params"),
            "references": Takes("ref", least=1, most=8, packed="x265-params"),
            "lookahead": Takes("rc-lookahead", least=20, most=250, packed="x265-params"),
            "aq_mode": Takes("aq-mode", least=0, most=3, packed="x265-params"),
            "max_bitrate": _MAX_BITRATE,
        },
        smallest=32,
        split_ratio=1.45,
    ),
    "libsvtav1": VideoEncoder(
        codec="av1",
        crf_max=63,
        speeds=_presets("12", "10", "8", "6", "4"),
        options={
            "keyframe_every": _KEYFRAMES,
            "lookahead": Takes("lookahead", least=0, most=120, packed="svtav1-params"),
            "film_grain": Takes("film-grain", least=0, most=50, packed="svtav1-params"),
            "aq_mode": Takes("aq-mode", least=0, most=2, packed="svtav1-params"),
            "max_bitrate": Takes("maxrate", least=1_000, most=100_000_000, only_with_crf=True),
        },
        smallest=64,
        fastest_fps=240,
        split_ratio=0.76,
        # FFmpeg's `-threads 1` leaves it at two.
        cores=Takes("lp", least=1, most=6, packed="svtav1-params"),
    ),
    "libvpx-vp9": VideoEncoder(
        codec="vp9",
        crf_max=63,
        speeds={
            "fastest": _vp9_speed("realtime", 8),
            "fast": _vp9_speed("good", 5),
            "medium": _vp9_speed("good", 3),
            "slow": _vp9_speed("good", 1),
            "slowest": _vp9_speed("good", 0),
        },
        options={
            "tune": Takes("tune-content", ("screen", "film")),
            "keyframe_every": _KEYFRAMES,
            "lookahead": Takes("lag-in-frames", least=0, most=25),
            "aq_mode": Takes("aq-mode", least=0, most=3),
            # Beside a quality this encoder takes `-b` as the most, and knows no `-maxrate` without a rate.
            "max_bitrate": Takes("b", least=1_000, most=_MOST_BPS, only_with_crf=True),
        },
        passes=2,
        always=(("row-mt", "1"),),
        with_crf=(("b", "0"),),
    ),
}
"""FFmpeg's name → what we know of it."""

AUDIO_ENCODERS = {
    "aac": "aac",
    "mp3": "libmp3lame",
    "opus": "libopus",
    "ac3": "ac3",
    "flac": "flac",
}
"""Sound format → FFmpeg encoder."""
