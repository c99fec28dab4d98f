"""Folders that have the files of a model, empty ones: enough for stubs, and for what looks at folders."""

from __future__ import annotations

from pathlib import Path


def write_empty(folder: Path, *names: str) -> Path:
    """Write empty files into a new folder, and return the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_vosk(folder: Path) -> Path:
    """Write what a model of Vosk has."""
    return write_empty(folder, "am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph/HCLr.fst")


def write_zipformer(folder: Path) -> Path:
    """Write what a streaming Zipformer has, each part as it is and in 8 bits."""
    parts = [f"{part}-epoch-99-avg-1{end}.onnx" for part in ("encoder", "decoder", "joiner") for end in ("", ".int8")]
    return write_empty(folder, "tokens.txt", *parts)


def write_diarizer(folder: Path) -> Path:
    """Write what tells voices apart."""
    return write_empty(folder, "segmentation.onnx", "embedding.onnx")


def write_sense_voice(folder: Path) -> Path:
    """Write what SenseVoice has."""
    return write_empty(folder, "tokens.txt", "model.onnx", "model.int8.onnx")
