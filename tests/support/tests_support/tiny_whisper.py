"""A Whisper with all its files and random weights: what it writes is noise, but every path of the library is real."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from tests_support.tiny_weights import TinyWeights

_WIDTH, _MELS = 16, 80
_TEXT_TOKENS = 50_257
"""The last of them is the empty token: by its place the library tells models of many languages from English ones."""
_TIMES = 1_501
"""0.00 to 30.00 s in steps of 0.02 s."""


def write_tiny_whisper(folder: Path) -> Path:
    """Write a model of some megabytes into a new folder, and return the folder."""
    tokenizers: Any = import_module("tokenizers")
    codes: tuple[str, ...] = import_module("faster_whisper.tokenizer")._LANGUAGE_CODES
    languages = [code for code in codes if code != "yue"]
    alphabet: list[str] = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    texts = [*alphabet, *(f"Ġt{number}" for number in range(_TEXT_TOKENS - len(alphabet) - 1)), ""]
    marks = ["endoftext", "startoftranscript", *languages, "translate", "transcribe", "startoflm", "startofprev"]
    marks += ["nospeech", "notimestamps", *(f"{number * 0.02:.2f}" for number in range(_TIMES))]
    specials = [f"<|{mark}|>" for mark in marks]
    _write_model(folder, [*texts, *specials], languages=len(languages))
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({text: number for number, text in enumerate(texts)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    features = {"feature_size": _MELS, "sampling_rate": 16_000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features), encoding="utf-8")
    return folder


def _write_model(folder: Path, tokens: list[str], *, languages: int) -> None:
    spec: Any = import_module("ctranslate2.specs").WhisperSpec(1, 2, 1, 2)
    weights = TinyWeights(_WIDTH)
    weights.convolution(spec.encoder.conv1, _MELS)
    weights.convolution(spec.encoder.conv2, _WIDTH)
    for part, length in ((spec.encoder, 1_500), (spec.decoder, 448)):
        part.position_encodings.encodings = weights.draw(length, _WIDTH)
        weights.norm(part.layer_norm)
        for layer in part.layer:
            weights.layer(layer)
    spec.decoder.embeddings.weight = weights.draw(len(tokens), _WIDTH)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.register_vocabulary(tokens)
    first = _TEXT_TOKENS + 2
    spec.config.lang_ids = list(range(first, first + languages))
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], [_TEXT_TOKENS]
    spec.config.alignment_heads = [(0, 0), (0, 1)]
    spec.validate()
    spec.optimize(quantization="int8")
    folder.mkdir(parents=True)
    spec.save(str(folder))
