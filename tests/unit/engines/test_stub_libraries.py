"""Stubs keep to the real libraries: what they take by name, the real ones take too, wherever those are installed."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import pytest
from tests_support.stub_libraries import stub_libraries

_CALLS = [
    ("vosk", "SetLogLevel"),
    ("vosk", "Model.__init__"),
    ("vosk", "KaldiRecognizer.AcceptWaveform"),
    ("vosk", "KaldiRecognizer.SetWords"),
    ("vosk", "KaldiRecognizer.SetPartialWords"),
    ("vosk", "KaldiRecognizer.Result"),
    ("vosk", "KaldiRecognizer.PartialResult"),
    ("vosk", "KaldiRecognizer.FinalResult"),
    ("sherpa_onnx", "OnlineRecognizer.from_transducer"),
    ("sherpa_onnx", "OnlineRecognizer.create_stream"),
    ("sherpa_onnx", "OnlineRecognizer.is_ready"),
    ("sherpa_onnx", "OnlineRecognizer.decode_stream"),
    ("sherpa_onnx", "OnlineRecognizer.get_result_all"),
    ("sherpa_onnx", "OfflineRecognizer.from_sense_voice"),
    ("sherpa_onnx", "OfflineRecognizer.create_stream"),
    ("sherpa_onnx", "OfflineRecognizer.decode_stream"),
    ("sherpa_onnx", "OfflineSpeakerDiarization.set_config"),
    ("sherpa_onnx", "OfflineSpeakerDiarization.process"),
    ("sherpa_onnx", "OfflineSpeakerDiarizationConfig.__init__"),
    ("sherpa_onnx", "OfflineSpeakerDiarizationResult.sort_by_start_time"),
    ("sherpa_onnx", "FastClusteringConfig.__init__"),
    ("sherpa_onnx", "SpeakerEmbeddingExtractorConfig.__init__"),
]


def parameters(library: str, path: str) -> list[str]:
    found: Any = import_module(library)
    for name in path.split("."):
        found = getattr(found, name)
    try:
        return list(inspect.signature(found).parameters)
    except ValueError:
        # Of compiled libraries, pybind11 writes the signatures of all overloads into the text.
        return re.findall(r"(\w+): ", found.__doc__)


@pytest.mark.parametrize(("library", "path"), _CALLS)
def test_a_stub_takes_what_the_real_library_takes(library: str, path: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    real = parameters(library, path)
    with stub_libraries():
        stub = parameters(library, path)
    assert [name for name in stub if name not in real] == []
