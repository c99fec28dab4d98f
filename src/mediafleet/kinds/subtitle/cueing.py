"""Makes cues of words, by the rules of a job. Pure."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.rules import UNSPACED, CueRules, Preset, leave_room, rules_for
from mediafleet.kinds.subtitle.segment import segment
from mediafleet.kinds.subtitle.turns import Channel, part_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.subtitle.orders import Film, Heard
    from mediafleet.kinds.subtitle.params import SubtitleParams

_ROUNDED_S = 0.05
"""By which the first word of a span may begin before it, by rounding."""


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
