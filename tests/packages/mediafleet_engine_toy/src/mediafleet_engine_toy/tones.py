"""A language of tones: each word is a beep of its own pitch, so that what is recognized can be told exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mediafleet.engines.recognition import Word

RATE_HZ = 16_000
NUMBERS = ("unu", "du", "tri", "kvar", "kvin", "ses", "sep", "ok", "dek", "cent")
ENGLISH = ("one", "two", "three", "four", "five", "six", "seven", "eight", "ten", "hundred")
BEEP_S, GAP_S, PAUSE_S = 0.24, 0.12, 0.9
_LOWEST_HZ, _STEP_HZ = 400.0, 120.0
_LOUD = 0.02
_FRAME = 160


def speak(sentences: list[str]) -> bytes:
    """Return sentences as 16-bit samples, 16 kHz, mono, with a pause before each and behind the last."""
    parts: list[NDArray[np.float64]] = [_silence(PAUSE_S)]
    for sentence in sentences:
        for word in sentence.split():
            parts += [_beep(_LOWEST_HZ + _STEP_HZ * NUMBERS.index(word)), _silence(GAP_S)]
        parts.append(_silence(PAUSE_S))
    return (np.concatenate(parts) * 20_000).astype("<i2").tobytes()


def loudness(audio: NDArray[np.float32]) -> list[float]:
    """Return 1 for each frame of 10 ms in which there is a beep, else 0."""
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    return [float(value) for value in np.abs(frames).max(axis=1, initial=0.0) > _LOUD]


def listen(audio: NDArray[np.float32]) -> tuple[Word, ...]:
    """Return the words of some audio."""
    loud = [0.0, *loudness(audio), 0.0]
    edges = [index for index in range(1, len(loud)) if loud[index] != loud[index - 1]]
    words: list[Word] = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        start, end = (first - 1) * _FRAME, (last - 1) * _FRAME
        crossings = int((np.diff(np.signbit(audio[start:end])) != 0).sum())
        pitch_hz = crossings * RATE_HZ / 2 / max(end - start, 1)
        number = round((pitch_hz - _LOWEST_HZ) / _STEP_HZ)
        if 0 <= number < len(NUMBERS):
            words.append(Word(NUMBERS[number], start / RATE_HZ, end / RATE_HZ, 0.9))
    return tuple(words)


def _beep(pitch_hz: float) -> NDArray[np.float64]:
    at = np.arange(round(BEEP_S * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * pitch_hz * at)


def _silence(seconds: float) -> NDArray[np.float64]:
    return np.zeros(round(seconds * RATE_HZ))
