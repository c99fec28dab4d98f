"""Repair: casing, punctuation and homophones of recognized words, before anybody reads or translates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from mediafleet.engines.recognition import Word


class RepairerFacts(msgspec.Struct, frozen=True):
    """What a loaded repairer is able to do."""

    languages: tuple[str, ...]
    """ISO 639-1 codes, sorted; empty for any."""


class Repairer(Protocol):
    """An engine that says how recognized words are written. One call at a time."""

    @property
    def facts(self) -> RepairerFacts:
        """What it is able to do."""
        ...

    def repair(self, words: Sequence[Word], *, language: str) -> tuple[str, ...]:
        """Say how each word is written.

        Args:
            words: Consecutive words of one speaker; pauses between them tell where sentences end.
            language: ISO 639-1.

        Returns:
            One text for each word, in order: the same or another spelling, with the punctuation that belongs to it. Words are
            never merged, split or left out, so times stay as they are.

        Raises:
            InvalidRequest: The engine does not know the language.
            TransientFailure: It did not work this time.
            TaskFailed: The engine answered nonsense.
        """
        ...

    def close(self) -> None:
        """Give back what is held; may be called twice."""
        ...
