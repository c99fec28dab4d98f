"""Puts a text that was handed in beside the film into its time."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InputError
from mediafleet.kinds.subtitle.align import align, find_shift, move, part_words, words_of
from mediafleet.kinds.subtitle.cueing import make_cues
from mediafleet.kinds.subtitle.formats import LOOKS_LEFT, Transcript, decode_text, has_looks, read_cues
from mediafleet.kinds.subtitle.names import is_subtitle_file
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.sentences import split_words
from mediafleet.kinds.subtitle.turns import Channel
from mediafleet.kinds.transcode.failures import show_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.subtitle.orders import Heard


async def align_text(
    context: TaskContext, ref: ArtifactRef, words: Sequence[Word], heard: Heard
) -> tuple[Transcript, tuple[str, ...]]:
    """Return the text of a file in the time of the film, and what was done to its times.

    Args:
        words: What was recognized in the film, in order.

    Raises:
        InputError: It is no text, or not of this film.
    """
    content = (await context.fetch(ref)).read_bytes()
    if is_subtitle_file(ref.name):
        return await asyncio.to_thread(_move_cues, content, ref.name, words, heard)
    params = msgspec.convert(context.spec.params, SubtitleParams)
    return await asyncio.to_thread(_time_text, content, ref.name, words, heard, params), ()


def _move_cues(content: bytes, name: str, words: Sequence[Word], heard: Heard) -> tuple[Transcript, tuple[str, ...]]:
    language, film = heard.language, heard.film
    cues = read_cues(content, name=name, fps=Fraction(*film.fps)).cues
    aligned = align(words_of(cues, language), part_words(words, language))
    shift = find_shift(cues, aligned, language)
    moved = move(cues, shift, film_s=film.duration_s or float("inf"))
    told = f"The times of {show_name(name)} were {shift.offset_s:+.2f} s off"
    told += f" and drifted by {(shift.scale - 1) * 100:+.2f} %" if shift.scale != 1 else ""
    told += "; they were put right." if shift.is_judged else "; that was put right. It is too short to tell a drift by."
    warnings = [told]
    if shift.far_off:
        warnings.append(f"{shift.far_off} cue(s) of {show_name(name)} may still be more than a second off.")
    if outside := len(cues) - len(moved):
        warnings.append(f"{outside} cue(s) of {show_name(name)} lie outside the film and were left out.")
    warnings += [LOOKS_LEFT.format(show_name(name))] if has_looks(content) else []
    return Transcript(language, tuple(moved)), tuple(warnings)


def _time_text(content: bytes, name: str, words: Sequence[Word], heard: Heard, params: SubtitleParams) -> Transcript:
    text = decode_text(content)
    if "\0" in text:
        raise InputError(
            f"{show_name(name)} is no text; hand in a text file, or a file of subtitles under its usual ending."
        )
    aligned = align(split_words(text, heard.language), part_words(words, heard.language))
    return Transcript(heard.language, *make_cues([Channel(aligned.words, ())], params, heard))
