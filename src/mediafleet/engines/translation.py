"""Translation: sentences in, as many sentences out, in the same order. Engines see no times, so they cannot move any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from mediafleet.domain.errors import InvalidRequest


class Brief(msgspec.Struct, frozen=True):
    """What a translator is told besides the sentences."""

    source: str
    """ISO 639-1 of the sentences."""
    target: str
    """ISO 639-1 of the result."""
    before: tuple[str, ...] = ()
    """Sentences that came before, for context; they are not translated."""
    glossary: Mapping[str, str] = {}
    """Terms of the source and how they must be translated; a term that maps to itself is not translated."""

    @property
    def pair(self) -> str:
        """Both languages, as `en>es`."""
        return f"{self.source}>{self.target}"


class TranslatorFacts(msgspec.Struct, frozen=True):
    """What a loaded translator is able to do."""

    pairs: tuple[str, ...]
    """As `en>es`, sorted; empty for any."""
    keeps_glossary: bool = False
    """Whether terms of a glossary are used; else it is ignored, and results say so."""
    reads_context: bool = False
    """Whether `Brief.before` makes a difference."""


class Translator(Protocol):
    """An engine that translates. One call at a time."""

    @property
    def facts(self) -> TranslatorFacts:
        """What it is able to do."""
        ...

    def translate(self, sentences: Sequence[str], brief: Brief) -> tuple[str, ...]:
        """Translate sentences that follow each other.

        Returns:
            One translation for each sentence, in order, on one line; empty where the sentence is.

        Raises:
            InvalidRequest: The engine does not know this pair of languages.
            TransientFailure: It did not work this time.
            TaskFailed: The engine answered nonsense, or not all sentences. Nothing is ever passed off as a translation.

        Safe to repeat.
        """
        ...

    def close(self) -> None:
        """Give back what is held; may be called twice."""
        ...


def check_pair(facts: TranslatorFacts, brief: Brief) -> None:
    """Refuse a pair of languages that the engine does not know.

    Raises:
        InvalidRequest: It does not; the sentence says what it knows.
    """
    if facts.pairs and brief.pair not in facts.pairs:
        raise InvalidRequest(f"This engine translates {', '.join(facts.pairs)}, not {brief.pair}.")
