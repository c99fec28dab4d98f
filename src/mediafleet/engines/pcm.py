"""16-bit sound as bytes, for those who pass it on and compute nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediafleet.engines.voice_activity import Span

RATE_HZ = 16_000
"""Samples a second of all sound that engines take."""
SAMPLE_BYTES = 2
BYTES_PER_S = RATE_HZ * SAMPLE_BYTES


def byte_at(seconds: float) -> int:
    """Return where the sample of a time begins."""
    return round(seconds * RATE_HZ) * SAMPLE_BYTES


def cut(pcm: bytes, span: Span, *, starts_s: float = 0.0) -> bytes:
    """Return the samples of a span.

    Args:
        pcm: 16-bit signed little-endian samples, 16 kHz, mono.
        span: In the time of the whole sound.
        starts_s: When the first of these samples is, in that time.
    """
    return pcm[byte_at(span.start_s - starts_s) : byte_at(span.end_s - starts_s)]
