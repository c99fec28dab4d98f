"""Voices with all their files whose networks hum: a tone whose length and pitch depend on the phonemes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_RATE_HZ = 16_000
_SAMPLES_A_PHONEME = 800
_PHONEMES = " abcdefghijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔəɛɜɡɣɪɲɹɾʁʃʊʌʎʒʔʝβθχˈˌː,.?!;:0123456789"


class _Graph:
    """Nodes of a graph, each named for what it makes."""

    def __init__(self) -> None:
        self.onnx: Any = import_module("onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **more: Any) -> str:
        name = f"{kind}-{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **more))
        return name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant-{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(value, kind), name))
        return name

    def write(self, path: Path, inputs: Mapping[str, tuple[str, list[Any]]], output: str) -> None:
        """Write a model.

        Args:
            path: Its file.
            inputs: Names, each with type and shape.
            output: What was added last.
        """
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        shapes = [
            helper.make_tensor_value_info(name, getattr(kinds, kind), shape) for name, (kind, shape) in inputs.items()
        ]
        result = helper.make_tensor_value_info(output, kinds.FLOAT, None)
        graph = helper.make_graph(self.nodes, "hum", shapes, [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        self.onnx.save(model, str(path))


def _hum(graph: _Graph, ids: str, stretch: str, higher: str) -> str:
    """Return a tone of so many samples for each of the ids `(1, count)`, times a stretch `()`; `(1, 1, samples)`.

    Its pitch is the mean of the ids and `higher`, `()` or `(1,)`.
    """
    numbers = graph.add("Cast", ids, to=graph.onnx.TensorProto.FLOAT)
    count = graph.add("Cast", graph.add("Size", ids), to=graph.onnx.TensorProto.FLOAT)
    samples = graph.add("Mul", graph.add("Mul", count, graph.constant(_SAMPLES_A_PHONEME)), stretch)
    clock = graph.add("Range", graph.constant(0), samples, graph.constant(1))
    height = graph.add("Add", graph.add("ReduceMean", numbers, keepdims=0), higher)
    pitch = graph.add("Mul", height, graph.constant(0.002))
    wave = graph.add("Sin", graph.add("Mul", clock, pitch))
    return graph.add("Reshape", wave, graph.constant([1, 1, -1], np.int64))


def write_piper(folder: Path, *, language: str = "en", speakers: int = 1, **config: object) -> Path:
    """Write a voice of Piper into a new folder, and return the folder.

    Args:
        folder: Where to.
        language: Of espeak-ng.
        speakers: How many; each sounds higher than the one before.
        config: In place of what its JSON would say.
    """
    folder.mkdir(parents=True)
    graph = _Graph()
    inputs = {"input": ("INT64", [1, "n"]), "input_lengths": ("INT64", [1]), "scales": ("FLOAT", [3])}
    higher = graph.constant(0)
    if speakers > 1:
        inputs["sid"] = ("INT64", [1])
        higher = graph.add("Cast", "sid", to=graph.onnx.TensorProto.FLOAT)
    stretch = graph.add("Gather", "scales", graph.constant(1, np.int64))
    graph.write(folder / "voice.onnx", inputs, _hum(graph, "input", stretch, higher))
    said = {
        "audio": {"sample_rate": _RATE_HZ},
        "espeak": {"voice": language},
        "phoneme_type": "espeak",
        "phoneme_id_map": {sign: [number] for number, sign in enumerate("_^$" + _PHONEMES)},
        "num_symbols": 256,
        "num_speakers": speakers,
        "speaker_id_map": {f"s{number}": number for number in range(speakers)} if speakers > 1 else {},
        "inference": {"length_scale": 1.25},
        **config,
    }
    (folder / "voice.onnx.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def write_kokoro(folder: Path, *names: str) -> Path:
    """Write a network and voices of Kokoro, with these names or one of English, into a new folder, and return the folder."""
    folder.mkdir(parents=True)
    graph = _Graph()
    inputs = {"tokens": ("INT64", [1, "n"]), "style": ("FLOAT", [1, 256]), "speed": ("FLOAT", [1])}
    # Otherwise it would be left out of the network, and the library looks for it there.
    higher = graph.add("ReduceMean", "style", keepdims=0)
    stretch = graph.add("Squeeze", graph.add("Reciprocal", "speed"))
    graph.write(folder / "kokoro.onnx", inputs, _hum(graph, "tokens", stretch, higher))
    styles: Any = {
        name: np.full((510, 1, 256), number, np.float32) for number, name in enumerate(names or ("af_heart",))
    }
    with (folder / "voices.bin").open("wb") as file:
        np.savez(file, **styles)
    return folder
