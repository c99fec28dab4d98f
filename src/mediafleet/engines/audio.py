"""Sound as engines take it, and as they give it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from mediafleet.domain.errors import InvalidRequest

Audio: TypeAlias = NDArray[np.float32]
"""`(samples,)`, float32, 16 kHz, mono, -1..1; silence is 0."""

_SILENT = 0.001
_FULL_SCALE = 32_768
"""The largest magnitude of 16-bit samples."""


class Sound(msgspec.Struct, frozen=True):
    """A piece of sound that an engine made."""

    rate_hz: int
    """Samples a second, as the engine's voice has it."""
    pcm: bytes
    """16-bit signed little-endian samples, mono."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.pcm) / 2 / self.rate_hz


def check_audio(audio: Audio) -> Audio:
    """Return the audio as it is.

    Raises:
        InvalidRequest: It has another shape or type, or is not made of numbers.
    """
    if audio.ndim != 1 or audio.dtype != np.float32:
        raise InvalidRequest(f"Engines take (samples,) float32, and this is {audio.shape} {audio.dtype}.")
    if not np.isfinite(audio).all():
        raise InvalidRequest("This audio has samples that are no numbers.")
    return audio


def is_silent(audio: Audio) -> bool:
    """Tell whether audio is never louder than -60 dB of full scale: in that, recognizers hear words that are not there."""
    return bool(np.abs(audio).max(initial=0.0) < _SILENT)


def to_pcm(audio: Audio) -> bytes:
    """Return audio as 16-bit signed little-endian samples; what is beyond -1..1 is clipped."""
    scaled = np.clip(np.rint(audio * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    return scaled.astype("<i2").tobytes()


def from_pcm(pcm: bytes) -> Audio:
    """Return 16-bit signed little-endian samples as audio.

    Raises:
        InvalidRequest: These bytes are none.
    """
    if len(pcm) % 2:
        raise InvalidRequest(f"16-bit samples have 2 bytes each, and this has {len(pcm):,} bytes.")
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def pack_audio(audio: Audio) -> bytes:
    """Return audio as bytes without loss, little-endian; `unpack_audio` reverses it."""
    return audio.astype("<f4", copy=False).tobytes()


def unpack_audio(data: bytes) -> Audio:
    """Return packed audio.

    Raises:
        InvalidRequest: These bytes are no audio.
    """
    if len(data) % 4:
        raise InvalidRequest(f"Packed audio has 4 bytes a sample, and this has {len(data):,} bytes.")
    return check_audio(np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False))
