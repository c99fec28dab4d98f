"""Whisper by faster-whisper, on a graphics card where there is one, else with 8-bit integers.

Models are folders that CTranslate2 reads. Nothing is asked of the hub from which the library would take what is missing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mediafleet.engines.audio import Audio, check_audio, is_silent
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import (
    Recognition,
    RecognizerFacts,
    Word,
    choose_language,
    put_in_order,
)

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_WINDOW_S = 30.0
"""What the model hears at once; longer audio is cut by the library and its pieces are recognized together."""
_LEAST_S = 0.1
_SHORT_S = 9.0
_TOKENS_A_SECOND, _MORE_TOKENS = 20, 40
"""Four times what fast speakers need. A model that repeats itself would go on to its limit of 448, at each temperature; longer
audio may need all that the hint leaves of it."""
_BATCH = 8


class FasterWhisperEngine:
    """A loaded model."""

    def __init__(self, path: str) -> None:
        # Before the import: the library reads it only once.
        os.environ["HF_HUB_OFFLINE"] = "1"
        library: Any = import_module("faster_whisper")
        has_card = bool(import_module("ctranslate2").get_cuda_device_count())
        self._model: Any = library.WhisperModel(
            path,
            device="cuda" if has_card else "cpu",
            compute_type="float16" if has_card else "int8",
            local_files_only=True,
        )
        self._batched: Any = library.BatchedInferencePipeline(self._model)
        languages: list[str] = self._model.supported_languages
        self.facts = RecognizerFacts(
            # Three letters are no ISO 639-1.
            tuple(sorted(code for code in languages if len(code) == 2)),  # noqa: PLR2004
            detects_language=bool(self._model.model.is_multilingual),
            punctuates=True,
        )

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech, or audio of any length."""
        check_audio(audio)
        known = choose_language(self.facts, language) if language or not self.facts.detects_language else None
        seconds = len(audio) / RATE_HZ
        if seconds < _LEAST_S or is_silent(audio):
            return Recognition((), known or "")
        options: dict[str, Any] = {
            "language": known,
            "initial_prompt": hint or None,
            "word_timestamps": True,
            # What was wrong once would be wrong to the end.
            "condition_on_previous_text": False,
        }
        if seconds <= _SHORT_S:
            options["max_new_tokens"] = round(_TOKENS_A_SECOND * seconds) + _MORE_TOKENS
        if seconds > _WINDOW_S:
            segments, info = self._batched.transcribe(audio, batch_size=_BATCH, vad_filter=True, **options)
        else:
            segments, info = self._model.transcribe(audio, vad_filter=False, **options)
        words = [_as_word(one) for segment in segments for one in segment.words or () if one.word.strip()]
        certainty = 1.0 if known else min(1.0, float(info.language_probability))
        return Recognition(put_in_order(words, seconds=seconds), info.language, certainty)

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""


def _as_word(one: Any) -> Word:
    return Word(one.word.strip(), float(one.start), float(one.end), min(1.0, max(0.0, float(one.probability))))


def load(offer: Offer) -> FasterWhisperEngine:
    """Load the folder that was offered."""
    return FasterWhisperEngine(offer.place)
