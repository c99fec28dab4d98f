"""WebRTC's voice activity: small, quick and without a model; it takes many noises for speech."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mediafleet.engines.audio import Audio, check_audio, to_pcm
from mediafleet.engines.pcm import RATE_HZ

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_FRAME = 480
"""30 ms, the longest of the three lengths that it takes."""
_FRAME_BYTES = 2 * _FRAME
_AGGRESSIVENESS = 2
"""0 to 3: how readily it calls something noise."""


class WebrtcEngine:
    """The library; whatever is listened to has a detector of its own, because detectors remember."""

    frame_samples = _FRAME

    def __init__(self) -> None:
        self._library: Any = import_module("webrtcvad")

    def listen(self) -> WebrtcStream:
        """Begin to listen."""
        return WebrtcStream(self._library.Vad(_AGGRESSIVENESS))

    def close(self) -> None:
        """Do nothing: nothing is held."""


class WebrtcStream:
    """One detector, and the samples that are no whole frame yet."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._rest = b""

    def feed(self, audio: Audio) -> list[float]:
        """Hear more; return 1 for each complete frame of speech and 0 for others."""
        heard = self._rest + to_pcm(check_audio(audio))
        whole = len(heard) // _FRAME_BYTES * _FRAME_BYTES
        self._rest = heard[whole:]
        frames = (heard[start : start + _FRAME_BYTES] for start in range(0, whole, _FRAME_BYTES))
        return [float(self._detector.is_speech(frame, RATE_HZ)) for frame in frames]


def load(_offer: Offer) -> WebrtcEngine:
    """Load the library."""
    return WebrtcEngine()
