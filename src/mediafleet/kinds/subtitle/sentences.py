"""Sentences that run over cues: found in one language, and spread over the same cues in another. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.breaks import break_costs, ends_sentence
from mediafleet.kinds.subtitle.rules import UNSPACED
from mediafleet.kinds.subtitle.segment import fold, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.subtitle.cue import Cue
    from mediafleet.kinds.subtitle.rules import CueRules

_LONGEST_PAUSE_MS = 3_000
"""Over a longer one no sentence goes on, whatever marks say."""
_MOST_CUES = 6
"""Of one sentence: text without full stops would be one sentence of an hour."""
# A letter of another script goes with its word, and a mark with what is before it.
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.,:%'-]*|\S)[\s。、，．！？：；」』）】…,.!?;:)\]]*")
_OFF = 2.0
"""What it costs to give a cue twice the text that it has time for."""


class Sentence(msgspec.Struct, frozen=True):
    """Words that are translated together."""

    text: str
    parts: tuple[tuple[int, int], ...]
    """Each cue that it has a part in, and how many characters that part has."""


def find_sentences(cues: Sequence[Cue], language: str) -> list[Sentence]:
    """Return the sentences of cues, in order; every word is in exactly one."""
    joint = "" if language in UNSPACED else " "
    found: list[Sentence] = []
    words: list[str] = []
    chars: dict[int, int] = {}

    def close() -> None:
        if words:
            found.append(Sentence(joint.join(words), tuple(chars.items())))
        words.clear()
        chars.clear()

    for number, cue in enumerate(cues):
        is_far = number and cue.start_ms - cues[number - 1].end_ms > _LONGEST_PAUSE_MS
        if is_far or len(chars) >= _MOST_CUES or (number and cue.speaker != cues[number - 1].speaker):
            close()
        for word in " ".join(cue.lines).split():
            words.append(word)
            chars[number] = chars.get(number, 0) + len(word)
            if ends_sentence(word):
                close()
    close()
    return found


def spread(
    cues: Sequence[Cue],
    sentences: Sequence[Sentence],
    translated: Sequence[str],
    *,
    rules: CueRules | None,
    language: str,
) -> list[Cue]:
    """Return the cues with the translations of their sentences; times stay as they are.

    Args:
        cues: In the language of the sentences.
        sentences: Of these cues, as `find_sentences` found them.
        translated: One text for each.
        rules: By which lines are folded; None for one line a cue.
        language: Of the translations, ISO 639-1.

    A cue for which nothing is left is left out: translations may be much shorter.
    """
    texts: dict[int, list[str]] = {}
    for sentence, text in zip(sentences, translated, strict=True):
        for (cue, _), part in zip(sentence.parts, _share(split_words(text, language), sentence, language), strict=True):
            if part:
                texts.setdefault(cue, []).extend(part)
    return [
        msgspec.structs.replace(cue, lines=_fold(texts[number], rules, language), words=(0, 0))
        for number, cue in enumerate(cues)
        if number in texts
    ]


def split_words(text: str, language: str) -> list[str]:
    """Return the parts of a text between which a line may end: words, or of scripts without spaces characters."""
    return _CHARACTERS.findall(text) if language in UNSPACED else text.split()


def _share(words: list[str], sentence: Sentence, language: str) -> list[list[str]]:
    """Return the words of a translation for each cue of its sentence: by the time that each has, at good places."""
    count = len(sentence.parts)
    if count == 1:
        return [words]
    costs = break_costs([Word(word, 0.0, 0.0) for word in words], language)
    # By characters in the first cue and the last, which the sentence may share with others.
    weights = [chars for _, chars in sentence.parts]
    total, at = sum(weights), 0
    parts: list[list[str]] = []
    widths = [len(word) + 1 for word in words]
    whole = sum(widths) or 1
    for index in range(count - 1):
        aim = sum(weights[: index + 1]) / total
        best = min(range(at, len(words) + 1), key=lambda end: _miss(end, aim, widths, whole, costs))
        parts.append(words[at:best])
        at = best
    return [*parts, words[at:]]


def _miss(end: int, aim: float, widths: Sequence[int], whole: int, costs: Sequence[float]) -> float:
    is_inside = 0 < end < len(widths)
    return _OFF * abs(sum(widths[:end]) / whole - aim) + (0.15 * costs[end - 1] if is_inside else 0.0)


def _fold(words: Sequence[str], rules: CueRules | None, language: str) -> tuple[str, ...]:
    joint = " " if rules is None or rules.is_spaced else ""
    if rules is None or text_width(words, rules) <= rules.line_chars:
        return (joint.join(words),)
    folded = fold(words, break_costs([Word(word, 0.0, 0.0) for word in words], language), rules)
    if folded is None:
        return (joint.join(words),)
    (cut,) = folded[1]
    return joint.join(words[:cut]), joint.join(words[cut:])
