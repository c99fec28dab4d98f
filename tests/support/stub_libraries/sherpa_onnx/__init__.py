"""What the adapter uses of sherpa-onnx 2.0, with its signatures and forms of answers: each 0.32 s of sound is a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_RATE_HZ = 16_000
_STEP = 5_120
_LOUD = 0.006


def _check(*files: str) -> None:
    for file in files:
        assert isinstance(file, str)
        assert Path(file).is_file(), file


@dataclass
class OnlineRecognizerResult:
    """Tokens with their starts; the logarithms of their probabilities."""

    text: str = ""
    tokens: list[str] = field(default_factory=list[str])
    timestamps: list[float] = field(default_factory=list[float])
    ys_probs: list[float] = field(default_factory=list[float])


class OnlineStream:
    """What was heard, and how much of it was decoded."""

    def __init__(self) -> None:
        self.heard = np.zeros(0, np.float32)
        self.done = 0
        self.is_finished = False
        self.result = OnlineRecognizerResult()

    def accept_waveform(self, sample_rate: float, waveform: Any) -> None:
        assert sample_rate == _RATE_HZ
        assert not self.is_finished
        assert waveform.dtype == np.float32
        self.heard = np.concatenate([self.heard, waveform])

    def input_finished(self) -> None:
        self.is_finished = True


class OnlineRecognizer:
    """A streaming transducer."""

    @classmethod
    def from_transducer(
        cls,
        *,
        tokens: str,
        encoder: str,
        decoder: str,
        joiner: str,
        num_threads: int = 2,
    ) -> OnlineRecognizer:
        _check(tokens, encoder, decoder, joiner)
        return cls()

    def create_stream(self, hotwords: str | None = None) -> OnlineStream:
        return OnlineStream()

    def is_ready(self, s: OnlineStream) -> bool:
        return len(s.heard) - s.done >= _STEP

    def decode_stream(self, s: OnlineStream) -> None:
        assert self.is_ready(s), "the real one would crash"
        piece = s.heard[s.done : s.done + _STEP]
        if np.any(np.abs(piece) > _LOUD):
            number = len(s.result.tokens)
            s.result.tokens.append("LO" if number % 2 else "▁HEL")
            s.result.timestamps.append(s.done / _RATE_HZ)
            s.result.ys_probs.append(-0.1)
        s.done += _STEP

    def get_result_all(self, s: OnlineStream) -> OnlineRecognizerResult:
        if s.is_finished and not s.result.tokens:
            # As real models do where nobody speaks.
            return OnlineRecognizerResult("uh", ["▁UH"], [0.1], [-3.0])
        s.result.text = "".join(s.result.tokens).replace("▁", " ")
        return s.result


@dataclass
class OfflineRecognitionResult:
    """As the online one, and the language that was heard."""

    text: str = ""
    tokens: list[str] = field(default_factory=list[str])
    timestamps: list[float] = field(default_factory=list[float])
    ys_log_probs: list[float] = field(default_factory=list[float])
    lang: str = ""


class OfflineStream:
    """Whole audio, and after decoding its result."""

    def __init__(self) -> None:
        self.heard = np.zeros(0, np.float32)
        self.result = OfflineRecognitionResult()

    def accept_waveform(self, sample_rate: float, waveform: Any) -> None:
        assert sample_rate == _RATE_HZ
        assert len(waveform) >= _RATE_HZ // 100, "the real one fails on less than a frame"
        self.heard = np.array(waveform, np.float32)


class OfflineRecognizer:
    """SenseVoice; it hears English, and in silence a word."""

    made: list[str] = []  # noqa: RUF012 - what was asked for, for tests

    def __init__(self, language: str) -> None:
        self._language = language

    @classmethod
    def from_sense_voice(
        cls,
        *,
        model: str,
        tokens: str,
        num_threads: int = 1,
        language: str = "",
        use_itn: bool = False,
    ) -> OfflineRecognizer:
        _check(model, tokens)
        assert language in {"", "auto", "zh", "en", "ja", "ko", "yue"}
        cls.made.append(language)
        return cls(language)

    def create_stream(self, hotwords: str | None = None) -> OfflineStream:
        return OfflineStream()

    def decode_stream(self, s: OfflineStream) -> None:
        starts = range(0, len(s.heard), _STEP)
        tokens = ["▁Hello", ",", "▁the", "re", "."]
        s.result = OfflineRecognitionResult(
            tokens=[tokens[number % len(tokens)] for number, _ in enumerate(starts)],
            timestamps=[start / _RATE_HZ for start in starts],
            lang="<|en|>" if self._language in {"", "auto"} else f"<|{self._language}|>",
        )


@dataclass
class OfflineSpeakerSegmentationPyannoteModelConfig:
    """Where pyannote's network is."""

    model: str = ""


@dataclass
class OfflineSpeakerSegmentationModelConfig:
    """What finds turns."""

    pyannote: OfflineSpeakerSegmentationPyannoteModelConfig
    num_threads: int = 1


@dataclass
class SpeakerEmbeddingExtractorConfig:
    """What describes voices."""

    model: str
    num_threads: int = 1


@dataclass
class FastClusteringConfig:
    """Which voices are one."""

    num_clusters: int = -1
    threshold: float = 0.5


@dataclass
class OfflineSpeakerDiarizationConfig:
    """All of it."""

    segmentation: OfflineSpeakerSegmentationModelConfig
    embedding: SpeakerEmbeddingExtractorConfig
    clustering: FastClusteringConfig
    min_duration_on: float = 0.3
    min_duration_off: float = 0.5


@dataclass
class OfflineSpeakerDiarizationSegment:
    """A turn."""

    start: float
    end: float
    speaker: int


@dataclass
class OfflineSpeakerDiarizationResult:
    """Turns in no order."""

    turns: list[OfflineSpeakerDiarizationSegment]

    def sort_by_start_time(self) -> list[OfflineSpeakerDiarizationSegment]:
        return sorted(self.turns, key=lambda turn: turn.start)


class OfflineSpeakerDiarization:
    """Changes the speaker each second, among two or as many as it is told of."""

    def __init__(self, config: OfflineSpeakerDiarizationConfig) -> None:
        _check(config.segmentation.pyannote.model, config.embedding.model)
        self._clusters = config.clustering.num_clusters

    def set_config(self, config: OfflineSpeakerDiarizationConfig) -> None:
        self._clusters = config.clustering.num_clusters

    def process(self, samples: Any) -> OfflineSpeakerDiarizationResult:
        assert samples.dtype == np.float32
        count = self._clusters if self._clusters > 0 else 2
        seconds = len(samples) // _RATE_HZ
        turns = [OfflineSpeakerDiarizationSegment(float(at), at + 1.0, at % count) for at in range(seconds)]
        return OfflineSpeakerDiarizationResult(turns[::-1])
