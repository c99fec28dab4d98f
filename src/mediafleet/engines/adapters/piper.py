"""Piper's voices: small networks that speak faster than time on any processor. A sentence is a piece.

Its package and the espeak-ng in it are licensed under the GPL; they are loaded in the engine's process alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.domain.errors import InvalidRequest
from mediafleet.engines.audio import Sound
from mediafleet.engines.models.piper import PiperFolder, look_at_voice
from mediafleet.engines.synthesis import SynthesizerFacts, Voice, check_voice

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_ANY_TEXT = "1"
_TONES = frozenset(
    {"amused", "angry", "disgusted", "drunk", "happy", "neutral", "sad", "sleepy", "surprised", "whisper"}
)
"""What voices that one person spoke in several tones call them; each is a speaker of such a voice."""


class PiperEngine:
    """A loaded voice."""

    def __init__(self, folder: PiperFolder) -> None:
        library: Any = import_module("piper")
        self._make_config: Any = library.SynthesisConfig
        # What the library would download, it looks for in this folder.
        self._voice: Any = library.PiperVoice.load(folder.path, download_dir=folder.path.parent)
        # Some languages need packages of their own, which are imported only now.
        self._voice.phonemize(_ANY_TEXT)
        speakers: dict[str, int] = self._voice.config.speaker_id_map
        self.facts = SynthesizerFacts((folder.language,), tuple(sorted(_TONES.intersection(speakers))))

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        """Speak a text, a sentence at a time."""
        check_voice(self.facts, voice)
        is_toned = voice.tone in self.facts.tones and not voice.name
        speaker = self._find_speaker(voice.tone if is_toned else voice.name)
        if not any(letter.isalnum() for letter in text):
            return
        config = self._make_config(speaker_id=speaker, length_scale=self._voice.config.length_scale / voice.speed)
        # Two brackets would begin phonemes, which nobody who writes a text means.
        for piece in self._voice.synthesize(text.replace("[[", "[ ["), config):
            if pcm := piece.audio_int16_bytes:
                yield Sound(piece.sample_rate, pcm)

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""

    def _find_speaker(self, name: str) -> int | None:
        speakers: dict[str, int] = self._voice.config.speaker_id_map
        if not name:
            return None
        if name not in speakers:
            raise InvalidRequest(
                f"This voice has no speaker {name!r}; it has {', '.join(sorted(speakers)) or 'one only'}."
            )
        return speakers[name]


def load(offer: Offer) -> PiperEngine:
    """Load the folder that was offered."""
    return PiperEngine(look_at_voice(Path(offer.place)))
