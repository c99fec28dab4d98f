"""espeak-ng as the library of `espeakng-loader`, for machines without the program. Only the engine's process loads it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mediafleet.domain.errors import InvalidRequest, TaskFailed
from mediafleet.engines.adapters.espeak import espeak_voice
from mediafleet.engines.audio import Sound
from mediafleet.engines.synthesis import SynthesizerFacts, Voice

DATA_FOLDER = "espeak-ng-data"
_WORDS_A_MINUTE = 170
# Of its header speak_lib.h.
_TO_CALLER = 1
_RATE = 1
_BY_CHARACTERS = 1
_UTF8 = 1
_OK = 0
_Listener = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class EspeakLibrary:
    """The loaded library; a process can hold one."""

    def __init__(self, path: Path, languages: tuple[str, ...]) -> None:
        self._library: Any = ctypes.CDLL(str(path))
        self._rate_hz: int = self._library.espeak_Initialize(_TO_CALLER, 0, bytes(path.with_name(DATA_FOLDER)), 0)
        if self._rate_hz <= 0:
            raise TaskFailed(f"espeak-ng does not find its data beside {path}.")
        self._pieces: list[bytes] = []
        # Kept as long as the library, which calls it from outside.
        self._listener: Any = _Listener(self._take)
        self._library.espeak_SetSynthCallback(self._listener)
        self.facts = SynthesizerFacts(languages)

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        """Speak a text; the library makes a sentence in some milliseconds."""
        name = espeak_voice(self.facts, text, voice)
        if not name:
            return
        if self._library.espeak_SetVoiceByName(name.encode()) != _OK:
            raise InvalidRequest(f"{name!r} is no voice of espeak-ng.")
        self._library.espeak_SetParameter(_RATE, round(_WORDS_A_MINUTE * voice.speed), 0)
        self._pieces.clear()
        said = text.replace("\0", "").encode()
        failure = self._library.espeak_Synth(said, len(said) + 1, 0, _BY_CHARACTERS, 0, _UTF8, None, None)
        if failure != _OK or self._library.espeak_Synchronize() != _OK:
            raise TaskFailed(f"espeak-ng did not speak with the voice {name!r} (error {failure}).")
        for pcm in self._pieces:
            yield Sound(self._rate_hz, pcm)

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""

    def _take(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        return _OK
