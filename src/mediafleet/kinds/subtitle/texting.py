"""`text`: makes one transcript of what was recognized in all pieces."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from fractions import Fraction
from statistics import mean
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.subtitle.align import align, find_shift, move, words_of
from mediafleet.kinds.subtitle.check import check_cues
from mediafleet.kinds.subtitle.clean import clean
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.formats import LOOKS_LEFT, Transcript, has_looks, read_cues
from mediafleet.kinds.subtitle.names import is_subtitle_file
from mediafleet.kinds.subtitle.orders import Heard, TextReport, WordsFile, read, write
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.repairing import repair
from mediafleet.kinds.subtitle.rules import UNSPACED, CueRules, Preset, leave_room, rules_for
from mediafleet.kinds.subtitle.segment import segment
from mediafleet.kinds.subtitle.sentences import split_words
from mediafleet.kinds.subtitle.shorten import shorten, shortening_warning
from mediafleet.kinds.subtitle.turns import Channel, part_layers
from mediafleet.kinds.subtitle.workspace import publish_record, read_record
from mediafleet.kinds.transcode.failures import show_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.subtitle.orders import Film

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
        made, warnings = await _align(context, context.spec.inputs[count], tuple(words), heard)
    else:
        made, warnings = await _write_down(context, parts, channels, heard)
    made = msgspec.structs.replace(made, film_s=heard.film.duration_s)
    rules = rules_of(params, heard.language, heard.film)
    report = TextReport(
        heard.language,
        len(made.cues),
        len(made.words),
        tuple(dict.fromkeys(part.engine for part in parts)),
        made.is_drafty,
        tuple(f'at {word.start_s:.1f} s, "{word.text}" ({reason})' for word, reason in dropped[:_MOST_TOLD]),
        len(check_cues(made.cues, rules)) if rules else 0,
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
        made = await asyncio.to_thread(make_cues, [Channel(aligned.words, ())], params, heard)
        return Transcript(language, *made), ()
    found = await asyncio.to_thread(read_cues, content, name=ref.name, fps=Fraction(*heard.film.fps))
    cues = found.cues
    aligned = await asyncio.to_thread(align, words_of(cues), words)
    shift = await asyncio.to_thread(find_shift, cues, aligned)
    told = f"The times of {show_name(ref.name)} were {shift.offset_s:+.2f} s off"
    told += f" and drifted by {(shift.scale - 1) * 100:+.2f} %" if shift.scale != 1 else ""
    told += "; they were put right." if shift.is_judged else "; that was put right. It is too short to tell a drift by."
    warnings = (
        (told, LOOKS_LEFT.format(show_name(ref.name))) if await asyncio.to_thread(has_looks, content) else (told,)
    )
    return Transcript(language, tuple(move(cues, shift))), warnings


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


def rules_of(params: SubtitleParams, language: str, film: Film) -> CueRules | None:
    """Return the rules for cues in a language; None for the style without any."""
    if params.style is Preset.RAW:
        return None
    speed = params.chars_per_s.get(language)
    return rules_for(params.style, language, fps=Fraction(*film.fps), chars_per_s=speed)


def reading_rules(params: SubtitleParams, language: str, film: Film) -> CueRules | None:
    """Return the rules for the sake of which a text may be made shorter; None where every word is to stay."""
    is_whole = params.verbatim or params.style is Preset.KARAOKE
    return None if is_whole else rules_of(params, language, film)


def make_cues(
    channels: Sequence[Channel], params: SubtitleParams, heard: Heard
) -> tuple[tuple[Cue, ...], tuple[Word, ...]]:
    """Return the cues of words, by the rules, or in the style `raw` one a stretch of speech; and the words as cues count them."""
    language, film = heard.language, heard.film
    rules = rules_of(params, language, film)
    if rules is None and not any(channel.spans for channel in channels):
        # A text that was handed in has no stretches of its own.
        rules = rules_for(Preset.NETFLIX, language, fps=Fraction(*film.fps))
    if rules:
        targets = [(target, other) for target in params.to if (other := rules_of(params, target, film))]
        room = leave_room(rules, language, targets)
        texts = part_layers([word for channel in channels for word in channel.words])
        parted = [segment(words, room, language=language) for words in texts]
    else:
        texts = [channel.words for channel in channels]
        parted = [list(_raw_cues(channel, language)) for channel in channels]
    cues: list[Cue] = []
    words: list[Word] = []
    for layer, (text, made) in enumerate(zip(texts, parted, strict=True)):
        cues += [_place(cue, layer, by=len(words)) for cue in made]
        words += text
    return tuple(sorted(cues, key=lambda cue: cue.start_ms)), tuple(words)


def _place(cue: Cue, layer: int, *, by: int) -> Cue:
    first, behind = cue.words
    return msgspec.structs.replace(cue, layer=layer, words=(first + by, behind + by))


def _raw_cues(channel: Channel, language: str) -> Iterator[Cue]:
    words, joint = channel.words, "" if language in UNSPACED else " "
    starts = [span.start_s - _ROUNDED_S for span in channel.spans]
    groups: dict[tuple[int, str], list[int]] = {}
    for number, word in enumerate(words):
        groups.setdefault((bisect_right(starts, word.start_s), word.speaker), []).append(number)
    for (_, speaker), inside in groups.items():
        said = [words[number] for number in inside]
        start_ms, end_ms = round(said[0].start_s * 1000), round(said[-1].end_s * 1000)
        text = joint.join(word.text for word in said)
        times = start_ms, max(end_ms, start_ms + 1)
        yield Cue(*times, (text,), (start_ms, end_ms), (inside[0], inside[-1] + 1), speaker)
