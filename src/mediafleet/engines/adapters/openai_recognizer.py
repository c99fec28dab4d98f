"""Recognition by any service that has OpenAI's audio transcriptions."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines.adapters._openai import OpenAIClient, endpoint_of
from mediafleet.engines.audio import Audio, check_audio, is_silent, to_pcm
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import (
    Recognition,
    RecognizerFacts,
    Timing,
    Word,
    choose_language,
    put_in_order,
    share_time,
)

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_NAMES = dict(
    pair.split(":")
    for pair in [
        "arabic:ar",
        "bulgarian:bg",
        "catalan:ca",
        "chinese:zh",
        "croatian:hr",
        "czech:cs",
        "danish:da",
        "dutch:nl",
        "english:en",
        "finnish:fi",
        "french:fr",
        "german:de",
        "greek:el",
        "hebrew:he",
        "hindi:hi",
        "hungarian:hu",
        "indonesian:id",
        "italian:it",
        "japanese:ja",
        "korean:ko",
        "norwegian:no",
        "persian:fa",
        "polish:pl",
        "portuguese:pt",
        "romanian:ro",
        "russian:ru",
        "serbian:sr",
        "slovak:sk",
        "spanish:es",
        "swedish:sv",
        "tamil:ta",
        "thai:th",
        "turkish:tr",
        "ukrainian:uk",
        "urdu:ur",
        "vietnamese:vi",
    ]
)
"""The service that set the example answers with names of languages where others have codes."""


class _Word(msgspec.Struct):
    word: str
    start: float
    end: float


class _Segment(msgspec.Struct):
    text: str
    start: float
    end: float
    avg_logprob: float = 0.0


class _Transcription(msgspec.Struct):
    text: str
    language: str | None = None
    words: list[_Word] | None = None
    segments: list[_Segment] | None = None


_transcriptions = msgspec.json.Decoder(_Transcription)


class OpenAIRecognizer:
    """One endpoint with one model."""

    def __init__(self, client: OpenAIClient) -> None:
        self._client = client
        known = tuple(sorted(client.endpoint.languages))
        self.facts = RecognizerFacts(known, detects_language=True, punctuates=True)

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech."""
        pcm = to_pcm(check_audio(audio))
        if language and self.facts.languages:
            choose_language(self.facts, language)
        if is_silent(audio):
            return Recognition((), language or "")
        fields = {
            "model": self._client.endpoint.model,
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
            **({"language": language} if language else {}),
            **({"prompt": hint} if hint else {}),
        }
        files = {"file": ("speech.wav", _as_wav(pcm), "audio/wav")}
        answer = self._client.post_for(
            _transcriptions, "transcription", "audio/transcriptions", data=fields, files=files
        )
        return read_transcription(answer, seconds=len(audio) / RATE_HZ, language=language)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def read_transcription(answer: _Transcription, *, seconds: float, language: str | None) -> Recognition:
    """Return what a service answered for so many seconds of audio; each word has the best time that it gave."""
    segments = answer.segments or []
    if answer.words:
        timing = Timing.WORD
        words = [
            Word(one.word.strip(), one.start, one.end, _confidence(segments, one.start))
            for one in answer.words
            if one.word.strip()
        ]
    elif segments:
        timing = Timing.SEGMENT
        words = [
            msgspec.structs.replace(word, confidence=_confidence(segments, one.start))
            for one in segments
            for word in share_time(one.text, start_s=one.start, end_s=one.end)
        ]
    else:
        timing = Timing.NONE
        words = list(share_time(answer.text, start_s=0.0, end_s=seconds))
    said = (answer.language or "").lower()
    return Recognition(put_in_order(words, seconds=seconds), language or _NAMES.get(said, said), timing=timing)


def _confidence(segments: Iterable[_Segment], at_s: float) -> float:
    for segment in segments:
        if segment.start <= at_s < segment.end:
            return min(1.0, math.exp(segment.avg_logprob))
    return 1.0


def _as_wav(pcm: bytes) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm)
    return target.getvalue()


def load(offer: Offer) -> OpenAIRecognizer:
    """Make a client of the endpoint that was offered; nothing is asked yet."""
    return OpenAIRecognizer(OpenAIClient(endpoint_of(offer)))
