"""Sound as engines take it."""

from __future__ import annotations

import numpy as np
import pytest

from mediafleet.domain.errors import InvalidRequest
from mediafleet.engines.audio import Sound, from_pcm, is_silent, pack_audio, to_pcm, unpack_audio


def test_samples_keep_their_values_and_what_is_too_loud_is_clipped() -> None:
    audio = np.array([0.0, 0.5, -1.0, 1.0, 2.0, -2.0], dtype=np.float32)
    assert to_pcm(audio) == np.array([0, 16_384, -32_768, 32_767, 32_767, -32_768], dtype="<i2").tobytes()
    assert from_pcm(to_pcm(audio[:3])).tolist() == [0.0, 0.5, -1.0]


def test_packed_audio_loses_nothing() -> None:
    audio = np.array([0.1, -1e-9, 1.5], dtype=np.float32)
    assert unpack_audio(pack_audio(audio)).tolist() == audio.tolist()
    with pytest.raises(InvalidRequest, match="4 bytes a sample"):
        unpack_audio(b"12345")


@pytest.mark.parametrize(("peak", "is_so"), [(0.0, True), (0.0009, True), (0.001, False), (-1.0, False)])
def test_what_is_never_louder_than_a_whisper_is_silent(peak: float, *, is_so: bool) -> None:
    assert is_silent(np.array([0.0, peak, 0.0], dtype=np.float32)) is is_so
    assert is_silent(np.zeros(0, dtype=np.float32))


def test_a_sound_knows_how_long_it_lasts() -> None:
    assert Sound(24_000, bytes(24_000)).seconds == 0.5
