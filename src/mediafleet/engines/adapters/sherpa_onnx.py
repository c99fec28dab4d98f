"""sherpa-onnx: streaming Zipformers, which follow speech, and SenseVoice, which hears Chinese, English, Japanese and Korean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediafleet.engines.audio import Audio, check_audio, is_silent
from mediafleet.engines.models.recognition import SherpaModel, SherpaSort, look_at_sherpa
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, RecognizerFacts, Word, choose_language, put_in_order

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_THREADS = 2
_TAIL_S = 0.66
"""Silence after the end: the network hears so far ahead."""
_LAST_S = 0.2
"""How long a token lasts at most that none follows."""
_LEAST_S = 0.1
_UNSPACED = "\u2e80", "\ua4cf"
"""From the first to the last sign of scripts that are written without spaces; each is a word."""


class ZipformerEngine:
    """A loaded streaming Zipformer."""

    def __init__(self, model: SherpaModel) -> None:
        library: Any = import_module("sherpa_onnx")
        files = {name: str(path) for name, path in model.files.items()}
        self._recognizer: Any = library.OnlineRecognizer.from_transducer(**files, num_threads=_THREADS)
        self.facts = RecognizerFacts(model.languages)

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech; hints are of no use to it."""
        del hint
        stream = self.follow(language=language)
        stream.feed(audio)
        return stream.finish()

    def follow(self, *, language: str | None = None) -> ZipformerStream:
        """Begin an utterance."""
        return ZipformerStream(self._recognizer, choose_language(self.facts, language))

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""


class ZipformerStream:
    """One utterance."""

    def __init__(self, recognizer: Any, language: str) -> None:
        self._recognizer = recognizer
        self._stream: Any = recognizer.create_stream()
        self._language = language
        self._seconds = 0.0
        self._has_sound = False

    def feed(self, audio: Audio) -> Recognition:
        """Hear more; return what it seems to be."""
        self._stream.accept_waveform(RATE_HZ, check_audio(audio))
        self._seconds += len(audio) / RATE_HZ
        self._has_sound = self._has_sound or not is_silent(audio)
        return self._decode()

    def finish(self) -> Recognition:
        """Return what it is."""
        self._stream.accept_waveform(RATE_HZ, np.zeros(round(_TAIL_S * RATE_HZ), dtype=np.float32))
        self._stream.input_finished()
        return self._decode()

    def close(self) -> None:
        """Let the library's stream go."""
        self._stream = None

    def _decode(self) -> Recognition:
        while self._recognizer.is_ready(self._stream):
            self._recognizer.decode_stream(self._stream)
        said = self._recognizer.get_result_all(self._stream)
        words = join_tokens(said.tokens, said.timestamps, said.ys_probs) if self._has_sound else ()
        return Recognition(put_in_order(words, seconds=self._seconds), self._language)


class SenseVoiceEngine:
    """A loaded SenseVoice. A language that is told is a matter of loading, so it is loaded anew where another one is told."""

    def __init__(self, model: SherpaModel) -> None:
        make: Any = import_module("sherpa_onnx").OfflineRecognizer.from_sense_voice
        files = {name: str(path) for name, path in model.files.items()}
        self._load: Callable[[str], Any] = lambda language: make(
            **files, num_threads=_THREADS, language=language, use_itn=True
        )
        self._told = "auto"
        self._recognizer = self._load(self._told)
        self.facts = RecognizerFacts(model.languages, detects_language=True, punctuates=True)

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech; hints are of no use to it."""
        del hint
        check_audio(audio)
        known = choose_language(self.facts, language) if language else ""
        seconds = len(audio) / RATE_HZ
        if seconds < _LEAST_S or is_silent(audio):
            return Recognition((), known)
        if self._told != (known or "auto"):
            self._told = known or "auto"
            self._recognizer = self._load(self._told)
        stream = self._recognizer.create_stream()
        stream.accept_waveform(RATE_HZ, audio)
        self._recognizer.decode_stream(stream)
        said = stream.result
        words = join_tokens(said.tokens, said.timestamps, said.ys_log_probs)
        return Recognition(put_in_order(words, seconds=seconds), known or self._read_language(said.lang))

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""

    def _read_language(self, mark: str) -> str:
        """Return the language of `<|en|>`; Cantonese is Chinese in ISO 639-1."""
        code = mark.strip("<|>")
        return code if code in self.facts.languages else "zh"


def join_tokens(tokens: Sequence[str], starts_s: Sequence[float], logs: Sequence[float]) -> tuple[Word, ...]:
    """Return the words of tokens, each of which begins a word where it has a space, or `▁`, in front.

    Args:
        tokens: In order.
        starts_s: When each begins, seconds.
        logs: The logarithm of how sure the model is of each; none where it does not say.
    """
    groups: list[list[int]] = []
    texts = [token.replace("▁", " ") for token in tokens]
    for number, text in enumerate(texts):
        begins = not groups or text.startswith(" ") or _is_unspaced(text) or _is_unspaced(texts[number - 1])
        # A sign that ends a sentence belongs to the word before it, in every script.
        if begins and (not groups or any(letter.isalnum() for letter in text) or text == " "):
            groups.append([])
        groups[-1].append(number)
    ends = [*starts_s[1:], (starts_s[-1] + _LAST_S) if starts_s else 0.0]
    words = [
        Word(
            "".join(texts[number] for number in group).strip(),
            starts_s[group[0]],
            min(ends[group[-1]], starts_s[group[-1]] + _LAST_S),
            _certainty([logs[number] for number in group] if len(logs) == len(tokens) else []),
        )
        for group in groups
    ]
    spoken = [word for word in words if word.text]
    # Models that know no small letters write nothing but capitals.
    shouts = all(word.text == word.text.upper() for word in spoken)
    return tuple(
        Word(word.text.lower() if shouts else word.text, word.start_s, word.end_s, word.confidence) for word in spoken
    )


def _is_unspaced(text: str) -> bool:
    first, last = _UNSPACED
    return any(first <= letter <= last for letter in text)


def _certainty(logs: Sequence[float]) -> float:
    return min(1.0, math.exp(sum(logs) / len(logs))) if logs else 1.0


def load(offer: Offer) -> ZipformerEngine | SenseVoiceEngine:
    """Load the folder that was offered."""
    model = look_at_sherpa(Path(offer.place))
    return ZipformerEngine(model) if model.sort is SherpaSort.ZIPFORMER else SenseVoiceEngine(model)
