"""Speech by any service that has OpenAI's audio speech."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mediafleet.domain.errors import TaskFailed
from mediafleet.engines.adapters._openai import OpenAIClient, endpoint_of
from mediafleet.engines.audio import Sound
from mediafleet.engines.synthesis import SynthesizerFacts, Voice, check_voice

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_RATE_HZ = 24_000
"""What the format `pcm` means: 16-bit little-endian, mono, at this rate, without a header."""
_PIECE_BYTES = _RATE_HZ
"""Half a second."""
_VOICE = "alloy"
"""The name that services which imitate the first one also know."""


class OpenAISynthesizer:
    """One endpoint with one model."""

    def __init__(self, client: OpenAIClient) -> None:
        self._client = client
        self.facts = SynthesizerFacts(tuple(sorted(client.endpoint.languages)))

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
            **({"instructions": voice.tone} if voice.tone else {}),
        }
        response = self._client.post("audio/speech", json=body)
        kind = response.headers.get("Content-Type", "")
        if kind.startswith(("application/json", "text/")) or not response.content:
            raise TaskFailed(
                f"{self._client.endpoint.address} answered something that is no sound.", detail=response.text[:500]
            )
        yield from cut_sound(response.content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def cut_sound(data: bytes) -> Iterator[Sound]:
    """Yield pieces of what a service answered: samples as they were asked for, or the WAV that some send instead.

    Raises:
        TaskFailed: It is a WAV of another sort than 16 bits, mono.
    """
    rate_hz, pcm = _RATE_HZ, data
    if data[:4] == b"RIFF":
        rate_hz, pcm = _read_wav(data)
    pcm = pcm[: len(pcm) // 2 * 2]
    for start in range(0, len(pcm), _PIECE_BYTES):
        yield Sound(rate_hz, pcm[start : start + _PIECE_BYTES])


def _read_wav(data: bytes) -> tuple[int, bytes]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            shape, rate_hz = (file.getnchannels(), file.getsampwidth()), file.getframerate()
            pcm = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise TaskFailed(f"A service answered with a broken WAV: {error}.") from error
    if shape != (1, 2):
        raise TaskFailed(f"A service answered with a WAV of {shape[0]} channels and {8 * shape[1]} bits, not 1 and 16.")
    return rate_hz, pcm


def load(offer: Offer) -> OpenAISynthesizer:
    """Make a client of the endpoint that was offered; nothing is asked yet."""
    return OpenAISynthesizer(OpenAIClient(endpoint_of(offer)))
