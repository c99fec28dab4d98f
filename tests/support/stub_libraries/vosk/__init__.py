"""What the adapter uses of vosk 0.3.45, with its signatures and forms of answers: each 0.3 s of sound is a word.

Like the real models it hears a word where there is only silence, and ends sentences at pauses.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_RATE_HZ = 16_000
_WORD_S = 0.3
_PAUSE_S = 0.5
_LOUD = 200


def SetLogLevel(level: int) -> None:  # noqa: N802 - the library's name
    """Take a level."""
    assert isinstance(level, int)


class Model:
    """A folder; without a path the real one asks the network."""

    def __init__(self, model_path: str | None = None, model_name: str | None = None, lang: str | None = None) -> None:
        assert isinstance(model_path, str), "the real one would download a model"
        if not Path(model_path, "am", "final.mdl").is_file():
            raise Exception("Failed to create a model")  # noqa: TRY002 - what the library raises


class KaldiRecognizer:
    """One utterance; times go on after a pause."""

    def __init__(self, *args: object) -> None:
        model, rate = args
        assert isinstance(model, Model)
        assert rate == float(_RATE_HZ)
        self._heard = np.zeros(0, np.int16)
        self._given_s = 0.0
        self._has_words = self._has_partial_words = False

    def SetWords(self, enable_words: bool) -> None:  # noqa: N802, FBT001 - the library's
        self._has_words = enable_words

    def SetPartialWords(self, enable_partial_words: bool) -> None:  # noqa: N802, FBT001 - the library's
        self._has_partial_words = enable_partial_words

    def AcceptWaveform(self, data: bytes) -> int:  # noqa: N802 - the library's
        self._heard = np.concatenate([self._heard, np.frombuffer(data, np.int16)])
        tail = self._heard[-round(_PAUSE_S * _RATE_HZ) :]
        return int(bool(self._words()) and not np.any(np.abs(tail) > _LOUD))

    def Result(self) -> str:  # noqa: N802 - the library's
        words = self._words()
        self._given_s = len(self._heard) / _RATE_HZ
        return self._say(words, "result", "text", has_words=self._has_words)

    def PartialResult(self) -> str:  # noqa: N802 - the library's
        return self._say(self._words(), "partial_result", "partial", has_words=self._has_partial_words)

    def FinalResult(self) -> str:  # noqa: N802 - the library's
        if not np.any(np.abs(self._heard) > _LOUD):
            return self._say([{"word": "huh", "start": 0.0, "end": 0.1, "conf": 0.2}], "result", "text", has_words=True)
        return self.Result()

    def _words(self) -> list[dict[str, object]]:
        step = round(_WORD_S * _RATE_HZ)
        return [
            {"word": f"w{start // step}", "start": start / _RATE_HZ, "end": (start + step) / _RATE_HZ, "conf": 0.9}
            for start in range(0, len(self._heard), step)
            if start / _RATE_HZ >= self._given_s and np.any(np.abs(self._heard[start : start + step]) > _LOUD)
        ]

    def _say(self, words: list[dict[str, object]], many: str, text: str, *, has_words: bool) -> str:
        said: dict[str, object] = {text: " ".join(str(word["word"]) for word in words)}
        if has_words and words:
            said[many] = words
        return json.dumps(said)
