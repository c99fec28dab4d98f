"""Typed options of a picture's encoder: what users may set, checked against what that encoder takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.encoder_facts import Takes, VideoEncoder

_AHEAD = frozenset({"b_frames", "lookahead"})
_BUFFER_SECONDS = 2
"""Seconds of the highest rate that a player is taken to buffer."""


class VideoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of the picture's encoder; what is not given is left to encoder and preset.

    Which of them an encoder takes, and how far they go, is in `encoder_facts`.
    """

    tune: Literal["film", "animation", "grain", "stillimage", "screen", "fastdecode", "zerolatency"] | None = None
    """What the pictures show, or what matters most."""
    profile: Literal["baseline", "main", "high"] | None = None
    """For players that know no more."""
    level: Literal["3.0", "3.1", "3.2", "4.0", "4.1", "4.2", "5.0", "5.1", "5.2", "6.0", "6.1", "6.2"] | None = None
    """What a player must at least be able to do."""
    keyframe_every: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Pictures from one key frame to the next, at most."""
    b_frames: Annotated[int, Meta(ge=0, le=16)] | None = None
    references: Annotated[int, Meta(ge=1, le=16)] | None = None
    lookahead: Annotated[int, Meta(ge=0, le=250)] | None = None
    """Pictures that the encoder looks ahead."""
    aq_mode: Annotated[int, Meta(ge=0, le=3)] | None = None
    """How bits are shared out inside a picture; 0 evenly."""
    film_grain: Annotated[int, Meta(ge=0, le=50)] | None = None
    """Grain that is taken out and made anew by the player."""
    max_bitrate: Annotated[int, Meta(ge=1_000, le=400_000_000)] | None = None
    """Most bits a second, also where `crf` decides."""


def given(options: VideoOptions) -> dict[str, str | int]:
    """Return what is set, by our words, in the order of the fields."""
    return {name: value for name, value in msgspec.structs.asdict(options).items() if value is not None}


def combine(base: VideoOptions, over: VideoOptions) -> VideoOptions:
    """Return the first's options with those of the second put over them."""
    return msgspec.structs.replace(base, **given(over))


def find_misfit(options: VideoOptions, encoder: VideoEncoder, *, name: str) -> str:
    """Return a sentence, without its end, if an encoder does not take these options, else "".

    Args:
        name: What FFmpeg calls the encoder.
    """
    for option, value in given(options).items():
        takes = encoder.options.get(option)
        if options.tune == "zerolatency" and option in _AHEAD:
            return f"{option!r} looks ahead, which the tune 'zerolatency' rules out"
        if takes is None:
            return f"{name} takes no {option!r}; it takes {', '.join(encoder.options)}"
        if takes.choices and value not in takes.choices:
            return f"{option!r} of {name} is one of {', '.join(takes.choices)}, not {value}"
        if isinstance(value, int) and not takes.least <= value <= takes.most:
            return f"{option!r} of {name} goes from {takes.least} to {takes.most}, not {value}"
    return ""


def option_words(options: VideoOptions, encoder: VideoEncoder, *, stream: int) -> list[str]:
    """Return FFmpeg's words for the options of one output stream.

    Raises:
        ValueError: The encoder does not take one of them; params are checked before they come here.
    """
    words: list[str] = []
    packed: dict[str, list[str]] = {}
    for option, value in given(options).items():
        takes = encoder.options.get(option)
        if takes is None or not _allows(takes, value):
            raise ValueError(f"{option!r} is not for {encoder.codec}")
        if takes.packed:
            packed.setdefault(takes.packed, []).append(f"{takes.word}={value}")
        else:
            words += [f"-{takes.word}:{stream}", str(value)]
        if takes.word == "maxrate":
            words += [f"-bufsize:{stream}", str(int(value) * _BUFFER_SECONDS)]
    for name, pairs in packed.items():
        words += [f"-{name}:{stream}", ":".join(pairs)]
    return words


def tell_cores(words: list[str], encoder: VideoEncoder, *, stream: int, cores: int) -> list[str]:
    """Return an encoder's words with how many cores are its own, where it would take all of the machine's."""
    takes = encoder.cores
    if takes is None:
        return words
    name, said = f"-{takes.packed}:{stream}", f"{takes.word}={min(cores, takes.most)}"
    if name not in words:
        return [*words, name, said]
    # FFmpeg takes the last option of a name, and only that.
    place = words.index(name) + 1
    return [*words[:place], f"{words[place]}:{said}", *words[place + 1 :]]


def _allows(takes: Takes, value: str | int) -> bool:
    if isinstance(value, int):
        return not takes.choices and takes.least <= value <= takes.most
    return value in takes.choices
