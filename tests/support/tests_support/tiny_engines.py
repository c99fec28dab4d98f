"""Engines that need a model, each with a tiny one of noise, for what all engines keep to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mediafleet.engines import EngineRegistry, Offer, Role, Where
from tests_support.model_folders import write_diarizer, write_sense_voice, write_vosk, write_zipformer
from tests_support.tiny_translators import write_argos, write_multilingual, write_opus
from tests_support.tiny_voices import write_kokoro, write_piper


@dataclass(frozen=True)
class TinyEngine:
    """An adapter, and what writes a model for it."""

    adapter: str
    role: Role
    modules: tuple[str, ...]
    write: Callable[[Path], object]
    name: str
    is_stub: bool = False
    """Whether the library is one of `stub_libraries`."""

    def offer(self, models: Path) -> Offer:
        """Write the model into a folder of models, and return what is offered then; skips where the library is missing."""
        for module in self.modules:
            pytest.importorskip(module, reason=f"what {self.adapter} needs is not installed")
        place = models / self.adapter / self.name
        self.write(place)
        offers = EngineRegistry.installed(Where(models=str(models))).offers(self.role)
        return next(offer for offer in offers if offer.place == str(place))


_TRANSLATOR = ("ctranslate2", "sentencepiece")
TINY_ENGINES = (
    TinyEngine("ctranslate2", Role.TRANSLATE, _TRANSLATOR, write_opus, "opus-mt-en-es"),
    TinyEngine(
        "ctranslate2",
        Role.TRANSLATE,
        _TRANSLATOR,
        lambda path: write_multilingual(path, ["eng_Latn", "spa_Latn"]),
        "nllb",
    ),
    TinyEngine(
        "ctranslate2", Role.TRANSLATE, _TRANSLATOR, lambda path: write_multilingual(path, ["__en__", "__es__"]), "m2m"
    ),
    TinyEngine("argostranslate", Role.TRANSLATE, _TRANSLATOR, lambda path: write_argos(path, "en", "es"), "en_es"),
    TinyEngine("vosk", Role.RECOGNIZE, ("vosk",), write_vosk, "vosk-model-small-en-us-0.15", is_stub=True),
    TinyEngine(
        "sherpa-onnx",
        Role.RECOGNIZE,
        ("sherpa_onnx",),
        write_zipformer,
        "sherpa-onnx-streaming-zipformer-en-2023-06-26",
        is_stub=True,
    ),
    TinyEngine(
        "sherpa-onnx",
        Role.RECOGNIZE,
        ("sherpa_onnx",),
        write_sense_voice,
        "sherpa-onnx-sense-voice-zh-en-ja-ko-yue-2024-07-17",
        is_stub=True,
    ),
    TinyEngine("sherpa-diarizer", Role.DIARIZE, ("sherpa_onnx",), write_diarizer, "pyannote", is_stub=True),
    TinyEngine("piper", Role.SYNTHESIZE, ("piper", "onnx"), write_piper, "hum"),
    TinyEngine("kokoro-onnx", Role.SYNTHESIZE, ("kokoro_onnx", "onnx"), write_kokoro, "hum"),
)
