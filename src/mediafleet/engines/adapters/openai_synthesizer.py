"""Speech by any service that has OpenAI's audio speech."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediafleet.domain.errors import TaskFailed
from mediafleet.engines.adapters._openai import OpenAIClient, endpoint_of
from mediafleet.engines.audio import Sound
from mediafleet.engines.synthesis import SynthesizerFacts, Voice, check_voice

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_RATE_HZ = 24_000
"""What the format `pcm` means: 16-bit little-endian, mono, at this rate, without a header."""
_PIECE_BYTES = _RATE_HZ // 5
"""A tenth of a second: who listens does not wait for more."""
_RIFF = b"RIFF"
_FIRST_CHUNK, _CHUNK_HEAD = 12, 8
"""Where the first chunk of a WAV begins, and how long its kind and size are, bytes."""
_UNKNOWN = 0x7FFF_0000
"""What services write for a length that they do not know is at least this, or 0."""
_MOST_HEAD, _LEAST_FORMAT = 1 << 20, 16
_VOICE = "alloy"
"""The name that services which imitate the first one also know."""


class OpenAISynthesizer:
    """One endpoint with one model."""

    def __init__(self, client: OpenAIClient) -> None:
        self._client = client
        endpoint = client.endpoint
        self.facts = SynthesizerFacts(tuple(sorted(endpoint.languages)), tuple(sorted(endpoint.tones)))

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        """Speak a text."""
        check_voice(self.facts, voice)
        if not text.strip():
            return
        body = {
            "model": self._client.endpoint.model,
            "input": text,
            "voice": voice.name or _VOICE,
            "response_format": "pcm",
            "speed": voice.speed,
            # Services that take none are told none: some refuse what they do not know.
            **({"instructions": voice.tone} if voice.tone and self.facts.tones else {}),
        }
        with self._client.stream("audio/speech", json=body) as response:
            if response.headers.get("Content-Type", "").startswith(("application/json", "text/")):
                response.read()
                raise self._client.explain_nonsense("sound", response)
            is_empty = True
            for piece in cut_sound(response.iter_bytes()):
                is_empty = False
                yield piece
            if is_empty:
                raise TaskFailed(f"{self._client.endpoint.address} answered without any sound.")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def cut_sound(data: Iterable[bytes]) -> Iterator[Sound]:
    """Yield pieces of what a service answers, as it comes: samples as they were asked for, or the WAV that some send instead.

    Raises:
        TaskFailed: It is a WAV of another sort than 16 bits, mono.
    """
    coming = iter(data)
    pending = _take(coming, b"", len(_RIFF))
    rate_hz, left = _RATE_HZ, None
    if pending.startswith(_RIFF):
        head, pending = _read_head(coming, pending)
        rate_hz, left = head.rate_hz, head.data_bytes
    while piece := _take(coming, pending, _PIECE_BYTES)[:left]:
        # What stands behind the samples of a WAV is no sound, and neither is half a sample.
        now, pending = piece[:_PIECE_BYTES], piece[_PIECE_BYTES:]
        if left is not None:
            left -= len(now)
        if pcm := now[: len(now) // 2 * 2]:
            yield Sound(rate_hz, pcm)


@dataclass(frozen=True)
class _Head:
    rate_hz: int
    data_bytes: int | None
    """None where the service did not know it when it began."""


def _take(coming: Iterator[bytes], pending: bytes, count: int) -> bytes:
    """Return at least so many bytes, fewer only at the end."""
    while len(pending) < count and (more := next(coming, None)) is not None:
        pending += more
    return pending


def _read_head(coming: Iterator[bytes], pending: bytes) -> tuple[_Head, bytes]:
    """Return what the chunks of a WAV before its samples say, and what came of the samples."""
    shape: tuple[int, int, int] | None = None
    at = _FIRST_CHUNK
    while True:
        pending = _take(coming, pending, at + _CHUNK_HEAD)
        kind, size = pending[at : at + 4], int.from_bytes(pending[at + 4 : at + _CHUNK_HEAD], "little")
        at += _CHUNK_HEAD
        if kind == b"data" and shape:
            break
        pending = _take(coming, pending, at + size) if size <= _MOST_HEAD else b""
        if len(pending) < at + size:
            raise TaskFailed("A service answered with a broken WAV: it has no samples.")
        if kind == b"fmt " and size >= _LEAST_FORMAT:
            _, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", pending[at : at + 16])
            shape = channels, bits, rate_hz
        # Chunks begin at even places.
        at += size + size % 2
    if shape[:2] != (1, 16):
        raise TaskFailed(f"A service answered with a WAV of {shape[0]} channels and {shape[1]} bits, not 1 and 16.")
    return _Head(shape[2], size if 0 < size < _UNKNOWN else None), pending[at:]


def load(offer: Offer) -> OpenAISynthesizer:
    """Make a client of the endpoint that was offered; nothing is asked yet."""
    return OpenAISynthesizer(OpenAIClient(endpoint_of(offer)))
