"""Recordings in a language of tones, and the engines that understand it: `tests/packages/mediafleet_engine_toy`."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from mediafleet_engine_toy.tones import RATE_HZ, speak

LOW, HIGH = "unu du tri", "ses sep ok dek"
"""Sentences, in low tones and in high ones."""


def write_models(folder: Path) -> Path:
    """Write what the engines take for models, and return the folder."""
    for name in ("toy/ears", "toy-vad/ear", "toy-mt/tongue", "toy-census/census"):
        (folder / name).mkdir(parents=True)
    return folder


def samples(sentences: list[str], *, after_s: float = 0.0) -> np.ndarray[Any, Any]:
    """Return sentences as they are spoken, 16-bit, 16 kHz, after some silence."""
    said = np.frombuffer(speak(sentences), dtype="<i2")
    return np.concatenate([np.zeros(round(after_s * RATE_HZ), dtype="<i2"), said])


def write_talk(path: Path, *channels: np.ndarray[Any, Any]) -> Path:
    """Write a WAV with these channels, all as long as the longest."""
    length = max(map(len, channels))
    frames = np.stack([np.pad(one, (0, length - len(one))) for one in channels], axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.clip(frames, -32_000, 32_000).astype("<i2").tobytes())
    return path
