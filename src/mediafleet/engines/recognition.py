"""Recognition: the words that are spoken, each with its time and how sure the engine is."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from mediafleet.engines.audio import Audio


class Timing(StrEnum):
    """How far the times of words can be trusted."""

    WORD = "word"
    """The engine timed each word."""
    SEGMENT = "segment"
    """The engine timed sentences; words share their sentence's time by length."""
    NONE = "none"
    """The engine timed nothing; words share the whole audio by length."""


class Word(msgspec.Struct, frozen=True):
    """One spoken word."""

    text: str
    """As the engine writes it, without spaces around it, never empty."""
    start_s: float
    """Seconds since the beginning of the audio, or of the stream."""
    end_s: float
    """Later than or at `start_s`."""
    confidence: float = 1.0
    """0..1; engines differ in what they call sure, so compare only within one."""
    speaker: str = ""
    """Who says it, where that was found out; the same for all that one voice says in a recording."""


class Recognition(msgspec.Struct, frozen=True):
    """What was recognized in some audio."""

    words: tuple[Word, ...]
    """In the order of their starts; empty where nobody speaks."""
    language: str
    """ISO 639-1, as `en`."""
    language_confidence: float = 1.0
    """0..1 where the engine detected the language, 1 where it was told."""
    timing: Timing = Timing.WORD
    is_drafty: bool = False
    """Whether people must expect many wrong words; results say so."""

    @property
    def text(self) -> str:
        """All words with spaces between them."""
        return " ".join(word.text for word in self.words)


class RecognizerFacts(msgspec.Struct, frozen=True):
    """What a loaded recognizer is able to do."""

    languages: tuple[str, ...]
    """ISO 639-1 codes, sorted; empty where nobody has a list, as with endpoints."""
    detects_language: bool = False
    """Whether it finds out the language by itself; without that, no language means its first."""
    is_drafty: bool = False
    punctuates: bool = False
    """Whether its words carry casing and punctuation."""
    doubtful_below: float = 0.0
    """Mean confidence of some dozen words below which they were said in another language; 0 where nobody has measured it."""


class Recognizer(Protocol):
    """An engine that recognizes whole audio. One call at a time."""

    @property
    def facts(self) -> RecognizerFacts:
        """What it is able to do."""
        ...

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech.

        Args:
            audio: `(samples,)`, float32, 16 kHz, mono, -1..1; best a span of speech of up to 30 s.
            language: ISO 639-1; None lets the engine find out.
            hint: Names or words that may occur, for engines that can make use of them.

        Raises:
            InvalidRequest: The audio has another shape or type, or the engine does not know the language.
            TransientFailure: It did not work this time.
            TaskFailed: The engine cannot, or answered nonsense.

        The result depends on this audio alone and not on what was recognized before. It cannot be cancelled from inside its
        process; `WarmEngine` ends the process instead.
        """
        ...

    def close(self) -> None:
        """Give back what is held; may be called twice."""
        ...


class RecognitionStream(Protocol):
    """One utterance as it is spoken; belongs to one thread at a time."""

    def feed(self, audio: Audio) -> Recognition:
        """Hear more, `(samples,)`, float32, 16 kHz, mono, -1..1; return what the whole utterance seems to be so far.

        Raises:
            InvalidRequest: The audio has another shape or type.
        """
        ...

    def finish(self) -> Recognition:
        """Return what the whole utterance is; it is not changed afterwards, and nothing more may be fed."""
        ...

    def close(self) -> None:
        """End it, finished or not; may be called twice."""
        ...


@runtime_checkable
class StreamingRecognizer(Recognizer, Protocol):
    """A recognizer that also follows speech as it is spoken."""

    def follow(self, *, language: str | None = None) -> RecognitionStream:
        """Begin an utterance; several may be open.

        Raises:
            InvalidRequest: The engine does not know the language.
        """
        ...


def choose_language(facts: RecognizerFacts, language: str | None) -> str:
    """Return the language to recognize for an engine that does not detect any.

    Raises:
        InvalidRequest: It does not know that one.
    """
    if language is None:
        return facts.languages[0]
    if language not in facts.languages:
        raise InvalidRequest(f"This engine recognizes {', '.join(facts.languages)}, not {language!r}.")
    return language


def share_time(text: str, *, start_s: float, end_s: float) -> tuple[Word, ...]:
    """Return the words of a text with shares of its time by their lengths, for engines that time no words."""
    parts = text.split()
    total = sum(len(part) for part in parts)
    words: list[Word] = []
    done = 0
    for part in parts:
        first = start_s + (end_s - start_s) * done / total
        done += len(part)
        words.append(Word(part, first, start_s + (end_s - start_s) * done / total))
    return tuple(words)


def put_in_order(words: Iterable[Word], *, seconds: float) -> tuple[Word, ...]:
    """Return words with times that neither go back nor leave audio of so many seconds; engines are not always exact."""
    tidy: list[Word] = []
    floor = 0.0
    for word in words:
        start = min(max(word.start_s, floor), seconds)
        end = min(max(word.end_s, start), seconds)
        tidy.append(msgspec.structs.replace(word, start_s=start, end_s=end))
        floor = end
    return tuple(tidy)
