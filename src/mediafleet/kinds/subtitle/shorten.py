"""Makes what is spoken too fast short enough to be read, as subtitlers do: by forms, words nobody misses, and last by leaving out.

The BBC Subtitle Guidelines ("Editing text") and Díaz Cintas and Remael 2007 ("Audiovisual Translation: Subtitling", ch. 6) name
these in this order. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.subtitle.breaks import ends_sentence
from mediafleet.kinds.subtitle.segment import fold_lines

if TYPE_CHECKING:
    from mediafleet.kinds.subtitle.cue import Cue
    from mediafleet.kinds.subtitle.rules import CueRules

_LEFT_OUT = "…"
_MOST_LEFT_OUT = 0.25
"""Of a cue's characters: who speaks even faster is not to be understood by what would be left."""
_HOPELESS = 4
"""Times the room: no speech is so fast, and trying would take time that grows with the square of the text."""
_MARKS = "\"'([¿¡“„«‘‚,.;:!?…»”’)]"
_ENDINGS = ("n't", "n’t")
"""Of words that say that something is not."""


class _Shorter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One language of `shorter.toml`; each but `forms` is words with spaces between them."""

    forms: tuple[tuple[str, str], ...] = ()
    sounds: str = ""
    openers: str = ""
    stresses: str = ""
    articles: str = ""
    kept: str = ""
    kept_ends: str = ""
    """Of words that are written together and count, such as *zweiundvierzig*."""

    def keeps(self, text: str) -> bool:
        """Tell whether a word must stay: it counts, turns what is said, or names somebody."""
        plain = _plain(text)
        is_name = text.strip(_MARKS)[:1].isupper() and plain not in {"i", ""}
        # Of what a hyphen joins, such as *thirty-one*, each.
        counts = any(part in self.kept.split() or self._ends_kept(part) for part in plain.split("-"))
        return is_name or counts or any(map(str.isdigit, plain)) or plain.endswith(_ENDINGS)

    def _ends_kept(self, word: str) -> bool:
        return bool(self.kept_ends) and word.endswith(tuple(self.kept_ends.split()))


@cache
def _load() -> dict[str, _Shorter]:
    text = files("mediafleet.kinds.subtitle").joinpath("shorter.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=dict[str, _Shorter])


def shorten(cues: Sequence[Cue], rules: CueRules | None, language: str) -> tuple[list[Cue], int]:
    """Return cues of which none takes longer to read than it is shown, and how many had to be made shorter for that.

    Numbers, names and what turns the meaning stay (`shorter.toml`). Where that, or even a quarter less text, would not do, a cue
    stays as it is. A cue that was changed is no longer made of its words.

    Args:
        cues: With their times.
        rules: What cues must keep to; None for nothing.
        language: ISO 639-1; of others than en, es, de and fr nobody here knows what turns the meaning, so nothing is changed.
    """
    if rules is None:
        return list(cues), 0
    known = _load().get(language)
    if known is None:
        return list(cues), 0
    made = [_shorten(cue, rules, language, known) for cue in cues]
    return made, sum(one != other for one, other in zip(cues, made, strict=True))


def shortening_warning(count: int, language: str) -> str:
    """Return what to tell of cues that were made shorter."""
    return (
        f"{count} cue(s) in {language!r} were made shorter, since they are spoken faster than can be read; "
        "the parameter verbatim=true keeps every word."
    )


def _shorten(cue: Cue, rules: CueRules, language: str, known: _Shorter) -> Cue:
    room = int(rules.chars_per_s * cue.length_ms / 1000)
    if cue.chars <= room or cue.chars > _HOPELESS * room or not rules.is_spaced:
        return cue
    words = " ".join(cue.lines).split()
    for texts in _tries(words, known):
        lines = fold_lines(texts, rules, language)
        if sum(map(len, lines)) <= room and all(len(line) <= rules.line_chars for line in lines):
            return msgspec.structs.replace(cue, lines=lines, words=(0, 0))
    return cue


def _tries(words: Sequence[str], known: _Shorter) -> Iterator[list[str]]:
    """Yield ever shorter texts."""
    texts = list(words)
    steps: tuple[Callable[[list[str]], bool], ...] = (
        lambda found: _use_form(found, known.forms),
        lambda found: _drop_one(found, known, _is_filler),
        lambda found: _drop_one(found, known, _is_article),
    )
    for step in steps:
        while step(texts):
            yield list(texts)
    least = sum(map(len, words)) * (1 - _MOST_LEFT_OUT)
    while len(texts) > 1 and not known.keeps(texts[-1]):
        texts.pop()
        if sum(map(len, texts)) < least:
            return
        # What stands before the ellipsis must not be what the next word was needed for: "and they did not…".
        if not known.keeps(texts[-1]):
            yield [*texts[:-1], texts[-1].rstrip(_MARKS) + _LEFT_OUT]


def _is_filler(texts: Sequence[str], at: int, known: _Shorter) -> bool:
    """Tell whether nobody would miss a word where it stands."""
    plain = _plain(texts[at])
    if plain in known.sounds.split():
        return True
    if plain in known.openers.split():
        return _is_first(texts, at) and texts[at].endswith(",")
    # A word that is stressed follows at once, and nothing turns the stress: "not really", "very well" but not "very, very".
    is_open = texts[at].lower() == plain and at + 1 < len(texts)
    return plain in known.stresses.split() and is_open and not _is_first(texts, at) and not known.keeps(texts[at - 1])


def _is_article(texts: Sequence[str], at: int, known: _Shorter) -> bool:
    follows = texts[at + 1] if at + 1 < len(texts) else ""
    is_plain = texts[at] == _plain(texts[at]) and len(follows.strip(_MARKS)) > 1
    return texts[at] in known.articles.split() and is_plain and not known.keeps(follows)


def _is_first(texts: Sequence[str], at: int) -> bool:
    return not at or ends_sentence(texts[at - 1])


def _plain(text: str) -> str:
    return text.strip(_MARKS).lower()


def _use_form(texts: list[str], forms: Sequence[tuple[str, str]]) -> bool:
    """Put the first shorter form that fits into the text; tell whether there was one."""
    for longer, shorter in forms:
        parts = longer.lower().split()
        # Not before a mark, where it is stressed: "yes, it is."
        for at in range(len(texts) - len(parts)):
            if [text.lower() for text in texts[at : at + len(parts)]] == parts:
                texts[at : at + len(parts)] = [_cased_like(texts[at], shorter)]
                return True
    return False


def _drop_one(texts: list[str], known: _Shorter, may_go: Callable[[Sequence[str], int, _Shorter], bool]) -> bool:
    """Leave out the last word that may be; tell whether there was one."""
    for at in range(len(texts) - 1, -1, -1):
        text = texts[at]
        if len(texts) == 1 or not may_go(texts, at, known):
            continue
        if ends_sentence(text):
            if _is_first(texts, at):
                continue
            texts[at - 1] = texts[at - 1].rstrip(_MARKS) + text[len(text.rstrip(_MARKS)) :]
        elif _is_first(texts, at) and at + 1 < len(texts):
            texts[at + 1] = _cased_like(text, texts[at + 1])
        del texts[at]
        return True
    return False


def _cased_like(one: str, other: str) -> str:
    return other[:1].upper() + other[1:] if one[:1].isupper() else other
