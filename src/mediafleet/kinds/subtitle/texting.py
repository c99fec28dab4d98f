"""`text`: makes one transcript of what was recognized in all pieces."""

from __future__ import annotations

import asyncio
from statistics import mean
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.subtitle.aligning import align_text
from mediafleet.kinds.subtitle.check import breaks_warning, check_cues
from mediafleet.kinds.subtitle.clean import clean
from mediafleet.kinds.subtitle.cueing import make_cues, reading_rules, rules_of
from mediafleet.kinds.subtitle.formats import Transcript
from mediafleet.kinds.subtitle.orders import Heard, TextReport, WordsFile, read, write
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.repairing import repair
from mediafleet.kinds.subtitle.shorten import shorten, shortening_warning
from mediafleet.kinds.subtitle.turns import Channel
from mediafleet.kinds.subtitle.workspace import publish_record, read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.seam import TaskContext

_MOST_TOLD = 20
_ENOUGH_WORDS = 20
"""By which a language can be doubted: of few words a recognizer may be unsure by chance."""
_ROUNDED_S = 0.05
"""By which the first word of a span may begin before it, by rounding."""


async def make_text(context: TaskContext) -> TaskResult:
    """Merge, clean, repair, segment, publish; a text that was handed in beside the film takes the place of what was heard."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    heard = read(context.spec.payload, Heard)
    count = len(heard.pieces)
    parts = [await read_record(context, ref, WordsFile) for ref in context.spec.inputs[:count]]
    # In threads, as all that takes longer the longer a film is: the node has links to answer meanwhile.
    if heard.is_guessed:
        check_guess(heard.language, parts)
    channels, dropped = await asyncio.to_thread(merge, parts)
    if len(context.spec.inputs) > count:
        words = sorted((word for channel in channels for word in channel.words), key=lambda word: word.start_s)
        made, warnings = await align_text(context, context.spec.inputs[count], words, heard)
    else:
        made, warnings = await _write_down(context, parts, channels, heard)
    made = msgspec.structs.replace(made, film_s=heard.film.duration_s)
    rules = rules_of(params, heard.language, heard.film)
    broken = len(check_cues(made.cues, rules)) if rules else 0
    warnings = (*warnings, breaks_warning(broken, heard.language)) if broken else warnings
    report = TextReport(
        heard.language,
        len(made.cues),
        len(made.words),
        tuple(dict.fromkeys(part.engine for part in parts)),
        made.is_drafty,
        tuple(f'at {word.start_s:.1f} s, "{word.text}" ({reason})' for word, reason in dropped[:_MOST_TOLD]),
        broken,
    )
    output = await publish_record(context, made, name="transcript.json")
    return TaskResult(write(report), (output,), warnings)


async def _write_down(
    context: TaskContext, parts: Sequence[WordsFile], channels: Sequence[Channel], heard: Heard
) -> tuple[Transcript, tuple[str, ...]]:
    params = msgspec.convert(context.spec.params, SubtitleParams)
    warnings: list[str] = []
    if params.repair == "auto" and not all(part.punctuates for part in parts):
        channels, warnings = await repair(context, channels, heard.language)
    cues, words = await asyncio.to_thread(make_cues, channels, params, heard)
    cues, count = await asyncio.to_thread(
        shorten, cues, reading_rules(params, heard.language, heard.film), heard.language
    )
    warnings += [shortening_warning(count, heard.language)] if count else []
    is_drafty = any(part.recognition.is_drafty for part in parts)
    return Transcript(heard.language, tuple(cues), words, is_drafty), tuple(warnings)


def check_guess(language: str, parts: Sequence[WordsFile]) -> None:
    """Return if words may well be of a language that nobody named and no engine could find out.

    Raises:
        InvalidParams: The recognizer, which knows no other, was far less sure than it is of that language.
    """
    words = [word for part in parts for word in part.recognition.words]
    least = min((part.doubtful_below for part in parts), default=0.0)
    if len(words) >= _ENOUGH_WORDS and mean(word.confidence for word in words) < least:
        raise InvalidParams(
            f"This hardly sounds like {language!r}, the only language that the recognizer knows, and nobody said which it is. "
            f"Name it with --from (`language`), {language} if it is that; for another one install a recognizer that knows it "
            "(`mediafleet models list`)."
        )


def merge(parts: Sequence[WordsFile]) -> tuple[list[Channel], list[tuple[Word, str]]]:
    """Return what was said in each channel, in order and without what nobody said; and that, with the reasons."""
    channels: list[Channel] = []
    dropped: list[tuple[Word, str]] = []
    for number in sorted({part.channel for part in parts}):
        of_it = [part for part in parts if part.channel == number]
        words = sorted((word for part in of_it for word in part.recognition.words), key=lambda word: word.start_s)
        spans = sorted((span for part in of_it for span in part.spans), key=lambda span: span.start_s)
        cleaned = clean(words, spans)
        channels.append(Channel(cleaned.words, tuple(spans)))
        dropped += cleaned.dropped
    return channels, dropped
