"""Silero's voice activity model under plain ONNX Runtime; versions 5 and 6 of it have the same inputs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mediafleet.domain.errors import TaskFailed
from mediafleet.engines.audio import Audio, check_audio
from mediafleet.engines.pcm import RATE_HZ

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_FRAME = 512
"""Samples that the model takes at 16 kHz."""
_CONTEXT = 64
"""Samples before them that it wants to see again."""
_INPUTS = {"input", "state", "sr"}


class SileroEngine:
    """A loaded model; what is listened to shares it."""

    frame_samples = _FRAME

    def __init__(self, path: str) -> None:
        onnxruntime: Any = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        # A frame is a tenth of a millisecond of work: handing it to other threads takes longer than doing it.
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs: set[str] = {one.name for one in self._session.get_inputs()}
        if inputs != _INPUTS:
            raise TaskFailed(
                f"{path} is no Silero model of version 5 or 6: its inputs are {', '.join(sorted(inputs))}."
            )

    def listen(self) -> SileroStream:
        """Begin to listen."""
        return SileroStream(self._session)

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""


class SileroStream:
    """The model's memory of one listening."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._state = np.zeros((2, 1, 128), dtype=np.float32)
        self._rate = np.array(RATE_HZ, dtype=np.int64)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)

    def feed(self, audio: Audio) -> list[float]:
        """Hear more; return the probabilities of the frames that are complete now."""
        heard = np.concatenate([self._rest, check_audio(audio)])
        whole = len(heard) // _FRAME * _FRAME
        self._rest = heard[whole:]
        return [self._hear(heard[start : start + _FRAME]) for start in range(0, whole, _FRAME)]

    def _hear(self, frame: Audio) -> float:
        seen = np.concatenate([self._context, frame])[np.newaxis]
        probability, self._state = self._session.run(None, {"input": seen, "state": self._state, "sr": self._rate})
        self._context = frame[-_CONTEXT:]
        return float(probability[0, 0])


def load(offer: Offer) -> SileroEngine:
    """Load the model file that was offered."""
    return SileroEngine(offer.place)
