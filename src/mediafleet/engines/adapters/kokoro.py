"""Kokoro by kokoro-onnx: one network with many voices. A sentence is a piece.

What makes its phonemes is licensed under the GPL and loaded in the engine's process alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.domain.errors import InvalidRequest
from mediafleet.engines.audio import Sound, to_pcm
from mediafleet.engines.models.kokoro import KOKORO_ACCENTS, KokoroFolder, look_at_kokoro
from mediafleet.engines.synthesis import SynthesizerFacts, Voice, check_voice

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_SLOWEST, _FASTEST = 0.5, 2.0


class KokoroEngine:
    """A loaded network with its voices."""

    def __init__(self, folder: KokoroFolder) -> None:
        self._kokoro: Any = import_module("kokoro_onnx").Kokoro(str(folder.network), str(folder.voices))
        self._names = folder.names
        self.facts = SynthesizerFacts(folder.languages)

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        """Speak a text, a sentence at a time."""
        check_voice(self.facts, voice)
        name = self._choose(voice)
        accent = KOKORO_ACCENTS[name[0]].accent
        speed = min(_FASTEST, max(_SLOWEST, voice.speed))
        for sentence in _SENTENCE_END.split(text):
            if any(letter.isalnum() for letter in sentence):
                samples, rate_hz = self._kokoro.create(sentence, name, speed, accent)
                yield Sound(rate_hz, to_pcm(samples))

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""

    def _choose(self, voice: Voice) -> str:
        """Return the voice that was named, or the first of the language."""
        fitting = [name for name in self._names if KOKORO_ACCENTS[name[0]].language == voice.language]
        if voice.name and voice.name not in fitting:
            raise InvalidRequest(
                f"Kokoro has no voice {voice.name!r} for {voice.language}; it has {', '.join(fitting)}."
            )
        return voice.name or fitting[0]


def load(offer: Offer) -> KokoroEngine:
    """Load the folder that was offered."""
    return KokoroEngine(look_at_kokoro(Path(offer.place)))
