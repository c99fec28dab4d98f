"""Vosk: recognizes on small machines, also while somebody speaks; one model for each language."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import TaskFailed
from mediafleet.engines.audio import Audio, check_audio, is_silent, to_pcm
from mediafleet.engines.models.recognition import look_at_vosk
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, RecognizerFacts, Word, choose_language, put_in_order

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_PIECE_BYTES = 2 * RATE_HZ // 10
"""What the library hears at once. Always the same, so that what it hears does not depend on how it was fed."""
_NO_WORDS = "<["
"""What begins that is no word: `[unk]`, `<UNK>`."""


class _Heard(msgspec.Struct):
    word: str
    start: float
    end: float
    conf: float = 1.0


class _Result(msgspec.Struct):
    result: list[_Heard] = []
    partial_result: list[_Heard] = []


_results = msgspec.json.Decoder(_Result)


class VoskEngine:
    """A loaded model; each utterance has a recognizer of its own, because recognizers adapt to whom they hear."""

    def __init__(self, path: str, languages: tuple[str, ...]) -> None:
        self._library: Any = import_module("vosk")
        self._library.SetLogLevel(-1)
        self._model: Any = self._library.Model(path)
        self.facts = RecognizerFacts(languages)

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech; hints are of no use to it."""
        del hint
        stream = self.follow(language=language)
        stream.feed(audio)
        return stream.finish()

    def follow(self, *, language: str | None = None) -> VoskStream:
        """Begin an utterance."""
        recognizer: Any = self._library.KaldiRecognizer(self._model, float(RATE_HZ))
        recognizer.SetWords(True)  # noqa: FBT003 - the library names no argument
        recognizer.SetPartialWords(True)  # noqa: FBT003 - as above
        return VoskStream(recognizer, choose_language(self.facts, language))

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""


class VoskStream:
    """One utterance. The library ends sentences at pauses; their words are kept here."""

    def __init__(self, recognizer: Any, language: str) -> None:
        self._recognizer: Any = recognizer
        self._language = language
        self._rest = b""
        self._seconds = 0.0
        self._has_sound = False
        self._words: list[_Heard] = []

    def feed(self, audio: Audio) -> Recognition:
        """Hear more; return what it seems to be."""
        heard = self._rest + to_pcm(check_audio(audio))
        self._seconds += len(audio) / RATE_HZ
        self._has_sound = self._has_sound or not is_silent(audio)
        whole = len(heard) // _PIECE_BYTES * _PIECE_BYTES
        self._rest = heard[whole:]
        for start in range(0, whole, _PIECE_BYTES):
            self._accept(heard[start : start + _PIECE_BYTES])
        return self._result([*self._words, *_read(self._recognizer.PartialResult()).partial_result])

    def finish(self) -> Recognition:
        """Return what it is."""
        if self._rest:
            self._accept(self._rest)
        self._words += _read(self._recognizer.FinalResult()).result
        return self._result(self._words)

    def close(self) -> None:
        """Let the recognizer go."""
        self._recognizer = None

    def _accept(self, pcm: bytes) -> None:
        if self._recognizer.AcceptWaveform(pcm):
            self._words += _read(self._recognizer.Result()).result

    def _result(self, heard: list[_Heard]) -> Recognition:
        words = [
            Word(one.word, one.start, one.end, min(1.0, max(0.0, one.conf)))
            for one in heard
            # In digital silence some models hear words.
            if self._has_sound and one.word and one.word[0] not in _NO_WORDS
        ]
        return Recognition(put_in_order(words, seconds=self._seconds), self._language)


def _read(said: str) -> _Result:
    try:
        return _results.decode(said)
    except msgspec.MsgspecError as error:
        raise TaskFailed("Vosk answered something that is no result.", detail=said[:500]) from error


def load(offer: Offer) -> VoskEngine:
    """Load the folder that was offered."""
    return VoskEngine(offer.place, look_at_vosk(Path(offer.place)))
