"""`text`: makes one transcript of what was recognized in all pieces."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.plan import TaskResult
from mediafleet.engines.offer import Need, Role
from mediafleet.engines.wire import Repair
from mediafleet.kinds.subtitle.align import align, find_shift, move, words_of
from mediafleet.kinds.subtitle.check import check_cues
from mediafleet.kinds.subtitle.clean import Cleaned, clean
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.formats import Transcript, read_cues
from mediafleet.kinds.subtitle.names import is_subtitle_file
from mediafleet.kinds.subtitle.orders import Heard, TextReport, WordsFile, read, write
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.rules import CueRules, Preset, leave_room, rules_for
from mediafleet.kinds.subtitle.segment import segment
from mediafleet.kinds.subtitle.sentences import split_words
from mediafleet.kinds.subtitle.workspace import publish_record, read_record
from mediafleet.kinds.transcode.failures import show_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.engines.recognition import Word
    from mediafleet.engines.voice_activity import Span
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.subtitle.orders import Film

_MOST_TOLD = 20
_ROUNDED_S = 0.05
"""By which the first word of a span may begin before it, by rounding."""
_PARAGRAPH = 200
"""Words that are repaired at a time, about: what a language model can see at once."""
_PAUSE_S = 0.7
"""At which a paragraph may end."""


async def make_text(context: TaskContext) -> TaskResult:
    """Merge, clean, repair, segment, publish; a text that was handed in beside the film takes the place of what was heard."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    heard = read(context.spec.payload, Heard)
    count = len(heard.pieces)
    parts = [await read_record(context, ref, WordsFile) for ref in context.spec.inputs[:count]]
    # In threads, as all that takes longer the longer a film is: the node has links to answer meanwhile.
    cleaned = await asyncio.to_thread(merge, parts)
    if len(context.spec.inputs) > count:
        made, warnings = await _align(context, context.spec.inputs[count], cleaned.words, heard)
    else:
        made, warnings = await _write_down(context, parts, cleaned.words, heard), ()
    rules = rules_of(params, heard.language, heard.film)
    report = TextReport(
        heard.language,
        len(made.cues),
        len(made.words),
        tuple(dict.fromkeys(part.engine for part in parts)),
        made.is_drafty,
        tuple(_tell(cleaned)),
        len(check_cues(made.cues, rules)) if rules else 0,
    )
    output = await publish_record(context, made, name="transcript.json")
    return TaskResult(write(report), (output,), warnings)


async def _write_down(
    context: TaskContext, parts: Sequence[WordsFile], words: tuple[Word, ...], heard: Heard
) -> Transcript:
    params = msgspec.convert(context.spec.params, SubtitleParams)
    if params.repair == "auto" and not all(part.punctuates for part in parts):
        words = await _repair(context, words, heard.language)
    spans = [span for part in parts for span in part.spans]
    cues = await asyncio.to_thread(make_cues, words, spans, params, heard)
    return Transcript(heard.language, tuple(cues), words, any(part.recognition.is_drafty for part in parts))


async def _align(
    context: TaskContext, ref: ArtifactRef, words: tuple[Word, ...], heard: Heard
) -> tuple[Transcript, tuple[str, ...]]:
    """Return the text of a file in the time of the film, and what was done to its times."""
    content = (await context.fetch(ref)).read_bytes()
    language = heard.language
    if not is_subtitle_file(ref.name):
        texts = split_words(content.decode("utf-8-sig", errors="replace"), language)
        aligned = await asyncio.to_thread(align, texts, words)
        params = msgspec.convert(context.spec.params, SubtitleParams)
        made = await asyncio.to_thread(make_cues, aligned.words, (), params, heard)
        return Transcript(language, tuple(made), aligned.words), ()
    found = await asyncio.to_thread(read_cues, content, name=ref.name, fps=Fraction(*heard.film.fps))
    cues = found.cues
    aligned = await asyncio.to_thread(align, words_of(cues), words)
    shift = await asyncio.to_thread(find_shift, cues, aligned)
    told = f"The times of {show_name(ref.name)} were {shift.offset_s:+.2f} s off"
    told += f" and drifted by {(shift.scale - 1) * 100:+.2f} %" if shift.scale != 1 else ""
    return Transcript(language, tuple(move(cues, shift))), (f"{told}; they were put right.",)


def merge(parts: Sequence[WordsFile]) -> Cleaned:
    """Return the words of all pieces, in order, without what nobody said."""
    words = sorted((word for part in parts for word in part.recognition.words), key=lambda word: word.start_s)
    spans = sorted((span for part in parts for span in part.spans), key=lambda span: span.start_s)
    return clean(words, spans)


def rules_of(params: SubtitleParams, language: str, film: Film) -> CueRules | None:
    """Return the rules for cues in a language; None for the style without any."""
    if params.style is Preset.RAW:
        return None
    speed = params.chars_per_s.get(language)
    return rules_for(params.style, language, fps=Fraction(*film.fps), chars_per_s=speed)


def make_cues(words: Sequence[Word], spans: Sequence[Span], params: SubtitleParams, heard: Heard) -> list[Cue]:
    """Return the cues of words, by the rules, or in the style `raw` one a stretch of speech."""
    language, film = heard.language, heard.film
    rules = rules_of(params, language, film)
    if rules is None and not spans:
        # A text that was handed in has no stretches of its own.
        rules = rules_for(Preset.NETFLIX, language, fps=Fraction(*film.fps))
    if rules:
        targets = [(target, other) for target in params.to if (other := rules_of(params, target, film))]
        return segment(words, leave_room(rules, language, targets), language=language)
    starts = [span.start_s - _ROUNDED_S for span in spans]
    groups: dict[int, list[int]] = {}
    for number, word in enumerate(words):
        groups.setdefault(max(0, bisect_right(starts, word.start_s) - 1), []).append(number)
    return [_raw_cue(words, inside[0], inside[-1]) for _, inside in sorted(groups.items())]


def _raw_cue(words: Sequence[Word], first: int, last: int) -> Cue:
    start_ms, end_ms = round(words[first].start_s * 1000), round(words[last].end_s * 1000)
    text = " ".join(word.text for word in words[first : last + 1])
    return Cue(start_ms, max(end_ms, start_ms + 1), (text,), (start_ms, end_ms), (first, last + 1))


async def _repair(context: TaskContext, words: tuple[Word, ...], language: str) -> tuple[Word, ...]:
    context.report(0.3, stage="repairing")
    offer = context.engines.find(Need(Role.REPAIR, language))
    repaired: list[Word] = []
    with context.engines.lease(offer) as engine:
        for paragraph in paragraphs(words):
            texts = await engine.ask(Repair(paragraph, language), list[str])
            pairs = zip(paragraph, texts, strict=True)
            repaired += [msgspec.structs.replace(word, text=text) for word, text in pairs]
            context.report(0.3 + 0.6 * len(repaired) / len(words), stage="repairing")
    return tuple(repaired)


def paragraphs(words: Sequence[Word]) -> list[tuple[Word, ...]]:
    """Return words in groups that end at pauses, so that each has whole sentences."""
    found: list[tuple[Word, ...]] = []
    begin = 0
    for number in range(1, len(words) + 1):
        length = number - begin
        is_pause = number == len(words) or words[number].start_s - words[number - 1].end_s >= _PAUSE_S
        if (is_pause and length >= _PARAGRAPH) or length >= 2 * _PARAGRAPH or number == len(words):
            found.append(tuple(words[begin:number]))
            begin = number
    return found


def _tell(cleaned: Cleaned) -> list[str]:
    return [f'at {word.start_s:.1f} s, "{word.text}" ({reason})' for word, reason in cleaned.dropped[:_MOST_TOLD]]
