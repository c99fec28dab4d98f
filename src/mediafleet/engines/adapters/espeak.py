"""espeak-ng as a program: it is licensed so that it may be called but not linked, and speaks about a hundred languages."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.domain.errors import InvalidRequest, TaskFailed, TransientFailure
from mediafleet.engines.audio import Sound
from mediafleet.engines.catalogue.synthesis import espeak_name, is_espeak_library
from mediafleet.engines.synthesis import SynthesizerFacts, Voice, check_voice

if TYPE_CHECKING:
    from mediafleet.engines.adapters.espeak_library import EspeakLibrary
    from mediafleet.engines.offer import Offer

_WORDS_A_MINUTE = 170
_LONGEST_S = 60.0
"""For a text; it makes a sentence in some milliseconds."""
_HEADER_BYTES = 44
"""Of the WAV that it writes; the lengths in it are not true, since it cannot know them when it begins."""
_PIECE_BYTES = 16_384


class EspeakEngine:
    """The program; each text starts it once."""

    def __init__(self, program: str, languages: tuple[str, ...]) -> None:
        self._program = program
        self.facts = SynthesizerFacts(languages)

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        """Speak a text."""
        name = espeak_voice(self.facts, text, voice)
        if not name:
            return
        speed = str(round(_WORDS_A_MINUTE * voice.speed))
        try:
            # In a folder of its own: it asks a sound server that it does not need, which leaves folders behind.
            with tempfile.TemporaryDirectory() as folder:
                ran = subprocess.run(
                    [self._program, "--stdin", "--stdout", "-b", "1", "-v", name, "-s", speed],
                    input=text.encode(),
                    capture_output=True,
                    timeout=_LONGEST_S,
                    check=False,
                    env={"HOME": folder, "TMPDIR": folder},
                )
        except subprocess.TimeoutExpired as error:
            raise TransientFailure("espeak-ng did not come to an end.") from error
        wav = ran.stdout
        if ran.returncode or wav[:4] != b"RIFF" or len(wav) < _HEADER_BYTES:
            said = ran.stderr.decode(errors="replace").strip()
            raise TaskFailed(f"espeak-ng did not speak with the voice {name!r}: {said[:200]}", detail=said)
        rate_hz = int.from_bytes(wav[24:28], "little")
        for start in range(_HEADER_BYTES, len(wav), _PIECE_BYTES):
            yield Sound(rate_hz, wav[start : start + _PIECE_BYTES])

    def close(self) -> None:
        """Do nothing: nothing runs between texts."""


def espeak_voice(facts: SynthesizerFacts, text: str, voice: Voice) -> str:
    """Return what espeak-ng calls a voice; an empty text where there is nothing to say.

    Raises:
        InvalidRequest: It does not speak the language, or the name could be an option.
    """
    check_voice(facts, voice)
    if voice.name.startswith("-"):
        raise InvalidRequest(f"{voice.name!r} is no voice of espeak-ng.")
    if not any(letter.isalnum() for letter in text):
        return ""
    return voice.name or espeak_name(voice.language)


def load(offer: Offer) -> EspeakEngine | EspeakLibrary:
    """Take the program or the library that was offered."""
    if is_espeak_library(offer.place):
        from mediafleet.engines.adapters.espeak_library import EspeakLibrary  # noqa: PLC0415 - it imports this module

        return EspeakLibrary(Path(offer.place), offer.languages)
    return EspeakEngine(offer.place, offer.languages)
