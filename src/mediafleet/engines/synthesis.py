"""Synthesis: a text as speech, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from mediafleet.engines.audio import Sound


class Voice(msgspec.Struct, frozen=True):
    """How a text is to be spoken."""

    language: str
    """ISO 639-1."""
    name: str = ""
    """As the engine calls it; empty for its own choice."""
    speed: float = 1.0
    """Times the usual speed, 0.5..2."""
    tone: str = ""
    """As `calm`, one of the facts' `tones`; engines that have none ignore it."""


class SynthesizerFacts(msgspec.Struct, frozen=True):
    """What a loaded synthesizer is able to do."""

    languages: tuple[str, ...]
    """ISO 639-1 codes, sorted; empty for any."""
    tones: tuple[str, ...] = ()
    """In which it can speak, sorted, as capabilities name them; `any` where the engine takes a tone in words."""


class Synthesizer(Protocol):
    """An engine that speaks. One call at a time."""

    @property
    def facts(self) -> SynthesizerFacts:
        """What it is able to do."""
        ...

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        """Speak a text.

        Yields:
            Pieces of sound, in order, all of one rate, as soon as each is ready; none for a text without words.

        Raises:
            InvalidRequest: The engine does not know the language or the voice.
            TransientFailure: It did not work this time.
            TaskFailed: The engine answered something that is no sound.

        Closing the iterator early is safe: the rest is not made.
        """
        ...

    def close(self) -> None:
        """Give back what is held; may be called twice."""
        ...


def check_voice(facts: SynthesizerFacts, voice: Voice) -> None:
    """Refuse a language that the engine does not speak.

    Raises:
        InvalidRequest: It does not; the sentence says what it speaks.
    """
    if facts.languages and voice.language not in facts.languages:
        raise InvalidRequest(f"This engine speaks {', '.join(facts.languages)}, not {voice.language!r}.")
