"""16-bit sound as bytes, for those who pass it on and compute nothing."""

from __future__ import annotations

RATE_HZ = 16_000
"""Samples a second of all sound that engines take."""
SAMPLE_BYTES = 2
BYTES_PER_S = RATE_HZ * SAMPLE_BYTES


def byte_at(seconds: float) -> int:
    """Return where the sample of a time begins."""
    return round(seconds * RATE_HZ) * SAMPLE_BYTES
