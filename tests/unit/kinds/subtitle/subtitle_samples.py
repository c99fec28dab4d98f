"""Spoken words for the tests of subtitles."""

from __future__ import annotations

from mediafleet.engines.recognition import Word

SENTENCE_PAUSE_S, CLAUSE_PAUSE_S = 0.5, 0.2


def spoken(text: str, *, chars_per_s: float = 14.0, start_s: float = 0.5, is_spaced: bool = True) -> list[Word]:
    """Return a text as it is spoken at an even speed, with pauses behind marks; without spaces each character is a word."""
    words: list[Word] = []
    at_s = start_s
    for part in text.split() if is_spaced else [part for part in text if not part.isspace()]:
        length_s = len(part) / chars_per_s
        words.append(Word(part, at_s, at_s + length_s))
        at_s += length_s + (1 / chars_per_s if is_spaced else 0.0)
        at_s += SENTENCE_PAUSE_S if part[-1] in ".?!" else CLAUSE_PAUSE_S if part[-1] in ",;:" else 0.0
    return words
